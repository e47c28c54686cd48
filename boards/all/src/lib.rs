//! All boards that Fata knows. `cargo xtask new-board` adds to the list.
#![no_std]
#![forbid(unsafe_code)]

use fata_facts::Board;

/// All of them.
pub const BOARDS: &[&Board] = &[
    // A line each.
    &fata_imx8mp_evk::BOARD,
    &fata_kria_kv260::BOARD,
    &fata_qemu_virt::BOARD,
    &fata_raspberry_pi_4::BOARD,
    &fata_rockpro64::BOARD,
    &fata_template::BOARD,
    &fata_versal::BOARD,
    &fata_zcu102::BOARD,
];

/// The one with this name.
pub fn find(name: &str) -> Option<&'static Board> {
    BOARDS.iter().find(|board| board.name == name).copied()
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_fit_command_lines() {
        let names: BTreeSet<_> = BOARDS.iter().map(|board| board.name).collect();
        assert_eq!(names.len(), BOARDS.len());
        let fits = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        assert!(names.iter().all(|name| fits(name)), "{names:?}");
    }

    /// Elsewhere U-Boot would move it, over what is there (`booti_setup` in arch/arm/lib/image.c).
    #[test]
    fn xen_lies_where_an_image_may() {
        for board in BOARDS {
            assert_eq!(board.uboot.xen % (2 << 20), 0, "{}: Xen at {:#x}", board.name, board.uboot.xen);
        }
    }

    #[test]
    fn modules_lie_in_memory_and_registers_are_whole_pages() {
        for board in BOARDS {
            let modules = board.xen.modules;
            let inside =
                board.ram.iter().any(|bank| bank.base <= modules.base && modules.end() <= bank.end());
            assert!(inside, "{}: modules at {modules:?}", board.name);
            for device in board.devices {
                let Some(device_pages) = Some(device.registers).filter(|it| !it.is_empty()) else { continue };
                assert_eq!(device_pages, device_pages.pages_touched(), "{}: {}", board.name, device.name);
                assert!(device.path.starts_with('/'), "{}: {}", board.name, device.path);
            }
        }
    }
}
