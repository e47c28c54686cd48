//! Frames of every size, each way, byte by byte.

mod common;

use common::packets::raw;
use common::{Machine, receive, receive_all, send};
use fata_link::Link;
use fata_net::Options;
use fata_sim::{Frame, NetFeatures, Order, Rng};

/// What frames may have, from nothing but a header to the longest that a request can say.
fn sizes() -> impl Iterator<Item = usize> {
    let step = if cfg!(miri) { 997 } else { 1 };
    let long = (9000..65_535).step_by(if cfg!(miri) { 19_991 } else { 487 });
    let edges = (1..16).flat_map(|page| [page * 4096 - 1, page * 4096, page * 4096 + 1]);
    (14..9000).step_by(step).chain(long).chain(edges).chain([65_534, 65_535])
}

#[test]
fn every_size_goes_out() {
    for order in [Order::Arrival, Order::Random(Rng::new())] {
        let machine = Machine::usual();
        machine.back.set_order(order);
        let mut phy = machine.nic.phy();
        let mut tasks = machine.tasks();
        tasks.run();
        let (mut expected, mut bytes, mut count) = (Vec::new(), 0, 0);
        for (n, size) in sizes().enumerate() {
            let frame = raw(size, n);
            while !send(&mut phy, &frame.bytes) {
                phy.flush();
                tasks.run();
                assert!(machine.back.sent() == expected);
                expected.clear();
            }
            (bytes, count) = (bytes + size as u64, count + 1);
            expected.push(frame);
        }
        phy.flush();
        tasks.run();
        assert!(machine.back.sent() == expected);
        let totals = machine.nic.totals();
        assert_eq!((totals.tx_frames, totals.tx_bytes), (count, bytes));
        assert_eq!((totals.tx_failed, totals.tx_dropped, totals.tx_unfit), (0, 0, 0));
        let stats = machine.back.stats();
        assert_eq!((stats.tx_packets, stats.tx_bytes, stats.tx_errors), (count, bytes, 0));
        drop(tasks);
        machine.finish();
    }
}

#[test]
fn every_size_comes_in() {
    let machine = Machine::usual();
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    let mut expected: Vec<Frame> = Vec::new();
    let (mut bytes, mut count) = (0, 0);
    for (n, size) in sizes().enumerate() {
        let frame = raw(size, n);
        machine.back.inject(&frame);
        (bytes, count) = (bytes + size as u64, count + 1);
        expected.push(frame);
        if n % 7 == 6 {
            tasks.run();
            let got = receive_all(&mut phy);
            let got: Vec<_> = got.into_iter().map(Frame::new).collect();
            // Those for which there were no buffers come when there are.
            assert!(got.len() > 3);
            assert!(expected.drain(..got.len()).eq(got));
        }
    }
    while !expected.is_empty() {
        tasks.run();
        for bytes in receive_all(&mut phy) {
            assert!(expected.remove(0).bytes == bytes);
        }
    }
    let totals = machine.nic.totals();
    assert_eq!((totals.rx_frames, totals.rx_bytes), (count, bytes));
    assert_eq!(machine.back.stats().rx_packets, count);
    drop(tasks);
    machine.finish();
}

#[test]
fn without_scatter_gather_a_frame_has_one_page() {
    for (ours, theirs) in [(false, true), (true, false)] {
        let features = NetFeatures { sg: theirs, mtu: Some(9000), ..NetFeatures::default() };
        let machine = Machine::new(Options { sg: ours, ..Options::default() }, features);
        let mut phy = machine.nic.phy();
        let mut tasks = machine.tasks();
        tasks.run();
        assert_eq!(machine.nic.mtu(), Some(4082));
        assert_eq!(machine.back.taken().sg, ours, "we take whatever the backend can");
        let sizes = [14, 60, 1514, 4095, 4096, 4097, 9000];
        for size in sizes {
            assert!(send(&mut phy, &raw(size, 1).bytes));
        }
        phy.flush();
        tasks.run();
        let expected: Vec<_> = sizes[..5].iter().map(|&size| raw(size, 1)).collect();
        assert!(machine.back.sent() == expected);
        assert_eq!((machine.nic.totals().tx_unfit, machine.nic.totals().tx_frames), (2, 5));
        assert!(machine.back.log().iter().all(|sending| sending.slots.len() == 1));
        sizes.iter().for_each(|&size| machine.back.inject(&raw(size, 2)));
        tasks.run();
        let got = receive_all(&mut phy);
        // One who cannot take more has an MTU of 1500 for the other end.
        let most = if ours { 7 } else { 3 };
        assert!(
            got.iter().eq(sizes[..most].iter().map(|&size| raw(size, 2).bytes).collect::<Vec<_>>().iter())
        );
        drop(tasks);
        machine.finish();
    }
}

