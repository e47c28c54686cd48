//! Our half of a device, with backends that skip states, repeat them, close at any moment, or are exchanged.
#![forbid(unsafe_code)]

use fata_sim::{Rng, SimCpu, Tasks, Vdev, World, Xenstored, state};
use fata_xenbus::{Change, Device, State};
use fata_xenstore::Xenstore;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use xen_hyp::DomId;

const GUEST: DomId = DomId(1);

/// What a driver does with its device, as it tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Did {
    Plugged(DomId),
    Connected,
    Refused,
    Changed,
    Ended,
}

/// A guest with a driver for one device, and the toolstack's and the backend's side of it in our hands.
struct Bench {
    world: World,
    server: Rc<Xenstored>,
    store: Xenstore<SimCpu>,
    vdev: Vdev,
    did: RefCell<Vec<Did>>,
}

impl Bench {
    fn new() -> Self {
        let world = World::new();
        let server = Xenstored::start(&world);
        let store = Xenstore::open(&world.guest()).unwrap().unwrap();
        let vdev = Vdev::new(&server, GUEST, "vtest", 7);
        Self { world, server, store, vdev, did: RefCell::default() }
    }

    fn tasks(&self) -> Tasks<'_> {
        let mut tasks = Tasks::new(&self.world);
        tasks.spawn(self.store.serve());
        tasks.spawn(async { panic!("{:?}", self.drive().await) });
        tasks
    }

    fn did(&self, what: Did) {
        self.did.borrow_mut().push(what);
    }

    /// A driver's loop, as in block and network.
    async fn drive(&self) -> fata_xenbus::Error {
        loop {
            if let Err(error) = self.session().await {
                return error;
            }
        }
    }

    async fn session(&self) -> Result<(), fata_xenbus::Error> {
        let device = Device::plug(&self.store, "vtest", 7).await?;
        self.did(Did::Plugged(device.peer()));
        let nodes =
            [("ring-ref".to_string(), "8".to_string()), ("event-channel".to_string(), "3".to_string())];
        let mut device = match device.initialise(&nodes, State::Initialised).await?.connect().await? {
            Ok(device) => device,
            Err(closed) => {
                self.did(Did::Refused);
                return closed.stirred().await;
            }
        };
        device.announce().await?;
        self.did(Did::Connected);
        while device.changed().await? == Change::Properties {
            self.did(Did::Changed);
        }
        self.did(Did::Ended);
        device.close().await
    }

    fn back(&self, state: u32) {
        self.vdev.write("state", state.to_string());
    }

    /// As a backend that goes along with whatever our half does, as Linux's do.
    fn follow(&self) {
        let theirs = self.vdev.front_state();
        let next = match (self.vdev.state(), theirs) {
            (state::INITIALISING, state::INITIALISING..=state::INITIALISED) => state::INIT_WAIT,
            (state::CLOSED, state::INITIALISING) => state::INIT_WAIT,
            (state::INIT_WAIT | state::INITIALISED, state::INITIALISED | state::CONNECTED) => {
                state::CONNECTED
            }
            (state::CLOSED | state::CLOSING, state::CLOSING) => return,
            (_, state::CLOSING) => state::CLOSING,
            (state::CLOSED, state::CLOSED) => return,
            (_, state::CLOSED) => state::CLOSED,
            _ => return,
        };
        self.back(next);
    }
}

/// Runs to rest with the backend going along.
fn follow(bench: &Bench, tasks: &mut Tasks<'_>) {
    loop {
        let before = (bench.vdev.state(), bench.vdev.front_state(), bench.server.served());
        assert_eq!(tasks.run(), 2);
        bench.follow();
        assert_eq!(tasks.run(), 2);
        if before == (bench.vdev.state(), bench.vdev.front_state(), bench.server.served()) {
            return;
        }
    }
}

macro_rules! with_bench {
    (|$bench:ident, $tasks:ident| $body:block) => {{
        let bench = Bench::new();
        {
            let $bench = &bench;
            let mut tasks = bench.tasks();
            {
                let $tasks = &mut tasks;
                $body
            }
            assert!(bench.server.watches(GUEST) <= 2, "{} watches", bench.server.watches(GUEST));
        }
        let mut tasks = Tasks::new(&bench.world);
        tasks.spawn(bench.store.serve());
        tasks.run();
        drop(tasks);
        drop(bench.store);
        bench.world.assert_cleaned_up();
    }};
}

