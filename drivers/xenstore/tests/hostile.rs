//! A server that breaks the protocol: the store dies, or starts over, and nothing else happens.

mod common;

use common::{GUEST, Store, drop_after, open, run, running};
use fata_sim::{Lie, Page, Rng, Tasks, World, Xenstored};
use fata_xenstore::{Error, Event, State, Xenstore};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use xen_hyp::{HvmParam, Port, SharedMem};

const REQ_CONS: usize = 2048;
const RSP_CONS: usize = 2056;
const RSP_PROD: usize = 2060;
const CONNECTION: usize = 2068;
const RECONNECTION: u32 = 1;

/// With a server that can start over, and with one that cannot.
fn both(test: impl Fn(bool, &World, &Rc<Xenstored>, &Store)) {
    for can in [false, true] {
        let world = World::new();
        let server = Xenstored::start(&world);
        server.set_features(14 | if can { RECONNECTION } else { 0 });
        let store = open(&world.guest());
        test(can, &world, &server, &store);
        drop(store);
        world.assert_cleaned_up();
    }
}

fn raise(world: &World) {
    let domain = world.find(GUEST).unwrap();
    domain.raise(Port(domain.param(HvmParam::StoreEvtchn) as u32));
}

#[test]
fn a_reply_that_cannot_be_ends_the_connection_or_starts_it_over() {
    for lie in [Lie::OtherId, Lie::OtherType, Lie::OtherTransaction, Lie::TooLong] {
        both(|can, world, server, store| {
            run(world, &[store], async {
                store.write("data/x", "1").await.unwrap();
                server.lie(GUEST, lie);
                let read = store.read("data/x").await;
                if can {
                    assert_eq!(read.unwrap(), b"1", "{lie:?}");
                    assert_eq!(store.state(), State::Connected);
                } else {
                    assert_eq!(read, Err(Error::Corrupt), "{lie:?}");
                    assert_eq!(store.state(), State::Dead(Error::Corrupt));
                    assert_eq!(store.write("data/x", "2").await, Err(Error::Corrupt));
                }
            });
        });
    }
}

#[test]
fn a_second_reply_is_one_too_many() {
    both(|can, world, server, store| {
        run(world, &[store], async {
            server.lie(GUEST, Lie::Twice);
            assert_eq!(store.read("domid").await.unwrap(), b"1");
            while !can && store.state() == State::Connected {
                let _ = store.read("domid").await;
            }
            let state = if can { State::Connected } else { State::Dead(Error::Corrupt) };
            assert_eq!(store.read("domid").await.is_ok(), can);
            assert_eq!(store.state(), state);
        });
    });
}

#[test]
fn messages_nobody_asked_for_are_corrupt_but_events_of_unknown_watches_are_not() {
    let messages: [(u32, u32, &[u8]); 9] = [
        (2, 77, b"x"),
        (16, 0, b"ENOENT\0"),
        (0, 0, b""),
        (27, 0, b""),
        (u32::MAX, 0, b""),
        (15, 0, b""),
        (15, 0, b"data\0"),
        (15, 0, b"data\x000"),
        (15, 0, b"data\x000\0more\0"),
    ];
    for (kind, id, payload) in messages {
        both(|can, world, server, store| {
            run(world, &[store], async {
                server.send_message(GUEST, kind, id, 0, payload);
                let state = if can { State::Connecting } else { State::Dead(Error::Corrupt) };
                assert_eq!(store.state_after(State::Connected).await, state, "{kind} {payload:?}");
            });
        });
    }
    both(|_, world, server, store| {
        run(world, &[store], async {
            for payload in [&b"data\x00999\0"[..], b"\0\0", b"data\0no number\0"] {
                server.send_message(GUEST, 15, 5, 6, payload);
            }
            assert_eq!(store.read("domid").await.unwrap(), b"1");
        });
    });
}

#[test]
fn events_that_say_nothing_sensible_make_the_reader_look_everywhere() {
    let (world, server, store) = running();
    run(&world, &[&store], async {
        let mut watch = store.watch("data").unwrap();
        watch.changed().await.unwrap();
        for payload in [&b"other\x000\0"[..], b"\x000\0", b"data\xff\x000\0"] {
            server.send_message(GUEST, 15, 0, 0, payload);
            assert_eq!(watch.next().await, Ok(Event::Everything));
        }
        for i in 0..if cfg!(miri) { 50 } else { 3000 } {
            server.send_message(GUEST, 15, 0, 0, format!("data/{i}\x000\0").as_bytes());
        }
        store.read("domid").await.unwrap();
        assert_eq!(watch.next().await, Ok(Event::Everything));
        assert_eq!(drop_after(1, watch.next()).await, None);
    });
}

