//! Numbers that nobody can foresee.
//!
//! Whatever is hard to guess goes into an [`Entropy`], together with how much of it is: `add` says so in bits. Once that
//! is enough there is a [`Random`], and numbers can be drawn; before, there is nothing to draw from. Both are handles on
//! the same state, and clones of them are too.
//!
//! The generator is ChaCha20 with fast key erasure: a key makes the next key and 224 bytes of output, and is gone. A byte
//! that was drawn is gone too, so what is in memory later says nothing about what was drawn before. What is added later
//! goes into the state and replaces nothing: a source that lies adds nothing and takes nothing away. It goes in when it
//! is worth 128 bits, so that somebody who knew the state cannot follow it by guessing a little at a time.
//!
//! ChaCha20 mixes as well: input is XORed into a key, whose first output is the next one. That cannot be undone without
//! knowing the input, and costs no code that is not there already, while SHA-256 would be a kilobyte or two more.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod entropy;
mod generator;
mod jitter;
mod random;

pub use entropy::{Entropy, Given, Source};
pub use jitter::{Jitter, Unhealthy};
pub use random::Random;
