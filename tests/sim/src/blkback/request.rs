//! Requests as they lie in the ring (`xen/include/public/io/blkif.h`, layout of 64-bit ABIs).

use std::ops::Range;

/// Bytes of a slot.
pub(super) const SLOT: usize = 112;
/// Segments that fit into a page.
pub(super) const SEGMENTS_A_PAGE: usize = 512;

/// `BLKIF_OP_*`.
pub(super) const READ: u8 = 0;
pub(super) const WRITE: u8 = 1;
pub(super) const BARRIER: u8 = 2;
pub(super) const FLUSH: u8 = 3;
pub(super) const DISCARD: u8 = 5;
const INDIRECT: u8 = 6;

/// `BLKIF_RSP_*`.
pub(super) const OKAY: i16 = 0;
pub(super) const ERROR: i16 = -1;
pub(super) const UNSUPPORTED: i16 = -2;

#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) gref: u32,
    pub(super) first: u8,
    pub(super) last: u8,
}

impl Segment {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self { gref: u32_at(bytes, 0), first: bytes[4], last: bytes[5] }
    }
}

/// Where a request's segments are.
#[derive(Clone, Debug)]
pub(super) enum Segments {
    Direct(Vec<Segment>),
    /// In these pages, and so many.
    Indirect(Vec<u32>, usize),
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    /// That of the data if it is indirect, which is also what the response says.
    pub(super) op: u8,
    pub(super) id: u64,
    pub(super) handle: u16,
    pub(super) sector: u64,
    /// Of a discard.
    pub(super) sectors: u64,
    pub(super) secure: bool,
    pub(super) segments: Segments,
}

impl Request {
    /// A request of which only this is known.
    pub(super) fn bare(op: u8, id: u64) -> Self {
        let segments = Segments::Direct(Vec::new());
        Self { op, id, handle: 0, sector: 0, sectors: 0, secure: false, segments }
    }

    /// Whatever is in a slot, understood; or why not.
    pub(super) fn parse(slot: &[u8; SLOT]) -> Result<Self, &'static str> {
        let bare = Self::bare(slot[0], u64_at(slot, 8));
        let request = Self { handle: u16_at(slot, 2), sector: u64_at(slot, 16), ..bare };
        match request.op {
            READ | WRITE | BARRIER | FLUSH => {
                let count = usize::from(slot[1]);
                if count > 11 {
                    return Err("more than 11 direct segments");
                }
                let segments = slot[24..].chunks(8).take(count).map(Segment::parse).collect();
                Ok(Self { segments: Segments::Direct(segments), ..request })
            }
            DISCARD => Ok(Self { sectors: u64_at(slot, 24), secure: slot[1] & 1 != 0, ..request }),
            INDIRECT => {
                let (op, count) = (slot[1], usize::from(u16_at(slot, 2)));
                if op > WRITE {
                    return Err("an indirect request that neither reads nor writes");
                }
                let pages = count.div_ceil(SEGMENTS_A_PAGE);
                if pages > 8 {
                    return Err("more than 8 indirect pages");
                }
                let pages = slot[28..].chunks(4).take(pages).map(|bytes| u32_at(bytes, 0)).collect();
                let segments = Segments::Indirect(pages, count);
                Ok(Self { op, handle: u16_at(slot, 24), segments, ..request })
            }
            _ => Err("an unknown operation"),
        }
    }
}

/// What a request does, for those who decide whether it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `BLKIF_OP_*`, that of the data if it is indirect.
    pub op: u8,
    /// Which it is, counted from 0 over all that this backend has seen.
    pub nth: u64,
    /// The sectors it concerns.
    pub sectors: Range<u64>,
    /// In which ring it was.
    pub queue: usize,
    /// How many segments it had.
    pub segments: usize,
}

pub(super) fn response(id: u64, op: u8, status: i16) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&id.to_ne_bytes());
    bytes[8] = op;
    bytes[10..12].copy_from_slice(&status.to_ne_bytes());
    bytes
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(*bytes[at..].first_chunk().expect("in the slot"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(*bytes[at..].first_chunk().expect("in the slot"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(*bytes[at..].first_chunk().expect("in the slot"))
}
