//! Xen's public ABI: numbers and argument structures, named as in its headers.
#![expect(missing_docs, reason = "names and meaning are those of the header that each module cites")]

use crate::platform::{VcpuInfo, WallClock};
use core::mem::offset_of;
use core::sync::atomic::AtomicU64;

/// Hypercall numbers (`xen/include/public/xen.h`).
pub mod nr {
    pub const MEMORY_OP: usize = 12;
    pub const XEN_VERSION: usize = 17;
    pub const CONSOLE_IO: usize = 18;
    pub const GRANT_TABLE_OP: usize = 20;
    pub const VCPU_OP: usize = 24;
    pub const SCHED_OP: usize = 29;
    pub const EVENT_CHANNEL_OP: usize = 32;
    pub const HVM_OP: usize = 34;
}

/// `DOMID_SELF` (`xen/include/public/xen.h`).
pub const DOMID_SELF: u16 = 0x7ff0;
/// `DOMID_FIRST_RESERVED` (`xen/include/public/xen.h`).
pub const DOMID_FIRST_RESERVED: u16 = 0x7ff0;

/// Console I/O commands (`xen/include/public/xen.h`).
pub const CONSOLEIO_WRITE: usize = 0;
pub const CONSOLEIO_READ: usize = 1;

/// An argument structure that belongs to one command of one hypercall.
///
/// # Safety
///
/// Command `CMD` of hypercall `NR` takes the address of exactly this structure, follows no address in it, and
/// takes no memory away from the caller.
pub unsafe trait Op {
    const NR: usize;
    const CMD: usize;
}

macro_rules! ops {
    ($($nr:ident, $cmd:literal, $of:ty;)*) => {$(
        // SAFETY: as the header of the module that defines the structure says.
        unsafe impl Op for $of {
            const NR: usize = nr::$nr;
            const CMD: usize = $cmd;
        }
    )*};
}

ops! {
    EVENT_CHANNEL_OP, 0, event::BindInterdomain;
    EVENT_CHANNEL_OP, 1, event::BindVirq;
    EVENT_CHANNEL_OP, 3, event::Close;
    EVENT_CHANNEL_OP, 4, event::Send;
    EVENT_CHANNEL_OP, 5, event::Status;
    EVENT_CHANNEL_OP, 6, event::AllocUnbound;
    SCHED_OP, 2, sched::Shutdown;
    XEN_VERSION, 6, version::FeatureInfo;
    HVM_OP, 0, hvm::SetParam;
    HVM_OP, 1, hvm::GetParam;
}

/// An argument structure of a grant-table command, which takes an array of them.
///
/// # Safety
///
/// Command `CMD` of `GRANT_TABLE_OP` takes an array of exactly this structure and follows no address in it. What the
/// frames and addresses named in it mean to Rust is up to whoever makes the call.
pub unsafe trait GrantOp {
    const CMD: usize;
}

macro_rules! grant_ops {
    ($($cmd:literal, $of:ty;)*) => {$(
        // SAFETY: as `xen/include/public/grant_table.h` says.
        unsafe impl GrantOp for $of {
            const CMD: usize = $cmd;
        }
    )*};
}

grant_ops! {
    0, grant::MapGrantRef;
    1, grant::UnmapGrantRef;
    5, grant::Copy;
    6, grant::QuerySize;
}

/// `xen/include/public/event_channel.h`.
pub mod event {
    /// `EVTCHN_2L_NR_CHANNELS` on 64-bit architectures.
    pub const NR_CHANNELS: u32 = 4096;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct BindInterdomain {
        pub remote_dom: u16,
        pub remote_port: u32,
        pub local_port: u32,
    }

    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct BindVirq {
        pub virq: u32,
        pub vcpu: u32,
        pub port: u32,
    }

    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Close {
        pub port: u32,
    }

    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Send {
        pub port: u32,
    }

    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct AllocUnbound {
        pub dom: u16,
        pub remote_dom: u16,
        pub port: u32,
    }

