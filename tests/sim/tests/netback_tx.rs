//! What a network backend makes of what a guest sends.

mod common;

use common::{
    EXTRA, MORE, Machine, NetFront, Says, TX_SLOT, frame, gso_extra, mcast_extra, tcp, tx_request, whole,
};
use fata_sim::{Csum, Frame, NetFeatures, Order, Rng};

fn machine() -> (Machine, NetFront) {
    let machine = Machine::new(NetFeatures::default());
    let front = NetFront::ready(&machine, &Says::default());
    (machine, front)
}

#[test]
fn a_small_frame_is_copied_and_answered_at_once() {
    let (machine, mut front) = machine();
    let sent = frame(60);
    machine.back.set_order(Order::Held);
    front.rings[0].send(&machine, &sent, &[60], 7);
    machine.settle();
    assert_eq!(front.rings[0].sent(), [(7, 0)]);
    front.rings[0].lent.remove(0).revoke().unwrap();
    assert_eq!(machine.back.sent(), []);
    machine.back.release(1);
    machine.settle();
    assert_eq!(machine.back.sent(), [sent]);
    front.close(&machine);
    machine.world.assert_cleaned_up();
}

#[test]
fn the_pages_of_a_long_one_are_mapped_until_it_has_gone() {
    let (machine, mut front) = machine();
    let sent = frame(5000);
    machine.back.set_order(Order::Held);
    front.rings[0].send(&machine, &sent, &[100, 900, 4000], 1);
    machine.settle();
    // Of the first slot nothing is left after the first 128 bytes.
    assert_eq!(front.rings[0].sent(), [(1, 0)]);
    assert_eq!(machine.back.pending_ids(), [2, 3]);
    front.rings[0].lent.remove(0).revoke().unwrap();
    let page = front.rings[0].lent.remove(0).revoke().unwrap_err().0;
    machine.back.release(1);
    machine.settle();
    assert_eq!(front.rings[0].sent(), [(2, 0), (3, 0)]);
    page.revoke().unwrap();
    assert_eq!(machine.back.sent(), [sent]);
    assert_eq!(machine.back.log()[0].slots, [100, 900, 4000]);
}

#[test]
fn what_is_to_be_cut_goes_onto_the_wire_in_segments() {
    for version in [4, 6] {
        let (machine, mut front) = machine();
        let data: Vec<u8> = (0..10_000u32).map(|n| (n * n) as u8).collect();
        let sent = Frame { gso: Some(1400), ..tcp(version, [1, 2], &data) };
        let length = sent.bytes.len();
        front.rings[0].send(&machine, &sent, &[66, 4000, 4000, length - 8066], 0);
        machine.settle();
        // The slot with the extra information is answered too, right after the first.
        let statuses: Vec<i16> = front.rings[0].sent().iter().map(|(_, status)| *status).collect();
        assert_eq!(statuses, [0, 1, 0, 0, 0]);
        let frames = machine.back.sent_on_the_wire();
        assert_eq!(frames.len(), 8);
        let mut at = 0;
        for (n, frame) in frames.iter().enumerate() {
            assert_eq!((frame.check(), frame.csum, frame.gso), (Ok(()), Csum::Full, None));
            let headers = frame.headers().unwrap();
            let part = &frame.bytes[headers.data..];
            assert_eq!(part, &data[at..(at + 1400).min(data.len())]);
            let sequence = &frame.bytes[headers.transport + 4..headers.transport + 8];
            assert_eq!(sequence, &(100 + at as u32).to_be_bytes()[..]);
            let flags = frame.bytes[headers.transport + 13];
            assert_eq!(flags, if n == 7 { 0x18 } else { 0x10 }, "PSH only with the last");
            if version == 4 {
                assert_eq!(frame.bytes[18..20], (0x1234 + n as u16).to_be_bytes());
            }
            at += part.len();
        }
        assert_eq!(machine.back.complaints(), Vec::<String>::new());
    }
}

#[test]
fn a_blank_checksum_is_completed_from_what_is_in_its_place() {
    let (machine, mut front) = machine();
    let right = tcp(4, [5, 6], b"some data of an odd length.");
    let length = right.bytes.len();
    front.rings[0].send(&machine, &right, &[length], 0);
    machine.settle();
    let wire = machine.back.sent_on_the_wire().remove(0);
    assert_eq!(wire.check(), Ok(()));
    assert!(wire.bytes != right.bytes);
    assert_eq!(machine.back.complaints(), Vec::<String>::new());
    let mut wrong = right.clone();
    wrong.bytes[50] ^= 1;
    assert!(!wrong.is_sum_of_pseudo_header());
    front.rings[0].send(&machine, &wrong, &[length], 1);
    machine.settle();
    assert_eq!(machine.back.complaints(), ["packet 1: a wrong checksum"]);
    assert!(machine.back.sent_on_the_wire()[0].check().is_err());
    // Where there is no checksum it is lost, and answered all the same.
    let other = Frame { csum: Csum::Blank, ..frame(60) };
    front.rings[0].send(&machine, &other, &[60], 2);
    machine.settle();
    assert_eq!(machine.back.sent(), []);
    assert_eq!(front.rings[0].sent(), [(0, 0), (1, 0), (2, 0)]);
}

