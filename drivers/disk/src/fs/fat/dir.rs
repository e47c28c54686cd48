//! FAT's directories.

use super::super::FileError;
use super::{Fat, Node, Root};
use crate::bytes::{le16, le32};
use crate::cache::Cache;
use crate::device::BlockDevice;
use alloc::vec::Vec;

/// The most entries of a directory.
const MAX_ENTRIES: u32 = 65536;
/// The most entries that a long name takes.
const MAX_PARTS: u8 = 20;
/// Units of UTF-16 in each of them.
const PART: usize = 13;

const LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
const LONG_NAME: u8 = 0x0f;

/// Goes through a directory.
pub(in crate::fs) struct Cursor {
    place: Root,
    /// The number of the next entry.
    index: u32,
    is_over: bool,
    long: LongName,
    name: Vec<u8>,
}

/// A long name, which comes before what it is the name of, its end first.
#[derive(Default)]
struct LongName {
    units: Vec<u16>,
    /// How many entries are still to come.
    left: u8,
    sum: u8,
}

impl Cursor {
    pub(in crate::fs) fn new(node: &Node) -> Self {
        Self { place: node.place, index: 0, is_over: false, long: LongName::default(), name: Vec::new() }
    }

    pub(in crate::fs) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Names are the same in upper and lower case; we know that of A to Z.
    pub(in crate::fs) fn is_at(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    pub(in crate::fs) async fn next<D: BlockDevice>(
        &mut self,
        fat: &Fat,
        cache: &Cache<D>,
    ) -> Result<Option<Node>, FileError> {
        loop {
            let Some(at) = self.step(fat, cache).await? else { return Ok(None) };
            let mut entry = [0; 32];
            cache.read(at, &mut entry).await?;
            match entry[0] {
                0 => self.is_over = true,
                0xe5 => self.long.clear(),
                _ if entry[11] & 0x3f == LONG_NAME => self.long.add(&entry),
                _ if entry[11] & LABEL != 0 => self.long.clear(),
                _ => return Ok(Some(self.found(fat, &entry))),
            }
        }
    }

    /// Where the next entry is.
    async fn step<D: BlockDevice>(&mut self, fat: &Fat, cache: &Cache<D>) -> Result<Option<u64>, FileError> {
        if self.is_over {
            return Ok(None);
        }
        let index = self.index;
        if index >= MAX_ENTRIES {
            // A chain that runs in a circle gets here.
            self.is_over = true;
            return Err(FileError::Corrupt("a directory without end"));
        }
        let at = match self.place {
            Root::Fixed(start, entries) => {
                self.is_over = index >= entries;
                start + u64::from(index) * 32
            }
            Root::Cluster(cluster) => {
                let skip = index * 32 % fat.cluster_bytes;
                let mut here = Some(cluster);
                if skip == 0 && index > 0 {
                    here = fat.next(cache, cluster).await?;
                } else {
                    fat.check(cluster)?;
                }
                self.is_over = here.is_none();
                let here = here.unwrap_or(cluster);
                self.place = Root::Cluster(here);
                fat.place(here) + u64::from(skip)
            }
        };
        self.index += 1;
        Ok((!self.is_over).then_some(at))
    }

    fn found(&mut self, fat: &Fat, entry: &[u8; 32]) -> Node {
        if !self.long.take(entry, &mut self.name) {
            short_name(entry, &mut self.name);
        }
        let is_dir = entry[11] & DIRECTORY != 0;
        let cluster = match fat.root {
            Root::Cluster(_) => u32::from(le16(entry, 20)) << 16 | u32::from(le16(entry, 26)),
            Root::Fixed(..) => u32::from(le16(entry, 26)),
        };
        // The root as the directory above another has no number.
        let place = if is_dir && cluster == 0 { fat.root } else { Root::Cluster(cluster) };
        Node { is_dir, bytes: if is_dir { 0 } else { le32(entry, 28) }, place }
    }
}

impl LongName {
    fn clear(&mut self) {
        self.units.clear();
        self.left = 0;
    }

