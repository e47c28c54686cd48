//! An end that does what libxenvchan does, and dies at every step of it: of connecting, of passing bytes and of closing.

use fata_sim::{Setup, SimCpu, Tasks, World, Xenstored};
use fata_vchan::{Error, Orders, StorePath, Vchan, connect, listen};
use fata_xenstore::{Access, Perms, Xenstore};
use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use xen_hyp::{
    Access as GrantAccess, Channel, DomId, GrantRef, Granted, Mapped, Pages, Port, SharedBits, SharedMem, Xen,
};

/// How it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// With its domain: no word, no event.
    Domain,
    /// As a program under Linux, whose drivers say so for it (`IOCTL_GNTDEV_SET_UNMAP_NOTIFY`).
    Program,
    /// It stops doing anything, for good.
    Hang,
}

/// What the end has, and what is left of its life.
struct Lib<'a> {
    world: &'a World,
    xenstored: &'a Xenstored,
    xen: Rc<Xen<SimCpu>>,
    store: Xenstore<SimCpu>,
    steps: Cell<usize>,
    dies_at: usize,
    death: Death,
    dead: Cell<bool>,
    held: RefCell<Held>,
}

#[derive(Default)]
struct Held {
    channel: Option<Rc<Channel<SimCpu>>>,
    lent: Vec<Rc<Granted<SimCpu>>>,
    mapped: Vec<Rc<Mapped<SimCpu>>>,
}

/// Where things are in the control page.
const LEFT: usize = 0;
const RIGHT: usize = 8;
const ORDERS: usize = 16;
const FLAGS: usize = 20;
const GRANTS: usize = 24;
const CLI_LIVE: u32 = 0;
const SRV_LIVE: u32 = 8;
const CLI_NOTIFY: u32 = 16;
const SRV_NOTIFY: u32 = 24;

