//! Requests and responses as they lie in the ring (`xen/include/public/io/blkif.h`, layout of 64-bit ABIs).

use core::mem::offset_of;
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
pub(crate) const SLOT_BYTES: usize = size_of::<Direct>();

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

/// `struct blkif_request`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Direct {
    pub(crate) operation: u8,
    pub(crate) nr_segments: u8,
    pub(crate) handle: u16,
    pub(crate) pad: u32,
    pub(crate) id: u64,
    pub(crate) sector: u64,
    pub(crate) segments: [Segment; DIRECT_SEGMENTS],
}

impl Direct {
    /// A `struct blkif_request_discard`, which lies in the same place: its last field is that of the first segment.
    pub(crate) fn discard(flag: u8, handle: u16, id: u64, sector: u64, sectors: u64) -> Self {
        let mut request = Self { operation: Op::Discard as u8, handle, id, sector, ..Self::default() };
        request.nr_segments = flag;
        let [g0, g1, g2, g3, first, last, p0, p1] = sectors.to_le_bytes();
        request.segments[0] = Segment {
            gref: u32::from_le_bytes([g0, g1, g2, g3]),
            first,
            last,
            pad: u16::from_le_bytes([p0, p1]),
        };
        request
    }

    /// The bytes that count.
    pub(crate) fn bytes(&self) -> &[u8] {
        let segments = match self.operation {
            op if op == Op::Discard as u8 => 1,
            _ => usize::from(self.nr_segments),
        };
        &self.as_bytes()[..offset_of!(Self, segments) + segments * size_of::<Segment>()]
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
    assert!(size_of::<Direct>() == 112);
    assert!(offset_of!(Direct, id) == 8);
    assert!(offset_of!(Direct, sector) == 16);
    assert!(offset_of!(Direct, segments) == 24);
    assert!(size_of::<Indirect>() == 64);
    assert!(offset_of!(Indirect, handle) == 24);
    assert!(offset_of!(Indirect, grefs) == 28);
    assert!(size_of::<Response>() == 16);
    assert!(offset_of!(Response, status) == 10);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discard_lies_as_the_header_says() {
        let request =
            Direct::discard(DISCARD_SECURE, 0x1234, 0x1122_3344_5566_7788, 9, 0x0102_0304_0506_0708);
        let mut bytes = vec![5, 1, 0x34, 0x12, 0, 0, 0, 0];
        bytes.extend(0x1122_3344_5566_7788u64.to_le_bytes());
        bytes.extend(9u64.to_le_bytes());
        bytes.extend(0x0102_0304_0506_0708u64.to_le_bytes());
        assert_eq!(request.bytes(), bytes);
    }
}
