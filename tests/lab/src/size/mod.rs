//! Whose bytes an image is made of, by the symbols of its ELF file.

mod names;
mod treemap;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use anyhow::{Context, Result, ensure};
use object::elf;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader, SectionHeader, Sym};

use crate::backtrace::Symboliser;
use crate::flatten;

pub use treemap::treemap;

/// An image, taken apart. Each of the three lists adds up to the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of the image's file.
    pub bytes: u64,
    /// What each crate has, the most first. What belongs to none stands in brackets.
    pub crates: Vec<Share>,
    /// What each section of the linker script has, in their order.
    pub sections: Vec<Share>,
    /// What each function and each static has, the most first.
    pub items: Vec<Item>,
}

/// A part of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Whose it is.
    pub name: String,
    /// Bytes in all.
    pub bytes: u64,
    /// Of these, instructions.
    pub code: u64,
    /// In how many pieces.
    pub pieces: u64,
}

/// A function or a static, all instances of a generic one together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its path, without the hash.
    pub name: String,
    /// Whose it is.
    pub crate_name: String,
    /// Bytes of all instances.
    pub bytes: u64,
    /// How many there are.
    pub instances: u64,
}

/// Constants that the compiler gave no name: texts, tables of jumps and of methods.
const CONSTANTS: &str = "[constants]";
/// Assembly: it has names, but is in no crate's scope.
const ASSEMBLY: &str = "[assembly]";
/// What several functions have in common, which LLVM has made one of.
const OUTLINED: &str = "[outlined]";
/// What entry.rs reads to move addresses.
const RELOCATIONS: &str = "[relocations]";
/// What lies between sections, and between functions.
const PADDING: &str = "[padding]";
/// Instructions that no symbol names.
const UNNAMED: &str = "[unnamed]";

/// A piece of the image's file.
struct Piece {
    range: Range<u64>,
    section: usize,
    is_code: bool,
    crate_name: String,
    item: Option<String>,
}

/// A section as the image's file has it.
struct Placed {
    name: String,
    range: Range<u64>,
    /// Its address when linked, less where it is in the file.
    address: u64,
    /// Its number in the ELF file.
    number: u16,
    is_code: bool,
}

/// Takes an image's ELF file apart. With a symboliser, tasks belong to the crate whose code they run.
pub fn sizes(file: &[u8], symbols: Option<&Symboliser>) -> Result<Sizes> {
    let flat = flatten::flatten(file)?;
    let elf = ElfFile64::<object::Endianness>::parse(file).context("not a 64-bit ELF file")?;
    let sections = placed(&elf)?;
    let mut pieces = Vec::new();
    let mut at = 0;
    for (number, section) in sections.iter().enumerate() {
        ensure!(at <= section.range.start, "the section {} lies over another", section.name);
        if at < section.range.start {
            pieces.push(piece(at..section.range.start, number, false, PADDING, None));
        }
        take_apart(&elf, &flat.bytes, number, section, symbols, &mut pieces)?;
        at = section.range.end;
    }
    let all = flat.bytes.len() as u64;
    ensure!(at == all, "the sections end at {at:#x}, the image at {all:#x}");
    let sum: u64 = pieces.iter().map(|piece| piece.range.end - piece.range.start).sum();
    ensure!(sum == all, "the pieces are {sum} bytes long, the image {all}");
    Ok(summed(all, &sections, &pieces))
}

fn piece(range: Range<u64>, section: usize, is_code: bool, crate_name: &str, item: Option<String>) -> Piece {
    Piece { range, section, is_code, crate_name: crate_name.to_owned(), item }
}

/// The sections that the image's file holds, in their order there.
fn placed(elf: &ElfFile64<'_>) -> Result<Vec<Placed>> {
    let endian = elf.endian();
    let table = elf.elf_header().sections(endian, elf.data()).context("damaged section table")?;
    let mut all = Vec::new();
    for (number, section) in table.iter().enumerate() {
        let (address, size) = (section.sh_addr(endian), section.sh_size(endian));
        let flags = section.sh_flags(endian);
        if !flags.contains(elf::SHF_ALLOC) || section.sh_type(endian) == elf::SHT_NOBITS || size == 0 {
            continue;
        }
        let name = table.section_name(endian, section).context("damaged section name")?;
        let name = String::from_utf8_lossy(name).into_owned();
        let loads = elf.elf_program_headers().iter().filter(|s| s.p_type(endian) == elf::PT_LOAD);
        let start = loads
            .filter_map(|s| Some((s, address.checked_sub(s.p_vaddr(endian))?)))
            .find(|(s, offset)| offset.checked_add(size).is_some_and(|end| end <= s.p_filesz(endian)))
            .and_then(|(s, offset)| s.p_paddr(endian).checked_add(offset));
        let start = start.with_context(|| format!("the section {name} is in no segment"))?;
        let end = start.checked_add(size).context("a section without an end")?;
        let is_code = flags.contains(elf::SHF_EXECINSTR);
        all.push(Placed {
            name,
            range: start..end,
            address: address.wrapping_sub(start),
            number: number as u16,
            is_code,
        });
    }
    all.sort_by_key(|section| section.range.start);
    Ok(all)
}