/// A stack's mistakes are its own: they are counted, and do no harm to what comes after.
#[test]
fn what_is_no_frame_is_not_sent() {
    let machine = Machine::usual();
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    for size in [0, 1, 13, 65_536, 70_000, 200_000] {
        assert!(send(&mut phy, &vec![7; size]));
    }
    assert!(send(&mut phy, &raw(60, 0).bytes));
    phy.flush();
    tasks.run();
    assert_eq!(machine.back.sent(), [raw(60, 0)]);
    assert_eq!((machine.nic.totals().tx_unfit, machine.nic.totals().tx_frames), (6, 1));
    assert_eq!(machine.back.stats().tx_errors, 0);
    drop(tasks);
    machine.finish();
}

/// Each page of a long frame is a slot, and the first says how long it all is.
#[test]
fn long_frames_are_chains() {
    let machine = Machine::usual();
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    for size in [60, 4096, 4097, 65_535] {
        assert!(send(&mut phy, &raw(size, 0).bytes));
    }
    phy.flush();
    tasks.run();
    let slots: Vec<_> = machine.back.log().into_iter().map(|sending| sending.slots).collect();
    assert_eq!(slots[0], [60]);
    assert_eq!(slots[1], [4096]);
    assert_eq!(slots[2], [4096, 1]);
    assert_eq!(slots[3].len(), 16);
    assert_eq!(slots[3].iter().sum::<usize>(), 65_535);
    drop(tasks);
    machine.finish();
}

/// A frame may lie anywhere in a page.
#[test]
fn a_frame_is_found_wherever_the_backend_put_it() {
    let machine = Machine::usual();
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    // The first of the page's bytes are left out.
    machine.back.tamper(|answers| {
        let answer = &mut answers[0];
        let size = u16::from_ne_bytes([answer[6], answer[7]]);
        answer[2..4].copy_from_slice(&100u16.to_ne_bytes());
        answer[6..8].copy_from_slice(&(size - 100).to_ne_bytes());
    });
    for size in [200, 4096, 9000] {
        machine.back.inject(&raw(size, 5));
        tasks.run();
        assert!(receive(&mut phy).unwrap() == raw(size, 5).bytes[100..]);
        phy.flush();
    }
    drop(tasks);
    machine.finish();
}

/// What of a frame is still to be written when the next is: both are whole.
#[test]
fn an_answer_may_be_written_while_a_frame_is_looked_at() {
    use smoltcp::phy::{Device, RxToken, TxToken};
    let machine = Machine::usual();
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    for size in [60, 5000, 65_535] {
        machine.back.inject(&raw(size, 1));
        tasks.run();
        let (rx, tx) = phy.receive(smoltcp::time::Instant::ZERO).unwrap();
        rx.consume(|frame| tx.consume(frame.len(), |answer| answer.copy_from_slice(frame)));
        phy.flush();
        tasks.run();
        assert!(machine.back.sent() == [raw(size, 1)]);
    }
    // Neither need be used.
    machine.back.inject(&raw(60, 2));
    tasks.run();
    assert!(phy.receive(smoltcp::time::Instant::ZERO).is_some());
    assert!(phy.receive(smoltcp::time::Instant::ZERO).is_none(), "a frame that nobody wanted is gone");
    phy.flush();
    drop(tasks);
    machine.finish();
}
