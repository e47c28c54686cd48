//! What a backend offers and what the disk is like, as its Xenstore nodes say. They may say anything.

use crate::wire::{DIRECT_SEGMENTS, SEGMENTS_A_PAGE};
use fata_disk::{Error, Geometry, SECTOR};

/// What this end asks for, as far as the backend offers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Pages of each ring, as a power of two: 0 to 4.
    pub ring_order: u32,
    /// Rings.
    pub queues: u32,
    /// Pages that stay mapped in the backend, data being copied in and out of them. Else each page of a buffer is
    /// lent for as long as the request takes.
    pub persistent: bool,
    /// The most pages in one request.
    pub segments: u32,
}

impl Default for Options {
    /// Chosen by measuring (docs/src/benchmarks.md). With a page for a ring and 32 in a request, Linux never has more than
    /// the 1056 pages mapped for good that it allows a ring; beyond them it maps and unmaps again and again.
    fn default() -> Self {
        Self { ring_order: 0, queues: 1, persistent: true, segments: 32 }
    }
}

impl Options {
    /// Takes a word of a command line: `persistent=0|1`, `order=N`, `queues=N`, `segments=N`. `None` if it is none of
    /// these, or the value makes no sense.
    pub fn word(&mut self, name: &str, value: &str) -> Option<()> {
        let number: u32 = value.parse().ok()?;
        match name {
            "persistent" if number < 2 => self.persistent = number == 1,
            "order" => self.ring_order = number,
            "queues" => self.queues = number,
            "segments" => self.segments = number,
            _ => return None,
        }
        Some(())
    }
}

/// Xenstore's numbers, absent if there is none or it is none.
pub(crate) type Number = Option<u64>;

/// The nodes that are read before connecting (`blkif.h`, "Request Transport Parameters").
pub(crate) const OFFER: [&str; 3] =
    ["feature-max-indirect-segments", "max-ring-page-order", "multi-queue-max-queues"];

/// The nodes that are read once the backend is connected (`blkif.h`, "Features" and "Backend Device Properties").
/// Linux writes the features as late as that.
pub(crate) const PROPERTIES: [&str; 10] = [
    "sectors",
    "sector-size",
    "physical-sector-size",
    "info",
    "discard-granularity",
    "discard-secure",
    "feature-barrier",
    "feature-flush-cache",
    "feature-discard",
    "feature-persistent",
];

/// What was agreed on for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) ring_order: u32,
    pub(crate) queues: u32,
    pub(crate) segments: u32,
    /// Whether we would like it; once connected, whether it is so.
    pub(crate) persistent: bool,
    pub(crate) barrier: bool,
    pub(crate) flush: bool,
    pub(crate) discard: bool,
    pub(crate) discard_secure: bool,
    /// The backend may see what it is not given.
    pub(crate) trusted: bool,
}

impl Agreed {
    pub(crate) fn on(offer: [Number; OFFER.len()], options: &Options) -> Self {
        let [indirect, order, queues] = offer;
        // Each is the smaller of two numbers, one of which is ours, so absurd ones do no harm.
        let least = |offered: Number, ours: u32| offered.unwrap_or(0).min(ours.into()) as u32;
        let direct = DIRECT_SEGMENTS as u32;
        Self {
            ring_order: least(order, options.ring_order.min(4)),
            queues: least(queues, options.queues.min(16)).max(1),
            segments: least(indirect, options.segments.min(SEGMENTS_A_PAGE as u32))
                .max(direct.min(options.segments.max(1))),
            persistent: options.persistent,
            barrier: false,
            flush: false,
            discard: false,
            discard_secure: false,
            trusted: true,
        }
    }
}

/// `VDISK_*`.
const CDROM: u64 = 1;
const REMOVABLE: u64 = 2;
const READONLY: u64 = 4;

/// The largest logical sector: one that a segment of a single page can hold.
const LARGEST_SECTOR: u64 = 4096;

