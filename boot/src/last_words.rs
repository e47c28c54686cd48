//! How a machine that cannot go on says so: panic, then the end of the domain, never silence.

use core::fmt::{self, Write};
use spin::Once;

/// What an architecture provides for a system that is dying. Nothing here may allocate, wait for a peer
/// without bound, or panic on purpose.
pub trait LastWords: Sync {
    /// Writes to the console, synchronously.
    fn write(&self, bytes: &[u8]);
    /// Prints the callers, innermost first.
    fn backtrace(&self, out: &mut dyn Write);
    /// Ends the domain as crashed.
    fn crash(&self) -> !;
}

static LAST_WORDS: Once<&'static dyn LastWords> = Once::new();

/// Installs them; the first call counts.
pub fn set(words: &'static dyn LastWords) {
    LAST_WORDS.call_once(|| words);
}

/// `core::fmt` into the installed console; nowhere if there is none yet.
pub struct Console;

impl Write for Console {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if let Some(words) = LAST_WORDS.get() {
            words.write(s.as_bytes());
        }
        Ok(())
    }
}

/// Something that prints the callers.
pub type Callers<'a> = &'a dyn Fn(&mut dyn Write);

/// Prints what went wrong, the last events and the callers, and ends the domain.
pub fn die(what: fmt::Arguments<'_>, callers: Option<Callers<'_>>) -> ! {
    use core::sync::atomic::{AtomicU32, Ordering};
    static DEPTH: AtomicU32 = AtomicU32::new(0);
    // Reporting may itself fail: say less each time.
    match DEPTH.fetch_add(1, Ordering::Relaxed) {
        0 => {
            let _ = write!(Console, "\n*** Fata stops: {what}\n");
            last_events();
            match (callers, LAST_WORDS.get()) {
                (Some(print), _) => print(&mut Console),
                (None, Some(words)) => words.backtrace(&mut Console),
                (None, None) => {}
            }
            trace();
        }
        1 => {
            let _ = write!(Console, "\n*** and while saying so: {what}\n");
        }
        _ => {}
    }
    match LAST_WORDS.get() {
        Some(words) => words.crash(),
        // Nothing can have started before `set`.
        None => loop {
            core::hint::spin_loop();
        },
    }
}

/// What the run time did last, if the image keeps that: for `cargo xtask trace`.
fn trace() {
    if fata_trace::ON
        && let Some(words) = LAST_WORDS.get()
    {
        fata_trace::dump(|piece| words.write(piece));
    }
}

/// What the log's flight recorder still holds.
fn last_events() {
    let mut any = false;
    fata_log::recent(|piece| {
        if let Some(words) = LAST_WORDS.get() {
            if !core::mem::replace(&mut any, true) {
                words.write(b"last events:\n");
            }
            words.write(piece);
        }
    });
}

#[cfg(all(target_os = "none", not(test)))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => die(format_args!("panic at {}:{}: {}", at.file(), at.line(), info.message()), None),
        None => die(format_args!("panic: {}", info.message()), None),
    }
}
