//! Entropy from what a simulated machine has, or has not.
#![forbid(unsafe_code)]

use fata_devices::entropy;
use fata_random::{Entropy, Source};
use fata_rt::{Executor, Rt};
use fata_sim::{Rng, Setup, SimCpu, Store, World, Xenstored};
use std::rc::Rc;
use xen_hyp::{DomId, Xen};

const GUEST: DomId = DomId(1);
const SEED: &str = "/local/domain/1/data/seed";
const DIGITS: &str = "0123456789abcdeffedcba9876543210";
const S: u64 = 1_000_000_000;

/// A machine whose clock makes no noise, and its store.
struct Machine {
    world: World,
    server: Rc<Xenstored>,
    xen: Rc<Xen<SimCpu>>,
    executor: Executor,
}

impl Machine {
    fn new() -> Self {
        let world = World::new();
        let server = Xenstored::start(&world);
        let xen = world.guest_with(Setup { store: Store::Present, ..Setup::default() });
        server.write("/local/domain/1/data", "");
        server.set_perms("/local/domain/1/data", &["n1"]);
        let executor = Executor::new(xen.clone());
        Self { world, server, xen, executor }
    }

    fn rt(&self) -> Rt {
        self.executor.rt()
    }

    /// Gathers from the device tree and the command line, and from the store if it is to be asked.
    fn entropy(&self, with_store: bool, rng_seed: &[u8], cmdline: &str) -> Entropy {
        let store = with_store.then(|| fata_devices::store(&self.rt(), &self.xen).unwrap().unwrap());
        entropy(&self.rt(), &self.xen, store.as_ref(), rng_seed, cmdline)
    }

    fn rest(&self) {
        while self.executor.turn() | self.world.run_backends() {}
    }

    fn end(self) {
        let Self { world, server, executor, xen, .. } = self;
        drop(executor);
        xen.reclaim_grants();
        server.release(GUEST);
        world.assert_cleaned_up();
    }
}

/// What a source has given, and what was remarked.
fn of(entropy: &Entropy, source: Source) -> (u64, Option<&'static str>) {
    let given = entropy.sources().into_iter().find(|given| given.source == source);
    given.map_or((0, None), |given| (given.bits, given.remark))
}

#[test]
fn without_any_source_it_waits_and_a_secret_in_the_store_ends_that() {
    let machine = Machine::new();
    let entropy = machine.entropy(true, &[], "ip=dhcp");
    machine.rest();
    machine.world.pass(60 * S);
    machine.rest();
    assert!(!entropy.is_seeded());
    assert_eq!(entropy.to_string(), "none");
    for source in [Source::Rndr, Source::DeviceTree, Source::CommandLine, Source::Xenstore] {
        assert_eq!(of(&entropy, source), (0, Some("absent")), "{source}");
    }
    let (bits, remark) = of(&entropy, Source::Jitter);
    assert!(bits == 0 && remark.unwrap().contains("same time"), "{remark:?}");
    // One that is too short is taken, and does not do.
    machine.server.write(SEED, &DIGITS[..20]);
    machine.rest();
    assert_eq!(of(&entropy, Source::Xenstore), (0, Some("shorter than 128 bits")));
    assert!(!entropy.is_seeded() && machine.server.read(SEED).is_none());
    machine.server.write(SEED, DIGITS);
    machine.rest();
    assert!(entropy.is_seeded() && machine.server.read(SEED).is_none());
    assert_eq!((entropy.to_string().as_str(), machine.server.watches(GUEST)), ("Xenstore 128 bits", 0));
    machine.end();
}

#[test]
fn a_secret_in_the_store_is_taken_even_if_there_is_enough_without() {
    let machine = Machine::new();
    machine.server.write(SEED, DIGITS);
    let entropy = machine.entropy(true, &[], &format!("seed={DIGITS}"));
    assert!(entropy.is_seeded());
    machine.rest();
    assert_eq!(entropy.to_string(), "command line 128 bits, Xenstore 128 bits");
    assert!(machine.server.read(SEED).is_none());
    machine.end();
}

