//! What is known of names, for as long as it may be kept and as far as there is room.

use crate::error::Error;
use crate::kind::Kind;
use crate::name::Name;
use crate::record::Record;
use alloc::rc::Rc;
use alloc::vec::Vec;
use fata_netstack::IpAddress;

/// Stands for all kinds, in what is kept of a name that does not exist.
pub(crate) const ANY: Kind = Kind(0);
const NS_PER_S: u64 = 1_000_000_000;

/// What is known of a name: records, or why there are none.
pub(crate) type Outcome = Result<Rc<[Record]>, Error>;

/// What is known, and from where.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) outcome: Outcome,
    /// Who said so.
    pub(crate) server: IpAddress,
    pub(crate) since_ns: u64,
    pub(crate) until_ns: u64,
}

struct Entry {
    hash: u32,
    kind: Kind,
    name: Name,
    known: Known,
    size: usize,
    /// When it was last asked for, in a count of all that was asked for.
    used: u64,
}

/// A list: it is short, and a name is looked up seldom beside what is done with it.
pub(crate) struct Cache {
    entries: Vec<Entry>,
    most_entries: usize,
    most_bytes: usize,
    bytes: usize,
    asked: u64,
}

impl Cache {
    pub(crate) fn new(most_entries: usize, most_bytes: usize) -> Self {
        Self { entries: Vec::new(), most_entries, most_bytes, bytes: 0, asked: 0 }
    }

    /// Entries and bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    pub(crate) fn clear(&mut self) {
        (self.entries, self.bytes) = (Vec::new(), 0);
    }

    /// What is known of this kind for a name, or that there is no such name.
    pub(crate) fn look(&mut self, name: &Name, kind: Kind, now_ns: u64) -> Option<Known> {
        self.asked += 1;
        let hash = name.hash();
        let at = self.entries.iter().position(|entry| {
            entry.hash == hash && [kind, ANY].contains(&entry.kind) && entry.name == *name
        })?;
        if self.entries[at].known.until_ns <= now_ns {
            self.remove(at);
            // There may be one of the other kind.
            return self.look(name, kind, now_ns);
        }
        self.entries[at].used = self.asked;
        Some(self.entries[at].known.clone())
    }

    /// Keeps what is known for `ttl_s` from now on, in place of what was known before.
    pub(crate) fn keep(&mut self, name: &Name, kind: Kind, ttl_s: u32, known: Known) {
        let hash = name.hash();
        let replaced = |entry: &Entry| {
            entry.hash == hash
                && (entry.kind == kind || kind == ANY || entry.kind == ANY)
                && entry.name == *name
        };
        while let Some(at) = self.entries.iter().position(replaced) {
            self.remove(at);
        }
        let records = known.outcome.as_deref().unwrap_or_default();
        let heap = |record: &Record| record.name.wire().len() + record.data.size();
        let size = size_of::<Entry>()
            + name.wire().len()
            + size_of_val(records)
            + records.iter().map(heap).sum::<usize>();
        if ttl_s == 0 || size > self.most_bytes || self.most_entries == 0 {
            return;
        }
        while self.entries.len() >= self.most_entries || self.bytes + size > self.most_bytes {
            self.remove(self.least_useful(known.since_ns));
        }
        let known = Known { until_ns: known.since_ns + u64::from(ttl_s) * NS_PER_S, ..known };
        self.bytes += size;
        self.entries.push(Entry { hash, kind, name: name.clone(), known, size, used: self.asked });
    }

    /// One that is over, or the one that was not asked for for the longest time.
    fn least_useful(&self, now_ns: u64) -> usize {
        let use_of = |entry: &Entry| if entry.known.until_ns <= now_ns { 0 } else { entry.used + 1 };
        let by_use = self.entries.iter().enumerate().min_by_key(|(_, entry)| use_of(entry));
        by_use.map_or(0, |(at, _)| at)
    }

    fn remove(&mut self, at: usize) {
        self.bytes -= self.entries.swap_remove(at).size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Data;
    use fata_sim::Rng;
    use std::format;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn known(since_s: u64, outcome: Outcome) -> Known {
        Known { outcome, server: IpAddress::v4(9, 9, 9, 9), since_ns: since_s * NS_PER_S, until_ns: 0 }
    }

    fn records(text: &str) -> Outcome {
        Ok([Record { name: name(text), kind: Kind::A, ttl_s: 60, data: Data::A([10, 0, 0, 1].into()) }]
            .into())
    }

    #[test]
    fn what_is_kept_is_found_until_its_time_is_over() {
        let mut cache = Cache::new(10, 10_000);
        cache.keep(&name("A.example"), Kind::A, 5, known(1, records("a.example")));
        let look = |cache: &mut Cache, kind, s: u64| {
            cache.look(&name("a.EXAMPLE"), kind, s * NS_PER_S).map(|known| known.outcome)
        };
        assert_eq!(look(&mut cache, Kind::A, 5), Some(records("a.example")));
        assert_eq!(look(&mut cache, Kind::AAAA, 5), None);
        assert_eq!(look(&mut cache, Kind::A, 6), None);
        assert_eq!(cache.size(), (0, 0));
        cache.keep(&name("a.example"), Kind::A, 0, known(1, records("a.example")));
        assert_eq!(cache.size(), (0, 0));
    }

    #[test]
    fn a_name_that_is_not_there_is_not_for_any_kind() {
        let mut cache = Cache::new(10, 10_000);
        let a = name("a.example");
        cache.keep(&a, Kind::A, 100, known(1, records("a.example")));
        cache.keep(&a, Kind::MX, 100, known(1, Err(Error::NoData)));
        cache.keep(&a, ANY, 5, known(2, Err(Error::NoSuchName)));
        assert_eq!(cache.size().0, 1);
        for kind in [Kind::A, Kind::MX, Kind::TXT] {
            assert_eq!(cache.look(&a, kind, 0).unwrap().outcome, Err(Error::NoSuchName));
        }
        // And it is there again.
        cache.keep(&a, Kind::A, 100, known(3, records("a.example")));
        assert!(cache.look(&a, Kind::A, 0).unwrap().outcome.is_ok());
        assert!(cache.look(&a, Kind::TXT, 0).is_none());
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_asked_for() {
        let mut random = Rng::new();
        let mut cache = Cache::new(20, 4000);
        let often = name("often");
        for now_s in 1..2000 {
            let len = random.within(1..40);
            let text = format!("{}.{}", "x".repeat(len), random.within(0..500));
            cache.keep(&name(&text), Kind::A, random.within(1..100) as u32, known(now_s, records(&text)));
            let (entries, bytes) = cache.size();
            assert!(entries <= 20 && bytes <= 4000);
            assert_eq!(bytes, cache.entries.iter().map(|entry| entry.size).sum::<usize>());
            if now_s == 1 {
                cache.keep(&often, Kind::A, 100_000, known(now_s, records("often")));
            }
            assert!(cache.look(&often, Kind::A, now_s * NS_PER_S).is_some());
        }
        assert!(cache.size().0 > 10);
        // What does not fit at all is left out, and pushes nobody out.
        let many: Vec<_> = (0..100).flat_map(|_| records("many").unwrap().to_vec()).collect();
        let before = cache.size();
        cache.keep(&name("many"), Kind::A, 100, known(3000, Ok(many.into())));
        assert_eq!(cache.size(), before);
    }
}
