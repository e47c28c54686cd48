//! What a hostile or broken network backend may do, step by step, while a user sends and receives: frames are whole, what
//! it keeps is bounded, and with an honest backend in its place each frame gets through as it was.

use crate::script::Script;
use fata_link::Link;
use fata_net::{Nic, Options, State};
use fata_sim::{
    Csum, ETHERNET, Frame, NetFeatures, NetLie, Netback, Order, Rng, Setup, SimCpu, Tasks, Way, World,
    Xenstored,
};
use fata_xenstore::Xenstore;
use smoltcp::phy::{Device, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;
use std::cell::RefCell;
use std::future::poll_fn;
use std::num::NonZeroU16;
use std::task::Poll;
use xen_hyp::SharedMem;

/// Frames that one input may send, and have come.
const FRAMES: usize = 256;
/// As many at once as it takes for the user to look at answers.
const BURST: usize = 20;

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
    Some("68"),
    Some("1280"),
    Some("9000"),
    Some("65536"),
    Some("-1"),
    Some("18446744073709551615"),
    Some("01:00:5e:00:00:01"),
];

const NODES: [&str; 16] = [
    "state",
    "online",
    "mac",
    "mtu",
    "carrier",
    "hotplug-status",
    "feature-sg",
    "feature-gso-tcpv4",
    "feature-gso-tcpv6",
    "feature-ipv6-csum-offload",
    "feature-rx-copy",
    "feature-multicast-control",
    "feature-dynamic-multicast-control",
    "feature-split-event-channels",
    "feature-ctrl-ring",
    "multi-queue-max-queues",
];

/// A frame of so many bytes: of nothing that is known, of TCP over IPv4, or of UDP over IPv6, right but for `flip`.
fn frame(kind: u8, length: usize, flip: usize) -> Vec<u8> {
    let mut bytes = vec![0x5a; length.max(ETHERNET)];
    bytes[..12].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
    let end = bytes.len();
    match kind % 3 {
        1 if end >= 54 => {
            bytes[12..16].copy_from_slice(&[0x08, 0x00, 0x45, 0]);
            bytes[16..18].copy_from_slice(&((end - 14) as u16).to_be_bytes());
            bytes[18..24].copy_from_slice(&[0, 1, 0, 0, 64, 6]);
            bytes[46] = 0x50;
        }
        2 if end >= 62 => {
            bytes[12..18].copy_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
            bytes[18..20].copy_from_slice(&((end - 54) as u16).to_be_bytes());
            bytes[20..22].copy_from_slice(&[17, 64]);
        }
        _ => bytes[12..14].copy_from_slice(&[0x88, 0xb5]),
    }
    if let Some(byte) = bytes.get_mut(flip) {
        *byte ^= 0xff;
    }
    bytes
}

/// The length of a frame, from one byte.
fn length(byte: u8) -> usize {
    match byte {
        0..100 => 14 + usize::from(byte),
        100..200 => 1500 + usize::from(byte),
        _ => 64_000 + usize::from(byte) * 6,
    }
}

/// What the user does, so many times. `None` at the end of the script.
fn user(script: &mut Script<'_>, nic: &Nic<SimCpu>, times: usize) -> Option<()> {
    let what = script.byte()?;
    if what % 8 == 7 {
        let group = EthernetAddress([1, 0, 0x5e, 0, 0, what >> 4]);
        if what & 8 == 0 {
            nic.join(group)
        } else {
            nic.leave(group)
        }
        return Some(());
    }
    let bytes = frame(what, length(script.byte()?), script.byte()?.into());
    let mut phy = nic.phy();
    for _ in 0..times {
        let Some(mut token) = phy.transmit(Instant::ZERO) else { break };
        if what & 64 != 0 {
            let mut meta = PacketMeta::default();
            meta.segmentation_offload_size = NonZeroU16::new(u16::from(what) * 20);
            token.set_meta(meta);
        }
        token.consume(bytes.len(), |place| place.copy_from_slice(&bytes));
    }
    if what & 128 != 0 {
        phy.flush();
    }
    Some(())
}

