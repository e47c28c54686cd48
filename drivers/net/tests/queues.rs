//! Several pairs of rings, and which of them a frame takes.

mod common;

use common::packets::{data, payload, raw, tcp, udp};
use common::{Machine, receive, receive_all, send};
use fata_link::Link;
use fata_net::{Options, State};
use fata_sim::{NetFeatures, Order, Rng};
use smoltcp::phy::Device;
use std::collections::BTreeMap;

fn machine(ours: u32, theirs: u32, split: bool) -> Machine {
    let features = NetFeatures { queues: theirs, ..NetFeatures::default() };
    Machine::new(Options { queues: ours, split, ..Options::default() }, features)
}

/// A packet of this flow, the `n`th of it.
fn packet(flow: u16, n: u32) -> Vec<u8> {
    let data = [&n.to_be_bytes()[..], &data(flow.into())].concat();
    let version = if flow.is_multiple_of(2) { 4 } else { 6 };
    let packet = if flow.is_multiple_of(3) {
        tcp(version, [flow, 80], &data)
    } else {
        udp(version, [flow, 53], &data)
    };
    packet.bytes
}

/// The flow and number of one that came.
fn parse(bytes: &[u8]) -> (u16, u32) {
    let frame = fata_sim::Frame::new(bytes);
    let ports = frame.headers().unwrap().transport;
    let flow = u16::from_be_bytes([bytes[ports], bytes[ports + 1]]);
    (flow, u32::from_be_bytes(*payload(&frame).first_chunk().unwrap()))
}

/// All of one flow have one ring, so that they come in their order, and whole.
fn follows(seen: &mut BTreeMap<u16, u32>, bytes: &[u8]) {
    let (flow, nth) = parse(bytes);
    assert!(*bytes == packet(flow, nth));
    let next = seen.entry(flow).or_insert(0);
    assert_eq!(nth, *next, "flow {flow}");
    *next += 1;
}

#[test]
fn there_are_as_many_as_both_ends_want() {
    for (ours, theirs, both) in
        [(1, 4, 1), (4, 4, 4), (4, 1, 1), (4, 0, 1), (3, 8, 3), (100, 100, 8), (u32::MAX, 1000, 8)]
    {
        for split in [false, true] {
            let machine = machine(ours, theirs, split);
            let mut tasks = machine.tasks();
            tasks.run();
            assert_eq!((machine.nic.state(), machine.back.queues()), (State::Ready, both));
            let vdev = machine.back.vdev();
            let several = both > 1;
            assert_eq!(vdev.read_front("multi-queue-num-queues").is_empty(), !several);
            assert_eq!(vdev.read_front("tx-ring-ref").is_empty(), several);
            assert_eq!(vdev.read_front("queue-0/tx-ring-ref").is_empty(), !several);
            let prefix = if several { "queue-0/" } else { "" };
            assert_eq!(vdev.read_front(&format!("{prefix}event-channel-tx")).is_empty(), !split);
            assert_eq!(vdev.read_front(&format!("{prefix}event-channel")).is_empty(), split);
            drop(tasks);
            machine.finish();
        }
    }
}

/// What was said at one connection is not left for the next.
#[test]
fn nodes_of_an_earlier_connection_are_gone() {
    let machine = machine(4, 4, true);
    let mut tasks = machine.tasks();
    let vdev = machine.back.vdev();
    for (queues, split, sg) in [(4, true, true), (1, true, true), (3, false, false), (0, false, true)] {
        machine.back.unbind();
        tasks.run();
        machine.back.change_features(|features| {
            (features.queues, features.split_event_channels, features.sg) = (queues, split, sg);
        });
        machine.back.bind();
        tasks.run();
        assert_eq!((machine.nic.state(), machine.back.queues()), (State::Ready, queues.max(1) as usize));
        let several = queues > 1;
        assert_eq!(vdev.read_front("multi-queue-num-queues").is_empty(), !several);
        for name in ["tx-ring-ref", "rx-ring-ref"] {
            assert_eq!(vdev.read_front(name).is_empty(), several);
        }
        let plain = !several && !split;
        assert_eq!(vdev.read_front("event-channel").is_empty(), !plain);
        assert_eq!(vdev.read_front("event-channel-rx").is_empty(), several || !split);
        let mut phy = machine.nic.phy();
        for flow in 0..20 {
            assert!(send(&mut phy, &packet(flow, 0)));
            machine.back.inject(&fata_sim::Frame::new(packet(flow, 0)));
        }
        phy.flush();
        tasks.run();
        assert_eq!((machine.back.sent().len(), receive_all(&mut phy).len()), (20, 20));
    }
    drop(tasks);
    machine.finish();
}

#[test]
fn flows_are_spread_and_each_keeps_its_order() {
    for (split, order) in [(false, Order::Arrival), (true, Order::Random(Rng::new()))] {
        let machine = machine(4, 4, split);
        machine.back.set_order(order);
        let mut phy = machine.nic.phy();
        let mut tasks = machine.tasks();
        tasks.run();
        let (mut sent, mut got) = (BTreeMap::new(), BTreeMap::new());
        for n in 0..10 {
            for flow in 0..40 {
                assert!(send(&mut phy, &packet(flow, n)));
                machine.back.inject(&fata_sim::Frame::new(packet(flow, n)));
            }
            phy.flush();
            tasks.run();
            let frames = machine.back.sent_on_the_wire();
            assert_eq!(frames.len(), 40);
            let came = receive_all(&mut phy);
            assert_eq!(came.len(), 40);
            frames.iter().for_each(|frame| follows(&mut sent, &frame.bytes));
            came.iter().for_each(|bytes| follows(&mut got, bytes));
        }
        let mut used = [0; 4];
        machine.back.log().iter().for_each(|sending| used[sending.queue] += 1);
        assert!(used.iter().all(|&count| count > 20), "{used:?}");
        drop(tasks);
        machine.finish();
    }
}

/// A flood in one ring does not keep the others' frames waiting.
#[test]
fn each_ring_has_its_turn() {
    let machine = machine(4, 4, true);
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    for n in 0..60 {
        machine.back.inject(&fata_sim::Frame::new(packet(0, n)));
    }
    let others: Vec<u16> = (1..40).collect();
    others.iter().for_each(|&flow| machine.back.inject(&fata_sim::Frame::new(packet(flow, 0))));
    tasks.run();
    let mut first: Vec<u16> = Vec::new();
    for _ in 0..8 {
        first.push(parse(&receive(&mut phy).unwrap()).0);
    }
    assert!(first.iter().filter(|&&flow| flow == 0).count() <= 2, "{first:?}");
    receive_all(&mut phy);
    drop(tasks);
    machine.finish();
}

/// The longest frame must find room whichever ring it takes, and one that is full holds up all.
#[test]
fn there_is_room_only_if_all_have_some() {
    let machine = machine(4, 4, true);
    machine.back.set_order(Order::Held);
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    let long = udp(4, [7, 7], &data(4000)).bytes;
    let mut count = 0;
    while send(&mut phy, &long) {
        count += 1;
    }
    assert_eq!(count, 239, "those of one ring");
    assert!(phy.transmit(smoltcp::time::Instant::ZERO).is_none());
    machine.back.set_order(Order::Arrival);
    phy.flush();
    tasks.run();
    assert!(send(&mut phy, &raw(60, 0).bytes));
    phy.flush();
    tasks.run();
    assert_eq!(machine.back.sent().len(), count + 1);
    drop(tasks);
    machine.finish();
}
