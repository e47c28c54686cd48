//! Logging facade: text, defmt frames, or nothing.
//!
//! Every crate may say `fata_log::info!("{} of {} banks", n, total)`; the image decides by a feature what
//! comes of it:
//!
//! - `text`: the line is formatted here and given to the sink ([`set_sink`]).
//! - `defmt`: format strings stay in the ELF, and what goes to the frame sink ([`set_frame_sink`]) is a short
//!   printable line (see [Frames](#frames)) that `cargo xtask run` decodes. Needs `DEFMT_LOG=trace` in the
//!   environment of the build.
//! - neither: arguments are type-checked and nothing is emitted, so that host tests link.
//!
//! Format strings are what both worlds understand, checked when the call is compiled: `{}`, `{:?}`, and for
//! integers `{:x}`, `{:#x}`, `{:08b}` and the like, each with an argument of its own after the string.
//! Arguments are anything with `Display` or `Debug`. Under defmt, what implements `defmt::Format`
//! (primitives, `str`, slices, tuples, `Option` of those) goes out in binary, and all else as text:
//! by `Display` if it has it, even for `{:?}`, else by `Debug`.
//!
//! Levels: `debug` is for changes of state, and always kept in the flight recorder ([`recent`]) even when it
//! is not shown; `trace` is for single packets and requests, and costs a comparison unless shown.
//!
//! # Frames
//!
//! Xen's own console drops every byte that is not printable, and passes nothing on before the end of a
//! line. So a frame is not sent in binary but as TAB, `~`, base64 without padding, line feed; this survives
//! every console Xen has, and log files and terminals too.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(feature = "defmt", allow(unsafe_code, reason = "defmt's global logger is an unsafe trait"))]

#[doc(hidden)]
pub mod format;
#[cfg(feature = "defmt")]
mod frame;
mod level;
mod recorder;
mod sink;

#[doc(hidden)]
#[cfg(feature = "defmt")]
pub use {defmt, format::wire};

pub use level::{Level, UnknownLevel};
pub use recorder::recent;
#[doc(hidden)]
pub use sink::{admit, text};
pub use sink::{level, set_clock, set_frame_sink, set_level, set_sink};

/// Something failed; a device or request is lost.
#[macro_export]
macro_rules! error {
    ($($arg:tt)+) => { $crate::__log!(Error, error, $($arg)+) };
}
/// Something is wrong, and we went on.
#[macro_export]
macro_rules! warn {
    ($($arg:tt)+) => { $crate::__log!(Warn, warn, $($arg)+) };
}
/// What a user of the system wants to know.
#[macro_export]
macro_rules! info {
    ($($arg:tt)+) => { $crate::__log!(Info, info, $($arg)+) };
}
/// A change of state; kept in the flight recorder.
#[macro_export]
macro_rules! debug {
    ($($arg:tt)+) => { $crate::__log!(Debug, debug, $($arg)+) };
}
/// A single packet or request.
#[macro_export]
macro_rules! trace {
    ($($arg:tt)+) => { $crate::__log!(Trace, trace, $($arg)+) };
}

#[doc(hidden)]
#[macro_export]
#[cfg(feature = "defmt")]
macro_rules! __log {
    ($level:ident, $name:ident, $format:literal $(, $arg:expr)* $(,)?) => {{
        const { $crate::format::check($format) };
        if $crate::admit($crate::Level::$level) {
            // defmt's macros expand to paths that begin with `defmt`.
            use $crate::defmt;
            #[allow(unused_imports, reason = "which of them is used depends on the argument")]
            use $crate::wire::{ByDebug, ByDisplay, ByFormat};
            defmt::$name!($format $(, (&&&$crate::wire::Arg(&($arg))).wire())*);
        }
    }};
}

#[doc(hidden)]
#[macro_export]
#[cfg(all(feature = "text", not(feature = "defmt")))]
macro_rules! __log {
    ($level:ident, $name:ident, $format:literal $(, $arg:expr)* $(,)?) => {{
        const { $crate::format::check($format) };
        if $crate::admit($crate::Level::$level) {
            $crate::text($crate::Level::$level, ::core::format_args!($format $(, $arg)*));
        }
    }};
}

#[doc(hidden)]
#[macro_export]
#[cfg(not(any(feature = "text", feature = "defmt")))]
macro_rules! __log {
    ($level:ident, $name:ident, $format:literal $(, $arg:expr)* $(,)?) => {{
        const { $crate::format::check($format) };
        if false {
            $crate::text($crate::Level::$level, ::core::format_args!($format $(, $arg)*));
        }
    }};
}
