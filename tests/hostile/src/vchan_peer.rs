//! What a hostile end of a vchan may do to the control page, the rings and the event channel, step by step, while the
//! other end is read, written, finished and closed: nobody panics or hangs, nothing is read that was not there, and
//! nothing is left when it has let go.
use crate::script::Script;
use fata_sim::{Setup, SimCpu, Tasks, World};
use fata_vchan::{Error, Fixed, Orders, Vchan, connect, listen};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use xen_hyp::{Access, Channel, GrantRef, Granted, Mapped, Pages, Port, SharedBits, SharedMem, Xen};

const GREF: GrantRef = GrantRef(8);
const ORDERS: usize = 16;
const FLAGS: usize = 20;
const GRANTS: usize = 24;

/// What the hostile end has.
struct Peer {
    xen: Rc<Xen<SimCpu>>,
    channel: Option<Channel<SimCpu>>,
    port: Port,
    /// As a server.
    lent: Vec<Granted<SimCpu>>,
    /// As a client.
    mapped: Vec<Mapped<SimCpu>>,
}

impl Peer {
    fn each<T>(&self, which: usize, work: impl FnOnce(&dyn SharedMem2) -> T) -> Option<T> {
        let all = self.lent.len() + self.mapped.len();
        let which = which.checked_rem(all)?;
        Some(match self.lent.get(which) {
            Some(memory) => work(memory),
            None => work(&self.mapped[which - self.lent.len()]),
        })
    }
}

/// The traits in a form that can be had by reference.
trait SharedMem2 {
    fn len(&self) -> usize;
    fn get(&self, at: usize) -> u32;
    fn put(&self, at: usize, value: u32);
    fn flip(&self, at: usize, clear: u32, set: u32);
    fn bytes(&self, at: usize, bytes: &[u8]);
}

impl<M: SharedBits> SharedMem2 for M {
    fn len(&self) -> usize {
        self.size()
    }
    fn get(&self, at: usize) -> u32 {
        self.load(at)
    }
    fn put(&self, at: usize, value: u32) {
        self.store(at, value);
    }
    fn flip(&self, at: usize, clear: u32, set: u32) {
        let _ = self.update(at, clear, set);
    }
    fn bytes(&self, at: usize, bytes: &[u8]) {
        self.copy_out(at, bytes);
    }
}

/// Lays out what a server does, or something like it.
fn lay_out(script: &mut Script<'_>, peer: &mut Peer, victim: xen_hyp::DomId) -> Option<()> {
    let control = Pages::new(1)?.grant_at(&peer.xen, victim, Access::Write, GREF).ok()?;
    let [left, right] = [script.byte()?, script.byte()?].map(|order| match order {
        0..200 => 10 + u32::from(order) % 5,
        other => u32::from(other) - 200,
    });
    control.store(ORDERS, left | right << 16);
    let mut next = GRANTS;
    let mut rings = Vec::new();
    for order in [left, right] {
        if (12..15).contains(&order) {
            let ring = Pages::new(1 << (order - 12))?.grant(&peer.xen, victim, Access::Write).ok()?;
            ring.each_ref(0..ring.count(), |gref| {
                control.copy_out(next, &gref.0.to_le_bytes());
                next += 4;
            });
            rings.push(ring);
        }
    }
    for _ in 0..script.below(4)? {
        let (at, value) = (script.below(40)? * 4, u32::from(script.byte()?));
        control.store(at, value);
    }
    control.store(FLAGS, script.word()? | 1 << 8);
    peer.lent.push(control);
    peer.lent.append(&mut rings);
    Some(())
}

/// Maps what the victim lent, as far as there is anything.
fn map(peer: &mut Peer, victim: xen_hyp::DomId) {
    let Ok(control) = peer.xen.map(victim, &[GREF]) else { return };
    let orders = control.load(ORDERS);
    let count = |order: u32| if (12..20).contains(&order) { 1usize << (order - 12) } else { 0 };
    let grefs: Vec<_> = (0..count(orders & 0xffff) + count(orders >> 16))
        .map(|n| GrantRef(control.read::<u32>(GRANTS + 4 * n)))
        .collect();
    peer.mapped.push(control);
    for gref in grefs {
        peer.mapped.extend(peer.xen.map(victim, &[gref]));
    }
}

