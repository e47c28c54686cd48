//! Trees that are broken: whatever they hold, there is an error or a sound result, and never a panic.

use super::{oracle, tree, trees};
use fata_boot::info::{BootInfo, Gic, Region};
use fata_xenvm_arm64::dt::{self, DtError};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// Numbers that lengths, offsets and tokens go wrong with.
const NUMBERS: [u32; 14] =
    [0, 1, 2, 3, 4, 5, 8, 9, 64, 0x1000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffc, u32::MAX];

fn put(blob: &mut [u8], at: usize, number: u32) {
    if let Some(cell) = blob.get_mut(at..at + 4) {
        cell.copy_from_slice(&number.to_be_bytes());
    }
}

/// Reads and prints `blob`; what is accepted must keep its promises. Returns whether it was accepted.
fn survives(blob: &[u8]) -> bool {
    let mut printed = String::new();
    dt::print(blob, "/", &mut printed).unwrap();
    assert!(!printed.is_empty());
    match dt::parse(blob) {
        Ok(info) => {
            is_sound(&info);
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

fn is_sound(info: &BootInfo<'_>) {
    assert!(!info.memory.is_empty());
    for list in [&info.memory[..], &info.usable(&[Region::between(0x4000_0000, 0x4008_0000)])] {
        assert!(list.iter().all(|r| !r.is_empty() && r.pages_inside() == *r && r.end() <= 1 << 39));
        assert!(list.windows(2).all(|pair| pair[0].end() <= pair[1].base), "{list:?}");
    }
    if let Some(region) = info.initrd {
        assert!(info.memory.iter().any(|bank| bank.base <= region.base && region.end() <= bank.end()));
    }
    let xen = info.hypervisor.iter().flat_map(|xen| xen.extended.iter().copied().chain([xen.grants]));
    let taken: Vec<_> =
        info.memory.iter().copied().chain(info.gic.iter().flat_map(Gic::regions)).chain(xen).collect();
    for device in info.devices.iter() {
        for registers in device.registers.iter() {
            assert!(registers.base >= 4096 && !registers.is_empty() && registers.end() <= 1 << 39);
            let apart = |other: &Region| registers.end() <= other.base || other.end() <= registers.base;
            assert!(taken.iter().all(apart), "{registers:x?} {taken:x?}");
        }
        assert!(device.interrupts.iter().all(|id| (32..1020).contains(&id.0)));
        let node = dt::node(info, device);
        node.children().chain([node]).for_each(|node| {
            let _ = (node.cells("gpios").count(), node.string("label"), node.properties().count());
        });
        let _ = node.cell("phandle").and_then(|handle| dt::by_phandle(info, handle));
    }
}

#[test]
fn cut_anywhere() {
    for (name, blob) in trees() {
        for length in 0..blob.len() {
            assert!(dt::parse(&blob[..length]).is_err(), "{name} cut to {length} bytes");
            // The same with a header that knows of it.
            let mut cut = blob[..length].to_vec();
            put(&mut cut, 4, length as u32);
            assert!(dt::parse(&cut).is_err(), "{name} shortened to {length} bytes");
        }
    }
}

#[test]
fn any_cell_replaced_by_any_awkward_number() {
    for name in ["dom0less-shared-memory", "dom0less-passthrough-gicv2", "board"] {
        let sound = tree(name);
        for at in (0..sound.len()).step_by(4) {
            for number in NUMBERS.into_iter().chain([sound.len() as u32]) {
                let mut blob = sound.clone();
                put(&mut blob, at, number);
                survives(&blob);
                oracle::agrees(&blob);
            }
        }
    }
}

#[test]
fn thirty_thousand_mutants() {
    let seed = std::env::var("FATA_SEED").map_or(0xfa7a, |seed| seed.parse().expect("FATA_SEED is a number"));
    println!("FATA_SEED={seed}");
    let mut random = Random(seed);
    // QEMU's are five times as long; what they add is seen in fewer.
    let (long, short): (Vec<_>, Vec<_>) = trees().into_iter().partition(|(_, blob)| blob.len() > 2048);
    let (mut accepted, mut compared) = (0, 0);
    for _ in 0..30_000 {
        let sound = if random.below(32) == 0 { &long } else { &short };
        let mut blob = sound[random.below(sound.len())].1.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(blob.len().max(1));
            match random.below(5) {
                0 => blob.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.next() as u8),
                1 => put(&mut blob, at / 4 * 4, NUMBERS[random.below(NUMBERS.len())]),
                2 => put(&mut blob, random.below(10) * 4, random.below(4096) as u32),
                3 => {
                    let to = random.below(blob.len().max(1));
                    let count = random.below(64).min(blob.len() - at.max(to));
                    blob.copy_within(at..at + count, to);
                }
                _ if random.below(4) == 0 => blob.truncate(at),
                _ => {}
            }
        }
        accepted += usize::from(survives(&blob));
        compared += usize::from(oracle::agrees(&blob));
    }
    // Mutants that all die at the door would show little.
    assert!(accepted > 3_000 && compared > 3_000, "{accepted} accepted, {compared} compared");
}

#[test]
fn errors_say_where_and_what() {
    let edited = |at: usize, number: u32| {
        let mut blob = tree("xl-gicv3");
        put(&mut blob, at, number);
        dt::parse(&blob).unwrap_err()
    };
    let says = |error: DtError, said: &str| assert_eq!(error.to_string(), said);
    says(dt::parse(&[]).unwrap_err(), "x0 did not point to one at entry");
    says(dt::parse(&[0; 20]).unwrap_err(), "20 bytes where 40 should be");
    says(edited(0, 0xd00d_feee), "begins with 0xd00dfeee where 0xd00dfeed should be");
    says(edited(4, 3), "header: totalsize is 0x3");
    says(edited(4, 0x10_0000), "1422 bytes where 1048576 should be");
    says(edited(8, 0x39), "header: off_dt_struct is 0x39");
    says(edited(12, u32::MAX), "header: off_dt_strings is 0xffffffff");
    says(edited(16, 44), "header: off_mem_rsvmap is 0x2c");
    says(edited(20, 16), "version 16, compatible with 16, where 17 should be");
    says(edited(24, 18), "version 17, compatible with 18, where 17 should be");
    says(edited(56, 7), "byte 0x38: a token of a known kind should be here");
    says(edited(56, 9), "byte 0x38: a root node should be here");
    says(edited(64, 1), "byte 0x48: a token of a known kind should be here");
    says(edited(72, 5000), "byte 0x40: a name in the strings block should be here");
}

#[test]
fn names_are_limited_and_end() {
    let long = |name: &[u8]| {
        let structure = [1u32, 0, 3, 0, 0, 2, 9].map(u32::to_be_bytes).concat();
        let (strings_at, size) = (56 + structure.len(), 56 + structure.len() + name.len());
        let header = [0xd00d_feed, size as u32, 56, strings_at as u32, 40, 17, 16, 0, name.len() as u32];
        let header = header.into_iter().chain([structure.len() as u32]).flat_map(u32::to_be_bytes);
        header.chain([0; 16]).chain(structure).chain(name.iter().copied()).collect::<Vec<u8>>()
    };
    let refused = DtError::Structure { offset: 64, expected: "a property with a name" };
    let name = |length| [vec![b'x'; length], vec![0]].concat();
    assert_eq!(dt::parse(&long(&name(127))).unwrap_err(), DtError::Missing { node: "memory" });
    assert_eq!(dt::parse(&long(&name(128))).unwrap_err(), refused);
    assert_eq!(dt::parse(&long(b"unterminated")).unwrap_err(), refused);
    assert_eq!(dt::parse(&long(b"\0")).unwrap_err(), refused);
}