#[test]
fn a_secret_that_may_not_be_removed_is_taken_all_the_same() {
    let machine = Machine::new();
    machine.server.write(SEED, DIGITS);
    machine.server.set_perms(SEED, &["n0", "r1"]);
    machine.server.set_perms("/local/domain/1/data", &["n0", "r1"]);
    let entropy = machine.entropy(true, &[], "");
    machine.rest();
    assert!(entropy.is_seeded() && machine.server.read(SEED).is_some());
    machine.end();
}

#[test]
fn nonsense_in_the_store_counts_for_nothing() {
    for nonsense in [&b""[..], b"secret", b"0123456789abcdef", &[0xff; 3000], &DIGITS.as_bytes()[1..]] {
        let machine = Machine::new();
        machine.server.write(SEED, nonsense);
        let entropy = machine.entropy(true, &[], "");
        machine.rest();
        let (bits, remark) = of(&entropy, Source::Xenstore);
        assert!(bits == 0 && remark.is_some() && !entropy.is_seeded(), "{remark:?}");
        machine.end();
    }
}

#[test]
fn the_cpu_gives_enough_by_itself_unless_it_is_broken() {
    let gives = |draw: Box<dyn FnMut() -> Option<u64>>| {
        let machine = Machine::new();
        machine.xen.platform().domain().set_cpu_random(draw);
        let entropy = machine.entropy(false, &[], "");
        let given = of(&entropy, Source::Rndr);
        assert_eq!(entropy.is_seeded(), given.0 > 0);
        machine.rest();
        machine.end();
        given
    };
    let mut rng = Rng::new();
    assert_eq!(gives(Box::new(move || Some(rng.number()))), (256, None));
    assert_eq!(gives(Box::new(|| Some(u64::MAX))), (0, Some("repeats itself")));
    assert_eq!(gives(Box::new(|| None)), (0, Some("gives nothing")));
    let mut left = 3;
    let dries_up = move || {
        left -= 1;
        (left > 0).then_some(left)
    };
    assert_eq!(gives(Box::new(dries_up)), (0, Some("gives nothing")));
}

#[test]
fn seeds_count_if_they_are_long_enough() {
    let machine = Machine::new();
    let tree: Vec<u8> = (0..128).collect();
    let enough = machine.entropy(false, &tree, "");
    assert_eq!((of(&enough, Source::DeviceTree), enough.is_seeded()), ((256, None), true));
    let short = machine.entropy(false, &tree[..15], "seed=0123456789abcdef");
    for source in [Source::DeviceTree, Source::CommandLine] {
        assert_eq!(of(&short, source), (0, Some("shorter than 128 bits")));
    }
    assert!(!short.is_seeded());
    assert_eq!(of(&machine.entropy(false, &[7; 128], ""), Source::DeviceTree), (0, Some("no secret")));
    machine.rest();
    machine.end();
}

#[test]
fn noise_gives_enough_by_itself_in_bounded_time() {
    let machine = Machine::new();
    let (mut rng, mut now, mut looks) = (Rng::new(), 0, 0);
    machine.xen.platform().domain().set_ticks(move || {
        looks += 1;
        assert!(looks < 10_000, "it should be enough by now");
        now += 1000 + rng.within(0..20) as u64;
        now
    });
    let entropy = machine.entropy(false, &[], "");
    assert!(!entropy.is_seeded());
    machine.rest();
    assert_eq!(entropy.to_string(), "jitter 128 bits");
    machine.end();
}

#[test]
fn the_same_secret_at_another_time_gives_other_numbers() {
    let numbers = |seconds: u64| {
        let machine = Machine::new();
        machine.xen.platform().domain().set_wall_clock(seconds, 0);
        let random = machine.entropy(false, &[], &format!("seed={DIGITS}")).random().unwrap();
        let numbers = [random.number(), random.number()];
        machine.rest();
        machine.end();
        numbers
    };
    assert_eq!(numbers(1_800_000_000), numbers(1_800_000_000), "the test is to be told the same twice");
    assert_ne!(numbers(1_800_000_000), numbers(1_800_000_001));
}
