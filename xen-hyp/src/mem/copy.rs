//! Copies between memory of ours and memory that somebody else may be changing, each byte accessed once.

/// The narrowest accesses but those of single bytes.
const UNIT: usize = size_of::<u64>();

/// Copies `len` bytes. Of the two ends, the shared one is read or written once, whatever happens to it meanwhile.
///
/// # Safety
///
/// `from` is valid for reads and `to` for writes of `len` bytes; they do not overlap.
pub(super) unsafe fn bytes(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's contract is the same.
    let done = unsafe { units(from, to, len) };
    // SAFETY: the rest of the range.
    unsafe { single(from.wrapping_add(done), to.wrapping_add(done), len - done) };
}

/// # Safety
///
/// As for [`bytes`].
unsafe fn single(from: *const u8, to: *mut u8, len: usize) {
    for i in 0..len {
        // SAFETY: in the range.
        let byte = unsafe { from.wrapping_add(i).read_volatile() };
        // SAFETY: in the range.
        unsafe { to.wrapping_add(i).write_volatile(byte) };
    }
}

/// Copies all but the last few bytes, with the widest loads and stores there are. Gives how many bytes that was.
///
/// # Safety
///
/// As for [`bytes`].
#[cfg(all(target_arch = "aarch64", not(miri)))]
unsafe fn units(from: *const u8, to: *mut u8, len: usize) -> usize {
    const BLOCK: usize = 64;
    if len >= UNIT {
        // SAFETY: reads and writes the first `len / UNIT` units of the range, each byte once. The compiler knows
        // nothing of what is in the memory before or after. Normal memory takes these accesses at any alignment.
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
                "5:",
                "cbz {units}, 7f",
                "6:",
                "ldr {unit}, [{from}], #8",
                "str {unit}, [{to}], #8",
                "subs {units}, {units}, #1",
                "b.ne 6b",
                "7:",
                from = inout(reg) from => _,
                to = inout(reg) to => _,
                blocks = inout(reg) len / BLOCK => _,
                units = inout(reg) len % BLOCK / UNIT => _,
                unit = out(reg) _,
                out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                options(nostack),
            );
        }
    }
    len / UNIT * UNIT
}

/// The same in Rust, as far as both ends are aligned.
///
/// # Safety
///
/// As for [`bytes`].
#[cfg(not(all(target_arch = "aarch64", not(miri))))]
unsafe fn units(from: *const u8, to: *mut u8, len: usize) -> usize {
    if !from.cast::<u64>().is_aligned() || !to.cast::<u64>().is_aligned() {
        return 0;
    }
    for i in 0..len / UNIT {
        // SAFETY: in the range, and aligned.
        let unit = unsafe { from.cast::<u64>().wrapping_add(i).read_volatile() };
        // SAFETY: as above.
        unsafe { to.cast::<u64>().wrapping_add(i).write_volatile(unit) };
    }
    len / UNIT * UNIT
}
