//! A switch between guests and a test.

mod common;

use common::{A, B, Machine, NetFront, Says, frame, tcp};
use fata_sim::{Csum, Frame, NetFeatures, Rng, Switch, SwitchStats};

fn from(source: [u8; 6], destination: [u8; 6]) -> Frame {
    Frame::new([&destination[..], &source, &frame(60).bytes[12..]].concat())
}

const C: [u8; 6] = [2, 0, 0, 0, 0, 0xc];
const ALL: [u8; 6] = [0xff; 6];

#[test]
fn it_learns_who_is_where() {
    let world = fata_sim::World::new();
    let switch = Switch::new(&world);
    let ports: Vec<_> = (0..3).map(|_| switch.port()).collect();
    let send = |port: usize, source, destination| {
        ports[port].send(from(source, destination));
        while world.run_backends() {}
        [0, 1, 2].map(|n| std::iter::from_fn(|| ports[n].take()).count())
    };
    assert_eq!(send(0, A, B), [0, 1, 1], "nobody knows B yet");
    assert_eq!(send(1, B, A), [1, 0, 0]);
    assert_eq!(send(0, A, B), [0, 1, 0]);
    assert_eq!(send(2, C, ALL), [1, 1, 0]);
    assert_eq!(send(2, C, [1, 0, 0x5e, 0, 0, 1]), [1, 1, 0]);
    // B has moved.
    assert_eq!(send(2, B, A), [1, 0, 0]);
    assert_eq!((send(0, A, B), switch.learnt(B)), ([0, 0, 1], Some(2)));
    assert_eq!(send(2, C, B), [0, 0, 0], "it is where it comes from");
    switch.forget();
    assert_eq!(send(0, A, B), [0, 1, 1]);
    assert_eq!(switch.stats(), SwitchStats { forwarded: 4, flooded: 4, ..SwitchStats::default() });
}

#[test]
fn guests_hand_each_other_what_nobody_else_takes_whole() {
    let one = Machine::new(NetFeatures::default());
    let two = Machine::another(&one.world, &one.server, NetFeatures::default());
    let three = Machine::another(&one.world, &one.server, NetFeatures::default());
    let switch = Switch::new(&one.world);
    [&one, &two, &three].iter().for_each(|machine| switch.attach(&machine.back));
    let port = switch.port();
    let mut fronts = [
        NetFront::ready(&one, &Says::default()),
        NetFront::ready(&two, &Says::default()),
        NetFront::ready(&three, &Says::default().without(&["feature-sg"])),
    ];
    let data: Vec<u8> = (0..20_000u32).map(|n| (n * 3) as u8).collect();
    let sent = Frame { gso: Some(1400), ..tcp(4, [1, 2], &data) };
    let length = sent.bytes.len();
    let parts = [54, 4000, 4000, 4000, 4000, length - 16_054];
    fronts[0].rings[0].send(&one, &sent, &parts, 0);
    one.settle();
    let received = fronts[1].rings[0].receive();
    assert_eq!(received.len(), 1);
    assert!(received[0].0 == sent.bytes && received[0].2.is_some());
    assert_eq!(fronts[2].rings[0].receive().len(), 15);
    let wire: Vec<Frame> = std::iter::from_fn(|| port.take()).collect();
    assert_eq!(wire.len(), 15);
    assert!(wire.iter().all(|frame| frame.check() == Ok(()) && frame.csum == Csum::Full));
    port.set_offloads(true);
    fronts[0].rings[0].send(&one, &sent, &parts, 0);
    one.settle();
    assert!(port.take() == Some(sent));
    assert_eq!(one.back.complaints(), Vec::<String>::new());
}

#[test]
fn pages_of_a_guest_stay_mapped_until_the_other_has_received_what_is_in_them() {
    let one = Machine::new(NetFeatures::default());
    let two = Machine::another(&one.world, &one.server, NetFeatures::default());
    let switch = Switch::new(&one.world);
    [&one, &two].iter().for_each(|machine| switch.attach(&machine.back));
    let port = switch.port();
    let mut front = NetFront::ready(&one, &Says::default());
    let mut other = NetFront::connect(&two, &Says::default());
    other.rings[0].post(&two, 1);
    one.settle();
    for id in 0..2 {
        front.rings[0].send(&one, &frame(1000), &[1000], id);
    }
    one.settle();
    assert_eq!((front.rings[0].sent(), two.back.waiting()), (vec![(0, 0)], 1));
    assert!(port.take().is_some() && port.take().is_some());
    other.rings[0].post(&two, 1);
    one.settle();
    assert_eq!((front.rings[0].sent(), other.rings[0].receive().len()), (vec![(1, 0)], 2));
    // It waits no longer than that.
    front.rings[0].send(&one, &frame(1000), &[1000], 2);
    one.settle();
    assert_eq!(front.rings[0].sent(), []);
    one.wait();
    assert_eq!((front.rings[0].sent(), two.back.stats().dropped_no_requests), (vec![(2, 0)], 1));
    // Nor than there is somebody.
    front.rings[0].send(&one, &frame(1000), &[1000], 3);
    one.settle();
    two.back.crash(false);
    one.settle();
    assert_eq!(front.rings[0].sent(), [(3, 0)]);
}

#[test]
fn a_guest_is_not_sent_longer_packets_than_its_interface_allows() {
    let machine = Machine::new(NetFeatures::default());
    let switch = Switch::new(&machine.world);
    switch.attach(&machine.back);
    let port = switch.port();
    let mut front = NetFront::ready(&machine, &Says::default());
    for length in [1514, 1518, 1519] {
        port.send(frame(length));
    }
    machine.settle();
    assert_eq!((front.rings[0].receive().len(), switch.stats().too_long), (2, 1));
    machine.back.set_mtu(9000);
    port.send(frame(9014));
    machine.settle();
    assert_eq!(front.rings[0].receive().len(), 1);
    switch.detach(&machine.back);
    front.rings[0].send(&machine, &frame(60), &[60], 0);
    port.send(frame(60));
    machine.settle();
    assert_eq!((machine.back.sent().len(), front.rings[0].receive().len()), (1, 0));
}

#[test]
fn frames_are_late_and_lost_on_command() {
    let machine = Machine::new(NetFeatures::default());
    let switch = Switch::new(&machine.world);
    let (one, two) = (switch.port(), switch.port());
    switch.set_delay(1_000_000);
    one.send(from(A, ALL));
    machine.settle();
    assert_eq!(two.take(), None);
    machine.wait();
    assert_eq!((machine.world.now_ns(), two.take().is_some()), (1_000_000, true));
    switch.set_loss(Rng::new(), 4);
    for _ in 0..400 {
        one.send(from(A, ALL));
    }
    machine.wait();
    let received = std::iter::from_fn(|| two.take()).count();
    assert_eq!(received as u64 + switch.stats().lost, 400);
    assert!((200..380).contains(&received), "{received}");
}

#[test]
fn a_test_waits_for_a_frame() {
    let world = fata_sim::World::new();
    let switch = Switch::new(&world);
    let (one, two) = (switch.port(), switch.port());
    let mut tasks = fata_sim::Tasks::new(&world);
    tasks.spawn(async { assert_eq!(one.receive().await, from(B, A)) });
    tasks.spawn(async { two.send(from(B, A)) });
    assert_eq!(tasks.run(), 0);
}
