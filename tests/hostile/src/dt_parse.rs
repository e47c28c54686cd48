//! Any bytes as a device tree: an error, or a result that keeps its promises.

use fata_boot::info::{Gic, Region};
use fata_xenvm_arm64::dt;

/// One input.
pub fn dt_parse(blob: &[u8]) {
    let Ok(info) = dt::parse(blob) else { return };
    let image = Region::between(0x4000_0000, 0x4008_0000);
    let usable = info.usable(&[image]);
    for list in [&info.memory[..], &usable] {
        assert!(list.iter().all(|r| !r.is_empty() && r.pages_inside() == *r && r.end() <= 1 << 39));
        assert!(list.windows(2).all(|pair| pair[0].end() <= pair[1].base));
    }
    let dtb = Region { base: info.dtb.as_ptr() as u64, size: info.dtb.len() as u64 };
    let taken = info.reserved.iter().chain(&info.initrd).chain([&image, &dtb]);
    for (taken, free) in taken.flat_map(|taken| usable.iter().map(move |free| (taken, free))) {
        assert!(taken.end() <= free.base || free.end() <= taken.base);
    }
    assert!(
        usable.iter().all(|free| info.memory.iter().any(|b| b.base <= free.base && free.end() <= b.end()))
    );
    let xen = info.hypervisor.iter().flat_map(|xen| xen.extended.iter().copied().chain([xen.grants]));
    let elsewhere = info.memory.iter().copied().chain(info.gic.iter().flat_map(Gic::regions)).chain(xen);
    for other in elsewhere {
        for registers in info.devices.iter().flat_map(|device| device.registers.iter()) {
            assert!(registers.end() <= other.base || other.end() <= registers.base);
        }
    }
    assert!(dt::lamps(&info).chain(dt::buttons(&info)).all(|wired| wired.device < info.devices.len()));
    for device in info.devices.iter() {
        assert!(device.interrupts.iter().all(|id| (32..1020).contains(&id.0)));
        let node = dt::node(&info, device);
        for part in node.children().chain([node]) {
            let _ = (part.cells("gpios").count(), part.string("label"), part.properties().count());
        }
        let _ = node.cell("phandle").and_then(|handle| dt::by_phandle(&info, handle));
    }
}
