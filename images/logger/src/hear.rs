//! Hears the sensor.

use crate::log::Log;
use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;
use fata_conduit::{Accept, Duplex};
use fata_kit::{First, Lines, first};

/// For how many times its interval a sensor may be silent, and how long one that has not said how long that is.
const PATIENCE: u32 = 3;
const INTERVAL: Duration = Duration::from_secs(1);
/// Less than this is nothing to speak of: whoever runs beside us may take as long.
const LEAST: Duration = Duration::from_millis(100);

/// Takes in what sensors send, one after the other, without end.
pub(crate) async fn hear<L>(log: &Log, listener: &L)
where
    L: Accept<Error: ToString, Stream: Duplex<Error: ToString>>,
{
    let accept = || listener.accept();
    loop {
        let stream = match log.rt.timeout(INTERVAL * PATIENCE, accept()).await {
            Ok(stream) => stream,
            Err(_) => {
                log.note("there is no sensor");
                accept().await
            }
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => return log.note(&format!("no sensor can come: {}", error.to_string())),
        };
        log.came.set(log.came.get() + 1);
        log.note(if log.came.get() > 1 { "a sensor has come again" } else { "a sensor has come" });
        // Orders were for the one before.
        log.orders.forget();
        let end = match first(listen(log, &stream), command(log, &stream)).await {
            First::A(end) | First::B(end) => end,
        };
        log.note(&format!("the sensor: {end}"));
    }
}

/// Takes in its lines, and notices when none come. Says why it ended.
async fn listen<S: Duplex<Error: ToString>>(log: &Log, stream: &S) -> String {
    let (mut lines, mut piece) = (Lines::default(), [0; 256]);
    let (mut interval, mut silent) = (INTERVAL, false);
    loop {
        let limit = LEAST.max(interval * PATIENCE);
        let read = match silent {
            true => Ok(stream.read(&mut piece).await),
            false => log.rt.timeout(limit, stream.read(&mut piece)).await,
        };
        match read {
            Ok(Ok(0)) => return "it has closed".to_string(),
            Ok(Ok(len)) => lines.put(&piece[..len]),
            Ok(Err(error)) => return error.to_string(),
            Err(_) => {
                silent = true;
                log.note(&format!("the sensor has fallen silent: nothing for {} ms", limit.as_millis()));
                continue;
            }
        }
        if silent {
            silent = false;
            log.note("the sensor speaks again");
        }
        while let Some(line) = lines.take() {
            let every = line.strip_prefix("hello, every ").and_then(|rest| rest.strip_suffix(" ms"));
            if let Some(ms) = every.and_then(|ms| ms.parse().ok()).filter(|ms| (1..=3_600_000).contains(ms)) {
                interval = Duration::from_millis(ms);
            }
            log.add(&line);
        }
    }
}

/// Sends it what it is told to do.
async fn command<S: Duplex<Error: ToString>>(log: &Log, stream: &S) -> String {
    loop {
        let order = log.orders.take().await + "\n";
        if let Err(error) = stream.write_all(order.as_bytes()).await {
            return error.to_string();
        }
    }
}
