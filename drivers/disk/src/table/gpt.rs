//! GUID partition tables. Their numbers are logical sectors.

use super::{Guid, Part, PartKind, Reader, Scheme, Table, TableError};
use crate::bytes::{bytes16, le16, le32, le64};
use crate::crc::{crc32, sums_match};
use crate::device::{BlockDevice, Error};
use alloc::string::String;
use core::ops::Range;

/// The most bytes that the array of entries may have: 8,192 entries of the usual size.
const MAX_ARRAY: u64 = 1 << 20;
/// The largest entry that is believed in.
const MAX_ENTRY: u32 = 4096;

struct Header {
    /// Where the other copy is.
    other: u64,
    /// Where partitions may be.
    usable: Range<u64>,
    /// Where the array of entries begins.
    array: u64,
    entries: u32,
    entry_bytes: u32,
    array_sum: u32,
}

/// What keeps a copy of the table from being used.
enum Unusable {
    Broken(&'static str),
    Disk(Error),
}

/// Reads the first copy, or else the one at the disk's end, or else the one that the first says is there.
pub(super) async fn read<D: BlockDevice>(reader: &mut Reader<'_, D>) -> Result<Table, TableError> {
    let mut other = None;
    let first = match read_copy(reader, 1, Scheme::Gpt, &mut other).await {
        Ok(table) => return Ok(table),
        Err(unusable) => unusable,
    };
    let last = reader.end.saturating_sub(1);
    for at in [Some(last), other.filter(|&at| at != last)].into_iter().flatten() {
        if at <= 1 {
            continue;
        }
        if let Ok(table) = read_copy(reader, at, Scheme::GptBackup, &mut None).await {
            return Ok(table);
        }
    }
    Err(match first {
        Unusable::Broken(what) => TableError::Gpt(what),
        Unusable::Disk(error) => TableError::Disk(error),
    })
}

/// Reads the copy whose header is at `at`, and where that says that the other one is.
async fn read_copy<D: BlockDevice>(
    reader: &mut Reader<'_, D>,
    at: u64,
    scheme: Scheme,
    other: &mut Option<u64>,
) -> Result<Table, Unusable> {
    reader.read(at, 1).await.map_err(Unusable::Disk)?;
    let header = Header::parse(reader.bytes(), at, reader.end).map_err(Unusable::Broken)?;
    *other = Some(header.other);
    read_entries(reader, &header, scheme).await
}

impl Header {
    fn parse(sector: &[u8], at: u64, end: u64) -> Result<Self, &'static str> {
        if !sector.starts_with(b"EFI PART") {
            return Err("no header");
        }
        let bytes = le32(sector, 12) as usize;
        if bytes < 92 || bytes > sector.len() {
            return Err("the header's length");
        }
        // The sum is made with zeroes in its own place.
        let sum = crc32(crc32(crc32(0, &sector[..16]), &[0; 4]), &sector[20..bytes]);
        if !sums_match(sum, le32(sector, 16)) {
            return Err("the header's checksum");
        }
        if le64(sector, 24) != at {
            return Err("the header is not where it says it is");
        }
        let header = Self {
            other: le64(sector, 32),
            usable: le64(sector, 40)..le64(sector, 48).saturating_add(1),
            array: le64(sector, 72),
            entries: le32(sector, 80),
            entry_bytes: le32(sector, 84),
            array_sum: le32(sector, 88),
        };
        if header.usable.start < 2 || header.usable.end > end || header.usable.is_empty() {
            return Err("where partitions may be");
        }
        if !header.entry_bytes.is_power_of_two() || !(128..=MAX_ENTRY).contains(&header.entry_bytes) {
            return Err("the entries' length");
        }
        if header.array_bytes() > MAX_ARRAY {
            return Err("too many entries");
        }
        Ok(header)
    }

    fn array_bytes(&self) -> u64 {
        u64::from(self.entries) * u64::from(self.entry_bytes)
    }
}

/// Reads the entries piece by piece. Only at the end it is known whether their checksum is right.
async fn read_entries<D: BlockDevice>(
    reader: &mut Reader<'_, D>,
    header: &Header,
    scheme: Scheme,
) -> Result<Table, Unusable> {
    let mut table = Table::new(scheme);
    let within = reader.sectors(header.usable.start)..reader.sectors(header.usable.end);
    let mut left = header.array_bytes();
    let mut at = header.array;
    let mut number = 0;
    let mut sum = 0;
    while left > 0 {
        let count = left.div_ceil(u64::from(reader.logical)).min(reader.most());
        reader.read(at, count).await.map_err(|error| match error {
            Error::OutOfRange => Unusable::Broken("where the entries are"),
            error => Unusable::Disk(error),
        })?;
        let bytes = reader.bytes();
        let bytes = &bytes[..bytes.len().min(left as usize)];
        sum = crc32(sum, bytes);
        // A piece holds whole entries: both lengths are powers of two, and a piece is no shorter.
        for entry in bytes.chunks_exact(header.entry_bytes as usize) {
            number += 1;
            add(&mut table, number, entry, &within, |sector| reader.sectors(sector));
        }
        left -= bytes.len() as u64;
        at += count;
    }
    if !sums_match(sum, header.array_sum) {
        return Err(Unusable::Broken("the entries' checksum"));
    }
    Ok(table)
}

fn add(table: &mut Table, number: u32, entry: &[u8], within: &Range<u64>, sectors: impl Fn(u64) -> u64) {
    let kind = Guid(bytes16(entry, 0));
    if kind == Guid::UNUSED {
        return;
    }
    let part = Part {
        number,
        sectors: sectors(le64(entry, 32))..sectors(le64(entry, 40).saturating_add(1)),
        kind: PartKind::Gpt(kind),
        id: Guid(bytes16(entry, 16)),
        name: name(entry),
    };
    table.add(part, within);
}

/// At most 36 units of UTF-16, up to a zero.
fn name(entry: &[u8]) -> String {
    let units = (0..36).map(|at| le16(entry, 56 + 2 * at)).take_while(|&unit| unit != 0);
    char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}
