//! Devices of the host that Xen has passed through to this guest.

use crate::dt;
use alloc::rc::Rc;
use fata_arch_arm::ArmCpu;
use fata_arch_arm::mmio::Mmio;
use fata_boot::info::{BootInfo, IntId, List};
use fata_registers::Registers;
use xen_hyp::Xen;

/// A device's registers and interrupts.
pub struct Passed {
    xen: Rc<Xen<ArmCpu>>,
    registers: Mmio,
    /// Registers are accessed as 8 bits.
    narrow: bool,
    lines: List<IntId, 4>,
}

/// The device that comes `device`th in [`BootInfo::devices`], with the first registers that it has. `None` if it has
/// none, or is none that safe code may drive (`fata_arch_arm::harmless`). Its interrupts are let through from now on,
/// and are the first caller's.
pub fn passed(xen: &Rc<Xen<ArmCpu>>, info: &BootInfo<'_>, device: usize) -> Option<Passed> {
    let registers = xen.platform().device_registers(device, 0)?;
    let found = info.devices.get(device)?;
    let mut lines = List::default();
    for line in (0..found.interrupts.len()).filter_map(|nth| xen.platform().device_interrupt(device, nth)) {
        // As many as the device can have.
        let _ = lines.push(line);
    }
    let node = dt::node(info, found);
    // A 16550 without a word on it has its registers a byte apart.
    let width = node.cell("reg-io-width");
    let bytes_apart = found.is("ns16550a") || found.is("ns16550");
    let narrow = width == Some(1) || width.is_none() && bytes_apart && node.cell("reg-shift").is_none();
    Some(Passed { xen: xen.clone(), registers, narrow, lines })
}

impl Passed {
    /// Whether it has interrupts, without which a driver waits in vain.
    pub fn has_interrupts(&self) -> bool {
        !self.lines.is_empty()
    }
}

impl Registers for Passed {
    fn read(&self, offset: usize) -> u32 {
        match self.narrow {
            true => self.registers.read8(offset).into(),
            false => self.registers.read(offset),
        }
    }

    fn write(&self, offset: usize, value: u32) {
        match self.narrow {
            true => self.registers.write8(offset, value as u8),
            false => self.registers.write(offset, value),
        }
    }

    fn take_interrupt(&self) -> bool {
        // Each is to be asked.
        self.lines.iter().fold(false, |any, line| any | self.xen.platform().take_device_interrupt(*line))
    }

    fn rearm(&self) {
        self.lines.iter().for_each(|line| self.xen.platform().rearm_device_interrupt(*line));
    }
}
