//! Copies between memory of ours and memory that somebody else may be changing, each byte accessed once.

/// Volatile accesses are made in units of this many bytes where alignment allows.
const UNIT: usize = size_of::<u64>();

/// Copies `len` bytes. Of the two ends, the shared one is read or written once, whatever happens to it meanwhile.
///
/// # Safety
///
/// `from` is valid for reads and `to` for writes of `len` bytes; they do not overlap.
pub(super) unsafe fn bytes(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's contract is the same.
    let done = unsafe { blocks(from, to, len) };
    let (mut from, mut to, mut left) = (from.wrapping_add(done), to.wrapping_add(done), len - done);
    // Only if they are aligned alike can both be accessed in units; an access to memory of ours may be in bytes.
    if from.addr() % UNIT == to.addr() % UNIT {
        let head = from.align_offset(UNIT).min(left);
        // SAFETY: the first bytes of the range.
        unsafe { single(from, to, head) };
        (from, to, left) = (from.wrapping_add(head), to.wrapping_add(head), left - head);
        while left >= UNIT {
            // SAFETY: in the range, and aligned after `head` bytes.
            let unit = unsafe { from.cast::<u64>().read_volatile() };
            // SAFETY: as above.
            unsafe { to.cast::<u64>().write_volatile(unit) };
            (from, to, left) = (from.wrapping_add(UNIT), to.wrapping_add(UNIT), left - UNIT);
        }
    }
    // SAFETY: the rest of the range.
    unsafe { single(from, to, left) };
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

/// Copies whole blocks of 64 bytes, with the widest loads and stores there are. Gives how many bytes that was.
///
/// # Safety
///
/// As for [`bytes`].
#[cfg(all(target_arch = "aarch64", not(miri)))]
unsafe fn blocks(from: *const u8, to: *mut u8, len: usize) -> usize {
    const BLOCK: usize = 64;
    let blocks = len / BLOCK;
    if blocks > 0 {
        // SAFETY: reads and writes the first `blocks` blocks of the range, each byte once. The compiler knows nothing
        // of what is in the memory before or after. Normal memory takes these accesses at any alignment.
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
                from = inout(reg) from => _,
                to = inout(reg) to => _,
                blocks = inout(reg) blocks => _,
                out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                options(nostack),
            );
        }
    }
    blocks * BLOCK
}

/// Nothing, where there are no such loads.
///
/// # Safety
///
/// None needed.
#[cfg(not(all(target_arch = "aarch64", not(miri))))]
unsafe fn blocks(_from: *const u8, _to: *mut u8, _len: usize) -> usize {
    0
}
