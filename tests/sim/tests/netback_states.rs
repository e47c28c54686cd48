//! Which states a network backend goes through, and what it says of itself.

mod common;

use common::{Machine, NetFront, Says, frame};
use fata_sim::state::{CLOSED, CLOSING, CONNECTED, INIT_WAIT, INITIALISING};
use fata_sim::{NetFeatures, Order, Way};

fn states(machine: &Machine) -> (u32, u32) {
    (machine.back.vdev().state(), machine.back.vdev().front_state())
}

fn sends(machine: &Machine, front: &mut NetFront) -> bool {
    front.rings[0].send(machine, &frame(60), &[60], 0);
    machine.settle();
    !front.rings[0].sent().is_empty() && !machine.back.sent().is_empty()
}

#[test]
fn it_offers_what_linux_does_before_the_guest_has_said_anything() {
    let machine = Machine::new(NetFeatures::default());
    assert_eq!(states(&machine), (INIT_WAIT, INITIALISING));
    let vdev = machine.back.vdev();
    for name in [
        "feature-sg",
        "feature-gso-tcpv4",
        "feature-gso-tcpv6",
        "feature-ipv6-csum-offload",
        "feature-rx-copy",
        "feature-multicast-control",
        "feature-dynamic-multicast-control",
        "feature-split-event-channels",
        "feature-ctrl-ring",
    ] {
        assert_eq!(vdev.read(name), "1", "{name}");
    }
    assert_eq!((vdev.read("feature-rx-flip"), vdev.read("multi-queue-max-queues")), ("0".into(), "4".into()));
    assert_eq!((vdev.read("mac"), vdev.read_front("mac")), (vdev.read("mac"), "00:16:3e:00:00:01".into()));
    assert_eq!((vdev.read_front("mtu"), vdev.read_front("handle")), ("1500".into(), "0".into()));
    assert_eq!((vdev.read_front("trusted"), vdev.read("carrier")), ("1".into(), String::new()));
    assert_eq!(vdev.read("hotplug-status"), "connected");
}

#[test]
fn it_connects_closes_and_connects_again() {
    let machine = Machine::new(NetFeatures::default());
    for _ in 0..3 {
        let mut front = NetFront::ready(&machine, &Says::default());
        assert!(sends(&machine, &mut front));
        front.close(&machine);
        assert_eq!(states(&machine), (CLOSED, CLOSED));
        machine.back.vdev().write_front("state", INITIALISING.to_string());
        machine.settle();
        assert_eq!(states(&machine), (INIT_WAIT, INITIALISING));
    }
    // Without having been closed it goes all the way down and up again.
    let front = NetFront::ready(&machine, &Says::default());
    machine.back.vdev().write_front("state", INITIALISING.to_string());
    machine.settle();
    assert_eq!((machine.back.queues(), states(&machine).0), (0, INIT_WAIT));
    drop(front);
    machine.world.assert_cleaned_up();
}

#[test]
fn it_does_not_say_that_it_is_connected_before_the_script_is_done() {
    let machine = Machine::new(NetFeatures::default());
    machine.back.pull();
    machine.back.set_script(false);
    machine.back.plug();
    machine.settle();
    assert_eq!(states(&machine).0, INIT_WAIT);
    let mut front = NetFront::connect(&machine, &Says::default());
    assert_eq!(states(&machine), (INIT_WAIT, CONNECTED));
    // It serves all the same.
    assert!(sends(&machine, &mut front));
    machine.back.set_script(true);
    machine.settle();
    assert_eq!(states(&machine), (CONNECTED, CONNECTED));
    front.close(&machine);
}

