//! The log's way to the console: at once while there is no driver, then in turn with other output.

use alloc::rc::Rc;
use alloc::string::String;
use core::fmt::{self, Write};
use core::future::poll_fn;
use core::mem;
use core::task::{Poll, Waker};
use fata_arch_arm::early::Writer;
use fata_arch_arm::timer;
use fata_console::Console;
use fata_log::Level;
use fata_rt::Rt;
use spin::Mutex;
use xen_hyp::Platform;

/// Text that waits for the console; more is counted and dropped, since nobody may be reading.
const MOST: usize = 8 << 10;

struct Waiting {
    /// There is a driver; without one there may be no heap either.
    attended: bool,
    text: String,
    lost: u32,
    /// The task that brings text to the console, while it has none.
    pump: Option<Waker>,
}

static WAITING: Mutex<Waiting> =
    Mutex::new(Waiting { attended: false, text: String::new(), lost: 0, pump: None });

/// Registers sinks and clock.
pub(crate) fn init() {
    fata_log::set_clock(timer::now_ns);
    if fata_trace::ON {
        fata_trace::start(timer::hz());
    }
    fata_log::set_sink(put);
    fata_log::set_frame_sink(|piece| {
        // Printable ASCII, its end a line feed only.
        let Ok(piece) = core::str::from_utf8(piece) else { return };
        match piece.strip_suffix('\n') {
            Some(last) => append(format_args!("{last}\r\n")),
            None => append(format_args!("{piece}")),
        }
    });
}

fn put(level: Level, message: fmt::Arguments<'_>) {
    let now_us = timer::now_ns() / 1000;
    append(format_args!("[{:5}.{:06}] {level}: {message}\r\n", now_us / 1_000_000, now_us % 1_000_000));
}

fn append(what: fmt::Arguments<'_>) {
    let mut waiting = WAITING.lock();
    if !waiting.attended {
        let _ = Writer.write_fmt(what);
    } else if waiting.text.len() < MOST {
        let _ = waiting.text.write_fmt(what);
        let pump = waiting.pump.take();
        drop(waiting);
        if let Some(pump) = pump {
            pump.wake();
        }
    } else {
        waiting.lost += 1;
    }
}

/// What waits, if anything does.
fn take() -> Option<String> {
    let mut waiting = WAITING.lock();
    if waiting.lost > 0 {
        let lost = mem::take(&mut waiting.lost);
        let _ = write!(waiting.text, "[{lost} log lines lost: the console does not keep up]\r\n");
    }
    (!waiting.text.is_empty()).then(|| mem::take(&mut waiting.text))
}

/// Writes what the log holds to the console, from a task of its own.
pub(crate) fn pump<P: Platform>(rt: &Rt, console: Rc<Console<P>>) {
    WAITING.lock().attended = true;
    drop(rt.spawn(async move {
        loop {
            let text = poll_fn(|cx| match take() {
                Some(text) => Poll::Ready(text),
                None => {
                    WAITING.lock().pump = Some(cx.waker().clone());
                    Poll::Pending
                }
            })
            .await;
            let mut rest = text.as_bytes();
            while !rest.is_empty() {
                match console.write(rest).await {
                    Ok(n) => rest = &rest[n..],
                    Err(_) => return,
                }
            }
        }
    }));
}

/// Writes what still waits, holding up everything.
pub(crate) fn flush<P: Platform>(console: &Console<P>) {
    put_blocking(console, take().unwrap_or_default().as_bytes());
}

/// Writes this, holding up everything.
pub(crate) fn put_blocking<P: Platform>(console: &Console<P>, bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(n @ 1..) = console.write_blocking(rest) {
        rest = &rest[n..];
    }
}
