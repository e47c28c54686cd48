//! The final map: what the device tree and the linker script say, and nothing else.

use super::early;
use super::start::image;
use crate::tables::{MapError, Rights, Table, Tables};
use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{SCTLR_EL1, TTBR0_EL1, Writeable as _};
use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};
use fata_boot::info::{BootInfo, Gic, Region};
use tock_registers::interfaces::ReadWriteable as _;

/// Enough for sixteen banks with ragged ends, the image, its payload, devices, and windows for other domains' pages.
const POOL: usize = 25;

#[repr(align(4096))]
struct Pool(core::cell::UnsafeCell<core::mem::MaybeUninit<[Table; POOL]>>);
// SAFETY: handed out once, by `take_pool`.
unsafe impl Sync for Pool {}

#[unsafe(link_section = ".noinit.tables")]
static POOL_MEMORY: Pool = Pool(core::cell::UnsafeCell::new(core::mem::MaybeUninit::uninit()));

fn take_pool() -> &'static mut [Table] {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    assert!(!TAKEN.swap(true, Ordering::Relaxed), "there is one address space");
    // SAFETY: handed out once; any bytes are a `Table`, and `Tables` empties each before it uses it.
    unsafe { &mut *POOL_MEMORY.0.get().cast::<[Table; POOL]>() }
}

/// Builds the map and switches to it. `ram` is what may be used freely; a part of it that cannot be mapped
/// for want of tables is passed to `skipped`, and is then not there.
pub(crate) fn enable(
    info: &BootInfo<'_>,
    ram: &[Region],
    mut skipped: impl FnMut(Region),
) -> Result<Tables, MapError> {
    let mut tables = Tables::new(take_pool());
    // The image first, so that running out of tables costs RAM, not us.
    for (from, to, rights) in [
        (image::start(), image::text_end(), Rights::Execute),
        (image::text_end(), image::rodata_end(), Rights::Read),
        (image::rodata_end(), image::end(), Rights::ReadWrite),
    ] {
        tables.map(image::between(from, to), rights)?;
    }
    tables.unmap_page(image::stack_guard());
    tables.unmap_page(image::fault_guard());
    if let Some(page) = early::ring_page() {
        tables.map(page, Rights::ReadWrite)?;
    }
    let gic = info.gic.iter().flat_map(Gic::regions);
    for device in gic.chain(info.uart.map(|u| u.registers)) {
        tables.map(pages_around(device), Rights::Device)?;
    }
    let dtb = Region { base: info.dtb.as_ptr() as u64, size: info.dtb.len() as u64 };
    let payload = info.payload_region();
    for constant in [Some(dtb), info.initrd, payload].into_iter().flatten() {
        tables.map(pages_around(constant), Rights::Read)?;
    }
    for part in ram {
        if tables.map(*part, Rights::ReadWrite).is_err() {
            skipped(*part);
        }
    }
    switch_to(&mut tables);
    Ok(tables)
}

/// The whole pages that hold `region`.
fn pages_around(region: Region) -> Region {
    let base = region.base & !4095;
    Region { base, size: (region.end() - base).next_multiple_of(4096) }
}

/// Makes what was added to a live tree visible to the walker.
pub(crate) fn publish() {
    barrier::dsb(barrier::ISHST);
    barrier::isb(barrier::SY);
}

/// Writes back what caches still hold of this memory and forgets it there. Whoever had it before, as firmware, may have had it
/// cached; what was left of that would later be written over what is written past the caches now.
pub(crate) fn clean(region: Region) {
    // No line is shorter.
    const LINE: usize = 16;
    for at in (region.base..region.end()).step_by(LINE) {
        // SAFETY: nothing that was written is lost, and nobody changes what they see of memory by this.
        unsafe { asm!("dc civac, {}", in(reg) at, options(nostack, preserves_flags)) };
    }
    barrier::dsb(barrier::SY);
}

/// Loads the tables and forbids executing what can be written, whatever a table says.
fn switch_to(tables: &mut Tables) {
    tables.set_live();
    barrier::dsb(barrier::ISH);
    TTBR0_EL1.set(tables.root());
    barrier::isb(barrier::SY);
    forget_translations();
    // Not earlier: the early map has everything writable and executable.
    SCTLR_EL1.modify(SCTLR_EL1::WXN::Enable);
    barrier::isb(barrier::SY);
    // A TLB may keep what WXN was along with a translation.
    forget_translations();
}

fn forget_translations() {
    // SAFETY: invalidates cached translations; old and new map agree on what is running.
    unsafe { asm!("tlbi vmalle1", options(nostack, preserves_flags)) };
    barrier::dsb(barrier::NSH);
    barrier::isb(barrier::SY);
}
