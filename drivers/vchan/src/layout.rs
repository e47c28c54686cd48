//! The control page (`struct vchan_interface`, `xen/include/public/io/libxenvchan.h`).

use core::fmt;
use xen_hyp::PAGE_SIZE;

/// `struct ring_shared`, first of the ring that the client writes, then of the one that the server writes.
pub(crate) const LEFT: usize = 0;
pub(crate) const RIGHT: usize = 8;
/// In each of them.
pub(crate) const CONS: usize = 0;
pub(crate) const PROD: usize = 4;
/// `left_order` and `right_order`, 16 bits each.
pub(crate) const ORDERS: usize = 16;
/// A word with `cli_live`, `srv_live`, `cli_notify` and `srv_notify`, a byte each.
pub(crate) const FLAGS: usize = 20;
/// `grants`.
pub(crate) const GRANTS: usize = 24;

/// What a live byte says.
pub(crate) mod live {
    /// The end has closed.
    pub(crate) const CLOSED: u32 = 0;
    /// It is there.
    pub(crate) const OPEN: u32 = 1;
    /// The client has not come yet.
    pub(crate) const AWAITED: u32 = 2;
    /// The end is there but writes no more. Not in the header, where all but zero is open; so other implementations
    /// take it for that.
    pub(crate) const FINISHED: u32 = 3;
}

/// `VCHAN_NOTIFY_*`.
pub(crate) const NOTIFY_WRITE: u32 = 1;
pub(crate) const NOTIFY_READ: u32 = 2;

/// Which end we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Client,
}

impl Role {
    /// Where in the flags our own live byte is.
    pub(crate) const fn live_shift(self) -> u32 {
        match self {
            Self::Client => 0,
            Self::Server => 8,
        }
    }

    pub(crate) const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// Where in the flags it is said what we want to hear of: `cli_notify` is what the client has to notify of.
    pub(crate) const fn wish_shift(self) -> u32 {
        match self {
            Self::Server => 16,
            Self::Client => 24,
        }
    }
}

/// Sizes of the rings, as powers of two: 10 and 11 lie in the control page, 12 to 20 have pages of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orders {
    /// Of the ring that the client writes.
    pub left: u16,
    /// Of the ring that the server writes.
    pub right: u16,
}

const SMALL: u16 = 10;
const LARGE: u16 = 11;
const PAGE: u16 = 12;
const MOST: u16 = 20;

impl Orders {
    /// The same both ways: 12 to 20.
    pub const fn both(order: u16) -> Self {
        Self { left: order, right: order }
    }

    /// Whether there can be such rings.
    pub fn are_possible(self) -> bool {
        let known = |order: u16| (SMALL..=MOST).contains(&order);
        let apart = self.left != self.right || self.left >= PAGE;
        // The list of grants ends before the first ring in the page, and the page itself.
        let in_page = [self.left, self.right].into_iter().filter(|&order| order < PAGE).map(offset).min();
        known(self.left) && known(self.right) && apart && {
            let grants = pages(self.left) + pages(self.right);
            GRANTS + 4 * grants <= in_page.unwrap_or(PAGE_SIZE)
        }
    }

    /// The word in the control page.
    pub(crate) fn word(self) -> u32 {
        u32::from(self.left) | u32::from(self.right) << 16
    }

    pub(crate) fn of_word(word: u32) -> Self {
        Self { left: word as u16, right: (word >> 16) as u16 }
    }
}

impl fmt::Display for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}", self.left, self.right)
    }
}

/// Pages that a ring has of its own.
pub(crate) fn pages(order: u16) -> usize {
    if order < PAGE { 0 } else { 1 << (order - PAGE) }
}

/// Where a ring begins: in the control page if it has no pages of its own, else in these.
pub(crate) fn offset(order: u16) -> usize {
    match order {
        SMALL => 1024,
        LARGE => 2048,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_rings_there_can_be() {
        let possible = |left, right| Orders { left, right }.are_possible();
        for (left, right) in [(10, 11), (11, 10), (12, 12), (20, 20), (11, 20), (20, 11), (10, 19), (10, 12)]
        {
            assert!(possible(left, right), "{left} {right}");
        }
        // In the same place, too small, too large, and with more grants than there is room for before the ring.
        for (left, right) in [
            (10, 10),
            (11, 11),
            (9, 12),
            (12, 9),
            (0, 0),
            (21, 12),
            (12, 21),
            (u16::MAX, 12),
            (10, 20),
            (20, 10),
        ] {
            assert!(!possible(left, right), "{left} {right}");
        }
        let orders = Orders { left: 10, right: 20 };
        assert_eq!(Orders::of_word(orders.word()), orders);
    }
}
