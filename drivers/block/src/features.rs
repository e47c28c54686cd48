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
    /// Chosen by measuring: docs/src/benchmarks.md.
    fn default() -> Self {
        Self { ring_order: 0, queues: 1, persistent: true, segments: 256 }
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

/// The nodes that are read before connecting (`blkif.h`, "Features" and "Request Transport Parameters").
pub(crate) const OFFER: [&str; 7] = [
    "feature-barrier",
    "feature-flush-cache",
    "feature-discard",
    "feature-persistent",
    "feature-max-indirect-segments",
    "max-ring-page-order",
    "multi-queue-max-queues",
];

/// The nodes that are read once the backend is connected (`blkif.h`, "Backend Device Properties").
pub(crate) const PROPERTIES: [&str; 6] =
    ["sectors", "sector-size", "physical-sector-size", "info", "discard-granularity", "discard-secure"];

/// What was agreed on for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) barrier: bool,
    pub(crate) flush: bool,
    pub(crate) discard: bool,
    pub(crate) persistent: bool,
    pub(crate) ring_order: u32,
    pub(crate) queues: u32,
    pub(crate) segments: u32,
}

impl Agreed {
    pub(crate) fn on(offer: [Number; OFFER.len()], options: &Options) -> Self {
        let [barrier, flush, discard, persistent, indirect, order, queues] = offer;
        let is = |number: Number| number == Some(1);
        // Each is the smaller of two numbers, one of which is ours, so absurd ones do no harm.
        let least = |offered: Number, ours: u32| offered.unwrap_or(0).min(ours.into()) as u32;
        let direct = DIRECT_SEGMENTS as u32;
        Self {
            barrier: is(barrier),
            flush: is(flush),
            discard: is(discard),
            persistent: options.persistent && is(persistent),
            ring_order: least(order, options.ring_order.min(4)),
            queues: least(queues, options.queues.min(16)).max(1),
            segments: least(indirect, options.segments.min(SEGMENTS_A_PAGE as u32))
                .max(direct.min(options.segments.max(1))),
        }
    }
}

/// `VDISK_*`.
const CDROM: u64 = 1;
const REMOVABLE: u64 = 2;
const READONLY: u64 = 4;

/// The largest logical sector: one that a segment of a single page can hold.
const LARGEST_SECTOR: u64 = 4096;

/// What the disk is like. `writable` is the node `mode`. Fails on a disk that cannot be used.
pub(crate) fn geometry(
    nodes: [Number; PROPERTIES.len()],
    writable: bool,
    agreed: &Agreed,
) -> Result<(Geometry, bool), Error> {
    let [sectors, logical, physical, info, granularity, secure] = nodes;
    let sectors = sectors.ok_or(Error::Corrupt)?.min(u64::MAX / SECTOR as u64);
    let logical = logical.unwrap_or(SECTOR as u64);
    if !logical.is_power_of_two() || logical < SECTOR as u64 {
        return Err(Error::Corrupt);
    }
    if logical > LARGEST_SECTOR {
        return Err(Error::Unsupported);
    }
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
    Ok((geometry, secure == Some(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_offers_do_no_harm() {
        let options = Options::default();
        let nothing = Agreed::on([None; 7], &options);
        assert_eq!((nothing.segments, nothing.queues, nothing.ring_order), (11, 1, 0));
        assert!(!nothing.persistent && !nothing.flush && !nothing.discard && !nothing.barrier);
        let options = Options { ring_order: 9, queues: 1000, persistent: true, segments: u32::MAX };
        let all = Agreed::on([Some(u64::MAX); 7], &options);
        assert_eq!((all.segments, all.queues, all.ring_order), (512, 16, 4));
        assert!(!all.persistent, "only 1 means yes");
        let few = Agreed::on([Some(1); 7], &Options { segments: 0, ..options });
        assert_eq!(few.segments, 1);
        assert!(few.persistent);
    }

    #[test]
    fn sectors_are_512_bytes_whatever_the_disk_says_of_its_own() {
        let agreed = Agreed::on([None; 7], &Options::default());
        let nodes = [Some(1000), Some(4096), Some(4096), Some(4), None, Some(1)];
        let (geometry, secure) = super::geometry(nodes, true, &agreed).unwrap();
        assert_eq!((geometry.sectors, geometry.logical_bytes), (1000, 4096));
        assert!(geometry.read_only && secure && !geometry.removable);
        let odd = super::geometry([Some(1001), Some(4096), None, None, None, None], true, &agreed).unwrap().0;
        assert_eq!((odd.sectors, odd.physical_bytes), (1000, 4096));
    }

    #[test]
    fn impossible_disks_are_refused_by_name() {
        let agreed = Agreed::on([None; 7], &Options::default());
        let of =
            |sectors, logical| super::geometry([sectors, logical, None, None, None, None], true, &agreed);
        assert_eq!(of(None, None).unwrap_err(), Error::Corrupt);
        for logical in [0, 1, 511, 513, 1000, u64::MAX] {
            assert_eq!(of(Some(8), Some(logical)).unwrap_err(), Error::Corrupt, "{logical}");
        }
        assert_eq!(of(Some(8), Some(8192)).unwrap_err(), Error::Unsupported);
        let huge = of(Some(u64::MAX), None).unwrap().0;
        assert!(huge.sectors.checked_mul(512).is_some());
    }
}
