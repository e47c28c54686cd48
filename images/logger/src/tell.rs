//! Tells whoever reads.

use crate::log::Log;
use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;
use fata_conduit::{Accept, Duplex};
use fata_kit::{First, Lines, first};

/// How often something is sent, at least.
const BEAT: Duration = Duration::from_secs(1);

/// Passes lines on to one reader after the other, without end.
pub(crate) async fn tell<L>(log: &Log, listener: &L)
where
    L: Accept<Error: ToString, Stream: Duplex<Error: ToString>>,
{
    loop {
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) => return log.note(&format!("no reader can come: {}", error.to_string())),
        };
        log.remarks.put("a reader has come".to_string());
        log.replies.forget();
        let end = match first(pass(log, &stream), answer(log, &stream)).await {
            First::A(end) | First::B(end) => end,
        };
        log.remarks.put(format!("the reader: {end}"));
    }
}

/// Sends what comes, and answers. Says why it ended.
async fn pass<S: Duplex<Error: ToString>>(log: &Log, stream: &S) -> String {
    let mut text = format!("hello, every {} ms\n", BEAT.as_millis());
    loop {
        if let Err(error) = stream.write_all(text.as_bytes()).await {
            return error.to_string();
        }
        text = match log.replies.try_take() {
            Some(reply) => reply,
            None => match log.after(log.passed.get()) {
                Some(line) => {
                    if let Err(error) = stream.write_all(line.to_string().as_bytes()).await {
                        return error.to_string();
                    }
                    // Only now: the next reader gets what this one has not.
                    log.passed.set(line.number);
                    String::new()
                }
                None => next(log).await.unwrap_or_default(),
            },
        };
    }
}

/// Waits until there is something to send; gives what that is, unless it is a line.
async fn next(log: &Log) -> Option<String> {
    let passed = log.passed.get();
    let line = log.news.until(|| log.after(passed).map(|_| ()));
    match log.rt.timeout(BEAT, first(log.replies.take(), line)).await {
        Ok(First::A(reply)) => Some(reply),
        Ok(First::B(())) => None,
        Err(_) => Some("beat\n".to_string()),
    }
}

/// Does what the reader asks for.
async fn answer<S: Duplex<Error: ToString>>(log: &Log, stream: &S) -> String {
    let (mut lines, mut piece) = (Lines::default(), [0; 64]);
    loop {
        match stream.read(&mut piece).await {
            Ok(0) => return "it has closed".to_string(),
            Ok(len) => lines.put(&piece[..len]),
            Err(error) => return error.to_string(),
        }
        while let Some(line) = lines.take() {
            match line.split_once(' ').unwrap_or((&line, "")) {
                ("last", count) => {
                    let mut number = log.before_last(count.parse().unwrap_or(10).min(50));
                    while let Some(line) = log.after(number).filter(|line| line.number > number) {
                        number = line.number;
                        log.replies.put(format!("again {line}"));
                    }
                }
                ("stats", _) => log.replies.put(format!("said {}\n", log.stats())),
                ("sensor", words) => log.orders.put(words.to_string()),
                ("crash", _) => panic!("told to crash"),
                _ => log.replies.put(format!("said that {line} makes no sense\n")),
            }
        }
    }
}
