//! The run loop, and the handle tasks use to spawn, sleep and wait.

use crate::queue::Id;
use crate::task::{Aborted, Outcome, Spawned, Tasks};
use crate::timer::{Elapsed, Sleep, Timers};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::mem;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use fata_trace::Kind;
use xen_hyp::{Platform, Xen};

/// What the run loop needs of a machine. [`Xen`] is one.
pub trait Machine {
    /// Turns pending events into wake-ups.
    fn demux(&self);
    /// Sleeps until an event is pending or `deadline_ns`; may return early, and at once if one is pending.
    fn idle(&self, deadline_ns: Option<u64>);
    /// Nanoseconds since the machine started; never decreases.
    fn now_ns(&self) -> u64;
}

impl<P: Platform> Machine for Xen<P> {
    fn demux(&self) {
        self.demux();
    }
    fn idle(&self, deadline_ns: Option<u64>) {
        self.platform().idle(deadline_ns);
    }
    fn now_ns(&self) -> u64 {
        self.platform().now_ns()
    }
}

/// Runs `main`, and what it spawns, until `main` ends; then drops the tasks that are left.
pub fn run<M: Machine + 'static, T>(machine: &Rc<M>, main: impl AsyncFnOnce(Rt) -> T) -> T {
    let executor = Executor::new(machine.clone());
    let mut main = pin!(main(executor.rt()));
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = woken.clone().into();
    loop {
        let mut busy = executor.turn();
        if woken.take() {
            fata_trace::mark(Kind::PollBegin, Kind::MAIN, 0);
            let poll = main.as_mut().poll(&mut Context::from_waker(&waker));
            fata_trace::mark(Kind::PollEnd, Kind::MAIN, u64::from(poll.is_ready()));
            if let Poll::Ready(value) = poll {
                return value;
            }
            busy = true;
        }
        // Timers that are due end the sleep at once.
        if !busy || (executor.settle() && !woken.is_set()) {
            executor.idle();
        }
    }
}

/// The main future's waker. That future may borrow from its caller, so it is not one of the [`Tasks`].
struct Woken(AtomicBool);

impl Woken {
    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Acquire)
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        // A swap for the reason given in queue.rs.
        let was_woken = self.0.swap(true, Ordering::Release);
        if fata_trace::ON && !was_woken {
            fata_trace::mark(Kind::Woken, Kind::MAIN, 0);
        }
    }
}

/// Tasks and timers on one machine. [`run`] makes one; tests that interleave several guests make their own
/// and call [`turn`](Self::turn). Dropping it drops every task.
pub struct Executor {
    core: Rc<Core>,
}

impl Executor {
    /// An executor without tasks.
    pub fn new(machine: Rc<dyn Machine>) -> Self {
        Self {
            core: Rc::new(Core {
                machine,
                tasks: Tasks::new(),
                timers: RefCell::default(),
                services: RefCell::default(),
                added: RefCell::default(),
                batch: Cell::default(),
                turns: Cell::new(0),
                idles: Cell::new(0),
                wakes: Cell::new(0),
            }),
        }
    }

    /// The handle to give to tasks.
    pub fn rt(&self) -> Rt {
        Rt { core: self.core.clone() }
    }

    /// Runs events, services, timers and the tasks that are ready. Returns whether there were any such tasks.
    ///
    /// After a turn with tasks there should be another, or [`settle`](Self::settle), before [`idle`](Self::idle),
    /// so that services see what the tasks did.
    pub fn turn(&self) -> bool {
        self.core.turn()
    }

    /// Runs events and services once more. Returns whether no task is ready, so that the machine may sleep.
    pub fn settle(&self) -> bool {
        self.core.machine.demux();
        self.core.serve();
        self.core.tasks.are_waiting()
    }

    /// Lets the machine sleep until an event or the next timer.
    pub fn idle(&self) {
        let deadline_ns = self.core.timers.borrow().deadline_ns();
        self.core.idles.set(self.core.idles.get() + 1);
        fata_trace::mark(Kind::IdleBegin, deadline_ns.unwrap_or(u64::MAX), 0);
        self.core.machine.idle(deadline_ns);
        fata_trace::mark(Kind::IdleEnd, 0, 0);
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.core.tasks.close();
        self.core.services.take();
        self.core.added.take();
    }
}

type Service = Box<dyn FnMut()>;