/// `None` at the end of the script.
fn step(script: &mut Script<'_>, peer: &mut Peer, victim: xen_hyp::DomId) -> Option<()> {
    match script.byte()? % 9 {
        // Indices: near another one, which is how they come right, or any.
        0 | 1 => {
            let (which, near) = (script.below(4)?, script.below(4)?);
            let by = match script.byte()? {
                small @ 0..200 => u32::from(small).wrapping_sub(40),
                _ => script.word()?,
            };
            peer.each(0, |page| page.put(4 * which, page.get(4 * near).wrapping_add(by)));
        }
        // Live and notify bytes.
        2 => {
            let (shift, value) = (8 * script.below(4)?, u32::from(script.byte()?) % 5);
            peer.each(0, |page| page.flip(FLAGS, 0xff << shift, value << shift));
        }
        3 => {
            let (which, at, value) = (script.below(8)?, script.word()? as usize, script.word()?);
            peer.each(which, |page| page.put(at % (page.len() / 4) * 4, value));
        }
        4 => {
            let (which, at, len) = (script.below(8)?, script.word()? as usize, script.below(64)?);
            peer.each(which, |page| page.bytes(at % (page.len() - 64), script.bytes(len)));
        }
        5 => map(peer, victim),
        6 => {
            peer.mapped.pop();
        }
        7 => peer.channel = None,
        _ => {
            if peer.channel.is_none() {
                peer.channel = peer.xen.adopt(peer.port).ok();
            }
        }
    }
    if let Some(channel) = &peer.channel {
        channel.notify();
    }
    Some(())
}

/// Does what `input` says to one end of a vchan, while the other is used.
pub fn vchan_peer(input: &[u8]) {
    let _ = run(&mut Script(input));
}

fn run(script: &mut Script<'_>) -> Option<()> {
    let kind = script.byte()?;
    let serves = kind & 1 != 0;
    let orders =
        [Orders { left: 10, right: 11 }, Orders { left: 12, right: 10 }, Orders::both(12), Orders::both(14)]
            [usize::from(kind >> 1) % 4];
    let world = World::new();
    let small = || world.guest_with(Setup { console: false, grant_frames: 1, ..Setup::default() });
    let (ours, theirs) = (small(), small());
    let [a, b] = [&ours, &theirs].map(|xen| xen.platform().domain().clone());
    let (our_port, their_port) = world.static_event_channel(&a, &b);
    let meeting = Fixed { peer: b.id(), port: our_port, gref: GREF };
    let channel = theirs.adopt(their_port).ok();
    let mut peer =
        Peer { xen: theirs.clone(), channel, port: their_port, lent: Vec::new(), mapped: Vec::new() };
    if !serves {
        lay_out(script, &mut peer, a.id());
    }
    let vchan: RefCell<Option<Rc<Vchan<SimCpu>>>> = RefCell::default();
    let failed = Cell::new(None);
    {
        let mut tasks = Tasks::new(&world);
        tasks.spawn(async {
            let made = match serves {
                true => match listen(&ours, &meeting, orders).await {
                    Ok(listener) => Ok(listener.accept().await),
                    Err(error) => Err(error),
                },
                false => connect(&ours, &meeting, None).await,
            };
            match made {
                Ok(made) => _ = vchan.replace(Some(Rc::new(made))),
                Err(error) => failed.set(Some(error)),
            }
        });
        let asked = Cell::new(0);
        let mut steps = || -> Option<()> {
            loop {
                let what = script.byte()?;
                if what % 3 != 0 {
                    step(script, &mut peer, a.id())?;
                    continue;
                }
                tasks.run();
                let Some(vchan) = vchan.borrow().clone() else { continue };
                let len = 1 + script.below(200)? * usize::from(what & 16 | 1);
                if asked.replace(asked.get() + 1) > 60 {
                    continue;
                }
                match what / 3 % 8 {
                    0 | 1 => tasks.spawn(async move {
                        let mut bytes = vec![0; len];
                        if let Ok(read) = vchan.read(&mut bytes).await {
                            assert!(read <= len);
                        }
                    }),
                    2 | 3 => tasks.spawn(async move {
                        if let Ok(written) = vchan.write(&vec![7; len]).await {
                            assert!((1..=len.min(vchan.capacity())).contains(&written));
                        }
                    }),
                    4 => tasks.spawn(async move { _ = vchan.recv(&mut vec![0; len]).await }),
                    5 => tasks.spawn(async move { _ = vchan.send(&vec![7; len]).await }),
                    6 => vchan.finish(),
                    _ => _ = vchan.probe(),
                }
            }
        };
        let _ = steps();
        tasks.run();
        // The other end is no more, and whoever waits is told.
        world.destroy(&b);
        if let Some(vchan) = &*vchan.borrow() {
            assert!(!vchan.probe());
            assert!(!vchan.is_open());
        }
        let waits = tasks.run();
        // Only a server without a client, or a client without a server, goes on waiting.
        assert!(waits == 0 || (waits == 1 && vchan.borrow().is_none()), "{waits} wait");
        if vchan.borrow().is_some() {
            tasks.spawn(async {
                let vchan = vchan.take().unwrap();
                let error = vchan.write(b"x").await.unwrap_err();
                assert!(matches!(error, Error::Closed | Error::Gone | Error::Corrupt), "{error}");
                // Who waited has ended.
                let vchan = Rc::into_inner(vchan).unwrap();
                assert!(vchan.close().await);
            });
            assert_eq!(tasks.run(), 0);
        }
    }
    assert_eq!((ours.reclaim_grants(), ours.grant_totals().lent), (0, 0));
    world.assert_cleaned_up();
    drop(peer);
    Some(())
}