/// The backend's part of a step. `None` at the end of the script.
fn step(script: &mut Script<'_>, back: &Netback, frames: &mut usize) -> Option<()> {
    let (queue, way) = (0, if script.0.first()? & 64 == 0 { Way::Rx } else { Way::Tx });
    match script.byte()? % 64 % 28 {
        0 => back.publish(queue, way, script.word()?),
        1 => {
            if let Some(ring) = back.ring(queue, way) {
                back.publish(queue, way, ring.load(8).wrapping_add(u32::from(script.byte()?) % 4));
            }
        }
        2 => {
            // An answer to one that is under way, or to one that never was.
            let (pending, which) = (back.pending_ids(), script.below(32)?);
            let id = pending.get(which).copied().unwrap_or(script.word()? as u16);
            back.forge_sent(queue, id, 1 - i16::from(script.byte()? % 4));
        }
        3 => back.forge(queue, Way::Rx, script.bytes(8)),
        4 => {
            let (word, value) = (script.word()?, script.word()?);
            if let Some(ring) = back.ring(queue, way) {
                ring.store(word as usize % ring.size() / 4 * 4, value);
            }
        }
        5 => back.vdev().write("state", (script.byte()? % 10).to_string()),
        6 => back.set_node(NODES[script.below(16)?], VALUES[script.below(16)?]),
        7 => {
            let name = ["mac", "mtu", "trusted", "handle"][script.below(4)?];
            let value = VALUES[script.below(16)?].unwrap_or_default();
            if back.vdev().is_plugged() {
                back.vdev().write_front(name, value);
            }
        }
        8 => back.set_keeps(script.byte()? % 2 == 0),
        9 => back.let_go(),
        10 => back.crash(script.byte()? % 2 == 0),
        11 => back.unbind(),
        12 => back.bind(),
        13 => back.unplug(),
        14 => back.pull(),
        15 => {
            back.set_driver(true);
            back.plug();
        }
        16 => back.set_order(match script.byte()? % 4 {
            0 => Order::Arrival,
            1 => Order::OneATurn,
            2 => Order::Held,
            _ => Order::Random(Rng::from_seed(7)),
        }),
        17 => back.release(script.below(8)?),
        18 => {
            let storm = script.byte()? % 2 == 0;
            back.set_storm(storm);
            back.notify(queue, way);
        }
        19 => {
            let status = 1 - i16::from(script.byte()? % 5);
            let nth = u64::from(script.byte()?) % 4;
            back.judge(move |sending| (sending.nth % 4 == nth).then_some(status));
        }
        20 => {
            let bits = script.byte()?;
            back.change_features(|features| {
                (features.sg, features.gso_tcpv4, features.gso_tcpv6) =
                    (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
                (features.csum_ipv6, features.split_event_channels) = (bits & 8 != 0, bits & 16 != 0);
                (features.multicast_control, features.queues) = (bits & 32 != 0, u32::from(bits >> 6));
            });
        }
        21 => back.lie(NetLie::ALL.get(script.below(32)?).copied()),
        22 => {
            let (at, mask) = (script.below(256)?, script.byte()?);
            back.tamper(move |answers| {
                let slot = at / 8 % answers.len();
                answers[slot][at % 8] ^= mask;
            });
        }
        23 => back.set_carrier(script.byte()? % 2 == 0),
        24 => {
            let turns = script.below(4)?;
            back.connect_slowly(turns);
            back.set_script(turns % 2 == 0);
        }
        _ if *frames < FRAMES => {
            let [what, len, flip] = [script.byte()?, script.byte()?, script.byte()?];
            *frames += 1;
            let gso = (what & 8 != 0).then_some(u16::from(what) * 20);
            let csum = [Csum::Full, Csum::Validated, Csum::Blank][usize::from(what >> 4) % 3];
            back.inject(&Frame { bytes: frame(what, length(len), flip.into()), gso, csum });
        }
        _ => {}
    }
    Some(())
}

/// One input.
pub fn net_backend(input: &[u8]) {
    let mut script = Script(input);
    let _ = run(&mut script);
}

fn run(script: &mut Script<'_>) -> Option<()> {
    let (kind, more) = (script.byte()?, script.byte()?);
    let options = Options {
        queues: 1 + u32::from(kind) % 2,
        sg: kind & 2 != 0,
        gso: kind & 4 != 0,
        checksum: kind & 8 != 0,
        split: kind & 16 != 0,
        multicast: kind & 32 != 0,
    };
    let features = NetFeatures {
        copy_bytes: if more & 1 != 0 { 0 } else { 128 },
        trusted: (more & 2 != 0).then_some(false),
        mtu: if more & 4 != 0 { Some(9000) } else { None },
        carrier: (more & 8 != 0).then_some(true),
        ..NetFeatures::default()
    };
    let world = World::new();
    let server = Xenstored::start(&world);
    let xen = world.guest_with(Setup { console: false, grant_frames: 6, ..Setup::default() });
    let store = Xenstore::open(&xen).unwrap().unwrap();
    let back = Netback::new(&world, &server, xen.platform().domain().id(), 0, features);
    let nic = Nic::new(&xen, 0, options);
    back.plug();
    let received = RefCell::new(Vec::new());
    let mut tasks = Tasks::new(&world);
    tasks.spawn(store.serve());
    tasks.spawn(async { panic!("{}", nic.serve(&store).await) });
    let (mut phy, all) = (nic.phy(), &received);
    tasks.spawn(poll_fn(move |cx| {
        phy.register(cx.waker());
        while let Some((token, _)) = phy.receive(Instant::ZERO) {
            token.consume(|bytes| {
                assert!((ETHERNET..=17 * 4096).contains(&bytes.len()));
                all.borrow_mut().push(bytes.to_vec());
            });
        }
        phy.flush();
        Poll::Pending
    }));
    if kind & 128 != 0 {
        tasks.run();
    }
    let (mut sent, mut frames) = (0, 0);
    let mut steps = || -> Option<()> {
        loop {
            match script.byte()? % 8 {
                0 => _ = tasks.run(),
                what @ 1..3 if sent < FRAMES => {
                    let times = if what == 1 { 1 } else { BURST };
                    sent += times;
                    user(script, &nic, times)?;
                }
                _ => step(script, &back, &mut frames)?,
            }
            let kept = xen.grant_totals().kept;
            assert!(kept < 1024, "{kept} pages are kept");
        }
    };
    let _ = steps();
    tasks.run();
    // The toolstack exchanges it for an honest one.
    back.behave();
    back.connect_slowly(0);
    back.change_features(|features| *features = NetFeatures::default());
    back.plug();
    assert_eq!((tasks.run(), nic.state()), (3, State::Ready), "{:?}", back.complaints());
    back.sent();
    received.borrow_mut().clear();
    let lengths = if options.sg { &[60, 1514, 9014, 65_535][..] } else { &[60, 1514] };
    for (n, &length) in lengths.iter().cycle().take(12).enumerate() {
        let bytes = frame(0, length, 20 + n);
        let mut phy = nic.phy();
        phy.transmit(Instant::ZERO).unwrap().consume(length, |place| place.copy_from_slice(&bytes));
        phy.flush();
        back.inject(&Frame::new(bytes.clone()));
        tasks.run();
        assert!(back.sent() == [Frame::new(bytes.clone())]);
        assert!(*received.borrow() == [bytes], "{:?}", back.stats());
        received.borrow_mut().clear();
    }
    back.pull();
    tasks.run();
    assert_eq!((xen.reclaim_grants(), xen.grant_totals().lent), (0, 0));
    drop(tasks);
    drop(nic);
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
