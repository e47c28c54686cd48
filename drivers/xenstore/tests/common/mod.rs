//! A world with a store, and guests that use it.
#![allow(dead_code, reason = "each test file uses a part of it")]

use fata_sim::{Setup, SimCpu, Tasks, World, Xenstored};
use fata_xenstore::Xenstore;
use std::rc::Rc;
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
