//! Partition tables: those that sfdisk and sgdisk make, and broken ones.

mod common;

use common::{disk, image, peek, poke, run};
use fata_disk::{
    BlockDevice, Error, Flaw, Guid, MemDisk, PartKind, Partition, Scheme, Table, TableError, What, partitions,
};
use fata_sim::Rng;

/// The disk of a fixture, with its sectors.
fn fixture(name: &str) -> MemDisk {
    let disk = disk(&image(name));
    if name.ends_with("4096") { disk.with_logical_bytes(4096) } else { disk }
}

fn read(disk: &MemDisk) -> Table {
    run(partitions(disk)).unwrap()
}

/// Numbers and sectors of the partitions.
fn places(table: &Table) -> Vec<(u32, std::ops::Range<u64>)> {
    table.parts.iter().map(|part| (part.number, part.sectors.clone())).collect()
}

fn flaws(table: &Table) -> Vec<(u32, What)> {
    table.flaws.iter().map(|flaw| (flaw.number, flaw.what)).collect()
}

/// CRC-32 bit by bit, as a second opinion.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

/// Puts right the checksums of the header at this logical sector.
fn seal(disk: &MemDisk, at: u64) {
    let logical = disk.geometry().logical_bytes as usize;
    let mut header = peek(disk, at * logical as u64, logical);
    let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap()) as usize;
    let (len, array, array_len) = (number(12), number(72) * logical, number(80) * number(84));
    if (array + array_len) as u64 <= disk.geometry().sectors * 512 {
        let sum = crc(&peek(disk, array as u64, array_len));
        header[88..92].copy_from_slice(&sum.to_le_bytes());
    }
    header[16..20].fill(0);
    let sum = crc(&header[..len]);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    poke(disk, at * logical as u64, &header);
}

#[test]
fn a_gpt_is_read_whatever_the_sectors() {
    for (name, places_expected) in [
        ("gpt-512", [(1, 48..2096), (2, 2096..3120), (3, 3120..3632)]),
        ("gpt-4096", [(1, 2048..4096), (2, 4096..5120), (3, 6144..6656)]),
    ] {
        let table = read(&fixture(name));
        assert_eq!((table.scheme, table.flaws.len()), (Scheme::Gpt, 0), "{name}");
        assert_eq!(places(&table), places_expected, "{name}");
        let names: Vec<_> = table.parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["EFI system", "Wurzel äöü", ""], "{name}");
        let kinds: Vec<_> = table.parts.iter().map(|part| part.kind).collect();
        assert_eq!(kinds, [Guid::EFI_SYSTEM, Guid::LINUX, Guid::LINUX_SWAP].map(PartKind::Gpt), "{name}");
        assert_eq!(kinds[1].name(), Some("Linux filesystem"));
        assert_eq!(table.parts[1].id.to_string(), "22222222-2222-3333-4444-555555555555");
    }
}

#[test]
fn numbers_of_a_gpt_may_have_gaps() {
    let table = read(&fixture("gpt-sgdisk"));
    assert_eq!(places(&table), [(1, 40..1040), (7, 2048..8159)]);
    assert_eq!(table.parts[1].kind, PartKind::Gpt(Guid::BASIC_DATA));
    assert_eq!(table.parts[1].name, "sieben 🦀");
}

#[test]
fn a_disk_without_a_table_has_none() {
    assert_eq!(read(&MemDisk::new(100)).scheme, Scheme::None);
    assert_eq!(read(&disk(&image("fat16"))).scheme, Scheme::None);
    assert_eq!(read(&disk(&image("fat32"))).scheme, Scheme::None);
    assert_eq!(read(&disk(&image("ext4-1k"))).scheme, Scheme::None);
    // The headers at both ends of a disk that has been given another use since do not make it divided.
    let disk = fixture("gpt-512");
    poke(&disk, 0, &[0; 512]);
    assert_eq!(read(&disk).scheme, Scheme::None);
}

