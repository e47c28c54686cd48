//! A boot medium: a partition table, and a FAT partition with files. The same files make the same bytes.

use std::io::{Cursor, Write};

use anyhow::{Context, Result, ensure};
use fata_facts::{Medium, Table};
use fatfs::{Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};

const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;
/// Firmware of boards does not know what to make of smaller ones, and FAT32 has a least number of clusters.
const LEAST_PARTITION_MIB: u64 = 64;
/// What is left of a partition for people to put files of their own there.
const ROOM_MIB: u64 = 16;
/// Sectors that a GPT takes at the end: its entries, then its header.
const GPT_SECTORS: u64 = 33;

/// A file of the FAT partition, its path without a slash at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediumFile {
    /// Folders are made as needed.
    pub path: String,
    /// What is in it.
    pub contents: Vec<u8>,
}

/// The whole medium: tables, a FAT partition named `label` with these files, and raw bytes from sectors before it.
pub fn medium(medium: &Medium, label: &str, files: &[MediumFile], raw: &[(u64, Vec<u8>)]) -> Result<Vec<u8>> {
    let bytes: u64 = files.iter().map(|file| (file.contents.len() as u64).next_multiple_of(4096)).sum();
    let first_mib = u64::from(medium.first_partition_mib.max(1));
    let needed_mib = (bytes.div_ceil(MIB) + ROOM_MIB).max(LEAST_PARTITION_MIB);
    // A whole MiB behind it for the second table. SD cards are powers of two, and models of them insist on it.
    let whole_mib = (first_mib + needed_mib + 1).next_power_of_two();
    let partition_mib = whole_mib - first_mib - 1;
    let first = first_mib * MIB / SECTOR;
    let sectors = partition_mib * MIB / SECTOR;
    let mut image = vec![0; (whole_mib * MIB) as usize];
    let fat = fat(label, files, partition_mib)?;
    let at = (first * SECTOR) as usize;
    image[at..at + fat.len()].copy_from_slice(&fat);
    match medium.table {
        Table::Mbr => mbr(&mut image, 0x0c, 0x80, first, sectors),
        Table::Gpt => gpt(&mut image, first, sectors, crc32fast::hash(&fat)),
    }
    let tables = if medium.table == Table::Gpt { 34 } else { 1 };
    for (sector, bytes) in raw {
        let end = sector + (bytes.len() as u64).div_ceil(SECTOR);
        ensure!(
            *sector >= tables && end <= first,
            "firmware at sector {sector} does not fit between the partition table and the first partition"
        );
        let at = (sector * SECTOR) as usize;
        image[at..at + bytes.len()].copy_from_slice(bytes);
    }
    Ok(image)
}

/// It is always the first of January 1980, when FAT's time begins.
#[derive(Debug)]
struct NoTime;

const DAY: Date = Date { year: 1980, month: 1, day: 1 };

