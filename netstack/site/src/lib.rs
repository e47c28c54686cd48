//! A directory of pages in one blob that is read where it lies.
//!
//! [`Site::open`] checks all of the blob but the pages' own bytes, once; after that nothing is copied, and nothing can go
//! wrong. [`Site::find`] says what a path leads to. With the feature `pack` there is what makes a blob of a directory;
//! the same files make the same bytes.
//!
//! All numbers are little endian. A text is where it begins and how long it is, 4 bytes each, counted from the
//! blob's start.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `FATASITE` |
//! | 8 | 4 | version: 1 |
//! | 12 | 4 | number of files |
//! | 16 | 4 | number of variants |
//! | 20 | 4 | number of redirects |
//! | 24 | 8 | length of all of it |
//! | 32 | 8 | when it was last changed, in seconds since 1970 |
//!
//! Then the files, in the order of their paths, 32 bytes each: the text of the path, that of its type, that of its
//! header lines, the number of its first variant, the number of variants. Then the variants, 48 bytes each: encoding (4),
//! zero (4), where the bytes are (8), how many there are (8), the entity tag with its quotes (24); the first of each file
//! is that without an encoding. Then the redirects, 24 bytes each, in the order in which they are tried: the text of
//! where from, that of where to, the status (4), and what is redirected (4): 0 this path, 1 all paths that begin with
//! it, which ends with a slash, 2 the same, and what follows that comes behind `to`, which then ends with a slash as well.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "pack")]
extern crate std;

mod check;
pub mod escape;
mod find;
#[cfg(feature = "pack")]
pub mod pack;

pub use check::Error;
pub use find::{Found, Redirect};

/// What a blob begins with.
pub const MAGIC: &[u8; 8] = b"FATASITE";
const VERSION: u32 = 1;
const HEADER: usize = 40;
const FILE: usize = 32;
const VARIANT: usize = 48;
const REDIRECT: usize = 24;
const ETAG: usize = 24;

/// In which form a file's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    /// As they are.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
}

impl Encoding {
    const ALL: [Self; 3] = [Self::Identity, Self::Gzip, Self::Brotli];

    /// As HTTP calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
        }
    }

    const fn number(self) -> u32 {
        self as u32
    }

    fn of(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.number() == number)
    }
}

/// A blob that has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    blob: &'a [u8],
    files: usize,
    variants: usize,
    redirects: usize,
    changed: u64,
}

/// A file of the site.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    site: Site<'a>,
    first: usize,
    count: usize,
    /// Its path, decoded, with the slash that it begins with.
    pub path: &'a str,
    /// Its type, for `Content-Type`.
    pub mime: &'a str,
    /// More header lines, each with its CR LF; often empty.
    pub headers: &'a str,
}

/// One form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant<'a> {
    /// Its number among all of the site.
    pub number: usize,
    /// How the bytes are to be understood.
    pub encoding: Encoding,
    /// What identifies them, with its quotes: a hash.
    pub etag: &'a str,
    /// What is sent.
    pub bytes: &'a [u8],
}

/// A rule for paths that are no files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule<'a> {
    from: &'a str,
    to: &'a str,
    status: u16,
    kind: Kind,
}

/// Which paths a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// This one.
    Path,
    /// All that begin like it.
    Below,
    /// The same, and their rests follow.
    Splat,
}

impl Kind {
    fn of(number: u32) -> Option<Self> {
        [Self::Path, Self::Below, Self::Splat].into_iter().find(|kind| *kind as u32 == number)
    }
}

impl<'a> Site<'a> {
    /// How many files there are.
    pub const fn len(&self) -> usize {
        self.files
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.files == 0
    }

    /// How many bytes it is long; a blob may be followed by others.
    pub const fn bytes(&self) -> usize {
        self.blob.len()
    }

    /// When it was last changed, in seconds since 1970.
    pub const fn changed(&self) -> u64 {
        self.changed
    }