/// Not generic: neither the machine nor any task's type makes a second copy of this code.
pub(crate) struct Core {
    machine: Rc<dyn Machine>,
    tasks: Tasks,
    pub(crate) timers: RefCell<Timers>,
    services: RefCell<Vec<Service>>,
    /// Those to come, since a service may add another.
    added: RefCell<Vec<Service>>,
    /// The last turn's list, kept for its memory.
    batch: Cell<Vec<Id>>,
    turns: Cell<u64>,
    idles: Cell<u64>,
    wakes: Cell<u64>,
}

impl Core {
    fn turn(&self) -> bool {
        self.turns.set(self.turns.get() + 1);
        fata_trace::mark(Kind::Turn, self.turns.get(), 0);
        self.machine.demux();
        self.serve();
        self.expire();
        let mut batch = self.batch.take();
        self.tasks.take_ready(&mut batch);
        self.wakes.set(self.wakes.get() + batch.len() as u64);
        let busy = !batch.is_empty();
        for id in batch.drain(..) {
            self.tasks.poll(id);
        }
        self.batch.set(batch);
        busy
    }

    fn serve(&self) {
        let mut services = self.services.borrow_mut();
        let mut added = self.added.borrow_mut();
        if !added.is_empty() {
            services.append(&mut added);
        }
        drop(added);
        for service in &mut *services {
            service();
        }
    }

    fn expire(&self) {
        if self.timers.borrow().is_empty() {
            return;
        }
        let now_ns = self.now_ns();
        loop {
            let Some(waker) = self.timers.borrow_mut().expired(now_ns) else { break };
            waker.wake();
        }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.machine.now_ns()
    }
}

/// A task's handle to the executor that runs it.
#[derive(Clone)]
pub struct Rt {
    core: Rc<Core>,
}

impl Rt {
    /// Runs `future` beside the caller, from the next turn on. Dropping the handle lets it run on.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let (task, outcome) = Spawned::new(future);
        let id = self.core.tasks.spawn(Box::pin(task));
        if fata_trace::ON
            && let Some(id) = id
        {
            fata_trace::name_task(id.word(), core::any::type_name::<F>());
        }
        JoinHandle { id, core: self.core.clone(), outcome }
    }

    /// Calls `service` in every turn, after events and before tasks, and again before the machine sleeps. For what
    /// has no event of its own to wait for, such as a UART whose interrupt only ends the machine's sleep.
    pub fn on_turn(&self, service: impl FnMut() + 'static) {
        self.core.added.borrow_mut().push(Box::new(service));
    }

    /// Nanoseconds since the machine started.
    pub fn now_ns(&self) -> u64 {
        self.core.now_ns()
    }

    /// Waits until [`now_ns`](Self::now_ns) reaches `at_ns`.
    pub fn sleep_until(&self, at_ns: u64) -> Sleep {
        Sleep::new(self.core.clone(), at_ns)
    }

    /// Waits for a while.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        // By hand, since `as_nanos` would bring in 128-bit arithmetic.
        let ns =
            duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos().into());
        self.sleep_until(self.now_ns().saturating_add(ns))
    }

    /// Waits for `future`, but no longer than `limit`; then drops it.
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        let mut limit = self.sleep(limit);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => Pin::new(&mut limit).poll(cx).map(|()| Err(Elapsed)),
        })
        .await
    }

    /// What the run loop did so far.
    pub fn stats(&self) -> Stats {
        Stats {
            turns: self.core.turns.get(),
            idles: self.core.idles.get(),
            wakes: self.core.wakes.get(),
            tasks: self.core.tasks.alive(),
            timers: self.core.timers.borrow().len(),
        }
    }
}

/// Counts of the run loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Turns of the loop.
    pub turns: u64,
    /// Times the machine was put to sleep; as many wake-ups.
    pub idles: u64,
    /// Times a task was found ready; the main one is not counted.
    pub wakes: u64,
    /// Tasks that have not ended, without the main one.
    pub tasks: usize,
    /// Timers that are set.
    pub timers: usize,
}

/// A spawned task. Await it for its result.
#[must_use = "to let the task run on its own, say `drop(handle)`"]
pub struct JoinHandle<T> {
    core: Rc<Core>,
    /// `None` if the executor had ended already.
    id: Option<Id>,
    outcome: Rc<Outcome<T>>,
}

impl<T> JoinHandle<T> {
    /// Drops the task's future at once, or, if it is being polled, as soon as that poll returns.
    /// Does nothing to a task that has ended.
    pub fn abort(&self) {
        if let Some(id) = self.id {
            self.core.tasks.abort(id);
        }
    }

    /// Whether the task has ended, with a result or without.
    pub fn is_finished(&self) -> bool {
        self.outcome.is_done()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, Aborted>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.outcome.poll(cx)
    }
}

/// Lets the other tasks, and the events of one turn, go first.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}
