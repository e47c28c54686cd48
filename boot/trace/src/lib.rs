//! What a system did last, and where a debugger finds things.
//!
//! The run loop, event channels and drivers [`mark`] what they do, as records of four words in a ring of fixed size;
//! nobody formats or allocates anything. Whoever wants to know reads the ring: a crash report prints it ([`dump`]), and
//! `cargo xtask trace` takes it out of the memory of a running guest, which it is found in by its first word.
//!
//! All of this is there with the feature `on`, which an image's feature `trace` sets. Without it [`mark`] and the others
//! are empty, and calls of them leave nothing in the image.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod device;
mod kind;
mod line;
mod ring;
mod table;
mod whole;

pub use device::Device;
pub use kind::Kind;
pub use line::{LINE_BYTES, Part, parse};
pub use ring::{Record, Ring};
pub use table::{Layout, Name, Table, Task, TaskState};
pub use whole::{MAGIC, RECORDS, RINGS, TASKS, Trace, WORDS};

/// Whether anything is kept.
pub const ON: bool = cfg!(feature = "on");

/// At the start of a page, where it is quickly found.
#[cfg(feature = "on")]
#[repr(align(4096))]
struct Pages(Trace);

#[cfg(feature = "on")]
static TRACE: Pages = Pages(Trace::new());

/// Makes the ring known to whoever searches memory for it. `hz` is what the clock counts a second.
#[inline(always)]
pub fn start(hz: u64) {
    #[cfg(feature = "on")]
    TRACE.0.start(hz);
    let _ = hz;
}

/// Keeps a record.
#[inline(always)]
pub fn mark(kind: Kind, a: u64, b: u64) {
    #[cfg(feature = "on")]
    TRACE.0.mark(now(), kind, a, b);
    let _ = (kind, a, b);
}

/// Says what a task is called: the path of its code.
#[inline(always)]
pub fn name_task(id: u64, name: &'static str) {
    #[cfg(feature = "on")]
    TRACE.0.name_task(now(), id, name);
    let _ = (id, name);
}

/// Says where a ring that is shared with another domain lies, and how.
#[inline(always)]
pub fn ring(address: usize, layout: Layout, device: Device) {
    #[cfg(feature = "on")]
    TRACE.0.add_ring(address, layout, device);
    let _ = (address, layout, device);
}

/// Says that memory is not shared any more, in which there may be a ring.
#[inline(always)]
pub fn no_ring(address: usize) {
    #[cfg(feature = "on")]
    TRACE.0.remove_ring(address);
    let _ = address;
}

/// Says where the grant table is mapped, and how many entries it has.
#[inline(always)]
pub fn grants(address: usize, entries: usize) {
    #[cfg(feature = "on")]
    TRACE.0.set_grants(address, entries);
    let _ = (address, entries);
}

/// Passes all that is kept to `print`, as printable lines in pieces of up to 16 bytes. It stops when one takes longer than
/// a quarter of a second, since then nobody reads. A fault handler may call it at any point: it takes neither locks nor
/// memory.
#[inline(always)]
pub fn dump(mut print: impl FnMut(&[u8])) {
    #[cfg(feature = "on")]
    {
        let (patience, mut before) = (TRACE.0.hz() / 4, now());
        TRACE.0.dump(|piece| {
            print(piece);
            let now = now();
            let is_taken = now.wrapping_sub(core::mem::replace(&mut before, now)) <= patience;
            is_taken || patience == 0
        });
    }
    #[cfg(not(feature = "on"))]
    let _ = &mut print;
}

/// All that is kept, for tests.
#[cfg(feature = "on")]
pub fn all() -> &'static Trace {
    &TRACE.0
}

/// What the clock says: the virtual counter, as it is, so that reading it takes an instruction.
#[cfg(all(feature = "on", target_arch = "aarch64", target_os = "none"))]
#[inline(always)]
pub fn now() -> u64 {
    use aarch64_cpu::registers::{CNTVCT_EL0, Readable as _};
    CNTVCT_EL0.get()
}

/// On the host each record has a time of its own.
#[cfg(all(feature = "on", not(all(target_arch = "aarch64", target_os = "none"))))]
pub fn now() -> u64 {
    use core::sync::atomic::{AtomicU64, Ordering};
    static NOW: AtomicU64 = AtomicU64::new(0);
    NOW.fetch_add(1, Ordering::Relaxed)
}