impl Lib<'_> {
    /// Goes on living, or not.
    async fn step(&self) {
        let step = self.steps.replace(self.steps.get() + 1);
        if step != self.dies_at {
            return;
        }
        self.dead.set(true);
        match self.death {
            Death::Hang => {}
            Death::Domain => {
                let domain = self.xen.platform().domain();
                // In the order of the toolstack.
                self.xenstored.release(domain.id());
                self.world.destroy(domain);
            }
            Death::Program => {
                let mut held = self.held.borrow_mut();
                // The control page is the first of either kind.
                if let Some(page) = held.mapped.first() {
                    page.update(FLAGS, 0xff << CLI_LIVE, 0);
                }
                if let Some(page) = held.lent.first() {
                    page.update(FLAGS, 0xff << SRV_LIVE, 0);
                }
                held.mapped.clear();
                if let Some(channel) = held.channel.take() {
                    channel.notify();
                }
                held.lent.clear();
            }
        }
        pending().await
    }

    async fn serve(&self, client: DomId, orders: Orders) {
        self.step().await;
        let channel = Rc::new(self.xen.listen(client).unwrap());
        self.held.borrow_mut().channel = Some(channel.clone());
        self.step().await;
        let lend = |count: usize| {
            let pages = Pages::new(count).unwrap();
            let lent = Rc::new(pages.grant(&self.xen, client, GrantAccess::Write).unwrap());
            self.held.borrow_mut().lent.push(lent.clone());
            lent
        };
        let control = lend(1);
        self.step().await;
        control.store(ORDERS, u32::from(orders.left) | u32::from(orders.right) << 16);
        control.store(FLAGS, 2 << CLI_LIVE | 1 << SRV_LIVE | 1 << CLI_NOTIFY);
        let mut next = GRANTS;
        let mut rings = Vec::new();
        for order in [orders.left, orders.right] {
            self.step().await;
            rings.push(if order < 12 {
                None
            } else {
                let ring = lend(1 << (order - 12));
                ring.each_ref(0..ring.count(), |gref| {
                    control.copy_out(next, &gref.0.to_le_bytes());
                    next += 4;
                });
                Some(ring)
            });
        }
        self.step().await;
        let perms = Perms::shared(self.xen.domid().unwrap(), client, Access::Read);
        for (name, value) in [("ring-ref", control.gref().0), ("event-channel", channel.port().0)] {
            let path = format!("data/test/{name}");
            self.store.write(&path, value.to_string()).await.unwrap();
            self.step().await;
            self.store.set_perms(&path, &perms).await.unwrap();
            self.step().await;
        }
        let alive = || (control.load(FLAGS) >> CLI_LIVE & 0xff != 2).then_some(());
        channel.until(alive).await;
        let at = |order: u16| match order {
            10 => 1024,
            11 => 2048,
            _ => 0,
        };
        let ring = |n: usize| rings[n].as_deref().unwrap_or(&control);
        let reads = Way { ring: ring(0), at: at(orders.left), size: 1 << orders.left, indices: LEFT };
        let writes = Way { ring: ring(1), at: at(orders.right), size: 1 << orders.right, indices: RIGHT };
        self.talk(&*control, &channel, reads, writes, (CLI_NOTIFY, SRV_NOTIFY), CLI_LIVE).await;
        self.step().await;
        control.update(FLAGS, 0xff << SRV_LIVE, 0);
        self.step().await;
        channel.notify();
        self.step().await;
        self.store.rm("data/test").await.unwrap();
        self.step().await;
    }

    async fn seek(&self, server: DomId) {
        let path = format!("/local/domain/{}/data/test", server.0);
        let mut watch = self.store.watch(&format!("{path}/event-channel")).unwrap();
        let (gref, port) = loop {
            self.step().await;
            let number =
                async |name: &str| self.store.try_read_number::<u32>(&format!("{path}/{name}")).await;
            match (number("ring-ref").await, number("event-channel").await) {
                (Ok(Some(gref)), Ok(Some(port))) => break (GrantRef(gref), Port(port)),
                _ => watch.changed().await.unwrap(),
            }
        };
        self.step().await;
        let channel = Rc::new(self.xen.connect(server, port).unwrap());
        self.held.borrow_mut().channel = Some(channel.clone());
        self.step().await;
        let map = |grefs: &[GrantRef]| {
            let mapped = Rc::new(self.xen.map(server, grefs).unwrap());
            self.held.borrow_mut().mapped.push(mapped.clone());
            mapped
        };
        let control = map(&[gref]);
        let orders = control.load(ORDERS);
        let orders = [orders as u16, (orders >> 16) as u16];
        let mut next = GRANTS;
        let mut rings = Vec::new();
        for order in orders {
            self.step().await;
            rings.push(if order < 12 {
                None
            } else {
                let grefs: Vec<_> =
                    (0..1 << (order - 12)).map(|n| GrantRef(control.read::<u32>(next + 4 * n))).collect();
                next += 4 * grefs.len();
                Some(map(&grefs))
            });
        }
        self.step().await;
        control.update(FLAGS, 0xff << CLI_LIVE, 1 << CLI_LIVE);
        self.step().await;
        control.update(FLAGS, 0xff << SRV_NOTIFY, 1 << SRV_NOTIFY);
        self.step().await;
        channel.notify();
        let at = |order: u16| match order {
            10 => 1024,
            11 => 2048,
            _ => 0,
        };
        let ring = |n: usize| rings[n].as_deref().unwrap_or(&control);
        let writes = Way { ring: ring(0), at: at(orders[0]), size: 1 << orders[0], indices: LEFT };
        let reads = Way { ring: ring(1), at: at(orders[1]), size: 1 << orders[1], indices: RIGHT };
        self.talk(&*control, &channel, reads, writes, (SRV_NOTIFY, CLI_NOTIFY), SRV_LIVE).await;
        self.step().await;
        rings.clear();
        self.held.borrow_mut().mapped.truncate(1);
        self.step().await;
        control.update(FLAGS, 0xff << CLI_LIVE, 0);
        self.step().await;
        drop(control);
        self.held.borrow_mut().mapped.clear();
        self.step().await;
        channel.notify();
        self.step().await;
        self.held.borrow_mut().channel = None;
    }

    /// Sends back what comes, `TALK` bytes of it, as libxenvchan reads and writes.
    async fn talk<M: SharedBits>(
        &self,
        control: &M,
        channel: &Channel<SimCpu>,
        reads: Way<'_, M>,
        writes: Way<'_, M>,
        (ours, theirs): (u32, u32),
        their_live: u32,
    ) {
        let open = || control.load(FLAGS) >> their_live & 0xff != 0;
        let ask = |bit: u32| {
            control.update(FLAGS, 0, bit << ours).unwrap();
        };
        let tell = |bit: u32| {
            if control.update(FLAGS, bit << theirs, 0).unwrap() & bit << theirs != 0 {
                channel.notify();
            }
        };
        let mut done = 0;
        while done < TALK {
            ask(1);
            let there = || {
                let there = control.load(reads.indices + 4).wrapping_sub(control.load(reads.indices));
                (there > 0 || !open()).then_some(there)
            };
            let there = channel.until(there).await;
            self.step().await;
            if there == 0 {
                return;
            }
            let mut bytes = vec![0; there.min(PIECE as u32) as usize];
            reads.copy(control.load(reads.indices), bytes.len(), |offset, part| {
                reads.ring.copy_in(offset, &mut bytes[part]);
            });
            self.step().await;
            control.store(reads.indices, control.load(reads.indices).wrapping_add(bytes.len() as u32));
            self.step().await;
            tell(2);
            done += bytes.len();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let room = || {
                    ask(2);
                    let used = control.load(writes.indices + 4).wrapping_sub(control.load(writes.indices));
                    (used < writes.size || !open()).then_some(writes.size - used)
                };
                let room = channel.until(room).await;
                self.step().await;
                if !open() {
                    return;
                }
                let (now, later) = rest.split_at(rest.len().min(room as usize));
                let prod = control.load(writes.indices + 4);
                writes.copy(prod, now.len(), |offset, part| writes.ring.copy_out(offset, &now[part]));
                self.step().await;
                control.store(writes.indices + 4, prod.wrapping_add(now.len() as u32));
                self.step().await;
                tell(1);
                rest = later;
            }
        }
    }
}

