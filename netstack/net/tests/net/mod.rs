//! Two stacks on one run loop, with a wire between them, on a clock that goes on when nobody has anything to do.
#![allow(dead_code, unreachable_pub)]

pub mod peer;

use fata_link::wire::{self, Cable, Wire};
use fata_link::{Faults, Link, Parked, Plan};
use fata_netstack::{Config, IpAddress, Random, Stack};
use fata_rt::{Machine, Rt};
use fata_sim::Rng;
use std::cell::Cell;
use std::rc::Rc;

pub struct Clock(Cell<u64>);

impl Machine for Clock {
    fn demux(&self) {}
    fn idle(&self, deadline_ns: Option<u64>) {
        let deadline_ns = deadline_ns.expect("everybody waits and nothing will happen");
        self.0.set(self.0.get().max(deadline_ns));
    }
    fn now_ns(&self) -> u64 {
        self.0.get()
    }
}

/// Runs a test from the first second on.
pub fn run<T>(main: impl AsyncFnOnce(Rt) -> T) -> T {
    fata_rt::run(&Rc::new(Clock(Cell::new(1_000_000_000))), main)
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
