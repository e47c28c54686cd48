//! Ways to break this machine, so that one can see that it says so.

use crate::machine::Fault;
use alloc::vec::Vec;
use core::fmt;

/// How to break it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// A Rust panic.
    Panic,
    /// A panic while reporting a panic.
    Double,
    /// Heap exhaustion.
    OutOfMemory,
    /// What the board does for us.
    Fault(Fault),
}

impl Crash {
    /// The kind of crash called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "panic" => Self::Panic,
            "double" => Self::Double,
            "oom" => Self::OutOfMemory,
            "stack" => Self::Fault(Fault::StackOverflow),
            "null" => Self::Fault(Fault::NullDereference),
            "text" | "wx" => Self::Fault(Fault::WriteText),
            "exec" => Self::Fault(Fault::ExecuteData),
            _ => return None,
        })
    }

    /// Does it.
    pub fn happen(self, commit: fn(Fault)) -> ! {
        match self {
            Self::Panic => panic!("asked for with `crash panic`"),
            Self::Double => panic!("{}", PanicsWhenShown),
            Self::OutOfMemory => exhaust(),
            Self::Fault(fault) => {
                commit(fault);
                panic!("nothing stopped this: {fault:?}")
            }
        }
    }
}

struct PanicsWhenShown;

impl fmt::Display for PanicsWhenShown {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("asked for with `crash double`")
    }
}

/// Takes memory until there is none.
fn exhaust() -> ! {
    loop {
        // Not filled, so that 64 GiB take no longer than 64 MiB to speak of.
        core::mem::forget(core::hint::black_box(Vec::<u8>::with_capacity(1 << 16)));
    }
}
