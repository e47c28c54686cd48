//! Handshakes that are under way: how many there may be, and who has to make room when they are too many.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Poll, Waker};
use core::time::Duration;
use fata_rt::Rt;

/// At a time, at most. Each can make us hold 96 KiB.
pub(crate) const MOST: usize = 64;
/// Nobody has to make room for others before: most clients are done by then.
const GRACE_NS: u64 = 250_000_000;

/// Those of a listener, in the order in which they have begun.
#[derive(Default)]
pub(crate) struct Handshakes {
    under_way: RefCell<VecDeque<Rc<One>>>,
    waiting: Cell<Option<Waker>>,
}

struct One {
    since_ns: u64,
    fate: Cell<Fate>,
    waker: Cell<Option<Waker>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    /// It has come about, so that it has nothing to fear.
    Done,
    /// Others had no room for it.
    Crowded,
}

/// One of them, until it is dropped.
pub(crate) struct Begun {
    all: Rc<Handshakes>,
    one: Rc<One>,
}

impl Handshakes {
    /// Begins another. If there are as many as may be, that which has lasted longest ends, or is waited for while it is too
    /// young for that.
    pub(crate) async fn begin(this: &Rc<Self>, rt: &Rt) -> Begun {
        loop {
            let now_ns = rt.now_ns();
            if this.under_way.borrow().len() < MOST {
                let one = One { since_ns: now_ns, fate: Cell::new(Fate::Open), waker: Cell::default() };
                let one = Rc::new(one);
                this.under_way.borrow_mut().push_back(one.clone());
                return Begun { all: this.clone(), one };
            }
            let oldest = this.under_way.borrow().iter().position(|one| one.fate.get() == Fate::Open);
            let age_ns = |index: usize| now_ns.saturating_sub(this.under_way.borrow()[index].since_ns);
            match oldest.map(|index| (index, age_ns(index))) {
                Some((index, GRACE_NS..)) => {
                    if let Some(one) = this.under_way.borrow_mut().remove(index) {
                        one.fate.set(Fate::Crowded);
                        wake(&one.waker);
                    }
                }
                Some((_, age_ns)) => {
                    // Either will do.
                    let _ = rt.timeout(Duration::from_nanos(GRACE_NS - age_ns), this.fewer()).await;
                }
                None => this.fewer().await,
            }
        }
    }

    /// Waits until there are fewer than may be.
    async fn fewer(&self) {
        poll_fn(|cx| {
            if self.under_way.borrow().len() < MOST {
                return Poll::Ready(());
            }
            self.waiting.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Begun {
    /// Goes on with it, until it has come about or had to make room, which gives `None`.
    pub(crate) async fn unless_crowded<T>(&self, handshake: impl Future<Output = T>) -> Option<T> {
        let mut handshake = pin!(handshake);
        poll_fn(|cx| {
            if self.one.fate.get() == Fate::Crowded {
                return Poll::Ready(None);
            }
            if let Poll::Ready(done) = handshake.as_mut().poll(cx) {
                self.one.fate.set(Fate::Done);
                return Poll::Ready(Some(done));
            }
            self.one.waker.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.all.under_way.borrow_mut().retain(|one| !Rc::ptr_eq(one, &self.one));
        wake(&self.all.waiting);
    }
}

fn wake(waker: &Cell<Option<Waker>>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
