//! Partition tables: GPT as in the UEFI specification (chapter 5), and MBR with logical partitions.
//!
//! A disk may hold anything. At most [`MAX_PARTS`] partitions are kept, a table is read in pieces of bounded size,
//! and a partition that cannot be is left out and named in [`Table::flaws`].

mod gpt;
mod guid;
mod mbr;

pub use guid::Guid;

use crate::buffer::Buffer;
use crate::device::{BlockDevice, Error, SECTOR};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// The most partitions that are kept of a table, and the most flaws.
pub const MAX_PARTS: usize = 256;

/// Larger logical sectors than any disk has.
const MAX_LOGICAL: u32 = 64 << 10;

/// What a disk is divided into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What kind of table there is.
    pub scheme: Scheme,
    /// The partitions, in the table's order.
    pub parts: Vec<Part>,
    /// The partitions that were left out, and why.
    pub flaws: Vec<Flaw>,
}

/// A kind of partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// None: the disk is not divided.
    None,
    /// An MBR.
    Mbr,
    /// A GPT.
    Gpt,
    /// A GPT whose first copy is broken: this is the one at the disk's end.
    GptBackup,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 1 on; logical ones of an MBR have 5 and more.
    pub number: u32,
    /// Where it is, in units of [`SECTOR`] bytes. It is on the disk, is not empty and overlaps no other.
    pub sectors: Range<u64>,
    /// What it is for.
    pub kind: PartKind,
    /// Which it is, in a GPT.
    pub id: Guid,
    /// What it is called, in a GPT.
    pub name: String,
}

/// What a partition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// A type of an MBR.
    Mbr(u8),
    /// A type of a GPT.
    Gpt(Guid),
}

impl PartKind {
    /// The type in words, if we know it.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Self::Gpt(guid) => guid.type_name(),
            Self::Mbr(kind) => mbr::type_name(*kind),
        }
    }
}

/// A partition that was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Its number.
    pub number: u32,
    /// What is wrong with it.
    pub what: What,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {}: {}", self.number, self.what)
    }
}

/// What is wrong with a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It ends before it begins.
    Backwards,
    /// It is not inside the disk, or not where the table says that partitions are.
    OutOfRange,
    /// It overlaps the partition of this number.
    Overlaps(u32),
    /// The list of logical partitions ends here in a sector that is not part of one.
    ChainBroken,
    /// The list of logical partitions comes back to where it was.
    ChainLoop,
    /// There are more partitions than are kept.
    TooMany,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backwards => f.write_str("ends before it begins"),
            Self::OutOfRange => f.write_str("lies outside the disk"),
            Self::Overlaps(other) => write!(f, "overlaps partition {other}"),
            Self::ChainBroken => f.write_str("the list of logical partitions is broken"),
            Self::ChainLoop => f.write_str("the list of logical partitions runs in a circle"),
            Self::TooMany => write!(f, "there are more than {MAX_PARTS} partitions"),
        }
    }
}

/// Why there is no table to go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// The disk failed.
    Disk(Error),
    /// The MBR says that there is a GPT, but neither of its copies can be used; this is what is wrong with the first.
    Gpt(&'static str),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => error.fmt(f),
            Self::Gpt(what) => write!(f, "the partition table is broken: {what}"),
        }
    }
}

impl core::error::Error for TableError {}

impl From<Error> for TableError {
    fn from(error: Error) -> Self {
        Self::Disk(error)
    }
}

/// Reads a disk's partition table.
pub async fn partitions<D: BlockDevice>(disk: &D) -> Result<Table, TableError> {
    let mut reader = Reader::new(disk)?;
    reader.read(0, 1).await?;
    let Some(first) = mbr::Mbr::parse(reader.bytes()) else {
        return Ok(Table::new(Scheme::None));
    };
    if first.protects_gpt() { gpt::read(&mut reader).await } else { mbr::read(&mut reader, &first).await }
}

impl Table {
    fn new(scheme: Scheme) -> Self {
        Self { scheme, parts: Vec::new(), flaws: Vec::new() }
    }

    /// Takes a partition in, or says why not. `within` is where partitions may be.
    fn add(&mut self, part: Part, within: &Range<u64>) {
        let sectors = &part.sectors;
        let overlapped = self
            .parts
            .iter()
            .find(|other| other.sectors.start < sectors.end && sectors.start < other.sectors.end);
        let what = if sectors.end <= sectors.start {
            What::Backwards
        } else if sectors.start < within.start || sectors.end > within.end {
            What::OutOfRange
        } else if let Some(other) = overlapped {
            What::Overlaps(other.number)
        } else if self.parts.len() >= MAX_PARTS {
            What::TooMany
        } else {
            self.parts.push(part);
            return;
        };
        self.flaw(part.number, what);
    }

    fn flaw(&mut self, number: u32, what: What) {
        if self.flaws.len() < MAX_PARTS {
            self.flaws.push(Flaw { number, what });
        }
    }
}

/// Reads logical sectors, always into the same memory.
struct Reader<'a, D> {
    disk: &'a D,
    buffer: Option<Buffer>,
    /// Bytes in a logical sector.
    logical: u32,
    /// How many of them the disk has.
    end: u64,
}

impl<'a, D: BlockDevice> Reader<'a, D> {
    /// The most bytes that are read at once.
    const MOST: u32 = 4096;

    fn new(disk: &'a D) -> Result<Self, Error> {
        let geometry = disk.geometry();
        let logical = geometry.logical_bytes;
        if !logical.is_power_of_two() || !(SECTOR as u32..=MAX_LOGICAL).contains(&logical) {
            return Err(Error::Unsupported);
        }
        let buffer = Buffer::new(logical.max(Self::MOST) as usize).ok_or(Error::NoMemory)?;
        let end = geometry.sectors / geometry.logical_sectors();
        Ok(Self { disk, buffer: Some(buffer), logical, end })
    }

    /// How many logical sectors are read at most.
    fn most(&self) -> u64 {
        u64::from((Self::MOST / self.logical).max(1))
    }

    /// Logical sectors as sectors.
    fn sectors(&self, logical: u64) -> u64 {
        logical.saturating_mul(u64::from(self.logical) / SECTOR as u64)
    }

    /// Reads `count` logical sectors from `first` on, at most [`most`](Self::most).
    async fn read(&mut self, first: u64, count: u64) -> Result<(), Error> {
        if count > self.most() || first.checked_add(count).is_none_or(|end| end > self.end) {
            return Err(Error::OutOfRange);
        }
        let bytes = count as usize * self.logical as usize;
        let buffer = self.buffer.take().and_then(|buffer| buffer.resized(bytes)).ok_or(Error::NoMemory)?;
        let (buffer, result) = match self.disk.read(self.sectors(first), buffer).await {
            Ok(buffer) => (buffer, Ok(())),
            Err(failed) => (failed.buffer, Err(failed.error)),
        };
        self.buffer = Some(buffer);
        result
    }

    /// What was read last.
    fn bytes(&self) -> &[u8] {
        self.buffer.as_deref().unwrap_or_default()
    }
}
