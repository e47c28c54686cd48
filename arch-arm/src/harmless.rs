//! Which devices safe code may drive.
//!
//! Registers are safe to hand out if nothing that is written there touches Rust's memory. A device that reads or writes
//! memory by itself can be told to; an IOMMU keeps it off other domains' memory, but not off ours. So safe code gets
//! the registers of devices that are known not to do that, by what they are compatible with.

use fata_boot::info::Device;

/// Serial ports and pins, none of which masters a bus. Some can be served by a DMA controller, which is a device of its
/// own.
const KNOWN: [&str; 13] = [
    "arm,pl011",
    "arm,sbsa-uart",
    "cdns,uart-r1p8",
    "cdns,uart-r1p12",
    "xlnx,xuartps",
    "ns16550",
    "ns16550a",
    "snps,dw-apb-uart",
    "brcm,bcm2835-aux-uart",
    "arm,pl061",
    "brcm,bcm2835-gpio",
    "brcm,bcm2711-gpio",
    "xlnx,zynqmp-gpio-1.0",
];

/// Whether the device leaves memory alone, whatever is written to its registers.
pub fn is_harmless(device: &Device<'_>) -> bool {
    KNOWN.iter().any(|known| device.is(known))
}

/// Memory that several guests are given, and no device at all.
const MEMORY: &str = "fata,static-vchan";

/// Whether it is memory that safe code may read and write, knowing that others do, too.
pub fn is_memory(device: &Device<'_>) -> bool {
    device.is(MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_handed_out() {
        let is = |compatible| is_harmless(&Device { compatible, ..Device::default() });
        assert!(is(b"arm,pl061\0arm,primecell\0") && is(b"vendor,variant\0ns16550a\0"));
        assert!(
            !is(b"fata,static-vchan\0")
                && is_memory(&Device { compatible: b"fata,static-vchan\0", ..Device::default() })
        );
        assert!(!is(b"cdns,zynqmp-gem\0") && !is(b"arm,primecell\0") && !is(b"arm,pl061x\0") && !is(b""));
    }
}
