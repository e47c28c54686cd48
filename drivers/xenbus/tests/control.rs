//! Orders of the toolstack, and the bus.
#![forbid(unsafe_code)]

use fata_sim::{Setup, SimCpu, Store as Kind, Tasks, World, Xenstored};
use fata_xenbus::{Bus, Control, Entry, Order, State};
use fata_xenstore::Xenstore;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Poll;
use xen_hyp::DomId;

const GUEST: DomId = DomId(1);
const SHUTDOWN: &str = "/local/domain/1/control/shutdown";
const SYSRQ: &str = "/local/domain/1/control/sysrq";

/// What was ordered so far.
type Orders = RefCell<Vec<Order>>;

async fn listen(store: &Xenstore<SimCpu>, orders: &Orders) {
    let mut control = Control::open(store).await.unwrap();
    loop {
        let order = control.next().await.unwrap();
        orders.borrow_mut().push(order);
    }
}

/// Runs `steps`, after each of which everything comes to rest, while a guest listens.
fn with_listener(kind: Kind, steps: impl FnOnce(&World, &Rc<Xenstored>, &mut dyn FnMut() -> Vec<Order>)) {
    let world = World::new();
    let server = Xenstored::start(&world);
    let store = Xenstore::open(&world.guest_with(Setup { store: kind, ..Setup::default() }));
    let store = store.unwrap().expect("a store");
    let orders = Orders::default();
    let mut tasks = Tasks::new(&world);
    tasks.spawn(store.serve());
    tasks.spawn(listen(&store, &orders));
    steps(&world, &server, &mut || {
        assert_eq!(tasks.run(), 2);
        orders.take()
    });
    drop(tasks);
    // What a domain that has ended had asked for is forgotten.
    server.release(GUEST);
    world.assert_cleaned_up();
}

#[test]
fn orders_are_followed_and_acknowledged() {
    with_listener(Kind::Present, |_, server, rest| {
        assert_eq!(rest(), []);
        for (feature, value) in [("poweroff", "1"), ("reboot", "1"), ("suspend", "0")] {
            assert_eq!(server.text(&format!("/local/domain/1/control/feature-{feature}")), value);
        }
        for (word, order) in [
            ("poweroff", Order::Poweroff),
            ("reboot", Order::Reboot),
            ("halt", Order::Halt),
            ("crash", Order::Crash),
        ] {
            server.write(SHUTDOWN, word);
            assert_eq!(rest(), [order]);
            assert_eq!(server.read(SHUTDOWN), Some(Vec::new()), "{word} was not acknowledged");
        }
        for keys in ["s", "é", "reboot"] {
            server.write(SYSRQ, keys);
            assert_eq!(rest(), [Order::Sysrq(keys.chars().next().unwrap())]);
            assert_eq!(server.read(SYSRQ), Some(Vec::new()));
        }
        server.write(SYSRQ, "a");
        server.write(SHUTDOWN, "halt");
        assert_eq!(rest().len(), 2);
    });
}

#[test]
fn nonsense_is_acknowledged_and_no_order() {
    with_listener(Kind::Present, |_, server, rest| {
        rest();
        for word in [&b"explode"[..], b"\xff\xfe", b"poweroff\0"] {
            server.write(SHUTDOWN, word);
            assert_eq!(rest(), []);
            assert_eq!(server.read(SHUTDOWN), Some(Vec::new()));
        }
        server.rm(SHUTDOWN);
        assert_eq!(rest(), []);
    });
}

/// A listener that is dropped after so many turns, and another in its place, again and again.
async fn listen_by_fits_and_starts(store: &Xenstore<SimCpu>, orders: &Orders, polls: usize) {
    let mut control = Control::open(store).await.unwrap();
    loop {
        let mut next = Some(Box::pin(control.next()));
        let mut left = polls;
        let got = std::future::poll_fn(|cx| {
            let polled = next.as_mut().expect("not over yet").as_mut().poll(cx);
            left -= 1;
            match polled {
                Poll::Ready(order) => Poll::Ready(Some(order.unwrap())),
                Poll::Pending if left == 0 => {
                    next = None;
                    Poll::Ready(None)
                }
                Poll::Pending => Poll::Pending,
            }
        });
        let got = got.await;
        drop(next);
        match got {
            Some(order) => orders.borrow_mut().push(order),
            None => store.read("domid").await.map(drop).unwrap(),
        }
    }
}

