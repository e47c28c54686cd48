//! Making a payload.

use crate::{ALIGNMENT, ENTRY, HEADER, MAGIC, MEMBERS_MAX, Member, NAME_MAX, VERSION};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Why members cannot be packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unpackable {
    /// There are too many.
    TooMany,
    /// A name that is empty, too long, or not visible ASCII.
    Name(String),
    /// A name that two have.
    Twice(String),
}

impl fmt::Display for Unpackable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "more than {MEMBERS_MAX} members"),
            Self::Name(name) => write!(f, "{name:?} is not the name of a member"),
            Self::Twice(name) => write!(f, "two members of the name {name}"),
        }
    }
}

impl core::error::Error for Unpackable {}

/// Packs members, in whichever order they come; the same members make the same bytes.
pub fn pack(members: &[Member<'_>]) -> Result<Vec<u8>, Unpackable> {
    if members.len() > MEMBERS_MAX {
        return Err(Unpackable::TooMany);
    }
    let mut members = members.to_vec();
    members.sort_unstable_by_key(|member| member.name);
    for pair in members.windows(2) {
        if pair[0].name == pair[1].name {
            return Err(Unpackable::Twice(pair[0].name.into()));
        }
    }
    let mut packed = Vec::new();
    packed.extend_from_slice(MAGIC);
    packed.extend_from_slice(&VERSION.to_le_bytes());
    packed.extend_from_slice(&(members.len() as u32).to_le_bytes());
    packed.resize(HEADER, 0);
    let mut next = HEADER + members.len() * ENTRY;
    for member in &members {
        let name = member.name.as_bytes();
        if !(1..=NAME_MAX).contains(&name.len()) || !name.iter().all(u8::is_ascii_graphic) {
            return Err(Unpackable::Name(member.name.into()));
        }
        next = next.next_multiple_of(ALIGNMENT);
        let begin = packed.len();
        packed.extend_from_slice(name);
        packed.resize(begin + NAME_MAX, 0);
        for number in [u64::from(member.secret), next as u64, member.bytes.len() as u64] {
            packed.extend_from_slice(&number.to_le_bytes());
        }
        next += member.bytes.len();
    }
    for member in &members {
        packed.resize(packed.len().next_multiple_of(ALIGNMENT), 0);
        packed.extend_from_slice(member.bytes);
    }
    let length = (packed.len() as u64).to_le_bytes();
    packed[16..24].copy_from_slice(&length);
    Ok(packed)
}