#[test]
fn the_backup_is_used_when_the_first_copy_is_broken() {
    for name in ["gpt-512", "gpt-4096", "gpt-sgdisk"] {
        let whole = read(&fixture(name));
        let logical = u64::from(fixture(name).geometry().logical_bytes);
        let breaks: &[(u64, &[u8])] = &[
            (logical, &[0; 512]),           // no header
            (logical + 16, &[1, 2, 3]),     // its checksum
            (logical + 40, &[99]),          // what it is a checksum of
            (logical + 24, &[2]),           // where it is
            (logical + 12, &[0xff; 4]),     // its length
            (logical + 12, &[91, 0, 0, 0]), // too short
            (logical * 2 + 130, &[1]),      // an entry
        ];
        for (at, bytes) in breaks {
            let disk = fixture(name);
            // For gpt-512 the entries do not follow the header at once.
            poke(&disk, *at, bytes);
            let table = read(&disk);
            assert_eq!((table.scheme, &table.parts), (Scheme::GptBackup, &whole.parts), "{name} {at}");
        }
        let disk = fixture(name);
        disk.fail_sectors(logical / 512..logical / 512 + 1);
        assert_eq!(read(&disk).scheme, Scheme::GptBackup, "{name}");
    }
}

#[test]
fn the_backup_of_a_disk_that_grew_is_where_the_first_copy_says() {
    let disk = fixture("gpt-512");
    disk.resize(20_000);
    poke(&disk, 1024, &[1; 16]);
    assert_eq!(read(&disk).scheme, Scheme::GptBackup);
    poke(&disk, 512, &[0; 512]);
    assert_eq!(run(partitions(&disk)), Err(TableError::Gpt("no header")));
}

#[test]
fn a_gpt_without_a_usable_copy_is_an_error_that_says_what_is_wrong() {
    let disk = fixture("gpt-512");
    let last = (disk.geometry().sectors - 1) * 512;
    poke(&disk, last, &[0; 512]);
    assert_eq!(read(&disk).scheme, Scheme::Gpt);
    for (at, bytes, what) in [
        (80, &[0xff; 4][..], "too many entries"),
        (84, &[64, 0, 0, 0], "the entries' length"),
        (84, &[130, 0, 0, 0], "the entries' length"),
        (84, &[0, 32, 0, 0], "the entries' length"),
        (72, &[0xff; 8], "where the entries are"),
        (48, &[0xff; 8], "where partitions may be"),
        (40, &[0; 8], "where partitions may be"),
        (12, &[0, 2, 0, 0], "the header is not where it says it is"),
    ] {
        let disk = fixture("gpt-512");
        poke(&disk, last, &[0; 512]);
        poke(&disk, 512 + at, bytes);
        if what.starts_with("the header") {
            poke(&disk, 512 + 24, &[5]);
        }
        seal(&disk, 1);
        assert_eq!(run(partitions(&disk)), Err(TableError::Gpt(what)));
    }
    disk.fail_sectors(1..2);
    assert_eq!(run(partitions(&disk)), Err(TableError::Disk(Error::Io)));
}

#[test]
fn partitions_that_cannot_be_are_left_out_by_name() {
    let disk = fixture("gpt-512");
    let entry = |number: u64, first: u64, last: u64| {
        let at = 1024 + (number - 1) * 128;
        poke(&disk, at, &Guid::LINUX.0);
        poke(&disk, at + 32, &first.to_le_bytes());
        poke(&disk, at + 40, &last.to_le_bytes());
    };
    entry(10, 4000, 4999);
    entry(11, 5000, 4998);
    entry(12, 8000, 9000);
    entry(13, 4999, 5100);
    entry(14, 0, 47);
    entry(15, u64::MAX, u64::MAX);
    entry(16, 6000, 6000);
    entry(17, 3000, u64::MAX);
    seal(&disk, 1);
    let table = read(&disk);
    assert_eq!(places(&table)[3..], [(10, 4000..5000), (16, 6000..6001)]);
    let expected = [
        (11, What::Backwards),
        (12, What::OutOfRange),
        (13, What::Overlaps(10)),
        (14, What::OutOfRange),
        (15, What::Backwards),
        (17, What::OutOfRange),
    ];
    assert_eq!(flaws(&table), expected);
    let flaw = Flaw { number: 13, what: What::Overlaps(10) };
    assert_eq!(flaw.to_string(), "partition 13: overlaps partition 10");
}

