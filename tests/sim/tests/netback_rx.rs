//! What a network backend gives to a guest.

mod common;

use common::{EXTRA, MORE, Machine, NetFront, Received, Says, frame, index, tcp, u16_at, whole};
use fata_sim::{Csum, Frame, NetFeatures, NetStats, Rng, Way};
use xen_hyp::SharedMem;

/// `NETRXF_*` are others than those for sending.
const RX_VALIDATED: u16 = 1;
const RX_BLANK: u16 = 2;

fn machine(says: &Says) -> (Machine, NetFront) {
    let machine = Machine::new(NetFeatures::default());
    let front = NetFront::ready(&machine, says);
    (machine, front)
}

fn large(version: u8, length: usize) -> Frame {
    let data: Vec<u8> = (0..length).map(|n| (n * 31) as u8).collect();
    Frame { gso: Some(1400), ..tcp(version, [80, 8080], &data) }
}

#[test]
fn a_frame_comes_in_one_slot_and_says_what_its_checksum_is() {
    let (machine, mut front) = machine(&Says::default());
    let blank = tcp(4, [1, 2], b"data");
    for (sent, flags) in [
        (frame(60), 0),
        (blank.clone(), RX_BLANK | RX_VALIDATED),
        (Frame { csum: Csum::Validated, ..whole(blank) }, RX_VALIDATED),
    ] {
        machine.back.inject(&sent);
        machine.settle();
        assert_eq!(front.rings[0].receive(), [(sent.bytes, flags, None)]);
    }
    assert_eq!(machine.back.stats().rx_packets, 3);
    front.close(&machine);
    machine.world.assert_cleaned_up();
}

#[test]
fn a_long_one_takes_whole_pages_and_one_to_be_cut_a_slot_more() {
    let (machine, mut front) = machine(&Says::default());
    machine.back.inject(&frame(9000));
    machine.settle();
    let answers = front.rings[0].answers();
    let fields: Vec<[u16; 4]> = answers.iter().map(|a| [0, 2, 4, 6].map(|at| u16_at(a, at))).collect();
    assert_eq!(fields, [[0, 0, MORE, 4096], [1, 0, MORE, 4096], [2, 0, 0, 808]]);
    for (version, kind) in [(4, 1), (6, 2)] {
        let sent = large(version, 60_000);
        machine.back.inject(&sent);
        machine.settle();
        let (bytes, flags, gso) = front.rings[0].receive().remove(0);
        assert!(bytes == sent.bytes);
        assert_eq!(flags, MORE | EXTRA | RX_BLANK | RX_VALIDATED);
        let [low, high] = 1400u16.to_ne_bytes();
        assert_eq!(gso, Some([1, 0, low, high, kind, 0, 0, 0]));
    }
}

#[test]
fn the_extra_information_takes_the_slot_of_the_second_request() {
    let (machine, mut front) = machine(&Says::default());
    machine.back.inject(&large(4, 5000));
    machine.settle();
    let answers = front.rings[0].answers();
    let ids = [0, 2].map(|n| u16_at(&answers[n], 0));
    assert_eq!((answers.len(), ids), (3, [0, 2]));
    // The page of that request is as it was, and can be used again.
    assert_eq!(machine.back.stats().rx_packets, 1);
}

#[test]
fn a_guest_gets_nothing_that_it_does_not_take() {
    let whole_segments = |received: &[Received], blank: bool| {
        for (bytes, flags, gso) in received {
            let csum = if blank { Csum::Blank } else { Csum::Full };
            assert_eq!((*flags, *gso), (if blank { RX_BLANK | RX_VALIDATED } else { 0 }, None));
            let frame = Frame { bytes: bytes.clone(), gso: None, csum };
            assert_eq!(frame.check(), Ok(()));
        }
        received.len()
    };
    for version in [4, 6] {
        // Not to be cut.
        let (machine, mut front) =
            machine(&Says::default().without(&["feature-gso-tcpv4", "feature-gso-tcpv6"]));
        machine.back.inject(&large(version, 10_000));
        machine.settle();
        assert_eq!(whole_segments(&front.rings[0].receive(), true), 8);
        // Not without checksums, so not to be cut either.
        let says = Says::default().without(&["feature-ipv6-csum-offload"]);
        let (machine, mut front) = self::machine(&says.with("feature-no-csum-offload", "1"));
        machine.back.inject(&large(version, 10_000));
        machine.settle();
        assert_eq!(whole_segments(&front.rings[0].receive(), false), 8);
        // Not in pieces.
        let (machine, mut front) = self::machine(&Says::default().without(&["feature-sg"]));
        machine.back.inject(&large(version, 10_000));
        machine.back.inject(&frame(9000));
        machine.settle();
        assert_eq!(whole_segments(&front.rings[0].receive(), true), 8);
        assert_eq!(machine.back.stats().dropped_long, 1);
    }
}

