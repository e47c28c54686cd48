//! The root directory of an ISO 9660 image (ECMA-119), with the long names of Joliet or of Rock Ridge's `NM`.

use alloc::string::String;
use alloc::vec::Vec;
use fata_disk::{BlockDevice, Buffer, Error, SECTOR};

/// A logical sector; others are allowed for, and made by nobody.
const BLOCK: usize = 2048;
/// Volume descriptors, and blocks of the root directory, that are looked at.
const DESCRIPTORS: u32 = 16;
const DIRECTORY: u32 = 32;
/// The longest file that is read.
const FILE: u32 = crate::yaml::LONGEST as u32;

/// An image that was found.
pub(crate) struct Volume<D> {
    disk: D,
    /// Its name, without the blanks at the end.
    pub(crate) label: String,
    root: Extent,
    joliet: bool,
}

#[derive(Clone, Copy)]
struct Extent {
    block: u32,
    bytes: u32,
}

/// Why a file is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileError {
    /// The disk failed.
    Disk(Error),
    /// It is longer than anybody needs.
    TooLong,
}

impl From<Error> for FileError {
    fn from(error: Error) -> Self {
        Self::Disk(error)
    }
}

/// Looks whether there is one.
pub(crate) async fn mount<D: BlockDevice>(disk: D) -> Result<Option<Volume<D>>, Error> {
    let (mut label, mut primary, mut joliet) = (String::new(), None, None);
    for number in 16..16 + DESCRIPTORS {
        let Some(block) = read(&disk, number, 1).await? else { break };
        if block[1..6] != *b"CD001" {
            break;
        }
        match block[0] {
            1 => {
                label = text(&block[40..72]);
                primary = extent(&block[156..190]);
            }
            // Escape sequences for UCS-2 (Joliet, section "SVD Escape Sequences Field").
            2 if matches!(&block[88..91], b"%/@" | b"%/C" | b"%/E") => joliet = extent(&block[156..190]),
            255 => break,
            _ => {}
        }
    }
    let is_joliet = joliet.is_some();
    let root = joliet.or(primary);
    Ok(root.map(|root| Volume { disk, label, root, joliet: is_joliet }))
}

impl<D: BlockDevice> Volume<D> {
    /// A file of the root directory, whole; `None` if there is none.
    pub(crate) async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, FileError> {
        let blocks = self.root.bytes.div_ceil(BLOCK as u32).min(DIRECTORY);
        for number in 0..blocks {
            let Some(block) = self.root.block.checked_add(number) else { break };
            let Some(block) = read(&self.disk, block, 1).await? else { break };
            if let Some(file) = find(&block, name, self.joliet) {
                return self.whole(file).await.map(Some);
            }
        }
        Ok(None)
    }

    async fn whole(&self, file: Extent) -> Result<Vec<u8>, FileError> {
        if file.bytes > FILE {
            return Err(FileError::TooLong);
        }
        let blocks = file.bytes.div_ceil(BLOCK as u32);
        let mut bytes = match blocks {
            0 => Vec::new(),
            _ => read(&self.disk, file.block, blocks).await?.ok_or(Error::OutOfRange)?,
        };
        bytes.truncate(file.bytes as usize);
        Ok(bytes)
    }
}

/// The file with this name in a block of a directory. Records do not go on from one block to the next.
fn find(mut rest: &[u8], name: &str, joliet: bool) -> Option<Extent> {
    while let Some(len) = rest.first().copied().filter(|len| *len > 0) {
        let (record, after) = rest.split_at_checked(usize::from(len))?;
        rest = after;
        let Some(said) = record.get(32).and_then(|len| record.get(33..33 + usize::from(*len))) else {
            continue;
        };
        // Not a directory, nor hidden in parts of several extents.
        let is_file = record[25] & 0x82 == 0;
        if is_file && names(record, said, joliet).eq_ignore_ascii_case(name) {
            return extent(record);
        }
    }
    None
}

/// The name that is meant for people.
fn names(record: &[u8], said: &[u8], joliet: bool) -> String {
    let plain = if joliet {
        let units = said.as_chunks::<2>().0.iter().map(|unit| u16::from_be_bytes(*unit));
        char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect()
    } else {
        let rest = record.get(33 + (said.len() | 1)..).unwrap_or_default();
        alternate(rest).unwrap_or_else(|| text(said))
    };
    // A version, and the dot of a name without an extension.
    let plain = plain.split(';').next().unwrap_or_default();
    plain.strip_suffix('.').unwrap_or(plain).into()
}

/// `NM` of the Rock Ridge Interchange Protocol, section 4.1.4.
fn alternate(mut rest: &[u8]) -> Option<String> {
    let mut name: Option<String> = None;
    while let [a, b, len, _version, ..] = rest {
        let (entry, after) = rest.split_at_checked(usize::from(*len).max(4))?;
        if [*a, *b] == *b"NM" {
            name.get_or_insert_default().push_str(&text(entry.get(5..)?));
        }
        rest = after;
    }
    name
}

fn text(bytes: &[u8]) -> String {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    text.trim_end_matches([' ', '\0']).into()
}

/// Where a record's file is (ECMA-119 section 9.1), both ends of whose numbers say the same in a sound one.
fn extent(record: &[u8]) -> Option<Extent> {
    let word = |at: usize| Some(u32::from_le_bytes(*record.get(at..)?.first_chunk()?));
    Some(Extent { block: word(2)?, bytes: word(10)? })
}

/// So many blocks; `None` if they are not on the disk.
async fn read<D: BlockDevice>(disk: &D, block: u32, count: u32) -> Result<Option<Vec<u8>>, Error> {
    let sectors = (BLOCK / SECTOR) as u64;
    let (first, bytes) = (u64::from(block) * sectors, count as usize * BLOCK);
    if first + u64::from(count) * sectors > disk.geometry().sectors {
        return Ok(None);
    }
    let buffer = Buffer::new(bytes).ok_or(Error::NoMemory)?;
    match disk.read(first, buffer).await {
        Ok(buffer) => Ok(Some(buffer[..bytes].to_vec())),
        Err(failed) => Err(failed.error),
    }
}
