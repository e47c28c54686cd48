//! defmt's global logger: each frame becomes one printable line.

use crate::recorder::RECORDER;
use crate::sink;
use core::mem;
use core::sync::atomic::{AtomicBool, Ordering};
use defmt::Encoder;
use spin::Mutex;

const _: () = assert!(
    option_env!("DEFMT_LOG").is_some(),
    "set DEFMT_LOG=trace for this build: without it defmt compiles everything but errors away"
);

static WRITER: Mutex<Writer> = Mutex::new(Writer { encoder: Encoder::new(), open: false, line: Line::new() });
static SHOW_NEXT: AtomicBool = AtomicBool::new(true);

/// Says whether the next frame is for the sink too, or for the flight recorder only.
pub(crate) fn show_next(shown: bool) {
    SHOW_NEXT.store(shown, Ordering::Relaxed);
}

#[defmt::global_logger]
struct Logger;

// SAFETY: defmt asks that frames do not run into each other. `WRITER` starts a new line for each, drops what is
// written while no frame is open, and its lock is not held between the calls. Who finds it taken (a sink that
// logs, a fault while in the sink) is ignored, not kept waiting.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        if let Some(mut writer) = WRITER.try_lock() {
            writer.begin();
        }
    }
    unsafe fn write(bytes: &[u8]) {
        if let Some(mut writer) = WRITER.try_lock() {
            writer.write(bytes);
        }
    }
    unsafe fn release() {
        if let Some(mut writer) = WRITER.try_lock() {
            writer.end();
        }
    }
    unsafe fn flush() {}
}

defmt::timestamp!("{=u64:us}", sink::now_us());

struct Writer {
    encoder: Encoder,
    /// Between `begin` and `end`.
    open: bool,
    line: Line,
}

impl Writer {
    fn begin(&mut self) {
        if mem::replace(&mut self.open, true) {
            // A fault, or a `Format` that logs, came in between: that frame is lost.
            self.encoder = Encoder::new();
            self.line.end();
        }
        self.line.begin(SHOW_NEXT.swap(true, Ordering::Relaxed));
        self.encoder.start_frame(|bytes| self.line.put(bytes));
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.open {
            self.encoder.write(bytes, |bytes| self.line.put(bytes));
        }
    }

    fn end(&mut self) {
        if mem::take(&mut self.open) {
            self.encoder.end_frame(|bytes| self.line.put(bytes));
            self.line.end();
        }
    }
}

/// TAB, `~`, base64, line feed; passed on in pieces.
struct Line {
    shown: bool,
    /// The last `pending` of these are still to be written, six at a time.
    bits: u32,
    pending: u32,
    piece: [u8; 128],
    len: usize,
}

impl Line {
    const fn new() -> Self {
        Self { shown: true, bits: 0, pending: 0, piece: [0; 128], len: 0 }
    }

    fn begin(&mut self, shown: bool) {
        self.shown = shown;
        self.character(b'\t');
        self.character(b'~');
    }

    /// Takes encoded bytes, without the zeros that end a frame: the line feed does that here.
    fn put(&mut self, bytes: &[u8]) {
        for &byte in bytes.iter().filter(|&&byte| byte != 0) {
            self.bits = self.bits << 8 | u32::from(byte);
            self.pending += 8;
            while self.pending >= 6 {
                self.pending -= 6;
                self.digit(self.bits >> self.pending);
            }
        }
    }

    fn end(&mut self) {
        if self.pending > 0 {
            self.digit(self.bits << (6 - self.pending));
            self.pending = 0;
        }
        self.character(b'\n');
        self.pass_on();
    }

    fn digit(&mut self, bits: u32) {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        self.character(DIGITS[(bits & 63) as usize]);
    }

    fn character(&mut self, character: u8) {
        if self.len == self.piece.len() {
            self.pass_on();
        }
        self.piece[self.len] = character;
        self.len += 1;
    }

    fn pass_on(&mut self) {
        let piece = &self.piece[..mem::take(&mut self.len)];
        RECORDER.put(piece);
        if self.shown {
            sink::frame(piece);
        }
    }
}
