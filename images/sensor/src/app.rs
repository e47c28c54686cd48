//! Measures, and obeys.

use alloc::format;
use alloc::string::{String, ToString};
use core::cell::Cell;
use core::pin::pin;
use core::time::Duration;
use embedded_io_async::{Read, Write};
use fata_conduit::{Duplex, Outside};
use fata_kit::{First, Gone, Lines, Terminal, first, pattern, words};
use fata_rt::Rt;

/// After so many times the interval it is said that nobody takes the readings.
const PATIENCE: u32 = 3;

struct Sensor {
    rt: Rt,
    to: String,
    every: Cell<Duration>,
    /// Of the last reading.
    number: Cell<u64>,
}

/// Does as the command line says, without end.
pub async fn app<O: Outside, C: Read + Write>(
    rt: Rt,
    vchans: O,
    console: C,
    cmdline: &str,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    let every = Cell::new(Duration::from_secs(1));
    let mut sensor = Sensor { rt, to: "logger".to_string(), every, number: Cell::new(0) };
    if let Some((name, value)) = words(cmdline).find(|(name, value)| sensor.word(name, value).is_none()) {
        let failure = format!("FAILURE: the command line makes no sense at {name}={value}\n");
        return terminal.say(&failure).await;
    }
    let to = &sensor.to;
    loop {
        let stream = match vchans.connect(to).await {
            Ok(stream) => stream,
            Err(error) => return terminal.print(&|out| writeln!(out, "FAILURE: {error}")).await,
        };
        terminal.print(&|out| writeln!(out, "sensor: sending to vchan://{to}")).await?;
        let end = match first(sensor.measure(&stream, &mut terminal), sensor.obey(&stream)).await {
            First::A(gone) => gone?,
            First::B(end) => end,
        };
        terminal.print(&|out| writeln!(out, "sensor: vchan://{to}: {end}")).await?;
    }
}

impl Sensor {
    fn word(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "to" if !value.is_empty() => self.to = value.to_string(),
            "every" => self.set_every(value)?,
            _ => return None,
        }
        Some(())
    }

    fn set_every(&self, ms: &str) -> Option<()> {
        let ms = ms.parse().ok().filter(|ms| (1..=3_600_000).contains(ms))?;
        self.every.set(Duration::from_millis(ms));
        Some(())
    }

    /// Sends readings, until the stream ends. Says why it did.
    async fn measure<S: Duplex<Error: ToString>, C: Read + Write>(
        &self,
        stream: &S,
        terminal: &mut Terminal<C>,
    ) -> Result<String, Gone> {
        let mut told = Duration::ZERO;
        loop {
            let (at_ns, every) = (self.rt.now_ns(), self.every.get());
            let mut text = String::new();
            if told != every {
                told = every;
                text = format!("hello, every {} ms\n", every.as_millis());
            }
            text += &self.reading(at_ns);
            let mut sent = pin!(stream.write_all(text.as_bytes()));
            let sent = match self.rt.timeout(every * PATIENCE, sent.as_mut()).await {
                Ok(sent) => sent,
                Err(_) => {
                    terminal.say("sensor: nobody takes the readings\n").await?;
                    sent.await
                }
            };
            if let Err(error) = sent {
                return Ok(error.to_string());
            }
            self.rt.sleep_until(at_ns.saturating_add(every.as_nanos() as u64)).await;
        }
    }

    fn reading(&self, at_ns: u64) -> String {
        let number = self.number.get() + 1;
        self.number.set(number);
        let (ms, tenths) = (at_ns / 1_000_000, 200 + pattern::mix(at_ns, number) % 30);
        let (s, ms, degrees, tenths) = (ms / 1000, ms % 1000, tenths / 10, tenths % 10);
        format!("reading {number}, up {s}.{ms:03} s, {degrees}.{tenths} C\n")
    }

    /// Does what comes back asks for, until the stream ends. Says why it did.
    async fn obey<S: Duplex<Error: ToString>>(&self, stream: &S) -> String {
        let (mut lines, mut piece) = (Lines::default(), [0; 64]);
        loop {
            match stream.read(&mut piece).await {
                Ok(0) => return "the other end has closed".to_string(),
                Ok(len) => lines.put(&piece[..len]),
                Err(error) => return error.to_string(),
            }
            while let Some(line) = lines.take() {
                match line.split_once(' ').unwrap_or((&line, "")) {
                    ("crash", _) => panic!("told to crash"),
                    ("every", ms) => drop(self.set_every(ms)),
                    // Whoever asks sees that nothing came of it.
                    _ => {}
                }
            }
        }
    }
}
