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

/// Lamps: what is below nodes compatible with `gpio-leds` (`leds/leds-gpio.yaml` of Linux's bindings), and the pin that a
/// controller says of itself is one's, `fata,led = <line flags>`, where flags that are not there are 0.
pub fn lamps<'a, 'i>(info: &'i BootInfo<'a>) -> impl Iterator<Item = Wired<'a>> + use<'a, 'i> {
    wired(info, "gpio-leds", "fata,led", "led")
}

/// Buttons: the same with `gpio-keys` (`input/gpio-keys.yaml`) and `fata,button`.
pub fn buttons<'a, 'i>(info: &'i BootInfo<'a>) -> impl Iterator<Item = Wired<'a>> + use<'a, 'i> {
    wired(info, "gpio-keys", "fata,button", "button")
}

/// What names no pin of a device is left out.
fn wired<'a, 'i>(
    info: &'i BootInfo<'a>,
    kind: &'static str,
    property: &'static str,
    name: &'static str,
) -> impl Iterator<Item = Wired<'a>> + use<'a, 'i> {
    let holders = info.devices.iter().filter(move |device| device.is(kind));
    let parts = holders.flat_map(|holder| node(info, holder).children());
    let bound = parts.filter_map(|part| {
        let mut cells = part.cells("gpios");
        let (phandle, line, flags) = (cells.next()?, cells.next()?, cells.next()?);
        let owner = by_phandle(info, phandle)?;
        let device = info.devices.iter().position(|device| device.node == owner.node)?;
        let name = part.string("label").or_else(|| core::str::from_utf8(part.name).ok())?;
        Some(Wired { name, device, line, flags, debounce_ms: part.cell("debounce-interval") })
    });
    bound.chain(info.devices.iter().enumerate().filter_map(move |(device, owner)| {
        let mut cells = node(info, owner).cells(property);
        let line = cells.next()?;
        Some(Wired { name, device, line, flags: cells.next().unwrap_or(0), debounce_ms: None })
    }))
}
