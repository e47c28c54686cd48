//! Xen's own console, reached by hypercalls.
//!
//! Made for debugging, and it shows: Xen announces no input, so it is polled for; it shows output only in whole
//! lines, each with the domain's number before it; and what is not printable, ESC included, it leaves out.

use crate::Error;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::time::Duration;
use xen_hyp::{Platform, Signal, Xen, XenError};

/// Quick enough for typing.
const TICK: Duration = Duration::from_millis(20);

/// Xen's console as a dom0less domain has it.
pub struct XenIo<P: Platform> {
    xen: Rc<Xen<P>>,
    readable: bool,
    /// What a tick has read, and how far it was consumed.
    input: RefCell<Input>,
    pub(crate) arrived: Signal,
    /// Xen keeps the beginning of a line to itself until its end comes.
    within_line: Cell<bool>,
}

#[derive(Default)]
struct Input {
    bytes: [u8; 16],
    unread: core::ops::Range<usize>,
}

impl<P: Platform> XenIo<P> {
    /// Opens it; `None` if Xen does not let this domain write to it.
    pub fn open(xen: &Rc<Xen<P>>) -> Result<Option<Self>, Error> {
        match xen.console_write(b"") {
            Ok(()) => {}
            Err(XenError::EPERM | XenError::EACCES | XenError::ENOSYS) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        Ok(Some(Self {
            xen: xen.clone(),
            readable: xen.console_read(&mut []).is_ok(),
            input: RefCell::default(),
            arrived: Signal::new(),
            within_line: Cell::new(false),
        }))
    }

    /// How often [`tick`](Self::tick) wants to be called; `None` if Xen lets this domain only write.
    pub fn tick_interval(&self) -> Option<Duration> {
        self.readable.then_some(TICK)
    }

    /// Looks for input, unless there is some that nobody has read yet.
    pub fn tick(&self) {
        let mut input = self.input.borrow_mut();
        if self.readable && input.unread.is_empty() {
            let read = self.xen.console_read(&mut input.bytes).unwrap_or(0);
            input.unread = 0..read;
            drop(input);
            if read > 0 {
                self.arrived.fire();
            }
        }
    }

    /// Reads at least one byte, waiting for it.
    pub async fn read(&self, into: &mut [u8]) -> Result<usize, Error> {
        Ok(self.arrived.until(|| self.try_read(into)).await)
    }

    pub(crate) fn try_read(&self, into: &mut [u8]) -> Option<usize> {
        let mut input = self.input.borrow_mut();
        let len = into.len().min(input.unread.len());
        let start = input.unread.start;
        into[..len].copy_from_slice(&input.bytes[start..start + len]);
        input.unread.start += len;
        (len > 0 || into.is_empty()).then_some(len)
    }

    /// Writes all of it; Xen does not make us wait.
    pub fn write(&self, bytes: &[u8]) -> Result<usize, Error> {
        self.xen.console_write(bytes)?;
        if let Some(&last) = bytes.last() {
            self.within_line.set(last != b'\n');
        }
        Ok(bytes.len())
    }

    /// Makes Xen show a line that has not ended. Gives whether it did.
    pub(crate) fn end_line(&self) -> bool {
        !self.within_line.get() || self.write(b"\n").is_ok()
    }
}

impl<P: Platform> fmt::Debug for XenIo<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XenIo").field("readable", &self.readable).finish_non_exhaustive()
    }
}