    pub const STAT_CLOSED: u32 = 0;
    pub const STAT_UNBOUND: u32 = 1;
    pub const STAT_INTERDOMAIN: u32 = 2;
    pub const STAT_PIRQ: u32 = 3;
    pub const STAT_VIRQ: u32 = 4;
    pub const STAT_IPI: u32 = 5;

    /// `u0` and `u1` are the union: a domain id in the low half of `u0` and a port in `u1`, or a number in `u0`.
    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Status {
        pub dom: u16,
        pub port: u32,
        pub status: u32,
        pub vcpu: u32,
        pub u0: u32,
        pub u1: u32,
    }
}

/// `xen/include/public/sched.h`.
pub mod sched {
    pub const YIELD: usize = 0;
    pub const BLOCK: usize = 1;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Shutdown {
        pub reason: u32,
    }
}

/// `xen/include/public/version.h`.
pub mod version {
    pub const VERSION: usize = 0;
    pub const EXTRAVERSION: usize = 1;
    pub const CAPABILITIES: usize = 3;
    pub const CHANGESET: usize = 4;
    pub const GET_FEATURES: usize = 6;

    pub const EXTRAVERSION_LEN: usize = 16;
    pub const CAPABILITIES_LEN: usize = 1024;
    pub const CHANGESET_LEN: usize = 64;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct FeatureInfo {
        pub submap_idx: u32,
        pub submap: u32,
    }
}

/// `xen/include/public/hvm/hvm_op.h`.
pub mod hvm {
    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Param {
        pub domid: u16,
        pub pad: u16,
        pub index: u32,
        pub value: u64,
    }

    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct SetParam(pub Param);

    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct GetParam(pub Param);
}

/// `xen/include/public/memory.h`.
pub mod memory {
    /// `XENMEM_decrease_reservation`, of [`Reservation`].
    pub const DECREASE_RESERVATION: usize = 1;
    /// `XENMEM_add_to_physmap`, of [`AddToPhysmap`].
    pub const ADD_TO_PHYSMAP: usize = 7;

    /// `XENMAPSPACE_shared_info`.
    pub const SPACE_SHARED_INFO: u32 = 0;
    /// `XENMAPSPACE_grant_table`.
    pub const SPACE_GRANT_TABLE: u32 = 1;

    /// `struct xen_memory_reservation`.
    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Reservation {
        /// Address of an array of frame numbers, 64 bits each.
        pub extent_start: u64,
        pub nr_extents: u64,
        pub extent_order: u32,
        pub mem_flags: u32,
        pub domid: u16,
    }

    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct AddToPhysmap {
        pub domid: u16,
        pub size: u16,
        pub space: u32,
        pub idx: u64,
        pub gpfn: u64,
    }
}

/// `xen/include/public/grant_table.h`, version 1.
pub mod grant {
    /// `GNTTAB_NR_RESERVED_ENTRIES`: the toolstack's own, such as the console's and Xenstore's.
    pub const RESERVED_ENTRIES: u32 = 8;

    pub const GTF_PERMIT_ACCESS: u16 = 1;
    pub const GTF_READONLY: u16 = 1 << 2;
    pub const GTF_READING: u16 = 1 << 3;
    pub const GTF_WRITING: u16 = 1 << 4;

    pub const GNTMAP_HOST_MAP: u32 = 1 << 1;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct MapGrantRef {
        pub host_addr: u64,
        pub flags: u32,
        pub gref: u32,
        pub dom: u16,
        pub status: i16,
        pub handle: u32,
        pub dev_bus_addr: u64,
    }

    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct UnmapGrantRef {
        pub host_addr: u64,
        pub dev_bus_addr: u64,
        pub handle: u32,
        pub status: i16,
    }

    pub const COPY_SOURCE_GREF: u16 = 1 << 0;
    pub const COPY_DEST_GREF: u16 = 1 << 1;

