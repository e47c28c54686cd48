//! A count that tasks wait on, made so that a lost wake-up cannot be written down.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

/// Something that happens again and again, and that any number of tasks may wait for.
///
/// The rule for waiting is: take [`seen`](Self::seen), look whether there is work, and if there is none wait
/// for [`after`](Self::after) that token. What happens between the look and the wait is then never missed.
#[derive(Debug, Default)]
pub struct Signal {
    fired: Cell<u64>,
    waiting: RefCell<Vec<Option<Waker>>>,
}

/// The point in a [`Signal`]'s history somebody knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(u64);

impl Signal {
    /// A signal that has not fired yet.
    pub const fn new() -> Self {
        Self { fired: Cell::new(0), waiting: RefCell::new(Vec::new()) }
    }

    /// Wakes everybody who waits.
    pub fn fire(&self) {
        self.fired.set(self.fired.get() + 1);
        if self.waiting.borrow().is_empty() {
            return;
        }
        let mut waiting = self.waiting.take();
        for waker in waiting.drain(..).flatten() {
            waker.wake();
        }
        // Keeps the allocation, so that a signal in steady use allocates nothing.
        let mut next = self.waiting.borrow_mut();
        if next.is_empty() {
            *next = waiting;
        }
    }

    /// How often it fired.
    pub fn count(&self) -> u64 {
        self.fired.get()
    }

    /// The present point in its history.
    pub fn seen(&self) -> Seen {
        Seen(self.fired.get())
    }

    /// Waits until it fires, unless it has done so since `seen`. Gives the new token.
    pub fn after(&self, seen: Seen) -> After<'_> {
        After { signal: self, seen, slot: None }
    }

    /// Waits until `look` finds something, looking again each time the signal fires.
    pub async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            let seen = self.seen();
            if let Some(found) = look() {
                return found;
            }
            self.after(seen).await;
        }
    }
}

/// The future of [`Signal::after`].
#[derive(Debug)]
pub struct After<'a> {
    signal: &'a Signal,
    seen: Seen,
    /// Our index among the waiting; firing empties the list, so it is ours only until then.
    slot: Option<usize>,
}

impl Future for After<'_> {
    type Output = Seen;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Seen> {
        let now = self.signal.seen();
        if now != self.seen {
            return Poll::Ready(now);
        }
        let mut waiting = self.signal.waiting.borrow_mut();
        let waker = Some(cx.waker().clone());
        match self.slot.or_else(|| waiting.iter().position(Option::is_none)) {
            Some(slot) => {
                waiting[slot] = waker;
                drop(waiting);
                self.slot = Some(slot);
            }
            None => {
                waiting.push(waker);
                let slot = waiting.len() - 1;
                drop(waiting);
                self.slot = Some(slot);
            }
        }
        Poll::Pending
    }
}

impl Drop for After<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot
            && self.signal.seen() == self.seen
        {
            self.signal.waiting.borrow_mut()[slot] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::sync::Arc;
    use core::pin::pin;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn task() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (count.clone(), count.into())
    }

    #[test]
    fn what_happened_before_the_wait_is_not_missed() {
        let signal = Signal::new();
        let seen = signal.seen();
        signal.fire();
        let (_, waker) = task();
        assert!(pin!(signal.after(seen)).poll(&mut Context::from_waker(&waker)).is_ready());
        let now = signal.seen();
        assert!(pin!(signal.after(now)).poll(&mut Context::from_waker(&waker)).is_pending());
    }

    #[test]
    fn all_waiters_wake_once_and_the_cancelled_do_not() {
        let signal = Signal::new();
        let seen = signal.seen();
        let tasks: Vec<_> = (0..3).map(|_| task()).collect();
        let mut waits: Vec<_> = tasks.iter().map(|_| Box::pin(signal.after(seen))).collect();
        for (wait, (_, waker)) in waits.iter_mut().zip(&tasks) {
            // Polled twice: one place, not two.
            for _ in 0..2 {
                assert!(wait.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
            }
        }
        assert_eq!(signal.waiting.borrow().len(), 3);
        drop(waits.remove(1));
        signal.fire();
        let woken: Vec<_> = tasks.iter().map(|(c, _)| c.0.load(Ordering::Relaxed)).collect();
        assert_eq!(woken, [1, 0, 1]);
    }

    #[test]
    fn a_wait_dropped_after_the_signal_leaves_others_alone() {
        let signal = Signal::new();
        let (_, waker) = task();
        let mut old = Box::pin(signal.after(signal.seen()));
        assert!(old.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        signal.fire();
        let (count, waker) = task();
        let mut new = pin!(signal.after(signal.seen()));
        assert!(new.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(old);
        signal.fire();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }
}