impl TimeProvider for NoTime {
    fn get_current_date(&self) -> Date {
        DAY
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: DAY, time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}

fn fat(label: &str, files: &[MediumFile], mib: u64) -> Result<Vec<u8>> {
    let mut volume = Cursor::new(vec![0; (mib * MIB) as usize]);
    let mut name = [b' '; 11];
    for (to, from) in name.iter_mut().zip(label.bytes().filter(u8::is_ascii_alphanumeric)) {
        *to = from.to_ascii_uppercase();
    }
    let sum = files.iter().fold(crc32fast::Hasher::new(), |mut sum, file| {
        sum.update(file.path.as_bytes());
        sum.update(&file.contents);
        sum
    });
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(if mib <= 256 { 512 } else { 4096 })
        .volume_label(name)
        .volume_id(sum.finalize());
    fatfs::format_volume(&mut volume, options).context("making a FAT filesystem")?;
    let system = FileSystem::new(&mut volume, FsOptions::new().time_provider(&NoTime))?;
    let root = system.root_dir();
    for file in files {
        let mut folder = root.clone();
        let (folders, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        for part in folders.split('/').filter(|part| !part.is_empty()) {
            folder = folder.create_dir(part).with_context(|| format!("making {}", file.path))?;
        }
        let mut to = folder.create_file(name).with_context(|| format!("making {}", file.path))?;
        to.truncate()?;
        to.write_all(&file.contents).with_context(|| format!("writing {}", file.path))?;
        to.flush()?;
    }
    drop(root);
    system.unmount()?;
    Ok(volume.into_inner())
}

/// One partition in a master boot record.
fn mbr(image: &mut [u8], kind: u8, active: u8, first: u64, sectors: u64) {
    // Cylinders and heads that say: look at the sector numbers.
    const FAR: [u8; 3] = [0xfe, 0xff, 0xff];
    let entry = &mut image[446..462];
    entry[0] = active;
    entry[1..4].copy_from_slice(&FAR);
    entry[4] = kind;
    entry[5..8].copy_from_slice(&FAR);
    entry[8..12].copy_from_slice(&(first as u32).to_le_bytes());
    entry[12..16].copy_from_slice(&(u32::try_from(sectors).unwrap_or(u32::MAX)).to_le_bytes());
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
}

/// One partition in a GUID partition table (UEFI specification, chapter 5), at both ends of the medium.
fn gpt(image: &mut [u8], first: u64, sectors: u64, seed: u32) {
    /// Basic data, EBD0A0A2-B9E5-4433-87C0-68B6B72699C7, as it lies on disks.
    const BASIC_DATA: [u8; 16] =
        [0xa2, 0xa0, 0xd0, 0xeb, 0xe5, 0xb9, 0x33, 0x44, 0x87, 0xc0, 0x68, 0xb6, 0xb7, 0x26, 0x99, 0xc7];
    /// U-Boot looks first at partitions with this ("legacy BIOS bootable").
    const BOOTABLE: u64 = 1 << 2;
    let last = image.len() as u64 / SECTOR - 1;
    mbr(image, 0xee, 0, 1, last);
    let mut entries = vec![0; 128 * 128];
    entries[..16].copy_from_slice(&BASIC_DATA);
    entries[16..32].copy_from_slice(&guid(seed, 1));
    entries[32..40].copy_from_slice(&first.to_le_bytes());
    entries[40..48].copy_from_slice(&(first + sectors - 1).to_le_bytes());
    entries[48..56].copy_from_slice(&BOOTABLE.to_le_bytes());
    for (to, from) in entries[56..128].chunks_exact_mut(2).zip("boot".encode_utf16()) {
        to.copy_from_slice(&from.to_le_bytes());
    }
    let entries_sum = crc32fast::hash(&entries);
    let mut put = |own: u64, other: u64, entries_at: u64| {
        let mut header = Vec::new();
        header.extend(b"EFI PART");
        header.extend(0x0001_0000u32.to_le_bytes());
        header.extend(92u32.to_le_bytes());
        header.extend([0; 8]);
        for place in [own, other, 34, last - GPT_SECTORS] {
            header.extend(place.to_le_bytes());
        }
        header.extend(guid(seed, 0));
        header.extend(entries_at.to_le_bytes());
        for word in [128, 128, entries_sum] {
            header.extend(word.to_le_bytes());
        }
        let sum = crc32fast::hash(&header);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        let at = (own * SECTOR) as usize;
        image[at..at + header.len()].copy_from_slice(&header);
        let at = (entries_at * SECTOR) as usize;
        image[at..at + entries.len()].copy_from_slice(&entries);
    };
    put(1, last, 2);
    put(last, 1, last - GPT_SECTORS + 1);
}

/// A GUID that is the same for the same contents: version 8 (RFC 9562).
fn guid(seed: u32, number: u8) -> [u8; 16] {
    let mut guid = *b"FataFATA\x80fata\0\0\0";
    guid[..4].copy_from_slice(&seed.to_le_bytes());
    guid[6] = 0x61;
    guid[7] = 0x80;
    guid[15] = number;
    guid
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn files() -> Vec<MediumFile> {
        let file = |path: &str, bytes: usize| MediumFile {
            path: path.to_owned(),
            contents: (0..bytes).map(|n| (n * 7 % 251) as u8).collect(),
        };
        vec![file("xen", 1_234_567), file("extlinux/extlinux.conf", 99), file("a-long-name.img", 4096)]
    }

    #[test]
    fn what_is_written_is_read() {
        for (table, at_mib) in [(Table::Mbr, 4), (Table::Gpt, 1)] {
            let wanted = Medium { table, first_partition_mib: at_mib };
            let image = medium(&wanted, "fata", &files(), &[(64, vec![7; 1000])]).unwrap();
            assert_eq!(image[510..512], [0x55, 0xaa]);
            assert_eq!(image[64 * 512], 7);
            let start = at_mib as usize * MIB as usize;
            let mut volume = Cursor::new(image[start..].to_vec());
            let system = FileSystem::new(&mut volume, FsOptions::new()).unwrap();
            assert_eq!(system.volume_label(), "FATA");
            for file in files() {
                let mut contents = Vec::new();
                system.root_dir().open_file(&file.path).unwrap().read_to_end(&mut contents).unwrap();
                assert!(contents == file.contents, "{}", file.path);
            }
        }
    }

    #[test]
    fn both_partition_tables_of_gpt_are_whole() {
        let wanted = Medium { table: Table::Gpt, first_partition_mib: 1 };
        let image = medium(&wanted, "fata", &files(), &[]).unwrap();
        let last = image.len() / 512 - 1;
        for (own, other) in [(1, last), (last, 1)] {
            let header = &image[own * 512..own * 512 + 92];
            let long = |at: usize| u64::from_le_bytes(*header[at..].first_chunk().unwrap()) as usize;
            let word = |at: usize| u32::from_le_bytes(*header[at..].first_chunk().unwrap());
            assert_eq!(&header[..8], b"EFI PART");
            assert_eq!((long(24), long(32)), (own, other));
            let mut without = header.to_vec();
            without[16..20].fill(0);
            assert_eq!(word(16), crc32fast::hash(&without));
            let entries = &image[long(72) * 512..][..128 * 128];
            assert_eq!(word(88), crc32fast::hash(entries));
            let entry = |at: usize| u64::from_le_bytes(*entries[at..].first_chunk().unwrap()) as usize;
            assert_eq!(entry(32), 2048);
            assert!(entry(40) <= long(48));
        }
    }

    #[test]
    fn firmware_stays_out_of_tables_and_partitions() {
        let wanted = Medium { table: Table::Gpt, first_partition_mib: 1 };
        for (sector, bytes) in [(33, 1), (2047, 513), (5000, 1)] {
            assert!(medium(&wanted, "fata", &[], &[(sector, vec![0; bytes])]).is_err(), "{sector}");
        }
    }

    #[test]
    fn the_same_files_make_the_same_bytes() {
        let wanted = Medium { table: Table::Gpt, first_partition_mib: 1 };
        let make = || medium(&wanted, "fata", &files(), &[]).unwrap();
        assert!(make() == make());
    }
}
