//! An interface's life as its users see it: plugged in late, without a carrier, exchanged and pulled.

mod common;

use common::packets::raw;
use common::{Machine, Wakes, guest, receive, receive_all, received, send, sent};
use fata_link::{Link, Status};
use fata_net::{Error, Nic, Options, State};
use fata_sim::{NetFeatures, Netback, Order, Setup, Store, Way, state};
use smoltcp::phy::Device;
use smoltcp::wire::EthernetAddress;
use std::cell::{Cell, RefCell};
use xen_hyp::SharedMem;

/// What is late, how it comes to be, and how it comes.
type Late = (&'static str, fn(&Machine), fn(&Machine));

const LATE: [Late; 6] = [
    ("device", |_| {}, |m| m.back.plug()),
    (
        "driver",
        |m| {
            m.back.set_driver(false);
            m.back.plug();
        },
        |m| m.back.set_driver(true),
    ),
    (
        "script",
        |m| {
            m.back.set_script(false);
            m.back.plug();
        },
        |m| m.back.set_script(true),
    ),
    (
        "store",
        |m| {
            m.server.pause();
            m.back.plug();
        },
        |m| m.server.go_on(),
    ),
    (
        "half of the nodes",
        |m| {
            m.back.plug();
            for name in ["backend", "backend-id"] {
                m.server.rm(&format!("{}/{name}", m.back.vdev().front()));
            }
        },
        |m| {
            let front = m.back.vdev().front();
            m.server.write(&format!("{front}/backend-id"), "0");
            m.server.write(&format!("{front}/backend"), m.back.vdev().back());
        },
    ),
    (
        "cable",
        |m| {
            m.back.change_features(|features| features.carrier = Some(false));
            m.back.plug();
        },
        |m| m.back.set_carrier(true),
    ),
];

#[test]
fn nothing_is_sent_before_the_backend_is_connected_and_nothing_of_that_is_lost() {
    for (what, before, then) in LATE {
        let machine = Machine::without_nic(Setup::default(), Options::default(), NetFeatures::default());
        before(&machine);
        let (mut phy, done) = (machine.nic.phy(), Cell::new(0));
        let mut tasks = machine.tasks();
        tasks.spawn(async {
            for n in 0..10 {
                sent(&mut phy, &raw(60, n).bytes).await;
                done.set(n + 1);
            }
        });
        assert_eq!(tasks.run(), 3, "{what}");
        let status = machine.nic.phy().status();
        assert_eq!((done.get(), status.up, status.epoch), (0, false, 0), "{what}");
        assert!(machine.nic.phy().transmit(smoltcp::time::Instant::ZERO).is_none());
        assert_eq!(machine.back.log(), []);
        then(&machine);
        assert_eq!((tasks.run(), done.get()), (2, 10), "{what}");
        let frames = machine.back.sent();
        assert!(frames.len() == 10 && frames.iter().enumerate().all(|(n, frame)| *frame == raw(60, n)));
        let status = machine.nic.phy().status();
        assert_eq!((status.up, status.epoch), (true, 1));
        drop(tasks);
        machine.finish();
    }
}

#[test]
fn a_store_that_is_late_is_waited_for_too() {
    for kind in [Store::Legacy, Store::Enhanced] {
        let setup = Setup { store: kind, ..Setup::default() };
        let machine = Machine::without_nic(setup, Options::default(), NetFeatures::default());
        let mut tasks = machine.tasks();
        assert_eq!(tasks.run(), 2);
        machine.server.introduce(machine.xen.platform().domain());
        machine.back.plug();
        tasks.run();
        assert_eq!(machine.nic.state(), State::Ready);
        drop(tasks);
        machine.finish();
    }
}

/// What the toolstack says of the interface at this connection.
#[test]
fn addresses_and_mtus_are_those_of_the_last_connection() {
    let machine = Machine::without_nic(Setup::default(), Options::default(), NetFeatures::default());
    let mut tasks = machine.tasks();
    tasks.run();
    let mut phy = machine.nic.phy();
    let down = Status { up: false, mac: EthernetAddress::default(), epoch: 0 };
    assert_eq!((phy.status(), machine.nic.mtu()), (down, None));
    assert_eq!(phy.capabilities().max_transmission_unit, 1514, "what it most likely will be");
    let mtus =
        [(None, 1500), (Some(1280), 1280), (Some(9000), 9000), (Some(0), 1500), (Some(u32::MAX), 65_521)];
    for (n, (wanted, mtu)) in mtus.into_iter().enumerate() {
        let mac = [0x00, 0x16, 0x3e, 0, 1, n as u8];
        machine.back.change_features(|features| (features.mtu, features.mac) = (wanted, mac));
        machine.back.plug();
        tasks.run();
        let status = Status { up: true, mac: EthernetAddress(mac), epoch: n as u32 + 1 };
        assert_eq!((phy.status(), machine.nic.mac(), machine.nic.mtu()), (status, status.mac, Some(mtu)));
        assert_eq!(phy.capabilities().max_transmission_unit, mtu + 14);
        let longest = raw((mtu + 14).min(65_535), 0);
        assert!(send(&mut phy, &longest.bytes));
        phy.flush();
        tasks.run();
        assert!(machine.back.sent() == [longest]);
        // It is changed while it works: that counts from the next connection on.
        machine.back.set_mtu(1400);
        tasks.run();
        assert_eq!((machine.nic.mtu(), machine.nic.state()), (Some(mtu), State::Ready));
    }
    machine.back.unbind();
    tasks.run();
    assert_eq!(machine.nic.state(), State::Paused);
    machine.back.bind();
    tasks.run();
    assert_eq!(machine.nic.mtu(), Some(1400));
    drop(tasks);
    machine.finish();
}

#[test]
fn without_an_address_it_is_dead_until_it_is_exchanged() {
    for mac in [None, Some(""), Some("ff:ff:ff:ff:ff:ff"), Some("00:16:3e:00:00"), Some("\u{0}\u{1}\u{2}")] {
        let machine = Machine::usual();
        let path = format!("{}/mac", machine.back.vdev().front());
        match mac {
            None => machine.server.rm(&path),
            Some(mac) => machine.server.write(&path, mac),
        }
        let mut tasks = machine.tasks();
        tasks.run();
        assert_eq!(machine.nic.state(), State::Dead(Error::NoAddress), "{mac:?}");
        assert!(!machine.nic.phy().status().up && machine.lent() == 0);
        machine.back.plug();
        tasks.run();
        assert_eq!(machine.nic.state(), State::Ready);
        drop(tasks);
        machine.finish();
    }
}

#[test]
fn a_backend_that_cannot_copy_is_not_used() {
    let machine = Machine::new(Options::default(), NetFeatures { rx_copy: false, ..NetFeatures::default() });
    let mut tasks = machine.tasks();
    tasks.run();
    assert_eq!(machine.nic.state(), State::Dead(Error::NoCopy));
    tasks.spawn(async { assert_eq!(machine.nic.ready().await, Err(Error::NoCopy)) });
    assert_eq!(tasks.run(), 2);
    machine.back.change_features(|features| features.rx_copy = true);
    machine.back.plug();
    tasks.run();
    assert_eq!(machine.nic.state(), State::Ready);
    drop(tasks);
    machine.finish();
}

#[test]
fn a_cable_that_is_out_is_a_link_that_is_down() {
    let machine =
        Machine::new(Options::default(), NetFeatures { carrier: Some(true), ..NetFeatures::default() });
    let mut phy = machine.nic.phy();
    let (wakes, waker) = Wakes::new();
    let states = RefCell::new(Vec::new());
    let mut tasks = machine.tasks();
    tasks.spawn(async {
        let mut state = machine.nic.state();
        loop {
            state = machine.nic.state_after(state).await;
            states.borrow_mut().push(state);
        }
    });
    tasks.run();
    for epoch in 1..5 {
        assert_eq!((phy.status().up, phy.status().epoch), (true, epoch));
        assert!(send(&mut phy, &raw(60, 0).bytes));
        phy.flush();
        tasks.run();
        assert_eq!(machine.back.sent().len(), 1);
        machine.back.inject(&raw(60, 1));
        tasks.run();
        assert_eq!(receive_all(&mut phy).len(), 1);
        phy.register(&waker);
        machine.back.set_carrier(false);
        tasks.run();
        assert_eq!((phy.status().up, wakes.take()), (false, 1));
        assert!(!send(&mut phy, &raw(60, 2).bytes) && receive(&mut phy).is_none());
        phy.register(&waker);
        machine.back.set_carrier(true);
        tasks.run();
        assert_eq!(wakes.take(), 1);
    }
    assert_eq!(machine.nic.totals().connects, 1);
    assert_eq!(states.borrow()[..3], [State::Ready, State::NoCarrier, State::Ready]);
    assert_eq!(states.borrow().len(), 9);
    // Whatever else it says is no news.
    for value in [None, Some(""), Some("2"), Some("yes"), Some("18446744073709551616"), Some("1")] {
        machine.back.set_node("carrier", value);
        tasks.run();
        assert_eq!(machine.nic.state(), State::Ready, "{value:?}");
    }
    assert_eq!(states.borrow().len(), 9);
    drop(tasks);
    machine.finish();
}

type Happening = (&'static str, fn(&Machine));

/// Whoever registers and then looks misses nothing, and is woken once.
#[test]
fn a_waker_is_woken_once_for_whatever_happens_first() {
    let machine =
        Machine::new(Options::default(), NetFeatures { carrier: Some(true), ..NetFeatures::default() });
    let mut phy = machine.nic.phy();
    let (wakes, waker) = Wakes::new();
    let mut tasks = machine.tasks();
    tasks.run();
    let happens: [Happening; 6] = [
        ("a frame", |m| m.back.inject(&raw(60, 0))),
        ("frames", |m| (0..20).for_each(|n| m.back.inject(&raw(60, n)))),
        ("carrier", |m| m.back.set_carrier(false)),
        ("carrier again", |m| m.back.set_carrier(true)),
        ("away", |m| m.back.unbind()),
        ("there", |m| m.back.bind()),
    ];
    for (what, happen) in happens {
        phy.register(&waker);
        let status = phy.status();
        assert_eq!((receive(&mut phy), wakes.take()), (None, 0));
        happen(&machine);
        tasks.run();
        assert_eq!(wakes.take(), 1, "{what}");
        // Not registered, not woken.
        happen(&machine);
        tasks.run();
        assert_eq!(wakes.take(), 0, "{what}");
        assert!(phy.status() != status || !receive_all(&mut phy).is_empty());
    }
    // There is one waker, the last.
    let (others, other) = Wakes::new();
    phy.register(&waker);
    phy.register(&other);
    machine.back.inject(&raw(60, 0));
    tasks.run();
    assert_eq!((wakes.take(), others.take()), (0, 1));
    receive_all(&mut phy);
    drop(tasks);
    machine.finish();
}

#[test]
fn a_backend_that_refuses_is_not_pestered() {
    let machine = Machine::usual();
    machine.back.set_driver(false);
    let vdev = machine.back.vdev();
    vdev.write("state", state::INIT_WAIT.to_string());
    vdev.write("feature-rx-copy", "1");
    let (tries, over, watch) = (Cell::new(0), Cell::new(false), vdev.watch_front());
    let mut tasks = machine.tasks();
    tasks.each_turn(|| {
        if watch.take().is_empty() || over.get() {
            return;
        }
        match vdev.front_state() {
            state::CONNECTED => {
                tries.set(tries.get() + 1);
                vdev.write("state", state::CLOSING.to_string());
            }
            state::CLOSING | state::CLOSED => vdev.write("state", state::CLOSED.to_string()),
            state::INITIALISING => vdev.write("state", state::INIT_WAIT.to_string()),
            _ => {}
        }
    });
    tasks.run();
    assert_eq!((tries.get(), machine.nic.state(), machine.lent()), (3, State::Paused, 0));
    over.set(true);
    machine.replug();
    tasks.run();
    assert_eq!((tries.get(), machine.nic.state()), (3, State::Ready));
    drop(tasks);
    machine.finish_anyhow();
}

/// Linux's, if it was started again and cannot do with the rings that it finds, says why, and then that it is connected.
#[test]
fn a_backend_that_only_says_that_it_is_connected_is_connected_to_again() {
    let spoil: [Happening; 3] = [
        ("ring", |m| m.back.ring(0, Way::Tx).unwrap().store(8, 12345)),
        ("queues", |m| m.back.change_features(|features| features.queues = 1)),
        ("reference", |m| m.back.vdev().write_front("queue-1/rx-ring-ref", "4000")),
    ];
    for (what, spoil) in spoil {
        let options = Options { queues: 2, split: true, ..Options::default() };
        let machine = Machine::new(options, NetFeatures::default());
        let mut tasks = machine.tasks();
        tasks.run();
        spoil(&machine);
        // Both before we look.
        machine.back.unbind();
        machine.back.bind();
        tasks.run();
        assert!(machine.back.queues() > 0 && !machine.back.complaints().is_empty(), "{what}");
        assert_eq!((machine.nic.state(), machine.nic.totals().connects), (State::Ready, 2), "{what}");
        common::two::works(&machine, &mut tasks);
        drop(tasks);
        machine.finish_anyhow();
    }
}

#[test]
fn one_that_is_not_served_any_more_is_down_and_comes_up_when_it_is() {
    let machine = Machine::usual();
    let mut phy = machine.nic.phy();
    for epoch in 1..4 {
        let mut tasks = machine.tasks();
        tasks.run();
        assert_eq!((phy.status().up, phy.status().epoch), (true, epoch));
        machine.back.set_order(Order::Held);
        while send(&mut phy, &raw(4000, 0).bytes) {}
        phy.flush();
        machine.back.inject(&raw(60, 0));
        tasks.run();
        drop(tasks);
        assert!(!phy.status().up && receive(&mut phy).is_none() && !send(&mut phy, &raw(60, 0).bytes));
        phy.flush();
        // What the backend still has is kept until it lets go.
        assert_eq!(machine.lent(), machine.xen.grant_totals().kept);
        machine.back.set_order(Order::Arrival);
    }
    // At any moment of coming up.
    for polls in 1..if cfg!(miri) { 10 } else { 60 } {
        let mut tasks = fata_sim::Tasks::new(&machine.world);
        tasks.spawn(machine.store.serve());
        tasks.spawn(async {
            assert!(common::drop_after(polls, machine.nic.serve(&machine.store)).await.is_none());
        });
        tasks.run();
        drop(tasks);
        assert!(!phy.status().up);
    }
    machine.run(async {
        machine.nic.ready().await.unwrap();
        sent(&mut phy, &raw(60, 0).bytes).await;
    });
    machine.finish_anyhow();
}

/// Two interfaces of a guest have nothing to do with one another.
#[test]
fn one_goes_on_while_another_comes_and_goes() {
    let machine = Machine::usual();
    let (world, server) = (&machine.world, &machine.server);
    let features = NetFeatures { mac: [0, 0x16, 0x3e, 0, 0, 2], ..NetFeatures::default() };
    let back = Netback::plugged(world, server, guest(&machine.xen), 7, features);
    let nic = Nic::new(&machine.xen, 7, Options { queues: 2, split: true, ..Options::default() });
    assert_eq!((nic.id(), machine.nic.id()), (7, 0));
    let (mut phy, mut other, done) = (machine.nic.phy(), nic.phy(), Cell::new(0));
    let mut tasks = machine.tasks();
    tasks.spawn(async { panic!("{}", nic.serve(&machine.store).await) });
    tasks.spawn(async {
        nic.ready().await.unwrap();
        loop {
            let frame = received(&mut other).await;
            sent(&mut other, &frame).await;
            done.set(done.get() + 1);
        }
    });
    tasks.run();
    assert_eq!(nic.mac(), EthernetAddress([0, 0x16, 0x3e, 0, 0, 2]));
    let blows: [fn(&Machine); 7] = [
        |m| m.back.unbind(),
        |m| m.back.bind(),
        |m| m.back.crash(true),
        |m| m.replug(),
        |m| m.back.publish(0, Way::Rx, 12345),
        |m| m.back.pull(),
        |m| m.replug(),
    ];
    for (n, blow) in blows.into_iter().enumerate() {
        while send(&mut phy, &raw(3000, n).bytes) {}
        phy.flush();
        blow(&machine);
        back.inject(&raw(100 + n, n));
        assert_eq!((tasks.run(), done.get()), (4, n + 1));
        assert!(back.sent() == [raw(100 + n, n)]);
    }
    assert_eq!((nic.totals().connects, machine.nic.state()), (1, State::Ready));
    drop(tasks);
    back.pull();
    drop((nic, other, back));
    machine.finish_anyhow();
}
