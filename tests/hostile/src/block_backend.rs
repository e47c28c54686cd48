//! What a hostile or broken block backend may do, step by step, while users read and write: everybody gets an answer,
//! what it keeps is bounded, and an honest backend in its place works as if nothing had been.

use crate::script::Script;
use fata_block::{Disk, Link, Options};
use fata_disk::{BlockDevice, Buffer, SECTOR};
use fata_sim::{Blkback, Features, Medium, Order, Rng, Setup, SimCpu, Tasks, World, Xenstored};
use fata_xenstore::Xenstore;
use std::cell::Cell;

use xen_hyp::SharedMem;

const SECTORS: u64 = 256;
/// Requests that one input may make.
const REQUESTS: usize = 64;

/// What is written into nodes.
const VALUES: [Option<&str>; 16] = [
    None,
    Some(""),
    Some("0"),
    Some("1"),
    Some("2"),
    Some("3"),
    Some("4"),
    Some("5"),
    Some("6"),
    Some("8"),
    Some("512"),
    Some("4096"),
    Some("65536"),
    Some("-1"),
    Some("18446744073709551615"),
    Some("r"),
];

const NODES: [&str; 16] = [
    "state",
    "sectors",
    "sector-size",
    "physical-sector-size",
    "info",
    "mode",
    "online",
    "discard-granularity",
    "discard-secure",
    "feature-barrier",
    "feature-flush-cache",
    "feature-discard",
    "feature-persistent",
    "feature-max-indirect-segments",
    "max-ring-page-order",
    "multi-queue-max-queues",
];

/// What a user asks for.
async fn ask(disk: Disk<SimCpu>, patient: bool, what: u8, sector: u64, bytes: usize) {
    let data = vec![what; bytes];
    let mut buffer = Buffer::new(bytes).unwrap();
    buffer.copy_from_slice(&data);
    let impatient = disk.impatient();
    macro_rules! ask {
        ($method:ident($($argument:expr),*)) => {
            if patient { disk.$method($($argument),*).await } else { impatient.$method($($argument),*).await }
        };
    }
    match what % 8 {
        0..3 => {
            let back = ask!(write(sector, buffer)).unwrap_or_else(|failed| failed.buffer);
            assert!(*back == data, "what was to be written comes back as it was");
        }
        3..6 => {
            let back = ask!(read(sector, buffer)).unwrap_or_else(|failed| failed.buffer);
            assert_eq!(back.len(), bytes);
        }
        6 => {
            let _ = ask!(flush());
            let _ = ask!(barrier());
        }
        _ => {
            let end = sector.saturating_add(bytes as u64);
            let _ = ask!(discard(sector..end, what & 8 != 0));
            let _ = ask!(write_zeroes(sector..end));
        }
    }
}

