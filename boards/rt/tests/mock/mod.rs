//! A machine with a simulated clock and one kind of event.

use fata_rt::Machine;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

#[derive(Default)]
pub(crate) struct Mock {
    now_ns: Cell<u64>,
    /// How long each `now_ns` takes.
    pub(crate) tick_ns: Cell<u64>,
    pub(crate) fired: Cell<u64>,
    /// When events will fire.
    pub(crate) agenda: RefCell<Vec<u64>>,
    waiters: RefCell<Vec<Waker>>,
    /// The deadline of each `idle` so far.
    pub(crate) slept: RefCell<Vec<Option<u64>>>,
}

impl Mock {
    pub(crate) fn new() -> Rc<Self> {
        Rc::default()
    }

    /// Waits until more than `seen` events have fired.
    pub(crate) async fn event(&self, seen: u64) -> u64 {
        poll_fn(|cx| {
            if self.fired.get() > seen {
                return Poll::Ready(self.fired.get());
            }
            self.waiters.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Machine for Mock {
    fn demux(&self) {
        let due = self.agenda.borrow_mut().extract_if(.., |at| *at <= self.now_ns.get()).count();
        if due > 0 {
            self.fired.set(self.fired.get() + due as u64);
            self.waiters.take().into_iter().for_each(Waker::wake);
        }
    }
    fn idle(&self, deadline_ns: Option<u64>) {
        self.slept.borrow_mut().push(deadline_ns);
        let until = self.agenda.borrow().iter().copied().chain(deadline_ns).min();
        let until = until.expect("asleep for ever: neither an event nor a timer is ahead");
        self.now_ns.set(until.max(self.now_ns.get()));
    }
    fn now_ns(&self) -> u64 {
        self.now_ns.set(self.now_ns.get() + self.tick_ns.get());
        self.now_ns.get()
    }
}
