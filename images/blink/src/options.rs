//! What the command line asks for.

use core::time::Duration;
use fata_kit::words;

pub(crate) struct Options {
    /// How long a lamp stays on, and off.
    pub(crate) half: Duration,
    /// The serial ports' speed, where it can be set.
    pub(crate) baud: u32,
    /// How often a lamp changes before this ends.
    pub(crate) times: Option<u64>,
}

impl Options {
    /// An error is the word that makes no sense.
    pub(crate) fn parse(cmdline: &str) -> Result<Self, &str> {
        let mut options = Self { half: Duration::from_millis(500), baud: 115_200, times: None };
        words(cmdline).try_for_each(|(name, value)| options.word(name, value).ok_or(name))?;
        Ok(options)
    }

    fn word(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            // Both halves take some time, or nothing else would get any.
            "period" => {
                self.half = Duration::from_millis(value.parse::<u64>().ok().filter(|&ms| ms >= 2)? / 2);
            }
            "baud" => self.baud = value.parse().ok().filter(|&baud| baud > 0)?,
            "times" => self.times = Some(value.parse().ok()?),
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_or_named() {
        let options = Options::parse("period=100 times=6").ok().unwrap();
        assert_eq!(
            (options.half, options.times, options.baud),
            (Duration::from_millis(50), Some(6), 115_200)
        );
        for bad in ["period=1", "period", "baud=0", "times=x", "blink"] {
            assert!(Options::parse(bad).is_err(), "{bad}");
        }
    }
}
