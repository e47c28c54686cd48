//! The network as a user sees it, with a simulated backend and a neighbour made by hand.
#![forbid(unsafe_code)]

mod common;

use common::session::{GUEST, HOME, S, Session};
use fata_sim::{Frame, NetFeatures, Netback, Store};
use mir_console::Exit;
use std::rc::Rc;

const NEIGHBOUR: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// A session with an interface plugged in.
fn session(cmdline: &'static str) -> (Session, Rc<Netback>) {
    let session = Session::with(Store::Present, cmdline, |_, _| {});
    let back = Netback::plugged(&session.world, &session.server, GUEST, 0, NetFeatures::default());
    session.rest();
    (session, back)
}

fn finish(session: Session, back: &Netback) {
    assert_eq!(back.complaints(), Vec::<String>::new());
    back.pull();
    session.rest();
    session.key("poweroff\r");
    assert_eq!(session.end(), Exit::Poweroff);
}

/// Answers questions for 10.0.0.1, and pings to it. Gives how many pings.
fn answer(back: &Netback) -> usize {
    let mut pings = 0;
    for Frame { mut bytes, .. } in back.sent() {
        let asks = bytes[12..14] == [8, 6] && bytes[20..22] == [0, 1] && bytes[38..42] == [10, 0, 0, 1];
        if asks {
            bytes[21] = 2;
            bytes.copy_within(22..32, 32);
            bytes[22..28].copy_from_slice(&NEIGHBOUR);
            bytes[28..32].copy_from_slice(&[10, 0, 0, 1]);
        } else if bytes[12..14] == [8, 0] && bytes[23] == 1 && bytes[34] == 8 {
            pings += 1;
            bytes.copy_within(26..30, 30);
            bytes[26..30].copy_from_slice(&[10, 0, 0, 1]);
            // The type is 0 instead of 8, and the sum as much more.
            bytes[34] = 0;
            let sum = u32::from(u16::from_be_bytes([bytes[36], bytes[37]])) + 0x0800;
            bytes[36..38].copy_from_slice(&((sum + (sum >> 16)) as u16).to_be_bytes());
        } else if bytes[12..14] == [8, 0] && bytes[23] == 17 && bytes[36..38] == [0, 53] {
            resolve(&mut bytes);
        } else {
            continue;
        }
        bytes.copy_within(6..12, 0);
        bytes[6..12].copy_from_slice(&NEIGHBOUR);
        back.inject(&Frame::new(bytes));
    }
    pings
}

/// Makes an answer of a question: 10.0.0.1, whatever the name.
fn resolve(bytes: &mut Vec<u8>) {
    // Without the options of RFC 6891.
    bytes.truncate(bytes.len() - 11);
    bytes[53] = 0;
    bytes[44..46].copy_from_slice(&[0x81, 0x80]);
    bytes[49] = 1;
    bytes.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01");
    let (source, port) = (bytes[26..30].to_vec(), bytes[34..36].to_vec());
    bytes[26..30].copy_from_slice(&[10, 0, 0, 1]);
    bytes[30..34].copy_from_slice(&source);
    bytes[34..36].copy_from_slice(&[0, 53]);
    bytes[36..38].copy_from_slice(&port);
    let len = bytes.len() as u16;
    bytes[16..18].copy_from_slice(&(len - 14).to_be_bytes());
    bytes[38..40].copy_from_slice(&(len - 34).to_be_bytes());
    // UDP may be without a sum over IPv4, and IP is not.
    bytes[40..42].fill(0);
    bytes[24..26].fill(0);
    let words = bytes[14..34].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    bytes[24..26].copy_from_slice(&(!((sum + (sum >> 16)) as u16)).to_be_bytes());
}

#[test]
fn names_are_looked_up_and_pinged() {
    let (session, back) = session("quiet colours=off ip=10.0.0.2/24 ip6=off dns=10.0.0.1");
    let wait = |line: &str| {
        session.daemon.input(format!("{line}\r").as_bytes());
        let mut seen = String::new();
        for _ in 0..8 {
            session.rest();
            answer(&back);
            seen += &session.seen();
            session.pass(S / 4);
        }
        seen
    };
    let seen = wait("host www.example a");
    assert!(seen.contains("by 10.0.0.1\n      60 A      10.0.0.1\n"), "{seen}");
    let seen = wait("host www.example A");
    assert!(seen.contains("by 10.0.0.1, remembered\n"), "{seen}");
    let seen = wait("ping www.example 1");
    assert!(
        seen.contains("56 bytes from 10.0.0.1: number 1, ") && seen.contains("1 of 1 answered\n"),
        "{seen}"
    );
    let seen = session.ask("host localhost");
    assert!(seen.starts_with("known without asking\n       0 AAAA   ::1\n"), "{seen}");
    assert_eq!(session.ask("host x.invalid"), "x.invalid: there is no such name\n");
    assert_eq!(session.ask("ping a..b"), "a..b: this is no name\n");
    finish(session, &back);
}

