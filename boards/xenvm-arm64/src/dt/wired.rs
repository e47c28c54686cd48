//! Lamps and buttons, and the pins they are wired to.

use super::{by_phandle, node};
use fata_boot::info::BootInfo;

/// Something at a pin of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wired<'a> {
    /// What it says of itself: its label, else its node's name.
    pub name: &'a str,
    /// Which of [`BootInfo::devices`] has the pin.
    pub device: usize,
    /// The pin's line there.
    pub line: u32,
    /// How it is wired, as in `dt-bindings/gpio/gpio.h` of Linux.
    pub flags: u32,
    /// How long its contacts may bounce.
    pub debounce_ms: Option<u32>,
}

/// What hangs on pins according to nodes compatible with `kind`, which is `gpio-leds` or `gpio-keys`
/// (`leds/leds-gpio.yaml` and `input/gpio-keys.yaml` of Linux's bindings). What names no pin of a device is left out.
pub fn wired<'a, 'i>(info: &'i BootInfo<'a>, kind: &'i str) -> impl Iterator<Item = Wired<'a>> + use<'a, 'i> {
    let holders = info.devices.iter().filter(move |device| device.is(kind));
    holders.flat_map(|holder| node(info, holder).children()).filter_map(|part| {
        let mut cells = part.cells("gpios");
        let (phandle, line, flags) = (cells.next()?, cells.next()?, cells.next()?);
        let owner = by_phandle(info, phandle)?;
        let device = info.devices.iter().position(|device| device.node == owner.node)?;
        let name = part.string("label").or_else(|| core::str::from_utf8(part.name).ok())?;
        Some(Wired { name, device, line, flags, debounce_ms: part.cell("debounce-interval") })
    })
}
