//! What an end that breaks the protocol can do to ours: end that vchan, and nothing else.

use fata_sim::{SimCpu, Tasks, World};
use fata_vchan::{Error, Fixed, Orders, Vchan, connect, listen};
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use xen_hyp::{Access, Channel, DomId, GrantRef, Granted, Mapped, Pages, SharedBits, SharedMem, Xen};

const GREF: GrantRef = GrantRef(8);
/// Indices of the ring that the client writes, then of the other; the orders; the bytes of either end.
const LEFT_CONS: usize = 0;
const LEFT_PROD: usize = 4;
const RIGHT_CONS: usize = 8;
const RIGHT_PROD: usize = 12;
const ORDERS: usize = 16;
const FLAGS: usize = 20;
const GRANTS: usize = 24;

struct Two {
    world: World,
    ours: (Rc<Xen<SimCpu>>, Fixed),
    xen: Rc<Xen<SimCpu>>,
    channel: Channel<SimCpu>,
    us: DomId,
}

impl Two {
    fn new() -> Self {
        let world = World::new();
        let (ours, xen) = (world.guest(), world.guest());
        let [a, b] = [&ours, &xen].map(|xen| xen.platform().domain().clone());
        let (port, their) = world.static_event_channel(&a, &b);
        let channel = xen.adopt(their).unwrap();
        Self { world, ours: (ours, Fixed { peer: b.id(), port, gref: GREF }), xen, channel, us: a.id() }
    }

    /// We serve, and they do as they like.
    fn serving(&self, orders: Orders, hostile: impl AsyncFnOnce(&Vchan<SimCpu>, &Mapped<SimCpu>)) {
        let page = OnceCell::new();
        let mut tasks = Tasks::new(&self.world);
        let (xen, meeting) = &self.ours;
        tasks.spawn(async {
            let listener = listen(xen, meeting, orders).await.unwrap();
            let page = page.get_or_init(|| self.xen.map(self.us, &[GREF]).unwrap());
            page.update(FLAGS, 0xff, 1);
            self.channel.notify();
            let vchan = listener.accept().await;
            hostile(&vchan, page).await;
        });
        assert_eq!(tasks.run(), 0, "we wait for ever");
        drop(tasks);
        drop(page);
        assert_eq!(xen.reclaim_grants(), 0);
        self.world.assert_cleaned_up();
    }

    /// They lay out a page, and we are its client.
    fn seeking(&self, lay_out: impl FnOnce(&Granted<SimCpu>)) -> Option<Error> {
        let page = Pages::new(1).unwrap().grant_at(&self.xen, self.us, Access::Write, GREF).unwrap();
        page.store(FLAGS, 2 | 1 << 8);
        lay_out(&page);
        let (xen, meeting) = &self.ours;
        let error = RefCell::new(None);
        let mut tasks = Tasks::new(&self.world);
        tasks.spawn(async {
            error.replace(connect(xen, meeting, None).await.err());
        });
        tasks.run();
        drop(tasks);
        drop(page);
        assert_eq!(self.xen.reclaim_grants(), 0);
        self.world.assert_cleaned_up();
        error.take()
    }
}

#[test]
fn indices_that_cannot_be_end_the_vchan_for_both_directions() {
    for (index, value) in
        [(LEFT_PROD, 1025), (LEFT_PROD, u32::MAX), (RIGHT_CONS, 1), (RIGHT_CONS, u32::MAX - 5000)]
    {
        Two::new().serving(Orders { left: 10, right: 11 }, async |vchan, page| {
            page.store(index, value);
            let mut bytes = [0; 4000];
            let first = match index {
                LEFT_PROD => vchan.read(&mut bytes).await,
                _ => vchan.write(&bytes).await,
            };
            assert_eq!(first, Err(Error::Corrupt), "{index} {value:#x}");
            // Put right again, it stays what it is.
            page.store(index, 0);
            assert_eq!(vchan.read(&mut bytes).await, Err(Error::Corrupt));
            assert_eq!(vchan.write(&bytes).await, Err(Error::Corrupt));
            assert_eq!(vchan.recv(&mut bytes[..4]).await, Err(Error::Corrupt));
            assert_eq!(vchan.ended().await, Error::Corrupt);
            assert!(!vchan.is_open());
        });
    }
}

