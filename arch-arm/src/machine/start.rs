//! The first Rust: what entry.rs knows, made into a [`Boot`], and on to the image's `main`.

use super::early;
use core::ptr;
use fata_boot::info::Region;

/// What there is to know before the device tree has been read.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Boot {
    /// The bytes `x0` pointed to, as many as their own header claims, unchecked; empty if that made no sense.
    pub dtb: &'static [u8],
    /// Where the image lies, with its BSS and stacks.
    pub image: Region,
    /// The bytes that were put behind the image (`boot/payload`), unchecked; empty if there are none.
    pub payload: &'static [u8],
    /// Xen's version, major and minor, if it answered.
    pub xen: Option<(u16, u16)>,
    /// Exception level at entry: 1 under a hypervisor.
    pub entry_level: u8,
    /// The counter at the first instruction, in ticks.
    pub entered_ticks: u64,
}

unsafe extern "Rust" {
    /// The image's `main`, from `fata_boot::entry!`.
    safe fn __fata_main(boot: Boot) -> !;
}

/// Called once, by entry.rs.
pub(crate) unsafe extern "C" fn start(
    dtb: usize,
    base: u64,
    xen_version: i64,
    entry_level: u8,
    entered_ticks: u64,
) -> ! {
    let xen = (xen_version > 0).then_some(((xen_version >> 16) as u16, xen_version as u16));
    early::init(xen.is_some());
    // SAFETY: entry.rs mapped the GiB at `dtb` and two more MiB, if below 512 GiB; nobody writes there.
    let dtb = unsafe { blob(dtb) };
    let image = Region { base, size: image::size() };
    // SAFETY: the image's head says what is behind the image, and entry.rs mapped the GiB where that ends.
    let payload = unsafe { payload(&image) };
    __fata_main(Boot { dtb, image, payload, xen, entry_level, entered_ticks })
}

/// The longest payload that entry.rs maps wherever it lies (`boot/payload`).
const MAX_PAYLOAD: u64 = 512 << 20;

/// What lies behind the image, if its head can be true.
///
/// # Safety
///
/// What the head speaks of was loaded with the image, is mapped, and does not change.
unsafe fn payload(image: &Region) -> &'static [u8] {
    unsafe extern "C" {
        /// In the image's head: where it begins, seen from the image's start, and its length.
        safe static _payload: [u64; 2];
    }
    let [offset, length] = _payload;
    let begin = image.base.wrapping_add(offset);
    let sound = offset == image.size && (1..=MAX_PAYLOAD).contains(&length);
    if !sound || (begin + length) >> crate::tables::ADDRESS_BITS != 0 {
        return &[];
    }
    let begin = ptr::with_exposed_provenance(begin as usize);
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts(begin, length as usize) }
}

/// The largest device tree the boot protocol allows.
const MAX_DTB: usize = 2 << 20;

/// # Safety
///
/// If `at` looks like the address of a device tree, [`MAX_DTB`] bytes there are mapped and do not change.
unsafe fn blob(at: usize) -> &'static [u8] {
    const MAGIC: u32 = 0xd00d_feed;
    if at == 0 || !at.is_multiple_of(8) || at >> crate::tables::ADDRESS_BITS != 0 {
        return &[];
    }
    let header = ptr::with_exposed_provenance::<[u32; 2]>(at);
    // SAFETY: aligned and mapped, as above.
    let [magic, size] = unsafe { *header }.map(u32::from_be);
    if magic != MAGIC || !(8..=MAX_DTB).contains(&(size as usize)) {
        return &[];
    }
    // SAFETY: mapped, as above, and within MAX_DTB.
    unsafe { core::slice::from_raw_parts(header.cast(), size as usize) }
}

/// The image's own layout, from the linker script.
pub mod image {
    use fata_boot::info::Region;

    macro_rules! symbols {
        ($($(#[$doc:meta])* $name:ident = $symbol:ident),* $(,)?) => {
            unsafe extern "C" { $( safe static $symbol: u8; )* }
            $( $(#[$doc])* pub fn $name() -> u64 { &raw const $symbol as u64 } )*
        };
    }

    symbols! {
        /// First byte of the image, and of its instructions.
        start = _image_start,
        /// End of the instructions.
        text_end = _text_end,
        /// End of the constants.
        rodata_end = _rodata_end,
        /// Start of what is cleared at boot.
        bss_start = _bss_start,
        /// End of what is cleared at boot.
        bss_end = _bss_end,
        /// The page Xen's shared_info is mapped over.
        shared_info = _shared_info,
        /// The page Xen's vcpu_info lies in.
        vcpu_info = _vcpu_info,
        /// The page below the stack, not mapped.
        stack_guard = _stack_guard,
        /// Lowest byte of the stack.
        stack_bottom = _stack_bottom,
        /// End of the stack, where it starts.
        stack_top = _stack_top,
        /// The page below the stack exceptions are reported on, not mapped.
        fault_guard = _fault_guard,
        /// One past the last byte.
        end = _image_end,
    }

    /// Bytes from start to end.
    pub fn size() -> u64 {
        end() - start()
    }

    /// From the symbol `from` to the symbol `to`.
    pub(crate) fn between(from: u64, to: u64) -> Region {
        Region { base: from, size: to - from }
    }
}
