//! Two stacks on one run loop, with a wire between them, on a clock that goes on when nobody has anything to do.
#![allow(dead_code, unreachable_pub)]

pub mod peer;

use fata_link::wire::{self, Cable, Wire};
use fata_link::{Faults, Link, Parked, Plan, neighbor};
use fata_netstack::{Config, IpAddress, Random, Stack};
use fata_rt::{Rt, yield_now};
use fata_sim::{Rng, alone};
use smoltcp::phy::{Device, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, Icmpv6Packet};
use std::net::Ipv6Addr;
use std::time::Duration;

/// Runs a test from the first second on.
pub fn run<T>(main: impl AsyncFnOnce(Rt) -> T) -> T {
    alone(main)
}

pub fn config(text: &str) -> Config {
    let mut config = Config::default();
    for word in text.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap();
        assert!(config.word(name, value).unwrap(), "{word}");
    }
    config.check().unwrap();
    config
}

pub fn address(text: &str) -> IpAddress {
    text.parse().unwrap()
}

pub const A: [&str; 2] = ["10.0.0.1", "fd00::1"];
pub const B: [&str; 2] = ["10.0.0.2", "fd00::2"];

pub fn start<L: Link + 'static>(rt: &Rt, link: L, addresses: [&str; 2]) -> Stack {
    let words = format!("ip={}/24 ip6={}/64", addresses[0], addresses[1]);
    Stack::start(rt, Parked::new(link), config(&words), &Random::known(1))
}

/// Stacks A and B.
pub fn pair(rt: &Rt, options: wire::Options) -> (Stack, Stack, Cable) {
    let (a, b, cable) = wire::pair(options);
    (start(rt, a, A), start(rt, b, B), cable)
}

/// Stacks A and B, with a bad wire between them.
pub fn bad_pair(rt: &Rt, options: wire::Options, plan: Plan, random: &mut Rng) -> (Stack, Stack, Cable) {
    let (a, b, cable): (Wire, Wire, _) = wire::pair(options);
    let a = Faults::new(a, random.number(), plan, plan);
    (start(rt, a, A), start(rt, b, B), cable)
}

/// The other end of a wire, by hand.
pub struct Far {
    pub rt: Rt,
    pub wire: Wire,
    pub mac: EthernetAddress,
}

impl Far {
    pub fn new(rt: &Rt, wire: Wire) -> Self {
        Self { rt: rt.clone(), wire, mac: EthernetAddress([2, 0, 0, 0, 0, 0x77]) }
    }

    pub fn send(&mut self, frame: &[u8]) {
        let token = self.wire.transmit(Instant::ZERO).unwrap();
        token.consume(frame.len(), |room| room.copy_from_slice(frame));
        self.wire.flush();
    }

    /// What was sent to us by now.
    pub async fn heard(&mut self) -> Vec<Vec<u8>> {
        for _ in 0..50 {
            yield_now().await;
        }
        let mut frames = Vec::new();
        while let Some((rx, _)) = self.wire.receive(Instant::ZERO) {
            frames.push(rx.consume(<[u8]>::to_vec));
        }
        frames
    }

    /// The same in so long.
    pub async fn heard_in(&mut self, time: Duration) -> Vec<Vec<u8>> {
        let mut frames = self.heard().await;
        self.rt.sleep(time).await;
        frames.extend(self.heard().await);
        frames
    }

    /// Says that an address is ours.
    pub async fn claim(&mut self, address: IpAddress) {
        self.send(neighbor::announce(self.mac, address).bytes());
        for _ in 0..50 {
            yield_now().await;
        }
    }

    /// Advertises as the router `fe80::LAST`, with these options.
    pub async fn advertise(&mut self, last: u16, lifetime_s: u16, preference: u8, options: &[Vec<u8>]) {
        self.send(&advert(last, lifetime_s, preference, &options.concat()));
        for _ in 0..50 {
            yield_now().await;
        }
    }
}

pub fn advert(last: u16, lifetime_s: u16, preference: u8, options: &[u8]) -> Vec<u8> {
    let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last);
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let mut message = vec![134, 0, 0, 0, 64, preference << 3];
    message.extend(lifetime_s.to_be_bytes());
    message.extend([0; 8]);
    message.extend(options);
    Icmpv6Packet::new_unchecked(&mut message[..]).fill_checksum(&source, &all_nodes);
    let mut frame = vec![0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, last as u8, 0x86, 0xdd, 0x60, 0, 0, 0];
    frame.extend((message.len() as u16).to_be_bytes());
    frame.extend([58, 255]);
    frame.extend(source.octets());
    frame.extend(all_nodes.octets());
    frame.extend(message);
    frame
}

/// A prefix of 64 bits (RFC 4861 section 4.6.2). `flags` are 0x80 for on-link and 0x40 for autonomous.
pub fn prefix(prefix: &str, flags: u8, valid_s: u32, preferred_s: u32) -> Vec<u8> {
    let mut option = vec![3, 4, 64, flags];
    option.extend(valid_s.to_be_bytes());
    option.extend(preferred_s.to_be_bytes());
    option.extend([0; 4]);
    option.extend(prefix.parse::<Ipv6Addr>().unwrap().octets());
    option
}

/// Name servers (RFC 8106 section 5.1).
pub fn rdnss(lifetime_s: u32, servers: &[&str]) -> Vec<u8> {
    let mut option = vec![25, 1 + 2 * servers.len() as u8, 0, 0];
    option.extend(lifetime_s.to_be_bytes());
    servers.iter().for_each(|server| option.extend(server.parse::<Ipv6Addr>().unwrap().octets()));
    option
}

/// Domains, encoded (RFC 8106 section 5.2).
pub fn dnssl(lifetime_s: u32, names: &[u8]) -> Vec<u8> {
    let len = (8 + names.len()).div_ceil(8);
    let mut option = vec![31, len as u8, 0, 0];
    option.extend(lifetime_s.to_be_bytes());
    option.extend(names);
    option.resize(len * 8, 0);
    option
}