#[test]
fn what_is_under_way_ends_before_it_closes_and_does_not_if_it_crashes() {
    for crash in [false, true] {
        let machine = Machine::new(NetFeatures::default());
        let mut front = NetFront::ready(&machine, &Says::default());
        machine.back.set_order(Order::Held);
        front.rings[0].send(&machine, &frame(1000), &[1000], 3);
        machine.settle();
        assert_eq!(front.rings[0].sent(), []);
        if crash {
            machine.back.crash(true);
        } else {
            machine.back.unbind();
        }
        machine.settle();
        assert_eq!(front.rings[0].sent(), if crash { vec![] } else { vec![(3, 0)] });
        assert_eq!(states(&machine).0, if crash { CONNECTED } else { CLOSED });
        assert_eq!(machine.back.kept(), if crash { 3 } else { 0 });
        machine.back.let_go();
        drop(front);
        machine.world.assert_cleaned_up();
    }
}

#[test]
fn bound_again_it_waits_for_a_guest_that_starts_over() {
    let machine = Machine::new(NetFeatures::default());
    let front = NetFront::ready(&machine, &Says::default());
    machine.back.unbind();
    machine.settle();
    front.close(&machine);
    machine.back.change_features(|features| features.gso_tcpv6 = false);
    machine.back.bind();
    machine.settle();
    assert_eq!(states(&machine), (CLOSED, CLOSED));
    machine.back.vdev().write_front("state", INITIALISING.to_string());
    machine.settle();
    assert_eq!(states(&machine).0, INIT_WAIT);
    assert_eq!(machine.back.vdev().read("feature-gso-tcpv6"), "0");
    let mut front = NetFront::ready(&machine, &Says::default());
    assert!(sends(&machine, &mut front));
}

#[test]
fn after_a_crash_it_takes_the_rings_up_where_they_are() {
    let machine = Machine::new(NetFeatures::default());
    let mut front = NetFront::ready(&machine, &Says::default());
    machine.back.set_order(Order::Held);
    front.rings[0].send(&machine, &frame(1000), &[1000], 3);
    machine.settle();
    machine.back.crash(false);
    machine.back.set_order(Order::Arrival);
    machine.back.bind();
    machine.settle();
    assert_eq!(states(&machine), (CONNECTED, CONNECTED));
    assert_eq!(front.rings[0].sent(), [(3, 0)]);
    machine.back.inject(&frame(60));
    machine.settle();
    assert_eq!(front.rings[0].receive().len(), 1);
}

#[test]
fn unplugged_it_is_gone_when_the_guest_has_let_it_go() {
    let machine = Machine::new(NetFeatures::default());
    let front = NetFront::ready(&machine, &Says::default());
    machine.back.unplug();
    machine.settle();
    assert_eq!((states(&machine).0, machine.back.queues()), (CLOSING, 1));
    front.close(&machine);
    assert!(!machine.back.vdev().has_back() && !machine.back.vdev().is_plugged());
    machine.back.plug();
    machine.settle();
    let front = NetFront::ready(&machine, &Says::default());
    machine.back.pull();
    machine.settle();
    assert_eq!((machine.back.queues(), machine.back.state()), (0, 0));
    drop(front);
    machine.world.assert_cleaned_up();
}

#[test]
fn where_the_guest_said_nonsense_it_says_why_and_is_connected_to_nothing() {
    for (name, value) in [
        ("tx-ring-ref", "99999"),
        ("rx-ring-ref", "99999"),
        ("rx-ring-ref", "x"),
        ("event-channel-rx", "77"),
        ("multi-queue-num-queues", "0"),
        ("multi-queue-num-queues", "5"),
        ("multi-queue-num-queues", "2"),
    ] {
        let machine = Machine::new(NetFeatures::default());
        let front = NetFront::connect(&machine, &Says::default());
        machine.back.vdev().write_front("state", INITIALISING.to_string());
        machine.settle();
        machine.back.vdev().write_front(name, value);
        machine.back.vdev().write_front("state", CONNECTED.to_string());
        machine.settle();
        assert_eq!((machine.back.queues(), machine.back.complaints().len()), (0, 1), "{name}");
        assert!(!machine.back.vdev().read("error").is_empty());
        assert_eq!(states(&machine).0, CONNECTED, "as Linux says");
        drop(front);
        machine.world.assert_cleaned_up();
    }
}

