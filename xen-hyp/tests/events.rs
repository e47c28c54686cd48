//! Event channels, parameters and clock on the simulated hypervisor.

use fata_sim::{Setup, Store, Tasks, World};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use xen_hyp::abi::{Op, event, nr};
use xen_hyp::{
    DomId, Features, HvmParam, Platform, Port, PortStatus, Reason, Reserved, Version, Virq, XenError,
};

/// Long enough ago to be a time Xen was told.
const SOME_DAY: u64 = 1_700_000_000;

#[test]
fn two_guests_signal_each_other() {
    let world = World::new();
    let (a, b) = (world.guest(), world.guest());
    let (da, db) = (a.domid().unwrap(), b.domid().unwrap());
    assert_eq!((da, db), (DomId(1), DomId(2)));
    let listening = a.listen(db).unwrap();
    assert_eq!(a.status(listening.port()), Ok(PortStatus::Unbound(db)));
    let connected = b.connect(da, listening.port()).unwrap();
    assert_eq!(a.status(listening.port()), Ok(PortStatus::Interdomain(db, connected.port())));
    // Connecting raises an event on the connecting side.
    b.demux();
    let (at_a, at_b) = (listening.seen(), connected.seen());
    let rounds = Cell::new(0);
    let mut tasks = Tasks::new(&world);
    tasks.spawn(async {
        let mut seen = at_a;
        for _ in 0..10 {
            listening.notify();
            seen = listening.after(seen).await;
        }
    });
    tasks.spawn(async {
        let mut seen = at_b;
        for _ in 0..10 {
            seen = connected.after(seen).await;
            rounds.set(rounds.get() + 1);
            connected.notify();
        }
    });
    assert_eq!(tasks.run(), 0);
    drop(tasks);
    assert_eq!(rounds.get(), 10);
    assert_eq!(b.event_totals().unknown, 0);
    assert_eq!(a.event_totals().sent, 10);
    assert_eq!(a.ports()[0].received, 10);
    drop((listening, connected));
    assert!(a.ports().is_empty());
    world.assert_cleaned_up();
}

#[test]
fn an_event_between_the_look_and_the_wait_is_not_lost() {
    let world = World::new();
    let xen = world.guest();
    let channel = xen.listen(DomId::DOM0).unwrap();
    let work = Cell::new(false);
    let mut tasks = Tasks::new(&world);
    tasks.spawn(async {
        let looked = Cell::new(0);
        channel
            .until(|| {
                looked.set(looked.get() + 1);
                if looked.get() == 1 {
                    // The peer acts, and its event is taken, after this look has found nothing.
                    work.set(true);
                    xen.platform().domain().raise(channel.port());
                    xen.demux();
                    return None;
                }
                work.get().then_some(())
            })
            .await;
    });
    assert_eq!(tasks.run(), 0);
}

#[test]
fn every_waiter_on_a_channel_wakes() {
    let world = World::new();
    let xen = world.guest();
    let channel = xen.listen(DomId::DOM0).unwrap();
    let woken = Cell::new(0);
    let mut tasks = Tasks::new(&world);
    for _ in 0..100 {
        tasks.spawn(async {
            channel.after(channel.seen()).await;
            woken.set(woken.get() + 1);
        });
    }
    assert_eq!(tasks.run(), 100);
    xen.platform().domain().raise(channel.port());
    assert_eq!(tasks.run(), 0);
    assert_eq!(woken.get(), 100);
}

#[test]
fn an_event_nobody_expects_is_counted_masked_and_delivered_to_who_adopts_it_later() {
    let world = World::new();
    let xen = world.guest();
    let domain = xen.platform().domain().clone();
    let console = Port(xen.hvm_param(HvmParam::ConsoleEvtchn).unwrap() as u32);
    // The console's one event is taken as unknown; later ones of the others stay pending, and masked.
    for (port, times) in [(console, 1), (Port(4095), 3), (Port(64), 3)] {
        for _ in 0..times {
            domain.raise(port);
            xen.demux();
        }
        assert!(domain.is_masked(port));
    }
    assert_eq!(xen.event_totals().unknown, 3);
    assert_eq!(xen.event_totals().received, 3);
    assert!(!xen.demux());
    let channel = xen.adopt(console).unwrap();
    assert!(!domain.is_masked(console));
    assert_eq!(xen.ports()[0].received, 1);
    drop(channel);
    assert_eq!(xen.status(console), Ok(PortStatus::Unbound(DomId::DOM0)));
    assert_eq!(xen.adopt(Port(77)).unwrap_err(), XenError::ENOENT);
    assert_eq!(xen.adopt(Port(u32::MAX)).unwrap_err(), XenError::EINVAL);
}

#[test]
fn a_storm_on_every_port_costs_each_one_delivery_a_turn() {
    let world = World::new();
    let xen = world.guest();
    let domain = xen.platform().domain().clone();
    let channels: Vec<_> = (0..100).map(|_| xen.listen(DomId::DOM0).unwrap()).collect();
    for turn in 1..=5 {
        for _ in 0..50 {
            (0..4096).for_each(|port| domain.raise(Port(port)));
        }
        assert!(xen.demux());
        assert!(
            channels.iter().all(|c| xen.ports().iter().any(|p| p.port == c.port() && p.received == turn))
        );
    }
    // The others came once and are masked.
    assert_eq!(xen.event_totals().unknown, 4096 - 100);
    assert_eq!(xen.event_totals().received, 4096 - 100 + 5 * 100);
    assert!(!xen.demux());
}

