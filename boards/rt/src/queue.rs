//! The ready queue: wakers put tasks in, each at most once; the executor takes all of them at a time.

use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::mem;
use core::sync::atomic::Ordering;
use fata_trace::Kind;
use sync::{AtomicBool, Mutex};

#[cfg(not(loom))]
mod sync {
    pub(super) use core::sync::atomic::AtomicBool;
    pub(super) use spin::{Mutex, MutexGuard};
    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock()
    }
}
#[cfg(loom)]
mod sync {
    pub(super) use loom::sync::atomic::AtomicBool;
    pub(super) use loom::sync::{Mutex, MutexGuard};
    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().expect("no thread panics while it holds the queue")
    }
}

/// Names a task. A slot is used again after its task ended, with another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Id {
    /// As a trace has it.
    pub(crate) fn word(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }
}

/// Tasks to poll, in the order they were woken.
pub(crate) struct Queue {
    ready: Mutex<Vec<Id>>,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self { ready: Mutex::new(Vec::new()) }
    }

    /// Exchanges the queue for the empty `batch`, so that neither side allocates once both have grown.
    pub(crate) fn take(&self, batch: &mut Vec<Id>) {
        debug_assert!(batch.is_empty());
        mem::swap(&mut *sync::lock(&self.ready), batch);
    }

    pub(crate) fn is_empty(&self) -> bool {
        sync::lock(&self.ready).is_empty()
    }
}

/// What a task's wakers share.
///
/// `Waker` promises `Send` and `Sync`, so this keeps the promise, although the unikernel has one vCPU and
/// handles nothing in interrupt context.
pub(crate) struct Wakeup {
    id: Id,
    queue: Arc<Queue>,
    /// Whether `id` is in the queue.
    queued: AtomicBool,
}

impl Wakeup {
    pub(crate) fn new(id: Id, queue: Arc<Queue>) -> Self {
        Self { id, queue, queued: AtomicBool::new(false) }
    }

    /// Puts the task into the queue unless it is there already.
    pub(crate) fn wake_once(&self) {
        // Release: who takes the task out sees what was written before this wake-up, even if another queued it.
        if !self.queued.swap(true, Ordering::Release) {
            fata_trace::mark(Kind::Woken, self.id.word(), 0);
            sync::lock(&self.queue.ready).push(self.id);
        }
    }

    /// Says that the task was taken out of the queue. Comes before the poll: a wake-up during it counts anew.
    pub(crate) fn taken(&self) {
        // A swap, not a store: it must read the last waker's value to synchronise with that waker.
        self.queued.swap(false, Ordering::Acquire);
    }
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.wake_once();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_once();
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    const ID: Id = Id { slot: 0, generation: 0 };

    /// Two wakers publish a value each and wake; the executor polls (sums up) whenever the task is queued.
    /// No wake-up is lost, none is queued twice, and the last poll sees both values.
    #[test]
    fn loom_wakes_are_neither_lost_nor_doubled() {
        loom::model(|| {
            let wakeup = Arc::new(Wakeup::new(ID, Arc::new(Queue::new())));
            let values = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
            let wakers: Vec<_> = (0..2)
                .map(|n| {
                    let (wakeup, values) = (wakeup.clone(), values.clone());
                    thread::spawn(move || {
                        values[n].store(1, Ordering::Relaxed);
                        wakeup.wake_once();
                    })
                })
                .collect();

            let mut seen = 0;
            let mut drain = || {
                let mut batch = Vec::new();
                wakeup.queue.take(&mut batch);
                assert!(batch.len() <= 1, "queued twice");
                for _ in batch {
                    wakeup.taken();
                    seen = values.iter().map(|v| v.load(Ordering::Relaxed)).sum();
                }
            };
            drain();
            drain();
            for waker in wakers {
                waker.join().expect("waker thread");
            }
            drain();
            assert_eq!(seen, 2, "a wake-up was lost");
        });
    }

    /// A wake-up that finds the task queued already leaves it to the earlier one, whose poll must then see
    /// what was written before the later.
    #[test]
    fn loom_a_merged_wake_up_is_seen() {
        loom::model(|| {
            let wakeup = Arc::new(Wakeup::new(ID, Arc::new(Queue::new())));
            wakeup.wake_once();
            let value = Arc::new(AtomicUsize::new(0));
            let waker = {
                let (wakeup, value) = (wakeup.clone(), value.clone());
                thread::spawn(move || {
                    value.store(1, Ordering::Relaxed);
                    wakeup.wake_once();
                })
            };
            let mut batch = Vec::new();
            wakeup.queue.take(&mut batch);
            assert_eq!(batch.pop(), Some(ID));
            wakeup.taken();
            let seen = value.load(Ordering::Relaxed) == 1;
            waker.join().expect("waker thread");
            wakeup.queue.take(&mut batch);
            assert!(seen || batch == [ID], "neither seen nor queued again");
        });
    }
}
