//! Anything in the nodes of a device, its backend, the bus and the toolstack's orders, in any order: drivers wait or
//! go on, and a device that is plugged in as it should be works in the end.

use crate::script::Script;
use fata_sim::{Setup, SimCpu, Tasks, Vdev, World, Xenstored, state};
use fata_xenbus::{Bus, Change, Control, Device, Error, State};
use fata_xenstore::Xenstore;
use std::cell::Cell;
use xen_hyp::{DomId, Signal};

const GUEST: DomId = DomId(1);

/// Of the guest's half, of the backend's, and others.
const NODES: [&str; 16] = [
    "F/state",
    "F/backend",
    "F/backend-id",
    "F/ring-ref",
    "F",
    "B/state",
    "B/online",
    "B/feature",
    "B",
    "/local/domain/1/device",
    "/local/domain/1/device/vtest",
    "/local/domain/1/device/vtest/8/backend",
    "/local/domain/1/device/x/y",
    "/local/domain/1/control/shutdown",
    "/local/domain/1/control/sysrq",
    "/local/domain/1/control",
];

const VALUES: [&str; 16] = [
    "",
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "4294967295",
    "/local/domain/0/backend/vtest/1/7",
    "/local/domain/1/device/vtest/7",
    "device//x",
    "poweroff",
    "suspend",
];

const PERMS: [&[&str]; 4] = [&["n0", "r1"], &["n1", "r0"], &["n0"], &["b1"]];

/// What a driver does with its device.
async fn session(store: &Xenstore<SimCpu>, connects: &Cell<u32>) -> Result<(), Error> {
    let device = Device::plug(store, "vtest", 7).await?;
    let [feature] = device.numbers(&["feature"]).await?;
    let nodes = [("ring-ref".to_string(), feature.unwrap_or(8).to_string())];
    let mut device = match device.initialise(&nodes, State::Initialised).await?.connect().await? {
        Ok(device) => device,
        Err(closed) => return closed.stirred().await,
    };
    device.own_number("trusted").await?;
    device.announce().await?;
    connects.set(connects.get() + 1);
    while device.changed().await? == Change::Properties {
        device.text("mode").await?;
    }
    device.close().await
}

/// The three that listen to the store. After an error each begins again when something has happened.
async fn drive(store: &Xenstore<SimCpu>, connects: &Cell<u32>, stirred: &Signal) {
    loop {
        let seen = stirred.seen();
        if session(store, connects).await.is_err() {
            stirred.after(seen).await;
        }
    }
}

async fn look_at_bus(store: &Xenstore<SimCpu>, stirred: &Signal) {
    let mut bus = Bus::new(store);
    loop {
        let seen = stirred.seen();
        if let Ok(entries) = bus.devices().await {
            assert!(entries.len() <= 256);
        }
        let _ = bus.ids("vtest").await;
        if bus.changed().await.is_err() {
            stirred.after(seen).await;
        }
    }
}

async fn listen(store: &Xenstore<SimCpu>, stirred: &Signal) {
    loop {
        let seen = stirred.seen();
        if let Ok(mut control) = Control::open(store).await {
            while control.next().await.is_ok() {}
        }
        stirred.after(seen).await;
    }
}

/// As a backend that goes along with whatever our half does.
fn follow(vdev: &Vdev) {
    let next = match (vdev.state(), vdev.front_state()) {
        (state::INITIALISING | state::CLOSED, state::INITIALISING) => state::INIT_WAIT,
        (state::INIT_WAIT, state::INITIALISED | state::CONNECTED) => state::CONNECTED,
        (state::CONNECTED, state::CLOSING) => state::CLOSING,
        (state::CONNECTED | state::CLOSING | state::INIT_WAIT, state::CLOSED) => state::CLOSED,
        _ => return,
    };
    vdev.write("state", next.to_string());
}

/// Gives whether everything is to come to rest now. `None` at the end of the script.
fn step(script: &mut Script<'_>, server: &Xenstored, vdev: &Vdev, alive: &mut bool) -> Option<bool> {
    let mut path = || -> Option<String> {
        let node = NODES[script.below(16)?];
        Some(match node.split_at(1) {
            ("F", rest) => format!("{}{rest}", vdev.front()),
            ("B", rest) => format!("{}{rest}", vdev.back()),
            _ => node.to_string(),
        })
    };
    match path().zip(script.byte())? {
        (path, 0..100) => server.write(&path, VALUES[script.below(16)?]),
        (path, 100..120) => {
            let len = script.below(64)?;
            server.write(&path, script.bytes(len));
        }
        (path, 120..140) => server.rm(&path),
        (path, 140..160) if server.read(&path).is_some() => server.set_perms(&path, PERMS[script.below(4)?]),
        (_, 160..180) => vdev.plug(&[], &[]),
        (_, 180..185) => vdev.ask_to_close(),
        (_, 185..190) => {
            if std::mem::replace(alive, !*alive) {
                server.kill();
            } else {
                server.restart();
            }
            // One that is exchanged twice before anybody looks may be taken for the same.
            return Some(true);
        }
        (_, 190..220) => follow(vdev),
        _ => return Some(true),
    }
    Some(false)
}

/// One input.
pub fn xenbus_nodes(input: &[u8]) {
    let world = World::new();
    let server = Xenstored::start(&world);
    let xen = world.guest_with(Setup { console: false, grant_frames: 1, ..Setup::default() });
    let store = Xenstore::open(&xen).unwrap().unwrap();
    let vdev = Vdev::new(&server, GUEST, "vtest", 7);
    let (connects, stirred) = (Cell::new(0), Signal::new());
    let mut tasks = Tasks::new(&world);
    tasks.spawn(store.serve());
    tasks.spawn(drive(&store, &connects, &stirred));
    tasks.spawn(look_at_bus(&store, &stirred));
    tasks.spawn(listen(&store, &stirred));
    let (mut script, mut alive) = (Script(input), true);
    while let Some(rest) = step(&mut script, &server, &vdev, &mut alive) {
        if rest {
            stirred.fire();
            tasks.run();
        }
    }
    // In the end, all is as it should be.
    if !alive {
        server.restart();
    }
    tasks.run();
    let before = connects.get();
    vdev.plug(&[], &[]);
    for _ in 0..8 {
        stirred.fire();
        assert_eq!(tasks.run(), 4);
        follow(&vdev);
    }
    assert!(connects.get() > before, "{} {}", vdev.front_state(), vdev.state());
    assert_eq!((vdev.front_state(), vdev.state()), (state::CONNECTED, state::CONNECTED));
    // Of the device, the bus and the orders.
    assert!(server.watches(GUEST) <= 5, "{} watches", server.watches(GUEST));
    drop(tasks);
    let mut tasks = Tasks::new(&world);
    tasks.spawn(store.serve());
    tasks.run();
    drop(tasks);
    drop(store);
    world.assert_cleaned_up();
}