    /// All files, in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = File<'a>> {
        let site = *self;
        (0..self.files).filter_map(move |number| site.file(number))
    }

    /// The length of a blob that begins like this, once there are [`enough`](Self::BEGIN) bytes of it.
    pub fn length(begin: &[u8]) -> Option<u64> {
        (begin.get(..8)? == MAGIC && le32(begin, 8)? == VERSION).then(|| le64(begin, 24)).flatten()
    }

    /// How much [`length`](Self::length) needs.
    pub const BEGIN: usize = HEADER;

    fn file(&self, number: usize) -> Option<File<'a>> {
        let entry = self.entry(HEADER, FILE, self.files, number)?;
        let text = |at| core::str::from_utf8(self.text(entry, at)?).ok();
        let (first, count) = (le32(entry, 24)? as usize, le32(entry, 28)? as usize);
        if count > Encoding::ALL.len() {
            return None;
        }
        Some(File { site: *self, path: text(0)?, mime: text(8)?, headers: text(16)?, first, count })
    }

    /// The same for who only wants to compare.
    fn path(&self, number: usize) -> Option<&'a [u8]> {
        self.text(self.entry(HEADER, FILE, self.files, number)?, 0)
    }

    fn encoding(&self, number: usize) -> Option<Encoding> {
        Encoding::of(le32(self.variant_entry(number)?, 0)?)
    }

    fn variant_entry(&self, number: usize) -> Option<&'a [u8]> {
        self.entry(HEADER + self.files * FILE, VARIANT, self.variants, number)
    }

    fn variant(&self, number: usize) -> Option<Variant<'a>> {
        let entry = self.variant_entry(number)?;
        let from = usize::try_from(le64(entry, 8)?).ok()?;
        let length = usize::try_from(le64(entry, 16)?).ok()?;
        Some(Variant {
            number,
            encoding: Encoding::of(le32(entry, 0)?)?,
            etag: core::str::from_utf8(entry.get(24..24 + ETAG)?).ok()?,
            bytes: self.blob.get(from..)?.get(..length)?,
        })
    }

    fn rule(&self, number: usize) -> Option<Rule<'a>> {
        let tables = HEADER + self.files * FILE + self.variants * VARIANT;
        let entry = self.entry(tables, REDIRECT, self.redirects, number)?;
        let text = |at| core::str::from_utf8(self.text(entry, at)?).ok();
        let (status, kind) = (u16::try_from(le32(entry, 16)?).ok()?, Kind::of(le32(entry, 20)?)?);
        Some(Rule { from: text(0)?, to: text(8)?, status, kind })
    }

    fn entry(&self, table: usize, size: usize, count: usize, number: usize) -> Option<&'a [u8]> {
        if number >= count {
            return None;
        }
        self.blob.get(table + number * size..)?.get(..size)
    }

    fn text(&self, entry: &[u8], at: usize) -> Option<&'a [u8]> {
        let (from, length) = (le32(entry, at)? as usize, le32(entry, at + 4)? as usize);
        self.blob.get(from..)?.get(..length)
    }
}

impl<'a> File<'a> {
    /// Its forms, the one without an encoding first.
    pub fn variants(&self) -> impl Iterator<Item = Variant<'a>> {
        let File { site, first, count, .. } = *self;
        (first..first.saturating_add(count)).filter_map(move |number| site.variant(number))
    }

    /// The form in this encoding, if there is one.
    pub fn variant(&self, encoding: Encoding) -> Option<Variant<'a>> {
        let File { site, first, count, .. } = *self;
        // The others are not looked at any closer.
        let mut all = first..first.saturating_add(count);
        let number = all.find(|number| site.encoding(*number) == Some(encoding))?;
        site.variant(number)
    }

    /// The form without an encoding, which each has.
    pub fn plain(&self) -> Variant<'a> {
        let none = Variant { number: self.first, encoding: Encoding::Identity, etag: "\"\"", bytes: &[] };
        self.site.variant(self.first).unwrap_or(none)
    }
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}
