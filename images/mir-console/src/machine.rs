//! What only the board can tell or do; its `main` fills one in.

use core::fmt;
use fata_boot::info::{BootInfo, Region};

/// The machine under the application.
pub struct Machine<'a> {
    /// What the board found.
    pub info: &'a BootInfo<'a>,
    /// What the console is: the PV ring, Xen's own, a serial port.
    pub console: &'a str,
    /// Frequency of the counter that time is read from.
    pub timer_hz: u64,
    /// The image's parts by name, and the rights they are mapped with: `r-x`, `r--` or `rw-`.
    pub image: &'a [(&'static str, Region, &'static str)],
    /// The stack, asked anew each time.
    pub stack: fn() -> Stack,
    /// Prints the node at this path of this device tree and what is below it, as source.
    pub print_dt: fn(&[u8], &str, &mut dyn fmt::Write) -> fmt::Result,
    /// Commits this fault. That it returns is a fault as well.
    pub commit: fn(Fault),
}

/// The stack.
#[derive(Clone, Copy, Debug)]
pub struct Stack {
    /// Its size in bytes.
    pub size: u64,
    /// Bytes in use now.
    pub used: u64,
}

/// What code cannot do to itself in safe Rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Use up the stack.
    StackOverflow,
    /// Read through a null pointer.
    NullDereference,
    /// Write to the image's instructions.
    WriteText,
    /// Execute the image's data.
    ExecuteData,
}