#[test]
fn indices_that_cannot_be_are_found_in_either_ring() {
    let spoils: [fn(&Page); 4] = [
        |page| page.store(RSP_PROD, page.load(RSP_PROD).wrapping_add(1025)),
        |page| page.store(RSP_PROD, page.load(RSP_PROD).wrapping_sub(1)),
        |page| page.store(REQ_CONS, page.load(REQ_CONS).wrapping_add(1)),
        |page| page.store(REQ_CONS, page.load(REQ_CONS).wrapping_sub(1025)),
    ];
    for spoil in spoils {
        both(|can, world, server, store| {
            let domain = world.find(GUEST).unwrap();
            run(world, &[store], async {
                store.read("domid").await.unwrap();
                server.pause();
                spoil(&domain.store_page());
                raise(world);
                let state = if can { State::Connecting } else { State::Dead(Error::Corrupt) };
                assert_eq!(store.state_after(State::Connected).await, state);
                server.go_on();
                if can {
                    assert_eq!(store.read("domid").await.unwrap(), b"1");
                }
            });
            if !can {
                assert!(matches!(Xenstore::open(&world.guest()), Ok(Some(_))));
            }
        });
    }
}

#[test]
fn a_page_that_is_spoilt_from_the_start_is_refused() {
    let world = World::new();
    let xen = world.guest();
    xen.platform().domain().store_page().store(RSP_PROD, 1025);
    assert_eq!(Xenstore::open(&xen).unwrap_err(), Error::Corrupt);
    xen.platform().domain().store_page().store(RSP_CONS, 1);
    assert!(Xenstore::open(&xen).is_ok());
    world.assert_cleaned_up();
}

#[test]
fn a_full_ring_of_the_shortest_messages_leaves_others_their_turn() {
    let (world, _server, store) = running();
    let page = world.find(GUEST).unwrap().store_page();
    let turns = Cell::new(0);
    let event = [15u32.to_ne_bytes(), [0; 4], [0; 4], 2u32.to_ne_bytes()].concat();
    let events = [&event[..], b"\0\0"].concat().repeat(1024 / 18);
    page.copy_out(1024, &events);
    page.store(RSP_PROD, events.len() as u32);
    raise(&world);
    let mut tasks = Tasks::new(&world);
    tasks.each_turn(|| {
        if page.load(RSP_CONS) < events.len() as u32 {
            turns.set(turns.get() + 1);
        }
    });
    tasks.spawn(store.serve());
    assert_eq!(tasks.run(), 1);
    assert_eq!(page.load(RSP_CONS), events.len() as u32);
    assert_eq!(turns.get(), 2);
}

#[test]
fn a_server_that_never_stops_starting_over_costs_a_turn_an_event() {
    let world = World::new();
    let server = Xenstored::start(&world);
    server.set_features(14 | RECONNECTION);
    let store = open(&world.guest());
    server.pause();
    let page = world.find(GUEST).unwrap().store_page();
    let (left, asked) = (Cell::new(1000), Cell::new(0));
    let failed = RefCell::new(None);
    let mut tasks = Tasks::new(&world);
    tasks.each_turn(|| {
        if left.get() > 0 {
            left.set(left.get() - 1);
            asked.set(asked.get() + u32::from(page.load(CONNECTION) == 1));
            page.store(CONNECTION, 0);
            page.store(RSP_PROD, page.load(RSP_PROD).wrapping_add(2000));
            raise(&world);
        }
    });
    tasks.spawn(store.serve());
    tasks.spawn(async { *failed.borrow_mut() = Some(store.read("domid").await) });
    assert_eq!(tasks.run(), 2);
    assert!(asked.get() > 400);
    assert_eq!(store.state(), State::Connecting);
}

/// Bytes at random, and requests and watches meanwhile, which end or wait, but do nothing else.
#[test]
fn noise_on_the_ring_is_survived() {
    let mut seeds = Rng::new();
    for _ in 0..if cfg!(miri) { 5 } else { 500 } {
        let seed = seeds.number();
        both(|_, world, server, store| {
            let mut rng = Rng::from_seed(seed);
            let page = world.find(GUEST).unwrap().store_page();
            let mut tasks = Tasks::new(world);
            tasks.spawn(store.serve());
            for _ in 0..3 {
                tasks.spawn(async {
                    let _ = store.transaction(async |tx| tx.read("domid").await).await;
                    let _ = store.directory("data").await;
                });
                tasks.spawn(async {
                    let mut watch = store.watch("data").unwrap();
                    let _ = watch.next().await;
                });
            }
            for _ in 0..3 {
                // Mostly plausible headers, since otherwise nothing much happens.
                let mut bytes: Vec<u8> = Vec::new();
                for _ in 0..rng.within(0..6) {
                    let (kind, len) = (rng.within(0..28) as u32, rng.within(0..20));
                    let header = [kind, rng.within(0..6) as u32, rng.within(0..3) as u32, len as u32];
                    bytes.extend(header.map(u32::to_ne_bytes).as_flattened());
                    bytes.extend(rng.bytes(len).iter().map(|byte| byte & 0x31));
                }
                if rng.within(0..2) == 0 {
                    server.send_raw(GUEST, &bytes);
                } else {
                    page.copy_out(1024, &rng.bytes(1024));
                    page.store(RSP_PROD, page.load(RSP_CONS).wrapping_add(rng.within(0..1100) as u32));
                    raise(world);
                }
                tasks.run();
            }
            drop(tasks);
            // It can always be had again.
            server.kill();
            page.store(RSP_PROD, page.load(RSP_CONS));
            server.restart();
            server.introduce(&world.find(GUEST).unwrap());
            store.reconnect();
            run(world, &[store], async {
                store.connected().await.unwrap();
                assert_eq!(store.read("domid").await.unwrap(), b"1");
            });
        });
    }
}
