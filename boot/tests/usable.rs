//! Which RAM may be used, whatever overlaps what.

use fata_boot::info::{BootInfo, List, PAGE_SIZE, Region};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A region of up to 16 pages among 64, with ragged ends; now and then one that reaches to the end of all.
    fn region(&mut self) -> Region {
        let base = self.next() % (64 * PAGE_SIZE);
        match self.next() % 20 {
            0 => Region::between(base, u64::MAX),
            1 => Region { base: u64::MAX - base, size: base },
            _ => Region { base, size: self.next() % (16 * PAGE_SIZE) },
        }
    }
}

fn machine() -> BootInfo<'static> {
    BootInfo {
        model: "",
        compatible: "",
        memory: List::default(),
        reserved: List::default(),
        cmdline: "",
        initrd: None,
        net: "",
        rng_seed: &[],
        payload: &[],
        cpus: 1,
        gic: None,
        timer: None,
        psci: None,
        hypervisor: None,
        uart: None,
        devices: Default::default(),
        dtb: &[],
        remarks: List::default(),
    }
}

#[test]
fn usable_ram_is_each_page_of_a_bank_that_nothing_touches() {
    let seed = std::env::var("FATA_SEED").map_or(0xfa7a, |seed| seed.parse().expect("FATA_SEED is a number"));
    println!("FATA_SEED={seed}");
    let mut random = Random(seed);
    for _ in 0..5_000 {
        let mut info = machine();
        for _ in 0..random.next() % 6 {
            let bank = random.region().pages_inside();
            if !bank.is_empty() && bank.end() <= 1 << 39 {
                info.memory.merge(bank).unwrap();
            }
        }
        for _ in 0..random.next() % 8 {
            info.reserved.push(random.region()).unwrap();
        }
        info.initrd = (random.next().is_multiple_of(2)).then(|| random.region());
        let taken = [random.region(), random.region()];
        let usable = info.usable(&taken);

        let has = |list: &[Region], page: u64| list.iter().any(|r| r.base <= page && page < r.end());
        let touches = |r: &Region, page: u64| !r.is_empty() && r.base < page + PAGE_SIZE && page < r.end();
        for page in (0..100).map(|n| n * PAGE_SIZE) {
            let mut holes = info.reserved.iter().chain(&taken).chain(&info.initrd);
            let free = page != 0 && has(&info.memory, page) && !holes.any(|hole| touches(hole, page));
            assert_eq!(has(&usable, page), free, "page {page:#x} of {info:?}, {taken:?}: {usable:?}");
        }
        assert!(usable.iter().all(|r| !r.is_empty() && r.pages_inside() == *r));
        assert!(usable.windows(2).all(|pair| pair[0].end() <= pair[1].base), "{usable:?}");
    }
}

#[test]
fn every_list_full_still_fits() {
    let mut info = machine();
    for n in 0..16 {
        info.memory.merge(Region { base: (1 + 8 * n) * PAGE_SIZE, size: 7 * PAGE_SIZE }).unwrap();
    }
    for n in 0..32 {
        info.reserved.push(Region { base: (2 + 4 * n) * PAGE_SIZE + 5, size: 1 }).unwrap();
    }
    // Each of 16 banks of 7 pages loses its second and its sixth.
    let usable = info.usable(&[]);
    assert_eq!(usable.len(), 48);
    assert_eq!(usable.iter().map(|r| r.size).sum::<u64>(), 16 * 5 * PAGE_SIZE);
}

#[test]
fn merging_keeps_a_list_sorted_and_apart() {
    let mut list = List::<Region, 3>::default();
    let region = |base, end| Region::between(base, end);
    list.merge(region(0x5000, 0x6000)).unwrap();
    list.merge(region(0x1000, 0x2000)).unwrap();
    list.merge(region(0x8000, 0x9000)).unwrap();
    assert_eq!(list.merge(region(0x3000, 0x4000)), Err(region(0x3000, 0x4000)));
    assert_eq!(list[..], [region(0x1000, 0x2000), region(0x5000, 0x6000), region(0x8000, 0x9000)]);
    // Touching on both sides, and one inside another.
    list.merge(region(0x2000, 0x5000)).unwrap();
    list.merge(region(0x1800, 0x1900)).unwrap();
    assert_eq!(list[..], [region(0x1000, 0x6000), region(0x8000, 0x9000)]);
    list.merge(region(0x0, u64::MAX)).unwrap();
    assert_eq!(list[..], [region(0, u64::MAX)]);
}

#[test]
fn a_payload_is_not_free() {
    let bytes = vec![1u8; 3 * PAGE_SIZE as usize + 1];
    let mut info = machine();
    info.payload = &bytes;
    let payload = info.payload_region().unwrap();
    let touched = payload.pages_touched();
    let bank = Region::between(touched.base - 8 * PAGE_SIZE, touched.end() + 8 * PAGE_SIZE);
    info.memory.merge(bank).unwrap();
    let usable = info.usable(&[]);
    assert_eq!(
        usable[..],
        [Region::between(bank.base, touched.base), Region::between(touched.end(), bank.end())]
    );
    info.payload = &[];
    assert_eq!(info.payload_region(), None);
    assert_eq!(info.usable(&[])[..], [bank]);
}