#[test]
fn indices_that_go_back_end_it_too() {
    // As a reader that takes back what it has read: the room that was known of is no more.
    Two::new().serving(Orders::both(12), async |vchan, page| {
        assert_eq!(vchan.write(&[1; 4096]).await, Ok(4096));
        page.store(RIGHT_CONS, 4000);
        assert_eq!(vchan.write(&[1; 100]).await, Ok(100));
        page.store(RIGHT_CONS, 200);
        // What is known to be free is used.
        assert_eq!(vchan.write(&[1; 1000]).await, Ok(1000));
        assert_eq!(vchan.write(&[1; 4000]).await, Err(Error::Corrupt));
    });
    // As a writer that takes back what it has written.
    for back in [50, 100] {
        Two::new().serving(Orders { left: 10, right: 11 }, async |vchan, page| {
            page.store(LEFT_PROD, 1024);
            assert_eq!(vchan.read(&mut [0; 100]).await, Ok(100));
            page.store(LEFT_PROD, back);
            assert_eq!(vchan.read(&mut [0; 924]).await, Ok(924), "which was known to be there");
            assert_eq!(vchan.read(&mut [0; 1]).await, Err(Error::Corrupt));
        });
        Two::new().serving(Orders { left: 10, right: 11 }, async |vchan, page| {
            page.store(LEFT_PROD, 1024);
            assert_eq!(vchan.read(&mut [0; 100]).await, Ok(100));
            page.store(LEFT_PROD, back);
            assert_eq!(vchan.read(&mut [0; 2000]).await, Err(Error::Corrupt));
        });
    }
}

#[test]
fn indices_of_ours_are_not_believed_when_others_write_them() {
    Two::new().serving(Orders::both(12), async |vchan, page| {
        assert_eq!(vchan.write(&[1; 100]).await, Ok(100));
        page.store(RIGHT_PROD, 0xdead_beef);
        page.store(LEFT_CONS, 77);
        page.store(LEFT_PROD, 5);
        assert_eq!(vchan.write(&[1; 100]).await, Ok(100));
        assert_eq!(page.load(RIGHT_PROD), 200);
        assert_eq!(vchan.read(&mut [0; 100]).await, Ok(5));
        assert_eq!(page.load(LEFT_CONS), 5);
    });
}

#[test]
fn sizes_are_read_once() {
    Two::new().serving(Orders { left: 10, right: 11 }, async |vchan, page| {
        page.store(ORDERS, 20 | 20 << 16);
        assert_eq!(vchan.capacity(), 2048);
        assert_eq!(vchan.write(&[1; 4000]).await, Ok(2048));
    });
}

#[test]
fn who_has_closed_cannot_come_back() {
    Two::new().serving(Orders::both(12), async |vchan, page| {
        page.update(FLAGS, 0xff, 0);
        assert!(!vchan.is_open());
        page.update(FLAGS, 0xff, 1);
        assert!(!vchan.is_open());
        assert_eq!(vchan.write(b"x").await, Err(Error::Closed));
        assert_eq!(vchan.read(&mut [0; 1]).await, Ok(0));
    });
}

#[test]
fn who_is_destroyed_leaves_nobody_waiting_whatever_it_said_last() {
    /// What it does before its end, without an event.
    type LastWords = fn(&Mapped<SimCpu>);
    let all: [(LastWords, Error); 3] = [
        (|_| {}, Error::Gone),
        // Half of what is waited for.
        (|page| page.store(LEFT_PROD, 2), Error::Gone),
        (|page| _ = page.update(FLAGS, 0xff, 0), Error::Closed),
    ];
    for (last_words, error) in all {
        let two = Two::new();
        let (xen, meeting) = &two.ours;
        let (page, vchan, end) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        let mut tasks = Tasks::new(&two.world);
        tasks.spawn(async {
            let listener = listen(xen, meeting, Orders::both(12)).await.unwrap();
            page.get_or_init(|| two.xen.map(two.us, &[GREF]).unwrap()).update(FLAGS, 0xff, 1);
            two.channel.notify();
            let made = Rc::new(listener.accept().await);
            vchan.set(Rc::clone(&made)).unwrap();
            end.set(made.recv(&mut [0; 4]).await).unwrap();
        });
        assert_eq!(tasks.run(), 1);
        last_words(page.get().unwrap());
        two.world.destroy(two.xen.platform().domain());
        assert!(!vchan.get().unwrap().probe());
        assert_eq!(tasks.run(), 0, "we wait for ever");
        assert_eq!(end.get(), Some(&Err(error)));
        drop(tasks);
        drop(vchan);
        assert_eq!(xen.reclaim_grants(), 0);
        two.world.assert_cleaned_up();
    }
}

#[test]
fn a_server_that_lays_out_nonsense_gets_no_client() {
    for (orders, error) in [
        (12 | 9 << 16, Some(Error::Corrupt)),
        (u32::MAX, Some(Error::Corrupt)),
        (10 | 10 << 16, Some(Error::Corrupt)),
        (10 | 20 << 16, Some(Error::Corrupt)),
        // What is not lent is not there yet.
        (12 | 12 << 16, None),
        (20 | 20 << 16, None),
    ] {
        let found = Two::new().seeking(|page| {
            page.store(ORDERS, orders);
            page.copy_out(GRANTS, &[0xee; 64]);
        });
        assert_eq!(found, error, "{orders:#x}");
    }
    let found = Two::new().seeking(|page| {
        page.store(ORDERS, 10 | 11 << 16);
        page.store(RIGHT_PROD, 2049);
    });
    assert_eq!(found, Some(Error::Corrupt));
}
