//! Master boot records, and the list of logical partitions in an extended one.

use super::{Guid, Part, PartKind, Reader, Scheme, Table, TableError, What};
use crate::bytes::{le16, le32};
use crate::device::{BlockDevice, Error};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// The most logical partitions that are looked for.
const MAX_LOGICAL: usize = 128;

const PROTECTIVE: u8 = 0xee;

/// The four entries of a boot record.
pub(super) struct Mbr {
    entries: [Entry; 4],
}

/// An entry. Its numbers are logical sectors.
#[derive(Clone, Copy)]
struct Entry {
    kind: u8,
    start: u32,
    count: u32,
}

impl Entry {
    fn is_used(&self) -> bool {
        self.kind != 0 && self.count != 0
    }

    fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }

    /// Its logical sectors, counted from `base` on.
    fn range(&self, base: u64) -> Range<u64> {
        let start = base + u64::from(self.start);
        start..start + u64::from(self.count)
    }
}

impl Mbr {
    /// `None` if it is none: the signature is missing, or it is the boot sector of a file system, which has the same.
    pub(super) fn parse(sector: &[u8]) -> Option<Self> {
        let mbr = Self::parse_any(sector)?;
        let is_fat = matches!(sector.first(), Some(0xeb | 0xe9)) && matches!(sector.get(16), Some(1 | 2));
        if is_fat && !mbr.entries.iter().any(Entry::is_used) {
            return None;
        }
        Some(mbr)
    }

    fn parse_any(sector: &[u8]) -> Option<Self> {
        if le16(sector, 510) != 0xaa55 {
            return None;
        }
        let mut entries = [Entry { kind: 0, start: 0, count: 0 }; 4];
        for (raw, entry) in sector.get(446..510)?.chunks_exact(16).zip(&mut entries) {
            // Where this flag should be, a file system's boot sector has code or text.
            if raw[0] & 0x7f != 0 {
                return None;
            }
            *entry = Entry { kind: raw[4], start: le32(raw, 8), count: le32(raw, 12) };
        }
        Some(Self { entries })
    }

    pub(super) fn protects_gpt(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind == PROTECTIVE)
    }
}

/// Makes a table of a boot record, and of the logical partitions it leads to.
pub(super) async fn read<D: BlockDevice>(reader: &mut Reader<'_, D>, mbr: &Mbr) -> Result<Table, TableError> {
    let mut table = Table::new(Scheme::Mbr);
    for (number, entry) in (1..).zip(&mbr.entries) {
        if entry.is_used() && !entry.is_extended() {
            add(&mut table, reader, number, entry.kind, entry.range(0), &(1..reader.end));
        }
    }
    for (number, entry) in (1..).zip(&mbr.entries) {
        if entry.is_used() && entry.is_extended() {
            let mut extended = entry.range(0);
            if extended.start == 0 || extended.start >= reader.end {
                table.flaw(number, What::OutOfRange);
                continue;
            }
            extended.end = extended.end.min(reader.end);
            read_logical(&mut table, reader, extended).await?;
            // A second extended partition is not allowed, and its logical ones would have no numbers.
            break;
        }
    }
    Ok(table)
}

/// Follows the list of logical partitions: each record has one, and says where the next record is.
async fn read_logical<D: BlockDevice>(
    table: &mut Table,
    reader: &mut Reader<'_, D>,
    extended: Range<u64>,
) -> Result<(), TableError> {
    let mut seen = Vec::new();
    let mut at = extended.start;
    let mut number = 5;
    loop {
        if seen.contains(&at) {
            table.flaw(number, What::ChainLoop);
            return Ok(());
        }
        if seen.len() >= MAX_LOGICAL {
            table.flaw(number, What::TooMany);
            return Ok(());
        }
        seen.push(at);
        match reader.read(at, 1).await {
            Err(Error::OutOfRange) => {
                table.flaw(number, What::OutOfRange);
                return Ok(());
            }
            result => result?,
        }
        let Some(record) = Mbr::parse_any(reader.bytes()) else {
            table.flaw(number, What::ChainBroken);
            return Ok(());
        };
        if let Some(entry) = record.entries.iter().find(|entry| entry.is_used() && !entry.is_extended()) {
            add(table, reader, number, entry.kind, entry.range(at), &extended);
            number += 1;
        }
        let Some(next) = record.entries.iter().find(|entry| entry.is_used() && entry.is_extended()) else {
            return Ok(());
        };
        at = extended.start + u64::from(next.start);
        if at >= extended.end {
            table.flaw(number, What::OutOfRange);
            return Ok(());
        }
    }
}

fn add<D: BlockDevice>(
    table: &mut Table,
    reader: &Reader<'_, D>,
    number: u32,
    kind: u8,
    logical: Range<u64>,
    within: &Range<u64>,
) {
    let scale = |range: &Range<u64>| reader.sectors(range.start)..reader.sectors(range.end);
    let part = Part {
        number,
        sectors: scale(&logical),
        kind: PartKind::Mbr(kind),
        id: Guid::UNUSED,
        name: String::new(),
    };
    table.add(part, &scale(within));
}

pub(super) fn type_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0x01 => "FAT12",
        0x04 | 0x06 | 0x0e => "FAT16",
        0x07 => "NTFS or exFAT",
        0x0b | 0x0c => "FAT32",
        0x82 => "Linux swap",
        0x83 => "Linux",
        0x8e => "Linux LVM",
        0xef => "EFI system",
        _ => return None,
    })
}
