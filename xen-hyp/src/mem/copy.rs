//! Copies between memory of ours and memory that somebody else may be changing, each byte accessed once.

/// Copies `len` bytes. Of the two ends, the shared one is read or written once, whatever happens to it meanwhile.
///
/// # Safety
///
/// `from` is valid for reads and `to` for writes of `len` bytes; they do not overlap.
#[cfg(all(target_arch = "aarch64", not(miri)))]
pub(super) unsafe fn bytes(from: *const u8, to: *mut u8, len: usize) {
    const BLOCK: usize = 64;
    // SAFETY: reads and writes the `len` bytes of the range, each once. The compiler knows nothing of what is in the
    // memory before or after. Normal memory takes these accesses at any alignment.
    unsafe {
        core::arch::asm!(
            "subs {blocks}, {blocks}, #16",
            "b.lo 3f",
            "2:",
            ".rept 8",
            "ld1 {{v0.2d-v3.2d}}, [{from}], #64",
            "ld1 {{v4.2d-v7.2d}}, [{from}], #64",
            "st1 {{v0.2d-v3.2d}}, [{to}], #64",
            "st1 {{v4.2d-v7.2d}}, [{to}], #64",
            ".endr",
            "subs {blocks}, {blocks}, #16",
            "b.hs 2b",
            "3:",
            "adds {blocks}, {blocks}, #16",
            "b.eq 5f",
            "4:",
            "ld1 {{v0.2d-v3.2d}}, [{from}], #64",
            "st1 {{v0.2d-v3.2d}}, [{to}], #64",
            "subs {blocks}, {blocks}, #1",
            "b.ne 4b",
            // What is left, a power of two for each bit of the length.
            "5:",
            "tbz {len}, #5, 6f",
            "ldp q0, q1, [{from}], #32",
            "stp q0, q1, [{to}], #32",
            "6:",
            "tbz {len}, #4, 7f",
            "ldr q0, [{from}], #16",
            "str q0, [{to}], #16",
            "7:",
            "tbz {len}, #3, 8f",
            "ldr {unit}, [{from}], #8",
            "str {unit}, [{to}], #8",
            "8:",
            "tbz {len}, #2, 9f",
            "ldr {unit:w}, [{from}], #4",
            "str {unit:w}, [{to}], #4",
            "9:",
            "tbz {len}, #1, 20f",
            "ldrh {unit:w}, [{from}], #2",
            "strh {unit:w}, [{to}], #2",
            "20:",
            "tbz {len}, #0, 21f",
            "ldrb {unit:w}, [{from}]",
            "strb {unit:w}, [{to}]",
            "21:",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            blocks = inout(reg) len / BLOCK => _,
            len = in(reg) len,
            unit = out(reg) _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            options(nostack),
        );
    }
}

/// The same in Rust: eight bytes at a time as far as both ends are aligned.
///
/// # Safety
///
/// As above.
#[cfg(not(all(target_arch = "aarch64", not(miri))))]
pub(super) unsafe fn bytes(from: *const u8, to: *mut u8, len: usize) {
    const UNIT: usize = size_of::<u64>();
    let aligned = from.cast::<u64>().is_aligned() && to.cast::<u64>().is_aligned();
    let units = if aligned { len / UNIT } else { 0 };
    for i in 0..units {
        // SAFETY: in the range, and aligned.
        let unit = unsafe { from.cast::<u64>().wrapping_add(i).read_volatile() };
        // SAFETY: as above.
        unsafe { to.cast::<u64>().wrapping_add(i).write_volatile(unit) };
    }
    for i in units * UNIT..len {
        // SAFETY: in the range.
        let byte = unsafe { from.wrapping_add(i).read_volatile() };
        // SAFETY: in the range.
        unsafe { to.wrapping_add(i).write_volatile(byte) };
    }
}
