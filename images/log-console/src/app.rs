//! Reads both ways.

use crate::screen::Screen;
use alloc::format;
use alloc::string::{String, ToString};
use core::mem;
use core::time::Duration;
use embedded_io_async::{Read, Write};
use fata_conduit::{Duplex, Outside};
use fata_kit::{First, Gone, Lines, Terminal, first, words};
use fata_rt::Rt;

/// For how many times its interval a logger may be silent, and how long one that has not said how long that is.
const PATIENCE: u32 = 3;
const INTERVAL: Duration = Duration::from_secs(1);

/// Does as the command line says, without end.
pub async fn app<O: Outside, C: Read + Write>(
    rt: Rt,
    vchans: O,
    console: C,
    cmdline: &str,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    let mut from = "logger";
    for (name, value) in words(cmdline) {
        match name {
            "from" if !value.is_empty() => from = value,
            _ => {
                let failure = format!("FAILURE: the command line makes no sense at {name}={value}\n");
                return terminal.say(&failure).await;
            }
        }
    }
    let mut screen = Screen::default();
    loop {
        terminal.print(&|out| writeln!(out, "console: waiting for vchan://{from}")).await?;
        let stream = match vchans.connect(from).await {
            Ok(stream) => stream,
            Err(error) => return terminal.print(&|out| writeln!(out, "FAILURE: {error}")).await,
        };
        let end = serve(&rt, &stream, &mut terminal, &mut screen).await?;
        terminal.print(&|out| writeln!(out, "console: the logger: {end}")).await?;
    }
}

/// Shows and asks, until the stream ends. Says why it did.
async fn serve<S: Duplex<Error: ToString>, C: Read + Write>(
    rt: &Rt,
    stream: &S,
    terminal: &mut Terminal<C>,
    screen: &mut Screen,
) -> Result<String, Gone> {
    let (mut lines, mut typed, mut piece) = (Lines::default(), Lines::default(), [0; 512]);
    // When it is overdue. What is typed does not put that off.
    let (mut interval, mut silent) = (INTERVAL, false);
    let limit_ns = |interval: Duration| (interval * PATIENCE).as_nanos() as u64;
    let mut due_ns = rt.now_ns() + limit_ns(interval);
    loop {
        let left = Duration::from_nanos(due_ns.saturating_sub(rt.now_ns()));
        let left = if silent { Duration::MAX } else { left };
        // First what is typed, since there is less of it.
        match first(terminal.read(), rt.timeout(left, stream.read(&mut piece))).await {
            First::B(Ok(Ok(0))) => return Ok("it has closed".to_string()),
            First::B(Ok(Ok(len))) => {
                lines.put(&piece[..len]);
                if mem::take(&mut silent) {
                    terminal.say("console: the logger speaks again\n").await?;
                }
                while let Some(line) = lines.take() {
                    if let Some(ms) = screen.interval_ms(&line) {
                        interval = Duration::from_millis(ms);
                    } else if let Some(shown) = screen.show(&line) {
                        terminal.say(&shown).await?;
                    }
                }
                due_ns = rt.now_ns() + limit_ns(interval);
            }
            First::B(Ok(Err(error))) => return Ok(error.to_string()),
            First::B(Err(_)) => {
                silent = true;
                let ms = (interval * PATIENCE).as_millis();
                let said = |out: &mut dyn core::fmt::Write| {
                    writeln!(out, "console: the logger has fallen silent: nothing for {ms} ms")
                };
                terminal.print(&said).await?;
            }
            First::A(bytes) => {
                let bytes = bytes?;
                typed.put(bytes);
                let len = bytes.len();
                terminal.used(len);
                while let Some(line) = typed.take() {
                    let (said, asked) = screen.command(&line);
                    terminal.say(&said).await?;
                    // One that takes nothing must not keep us from what is typed, so the order is then lost.
                    if !asked.is_empty()
                        && rt.timeout(INTERVAL, stream.write_all(asked.as_bytes())).await.is_err()
                    {
                        terminal.say("console: the logger does not take it\n").await?;
                    }
                }
            }
        }
    }
}