/// The backend's part of a step. `None` at the end of the script.
fn step(script: &mut Script<'_>, back: &Blkback) -> Option<()> {
    let queue = 0;
    match script.byte()? % 20 {
        0 => back.publish(queue, script.word()?),
        1 => {
            if let Some(ring) = back.ring(queue) {
                back.publish(queue, ring.load(8).wrapping_add(u32::from(script.byte()?) % 4));
            }
        }
        2 => {
            // An answer to one that is under way, or to one that never was.
            let (pending, which) = (back.pending_ids(), script.below(32)?);
            let id = pending.get(which).copied().unwrap_or(u64::from(script.word()?));
            back.forge(queue, id, script.byte()?, -i16::from(script.byte()? % 4));
        }
        3 => {
            let (word, value) = (script.word()?, script.word()?);
            if let Some(ring) = back.ring(queue) {
                ring.store(word as usize % ring.size() / 4 * 4, value);
            }
        }
        4 => back.vdev().write("state", (script.byte()? % 10).to_string()),
        5 => back.set_node(NODES[script.below(16)?], VALUES[script.below(16)?]),
        6 => back.set_keeps(script.byte()? % 2 == 0),
        7 => back.let_go(),
        8 => back.crash(script.byte()? % 2 == 0),
        9 => back.unbind(),
        10 => back.bind(),
        11 => back.unplug(),
        12 => back.pull(),
        13 => {
            back.set_driver(true);
            back.plug();
        }
        14 => back.set_order(match script.byte()? % 4 {
            0 => Order::Arrival,
            1 => Order::OneATurn,
            2 => Order::Held,
            _ => Order::Random(Rng::from_seed(7)),
        }),
        15 => back.release(script.below(8)?),
        16 => back.notify(queue),
        17 => {
            let status = -i16::from(script.byte()? % 3);
            let nth = u64::from(script.byte()?) % 8;
            back.judge(move |seen| (seen.nth % 8 == nth).then_some(status));
        }
        18 => {
            let bits = script.byte()?;
            back.change_features(|features| {
                (features.flush, features.barrier, features.persistent) =
                    (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
                (features.discard, features.read_only) = (bits & 8 != 0, bits & 16 != 0);
            });
        }
        _ => back.resize(u64::from(script.byte()?) * 2),
    }
    Some(())
}

/// One input.
pub fn block_backend(input: &[u8]) {
    let mut script = Script(input);
    let _ = run(&mut script);
}

fn run(script: &mut Script<'_>) -> Option<()> {
    let kind = script.byte()?;
    let options = Options {
        persistent: kind & 1 != 0,
        ring_order: u32::from(kind >> 1) & 1,
        queues: 1 + (u32::from(kind >> 2) & 1),
        segments: if kind & 8 != 0 { 3 } else { 64 },
    };
    let features = Features {
        early: kind & 16 != 0,
        trusted: (kind & 32 != 0).then_some(false),
        sector_bytes: if kind & 64 != 0 { 4096 } else { 512 },
        ..Features::default()
    };
    let world = World::new();
    let server = Xenstored::start(&world);
    let xen = world.guest_with(Setup { console: false, grant_frames: 2, ..Setup::default() });
    let store = Xenstore::open(&xen).unwrap().unwrap();
    let guest = xen.platform().domain().id();
    let back = Blkback::new(&world, &server, guest, 51712, &Medium::new(SECTORS), features);
    let disk = Disk::new(&xen, 51712, options);
    back.plug();
    let (asked, done) = (Cell::new(0), Cell::new(0));
    let mut tasks = Tasks::new(&world);
    tasks.spawn(store.serve());
    tasks.spawn(async { panic!("{}", disk.serve(&store).await) });
    if kind & 128 != 0 {
        tasks.run();
    }
    let mut steps = || -> Option<()> {
        loop {
            match script.byte()? % 8 {
                0 => _ = tasks.run(),
                1 | 2 if asked.get() < REQUESTS => {
                    let [what, sector, length] = [script.byte()?, script.byte()?, script.byte()?];
                    asked.set(asked.get() + 1);
                    let (disk, done) = (disk.clone(), &done);
                    tasks.spawn(async move {
                        ask(
                            disk,
                            what & 128 != 0,
                            what,
                            u64::from(sector) & !7,
                            (1 + usize::from(length)) * SECTOR,
                        )
                        .await;
                        done.set(done.get() + 1);
                    });
                }
                _ => step(script, &back)?,
            }
            let kept = xen.grant_totals().kept;
            assert!(kept < 1024, "{kept} pages are kept");
        }
    };
    let _ = steps();
    tasks.run();
    // The toolstack exchanges it for an honest one.
    back.behave();
    back.change_features(|features| *features = Features::default());
    back.exchange(&Medium::new(SECTORS));
    back.plug();
    tasks.run();
    assert_eq!((tasks.run(), done.get()), (2, asked.get()), "{:?} {:?}", disk, disk.outstanding());
    tasks.spawn(async {
        disk.ready().await.unwrap();
        let mut buffer = Buffer::new(70 * SECTOR).unwrap();
        buffer.fill(9);
        let mut buffer = disk.write(8, buffer).await.unwrap();
        buffer.fill(0);
        assert!(disk.read(8, buffer).await.unwrap().iter().all(|&byte| byte == 9));
        disk.flush().await.unwrap();
    });
    assert_eq!((tasks.run(), disk.link()), (2, Link::Ready));
    assert!(back.medium().read(8..78).iter().all(|&byte| byte == 9));
    back.pull();
    tasks.run();
    assert_eq!((xen.reclaim_grants(), xen.grant_totals().lent), (0, 0));
    drop(tasks);
    drop(disk);
    finish(&world, store);
    Some(())
}

/// Nothing is left of it all.
fn finish(world: &World, store: Xenstore<SimCpu>) {
    let mut tasks = Tasks::new(world);
    tasks.spawn(store.serve());
    tasks.run();
    drop(tasks);
    drop(store);
    world.assert_cleaned_up();
}
