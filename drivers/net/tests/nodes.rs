//! Nodes with absurd numbers and text, of either half, before a connection and during it.

mod common;

use common::packets::raw;
use common::two::{Two, works};
use common::{receive_all, send};
use fata_link::Link;
use fata_net::{Error, Options, State};
use fata_sim::{NetFeatures, Rng, state};

const VALUES: [Option<&str>; 18] = [
    None,
    Some(""),
    Some("0"),
    Some("1"),
    Some("2"),
    Some("-1"),
    Some("+1"),
    Some("01"),
    Some(" 1"),
    Some("1\n"),
    Some("0x1"),
    Some("4294967295"),
    Some("4294967296"),
    Some("18446744073709551615"),
    Some("18446744073709551616"),
    Some("99999999999999999999999999999999999999999999"),
    Some("\u{0}\u{1}"),
    Some("äöü"),
];

const OFFERS: [&str; 9] = [
    "feature-sg",
    "feature-gso-tcpv4",
    "feature-gso-tcpv6",
    "feature-ipv6-csum-offload",
    "feature-split-event-channels",
    "feature-multicast-control",
    "multi-queue-max-queues",
    "carrier",
    "hotplug-status",
];

fn options() -> Options {
    Options { queues: 3, split: true, multicast: true, ..Options::default() }
}

/// Whatever the backend offers: what is not plain is not there.
#[test]
fn absurd_offers_are_no_offers() {
    for name in OFFERS {
        for value in VALUES {
            // Which keeps the backend itself from saying that it is connected.
            if name == "hotplug-status" && value != Some("connected") {
                continue;
            }
            let two = Two::new(options());
            let machine = &two.machine;
            machine.back.set_node(name, value);
            machine.back.plug();
            let mut tasks = two.tasks();
            tasks.run();
            let down = name == "carrier" && value.is_some_and(|value| value.parse() == Ok(0));
            let expected = if down { State::NoCarrier } else { State::Ready };
            assert_eq!(machine.nic.state(), expected, "{name} = {value:?}");
            if !down {
                works(machine, &mut tasks);
            }
            two.check(&mut tasks, name);
            drop(tasks);
            two.finish();
        }
    }
}

#[test]
fn without_a_plain_offer_to_copy_there_is_no_interface() {
    for value in VALUES {
        let two = Two::new(options());
        let machine = &two.machine;
        machine.back.set_node("feature-rx-copy", value);
        machine.back.plug();
        let mut tasks = two.tasks();
        tasks.run();
        let is = value.is_some_and(|value| value.parse() == Ok(1));
        let expected = if is { State::Ready } else { State::Dead(Error::NoCopy) };
        assert_eq!(machine.nic.state(), expected, "{value:?}");
        two.check(&mut tasks, "rx-copy");
        drop(tasks);
        two.finish();
    }
}

/// An MTU that makes no sense is the usual one.
#[test]
fn absurd_mtus_are_no_mtus() {
    for value in VALUES.into_iter().chain([Some("67"), Some("68"), Some("65535"), Some("1500.0")]) {
        let two = Two::new(options());
        let machine = &two.machine;
        machine.back.plug();
        match value {
            Some(value) => machine.back.vdev().write_front("mtu", value),
            None => machine.server.rm(&format!("{}/mtu", machine.back.vdev().front())),
        }
        let mut tasks = two.tasks();
        tasks.run();
        let number = value.and_then(|value| value.parse::<u64>().ok());
        let mtu = number.filter(|&mtu| mtu >= 68).map_or(1500, |mtu| mtu.min(65_521));
        assert_eq!(machine.nic.mtu(), Some(mtu as usize), "{value:?}");
        works(machine, &mut tasks);
        drop(tasks);
        two.finish();
    }
}

