//! A machine on which nothing happens but time: for what needs a run loop, and no Xen.

use embedded_io_async::{ErrorType, Read, Write};
use fata_rt::{Machine, Rt};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::pending;
use std::rc::Rc;

/// A clock that goes on when nobody has anything to do, from the first second on.
pub struct Clock(Cell<u64>);

impl Clock {
    /// At the first second.
    pub fn new() -> Self {
        Self(Cell::new(1_000_000_000))
    }

    /// Lets time go by.
    pub fn go_on(&self, ms: u64) {
        self.0.set(self.0.get() + ms * 1_000_000);
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine for Clock {
    fn demux(&self) {}
    fn idle(&self, deadline_ns: Option<u64>) {
        let deadline_ns = deadline_ns.expect("everybody waits and nothing will happen");
        self.0.set(self.0.get().max(deadline_ns));
    }
    fn now_ns(&self) -> u64 {
        self.0.get()
    }
}

/// Runs something with a [`Clock`].
pub fn alone<T>(main: impl AsyncFnOnce(Rt) -> T) -> T {
    fata_rt::run(&Rc::new(Clock::new()), main)
}

/// A console that nobody types at, and that keeps what is written. Clones are the same one.
#[derive(Clone, Default)]
pub struct Paper(Rc<RefCell<Vec<u8>>>);

impl Paper {
    /// What was written since the last time, with plain ends of lines.
    ///
    /// # Panics
    /// If it is no text.
    pub fn take(&self) -> String {
        String::from_utf8(self.0.take()).unwrap().replace('\r', "")
    }
}

impl ErrorType for Paper {
    type Error = Infallible;
}

impl Read for Paper {
    async fn read(&mut self, _into: &mut [u8]) -> Result<usize, Infallible> {
        pending().await
    }
}

impl Write for Paper {
    async fn write(&mut self, from: &[u8]) -> Result<usize, Infallible> {
        self.0.borrow_mut().extend_from_slice(from);
        Ok(from.len())
    }
    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