#[test]
fn a_table_of_thousands_is_cut_short() {
    // 8,192 entries, as many as there may be.
    let disk = MemDisk::new(1 << 20);
    poke(&disk, 450, &[0xee, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    poke(&disk, 510, &[0x55, 0xaa]);
    let mut header = [0; 92];
    header[..12].copy_from_slice(b"EFI PART\0\0\x01\0");
    for (at, number) in [(24, 1_u64), (32, 0), (40, 2100), (48, 1_000_000), (72, 2)] {
        header[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    for (at, number) in [(12, 92_u32), (80, 8192), (84, 128)] {
        header[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    poke(&disk, 512, &header);
    let mut array = vec![0; 8192 * 128];
    for (entry, first) in array.chunks_exact_mut(128).zip(3000_u64..) {
        entry[..16].copy_from_slice(&Guid::LINUX.0);
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&first.to_le_bytes());
    }
    poke(&disk, 1024, &array);
    seal(&disk, 1);
    let table = read(&disk);
    assert_eq!((table.parts.len(), table.flaws.len()), (256, 256));
    assert_eq!(table.flaws[0], Flaw { number: 257, what: What::TooMany });
}

#[test]
fn an_mbr_is_read_with_its_logical_partitions_whatever_the_sectors() {
    for (name, unit) in [("mbr-512", 1), ("mbr-4096", 8)] {
        let table = read(&fixture(name));
        assert_eq!((table.scheme, table.flaws.len()), (Scheme::Mbr, 0), "{name}");
        let expected = [(1, 2048, 1024), (2, 4096, 1024), (5, 8192, 512), (6, 12288, 1024), (7, 16384, 2047)];
        // This fdisk makes partitions of a given size a sector longer.
        let expected = expected.map(|(number, first, count)| (number, first..first + count + unit));
        assert_eq!(places(&table)[..4], expected[..4], "{name}");
        assert_eq!(places(&table)[4], (7, 16384..18432), "{name}");
        let kinds: Vec<_> = table.parts.iter().map(|part| part.kind).collect();
        assert_eq!(kinds, [0x83, 0x0c, 0x83, 0x82, 7].map(PartKind::Mbr), "{name}");
        assert_eq!(kinds[1].name(), Some("FAT32"));
        // Each of them can be opened as a disk.
        let disk = fixture(name);
        for part in &table.parts {
            assert!(Partition::new(&disk, part.sectors.clone()).is_ok());
        }
    }
}

#[test]
fn a_list_of_logical_partitions_that_does_not_end_ends() {
    // Where the second logical partition's record is, and in it the entry that says where the third's is.
    let (second, next) = (10240 * 512, 10240 * 512 + 446 + 16);
    let disk = fixture("mbr-512");
    let whole = read(&disk);
    assert_eq!(disk.to_bytes()[second + 510..second + 512], [0x55, 0xaa]);

    poke(&disk, next as u64 + 8, &0_u32.to_le_bytes());
    let table = read(&disk);
    assert_eq!((places(&table), flaws(&table)), (places(&whole)[..4].to_vec(), vec![(7, What::ChainLoop)]));

    poke(&disk, next as u64 + 8, &u32::MAX.to_le_bytes());
    let table = read(&disk);
    assert_eq!((places(&table).len(), flaws(&table)), (4, vec![(7, What::OutOfRange)]));

    poke(&disk, next as u64 + 8, &9000_u32.to_le_bytes());
    let table = read(&disk);
    assert_eq!((places(&table).len(), flaws(&table)), (4, vec![(7, What::ChainBroken)]));
}

#[test]
fn a_list_of_logical_partitions_is_bounded() {
    // Each sector from 64 on is a record that leads to the next, without partitions of their own.
    let disk = MemDisk::new(10_000);
    let mut sector = [0; 512];
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector[450] = 5;
    sector[458..462].copy_from_slice(&1_u32.to_le_bytes());
    for record in 63..9000_u32 {
        sector[454..458].copy_from_slice(&(record - 62).to_le_bytes());
        poke(&disk, u64::from(record) * 512, &sector);
    }
    sector[454..458].copy_from_slice(&63_u32.to_le_bytes());
    sector[458..462].copy_from_slice(&9000_u32.to_le_bytes());
    poke(&disk, 0, &sector);
    let before = disk.counts().reads;
    assert_eq!(flaws(&read(&disk)), [(5, What::TooMany)]);
    assert!(disk.counts().reads - before < 150);
}

#[test]
fn mbr_partitions_that_cannot_be_are_left_out() {
    let disk = fixture("mbr-512");
    // The second one overlaps the first, and lies beyond the end.
    poke(&disk, 446 + 16 + 8, &3000_u32.to_le_bytes());
    assert_eq!(flaws(&read(&disk)), [(2, What::Overlaps(1))]);
    poke(&disk, 446 + 16 + 12, &u32::MAX.to_le_bytes());
    assert_eq!(flaws(&read(&disk)), [(2, What::OutOfRange)]);
    poke(&disk, 446 + 16 + 8, &0_u32.to_le_bytes());
    assert_eq!(flaws(&read(&disk)), [(2, What::OutOfRange)]);
    // An extended partition that is not on the disk, and one that is only half on it.
    poke(&disk, 446 + 32 + 8, &u32::MAX.to_le_bytes());
    assert_eq!(flaws(&read(&disk))[1], (3, What::OutOfRange));
}

#[test]
fn absurd_disks_are_errors() {
    for bytes in [0, 1, 511, 513, 768, 128 << 10, u32::MAX] {
        let disk = MemDisk::new(100).with_logical_bytes(bytes);
        assert_eq!(run(partitions(&disk)), Err(TableError::Disk(Error::Unsupported)), "{bytes}");
    }
    assert_eq!(run(partitions(&MemDisk::new(0))), Err(TableError::Disk(Error::OutOfRange)));
    let disk = disk(&image("gpt-512"));
    for sectors in 1..40 {
        disk.resize(sectors);
        assert!(matches!(run(partitions(&disk)), Err(TableError::Gpt(_) | TableError::Disk(_))));
    }
}

#[test]
fn no_mutation_makes_it_panic_or_go_on_forever_or_break_its_promises() {
    let mut rng = Rng::new();
    for name in ["gpt-512", "gpt-4096", "gpt-sgdisk", "mbr-512", "mbr-4096"] {
        let bytes = image(name);
        let logical = if name.ends_with("4096") { 4096 } else { 512 };
        let occupied: Vec<usize> =
            (0..bytes.len() / 16).filter(|at| bytes[at * 16..][..16].iter().any(|&byte| byte != 0)).collect();
        let disk = disk(&bytes).with_logical_bytes(logical);
        for _ in 0..100 {
            let mut undo = Vec::new();
            for _ in 0..rng.within(1..6) {
                let at = occupied[rng.within(0..occupied.len())] * 16 + rng.within(0..16);
                undo.push(at);
                let byte = if rng.number().is_multiple_of(2) { 0xff } else { rng.number() as u8 };
                poke(&disk, at as u64, &[byte]);
            }
            // Half of the time whoever did it knows about checksums.
            if name.starts_with("gpt") && rng.number().is_multiple_of(2) {
                poke(&disk, u64::from(logical) + 12, &92_u32.to_le_bytes());
                seal(&disk, 1);
                undo.extend((0..92).map(|at| logical as usize + at));
            }
            let before = disk.counts().reads;
            if let Ok(table) = run(partitions(&disk)) {
                check(&table, disk.geometry().sectors);
            }
            assert!(disk.counts().reads - before < 3 * 256 + 10);
            for at in undo {
                poke(&disk, at as u64, &bytes[at..=at]);
            }
        }
    }
}

/// What a table promises whatever the disk.
fn check(table: &Table, sectors: u64) {
    for (index, part) in table.parts.iter().enumerate() {
        assert!(part.sectors.start < part.sectors.end && part.sectors.end <= sectors);
        for other in &table.parts[..index] {
            assert!(other.sectors.end <= part.sectors.start || part.sectors.end <= other.sectors.start);
        }
    }
}
