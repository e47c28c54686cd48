//! What rides behind an image: a few named members, read where they lie.
//!
//! An image is compiled once; what it serves changes. So whoever has the finished image puts a payload behind it, without
//! a linker: [`attach`] appends the bytes and says so in the image's head. What boots finds them in
//! `BootInfo::payload`, in memory that can only be read.
//!
//! All numbers are little endian.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `FATALOAD` |
//! | 8 | 4 | version: 1 |
//! | 12 | 4 | how many members there are, at most 64 |
//! | 16 | 8 | length of all of it |
//! | 24 | 8 | zero |
//!
//! and then for each member, in the order of their names:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 40 | its name: visible ASCII, and zeroes up to the end |
//! | 40 | 8 | 1 if it is a secret, else 0 |
//! | 48 | 8 | where it begins, a multiple of 64 |
//! | 56 | 8 | its length |
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod attach;
mod pack;

pub use attach::{Attached, Unfit, attach, attached};
pub use pack::{Unpackable, pack};

use core::fmt;

const MAGIC: &[u8; 8] = b"FATALOAD";
const VERSION: u32 = 1;
const HEADER: usize = 32;
const ENTRY: usize = 64;
const NAME_MAX: usize = 40;
/// More members than anybody has use for.
const MEMBERS_MAX: usize = 64;
/// Members begin at multiples of this.
const ALIGNMENT: usize = 64;

/// One of its members.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// What it is called, as in `tls/key`.
    pub name: &'a str,
    /// Whether it is nobody's business: it is not to be printed, nor served.
    pub secret: bool,
    /// What is in it.
    pub bytes: &'a [u8],
}

impl fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} bytes{}", self.name, self.bytes.len(), if self.secret { ", secret" } else { "" })
    }
}

/// Why bytes are no payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// They do not begin as one does.
    Magic,
    /// A version that is not known here.
    Version(u32),
    /// They end too early, or have more members than there may be.
    Length,
    /// The member of this number has no name, or one that is not in order.
    Name(u32),
    /// The member of this number lies elsewhere, or is neither a secret nor not.
    Member(u32),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("this is no payload"),
            Self::Version(version) => write!(f, "a payload of version {version}, and {VERSION} is known"),
            Self::Length => f.write_str("the payload is cut short"),
            Self::Name(number) => write!(f, "member {number} of the payload has no sound name"),
            Self::Member(number) => write!(f, "member {number} of the payload is not inside of it"),
        }
    }
}

impl core::error::Error for Error {}

/// A payload that has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Payload<'a> {
    /// Checks all but the members' own bytes. What follows the payload is not looked at.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.get(..8) != Some(MAGIC) {
            return Err(Error::Magic);
        }
        let word = |at| le32(bytes, at).ok_or(Error::Length);
        let version = word(8)?;
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let count = word(12)? as usize;
        let bytes = le64(bytes, 16).and_then(|length| bytes.get(..length)).ok_or(Error::Length)?;
        if count > MEMBERS_MAX || bytes.len() < HEADER + count * ENTRY {
            return Err(Error::Length);
        }
        let payload = Self { bytes, count };
        let mut before = "";
        for number in 0..count {
            let entry = payload.entry(number).ok_or(Error::Length)?;
            let name = name(entry).filter(|name| *name > before).ok_or(Error::Name(number as u32))?;
            payload.member_at(number).ok_or(Error::Member(number as u32))?;
            before = name;
        }
        Ok(payload)
    }

    /// All members, in the order of their names.
    pub fn members(&self) -> impl Iterator<Item = Member<'a>> {
        let payload = *self;
        (0..self.count).filter_map(move |number| payload.member_at(number))
    }

    /// The member of this name.
    pub fn member(&self, name: &str) -> Option<Member<'a>> {
        self.members().find(|member| member.name == name)
    }

    fn entry(&self, number: usize) -> Option<&'a [u8]> {
        self.bytes.get(HEADER + number * ENTRY..)?.get(..ENTRY)
    }

    fn member_at(&self, number: usize) -> Option<Member<'a>> {
        let entry = self.entry(number)?;
        let (secret, from, length) = (le64(entry, 40)?, le64(entry, 48)?, le64(entry, 56)?);
        if secret > 1 || !from.is_multiple_of(ALIGNMENT) || from < HEADER + self.count * ENTRY {
            return None;
        }
        let bytes = self.bytes.get(from..)?.get(..length)?;
        Some(Member { name: name(entry)?, secret: secret == 1, bytes })
    }
}

/// The name in an entry: not empty, visible, and with nothing behind it.
fn name(entry: &[u8]) -> Option<&str> {
    let field = entry.get(..NAME_MAX)?;
    let length = field.iter().position(|byte| *byte == 0).unwrap_or(NAME_MAX);
    let (name, rest) = field.split_at(length);
    let sound = length > 0 && name.iter().all(u8::is_ascii_graphic) && rest.iter().all(|byte| *byte == 0);
    core::str::from_utf8(name).ok().filter(|_| sound)
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

fn le64(bytes: &[u8], at: usize) -> Option<usize> {
    let value = bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))?;
    usize::try_from(value).ok()
}
