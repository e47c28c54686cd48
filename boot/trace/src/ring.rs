//! The last records, each of four words.

use crate::kind::Kind;
use core::sync::atomic::{AtomicU64, Ordering, fence};

/// Four words.
pub(crate) type Words = [AtomicU64; 4];

pub(crate) const fn words() -> Words {
    [const { AtomicU64::new(0) }; 4]
}

pub(crate) fn load(words: &Words) -> [u64; 4] {
    [0, 1, 2, 3].map(|n| words[n].load(Ordering::Relaxed))
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 0 at the start.
    pub number: u64,
    /// When, in ticks of the clock.
    pub ticks: u64,
    /// What.
    pub kind: Kind,
    /// Of what; see [`Kind`].
    pub a: u64,
    /// And how.
    pub b: u64,
}

impl Record {
    /// From the words of a ring. `None` if it was being written, or is none.
    pub fn of(words: [u64; 4]) -> Option<Self> {
        let [head, ticks, a, b] = words;
        Some(Self { number: (head >> 8).checked_sub(1)?, ticks, kind: Kind::of(head as u8)?, a, b })
    }
}

/// The last `N` records, a power of two.
///
/// Made of atomics, so that it can be read whatever its writer was doing when it was stopped. It is written by one thread
/// at a time, as a unikernel has but one; more of them would lose records, and no more. A record's first word is its
/// number plus one and its kind, and zero while the others are written.
#[derive(Debug)]
#[repr(C)]
pub struct Ring<const N: usize> {
    records: [Words; N],
}

impl<const N: usize> Ring<N> {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N.is_power_of_two()) };
        Self { records: [const { words() }; N] }
    }

    /// Keeps the record of this number.
    #[inline]
    pub fn put(&self, record: Record) {
        let head = self.begin(record.number);
        head[1].store(record.ticks, Ordering::Relaxed);
        head[2].store(record.a, Ordering::Relaxed);
        head[3].store(record.b, Ordering::Relaxed);
        head[0].store((record.number + 1) << 8 | record.kind as u64, Ordering::Release);
    }

    /// Says that a record is being written.
    #[inline]
    fn begin(&self, number: u64) -> &Words {
        let words = &self.records[number as usize & (N - 1)];
        words[0].store(0, Ordering::Relaxed);
        // Who sees any of what follows sees that zero.
        fence(Ordering::Release);
        words
    }

    /// Passes on what is there of the records before `next`, oldest first, with their numbers; `None` for one that is
    /// being written, or was written anew meanwhile.
    pub fn read(&self, next: u64, mut each: impl FnMut(u64, Option<Record>)) {
        for number in next.saturating_sub(N as u64)..next {
            let words = &self.records[number as usize & (N - 1)];
            let head = words[0].load(Ordering::Acquire);
            let rest = load(words);
            // Nothing of it was read after it began to change, if it has not.
            fence(Ordering::Acquire);
            let same = words[0].load(Ordering::Relaxed) == head;
            let record = Record::of([head, rest[1], rest[2], rest[3]]);
            each(number, record.filter(|record| same && record.number == number));
        }
    }
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::vec::Vec;

    fn record(number: u64) -> Record {
        Record { number, ticks: number * 3, kind: Kind::Mark, a: number, b: !number }
    }

    fn all<const N: usize>(ring: &Ring<N>, next: u64) -> Vec<(u64, Option<Record>)> {
        let mut all = Vec::new();
        ring.read(next, |number, record| all.push((number, record)));
        all
    }

    #[test]
    fn the_last_ones_are_kept_in_their_order() {
        let ring = Ring::<8>::new();
        assert_eq!(all(&ring, 0), []);
        for next in 1..100 {
            ring.put(record(next - 1));
            let expected: Vec<_> = (next.saturating_sub(8)..next).map(|n| (n, Some(record(n)))).collect();
            assert_eq!(all(&ring, next), expected);
        }
    }

    #[test]
    fn one_that_is_being_written_is_told_from_the_others() {
        let ring = Ring::<4>::new();
        (0..6).for_each(|n| ring.put(record(n)));
        ring.begin(6)[2].store(77, Ordering::Relaxed);
        let kept = all(&ring, 6);
        assert_eq!(
            kept.iter().map(|(n, r)| (*n, r.is_some())).collect::<Vec<_>>(),
            [(2, false), (3, true), (4, true), (5, true)]
        );
        // An empty place is none either.
        assert_eq!(all(&Ring::<4>::new(), 1), [(0, None)]);
    }

    #[test]
    fn a_reader_beside_a_writer_sees_whole_records_or_none() {
        let rounds = if cfg!(miri) { 50 } else { 20_000 };
        let (ring, next, done) = (Ring::<16>::new(), AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..rounds {
                    ring.put(record(number));
                    next.store(number + 1, Ordering::Release);
                }
                done.store(true, Ordering::Release);
            });
            let mut whole = 0;
            loop {
                let last = done.load(Ordering::Acquire);
                ring.read(next.load(Ordering::Acquire), |number, found| {
                    if let Some(found) = found {
                        assert_eq!(found, record(number));
                        whole += 1;
                    }
                });
                if last {
                    break;
                }
            }
            assert!(whole >= 16, "the last reading, at least, is of a ring at rest");
        });
    }
}
