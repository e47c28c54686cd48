//! What is on a device: its partitions, and the names of the filesystems on them, for people to recognise.

use std::io;

/// More partitions than this are not looked at.
const MOST: usize = 32;
const SECTOR: u64 = 512;

/// Reads bytes from a place on a device.
type ReadAt<'a> = dyn FnMut(u64, &mut [u8]) -> io::Result<()> + 'a;

/// A line for each thing that was found.
pub(crate) fn describe(read: &mut ReadAt<'_>) -> Vec<String> {
    let mut first = [0; 512];
    if let Err(error) = read(0, &mut first) {
        return vec![format!("it cannot be read: {error}")];
    }
    let mut lines = Vec::new();
    let partitions = match gpt(read) {
        Some(partitions) => {
            lines.push("GUID partition table".to_owned());
            partitions
        }
        None if first[510..] == [0x55, 0xaa] && filesystem(read, 0).is_none() => {
            lines.push("master boot record".to_owned());
            mbr(&first)
        }
        None => match filesystem(read, 0) {
            Some(what) => return vec![format!("no partitions, {what}")],
            None => return vec!["no partition table, and no filesystem that is known".to_owned()],
        },
    };
    for (number, Partition { first, sectors, name }) in partitions.iter().enumerate() {
        let what = filesystem(read, first.saturating_mul(SECTOR));
        let name = if name.is_empty() { String::new() } else { format!(" {name:?}") };
        lines.push(format!(
            "partition {}{name}: {} MiB, {}",
            number + 1,
            sectors / 2048,
            what.as_deref().unwrap_or("no filesystem that is known")
        ));
    }
    lines
}

struct Partition {
    first: u64,
    sectors: u64,
    name: String,
}

fn mbr(sector: &[u8; 512]) -> Vec<Partition> {
    let long = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)));
    let entries = sector[446..510].chunks_exact(16).filter(|entry| entry[4] != 0);
    entries
        .map(|entry| Partition { first: long(&entry[8..]), sectors: long(&entry[12..]), name: String::new() })
        .collect()
}

fn gpt(read: &mut ReadAt<'_>) -> Option<Vec<Partition>> {
    let mut header = [0; 512];
    read(SECTOR, &mut header).ok().filter(|()| header.starts_with(b"EFI PART"))?;
    let long = |bytes: &[u8], at: usize| {
        bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    let (at, size) = (long(&header, 72), (long(&header, 84) & 0xffff_ffff) as usize);
    let mut partitions = Vec::new();
    if !(128..=4096).contains(&size) {
        return Some(partitions);
    }
    for number in 0..MOST as u64 {
        let mut entry = vec![0; size];
        let place = at.saturating_mul(SECTOR).saturating_add(number * size as u64);
        if read(place, &mut entry).is_err() {
            break;
        }
        if entry[..16] == [0; 16] {
            continue;
        }
        let (first, last) = (long(&entry, 32), long(&entry, 40));
        let name = entry[56..128].as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
        let name: Vec<u16> = name.take_while(|&unit| unit != 0).collect();
        partitions.push(Partition {
            first,
            sectors: last.saturating_sub(first).saturating_add(1),
            name: String::from_utf16_lossy(&name),
        });
    }
    Some(partitions)
}

/// A filesystem and its label.
fn filesystem(read: &mut ReadAt<'_>, at: u64) -> Option<String> {
    let mut start = [0; 512];
    read(at, &mut start).ok()?;
    let fat = |label: usize| format!("FAT{}", labelled(&start[label..label + 11]));
    if &start[82..87] == b"FAT32" {
        return Some(fat(71));
    }
    if &start[54..57] == b"FAT" {
        return Some(fat(43));
    }
    if &start[3..11] == b"EXFAT   " {
        return Some("exFAT".to_owned());
    }
    if &start[3..7] == b"NTFS" {
        return Some("NTFS".to_owned());
    }
    let mut ext = [0; 512];
    read(at.checked_add(1024)?, &mut ext).ok()?;
    (ext[56..58] == [0x53, 0xef]).then(|| format!("ext4 or its like{}", labelled(&ext[120..136])))
}

fn labelled(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_matches(['\0', ' ']);
    // A label is somebody's text, and this goes to a terminal.
    if text.is_empty() || text == "NO NAME" { String::new() } else { format!(" {text:?}") }
}