#[test]
fn states_may_be_skipped_and_repeated_on_the_way_to_connected() {
    use state::{CONNECTED, INIT_WAIT, INITIALISED, INITIALISING, RECONFIGURED, RECONFIGURING};
    for way in [
        &[INIT_WAIT, CONNECTED][..],
        &[INITIALISED, CONNECTED],
        &[INIT_WAIT, INITIALISED, CONNECTED],
        &[INITIALISING, INITIALISING, INIT_WAIT, INIT_WAIT, INITIALISED, INITIALISED, CONNECTED, CONNECTED],
        // Back again, as one that is started once more in between.
        &[INIT_WAIT, INITIALISING, INIT_WAIT, CONNECTED],
        &[INITIALISED, INIT_WAIT, INITIALISED, CONNECTED],
        // Works all the same.
        &[INIT_WAIT, RECONFIGURING],
        &[INIT_WAIT, RECONFIGURED],
    ] {
        // Each step when everything has come to rest, or all at once.
        for at_once in [false, true] {
            with_bench!(|bench, tasks| {
                bench.vdev.plug(&[], &[]);
                for (n, &state) in way.iter().enumerate() {
                    bench.back(state);
                    // We have to have seen that it is ready before it can have seen where we are.
                    let works = |state: Option<&u32>| state.is_some_and(|&state| state >= CONNECTED);
                    if !at_once || works(way.get(n + 1)) && !works(Some(&state)) {
                        assert_eq!(tasks.run(), 2);
                    }
                }
                assert_eq!(tasks.run(), 2);
                let did: Vec<Did> = bench.did.take().into_iter().filter(|did| *did != Did::Changed).collect();
                assert_eq!(did, [Did::Plugged(DomId::DOM0), Did::Connected], "{way:?} at once {at_once}");
                assert_eq!(bench.vdev.front_state(), CONNECTED);
            });
        }
    }
}

/// Whoever sees our state sees the nodes that belong to it.
#[test]
fn nodes_and_state_are_there_at_once() {
    with_bench!(|bench, tasks| {
        let (seen, turns) = (Rc::new(Cell::new(false)), Cell::new(0));
        bench.server.slow_down(Rng::new());
        tasks.each_turn({
            let (vdev, seen) = (Vdev::new(&bench.server, GUEST, "vtest", 7), seen.clone());
            move || {
                let there = [vdev.read_front("ring-ref"), vdev.read_front("event-channel")];
                match vdev.front_state() {
                    state::INITIALISED | state::CONNECTED => {
                        assert_eq!(there, ["8", "3"]);
                        seen.set(true);
                    }
                    _ => assert_eq!(there, ["", ""]),
                }
                turns.set(turns.get() + 1);
            }
        });
        bench.vdev.plug(&[], &[]);
        bench.back(state::INIT_WAIT);
        tasks.run();
        assert!(seen.get());
    });
}

#[test]
fn what_changes_while_it_works_is_told_and_no_more() {
    with_bench!(|bench, tasks| {
        bench.vdev.plug(&[], &[]);
        follow(bench, tasks);
        bench.did.take();
        for state in [state::RECONFIGURING, state::RECONFIGURED, state::CONNECTED, state::CONNECTED] {
            bench.back(state);
            assert_eq!(tasks.run(), 2);
            assert_eq!(bench.did.take(), [Did::Changed], "{state}");
        }
        // Another node is none of our business.
        bench.vdev.write("sectors", "8");
        assert_eq!(tasks.run(), 2);
        assert_eq!(bench.did.take(), []);
    });
}

/// The states in which a backend does nothing more; after each the device is closed, and works again when it does.
#[test]
fn a_backend_that_ends_in_any_way_is_closed_and_begun_with_anew() {
    for end in
        [0, state::INITIALISING, state::INIT_WAIT, state::INITIALISED, state::CLOSING, state::CLOSED, 9, 77]
    {
        with_bench!(|bench, tasks| {
            bench.vdev.plug(&[], &[]);
            follow(bench, tasks);
            bench.did.take();
            bench.back(end);
            assert_eq!(tasks.run(), 2);
            if matches!(end, 0 | 9 | 77) {
                // It has lost its senses; it is started again.
                bench.back(state::INIT_WAIT);
            }
            follow(bench, tasks);
            let expected = [Did::Ended, Did::Plugged(DomId::DOM0), Did::Connected];
            let did: Vec<Did> = bench.did.take().into_iter().filter(|did| *did != Did::Changed).collect();
            assert_eq!(did, expected, "{end}");
            assert_eq!((bench.vdev.state(), bench.vdev.front_state()), (state::CONNECTED, state::CONNECTED));
        });
    }
}