#[test]
fn frames_wait_for_requests_and_not_for_ever() {
    let machine = Machine::new(NetFeatures::default());
    let mut front = NetFront::connect(&machine, &Says::default());
    // Before there is any it counts as down.
    machine.back.inject(&frame(60));
    assert_eq!(machine.back.stats().dropped_down, 1);
    assert!(!front.rings[0].post(&machine, 1) || machine.back.waiting() == 0);
    machine.settle();
    machine.back.inject(&frame(5000));
    machine.back.inject(&frame(60));
    machine.settle();
    assert_eq!((machine.back.waiting(), front.rings[0].answers().len()), (2, 0));
    assert!(front.rings[0].post(&machine, 2), "it waits for that");
    machine.settle();
    let lengths: Vec<usize> = front.rings[0].receive().iter().map(|(bytes, ..)| bytes.len()).collect();
    assert_eq!(lengths, [5000, 60]);
    // As nothing waits it does not care.
    assert!(!front.rings[0].post(&machine, 1));
    machine.back.inject(&frame(60));
    machine.back.inject(&frame(60));
    let start_ns = machine.world.now_ns();
    machine.wait();
    assert_eq!(machine.world.now_ns() - start_ns, 10_000_000_000);
    assert_eq!((machine.back.waiting(), front.rings[0].answers().len()), (0, 1));
    assert_eq!(machine.back.stats().dropped_no_requests, 1);
    // And only so many.
    for _ in 0..100 {
        machine.back.inject(&frame(60_000));
    }
    assert_eq!(machine.back.waiting(), 9);
    assert_eq!(machine.back.stats().dropped_full, 91);
}

#[test]
fn where_the_guest_does_not_tell_of_requests_frames_wait_for_an_instant() {
    let machine = Machine::new(NetFeatures::default());
    let mut front = NetFront::connect(&machine, &Says::default().without(&["feature-rx-notify"]));
    machine.back.inject(&frame(60));
    assert_eq!(machine.back.waiting(), 1);
    machine.wait();
    assert_eq!((machine.world.now_ns(), machine.back.stats().dropped_no_requests), (30_000_000, 1));
    front.rings[0].post(&machine, 1);
    machine.back.inject(&frame(60));
    machine.settle();
    assert_eq!(front.rings[0].receive().len(), 1);
}

#[test]
fn a_page_that_was_not_lent_is_answered_with_an_error() {
    let machine = Machine::new(NetFeatures::default());
    let mut front = NetFront::connect(&machine, &Says::default());
    let ring = &mut front.rings[0];
    ring.rx.push_parts(&[&[9, 0, 0, 0], &77_777u32.to_ne_bytes()]);
    assert!(ring.rx.publish());
    ring.post(&machine, 1);
    machine.settle();
    machine.back.inject(&frame(60));
    machine.back.inject(&frame(60));
    machine.settle();
    let answers = ring.answers();
    assert_eq!(answers.len(), 2);
    assert!((u16_at(&answers[0], 6) as i16) < 0);
    assert_eq!((u16_at(&answers[0], 0), u16_at(&answers[1], 6)), (9, 60));
    assert_eq!(machine.back.complaints().len(), 1);
}

#[test]
fn requests_that_cannot_be_end_service() {
    let (machine, front) = machine(&Says::default());
    front.rings[0].rx.memory().store(0, 64 + 300);
    machine.back.inject(&frame(60));
    machine.settle();
    assert_eq!(machine.back.complaints(), ["impossible number of requests to receive into"]);
    machine.back.inject(&frame(60));
    assert_eq!(machine.back.stats().dropped_down, 1);
    front.close(&machine);
}

