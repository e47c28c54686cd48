//! Run loop, executor and timers.
//!
//! [`run`] is a unikernel's main loop. One turn is: events of Xen become wake-ups, services do their round
//! ([`Rt::on_turn`]), expired timers wake their tasks, and the tasks that are ready by then are polled once
//! each, so a task that keeps waking itself delays nobody. After a turn in which nothing was ready the
//! machine sleeps until the next event or timer; it never wakes up in between.
//!
//! Futures need not be `Send`: share state between tasks with `Rc` and `Cell`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod exec;
mod queue;
mod task;
mod timer;

pub use exec::{Executor, JoinHandle, Machine, Rt, Stats, run, yield_now};
pub use task::Aborted;
pub use timer::{Elapsed, Sleep};
