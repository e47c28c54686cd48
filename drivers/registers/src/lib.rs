//! How drivers reach their devices' registers and interrupts, whoever is behind: a device that Xen has passed through
//! to this guest, one that Xen emulates, or a model in a test.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

/// A device's registers, by byte offset, and its interrupts.
///
/// Interrupts are taken when the machine sleeps, and a driver asks for them once a turn of the run loop. From the time
/// one is taken until [`rearm`](Self::rearm) the interrupt controller keeps the next away, so that a level that stays
/// raised neither keeps the machine awake nor comes again while the driver is still answering the first.
pub trait Registers {
    /// Reads a 32-bit register, or one of 8 bits where the device has such.
    fn read(&self, offset: usize) -> u32;
    /// Writes one.
    fn write(&self, offset: usize, value: u32);
    /// Whether an interrupt of the device was taken since the last call.
    fn take_interrupt(&self) -> bool;
    /// Lets the next interrupt come, the last one having been answered.
    fn rearm(&self);
}

impl<R: Registers + ?Sized> Registers for &R {
    fn read(&self, offset: usize) -> u32 {
        (**self).read(offset)
    }
    fn write(&self, offset: usize, value: u32) {
        (**self).write(offset, value);
    }
    fn take_interrupt(&self) -> bool {
        (**self).take_interrupt()
    }
    fn rearm(&self) {
        (**self).rearm();
    }
}
