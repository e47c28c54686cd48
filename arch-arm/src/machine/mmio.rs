//! Device registers, accessed by plain `ldr` and `str`.
//!
//! A volatile access may be compiled to a post-indexed load or store, which traps to Xen without a valid
//! syndrome (rust-lang/rust#131894); hence the assembly.

use core::arch::asm;
use fata_boot::info::Region;

/// The registers of one device.
#[derive(Clone, Copy, Debug)]
pub struct Mmio(Region);

impl Mmio {
    /// Takes charge of the registers in `region`.
    ///
    /// # Safety
    ///
    /// `region` is mapped as device memory for good, and nothing one writes there touches Rust's memory.
    pub const unsafe fn new(region: Region) -> Self {
        Self(region)
    }

    fn address(&self, offset: usize, bytes: usize) -> usize {
        let (offset, bytes) = (offset as u64, bytes as u64);
        assert!(
            offset % bytes == 0 && offset + bytes <= self.0.size,
            "register {offset:#x} is not in this device"
        );
        (self.0.base + offset) as usize
    }

    /// Reads the 32-bit register at `offset`.
    pub fn read(&self, offset: usize) -> u32 {
        let value;
        // SAFETY: in the region that `new` was promised.
        unsafe { asm!("ldr {:w}, [{}]", out(reg) value, in(reg) self.address(offset, 4), options(nostack)) };
        value
    }

    /// Writes the 32-bit register at `offset`.
    pub fn write(&self, offset: usize, value: u32) {
        // SAFETY: in the region that `new` was promised.
        unsafe { asm!("str {:w}, [{}]", in(reg) value, in(reg) self.address(offset, 4), options(nostack)) };
    }

    /// Writes the 64-bit register at `offset`.
    pub fn write64(&self, offset: usize, value: u64) {
        // SAFETY: in the region that `new` was promised.
        unsafe { asm!("str {}, [{}]", in(reg) value, in(reg) self.address(offset, 8), options(nostack)) };
    }

    /// Reads the 8-bit register at `offset`.
    pub fn read8(&self, offset: usize) -> u8 {
        let value: u32;
        // SAFETY: in the region that `new` was promised.
        unsafe { asm!("ldrb {:w}, [{}]", out(reg) value, in(reg) self.address(offset, 1), options(nostack)) };
        value as u8
    }

    /// Writes the 8-bit register at `offset`.
    pub fn write8(&self, offset: usize, value: u8) {
        // SAFETY: in the region that `new` was promised.
        unsafe {
            asm!("strb {:w}, [{}]", in(reg) u32::from(value), in(reg) self.address(offset, 1), options(nostack))
        };
    }
}
