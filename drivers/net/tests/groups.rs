//! Multicast groups that are joined and left, as the backend hears of them.

mod common;

use common::Machine;
use common::packets::raw;
use common::{receive_all, send};
use fata_link::Link;
use fata_net::{Options, State};
use fata_sim::{Frame, NetFeatures, Order};
use smoltcp::wire::EthernetAddress;

fn group(number: u8) -> EthernetAddress {
    EthernetAddress([0x01, 0x00, 0x5e, 0, 0, number])
}

fn frame(number: u8) -> Frame {
    let mut frame = raw(100, number.into());
    frame.bytes[..6].copy_from_slice(&group(number).0);
    frame
}

fn options() -> Options {
    Options { multicast: true, ..Options::default() }
}

fn groups(machine: &Machine) -> Vec<[u8; 6]> {
    let mut groups = machine.back.groups();
    groups.sort();
    groups
}

/// Which of a dozen groups' frames come.
fn heard(machine: &Machine, tasks: &mut fata_sim::Tasks<'_>) -> Vec<u8> {
    let all = 0..12;
    all.clone().for_each(|number| machine.back.inject(&frame(number)));
    let mut broadcast = raw(100, 0);
    broadcast.bytes[..6].fill(0xff);
    machine.back.inject(&broadcast);
    tasks.run();
    let mut frames = receive_all(&mut machine.nic.phy());
    assert!(frames.pop().unwrap() == broadcast.bytes, "which is always heard");
    let number = |bytes: &Vec<u8>| all.clone().find(|&number| *bytes == frame(number).bytes).unwrap();
    frames.iter().map(number).collect()
}

#[test]
fn only_what_was_joined_is_heard() {
    for dynamic in [false, true] {
        let features = NetFeatures { dynamic_multicast_control: dynamic, ..NetFeatures::default() };
        let machine = Machine::new(options(), features);
        let mut tasks = machine.tasks();
        machine.nic.join(group(1));
        tasks.run();
        assert_eq!(groups(&machine), [group(1).0], "joined before there was a backend");
        machine.nic.join(group(2));
        machine.nic.join(group(2));
        machine.nic.join(group(3));
        machine.nic.leave(group(4));
        tasks.run();
        assert_eq!(heard(&machine, &mut tasks), [1, 2, 3]);
        machine.nic.leave(group(1));
        machine.nic.join(group(5));
        tasks.run();
        assert_eq!(heard(&machine, &mut tasks), [2, 3, 5]);
        // What is no group is not told of.
        machine.nic.join(EthernetAddress([2, 0, 0, 0, 0, 1]));
        tasks.run();
        assert_eq!(groups(&machine).len(), 3);
        assert_eq!(machine.nic.totals().tx_frames, 0);
        drop(tasks);
        machine.finish();
    }
}

#[test]
fn a_backend_that_is_started_again_hears_of_all() {
    let machine = Machine::new(options(), NetFeatures::default());
    let mut tasks = machine.tasks();
    (0..5).for_each(|number| machine.nic.join(group(number)));
    tasks.run();
    assert_eq!(groups(&machine).len(), 5);
    machine.back.unbind();
    tasks.run();
    machine.nic.leave(group(0));
    machine.nic.join(group(7));
    machine.back.bind();
    tasks.run();
    assert_eq!(heard(&machine, &mut tasks), [1, 2, 3, 4, 7]);
    machine.back.crash(false);
    machine.replug();
    tasks.run();
    assert_eq!(heard(&machine, &mut tasks), [1, 2, 3, 4, 7]);
    drop(tasks);
    machine.finish();
}

#[test]
fn what_there_is_no_room_to_say_is_said_when_there_is() {
    let machine = Machine::new(options(), NetFeatures::default());
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    machine.back.set_order(Order::Held);
    while send(&mut phy, &raw(4000, 0).bytes) {}
    phy.flush();
    tasks.run();
    (0..12).for_each(|number| machine.nic.join(group(number)));
    // Only the last word counts.
    machine.nic.leave(group(3));
    machine.nic.leave(group(4));
    machine.nic.join(group(4));
    assert_eq!(groups(&machine), [[0; 6]; 0]);
    let (wakes, waker) = common::Wakes::new();
    phy.register(&waker);
    machine.back.set_order(Order::Arrival);
    tasks.run();
    assert_eq!(wakes.take(), 1);
    phy.flush();
    tasks.run();
    assert_eq!(heard(&machine, &mut tasks), [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11]);
    drop(tasks);
    machine.finish();
}

#[test]
fn what_was_joined_while_the_cable_was_out_is_heard_when_it_is_in() {
    let features = NetFeatures { carrier: Some(false), ..NetFeatures::default() };
    let machine = Machine::new(options(), features);
    let mut tasks = machine.tasks();
    machine.nic.join(group(1));
    tasks.run();
    machine.nic.join(group(2));
    tasks.run();
    assert_eq!((machine.nic.state(), groups(&machine).len()), (State::NoCarrier, 0));
    machine.back.set_carrier(true);
    tasks.run();
    assert_eq!((machine.nic.state(), heard(&machine, &mut tasks)), (State::Ready, vec![1, 2]));
    drop(tasks);
    machine.finish();
}

/// Where the backend does not filter, or is not asked to, all come and nothing is said.
#[test]
fn without_a_filter_all_is_heard() {
    for (multicast, multicast_control) in [(false, true), (true, false), (false, false)] {
        let machine = Machine::new(
            Options { multicast, ..Options::default() },
            NetFeatures { multicast_control, ..NetFeatures::default() },
        );
        let mut tasks = machine.tasks();
        machine.nic.join(group(1));
        tasks.run();
        machine.nic.join(group(2));
        machine.nic.leave(group(1));
        tasks.run();
        assert_eq!(machine.back.vdev().read_front("request-multicast-control"), "");
        assert_eq!((groups(&machine), machine.back.log().len()), (vec![], 0));
        assert_eq!(heard(&machine, &mut tasks), (0..12).collect::<Vec<_>>());
        drop(tasks);
        machine.finish();
    }
}

/// A backend has only so many places: what does not fit is refused, and nothing else comes to harm.
#[test]
fn more_groups_than_a_backend_knows_do_no_harm() {
    let machine = Machine::new(options(), NetFeatures::default());
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    (0..200).for_each(|number| machine.nic.join(group(number)));
    for _ in 0..3 {
        tasks.run();
        phy.flush();
    }
    assert_eq!(groups(&machine).len(), 64);
    assert!(send(&mut phy, &raw(60, 0).bytes));
    phy.flush();
    tasks.run();
    assert_eq!((machine.back.sent().len(), machine.nic.totals().tx_failed), (1, 0));
    drop(tasks);
    machine.finish();
}
