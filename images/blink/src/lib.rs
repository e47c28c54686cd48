//! The first image on a board: a lamp, a serial port and a button, passed through by Xen.
//!
//! It looks among its devices for what it can drive. Lamps (`gpio-leds` or `fata,led`) go on and off every `period=MS`; what
//! comes in on a serial port goes out again, at `baud=N` if the tree says what clocks it; presses of buttons (`gpio-keys` or
//! `fata,button`) are reported. With `times=N` it ends after a lamp has changed so often.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod app;
mod found;
mod options;

pub use app::app;
pub use found::Opened;