    /// One end of a copy: a grant reference in the low half of `at`, or a frame.
    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct CopyEnd {
        pub at: u64,
        pub domid: u16,
        pub offset: u16,
    }

    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Copy {
        pub source: CopyEnd,
        pub dest: CopyEnd,
        pub len: u16,
        pub flags: u16,
        pub status: i16,
    }

    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct QuerySize {
        pub dom: u16,
        pub nr_frames: u32,
        pub max_nr_frames: u32,
        pub status: i16,
    }
}

/// `xen/include/public/vcpu.h`.
pub mod vcpu {
    /// `VCPUOP_register_vcpu_info`, of [`RegisterVcpuInfo`].
    pub const REGISTER_VCPU_INFO: usize = 10;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct RegisterVcpuInfo {
        pub mfn: u64,
        pub offset: u32,
        pub rsvd: u32,
    }
}

/// `struct shared_info` (`xen/include/public/xen.h`) as ARM has it: one legacy vCPU, whose `arch_vcpu_info` is
/// empty. That `vcpu_info` is not used; each vCPU registers its own.
#[repr(C)]
#[derive(Debug)]
pub struct SharedInfoArm {
    pub vcpu_info: VcpuInfoArm,
    pub evtchn_pending: [AtomicU64; 64],
    pub evtchn_mask: [AtomicU64; 64],
    pub wall: WallClock,
}

/// `struct vcpu_info` (`xen/include/public/xen.h`) as ARM has it.
#[repr(C)]
#[derive(Debug, Default)]
pub struct VcpuInfoArm {
    pub events: VcpuInfo,
    /// `struct vcpu_time_info`, which Xen leaves alone on ARM.
    pub time: [u64; 4],
}

const _: () = {
    assert!(size_of::<event::BindInterdomain>() == 12);
    assert!(offset_of!(event::BindInterdomain, remote_port) == 4);
    assert!(offset_of!(event::BindInterdomain, local_port) == 8);
    assert!(size_of::<event::BindVirq>() == 12);
    assert!(size_of::<event::Close>() == 4);
    assert!(size_of::<event::Send>() == 4);
    assert!(size_of::<event::AllocUnbound>() == 8);
    assert!(offset_of!(event::AllocUnbound, port) == 4);
    assert!(size_of::<event::Status>() == 24);
    assert!(offset_of!(event::Status, status) == 8);
    assert!(offset_of!(event::Status, u0) == 16);
    assert!(size_of::<sched::Shutdown>() == 4);
    assert!(size_of::<version::FeatureInfo>() == 8);
    assert!(size_of::<hvm::Param>() == 16);
    assert!(offset_of!(hvm::Param, value) == 8);
    assert!(size_of::<grant::MapGrantRef>() == 32);
    assert!(offset_of!(grant::MapGrantRef, status) == 18);
    assert!(offset_of!(grant::MapGrantRef, handle) == 20);
    assert!(size_of::<grant::UnmapGrantRef>() == 24);
    assert!(offset_of!(grant::UnmapGrantRef, status) == 20);
    assert!(size_of::<grant::CopyEnd>() == 16);
    assert!(size_of::<grant::Copy>() == 40);
    assert!(offset_of!(grant::Copy, status) == 36);
    assert!(size_of::<grant::QuerySize>() == 16);
    assert!(offset_of!(grant::QuerySize, status) == 12);
    assert!(size_of::<memory::Reservation>() == 32);
    assert!(offset_of!(memory::Reservation, domid) == 24);
    assert!(size_of::<memory::AddToPhysmap>() == 24);
    assert!(offset_of!(memory::AddToPhysmap, idx) == 8);
    assert!(size_of::<vcpu::RegisterVcpuInfo>() == 16);
    assert!(offset_of!(vcpu::RegisterVcpuInfo, offset) == 8);
    assert!(size_of::<VcpuInfo>() == 16);
    assert!(size_of::<VcpuInfoArm>() == 48);
    assert!(offset_of!(SharedInfoArm, evtchn_pending) == 48);
    assert!(offset_of!(SharedInfoArm, evtchn_mask) == 560);
    assert!(offset_of!(SharedInfoArm, wall) == 1072);
};