#[test]
fn a_wrong_checksum_that_is_said_to_be_right_is_complained_of_and_one_that_is_not_counted() {
    let (machine, mut front) = machine();
    let mut wrong = whole(tcp(6, [5, 6], b"data"));
    assert_eq!(wrong.check(), Ok(()));
    wrong.bytes[74] ^= 0x80;
    let length = wrong.bytes.len();
    front.rings[0].send(&machine, &wrong, &[length], 0);
    machine.settle();
    assert_eq!((machine.back.complaints().len(), machine.back.stats().tx_checksums), (0, 1));
    wrong.csum = Csum::Validated;
    front.rings[0].send(&machine, &wrong, &[length], 0);
    machine.settle();
    assert_eq!(machine.back.complaints(), ["packet 1: a wrong checksum"]);
    assert_eq!(machine.back.sent()[1].csum, Csum::Validated);
}

#[test]
fn bad_packets_are_answered_with_errors_and_the_next_goes_out() {
    let (machine, mut front) = machine();
    let page = machine.lend(0, &frame(4096).bytes);
    let gref = page.gref().0;
    let ring = &mut front.rings[0];
    // Less than a header in its first slot.
    ring.send_slots(&[tx_request(gref, 0, MORE, 1, 100), tx_request(gref, 0, 0, 2, 90)]);
    // A slot longer than the packet.
    ring.send_slots(&[tx_request(gref, 0, MORE, 3, 100), tx_request(gref, 0, 0, 4, 101)]);
    machine.settle();
    assert_eq!(ring.sent(), [(1, -1), (2, -1), (3, -1), (4, -1)]);
    // Nineteen slots.
    let mut slots = vec![tx_request(gref, 0, MORE, 0, 1900)];
    slots.extend((1..19).map(|n| tx_request(gref, 0, if n < 18 { MORE } else { 0 }, n, 100)));
    ring.send_slots(&slots);
    machine.settle();
    assert_eq!(ring.sent(), (0..19).map(|n| (n, -1)).collect::<Vec<_>>());
    // Eighteen are right.
    slots[17] = tx_request(gref, 0, 0, 17, 100);
    slots[0] = tx_request(gref, 0, MORE, 0, 1800);
    ring.send_slots(&slots[..18]);
    machine.settle();
    assert!(ring.sent().iter().all(|(_, status)| *status == 0));
    assert_eq!(machine.back.sent()[0].bytes.len(), 1800);
    // A page that was not lent: an error for that slot only, and the packet is lost.
    ring.send_slots(&[tx_request(gref, 0, MORE, 8, 500), tx_request(99_999, 0, 0, 9, 100)]);
    machine.settle();
    let mut sent = ring.sent();
    sent.sort_unstable();
    assert_eq!((sent, machine.back.sent()), (vec![(8, 0), (9, -1)], vec![]));
    assert_eq!(machine.back.stats().tx_errors, 4);
    page.revoke().unwrap();
}

#[test]
fn what_breaks_the_protocol_ends_service_until_it_is_plugged_in_again() {
    let fatal: [(&str, &[[u8; TX_SLOT]]); 8] = [
        ("it does not end", &[tx_request(8, 0, MORE, 0, 100)]),
        ("more than twenty slots", &[tx_request(8, 0, MORE, 0, 100); 30]),
        ("over the end of its page", &[tx_request(8, 4000, 0, 0, 100)]),
        ("the second is over its end", &[tx_request(8, 0, MORE, 0, 200), tx_request(8, 4000, 0, 1, 100)]),
        ("no extra information", &[tx_request(8, 0, EXTRA, 0, 100)]),
        ("unknown extra information", &[tx_request(8, 0, EXTRA, 0, 100), [9; TX_SLOT]]),
        ("no size of segments", &[tx_request(8, 0, EXTRA, 0, 100), gso_extra(1, 0)]),
        ("unknown kind of segments", &[tx_request(8, 0, EXTRA, 0, 100), gso_extra(3, 1000)]),
    ];
    for (why, slots) in fatal {
        let (machine, mut front) = machine();
        front.rings[0].send_slots(slots);
        machine.settle();
        assert_eq!(machine.back.complaints().len(), 1, "{why}");
        front.rings[0].send(&machine, &frame(60), &[60], 1);
        machine.back.inject(&frame(60));
        machine.settle();
        assert_eq!((front.rings[0].sent(), machine.back.sent()), (vec![], vec![]), "{why}");
        assert_eq!(front.rings[0].answers().len(), 0, "{why}");
        front.close(&machine);
        machine.back.plug();
        machine.settle();
        let mut front = NetFront::ready(&machine, &Says::default());
        front.rings[0].send(&machine, &frame(60), &[60], 1);
        machine.settle();
        assert_eq!(machine.back.sent(), [frame(60)], "{why}");
    }
}

