//! What the tests share: a guest with a network interface, its backend, how they are run, and packets.

#![allow(dead_code, reason = "not every test program needs all of it")]

pub(crate) mod packets;
pub(crate) mod two;

use fata_link::Link;
use fata_net::{Nic, Options, Phy, State};
use fata_sim::{NetFeatures, Netback, Setup, SimCpu, Tasks, World, Xenstored};
use fata_xenstore::Xenstore;
use smoltcp::phy::{Device, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;
use std::cell::Cell;
use std::future::poll_fn;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};
use xen_hyp::{DomId, Xen};

/// A guest with one network interface.
pub(crate) struct Machine {
    pub(crate) world: World,
    pub(crate) server: Rc<Xenstored>,
    pub(crate) xen: Rc<Xen<SimCpu>>,
    pub(crate) store: Xenstore<SimCpu>,
    pub(crate) back: Rc<Netback>,
    pub(crate) nic: Nic<SimCpu>,
}

impl Machine {
    /// The interface is plugged in.
    pub(crate) fn new(options: Options, features: NetFeatures) -> Self {
        let machine = Self::without_nic(Setup::default(), options, features);
        machine.back.plug();
        machine
    }

    /// What either end does of its own accord.
    pub(crate) fn usual() -> Self {
        Self::new(Options::default(), NetFeatures::default())
    }

    /// The interface is not plugged in.
    pub(crate) fn without_nic(setup: Setup, options: Options, features: NetFeatures) -> Self {
        let world = World::new();
        let server = Xenstored::start(&world);
        Self::another(&world, &server, setup, options, features)
    }

    /// One more guest in a world.
    pub(crate) fn another(
        world: &World,
        server: &Rc<Xenstored>,
        setup: Setup,
        options: Options,
        features: NetFeatures,
    ) -> Self {
        let xen = world.guest_with(setup);
        let store = Xenstore::open(&xen).unwrap().unwrap();
        let back = Netback::new(world, server, guest(&xen), 0, features);
        let nic = Nic::new(&xen, 0, options);
        Self { world: world.clone(), server: server.clone(), xen, store, back, nic }
    }

    /// Plugs in the interface again, with a driver for it.
    pub(crate) fn replug(&self) {
        self.back.set_driver(true);
        self.back.plug();
    }

    /// Tasks among which the store and the interface are served.
    pub(crate) fn tasks(&self) -> Tasks<'_> {
        let mut tasks = Tasks::new(&self.world);
        tasks.spawn(self.store.serve());
        tasks.spawn(async {
            panic!("the interface is not served any more: {}", self.nic.serve(&self.store).await)
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
        assert!(done.get(), "a task waits for ever: {left}, {:?}, {:?}", self.nic, self.nic.totals());
    }

    /// Hypercalls that sent an event, of the guest and of domain 0.
    pub(crate) fn sends(&self) -> (u64, u64) {
        (self.xen.platform().domain().sends(), self.world.dom0().sends())
    }

    /// Pages that are lent, of this interface alone.
    pub(crate) fn lent(&self) -> usize {
        self.xen.grant_totals().lent
    }

    /// Pulls the interface, and checks that nothing is left of it and that the guest did nothing wrong.
    pub(crate) fn finish(self) {
        assert_eq!(self.back.complaints(), Vec::<String>::new());
        self.finish_anyhow();
    }

    /// The same where the backend may have something to complain of.
    pub(crate) fn finish_anyhow(self) {
        let world = self.world.clone();
        let _server = self.server.clone();
        self.pull();
        world.assert_cleaned_up();
    }

    /// Pulls the interface and ends the guest.
    pub(crate) fn pull(self) {
        self.back.let_go();
        self.run(async {
            self.back.pull();
            while self.nic.state() != State::Paused {
                self.nic.state_after(self.nic.state()).await;
            }
        });
        // What was dropped is undone as well.
        let mut tasks = Tasks::new(&self.world);
        tasks.spawn(self.store.serve());
        tasks.run();
        drop(tasks);
        let Self { world: _, server: _, xen, store, back, nic } = self;
        drop((nic, store, back));
        assert_eq!((xen.reclaim_grants(), xen.grant_totals().lent), (0, 0));
    }
}

pub(crate) fn guest(xen: &Rc<Xen<SimCpu>>) -> DomId {
    xen.platform().domain().id()
}

/// Writes a frame if there is room. It goes with the next flush.
pub(crate) fn send(phy: &mut Phy<SimCpu>, bytes: &[u8]) -> bool {
    send_cut(phy, bytes, 0)
}

/// The same for one to be cut into segments with so much payload, if that is not nought.
pub(crate) fn send_cut(phy: &mut Phy<SimCpu>, bytes: &[u8], mss: u16) -> bool {
    let Some(mut token) = phy.transmit(Instant::ZERO) else { return false };
    let mut meta = PacketMeta::default();
    meta.segmentation_offload_size = NonZeroU16::new(mss);
    token.set_meta(meta);
    token.consume(bytes.len(), |room| room.copy_from_slice(bytes));
    true
}

/// The next frame, if there is one.
pub(crate) fn receive(phy: &mut Phy<SimCpu>) -> Option<Vec<u8>> {
    phy.receive(Instant::ZERO).map(|(rx, _)| rx.consume(|frame| frame.to_vec()))
}

/// All frames there are, after which there is room for more.
pub(crate) fn receive_all(phy: &mut Phy<SimCpu>) -> Vec<Vec<u8>> {
    let frames = std::iter::from_fn(|| receive(phy)).collect();
    phy.flush();
    frames
}

/// Sends a frame when there is room.
pub(crate) async fn sent(phy: &mut Phy<SimCpu>, bytes: &[u8]) {
    poll_fn(|cx| {
        phy.register(cx.waker());
        let sent = send(phy, bytes);
        phy.flush();
        if sent { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The next frame, when it comes.
pub(crate) async fn received(phy: &mut Phy<SimCpu>) -> Vec<u8> {
    poll_fn(|cx| {
        phy.register(cx.waker());
        let frame = receive(phy);
        phy.flush();
        frame.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// Counts how often it is woken.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wakes {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let wakes = Arc::new(Self::default());
        (wakes.clone(), wakes.into())
    }

    /// How often since the last call.
    pub(crate) fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls the future so many times, and then drops it if it has not ended.
pub(crate) async fn drop_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Some(Box::pin(future));
    let mut left = polls;
    poll_fn(move |cx| {
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