/// States that make no sense end a connection at most.
#[test]
fn absurd_states_are_no_connection() {
    for value in VALUES.into_iter().chain(["3", "4", "5", "6", "7", "8", "9"].map(Some)) {
        let two = Two::new(options());
        let machine = &two.machine;
        let mut tasks = two.tasks();
        tasks.run();
        match value {
            Some(value) => machine.back.vdev().write("state", value),
            None => machine.back.vdev().remove("state"),
        }
        tasks.run();
        let works_on = value.and_then(|value| value.parse().ok()).is_some_and(|number: u32| {
            [state::CONNECTED, state::RECONFIGURING, state::RECONFIGURED].contains(&number)
        });
        // A backend that is well may connect again.
        let goes_on = machine.nic.state() == State::Ready && machine.nic.totals().connects == 1;
        assert_eq!(goes_on, works_on, "{value:?}: {:?}", machine.nic);
        two.check(&mut tasks, "state");
        machine.replug();
        tasks.run();
        assert_eq!(machine.nic.state(), State::Ready);
        works(machine, &mut tasks);
        drop(tasks);
        two.finish();
    }
}

/// Whoever the toolstack says the backend is, nothing but that interface is concerned.
#[test]
fn absurd_backends_are_waited_for() {
    let long = "x".repeat(3000);
    let paths = ["", "/", "//", "relative", "/local/domain/0/nothing", "@introduceDomain", "\u{1}", &long];
    for (node, values) in [("backend", &paths[..]), ("backend-id", &["", "-1", "65536", "x", "32767"])] {
        for value in values {
            let two = Two::new(options());
            let machine = &two.machine;
            machine.back.vdev().write_front(node, value);
            let mut tasks = two.tasks();
            tasks.run();
            let state = machine.nic.state();
            assert!(matches!(state, State::Paused | State::Ready | State::Dead(_)), "{state:?}");
            two.check(&mut tasks, node);
            machine.replug();
            tasks.run();
            assert_eq!(machine.nic.state(), State::Ready, "{node} = {value}");
            works(machine, &mut tasks);
            drop(tasks);
            two.finish();
        }
    }
}

/// Nodes that change all the time keep nobody from working.
#[test]
fn a_storm_of_changes_is_survived() {
    let mut rng = Rng::new();
    let two = Two::new(options());
    let machine = &two.machine;
    let mut tasks = two.tasks();
    tasks.run();
    let mut phy = machine.nic.phy();
    for round in 0..200 {
        for _ in 0..rng.within(1..20) {
            let name = OFFERS[rng.within(0..OFFERS.len() - 1)];
            match VALUES[rng.within(0..VALUES.len())] {
                Some(value) => machine.back.vdev().write(name, value),
                None => machine.back.vdev().remove(name),
            }
        }
        tasks.run();
        assert!(matches!(machine.nic.state(), State::Ready | State::NoCarrier));
        if send(&mut phy, &raw(100, round).bytes) {
            phy.flush();
            tasks.run();
            assert!(machine.back.sent() == [raw(100, round)]);
        }
        receive_all(&mut phy);
    }
    assert_eq!(machine.nic.totals().connects, 1);
    two.check(&mut tasks, "storm");
    drop(tasks);
    two.finish();
}

/// The same features at every connection, or others: what was agreed on is what holds.
#[test]
fn features_are_agreed_on_anew_at_each_connection() {
    let mut rng = Rng::new();
    let two = Two::new(options());
    let machine = &two.machine;
    let mut tasks = two.tasks();
    for _ in 0..if cfg!(miri) { 3 } else { 60 } {
        let mut is = || rng.within(0..2) == 1;
        let features = NetFeatures {
            sg: is(),
            gso_tcpv4: is(),
            gso_tcpv6: is(),
            csum_ipv6: is(),
            multicast_control: is(),
            split_event_channels: is(),
            queues: if is() { 4 } else { 0 },
            ..NetFeatures::default()
        };
        machine.back.change_features(|known| *known = features);
        machine.back.plug();
        tasks.run();
        works(machine, &mut tasks);
    }
    drop(tasks);
    two.finish();
}
