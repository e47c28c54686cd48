//! What the tests share: a guest with a disk, its backend, and how they are run.

#![allow(dead_code, reason = "not every test program needs all of it")]

use fata_block::{Disk, Link, Options};
use fata_disk::{BlockDevice, Buffer, SECTOR};
use fata_sim::{Blkback, Features, Medium, Rng, Setup, SimCpu, Tasks, World, Xenstored};
use fata_xenstore::Xenstore;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use xen_hyp::{DomId, Xen};

/// `xvda`.
pub(crate) const ID: u32 = 51712;
pub(crate) const SECTORS: u64 = 4096;

/// A guest with one disk.
pub(crate) struct Machine {
    pub(crate) world: World,
    pub(crate) server: Rc<Xenstored>,
    pub(crate) xen: Rc<Xen<SimCpu>>,
    pub(crate) store: Xenstore<SimCpu>,
    pub(crate) back: Rc<Blkback>,
    pub(crate) disk: Disk<SimCpu>,
}

impl Machine {
    /// The disk is plugged in, of [`SECTORS`] zeroes.
    pub(crate) fn new(options: Options, features: Features) -> Self {
        let machine = Self::without_disk(Setup::default(), options, features, SECTORS);
        machine.back.plug();
        machine
    }

    /// The disk is not plugged in.
    pub(crate) fn without_disk(setup: Setup, options: Options, features: Features, sectors: u64) -> Self {
        let world = World::new();
        let server = Xenstored::start(&world);
        let xen = world.guest_with(setup);
        let store = Xenstore::open(&xen).unwrap().unwrap();
        let back = Blkback::new(&world, &server, guest(&xen), ID, &Medium::new(sectors), features);
        let disk = Disk::new(&xen, ID, options);
        Self { world, server, xen, store, back, disk }
    }

    /// Plugs in the disk again, with a driver for it.
    pub(crate) fn replug(&self) {
        self.back.set_driver(true);
        self.back.plug();
    }

    /// Tasks among which the store and the disk are served.
    pub(crate) fn tasks(&self) -> Tasks<'_> {
        let mut tasks = Tasks::new(&self.world);
        tasks.spawn(self.store.serve());
        tasks.spawn(async {
            panic!("the disk is not served any more: {}", self.disk.serve(&self.store).await)
        });
        tasks
    }

    /// Runs `body`, with everything served, to its end.
    pub(crate) fn run(&self, body: impl Future<Output = ()>) {
        let done = Cell::new(false);
        let mut tasks = self.tasks();
        tasks.spawn(async {
            body.await;
            done.set(true);
        });
        let left = tasks.run();
        assert!(done.get(), "a task waits for ever: {left}, {:?}, {:?}", self.disk, self.disk.outstanding());
    }

    /// Pulls the disk, and checks that nothing is left of it and that the guest did nothing wrong.
    pub(crate) fn finish(self) {
        assert_eq!(self.back.complaints(), Vec::<String>::new());
        self.finish_anyhow();
    }

    /// The same where the backend may have something to complain of.
    pub(crate) fn finish_anyhow(self) {
        self.back.let_go();
        self.run(async {
            self.back.pull();
            while self.disk.link() != Link::Paused {
                self.disk.link_after(self.disk.link()).await;
            }
        });
        assert_eq!(self.disk.outstanding(), (0, 0));
        // What was dropped is undone as well.
        let mut tasks = Tasks::new(&self.world);
        tasks.spawn(self.store.serve());
        tasks.run();
        drop(tasks);
        let Self { world, server: _server, xen, store, back, disk } = self;
        drop((disk, store, back));
        xen.reclaim_grants();
        world.assert_cleaned_up();
    }
}

pub(crate) fn guest(xen: &Rc<Xen<SimCpu>>) -> DomId {
    xen.platform().domain().id()
}

pub(crate) fn buffer(bytes: &[u8]) -> Buffer {
    let mut buffer = Buffer::new(bytes.len()).unwrap();
    buffer.copy_from_slice(bytes);
    buffer
}

/// Sectors' worth of random bytes.
pub(crate) fn sectors(rng: &mut Rng, count: u64) -> Vec<u8> {
    rng.bytes(count as usize * SECTOR)
}

pub(crate) async fn write<D: BlockDevice>(disk: &D, sector: u64, bytes: &[u8]) {
    let buffer = disk.write(sector, buffer(bytes)).await.unwrap();
    assert!(*buffer == *bytes, "the buffer comes back as it was");
}

pub(crate) async fn read<D: BlockDevice>(disk: &D, sector: u64, count: u64) -> Vec<u8> {
    disk.read(sector, Buffer::new(count as usize * SECTOR).unwrap()).await.unwrap().to_vec()
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

/// Polls the future once; what it gave if it has ended.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| match Pin::new(&mut *future).poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
