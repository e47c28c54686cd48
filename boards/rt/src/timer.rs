//! Timers: who is to be woken when, soonest first.

use crate::exec::Core;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::error::Error;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use fata_trace::Kind;

/// Where a timer is in the heap; shared with its [`Sleep`], so that cancelling need not search.
type Place = Rc<Cell<usize>>;

/// It has fired or was cancelled.
const NOWHERE: usize = usize::MAX;

struct Timer {
    at_ns: u64,
    /// Equal deadlines fire in the order they were set.
    serial: u64,
    waker: Waker,
    place: Place,
}

/// All timers of one executor. They share one deadline, the soonest.
///
/// A binary heap by hand: `BinaryHeap` cannot cancel, and `BTreeMap` would be 7 KiB of code.
#[derive(Default)]
pub(crate) struct Timers {
    heap: Vec<Timer>,
    serial: u64,
}

impl Timers {
    fn set(&mut self, at_ns: u64, waker: Waker) -> Place {
        let place = Place::new(Cell::new(self.heap.len()));
        self.serial += 1;
        fata_trace::mark(Kind::TimerSet, self.serial, at_ns);
        self.heap.push(Timer { at_ns, serial: self.serial, waker, place: place.clone() });
        self.rise(place.get());
        place
    }

    /// Makes a timer wake another task. False if there is no such timer any more.
    fn update(&mut self, place: &Place, waker: &Waker) -> bool {
        let timer = self.heap.get_mut(place.get());
        timer.map(|timer| timer.waker.clone_from(waker)).is_some()
    }

    fn cancel(&mut self, place: &Place) -> Option<Waker> {
        self.remove(place, Kind::TimerCancelled)
    }

    fn remove(&mut self, place: &Place, why: Kind) -> Option<Waker> {
        let at = place.replace(NOWHERE);
        if at >= self.heap.len() {
            return None;
        }
        let timer = self.heap.swap_remove(at);
        fata_trace::mark(why, timer.serial, 0);
        if at < self.heap.len() {
            // The last timer has come here.
            self.heap[at].place.set(at);
            self.sink(at);
            self.rise(at);
        }
        Some(timer.waker)
    }

    /// Removes the soonest timer if its time has come.
    pub(crate) fn expired(&mut self, now_ns: u64) -> Option<Waker> {
        let first = self.heap.first().filter(|first| first.at_ns <= now_ns)?.place.clone();
        self.remove(&first, Kind::TimerFired)
    }

    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        self.heap.first().map(|first| first.at_ns)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    fn rise(&mut self, mut at: usize) {
        while at > 0 && self.is_before(at, (at - 1) / 2) {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let sooner = if self.is_before(right, left) { right } else { left };
            if !self.is_before(sooner, at) {
                return;
            }
            self.swap(sooner, at);
            at = sooner;
        }
    }

    /// Whether there is a timer at `a`, and it is due before that at `b`.
    fn is_before(&self, a: usize, b: usize) -> bool {
        let key = |timer: &Timer| (timer.at_ns, timer.serial);
        self.heap.get(a).is_some_and(|a| key(a) < key(&self.heap[b]))
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.heap[a].place.set(a);
        self.heap[b].place.set(b);
    }
}

/// Waits until a point in time. Dropping it cancels its timer.
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    core: Rc<Core>,
    at_ns: u64,
    /// Once it was polled.
    timer: Option<Place>,
}

impl Sleep {
    pub(crate) fn new(core: Rc<Core>, at_ns: u64) -> Self {
        Self { core, at_ns, timer: None }
    }
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.core.now_ns() >= self.at_ns {
            return Poll::Ready(());
        }
        let mut timers = self.core.timers.borrow_mut();
        if !self.timer.as_ref().is_some_and(|timer| timers.update(timer, cx.waker())) {
            let timer = timers.set(self.at_ns, cx.waker().clone());
            drop(timers);
            self.timer = Some(timer);
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = &self.timer {
            let waker = self.core.timers.borrow_mut().cancel(timer);
            // Not while the timers are borrowed: dropping it may drop another task's `Sleep`.
            drop(waker);
        }
    }
}

/// The time was up before the future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was up first")
    }
}

impl Error for Elapsed {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets, cancels and expires timers in all kinds of orders, and compares with a sorted list.
    #[test]
    fn the_heap_is_in_step_with_a_sorted_list() {
        let mut random = 1u32;
        let mut below = |bound: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u64::from((random >> 16) % bound)
        };
        let (mut timers, mut list, mut now_ns) = (Timers::default(), Vec::new(), 0);
        for serial in 1..4_000 {
            let at_ns = now_ns + below(500);
            list.push((at_ns, serial, timers.set(at_ns, Waker::noop().clone())));
            if below(3) == 0 {
                let (.., place) = list.swap_remove(below(list.len() as u32) as usize);
                assert!(timers.cancel(&place).is_some());
                assert!(timers.cancel(&place).is_none() && !timers.update(&place, Waker::noop()));
            }
            now_ns += below(3);
            list.sort_unstable_by_key(|(at_ns, serial, _)| (*at_ns, *serial));
            while list.first().is_some_and(|(at_ns, ..)| *at_ns <= now_ns) {
                assert!(timers.expired(now_ns).is_some());
                let (.., place) = list.remove(0);
                assert_eq!(place.get(), NOWHERE, "another timer was taken");
            }
            assert!(timers.expired(now_ns).is_none());
            assert_eq!((timers.len(), timers.deadline_ns()), (list.len(), list.first().map(|first| first.0)));
        }
    }
}
