//! Shutdown, yielding, and Xen's own console.

use crate::abi::{CONSOLEIO_READ, CONSOLEIO_WRITE, nr, sched};
use crate::error::XenError;
use crate::platform::Platform;
use crate::xen::Xen;

/// Why a domain shuts down (`SHUTDOWN_*`, `xen/include/public/sched.h`); the toolstack decides what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// It has done its work.
    Poweroff = 0,
    /// It wants to start again.
    Reboot = 1,
    /// It is ready to be saved.
    Suspend = 2,
    /// It has failed.
    Crash = 3,
    /// Its watchdog ran out.
    Watchdog = 4,
}

impl<P: Platform> Xen<P> {
    /// Ends this domain, or suspends it. Returns only after a suspend, or if Xen refuses.
    pub fn shutdown(&self, reason: Reason) -> Result<(), XenError> {
        self.op(&mut sched::Shutdown { reason: reason as u32 }).map(|_| ())
    }

    /// Lets other vCPUs run.
    pub fn yield_now(&self) {
        // SAFETY: SCHEDOP_yield takes no argument. It cannot fail.
        let _ = unsafe { self.call(nr::SCHED_OP, [sched::YIELD, 0, 0, 0, 0]) };
    }

    /// Writes to Xen's console. Xen lets domains do so that it made itself (dom0less), and others only if it
    /// was built verbose; it shows whole lines, and drops what is not printable.
    pub fn console_write(&self, bytes: &[u8]) -> Result<(), XenError> {
        let address = bytes.as_ptr().expose_provenance();
        // SAFETY: CONSOLEIO_write reads `len` bytes at this address.
        unsafe { self.call(nr::CONSOLE_IO, [CONSOLEIO_WRITE, bytes.len(), address, 0, 0]) }.map(|_| ())
    }

    /// Reads what Xen's console has for us. Gives how many bytes; does not wait.
    pub fn console_read(&self, into: &mut [u8]) -> Result<usize, XenError> {
        let address = into.as_mut_ptr().expose_provenance();
        // SAFETY: CONSOLEIO_read writes at most `len` bytes at this address.
        let read = unsafe { self.call(nr::CONSOLE_IO, [CONSOLEIO_READ, into.len(), address, 0, 0]) }?;
        Ok(read.min(into.len()))
    }
}