#[test]
fn without_a_carrier_nothing_passes() {
    let machine = Machine::new(NetFeatures { carrier: Some(true), ..NetFeatures::default() });
    assert_eq!(machine.back.vdev().read("carrier"), "1");
    let mut front = NetFront::ready(&machine, &Says::default());
    assert!(sends(&machine, &mut front));
    machine.back.set_carrier(false);
    assert_eq!(machine.back.vdev().read("carrier"), "0");
    machine.back.inject(&frame(60));
    assert!(!sends(&machine, &mut front));
    assert_eq!((machine.back.stats().dropped_down, machine.back.stats().tx_dropped), (1, 1));
    machine.back.set_carrier(true);
    assert!(sends(&machine, &mut front));
}

#[test]
fn it_takes_its_time_to_connect_on_command() {
    let machine = Machine::new(NetFeatures::default());
    machine.back.connect_slowly(5);
    let vdev = machine.back.vdev();
    let mut front = NetFront::connect(&machine, &Says::default());
    assert_eq!(states(&machine).0, CONNECTED);
    assert!(sends(&machine, &mut front));
    vdev.write_front("state", CLOSED.to_string());
    machine.settle();
    vdev.write_front("state", INITIALISING.to_string());
    machine.settle();
    machine.back.connect_slowly(2);
    vdev.write_front("state", CONNECTED.to_string());
    machine.world.run_backends();
    vdev.write_front("state", CLOSED.to_string());
    assert_eq!(states(&machine).0, INIT_WAIT);
    machine.settle();
    assert_eq!(states(&machine).0, CLOSED);
}

#[test]
fn its_nodes_and_answers_are_what_a_test_wants() {
    let machine = Machine::new(NetFeatures { mtu: None, trusted: None, queues: 0, ..NetFeatures::default() });
    let vdev = machine.back.vdev();
    assert_eq!((vdev.read_front("mtu"), vdev.read_front("trusted")), (String::new(), String::new()));
    assert_eq!(vdev.read("multi-queue-max-queues"), "");
    machine.back.set_mtu(9000);
    assert_eq!(vdev.read_front("mtu"), "9000");
    machine.back.set_node("feature-sg", Some("many"));
    machine.back.set_node("feature-rx-copy", None);
    machine.back.plug();
    machine.settle();
    assert_eq!((vdev.read("feature-sg"), vdev.read("feature-rx-copy")), ("many".into(), String::new()));
    let mut front = NetFront::connect(&machine, &Says::default());
    machine.back.forge_sent(0, 77, -2);
    assert!(front.rings[0].tx.take::<[u8; 4]>().is_err(), "more answers than packets");
    machine.back.publish(0, Way::Tx, 0);
    machine.back.set_keeps(true);
    front.rings[0].send(&machine, &frame(60), &[60], 0);
    machine.settle();
    assert_eq!(machine.back.kept(), 1);
    let page = front.rings[0].lent.remove(0).revoke().unwrap_err().0;
    machine.back.behave();
    page.revoke().unwrap();
}

#[test]
fn a_state_that_does_not_change_keeps_it_busy_for_no_longer_than_once() {
    let machine = Machine::new(NetFeatures::default());
    machine.back.set_node("state", Some("1"));
    machine.back.set_node("online", Some("0"));
    let front = NetFront::connect(&machine, &Says::default());
    front.close(&machine);
    assert_eq!(machine.back.state(), 0);
    machine.back.pull();
    machine.settle();
    machine.back.vdev().write("state", "1");
    machine.settle();
    assert_eq!(machine.back.state(), 0, "there is no device");
    machine.back.behave();
    machine.back.plug();
    machine.settle();
    assert_eq!(states(&machine).0, INIT_WAIT);
}