/// One direction.
struct Way<'a, M> {
    ring: &'a M,
    at: usize,
    size: u32,
    indices: usize,
}

impl<M> Way<'_, M> {
    fn copy(&self, index: u32, len: usize, mut copy: impl FnMut(usize, std::ops::Range<usize>)) {
        let start = (index & (self.size - 1)) as usize;
        let first = len.min(self.size as usize - start);
        copy(self.at + start, 0..first);
        copy(self.at, first..len);
    }
}

/// What passes there and back, and how much of it at once.
const TALK: usize = 2500;
const PIECE: usize = 400;

/// What the end that is ours does: sends and receives as much as the other sends back.
async fn work(vchan: &Vchan<SimCpu>, live: &Cell<bool>) -> Result<(), Error> {
    live.set(true);
    let bytes: Vec<u8> = (0..TALK).map(|n| (n * 7) as u8).collect();
    let (mut sent, mut back) = (0, Vec::new());
    while back.len() < TALK {
        while sent < TALK && sent - back.len() < 900 {
            sent += vchan.write(&bytes[sent..TALK.min(sent + 600)]).await?;
        }
        let mut piece = [0; 300];
        match vchan.read(&mut piece).await? {
            0 => return Err(Error::Closed),
            len => back.extend_from_slice(&piece[..len]),
        }
    }
    assert_eq!(back, bytes);
    Ok(())
}