#[test]
fn a_masked_port_stays_pending_and_does_not_hide_others() {
    let world = World::new();
    let xen = world.guest();
    let domain = xen.platform().domain().clone();
    let (quiet, loud) = (xen.listen(DomId::DOM0).unwrap(), xen.listen(DomId::DOM0).unwrap());
    let bit = 1 << quiet.port().0;
    let shared = xen.platform().shared().unwrap();
    shared.mask[0].fetch_or(bit, std::sync::atomic::Ordering::SeqCst);
    domain.raise(quiet.port());
    domain.raise(loud.port());
    let before = (quiet.seen(), loud.seen());
    assert!(xen.demux());
    assert_eq!(quiet.seen(), before.0);
    assert_ne!(loud.seen(), before.1);
    assert_ne!(shared.pending[0].load(std::sync::atomic::Ordering::SeqCst) & bit, 0);
}

#[test]
fn a_port_number_used_again_starts_afresh() {
    let world = World::new();
    let xen = world.guest();
    let first = xen.listen(DomId::DOM0).unwrap();
    let port = first.port();
    xen.platform().domain().raise(port);
    drop(first);
    let second = xen.listen(DomId::DOM0).unwrap();
    assert_eq!(second.port(), port);
    xen.platform().domain().raise(port);
    assert!(xen.demux());
    assert_eq!(xen.event_totals().unknown, 0);
    assert_eq!(xen.adopt(port).unwrap_err(), XenError::EBUSY);
    drop(second);
    world.assert_cleaned_up();
}

#[test]
fn what_xen_refuses_is_an_error_and_leaves_nothing_open() {
    let world = World::new();
    let xen = world.guest();
    let me = xen.domid().unwrap();
    world.fail(me, nr::EVENT_CHANNEL_OP, event::AllocUnbound::CMD, XenError::ENOSPC);
    assert_eq!(xen.listen(DomId::DOM0).unwrap_err(), XenError::ENOSPC);
    world.fail(me, nr::EVENT_CHANNEL_OP, event::Status::CMD, XenError::EPERM);
    assert_eq!(xen.domid(), Err(XenError::EPERM));
    assert_eq!(xen.connect(DomId(9), Port(1)).unwrap_err(), XenError::ESRCH);
    assert_eq!(xen.connect(me, Port(1)).unwrap_err(), XenError::EINVAL);
    let channel = xen.bind_virq(Virq::Debug).unwrap();
    assert_eq!(xen.status(channel.port()), Ok(PortStatus::Virq(1)));
    channel.notify();
    assert_eq!(xen.event_totals().send_errors, 1);
    drop(channel);
    world.assert_cleaned_up();
}

#[test]
#[should_panic(expected = "left ports open")]
fn a_port_left_open_is_noticed() {
    let world = World::new();
    let xen = world.guest();
    std::mem::forget(xen.listen(DomId::DOM0));
    world.assert_cleaned_up();
}

#[test]
fn xen_tells_what_it_is() {
    let world = World::new();
    let xen = world.guest_with(Setup { store: Store::Absent, ..Setup::default() });
    assert_eq!(xen.version(), Ok(Version { major: 4, minor: 20 }));
    assert_eq!(xen.extra_version().unwrap(), ".0-sim");
    assert!(xen.capabilities().unwrap().starts_with("xen-3.0-aarch64"));
    let features = xen.features().unwrap();
    assert!(features.contains(Features::NOT_DIRECT_MAPPED));
    assert_eq!(features.to_string(), "writable_page_tables, auto_translated_physmap, not_direct_mapped");
    assert_eq!(Features(1 << 31).to_string(), "bit 31");
    assert_eq!(xen.reserved(HvmParam::StorePfn), Ok(Reserved::Absent));
    xen.set_hvm_param(HvmParam::StorePfn, 5).unwrap();
    assert_eq!(xen.reserved(HvmParam::StorePfn), Ok(Reserved::Is(5)));
    xen.shutdown(Reason::Crash).unwrap();
    assert_eq!(xen.platform().domain().shutdowns(), [3]);
}

#[test]
fn the_time_of_day_is_known_once_somebody_told_xen() {
    let world = World::new();
    let xen = world.guest_with(Setup::default());
    assert_eq!(xen.wall_clock(), None);
    // Xen without a dom0: the seconds it had been up.
    xen.platform().domain().set_wall_clock(30, 0);
    assert_eq!(xen.wall_clock(), None);
    xen.platform().domain().set_wall_clock(SOME_DAY, 900_000_000);
    xen.platform().idle(Some(200_000_000));
    assert_eq!(xen.wall_clock(), Some(Duration::new(SOME_DAY + 1, 100_000_000)));
    // After 2106 the high half counts.
    xen.platform().domain().set_wall_clock(1 << 32, 0);
    assert_eq!(xen.wall_clock(), Some(Duration::new(1 << 32, 200_000_000)));
}

#[test]
fn channels_outlive_the_handle_that_made_them() {
    let world = World::new();
    let xen = world.guest();
    let channel = Rc::new(xen.listen(DomId::DOM0).unwrap());
    drop(xen);
    channel.notify();
    drop(channel);
    world.assert_cleaned_up();
}
