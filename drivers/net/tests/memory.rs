//! Pages that are lent: how many, when there are more, and what happens when there are not enough.

mod common;

use common::packets::raw;
use common::{Machine, receive_all, send, sent};
use fata_link::Link;
use fata_net::{Error, Options, State};
use fata_sim::{NetFeatures, Order, Setup, SimCpu, Way};
use xen_hyp::abi::{Op, event, nr};
use xen_hyp::{Access, DomId, Granted, Pages, SharedMem, XenError};

/// Two rings, and what there is at first to send from and to receive into.
const RINGS: usize = 2;
const TX: usize = 32;
const RX: usize = 64;

/// With so many grants left that nobody else has.
fn machine(left: usize, options: Options) -> (Machine, Granted<SimCpu>) {
    let setup = Setup { grant_frames: 1, ..Setup::default() };
    let machine = Machine::without_nic(setup, options, NetFeatures::default());
    // Eight of 512 are Xen's.
    let others = Pages::new(504 - left).unwrap();
    let others = others.grant(&machine.xen, DomId::DOM0, Access::Write).unwrap();
    machine.back.plug();
    (machine, others)
}

/// Requests to receive that the backend has not answered.
fn buffers(machine: &Machine) -> u32 {
    let ring = machine.back.ring(0, Way::Rx).unwrap();
    ring.load(0).wrapping_sub(ring.load(8))
}

#[test]
fn buffers_to_receive_into_become_more_when_half_are_used_at_once() {
    let machine = Machine::usual();
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    assert_eq!((machine.lent(), buffers(&machine)), (RINGS + TX + RX, RX as u32));
    let mut expected = RX;
    // Half of them is not enough of a reason, more is.
    for (burst, then) in [(31, 64), (32, 64), (33, 128), (40, 128), (65, 256), (129, 256), (256, 256)] {
        (0..burst).for_each(|n| machine.back.inject(&raw(500, n)));
        tasks.run();
        assert_eq!(receive_all(&mut phy).len(), burst.min(expected));
        expected = then;
        assert_eq!((machine.lent(), buffers(&machine)), (RINGS + TX + then, then as u32), "{burst}");
        tasks.run();
        assert_eq!(receive_all(&mut phy).len(), 0);
    }
    drop(tasks);
    machine.finish();
}

#[test]
fn pages_to_send_from_become_more_when_they_are_needed() {
    let machine = Machine::usual();
    machine.back.set_order(Order::Held);
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    // 17 pages must be free for the longest frame.
    for count in 1..=239 {
        assert!(send(&mut phy, &raw(4000, count).bytes));
        let pages = (count + 16).next_multiple_of(TX).min(256);
        assert_eq!(machine.lent(), RINGS + RX + pages, "{count}");
    }
    assert!(!send(&mut phy, &raw(4000, 0).bytes));
    machine.back.set_order(Order::Arrival);
    phy.flush();
    tasks.run();
    assert_eq!(machine.back.sent().len(), 239);
    for _ in 0..10 {
        while send(&mut phy, &raw(4000, 0).bytes) {}
        phy.flush();
        tasks.run();
    }
    assert_eq!(machine.lent(), RINGS + RX + 256, "and there are never more");
    drop(tasks);
    machine.finish();
}

#[test]
fn without_grants_for_more_what_there_is_has_to_do() {
    let (machine, others) = machine(RINGS + TX + RX, Options::default());
    let mut phy = machine.nic.phy();
    machine.run(async {
        machine.nic.ready().await.unwrap();
        for n in 0..200 {
            let size = [60, 9000, 65_535][n % 3];
            sent(&mut phy, &raw(size, n).bytes).await;
        }
        while machine.back.stats().tx_packets < 200 {
            machine.world.sleep(1).await;
        }
    });
    for (n, frame) in machine.back.sent().iter().enumerate() {
        assert!(*frame == raw([60, 9000, 65_535][n % 3], n));
    }
    let mut tasks = machine.tasks();
    tasks.run();
    assert_eq!(machine.nic.state(), State::Ready);
    for round in 0..5 {
        (0..100).for_each(|n| machine.back.inject(&raw(1000, round + n)));
        tasks.run();
        // Those for which there is no buffer for long are lost.
        let got = receive_all(&mut phy);
        assert!(got.len() == 64 && (0..64).all(|n| got[n] == raw(1000, round + n).bytes));
        assert_eq!(machine.back.stats().dropped_no_requests, 36 * (round as u64 + 1));
    }
    // When others give theirs back there are more to send from.
    drop(others);
    machine.back.set_order(Order::Held);
    while send(&mut phy, &raw(4000, 0).bytes) {}
    assert_eq!(machine.lent(), RINGS + RX + 256);
    machine.back.set_order(Order::Arrival);
    phy.flush();
    tasks.run();
    drop(tasks);
    machine.finish();
}

#[test]
fn without_grants_or_ports_for_rings_it_is_dead_until_it_is_exchanged() {
    let need = RINGS + TX + RX;
    for left in [0, 1, TX, 1 + TX, 2 + TX, RX, need - 1, 3 * need - 1] {
        let queues = if left > need { 3 } else { 1 };
        let (machine, others) = machine(left, Options { queues, ..Options::default() });
        let mut tasks = machine.tasks();
        tasks.run();
        assert_eq!(machine.nic.state(), State::Dead(Error::NoMemory), "{left}");
        assert_eq!(machine.lent(), 504 - left, "nothing is kept");
        assert!(!send(&mut machine.nic.phy(), &[0; 60]));
        drop(others);
        tasks.run();
        assert_eq!(machine.nic.state(), State::Dead(Error::NoMemory));
        machine.back.plug();
        tasks.run();
        assert_eq!(machine.nic.state(), State::Ready);
        drop(tasks);
        machine.finish();
    }
    let (machine, others) = machine(500, Options { queues: 2, split: true, ..Options::default() });
    // It is tried twice.
    for _ in 0..2 {
        let (dom, cmd) = (common::guest(&machine.xen), event::AllocUnbound::CMD);
        machine.world.fail(dom, nr::EVENT_CHANNEL_OP, cmd, XenError::ENOSPC);
    }
    let mut tasks = machine.tasks();
    tasks.run();
    assert_eq!((machine.nic.state(), machine.lent()), (State::Dead(Error::NoChannel), 4));
    machine.back.plug();
    tasks.run();
    assert_eq!(machine.nic.state(), State::Ready);
    drop((tasks, others));
    machine.finish();
}

#[test]
fn memory_that_cannot_be_lent_is_no_memory() {
    let setup = Setup { high_memory: true, ..Setup::default() };
    let machine = Machine::without_nic(setup, Options::default(), NetFeatures::default());
    machine.back.plug();
    let mut tasks = machine.tasks();
    tasks.run();
    assert_eq!(machine.nic.state(), State::Dead(Error::NoMemory));
    drop(tasks);
    machine.finish();
}

/// Nothing is lent before a backend is there, and nothing after it has gone.
#[test]
fn pages_are_lent_for_as_long_as_a_connection_lasts() {
    let machine = Machine::without_nic(Setup::default(), Options::default(), NetFeatures::default());
    let mut tasks = machine.tasks();
    for _ in 0..5 {
        tasks.run();
        assert_eq!(machine.lent(), 0);
        machine.back.plug();
        tasks.run();
        assert_eq!(machine.lent(), RINGS + TX + RX);
        machine.back.unplug();
        tasks.run();
        assert_eq!((machine.lent(), machine.back.vdev().is_plugged()), (0, false));
    }
    drop(tasks);
    machine.finish();
}
