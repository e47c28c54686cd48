//! Tasks in slots: spawn, poll, abort.

use crate::queue::{Id, Queue, Wakeup};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::error::Error;
use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use fata_trace::Kind;

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// A task between two polls.
struct Task {
    future: Work,
    wakeup: Arc<Wakeup>,
    /// Made from `wakeup`, once.
    waker: Waker,
}

enum State {
    Free,
    Waiting(Task),
    Running,
    /// Aborted while running: dropped as soon as the poll returns.
    Aborted,
}

struct Slot {
    generation: u32,
    state: State,
}

/// All tasks of one executor.
///
/// A task is moved out of its slot while it is polled or dropped, so it may spawn, abort and wake at will.
pub(crate) struct Tasks {
    queue: Arc<Queue>,
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<u32>>,
    closed: Cell<bool>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            queue: Arc::new(Queue::new()),
            slots: RefCell::default(),
            free: RefCell::default(),
            closed: Cell::new(false),
        }
    }

    /// How many have neither ended nor been aborted.
    pub(crate) fn alive(&self) -> usize {
        self.slots.borrow().len() - self.free.borrow().len()
    }

    /// Exchanges the tasks that are ready for the empty `batch`.
    pub(crate) fn take_ready(&self, batch: &mut Vec<Id>) {
        self.queue.take(batch);
    }

    /// Whether none is ready.
    pub(crate) fn are_waiting(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes a task in, ready to run. `None`, and the future is dropped, once the executor is closed.
    pub(crate) fn spawn(&self, future: Work) -> Option<Id> {
        if self.closed.get() {
            return None;
        }
        let mut slots = self.slots.borrow_mut();
        let slot = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(Slot { generation: 0, state: State::Free });
            (slots.len() - 1) as u32
        });
        let place = &mut slots[slot as usize];
        let id = Id { slot, generation: place.generation };
        fata_trace::mark(Kind::Spawned, id.word(), 0);
        let wakeup = Arc::new(Wakeup::new(id, self.queue.clone()));
        wakeup.wake_once();
        place.state = State::Waiting(Task { future, waker: wakeup.clone().into(), wakeup });
        Some(id)
    }

    /// Polls a task that was taken from the queue, unless it has ended since it was woken.
    pub(crate) fn poll(&self, id: Id) {
        let Some(mut task) = self.start(id) else { return };
        task.wakeup.taken();
        fata_trace::mark(Kind::PollBegin, id.word(), 0);
        let poll = task.future.as_mut().poll(&mut Context::from_waker(&task.waker));
        fata_trace::mark(Kind::PollEnd, id.word(), u64::from(poll.is_ready()));
        let mut slots = self.slots.borrow_mut();
        let place = &mut slots[id.slot as usize];
        if poll.is_pending() && matches!(place.state, State::Running) {
            place.state = State::Waiting(task);
        } else {
            fata_trace::mark(Kind::Ended, id.word(), u64::from(poll.is_pending()));
            self.release(place, id.slot);
            drop(slots);
            drop(task);
        }
    }

    fn start(&self, id: Id) -> Option<Task> {
        let mut slots = self.slots.borrow_mut();
        let place = find(&mut slots, id)?;
        match mem::replace(&mut place.state, State::Running) {
            State::Waiting(task) => Some(task),
            other => {
                place.state = other;
                None
            }
        }
    }

    /// Frees the slot; what still names the task by its old generation is stale from now on.
    fn release(&self, place: &mut Slot, slot: u32) {
        place.state = State::Free;
        place.generation = place.generation.wrapping_add(1);
        self.free.borrow_mut().push(slot);
    }

    /// Drops the task's future: now, or when the poll it is in returns. Nothing if it has ended.
    pub(crate) fn abort(&self, id: Id) {
        let mut slots = self.slots.borrow_mut();
        let Some(place) = find(&mut slots, id) else { return };
        match mem::replace(&mut place.state, State::Free) {
            State::Free => {}
            State::Running | State::Aborted => place.state = State::Aborted,
            State::Waiting(task) => {
                fata_trace::mark(Kind::Ended, id.word(), 1);
                self.release(place, id.slot);
                drop(slots);
                drop(task);
            }
        }
    }

    /// Drops every task and takes no more in.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        let count = self.slots.borrow().len();
        for slot in 0..count {
            let generation = self.slots.borrow()[slot].generation;
            self.abort(Id { slot: slot as u32, generation });
        }
    }
}

/// The slot, if the task it was given to has not ended.
fn find(slots: &mut [Slot], id: Id) -> Option<&mut Slot> {
    slots.get_mut(id.slot as usize).filter(|place| place.generation == id.generation)
}

/// A future that tells its [`JoinHandle`] how it ended.
///
/// The inner box keeps the future in one place; an `async` block would hold it twice (rust-lang/rust#62958).
pub(crate) struct Spawned<F: Future> {
    future: Pin<Box<F>>,
    outcome: Rc<Outcome<F::Output>>,
}

impl<F: Future> Spawned<F> {
    pub(crate) fn new(future: F) -> (Self, Rc<Outcome<F::Output>>) {
        let outcome =
            Rc::new(Outcome { value: Cell::new(None), done: Cell::new(false), waiter: Cell::default() });
        (Self { future: Box::pin(future), outcome: outcome.clone() }, outcome)
    }
}

impl<F: Future> Future for Spawned<F> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.future.as_mut().poll(cx).map(|value| self.outcome.settle(Ok(value)))
    }
}

impl<F: Future> Drop for Spawned<F> {
    fn drop(&mut self) {
        self.outcome.settle(Err(Aborted));
    }
}

/// Where a task leaves its result.
pub(crate) struct Outcome<T> {
    value: Cell<Option<Result<T, Aborted>>>,
    done: Cell<bool>,
    waiter: Cell<Option<Waker>>,
}

impl<T> Outcome<T> {
    /// The first outcome counts.
    fn settle(&self, value: Result<T, Aborted>) {
        if !self.done.replace(true) {
            self.value.set(Some(value));
            if let Some(waiter) = self.waiter.take() {
                waiter.wake();
            }
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done.get()
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<T, Aborted>> {
        match self.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                self.waiter.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

/// The task was aborted, or its executor ended, before it had a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted;

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task was aborted before it had a result")
    }
}

impl Error for Aborted {}
