//! Where log messages go, as the image registered it.

use crate::level::Level;
use crate::recorder::RECORDER;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use spin::Mutex;

#[derive(Clone, Copy)]
struct Hooks {
    sink: fn(Level, fmt::Arguments<'_>),
    frame_sink: fn(&[u8]),
    clock: fn() -> u64,
}

/// Held while they are copied only, never during a call.
static HOOKS: Mutex<Hooks> = Mutex::new(Hooks { sink: |_, _| (), frame_sink: |_| (), clock: || 0 });
static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static IN_SINK: AtomicBool = AtomicBool::new(false);

/// Where messages go under feature `text`. What the sink itself logs goes to the flight recorder only.
pub fn set_sink(sink: fn(Level, fmt::Arguments<'_>)) {
    HOOKS.lock().sink = sink;
}

/// Where frames go under feature `defmt`: pieces of one printable line, its line feed in the last.
pub fn set_frame_sink(sink: fn(&[u8])) {
    HOOKS.lock().frame_sink = sink;
}

/// Where time stamps come from: nanoseconds since the machine started.
pub fn set_clock(now_ns: fn() -> u64) {
    HOOKS.lock().clock = now_ns;
}

/// Shows messages of this level and more important ones from now on; at first, [`Level::Info`].
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// The least important level that is shown.
pub fn level() -> Level {
    Level::ALL[usize::from(LEVEL.load(Ordering::Relaxed))]
}

fn is_shown(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Whether a message of this level is to be made at all: to be shown, or for the flight recorder.
pub fn admit(level: Level) -> bool {
    let shown = is_shown(level);
    #[cfg(feature = "defmt")]
    crate::frame::show_next(shown);
    shown || level <= Level::Debug
}

/// Records a message, and shows it if its level is shown.
pub fn text(level: Level, message: fmt::Arguments<'_>) {
    let now_us = now_us();
    let (seconds, micros) = (now_us / 1_000_000, now_us % 1_000_000);
    // The recorder takes everything.
    let _ = write!(&RECORDER, "{seconds:5}.{micros:06} {level:5} {message}");
    RECORDER.put(b"\n");
    if is_shown(level) {
        unless_nested(|hooks| (hooks.sink)(level, message));
    }
}

#[cfg(feature = "defmt")]
pub(crate) fn frame(piece: &[u8]) {
    unless_nested(|hooks| (hooks.frame_sink)(piece));
}

pub(crate) fn now_us() -> u64 {
    let clock = HOOKS.lock().clock;
    clock() / 1000
}

fn unless_nested(call: impl FnOnce(Hooks)) {
    if !IN_SINK.swap(true, Ordering::Acquire) {
        let hooks = *HOOKS.lock();
        call(hooks);
        IN_SINK.store(false, Ordering::Release);
    }
}