#[test]
fn a_guest_that_asks_for_it_gets_only_the_groups_it_is_in() {
    let group = |n| [1, 0, 0x5e, 0, 0, n];
    let to = |address: [u8; 6]| Frame::new([&address[..], &frame(60).bytes[6..]].concat());
    for dynamic in [true, false] {
        let features = NetFeatures { dynamic_multicast_control: dynamic, ..NetFeatures::default() };
        let machine = Machine::new(features);
        let mut front = NetFront::ready(&machine, &Says::default().with("request-multicast-control", "1"));
        let ring = &mut front.rings[0];
        ring.send_slots(&[common::tx_request(0, 0, EXTRA, 0, 0), common::mcast_extra(true, group(1))]);
        machine.settle();
        for address in [group(1), group(2), [0xff; 6], common::B] {
            machine.back.inject(&to(address));
        }
        machine.settle();
        assert_eq!(ring.receive().len(), 3);
        assert_eq!(machine.back.stats().dropped_filtered, 1);
        machine.back.vdev().write_front("request-multicast-control", "0");
        machine.back.inject(&to(group(2)));
        machine.settle();
        assert_eq!(ring.receive().len(), usize::from(dynamic), "seen only when it connects");
    }
    let (machine, mut front) = machine(&Says::default());
    machine.back.inject(&to(group(2)));
    machine.settle();
    assert_eq!(front.rings[0].receive().len(), 1);
}

#[test]
fn a_flow_stays_in_one_of_several_rings() {
    for split in [true, false] {
        let machine = Machine::new(NetFeatures::default());
        let mut front = NetFront::ready(&machine, &Says { queues: 3, split, ..Says::default() });
        assert_eq!(machine.back.queues(), 3);
        let mut used = [0; 3];
        for port in 0..20 {
            for _ in 0..2 {
                machine.back.inject(&tcp(4, [port, 80], b"data"));
            }
            machine.settle();
            let counts = [0, 1, 2].map(|n| front.rings[n].receive().len());
            assert!(counts.contains(&2), "both in one");
            (0..3).for_each(|n| used[n] += counts[n]);
        }
        assert!(used.iter().all(|&count| count > 0), "{used:?}");
        front.rings[2].send(&machine, &frame(60), &[60], 0);
        machine.settle();
        assert_eq!((machine.back.log()[0].queue, front.rings[2].sent()), (2, vec![(0, 0)]));
        front.close(&machine);
        machine.world.assert_cleaned_up();
    }
}

#[test]
fn no_more_events_than_were_asked_for() {
    let (machine, mut front) = machine(&Says::default());
    let pending = || machine.xen.demux();
    pending();
    front.rings[0].answers();
    for _ in 0..10 {
        machine.back.inject(&frame(60));
        machine.settle();
    }
    assert!(pending());
    let events = front.rings[0].rx_channel.as_ref().unwrap().signal().count();
    assert_eq!(front.rings[0].receive().len(), 10);
    machine.back.inject(&frame(60));
    machine.settle();
    pending();
    assert_eq!(front.rings[0].rx_channel.as_ref().unwrap().signal().count(), events + 1);
    let rsp_event = index(&machine, Way::Rx, 12);
    assert_eq!(rsp_event, 11);
}

#[test]
fn frames_of_any_size_come_as_they_were() {
    let mut rng = Rng::new();
    let (machine, mut front) = machine(&Says::default());
    machine.back.be_lazy(Rng::from_seed(rng.number()));
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    for _ in 0..400 {
        let next = match rng.within(0..3) {
            0 => frame(rng.within(14..10_000)),
            1 => large(4 + 2 * rng.within(0..2) as u8, rng.within(0..60_000)),
            _ => tcp(6, [1, rng.number() as u16], &rng.bytes(100)),
        };
        machine.back.inject(&next);
        sent.push(next);
        while machine.back.waiting() > 0 {
            machine.world.run_backends();
            received.extend(front.rings[0].receive());
            let posted = front.rings[0].pages.iter().filter(|page| page.is_some()).count();
            if posted < 40 {
                front.rings[0].post(&machine, 1 + rng.within(0..20));
            }
        }
    }
    machine.settle();
    received.extend(front.rings[0].receive());
    assert_eq!(received.len(), sent.len());
    for (sent, (bytes, flags, gso)) in sent.iter().zip(&received) {
        assert!(sent.bytes == *bytes);
        assert_eq!((sent.gso.is_some(), sent.csum == Csum::Blank), (gso.is_some(), flags & RX_BLANK != 0));
    }
    let bytes = sent.iter().map(|frame| frame.bytes.len() as u64).sum();
    let stats = machine.back.stats();
    assert_eq!(stats, NetStats { rx_packets: 400, rx_bytes: bytes, ..NetStats::default() });
    front.close(&machine);
    machine.world.assert_cleaned_up();
}
