//! Faults on purpose, so that a user and the tests can see what a crash looks like.

use super::start::image;
use core::arch::asm;

/// Reads the null page, which is not mapped.
pub fn null() {
    // SAFETY: faults, and the fault ends the domain.
    unsafe { asm!("ldr {0}, [{0}]", inout(reg) 0u64 => _, options(nostack)) };
}

/// Writes to our own instructions, which are read-only.
pub fn write_to_text() {
    // SAFETY: as in `null`.
    unsafe { asm!("str xzr, [{}]", in(reg) image::start(), options(nostack)) };
}

/// Jumps into our own data, which is not executable.
pub fn execute_data() {
    // SAFETY: as in `null`.
    unsafe { asm!("blr {}", in(reg) image::bss_start(), clobber_abi("C")) };
}

/// Uses up the stack until the guard page below it is hit.
#[inline(never)]
pub fn overflow_stack() {
    let frame = core::hint::black_box([0u8; 512]);
    // Nothing the compiler may know ends this.
    if core::hint::black_box(true) {
        overflow_stack();
    }
    core::hint::black_box(frame);
}
