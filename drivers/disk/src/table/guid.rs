//! Globally unique identifiers, as partition tables have them.

use core::fmt;

/// An identifier of a partition, a disk or a type of partition.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Guid(
    /// Its bytes as they are on the disk: the first three numbers are little-endian, the rest is not.
    pub [u8; 16],
);

impl Guid {
    /// No partition.
    pub const UNUSED: Self = Self([0; 16]);
    /// An EFI system partition: FAT.
    pub const EFI_SYSTEM: Self = Self::new(0xc12a_7328, 0xf81f, 0x11d2, 0xba4b, 0x00a0_c93e_c93b);
    /// A Linux file system.
    pub const LINUX: Self = Self::new(0x0fc6_3daf, 0x8483, 0x4772, 0x8e79, 0x3d69_d847_7de4);
    /// Linux's root on a 64-bit ARM machine.
    pub const LINUX_ROOT_ARM64: Self = Self::new(0xb921_b045, 0x1df0, 0x41c3, 0xaf44, 0x4c6f_280d_3fae);
    /// Linux swap.
    pub const LINUX_SWAP: Self = Self::new(0x0657_fd6d, 0xa4ab, 0x43c4, 0x84e5, 0x0933_c84b_4f4f);
    /// Linux's logical volume manager.
    pub const LINUX_LVM: Self = Self::new(0xe6d6_d379, 0xf507, 0x44c2, 0xa23c, 0x238f_2a3d_f928);
    /// Microsoft's basic data: FAT, exFAT or NTFS.
    pub const BASIC_DATA: Self = Self::new(0xebd0_a0a2, 0xb9e5, 0x4433, 0x87c0, 0x68b6_b726_99c7);
    /// Where a boot loader puts itself.
    pub const BIOS_BOOT: Self = Self::new(0x2168_6148, 0x6449, 0x6e6f, 0x744e, 0x6565_6445_4649);

    /// The identifier that is written `a-b-c-d-e`.
    pub const fn new(a: u32, b: u16, c: u16, d: u16, e: u64) -> Self {
        let (a, b, c) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
        let (d, e) = (d.to_be_bytes(), e.to_be_bytes());
        Self([a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], e[2], e[3], e[4], e[5], e[6], e[7]])
    }

    /// What a partition of this type is for, if we know it.
    pub fn type_name(&self) -> Option<&'static str> {
        Some(match *self {
            Self::EFI_SYSTEM => "EFI system",
            Self::LINUX => "Linux filesystem",
            Self::LINUX_ROOT_ARM64 => "Linux root (ARM64)",
            Self::LINUX_SWAP => "Linux swap",
            Self::LINUX_LVM => "Linux LVM",
            Self::BASIC_DATA => "Microsoft basic data",
            Self::BIOS_BOOT => "BIOS boot",
            _ => return None,
        })
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In which order the bytes are written.
        for (at, byte) in [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].into_iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{:02X}", self.0[byte])?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_written_as_everybody_writes_it() {
        assert_eq!(Guid::LINUX.to_string(), "0FC63DAF-8483-4772-8E79-3D69D8477DE4");
        assert_eq!(Guid::LINUX.0[..8], [0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47]);
        assert_eq!(Guid::LINUX.0[8..], [0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4]);
    }
}
