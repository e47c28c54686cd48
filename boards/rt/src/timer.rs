//! Timers: who is to be woken when, soonest first.

use crate::exec::Core;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use core::error::Error;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

/// Names a timer. Ordered by time, then by age, so that equal deadlines fire in the order they were set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    at_ns: u64,
    serial: u64,
}

/// All timers of one executor. They share one deadline, the soonest.
#[derive(Default)]
pub(crate) struct Timers {
    pending: BTreeMap<Key, Waker>,
    serial: u64,
}

impl Timers {
    pub(crate) fn set(&mut self, at_ns: u64, waker: Waker) -> Key {
        self.serial += 1;
        let key = Key { at_ns, serial: self.serial };
        self.pending.insert(key, waker);
        key
    }

    /// Makes a timer wake another task. False if it has fired or was cancelled.
    pub(crate) fn update(&mut self, key: Key, waker: &Waker) -> bool {
        let found = self.pending.get_mut(&key);
        found.map(|pending| pending.clone_from(waker)).is_some()
    }

    pub(crate) fn cancel(&mut self, key: Key) {
        self.pending.remove(&key);
    }

    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        self.pending.first_key_value().map(|(key, _)| key.at_ns)
    }

    /// Removes the soonest timer if its time has come.
    pub(crate) fn expired(&mut self, now_ns: u64) -> Option<Waker> {
        let first = self.pending.first_entry().filter(|first| first.key().at_ns <= now_ns)?;
        Some(first.remove())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }
}

/// Waits until a point in time. Dropping it cancels its timer.
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    core: Rc<Core>,
    at_ns: u64,
    key: Option<Key>,
}

impl Sleep {
    pub(crate) fn new(core: Rc<Core>, at_ns: u64) -> Self {
        Self { core, at_ns, key: None }
    }
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.core.now_ns() >= self.at_ns {
            return Poll::Ready(());
        }
        let mut timers = self.core.timers.borrow_mut();
        let known = self.key.is_some_and(|key| timers.update(key, cx.waker()));
        if !known {
            let key = timers.set(self.at_ns, cx.waker().clone());
            drop(timers);
            self.key = Some(key);
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.core.timers.borrow_mut().cancel(key);
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
