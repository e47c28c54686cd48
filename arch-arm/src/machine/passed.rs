//! Devices of the host that this guest is given: their registers, and their interrupts, all of which are SPIs.

use super::cpu::ArmCpu;
use super::gic::Gic;
use super::mmio::Mmio;
use super::mmu;
use crate::harmless::{is_harmless, is_memory};
use crate::tables::Rights;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use fata_boot::info::{Device, IntId, List, PAGE_SIZE, Region};

/// The devices, and which of their interrupts somebody waits for.
pub(super) struct Passed {
    devices: List<Device<'static>, 16>,
    lines: RefCell<Vec<Line>>,
}

struct Line {
    id: IntId,
    fired: Cell<bool>,
}

impl Passed {
    pub(super) fn new(devices: List<Device<'static>, 16>) -> Self {
        Self { devices, lines: RefCell::default() }
    }

    /// Takes note of an interrupt that was taken, if it is one of these. Its level is raised until its driver has been,
    /// so that no further one comes until then.
    pub(super) fn note(&self, gic: &Gic, id: IntId) {
        if let Some(line) = self.lines.borrow().iter().find(|line| line.id == id) {
            gic.mask(id);
            line.fired.set(true);
        }
    }
}

impl ArmCpu {
    /// Registers of the device that comes `device`th in the tree: those that come `nth` in its `reg`. `None` if it has
    /// none there, if something else is mapped where they are, and for devices that safe code must not drive.
    pub fn device_registers(&self, device: usize, nth: usize) -> Option<Mmio> {
        let device = self.passed.devices.get(device).filter(|device| is_harmless(device))?;
        let registers = *device.registers.get(nth)?;
        self.map_as_device(registers.pages_touched())?;
        // SAFETY: mapped as device memory just now, and nothing is ever unmapped. The device leaves memory alone.
        Some(unsafe { Mmio::new(registers) })
    }

    /// Maps memory that this guest was given, in common with others. `None` if the tree has no such memory there.
    pub(super) fn passed_memory(&self, region: Region) -> Option<()> {
        let end = region.base.checked_add(region.size)?;
        let has = |given: &Region| given.base <= region.base && end <= given.end();
        let mut memory = self.passed.devices.iter().filter(|device| is_memory(device));
        memory.find(|device| device.registers.iter().any(has))?;
        self.map_as_device(region.pages_touched())?;
        mmu::clean(region);
        Some(())
    }

    /// Maps pages of what was passed through. `None` if anything else is mapped there.
    fn map_as_device(&self, pages: Region) -> Option<()> {
        let mut tables = self.tables.borrow_mut();
        let mut at = pages.base;
        while at < pages.end() {
            match tables.lookup(at) {
                // Of another device that was passed through, or of the same: the tree has nothing else there.
                Some(Rights::Device) => {}
                Some(_) => return None,
                None => tables.map(Region { base: at, size: PAGE_SIZE }, Rights::Device).ok()?,
            }
            at += PAGE_SIZE;
        }
        mmu::publish();
        Some(())
    }

    /// Lets the `nth` interrupt of the `device`th device through, from now on. `None` if there is none, or it is
    /// somebody else's.
    pub fn device_interrupt(&self, device: usize, nth: usize) -> Option<IntId> {
        let id = *self.passed.devices.get(device)?.interrupts.get(nth)?;
        let gic = self.gic.as_ref()?;
        let mut lines = self.passed.lines.borrow_mut();
        if [self.event_irq, self.timer_irq, self.uart_irq].contains(&Some(id))
            || lines.iter().any(|line| line.id == id)
        {
            return None;
        }
        lines.push(Line { id, fired: Cell::new(false) });
        gic.enable(id);
        Some(id)
    }

    /// Whether this interrupt of a device was taken since this was last asked.
    pub fn take_device_interrupt(&self, id: IntId) -> bool {
        let lines = self.passed.lines.borrow();
        lines.iter().any(|line| line.id == id && line.fired.replace(false))
    }

    /// Lets this interrupt of a device through again.
    pub fn rearm_device_interrupt(&self, id: IntId) {
        let known = self.passed.lines.borrow().iter().any(|line| line.id == id);
        if let Some(gic) = self.gic.as_ref().filter(|_| known) {
            gic.unmask(id);
        }
    }
}
