//! What Xen is: version, features, and what it says of itself.

use crate::abi::{nr, version as abi};
use crate::error::XenError;
use crate::platform::Platform;
use crate::xen::Xen;
use alloc::string::String;
use alloc::vec;
use core::fmt;

/// Xen's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// As in 4.20.
    pub major: u16,
    /// As in 4.20.
    pub minor: u16,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The features of this Xen for this domain (`xen/include/public/features.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(pub u32);

macro_rules! features {
    ($($bit:literal $const:ident $name:literal;)*) => {
        impl Features {
            $(#[doc = concat!("`XENFEAT_", $name, "`.")] pub const $const: Self = Self(1 << $bit);)*

            fn name(bit: u32) -> Option<&'static str> {
                match bit {
                    $($bit => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

features! {
    0 WRITABLE_PAGE_TABLES "writable_page_tables";
    1 WRITABLE_DESCRIPTOR_TABLES "writable_descriptor_tables";
    2 AUTO_TRANSLATED_PHYSMAP "auto_translated_physmap";
    3 SUPERVISOR_MODE_KERNEL "supervisor_mode_kernel";
    4 PAE_PGDIR_ABOVE_4GB "pae_pgdir_above_4gb";
    5 MMU_PT_UPDATE_PRESERVE_AD "mmu_pt_update_preserve_ad";
    6 HIGHMEM_ASSIST "highmem_assist";
    7 GNTTAB_MAP_AVAIL_BITS "gnttab_map_avail_bits";
    8 HVM_CALLBACK_VECTOR "hvm_callback_vector";
    9 HVM_SAFE_PVCLOCK "hvm_safe_pvclock";
    10 HVM_PIRQS "hvm_pirqs";
    11 DOM0 "dom0";
    12 GRANT_MAP_IDENTITY "grant_map_identity";
    13 MEMORY_OP_VNODE_SUPPORTED "memory_op_vnode_supported";
    14 ARM_SMCCC_SUPPORTED "ARM_SMCCC_supported";
    15 LINUX_RSDP_UNRESTRICTED "linux_rsdp_unrestricted";
    16 NOT_DIRECT_MAPPED "not_direct_mapped";
    17 DIRECT_MAPPED "direct_mapped";
    18 RUNSTATE_PHYS_AREA "runstate_phys_area";
    19 VCPU_TIME_PHYS_AREA "vcpu_time_phys_area";
    20 DM_MSIX_ALL_WRITES "dm_msix_all_writes";
}

impl Features {
    /// Whether all of `other` are among these.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for bit in (0..u32::BITS).filter(|bit| self.0 >> bit & 1 != 0) {
            f.write_str(separator)?;
            match Self::name(bit) {
                Some(name) => f.write_str(name)?,
                None => write!(f, "bit {bit}")?,
            }
            separator = ", ";
        }
        Ok(())
    }
}

impl<P: Platform> Xen<P> {
    /// Its version.
    pub fn version(&self) -> Result<Version, XenError> {
        // SAFETY: XENVER_version takes no argument.
        let v = unsafe { self.call(nr::XEN_VERSION, [abi::VERSION, 0, 0, 0, 0]) }?;
        Ok(Version { major: (v >> 16) as u16, minor: v as u16 })
    }

    /// What follows the version, such as `.2` or `-unstable`.
    pub fn extra_version(&self) -> Result<String, XenError> {
        self.text(abi::EXTRAVERSION, abi::EXTRAVERSION_LEN)
    }

    /// The kinds of guest it runs.
    pub fn capabilities(&self) -> Result<String, XenError> {
        self.text(abi::CAPABILITIES, abi::CAPABILITIES_LEN)
    }

    /// The source it was built from.
    pub fn changeset(&self) -> Result<String, XenError> {
        self.text(abi::CHANGESET, abi::CHANGESET_LEN)
    }

    /// Its features.
    pub fn features(&self) -> Result<Features, XenError> {
        let mut op = abi::FeatureInfo::default();
        self.op(&mut op)?;
        Ok(Features(op.submap))
    }

    fn text(&self, cmd: usize, len: usize) -> Result<String, XenError> {
        let mut bytes = vec![0u8; len];
        // SAFETY: each such XENVER_* writes an array of this length at this address.
        unsafe { self.call(nr::XEN_VERSION, [cmd, bytes.as_mut_ptr().expose_provenance(), 0, 0, 0]) }?;
        let text = bytes.into_iter().take_while(|&b| b != 0);
        Ok(text.map(|b| if b.is_ascii_graphic() || b == b' ' { b as char } else { '?' }).collect())
    }
}
