//! Requests and responses as they lie in the ring (`xen/include/public/io/blkif.h`, layout of 64-bit ABIs).

use core::mem::offset_of;
use xen_hyp::GrantRef;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Sectors of 512 bytes, the unit of all numbers here, in a page.
pub(crate) const PAGE_SECTORS: u64 = 8;
/// `BLKIF_MAX_SEGMENTS_PER_REQUEST`.
pub(crate) const DIRECT_SEGMENTS: usize = 11;
/// `PAGE_SIZE / sizeof(struct blkif_request_segment)`.
pub(crate) const SEGMENTS_A_PAGE: usize = 4096 / size_of::<Segment>();
/// `BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST`.
pub(crate) const INDIRECT_PAGES: usize = 8;
/// What a slot of the ring takes: the longest request.
pub(crate) const SLOT_BYTES: usize = size_of::<Head>() + DIRECT_SEGMENTS * size_of::<Segment>();

/// `BLKIF_OP_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Op {
    Read = 0,
    Write = 1,
    WriteBarrier = 2,
    Flush = 3,
    Discard = 5,
    Indirect = 6,
}

/// `BLKIF_DISCARD_SECURE`.
pub(crate) const DISCARD_SECURE: u8 = 1;

/// `struct blkif_request_segment`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Segment {
    pub(crate) gref: u32,
    /// First and last sector in the page, both inclusive.
    pub(crate) first: u8,
    pub(crate) last: u8,
    pub(crate) pad: u16,
}

impl Segment {
    /// All of a page.
    pub(crate) const fn whole(gref: GrantRef) -> Self {
        Self { gref: gref.0, first: 0, last: PAGE_SECTORS as u8 - 1, pad: 0 }
    }

    /// The first so many sectors of the page.
    pub(crate) const fn up_to(self, sectors: u64) -> Self {
        Self { last: sectors as u8 - 1, ..self }
    }
}

/// `struct blkif_request` without its segments, which follow, or `struct blkif_request_discard` without its last field,
/// the number of sectors, which is in the same place.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Head {
    pub(crate) operation: u8,
    /// Of a discard, its flag.
    pub(crate) nr_segments: u8,
    pub(crate) handle: u16,
    pub(crate) pad: u32,
    pub(crate) id: u64,
    pub(crate) sector: u64,
}

impl Head {
    pub(crate) const fn new(op: Op, nr_segments: u8, handle: u16, id: u64, sector: u64) -> Self {
        Self { operation: op as u8, nr_segments, handle, pad: 0, id, sector }
    }
}

/// `struct blkif_request_indirect`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Indirect {
    pub(crate) operation: u8,
    pub(crate) indirect_op: u8,
    pub(crate) nr_segments: u16,
    pub(crate) pad: u32,
    pub(crate) id: u64,
    pub(crate) sector: u64,
    pub(crate) handle: u16,
    pub(crate) pad2: u16,
    pub(crate) grefs: [u32; INDIRECT_PAGES],
    pub(crate) pad3: u32,
}

/// `struct blkif_response`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Response {
    pub(crate) id: u64,
    pub(crate) operation: u8,
    pub(crate) pad: u8,
    pub(crate) status: i16,
    pub(crate) pad2: u32,
}

/// `BLKIF_RSP_OKAY`.
pub(crate) const OKAY: i16 = 0;
/// `BLKIF_RSP_EOPNOTSUPP`.
pub(crate) const EOPNOTSUPP: i16 = -2;

const _: () = {
    assert!(size_of::<Segment>() == 8);
    assert!(size_of::<Head>() == 24);
    assert!(offset_of!(Head, id) == 8);
    assert!(offset_of!(Head, sector) == 16);
    assert!(SLOT_BYTES == 112);
    assert!(size_of::<Indirect>() == 64);
    assert!(offset_of!(Indirect, handle) == 24);
    assert!(offset_of!(Indirect, grefs) == 28);
    assert!(size_of::<Response>() == 16);
    assert!(offset_of!(Response, status) == 10);
};
