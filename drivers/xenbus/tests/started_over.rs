//! A backend that is started again, and goes on with what was shared with the one before.
#![forbid(unsafe_code)]

use fata_sim::{Tasks, Vdev, World, Xenstored, state};
use fata_xenbus::{Change, Device, State};
use fata_xenstore::Xenstore;
use xen_hyp::DomId;

const GUEST: DomId = DomId(1);

/// Linux's finds us connected when it starts, which takes it a while: it says that it is connected only after we have
/// closed, and means rings that are no more. Only that it says it is closed shows that it has seen us.
#[test]
fn we_begin_anew_only_when_it_has_seen_us_close() {
    let world = World::new();
    let server = Xenstored::start(&world);
    let store = Xenstore::open(&world.guest()).unwrap().unwrap();
    let vdev = Vdev::new(&server, GUEST, "vtest", 7);
    vdev.plug(&[], &[]);
    {
        let mut tasks = Tasks::new(&world);
        tasks.spawn(store.serve());
        tasks.spawn(async {
            loop {
                let device = Device::plug(&store, "vtest", 7).await.unwrap();
                let connected = device.initialise(&[], State::Initialised).await.unwrap().connect().await;
                if let Ok(mut device) = connected.unwrap() {
                    device.announce().await.unwrap();
                    while device.changed().await.unwrap() == Change::Properties {}
                    device.close().await.unwrap();
                }
            }
        });
        let mut back = |theirs: u32, ours: u32| {
            vdev.write("state", theirs.to_string());
            tasks.run();
            assert_eq!(vdev.front_state(), ours, "with the backend in {theirs}");
        };
        back(state::INIT_WAIT, state::INITIALISED);
        back(state::CONNECTED, state::CONNECTED);
        back(state::INIT_WAIT, state::CLOSED);
        back(state::CONNECTED, state::CLOSED);
        back(state::CLOSED, state::INITIALISING);
        back(state::INIT_WAIT, state::INITIALISED);
        back(state::CONNECTED, state::CONNECTED);
    }
    // Watches are given back.
    let mut tasks = Tasks::new(&world);
    tasks.spawn(store.serve());
    tasks.run();
    drop(tasks);
    drop(store);
    world.assert_cleaned_up();
}