/// Adds the pieces of a section, which cover it without a gap.
fn take_apart(
    elf: &ElfFile64<'_>,
    image: &[u8],
    number: usize,
    section: &Placed,
    symbols: Option<&Symboliser>,
    pieces: &mut Vec<Piece>,
) -> Result<()> {
    if section.name.starts_with(".rel") {
        pieces.push(piece(section.range.clone(), number, false, RELOCATIONS, None));
        return Ok(());
    }
    let named = named(elf, section)?;
    let mut at = section.range.start;
    for (n, symbol) in named.iter().enumerate() {
        let next = named.get(n + 1).map_or(section.range.end, |next| next.start);
        // Two names of one thing, or one within another.
        let start = symbol.start.max(at);
        let end = if symbol.bytes == 0 { next } else { symbol.start.saturating_add(symbol.bytes) };
        let end = end.clamp(start, section.range.end);
        if start == end {
            continue;
        }
        unnamed(image, at..start, number, section, pieces);
        let item = names::demangled(symbol.name);
        let crate_name = match names::crate_of(symbol.name, &item) {
            Some(_) if names::wraps_a_future(&item) => {
                names::voted(symbols, start + section.address, end - start)
            }
            own => own.map(str::to_owned),
        };
        let crate_name = crate_name
            .or_else(|| names::crate_of(symbol.name, &item).map(str::to_owned))
            .unwrap_or_else(|| nobodys(symbol.name, section).to_owned());
        pieces.push(piece(start..end, number, section.is_code, &crate_name, Some(item)));
        at = end;
    }
    unnamed(image, at..section.range.end, number, section, pieces);
    Ok(())
}

/// What a name says that is not in Rust's scopes.
fn nobodys(name: &str, section: &Placed) -> &'static str {
    match section.is_code {
        true if name.starts_with("OUTLINED_FUNCTION_") => OUTLINED,
        true => ASSEMBLY,
        false => CONSTANTS,
    }
}

/// What no symbol covers: padding if it is short and zero, or what the section is for.
fn unnamed(image: &[u8], range: Range<u64>, number: usize, section: &Placed, pieces: &mut Vec<Piece>) {
    /// Nothing but the vectors is aligned to more, and what precedes them is zero.
    const LONGEST: usize = 2048;
    if range.is_empty() {
        return;
    }
    let bytes = &image[range.start as usize..range.end as usize];
    let is_padding =
        bytes.iter().all(|byte| *byte == 0) && bytes.len() < if section.is_code { LONGEST } else { 16 };
    let whose = match (is_padding, section.is_code) {
        (true, _) => PADDING,
        (false, true) => UNNAMED,
        (false, false) => CONSTANTS,
    };
    pieces.push(piece(range, number, section.is_code && !is_padding, whose, None));
}

struct Named<'a> {
    name: &'a str,
    start: u64,
    bytes: u64,
}

/// The symbols that begin in a section, by where they begin; of those at one place, the longest first.
fn named<'a>(elf: &ElfFile64<'a>, section: &Placed) -> Result<Vec<Named<'a>>> {
    let endian = elf.endian();
    let table = elf.elf_symbol_table();
    let mut all = BTreeSet::new();
    for symbol in table.iter() {
        let kind = symbol.st_type();
        let name = table.symbol_name(endian, symbol).ok().and_then(|name| std::str::from_utf8(name).ok());
        let Some(name) = name.filter(|name| !name.is_empty() && !name.starts_with('$')) else { continue };
        let wanted = [elf::STT_FUNC, elf::STT_OBJECT, elf::STT_NOTYPE].contains(&kind);
        let start = symbol.st_value(endian).wrapping_sub(section.address);
        // The linker script's own names are of places, not of things, and so are assembly's among constants.
        let is_place =
            kind == elf::STT_NOTYPE && (!section.is_code || name.starts_with('_') && name != "_start");
        let is_here = symbol.st_shndx(endian).0 == section.number;
        if wanted && is_here && !is_place && section.range.contains(&start) {
            all.insert((start, u64::MAX - symbol.st_size(endian), name));
        }
    }
    let named = |(start, left, name)| Named { name, start, bytes: u64::MAX - left };
    Ok(all.into_iter().map(named).collect())
}

fn summed(bytes: u64, sections: &[Placed], pieces: &[Piece]) -> Sizes {
    let mut crates = BTreeMap::<&str, Share>::new();
    let mut items = BTreeMap::<(&str, &str), (u64, u64)>::new();
    let mut by_section: Vec<Share> =
        sections.iter().map(|s| Share { name: s.name.clone(), ..Share::default() }).collect();
    for piece in pieces {
        let length = piece.range.end - piece.range.start;
        for share in [crates.entry(&piece.crate_name).or_default(), &mut by_section[piece.section]] {
            share.bytes += length;
            share.code += if piece.is_code { length } else { 0 };
            share.pieces += 1;
        }
        let name = piece.item.as_deref().unwrap_or(&piece.crate_name);
        let item = items.entry((name, &piece.crate_name)).or_default();
        *item = (item.0 + length, item.1 + 1);
    }
    let mut crates: Vec<_> =
        crates.into_iter().map(|(name, share)| Share { name: name.to_owned(), ..share }).collect();
    crates.sort_by_key(|share| u64::MAX - share.bytes);
    let item = |((name, whose), (bytes, instances)): ((&str, &str), _)| Item {
        name: name.to_owned(),
        crate_name: whose.to_owned(),
        bytes,
        instances,
    };
    let mut items: Vec<_> = items.into_iter().map(item).collect();
    items.sort_by_key(|item| u64::MAX - item.bytes);
    Sizes { bytes, crates, sections: by_section, items }
}

#[cfg(test)]
mod tests;
