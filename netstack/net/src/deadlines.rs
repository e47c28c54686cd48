//! When which socket wants to be looked at next: a binary heap whose entries can be moved.

use alloc::vec::Vec;
use smoltcp::time::Instant;

/// Not in the heap.
const NOWHERE: u32 = u32::MAX;

/// The sooner of two.
#[inline]
pub(crate) fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other < one { other } else { one }),
        (one, None) => one,
        (None, other) => other,
    }
}

/// Deadlines of numbered things, at most one each.
#[derive(Default)]
pub(crate) struct Deadlines {
    heap: Vec<(Instant, u32)>,
    /// Where each is in the heap.
    places: Vec<u32>,
}

impl Deadlines {
    /// Sets, moves or, with `None`, removes the deadline of `id`.
    pub(crate) fn set(&mut self, id: u32, at: Option<Instant>) {
        if self.places.len() <= id as usize {
            if at.is_none() {
                return;
            }
            self.places.resize(id as usize + 1, NOWHERE);
        }
        let place = self.places[id as usize];
        match (at, place) {
            (None, NOWHERE) => {}
            (None, place) => self.remove(place as usize),
            (Some(at), NOWHERE) => {
                self.heap.push((at, id));
                let last = self.heap.len() - 1;
                self.places[id as usize] = last as u32;
                self.rise(last);
            }
            (Some(at), place) => {
                let place = place as usize;
                if self.heap[place].0 != at {
                    self.heap[place].0 = at;
                    self.rise(place);
                    self.sink(self.places[id as usize] as usize);
                }
            }
        }
    }

    /// The soonest.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.heap.first().map(|(at, _)| *at)
    }

    /// Removes one whose time has come.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<u32> {
        let (_, id) = *self.heap.first().filter(|(at, _)| *at <= now)?;
        self.remove(0);
        Some(id)
    }

    fn remove(&mut self, place: usize) {
        let (_, id) = self.heap.swap_remove(place);
        self.places[id as usize] = NOWHERE;
        if let Some((_, moved)) = self.heap.get(place).copied() {
            self.places[moved as usize] = place as u32;
            self.rise(place);
            self.sink(self.places[moved as usize] as usize);
        }
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 && self.heap[place].0 < self.heap[(place - 1) / 2].0 {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let child = 2 * place + 1;
            let Some((left, _)) = self.heap.get(child) else { return };
            let right_is_sooner = self.heap.get(child + 1).is_some_and(|(right, _)| right < left);
            let sooner = if right_is_sooner { child + 1 } else { child };
            if self.heap[sooner].0 >= self.heap[place].0 {
                return;
            }
            self.swap(sooner, place);
            place = sooner;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.places[self.heap[a].1 as usize] = a as u32;
        self.places[self.heap[b].1 as usize] = b as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_sim::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn the_heap_is_in_step_with_a_map() {
        let (mut random, mut heap, mut map) = (Rng::new(), Deadlines::default(), BTreeMap::new());
        for now in 0..20_000 {
            let id = random.within(0..100) as u32;
            let at = Instant::from_micros(now + random.within(0..200) as i64);
            if random.within(0..3) == 0 {
                map.remove(&id);
                heap.set(id, None);
            } else {
                map.insert(id, at);
                heap.set(id, Some(at));
            }
            assert_eq!(heap.first(), map.values().min().copied());
            let now = Instant::from_micros(now);
            while let Some(id) = heap.expired(now) {
                assert!(map.remove(&id).is_some_and(|at| at <= now));
            }
            assert!(map.values().all(|at| *at > now));
        }
    }
}