    /// Takes an entry in. One out of order makes the name void.
    fn add(&mut self, entry: &[u8; 32]) {
        let (number, sum) = (entry[0] & 0x3f, entry[13]);
        if entry[0] & 0x40 != 0 && (1..=MAX_PARTS).contains(&number) {
            self.units.clear();
            self.units.resize(usize::from(number) * PART, 0);
            self.sum = sum;
        } else if self.units.is_empty() || number == 0 || number != self.left || sum != self.sum {
            self.clear();
            return;
        }
        self.left = number - 1;
        let places = (1..11).step_by(2).chain((14..26).step_by(2)).chain([28, 30]);
        for (unit, place) in self.units.iter_mut().skip(usize::from(self.left) * PART).zip(places) {
            *unit = le16(entry, place);
        }
    }

    /// Whether there is a name for this entry; then it is in `name`.
    fn take(&mut self, entry: &[u8; 32], name: &mut Vec<u8>) -> bool {
        let sum = entry[..11].iter().fold(0_u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte));
        let whole = !self.units.is_empty() && self.left == 0 && sum == self.sum;
        if whole {
            name.clear();
            let units = self.units.iter().copied().take_while(|&unit| unit != 0);
            for char in char::decode_utf16(units) {
                push(name, char.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        self.clear();
        whole && !name.is_empty()
    }
}

fn push(name: &mut Vec<u8>, char: char) {
    name.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}

/// The name of eight and three characters, in the case that Windows and Linux note beside it.
fn short_name(entry: &[u8; 32], name: &mut Vec<u8>) {
    name.clear();
    let (base, extension) = entry[..11].split_at(8);
    for (part, lower) in [(base, 0x08), (extension, 0x10)] {
        let part = part.trim_ascii_end();
        if lower == 0x10 && !part.is_empty() {
            name.push(b'.');
        }
        for &byte in part {
            let char = if byte.is_ascii() { char::from(byte) } else { upper_half(byte) };
            push(name, if entry[12] & lower != 0 { lower_case(char) } else { char });
        }
    }
    // A name that begins with this letter cannot begin with its code: that says that there is nothing.
    if entry[0] == 0x05 {
        name.splice(..1, 'σ'.encode_utf8(&mut [0; 4]).bytes());
    }
}

/// Code page 437, as Linux takes it unless it is told otherwise.
fn upper_half(byte: u8) -> char {
    const CODES: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
                         └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
    CODES.chars().nth(usize::from(byte & 0x7f)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn lower_case(char: char) -> char {
    match char {
        // In this part of Unicode the lower case is 32 further on. All that the code page has is here.
        'À'..='Þ' => char::from_u32(u32::from(char) + 32).unwrap_or(char),
        char => char.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(name: &[u8; 11], case: u8) -> String {
        let mut entry = [0; 32];
        entry[..11].copy_from_slice(name);
        entry[12] = case;
        let mut name = Vec::new();
        short_name(&entry, &mut name);
        String::from_utf8(name).unwrap()
    }

    #[test]
    fn short_names_have_the_case_that_is_noted() {
        assert_eq!(short(b"README  TXT", 0), "README.TXT");
        assert_eq!(short(b"README  TXT", 0x08), "readme.TXT");
        assert_eq!(short(b"README  TXT", 0x10), "README.txt");
        assert_eq!(short(b"A B        ", 0x18), "a b");
        assert_eq!(short(b"\x8e\x99\x9a\xe1    T  ", 0x08), "äöüß.T");
        assert_eq!(short(b"\x05\xff         ", 0), "σ\u{a0}");
    }

    #[test]
    fn the_code_page_has_all_codes() {
        assert_eq!((upper_half(0x80), upper_half(0xff)), ('Ç', '\u{a0}'));
        assert!((0x80..=0xff).all(|byte| !upper_half(byte).is_ascii() && upper_half(byte) != '\u{fffd}'));
    }
}
