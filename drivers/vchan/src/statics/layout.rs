//! What is where in memory that nobody clears and that takes plain loads and stores only.
//!
//! Each end has a block that it alone writes, so no word is changed by two. Behind the blocks are the ring that the client
//! writes and the ring that the server writes.

use crate::layout::{Orders, Role};

/// In a block: [`MAGIC`], so that an end of another layout is not taken for one of ours.
pub(crate) const KIND: usize = 0;
/// Which life of this end it is: odd, and one more each time; even while the rest of the block is being set up. Zero and all
/// else that is not odd is no life.
pub(crate) const LIFE: usize = 4;
/// Which life of the other end this one talks to.
pub(crate) const WITH: usize = 8;
/// The rings' size as a power of two.
pub(crate) const ORDER: usize = 12;
/// As in [`crate::layout::live`].
pub(crate) const LIVE: usize = 16;
/// Bytes written in this life.
pub(crate) const PROD: usize = 20;
/// Bytes read in this life.
pub(crate) const CONS: usize = 24;
/// At which of the other end's `PROD` this one wants to be told.
pub(crate) const TELL_PROD: usize = 28;
/// At which of the other end's `CONS`.
pub(crate) const TELL_CONS: usize = 32;

/// `FVC1`
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"FVC1");
/// Where the first ring is.
const RINGS: usize = 1024;

/// Where an end's block is.
pub(crate) const fn block(role: Role) -> usize {
    match role {
        Role::Server => 0,
        Role::Client => 512,
    }
}

/// Where the ring is that an end writes.
pub(crate) const fn ring(role: Role, order: u16) -> usize {
    match role {
        Role::Client => RINGS,
        Role::Server => RINGS + (1 << order),
    }
}

/// The largest rings that there is room for in so many bytes, which are at least a page.
pub(crate) fn order(size: usize) -> u16 {
    let each = (size.saturating_sub(RINGS) / 2).max(1);
    (usize::BITS - 1 - each.leading_zeros()).min(MOST.into()) as u16
}

/// 1 GiB: differences of indices must fit half of a word.
const MOST: u16 = 30;

/// Both are the same.
pub(crate) fn orders(order: u16) -> Orders {
    Orders::both(order)
}

/// Whether an index that goes from `old` to `new` reaches or passes `event`.
pub(crate) const fn reaches(event: u32, old: u32, new: u32) -> bool {
    new.wrapping_sub(event) < new.wrapping_sub(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_fill_what_there_is() {
        for (size, fits) in
            [(4096, 10), (0x2000, 11), (0x3000, 12), (0x1_0000, 14), (0x2_1000, 16), (1 << 40, 30)]
        {
            assert_eq!(order(size), fits, "{size:#x}");
            assert!(ring(Role::Server, fits) + (1 << fits) <= size);
        }
    }

    #[test]
    fn an_event_is_reached_once() {
        assert!(reaches(5, 4, 5) && reaches(5, 0, 9));
        assert!(!reaches(5, 5, 6) && !reaches(5, 0, 4));
        assert!(reaches(2, u32::MAX - 1, 3) && !reaches(4, u32::MAX - 1, 3));
    }
}
