//! Questions that are on their way, each for all who want to know.

use crate::cache::{ANY, Known, Outcome};
use crate::error::Error;
use crate::message::Question;
use crate::resolver::Inner;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use fata_rt::JoinHandle;

/// A question on its way. It ends when nobody waits for it any more, and nothing of it is left.
pub(crate) struct Flight {
    question: Question,
    landed: RefCell<Option<Result<Known, Error>>>,
    wakers: RefCell<Vec<Waker>>,
    task: Cell<Option<JoinHandle<()>>>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Flight {
    /// Waits for what comes of it.
    pub(crate) async fn land(&self) -> Result<Known, Error> {
        poll_fn(|cx| {
            if let Some(landed) = &*self.landed.borrow() {
                return Poll::Ready(landed.clone());
            }
            let mut wakers = self.wakers.borrow_mut();
            if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                wakers.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    fn tell(&self, landed: Result<Known, Error>) {
        *self.landed.borrow_mut() = Some(landed);
        self.wakers.take().into_iter().for_each(Waker::wake);
    }
}

impl Inner {
    /// The question on its way, after sending it off if it is not.
    pub(crate) fn fly(self: &Rc<Self>, question: Question) -> Rc<Flight> {
        let mut flights = self.flights.borrow_mut();
        flights.retain(|flight| flight.strong_count() > 0);
        let known = flights.iter().filter_map(Weak::upgrade);
        // One that has landed is there until all have heard, and it may be out of date.
        let same = |flight: &Rc<Flight>| flight.question == question && flight.landed.borrow().is_none();
        if let Some(known) = known.into_iter().find(same) {
            self.count(|counts| counts.shared += 1);
            return known;
        }
        let flight = Rc::new(Flight {
            question,
            landed: RefCell::default(),
            wakers: RefCell::default(),
            task: Cell::new(None),
        });
        flights.push(Rc::downgrade(&flight));
        let (inner, told) = (self.clone(), Rc::downgrade(&flight));
        let question = flight.question.clone();
        flight.task.set(Some(self.stack.rt().spawn(async move {
            let landed = inner.learn(&question).await;
            if let Some(flight) = told.upgrade() {
                flight.tell(landed);
            }
        })));
        flight
    }

    /// Asks, and keeps what is learnt.
    async fn learn(self: &Rc<Self>, question: &Question) -> Result<Known, Error> {
        let _turn = Turn::of(self).await;
        let found = self.stack.rt().timeout(self.config.limit, self.find(question)).await;
        let found = found.unwrap_or(Err(Error::Timeout))?;
        let (kind, most_s) = match &found.outcome {
            Ok(_) => (question.kind, self.config.ttl_most_s),
            // What leads somewhere is a name, even if there is nothing.
            Err(Error::NoSuchName) if !found.by_alias => (ANY, self.config.nothing_most_s),
            Err(_) => (question.kind, self.config.nothing_most_s),
        };
        let ttl_s = found.ttl_s.min(most_s);
        let most_s = self.config.ttl_most_s;
        let outcome: Outcome = found.outcome.map(|mut records| {
            records.iter_mut().for_each(|record| record.ttl_s = record.ttl_s.min(most_s));
            records.into()
        });
        let known = Known { outcome, server: found.server, since_ns: self.now_ns(), until_ns: 0 };
        self.cache.borrow_mut().keep(&question.name, kind, ttl_s, known.clone());
        Ok(known)
    }
}

impl Inner {
    /// Wakes those who wait: all of them, since the first may have given up.
    pub(crate) fn call(&self) {
        self.queue.take().into_iter().for_each(Waker::wake);
    }

    /// Has a task woken by that.
    pub(crate) fn queue(&self, cx: &Context<'_>) {
        let mut queue = self.queue.borrow_mut();
        if !queue.iter().any(|waker| waker.will_wake(cx.waker())) {
            queue.push(cx.waker().clone());
        }
    }
}

/// One of the questions that may be on their way at the same time.
struct Turn(Rc<Inner>);

impl Turn {
    async fn of(inner: &Rc<Inner>) -> Self {
        poll_fn(|cx| {
            let active = inner.active.get();
            if active < inner.config.questions.max(1) {
                inner.active.set(active + 1);
                return Poll::Ready(());
            }
            inner.queue(cx);
            Poll::Pending
        })
        .await;
        Self(inner.clone())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
        self.0.call();
    }
}