/// At every turn of a session something ends it; afterwards it is up again, whatever it was.
#[test]
fn whatever_happens_at_whatever_moment_it_works_in_the_end() {
    type Blow = (&'static str, fn(&Bench));
    let blows: [Blow; 8] = [
        ("closes", |b| b.back(state::CLOSING)),
        ("has closed", |b| b.back(state::CLOSED)),
        ("is started again", |b| b.back(state::INIT_WAIT)),
        ("has no state any more", |b| b.vdev.remove("state")),
        ("is exchanged", |b| b.vdev.plug(&[], &[])),
        ("loses its directory", |b| b.server.rm(b.vdev.back())),
        ("is pulled", |b| b.vdev.pull()),
        ("is asked to close", |b| b.vdev.ask_to_close()),
    ];
    for (what, blow) in blows {
        for turn in 1.. {
            let bench = Bench::new();
            let (turns, over) = (Cell::new(0), Cell::new(false));
            let mut tasks = bench.tasks();
            bench.vdev.plug(&[], &[]);
            tasks.each_turn(|| {
                turns.set(turns.get() + 1);
                bench.follow();
                if turns.get() == turn && !over.get() {
                    blow(&bench);
                }
            });
            assert_eq!(tasks.run(), 2);
            over.set(turns.get() < turn);
            // The toolstack puts in order what is left, if anything has to be.
            if bench.vdev.front_state() != state::CONNECTED || bench.vdev.state() != state::CONNECTED {
                bench.vdev.plug(&[], &[]);
            }
            assert_eq!(tasks.run(), 2);
            let did = bench.did.take();
            let last = did.iter().rfind(|did| **did != Did::Changed);
            assert_eq!(last, Some(&Did::Connected), "{what} at turn {turn}: {did:?}");
            assert_eq!((bench.vdev.state(), bench.vdev.front_state()), (4, 4), "{what} at turn {turn}");
            assert!(bench.server.watches(GUEST) <= 2);
            drop(tasks);
            if over.get() {
                break;
            }
        }
    }
}

#[test]
fn the_store_may_die_at_any_moment() {
    for features in [14, 15] {
        for turn in 1.. {
            let bench = Bench::new();
            bench.server.set_features(features);
            let turns = Cell::new(0);
            let mut tasks = bench.tasks();
            bench.vdev.plug(&[], &[]);
            tasks.each_turn(|| {
                turns.set(turns.get() + 1);
                bench.follow();
                if turns.get() == turn {
                    bench.server.kill();
                }
                if turns.get() == turn + 3 {
                    bench.server.restart();
                }
            });
            tasks.run();
            while turns.get() < turn + 3 {
                turns.set(turn.max(turns.get() + 1));
                if turns.get() == turn {
                    bench.server.kill();
                }
                if turns.get() == turn + 3 {
                    bench.server.restart();
                }
            }
            assert_eq!(tasks.run(), 2);
            assert_eq!((bench.vdev.state(), bench.vdev.front_state()), (4, 4), "at turn {turn}");
            drop(tasks);
            if turn > 80 {
                break;
            }
        }
    }
}

/// What had this half before us left it connected, or half way: that is closed first.
#[test]
fn what_an_earlier_session_left_is_cleaned_up() {
    for (ours, theirs) in [
        (4, 4),
        (3, 4),
        (4, 7),
        (1, 4),
        (5, 4),
        (6, 4),
        (3, 2),
        (4, 5),
        (3, 5),
        (5, 5),
        (6, 5),
        (6, 6),
        (4, 6),
        (2, 8),
    ] {
        with_bench!(|bench, tasks| {
            bench.vdev.plug(&[], &[]);
            bench.server.write(&format!("{}/state", bench.vdev.front()), ours.to_string());
            bench.back(theirs);
            follow(bench, tasks);
            let did = bench.did.take();
            let last = did.iter().rfind(|did| **did != Did::Changed);
            assert_eq!(last, Some(&Did::Connected), "{ours} {theirs}: {did:?}");
            assert_eq!((bench.vdev.state(), bench.vdev.front_state()), (4, 4));
        });
    }
}

#[test]
fn a_device_that_is_not_online_is_not_begun_with() {
    with_bench!(|bench, tasks| {
        bench.vdev.plug(&[], &[("online", "0")]);
        bench.vdev.write("online", "0");
        bench.back(state::CLOSED);
        assert_eq!(tasks.run(), 2);
        assert_eq!(bench.did.take(), []);
        assert_eq!(bench.vdev.front_state(), state::INITIALISING);
        bench.vdev.plug(&[], &[]);
        follow(bench, tasks);
        assert_eq!(bench.did.take(), [Did::Plugged(DomId::DOM0), Did::Connected]);
    });
}

#[test]
fn another_backend_in_its_place_is_found() {
    with_bench!(|bench, tasks| {
        bench.vdev.plug(&[], &[]);
        follow(bench, tasks);
        assert_eq!(bench.did.take(), [Did::Plugged(DomId::DOM0), Did::Connected]);
        // In another domain, which is guest 2.
        bench.world.guest();
        let back = "/local/domain/2/backend/vtest/1/7";
        bench.server.write(&format!("{back}/state"), "2");
        bench.server.set_perms(&format!("{back}/state"), &["n2", "r1"]);
        for (name, value) in [("backend", back), ("backend-id", "2"), ("state", "1")] {
            bench.server.write(&format!("{}/{name}", bench.vdev.front()), value);
        }
        assert_eq!(tasks.run(), 2);
        assert_eq!(bench.did.take(), [Did::Ended, Did::Plugged(DomId(2))]);
        bench.server.write(&format!("{back}/state"), "4");
        assert_eq!(tasks.run(), 2);
        assert_eq!(bench.did.take(), [Did::Connected]);
    });
}

#[test]
fn what_we_may_not_see_is_as_if_it_were_not_there() {
    with_bench!(|bench, tasks| {
        bench.vdev.plug(&[], &[]);
        bench.back(state::INIT_WAIT);
        let node = format!("{}/state", bench.vdev.back());
        bench.server.set_perms(&node, &["n0"]);
        assert_eq!(tasks.run(), 2);
        assert_eq!(bench.did.take(), []);
        bench.server.set_perms(&node, &["n0", "r1"]);
        bench.back(state::INIT_WAIT);
        assert_eq!(tasks.run(), 2);
        assert_eq!(bench.did.take(), [Did::Plugged(DomId::DOM0)]);
    });
}

#[test]
fn a_backend_that_refuses_is_tried_again_when_it_stirs_and_not_before() {
    with_bench!(|bench, tasks| {
        bench.vdev.plug(&[], &[]);
        bench.back(state::INIT_WAIT);
        assert_eq!(tasks.run(), 2);
        bench.back(state::CLOSING);
        assert_eq!(tasks.run(), 2);
        assert_eq!(bench.vdev.front_state(), state::CLOSED);
        bench.back(state::CLOSED);
        assert_eq!(tasks.run(), 2);
        assert_eq!(bench.did.take(), [Did::Plugged(DomId::DOM0), Did::Refused]);
        let served = bench.server.served();
        assert_eq!(tasks.run(), 2);
        assert_eq!(bench.server.served(), served);
        // Its driver is bound again, and as our half is closed so is it, at once.
        bench.back(state::INIT_WAIT);
        bench.back(state::CLOSED);
        follow(bench, tasks);
        assert_eq!(bench.did.take(), [Did::Plugged(DomId::DOM0), Did::Connected]);
    });
}

/// Nodes that come one by one, in any order, or one that goes: as long as one is missing there is no device.
#[test]
fn a_half_that_is_not_whole_is_waited_for() {
    let nodes = |bench: &Bench| {
        [("backend", bench.vdev.back().to_string()), ("backend-id", "0".into()), ("state", "1".into())]
    };
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for gone in 0..3 {
            with_bench!(|bench, tasks| {
                let path = |name: &str| format!("{}/{name}", bench.vdev.front());
                let nodes = nodes(bench);
                bench.vdev.plug(&[], &[]);
                for (name, _) in &nodes {
                    bench.server.rm(&path(name));
                }
                for n in order {
                    assert_eq!(tasks.run(), 2);
                    assert_eq!(bench.did.take(), []);
                    bench.server.write(&path(nodes[n].0), &nodes[n].1);
                }
                follow(bench, tasks);
                assert_eq!(bench.did.take()[..2], [Did::Plugged(DomId::DOM0), Did::Connected]);
                bench.server.rm(&path(nodes[gone].0));
                bench.back(state::CONNECTED);
                assert_eq!(tasks.run(), 2);
                assert_eq!(bench.did.take(), [Did::Ended]);
                let served = bench.server.served();
                assert_eq!(tasks.run(), 2);
                assert_eq!(bench.server.served(), served);
                bench.vdev.plug(&[], &[]);
                follow(bench, tasks);
                assert_eq!(bench.did.take()[..2], [Did::Plugged(DomId::DOM0), Did::Connected]);
            });
        }
    }
}

/// Somebody else writes to the same directory all the time: our transactions are tried again.
#[test]
fn a_busy_toolstack_does_not_keep_us_from_our_nodes() {
    with_bench!(|bench, tasks| {
        let turns = Rc::new(Cell::new(0));
        tasks.each_turn({
            let (server, path, turns) =
                (bench.server.clone(), format!("{}/state", bench.vdev.front()), turns.clone());
            move || {
                turns.set(turns.get() + 1);
                // What it finds there it writes again.
                if let Some(state) = server.read(&path).filter(|_| turns.get() < 200 && turns.get() % 3 == 0)
                {
                    server.write(&path, state);
                }
            }
        });
        bench.vdev.plug(&[], &[]);
        follow(bench, tasks);
        assert!(bench.server.conflicts() > 0);
        assert!(bench.did.take().contains(&Did::Connected));
    });
}