/// What the disk is like, and what can be done with it. `writable` is the node `mode`. Fails on a disk that cannot be
/// used.
pub(crate) fn properties(
    nodes: [Number; PROPERTIES.len()],
    writable: bool,
    agreed: &Agreed,
) -> Result<(Geometry, Agreed), Error> {
    let [sectors, logical, physical, info, granularity, secure, barrier, flush, discard, persistent] = nodes;
    let sectors = sectors.ok_or(Error::Corrupt)?.min(u64::MAX / SECTOR as u64);
    let logical = logical.unwrap_or(SECTOR as u64);
    if !logical.is_power_of_two() || logical < SECTOR as u64 {
        return Err(Error::Corrupt);
    }
    if logical > LARGEST_SECTOR {
        return Err(Error::Unsupported);
    }
    let is = |number: Number| number == Some(1);
    let agreed = Agreed {
        barrier: is(barrier),
        flush: is(flush),
        discard: is(discard),
        discard_secure: is(secure),
        persistent: agreed.persistent && is(persistent),
        ..*agreed
    };
    let info = info.unwrap_or(0);
    let byte_count = |number: Number| number.and_then(|n| u32::try_from(n).ok()).filter(|&n| n > 0);
    let geometry = Geometry {
        // A last sector that is not whole cannot be used.
        sectors: sectors / (logical / SECTOR as u64) * (logical / SECTOR as u64),
        logical_bytes: logical as u32,
        physical_bytes: byte_count(physical).unwrap_or(logical as u32).max(logical as u32),
        read_only: info & READONLY != 0 || !writable,
        removable: info & (REMOVABLE | CDROM) != 0,
        flush: agreed.flush || agreed.barrier,
        discard_bytes: agreed.discard.then(|| byte_count(granularity).unwrap_or(logical as u32)),
        request_bytes: agreed.segments * 4096,
    };
    Ok((geometry, agreed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_offers_do_no_harm() {
        let options = Options::default();
        let nothing = Agreed::on([None; 3], &options);
        assert_eq!((nothing.segments, nothing.queues, nothing.ring_order), (11, 1, 0));
        let options = Options { ring_order: 9, queues: 1000, persistent: true, segments: u32::MAX };
        let all = Agreed::on([Some(u64::MAX); 3], &options);
        assert_eq!((all.segments, all.queues, all.ring_order), (512, 16, 4));
        let few = Agreed::on([Some(1); 3], &Options { segments: 0, ..options });
        assert_eq!(few.segments, 1);
    }

    /// A disk of this many sectors of this size, all other nodes having one value.
    fn of(sectors: Number, logical: Number, rest: Number) -> Result<(Geometry, Agreed), Error> {
        let mut nodes = [rest; PROPERTIES.len()];
        (nodes[0], nodes[1]) = (sectors, logical);
        properties(nodes, true, &Agreed::on([None; 3], &Options::default()))
    }

    #[test]
    fn only_one_means_yes() {
        for (value, yes) in [(None, false), (Some(0), false), (Some(1), true), (Some(2), false)] {
            let (geometry, agreed) = of(Some(8), None, value).unwrap();
            let said = [agreed.barrier, agreed.flush, agreed.discard, agreed.discard_secure, geometry.flush];
            assert_eq!(said, [yes; 5]);
            assert_eq!(geometry.discard_bytes.is_some(), yes);
        }
    }

    #[test]
    fn sectors_are_512_bytes_whatever_the_disk_says_of_its_own() {
        let (geometry, _) = of(Some(1000), Some(4096), Some(4)).unwrap();
        assert_eq!((geometry.sectors, geometry.logical_bytes), (1000, 4096));
        assert!(geometry.read_only && !geometry.removable);
        let (odd, _) = of(Some(1001), Some(4096), None).unwrap();
        assert_eq!((odd.sectors, odd.physical_bytes), (1000, 4096));
    }

    #[test]
    fn impossible_disks_are_refused_by_name() {
        assert_eq!(of(None, None, None).unwrap_err(), Error::Corrupt);
        for logical in [0, 1, 511, 513, 1000, u64::MAX] {
            assert_eq!(of(Some(8), Some(logical), None).unwrap_err(), Error::Corrupt, "{logical}");
        }
        assert_eq!(of(Some(8), Some(8192), None).unwrap_err(), Error::Unsupported);
        let (huge, _) = of(Some(u64::MAX), None, Some(u64::MAX)).unwrap();
        assert!(huge.sectors.checked_mul(512).is_some());
    }
}
