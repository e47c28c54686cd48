//! Queries at random: for what there is, for what is near to it, and some that are broken.

use anyhow::Result;
use fata_dns::{Name, Zone};

use super::zone::NAME;
use crate::mutate::Random;

/// Types that are asked for: those of the zone, and others.
const KINDS: [u16; 24] =
    [1, 1, 1, 28, 15, 16, 2, 6, 5, 12, 33, 39, 43, 64, 65, 257, 4711, 255, 99, 46, 13, 35, 128, 250];
/// Parts of names that are put in front, or in place of others.
const LABELS: [&str; 8] = ["nothing", "*", "x", "sub", "w3", "dname", "inner", "Y.Z"];

pub(super) struct Names {
    all: Vec<Name>,
    zone: Name,
}

impl Names {
    pub(super) fn of(zone: &Zone) -> Result<Self> {
        let mut text = String::new();
        zone.write(&mut text)?;
        let names = text.lines().filter_map(|line| line.split(' ').next());
        let mut all: Vec<_> = names.filter_map(|name| Name::parse(name.as_bytes(), None).ok()).collect();
        all.dedup();
        Ok(Self { all, zone: zone.name().clone() })
    }

    /// A name of the zone, or one with something before it.
    pub(super) fn some(&self, random: &mut Random, is_there: bool) -> Name {
        let known = &self.all[random.below(self.all.len())];
        if is_there {
            return known.clone();
        }
        let below = format!("nobody{}", random.below(1000));
        // A name can be too long for another label.
        Name::parse(below.as_bytes(), Some(known)).unwrap_or_else(|_| known.clone())
    }

    pub(super) fn query(&self, random: &mut Random) -> Vec<u8> {
        let mut query = vec![
            random.next() as u8,
            random.next() as u8,
            random.next() as u8 & 1,
            random.next() as u8 & 0x30,
            0,
            1,
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        self.name(random, &mut query);
        let kind = KINDS[random.below(KINDS.len())];
        let class: u16 = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 255, 3, 4][random.below(18)];
        query.extend_from_slice(&kind.to_be_bytes());
        query.extend_from_slice(&class.to_be_bytes());
        if random.below(2) == 0 {
            let size: u16 = [0, 512, 700, 1232, 4096, 65_535][random.below(6)];
            query.extend_from_slice(&[0, 0, 41]);
            query.extend_from_slice(&size.to_be_bytes());
            let version = u8::from(random.below(30) == 0);
            query.extend_from_slice(&[0, version, (random.next() as u8 & 1) << 7, 0]);
            match random.below(5) {
                0 => query.extend_from_slice(&[0, 8, 0xff, 0xf0, 0, 4, 1, 2, 3, 4]),
                _ => query.extend_from_slice(&[0, 0]),
            }
            query[11] = 1;
        }
        if random.below(20) == 0 {
            spoil(&mut query, random);
        }
        query
    }

    /// A name of the zone, with letters in either case; or one beside, above or below it, or of somebody else.
    fn name(&self, random: &mut Random, query: &mut Vec<u8>) {
        let start = query.len();
        let known = &self.all[random.below(self.all.len())];
        let label = LABELS[random.below(LABELS.len())];
        let below = |name: &Name, text: &str| {
            Name::parse(text.as_bytes(), Some(name)).unwrap_or_else(|_| name.clone())
        };
        let name = match random.below(12) {
            0 => below(known, label),
            1 => below(&self.zone, label),
            2 => below(&self.zone, &format!("any.thing.{label}")),
            3 => {
                let text = format!("x{}.w{}.{NAME}.", random.below(100), random.below(24));
                Name::parse(text.as_bytes(), None).unwrap_or_else(|_| known.clone())
            }
            4 => below(&self.zone, &format!("alias{}", random.below(24))),
            5 => {
                // The one above.
                let wire = known.wire();
                Name::from_wire(&wire[1 + usize::from(wire[0])..]).unwrap_or_else(|| known.clone())
            }
            6 if random.below(3) == 0 => below(&Name::ROOT, label),
            _ => known.clone(),
        };
        query.extend_from_slice(name.wire());
        if random.below(2) == 0 {
            for byte in &mut query[start..] {
                if byte.is_ascii_alphabetic() && random.below(2) == 0 {
                    *byte ^= 0x20;
                }
            }
        }
    }
}

/// One thing that is wrong, or only odd.
fn spoil(query: &mut Vec<u8>, random: &mut Random) {
    match random.below(8) {
        0 => query[2] |= 1 << (1 + random.below(7)),
        1 => query[5] = [0, 2, 3][random.below(3)],
        2 => query[7] = 1,
        3 => query[9] = 1,
        4 => query[11] += 1,
        5 => query.push(random.next() as u8),
        6 => query.truncate(random.below(query.len())),
        _ => query[12] = [0xc0, 0x40, 63, 0x80][random.below(4)],
    }
}