/// Whether the other end outlived all it had to do.
fn life(we_serve: bool, orders: Orders, death: Death, dies_at: usize) -> bool {
    let world = World::new();
    let xenstored = Xenstored::start(&world);
    let small = || world.guest_with(Setup { console: false, grant_frames: 1, ..Setup::default() });
    let guests = [small(), small()];
    let stores = guests.each_ref().map(|xen| Xenstore::open(xen).unwrap().unwrap());
    let [ours, theirs] = guests.each_ref().map(|xen| xen.platform().domain().id());
    let lib = Lib {
        world: &world,
        xenstored: &xenstored,
        xen: guests[1].clone(),
        store: stores[1].clone(),
        steps: Cell::new(0),
        dies_at,
        death,
        dead: Cell::new(false),
        held: RefCell::default(),
    };
    let what = format!("serving {we_serve}, {orders}, {death:?} at {dies_at}");
    let vchan: RefCell<Option<Rc<Vchan<SimCpu>>>> = RefCell::default();
    let (live, end) = (Cell::new(false), Cell::new(None));
    let meeting = match we_serve {
        true => StorePath::new(&guests[0], &stores[0], theirs, "data/test"),
        false => {
            StorePath::new(&guests[0], &stores[0], theirs, format!("/local/domain/{}/data/test", theirs.0))
        }
    };
    let closed = Cell::new(None);
    let mut lives = Tasks::new(&world);
    lives.spawn(stores[0].serve());
    lives.spawn(stores[1].serve());
    lives.spawn(async {
        if we_serve {
            lib.seek(ours).await
        } else {
            lib.serve(ours, orders).await
        }
        lib.held.take();
    });
    let mut tasks = Tasks::new(&world);
    tasks.spawn(async {
        let made = Rc::new(match we_serve {
            true => listen(&guests[0], &meeting, orders).await.unwrap().accept().await,
            false => connect(&guests[0], &meeting, None).await.unwrap(),
        });
        vchan.replace(Some(made.clone()));
        end.set(Some(work(&made, &live).await));
        vchan.take();
        let made = Rc::into_inner(made).expect("nobody else has it");
        closed.set(Some(made.close().await));
    });
    let news = || {
        let sent =
            guests.iter().map(|xen| xen.event_totals().sent + xen.event_totals().received).sum::<u64>();
        (sent, lib.steps.get(), xenstored.served())
    };
    let settle = |lives: &mut Tasks<'_>, tasks: &mut Tasks<'_>| {
        let mut before = None;
        // Either may give the other something to do.
        while before != Some(news()) {
            before = Some(news());
            lives.run();
            tasks.run();
        }
    };
    settle(&mut lives, &mut tasks);
    if lib.dead.get() && death == Death::Domain {
        // Whoever watches over the vchan.
        if let Some(vchan) = &*vchan.borrow() {
            assert!(!vchan.probe(), "{what}");
        }
        settle(&mut lives, &mut tasks);
    }
    if live.get() && (death != Death::Hang || !lib.dead.get()) {
        let end = end.take().unwrap_or_else(|| panic!("{what}: our end waits for ever"));
        if lib.dead.get() {
            assert!(matches!(end, Ok(()) | Err(Error::Closed | Error::Gone)), "{what}: {end:?}");
        } else {
            assert_eq!(end, Ok(()), "{what}");
            // Nothing had to be kept apart.
            assert_eq!((closed.get(), guests[0].grant_totals().kept), (Some(true), 0), "{what}");
        }
    }
    // Whoever lost patience.
    vchan.take();
    drop(tasks);
    lives.run();
    drop(lives);
    let outlived = !lib.dead.get();
    if death == Death::Hang {
        lib.held.take();
    }
    assert_eq!(guests[0].reclaim_grants(), 0, "{what}");
    guests[1].reclaim_grants();
    drop(meeting);
    let mut rest = Tasks::new(&world);
    stores.iter().for_each(|store| rest.spawn(store.serve()));
    rest.run();
    drop(rest);
    drop(stores);
    world.assert_cleaned_up();
    outlived
}

#[test]
fn an_end_that_dies_at_any_step_leaves_nothing_and_keeps_nobody() {
    let mut lives = 0;
    for we_serve in [true, false] {
        for orders in [Orders { left: 10, right: 11 }, Orders { left: 12, right: 10 }, Orders::both(13)] {
            for death in [Death::Domain, Death::Program, Death::Hang] {
                let steps = (0..).find(|&dies_at| life(we_serve, orders, death, dies_at)).unwrap();
                assert!(steps > 30, "only {steps} steps");
                lives += steps;
            }
        }
    }
    println!("{lives} deaths");
    assert!(lives >= 1000, "{lives}");
}