#[test]
fn groups_are_joined_and_left_by_extra_information() {
    let (machine, mut front) = machine();
    let group = |n| [1, 0, 0x5e, 0, 0, n];
    let ring = &mut front.rings[0];
    for n in 0..3 {
        ring.send_slots(&[tx_request(0, 0, EXTRA, n.into(), 0), mcast_extra(true, group(n))]);
    }
    ring.send_slots(&[tx_request(0, 0, EXTRA, 3, 0), mcast_extra(false, group(1))]);
    machine.settle();
    let answers = ring.sent();
    assert_eq!(answers.iter().map(|(_, status)| *status).collect::<Vec<_>>(), [0, 1, 0, 1, 0, 1, 0, 1]);
    assert_eq!(answers.iter().step_by(2).map(|(id, _)| *id).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(machine.back.groups(), [group(0), group(2)]);
    for n in 10..73 {
        ring.send_slots(&[tx_request(0, 0, EXTRA, n.into(), 0), mcast_extra(true, group(n))]);
    }
    machine.settle();
    assert_eq!(ring.sent().iter().filter(|(_, status)| *status == -1).count(), 1, "there is room for 64");
    front.close(&machine);
    assert!(machine.back.groups().is_empty());
}

#[test]
fn packets_do_not_overtake_each_other_and_each_slot_is_answered_once() {
    let mut rng = Rng::new();
    for features in [NetFeatures::default(), NetFeatures { copy_bytes: 0, ..NetFeatures::default() }] {
        let machine = Machine::new(features);
        let mut front = NetFront::ready(&machine, &Says::default());
        machine.back.set_order(Order::Random(Rng::from_seed(rng.number())));
        machine.back.be_lazy(Rng::from_seed(rng.number()));
        let (mut next, mut frames) = (0, Vec::new());
        let mut answers = Vec::new();
        for _ in 0..300 {
            let mut parts: Vec<usize> = (0..rng.within(1..19)).map(|_| rng.within(1..4000)).collect();
            parts[0] = parts[0].max(14);
            let length = parts.iter().sum::<usize>().min(65_535);
            let before_last = parts[..parts.len() - 1].iter().sum::<usize>();
            if before_last >= length || length - before_last > 4096 {
                continue;
            }
            *parts.last_mut().unwrap() = length - before_last;
            let sent = frame(length);
            while (front.rings[0].tx.room() as usize) < parts.len() {
                machine.world.run_backends();
                answers.extend(front.rings[0].sent());
            }
            front.rings[0].send(&machine, &sent, &parts, next);
            next += parts.len() as u16;
            frames.push(sent);
        }
        machine.settle();
        answers.extend(front.rings[0].sent());
        assert!(answers.iter().all(|(_, status)| *status == 0));
        let mut ids: Vec<u16> = answers.iter().map(|(id, _)| *id).collect();
        assert!(!ids.is_sorted(), "they are answered in any order");
        ids.sort_unstable();
        assert_eq!(ids, (0..next).collect::<Vec<_>>());
        assert!(machine.back.sent() == frames);
        assert_eq!(machine.back.complaints(), Vec::<String>::new());
        front.rings[0].lent.drain(..).for_each(|page| _ = page.revoke().unwrap());
        front.close(&machine);
        machine.world.assert_cleaned_up();
    }
}

#[test]
fn a_packet_that_is_judged_fails_with_that_status() {
    let (machine, mut front) = machine();
    machine.back.judge(|sending| (sending.nth == 1).then_some(-2));
    for n in 0..3 {
        front.rings[0].send(&machine, &frame(300), &[100, 200], n * 2);
    }
    machine.settle();
    let mut answers = front.rings[0].sent();
    answers.sort_unstable();
    assert_eq!(answers, [(0, 0), (1, 0), (2, -2), (3, -2), (4, 0), (5, 0)]);
    assert_eq!(machine.back.sent().len(), 2);
}
