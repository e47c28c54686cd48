//! A world with a store, and guests that use it.
#![allow(dead_code, reason = "each test file uses a part of it")]

use fata_sim::{Setup, SimCpu, Tasks, World, Xenstored};
use fata_xenstore::Xenstore;
use std::rc::Rc;
use std::task::Poll;
use xen_hyp::{DomId, Xen};

pub(crate) type Store = Xenstore<SimCpu>;

/// The only guest of most worlds.
pub(crate) const GUEST: DomId = DomId(1);

/// A world with a server that runs, and a guest that has opened its store.
pub(crate) fn running() -> (World, Rc<Xenstored>, Store) {
    running_with(Setup::default())
}

pub(crate) fn running_with(setup: Setup) -> (World, Rc<Xenstored>, Store) {
    let world = World::new();
    let server = Xenstored::start(&world);
    let store = open(&world.guest_with(setup));
    (world, server, store)
}

pub(crate) fn open(xen: &Rc<Xen<SimCpu>>) -> Store {
    Xenstore::open(xen).unwrap().expect("a store")
}

/// Runs a task to its end, with each store served.
pub(crate) fn run(world: &World, stores: &[&Store], task: impl Future<Output = ()>) {
    let done = std::cell::Cell::new(false);
    let mut tasks = Tasks::new(world);
    for store in stores {
        tasks.spawn(store.serve());
    }
    tasks.spawn(async {
        task.await;
        done.set(true);
    });
    // The servers go on for ever; with everything at rest, what was dropped has been undone as well.
    assert_eq!(tasks.run(), stores.len(), "a task waits for ever");
    assert!(done.get());
}

/// Polls the future so many times, and then drops it if it has not ended.
pub(crate) async fn drop_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Some(Box::pin(future));
    let mut left = polls;
    std::future::poll_fn(move |cx| {
        let Some(next) = left.checked_sub(1) else {
            future = None;
            return Poll::Ready(None);
        };
        left = next;
        match future.as_mut().expect("polled again after its end").as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => {
                future = None;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