#[test]
fn an_order_is_not_lost_with_the_listener_who_was_about_to_hear_it() {
    for polls in 2..12 {
        let world = World::new();
        let server = Xenstored::start(&world);
        let store = Xenstore::open(&world.guest()).unwrap().expect("a store");
        let (orders, turns) = (Orders::default(), Cell::new(0));
        let mut tasks = Tasks::new(&world);
        tasks.each_turn(|| {
            turns.set(turns.get() + 1);
            match turns.get() {
                200 => server.write(SHUTDOWN, "reboot"),
                300 => server.write(SYSRQ, "s"),
                // It would go on for ever.
                800 => server.pause(),
                _ => {}
            }
        });
        tasks.spawn(store.serve());
        tasks.spawn(listen_by_fits_and_starts(&store, &orders, polls));
        tasks.run();
        if turns.get() < 300 {
            // It has come to rest.
            server.write(SHUTDOWN, "reboot");
            server.write(SYSRQ, "s");
            tasks.run();
        }
        let heard = orders.take();
        assert!(heard == [Order::Reboot, Order::Sysrq('s')], "{polls}: {heard:?}");
        for node in [SHUTDOWN, SYSRQ] {
            assert_eq!(server.text(node), "", "{polls}: {node} was not acknowledged");
        }
    }
}

#[test]
fn suspend_is_told_once_and_left_standing() {
    with_listener(Kind::Present, |_, server, rest| {
        rest();
        server.write(SHUTDOWN, "suspend");
        assert_eq!(rest(), [Order::Suspend]);
        assert_eq!(server.text(SHUTDOWN), "suspend");
        server.write(SHUTDOWN, "suspend");
        assert_eq!(rest(), []);
        // The toolstack takes it back, and gives it again.
        server.write(SHUTDOWN, "");
        assert_eq!(rest(), []);
        server.write(SHUTDOWN, "suspend");
        assert_eq!(rest(), [Order::Suspend]);
    });
}

#[test]
fn orders_from_before_and_of_a_time_without_a_server_are_found() {
    with_listener(Kind::Legacy, |world, server, rest| {
        assert_eq!(rest(), []);
        server.introduce(&world.find(GUEST).unwrap());
        server.write(SYSRQ, "h");
        assert_eq!(rest(), [Order::Sysrq('h')]);
        server.kill();
        assert_eq!(rest(), []);
        server.write(SHUTDOWN, "poweroff");
        server.restart();
        assert_eq!(rest(), [Order::Poweroff]);
        assert_eq!(server.read(SHUTDOWN), Some(Vec::new()));
    });
}

#[test]
fn listening_takes_few_requests_and_then_none() {
    with_listener(Kind::Present, |_, server, rest| {
        rest();
        // Two watches, three features, two looks at what may have been there before.
        assert_eq!(server.served(), 7);
        rest();
        assert_eq!(server.served(), 7);
    });
}

#[test]
fn the_bus_lists_devices_as_they_come_and_go() {
    let world = World::new();
    let server = Xenstored::start(&world);
    let store = Xenstore::open(&world.guest()).unwrap().expect("a store");
    let seen: RefCell<Vec<Vec<Entry>>> = RefCell::default();
    let mut tasks = Tasks::new(&world);
    tasks.spawn(store.serve());
    tasks.spawn(async {
        let mut bus = Bus::new(&store);
        loop {
            bus.changed().await.unwrap();
            let devices = bus.devices().await.unwrap();
            seen.borrow_mut().push(devices);
        }
    });
    tasks.run();
    assert_eq!(seen.take().last(), Some(&Vec::new()));

    let backend = "/local/domain/0/backend/vbd/1/51712";
    let state = format!("{backend}/state");
    server.write(&state, "2");
    server.set_perms(&state, &["n0", "r1"]);
    server.write("/local/domain/1/device/vbd/51712/backend", backend);
    server.write("/local/domain/1/device/vbd/51712/state", "1");
    server.write("/local/domain/1/device/vbd/nonsense", "");
    server.write("/local/domain/1/device/suspend/event-channel", "");
    tasks.run();
    let entry = Entry {
        kind: "vbd".into(),
        id: 51712,
        ours: State::Initialising,
        theirs: State::InitWait,
        backend: backend.into(),
    };
    assert_eq!(seen.take().last(), Some(&vec![entry]));
    server.rm("/local/domain/1/device/vbd");
    tasks.run();
    assert_eq!(seen.take().last(), Some(&Vec::new()));
}
