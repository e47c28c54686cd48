//! What the command line asks for.

use core::time::Duration;
use fata_devices::vchan::Wish;
use fata_kit::words;

/// Bytes that a client may be ahead of the answers: less than what pipes and programs between here and there hold.
const WINDOW: u64 = 1 << 14;

pub(crate) struct Options {
    pub(crate) wish: Wish,
    pub(crate) once: bool,
    pub(crate) hold: bool,
    pub(crate) bytes: u64,
    pub(crate) window: u64,
    pub(crate) again: u32,
    pub(crate) tireless: bool,
    pub(crate) tell: u64,
    pub(crate) delay: Duration,
    pub(crate) watch: Option<Duration>,
}

impl Options {
    /// An error is the word that makes no sense.
    pub(crate) fn parse(cmdline: &str) -> Result<Self, &str> {
        let mut options = Self {
            wish: Wish::new("echo"),
            once: false,
            hold: false,
            bytes: 1 << 20,
            window: WINDOW,
            again: 1,
            tireless: false,
            tell: u64::MAX,
            delay: Duration::ZERO,
            watch: None,
        };
        words(cmdline).try_for_each(|(name, value)| options.word(name, value).ok_or(name))?;
        Ok(options)
    }

    fn word(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "once" => self.once = true,
            "hold" => self.hold = true,
            "bytes" => self.bytes = value.parse().ok()?,
            "window" => self.window = value.parse().ok().filter(|&window| window > 0)?,
            "delay" => self.delay = Duration::from_millis(value.parse().ok()?),
            "tireless" => self.tireless = true,
            // The pattern begins at multiples of 8.
            "tell" => self.tell = value.parse().ok().filter(|&bytes| bytes > 0 && bytes % 8 == 0)?,
            "again" => self.again = value.parse().ok()?,
            "watch" => self.watch = Some(Duration::from_millis(value.parse().ok()?)),
            _ => self.wish.word(name, value)?,
        }
        Some(())
    }
}