#[test]
fn an_interface_is_shown_and_a_neighbour_pinged() {
    let (session, back) = session("quiet colours=off ip=10.0.0.2/24 gw=10.0.0.1");
    let seen = session.ask("net");
    assert!(seen.starts_with("  interface 0   up: 00-16-3e-"), "{seen}");
    assert!(seen.contains("MTU 1500\n") && seen.contains("10.0.0.2/24\n"), "{seen}");
    session.daemon.input(b"ping 10.0.0.1 2 100\r");
    let mut seen = String::new();
    let mut pings = 0;
    for _ in 0..10 {
        session.rest();
        pings += answer(&back);
        seen += &session.seen();
        session.pass(S / 2);
    }
    assert_eq!(pings, 2);
    assert!(seen.contains("100 bytes from 10.0.0.1: number 1, "), "{seen}");
    assert!(seen.contains("100 bytes from 10.0.0.1: number 2, 0.000 ms\n"), "{seen}");
    assert!(seen.contains("2 of 2 answered\n"), "{seen}");
    let seen = session.ask("net");
    assert!(seen.contains("received 3 frames"), "{seen}");
    let seen = session.ask("net sockets");
    assert!(seen.contains("in all") && seen.contains(" frames\n"), "{seen}");
    finish(session, &back);
}

#[test]
fn frames_are_shown_until_a_key_is_pressed() {
    let (session, back) = session("quiet colours=off ip=10.0.0.2/24 ip6=off");
    session.ask("net");
    back.sent();
    assert!(session.ask("pcap").ends_with("..."));
    let mut ask = vec![0xff; 6];
    ask.extend(NEIGHBOUR);
    ask.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    ask.extend(NEIGHBOUR);
    ask.extend([10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    back.inject(&Frame::new(ask));
    let seen = session.seen();
    assert!(seen.contains(" in     42 ARP who has 10.0.0.2? tell 10.0.0.1\n"), "{seen}");
    assert!(seen.contains(" out    42 ARP 10.0.0.2 is at 00-16-3e-"), "{seen}");
    session.key("q");
    assert!(session.ask("pcap 0").is_empty());
    finish(session, &back);
}

#[test]
fn what_makes_no_sense_is_named() {
    let alone = Session::start(Store::Present);
    for (line, answer) in [
        ("net", "There are no network interfaces.\n"),
        ("net ip=10.0.0.2/24", "there is no network interface\n"),
        ("ping 10.0.0.1", "there is no network interface\n"),
        ("host example.org", "there is no network interface\n"),
    ] {
        assert_eq!(alone.ask(line), answer, "{line}");
    }
    for (line, name) in [
        ("ping", "ping HOST\n"),
        ("ping 10.0.0.1 x", "ping HOST\n"),
        ("host", "host NAME\n"),
        ("host a x", "host NAME\n"),
        ("pcap x", "pcap [COUNT]\n"),
    ] {
        assert!(alone.ask(line).starts_with(name), "{line}");
    }
    alone.key("poweroff\r");
    assert_eq!(alone.end(), Exit::Poweroff);

    let (session, back) = session("quiet colours=off ip=10.0.0.300/24");
    assert!(session.ask("net what=1").starts_with("what is no word of `net`; see `help net`"));
    assert!(session.ask("net ip=10.0.0.2/33").starts_with("ip=10.0.0.2/33: "));
    assert!(session.ask("net ip=10.0.0.2/24").contains("up: "));
    let seen = session.ask("net ip=10.0.0.3/24");
    assert!(seen.contains("10.0.0.3/24") && !seen.contains("10.0.0.2/24"), "{seen}");
    finish(session, &back);
}

/// The directory of the interface's backend.
const BACKEND: &str = "/local/domain/0/backend/vif/1/0";

#[test]
fn addresses_come_from_the_store_and_follow_it() {
    let (session, back) = session("quiet colours=off ip=10.0.0.300/24 ip6=off");
    session.server.write(&format!("{BACKEND}/ip"), "10.0.0.7");
    let seen = session.ask("net");
    assert!(seen.contains("10.0.0.7/24\n"), "what the command line says is no address: {seen}");
    for (node, value, address) in [
        ("data/ip", "10.0.0.8/24", "10.0.0.8/24\n"),
        ("data/net/0/ip", "10.0.0.9/16 10.0.0.10/24", "10.0.0.9/16\n"),
        ("data/net/0/gw", "10.7.0.1", "10.0.0.8/24\n"),
        ("data/net/0/gw", "10.0.0.1", "10.0.0.10/24\n"),
        ("data/net/0/ip", "off", "10.0.0.8/24\n"),
    ] {
        session.server.write(&format!("{HOME}/{node}"), value);
        let seen = session.ask("net");
        assert!(seen.contains(address), "{node} {value}: {seen}");
    }
    finish(session, &back);
}

#[test]
fn in_place_of_an_address_that_somebody_has_comes_the_next() {
    let (session, back) = session("quiet colours=off ip=10.0.0.2/24 ip6=off");
    session.server.write(&format!("{HOME}/data/ip"), "10.0.0.8/24");
    assert!(session.ask("net").contains("10.0.0.2/24\n"));
    // A neighbour tells everybody that it has it.
    let mut claim = vec![0xff; 6];
    claim.extend(NEIGHBOUR);
    claim.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    claim.extend(NEIGHBOUR);
    claim.extend([10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    back.inject(&Frame::new(claim));
    let seen = session.ask("net");
    assert!(seen.contains("10.0.0.8/24\n") && !seen.contains("10.0.0.2/24"), "{seen}");
    finish(session, &back);
}
