//! Putting bytes behind a finished image, and saying so in its head.
//!
//! `arch-arm/src/machine/entry.rs` has, behind the 64 bytes of an arm64 `Image` header
//! (`Documentation/arch/arm64/booting.rst`), room for this:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 64 | 8 | `FATAHEAD` |
//! | 72 | 8 | where the payload begins, counted from the image's start; 0 if there is none |
//! | 80 | 8 | its length |
//!
//! A payload begins where the image's memory ends, stacks and all that is cleared included, so the file holds zeroes
//! for those: whoever loads the file has loaded the payload to where it belongs.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

const IMAGE_SIZE: Range<usize> = 16..24;
const IMAGE_MAGIC: Range<usize> = 56..60;
const HEAD: Range<usize> = 64..72;
const OFFSET: Range<usize> = 72..80;
const LENGTH: Range<usize> = 80..88;
const PAGE: u64 = 4096;
/// What entry.rs maps for certain, with the image before it.
pub(crate) const LARGEST: u64 = 512 << 20;

/// Why an image takes no payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is no arm64 `Image`.
    NoImage,
    /// It is one, but not one that knows of payloads.
    NoRoom,
    /// What it says about itself makes no sense.
    Damaged,
    /// The payload is longer than 512 MiB.
    TooLong,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoImage => "this is no arm64 Image",
            Self::NoRoom => "this image does not know of payloads",
            Self::Damaged => "what the image says about its length makes no sense",
            Self::TooLong => "a payload may be 512 MiB long, and this is longer",
        })
    }
}

impl core::error::Error for Unfit {}

/// How an image and its payload lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Bytes of memory that the image takes itself, which is where the payload begins.
    pub image: u64,
    /// Length of the payload; 0 if there is none.
    pub payload: u64,
}

/// What an image says about itself and its payload.
pub fn attached(image: &[u8]) -> Result<Attached, Unfit> {
    if image.get(IMAGE_MAGIC) != Some(b"ARM\x64") {
        return Err(Unfit::NoImage);
    }
    if image.get(HEAD) != Some(b"FATAHEAD") {
        return Err(Unfit::NoRoom);
    }
    let number = |range| {
        let bytes: Option<&[u8; 8]> = image.get(range).and_then(<[u8]>::first_chunk);
        bytes.map(|b| u64::from_le_bytes(*b)).ok_or(Unfit::NoRoom)
    };
    let (size, offset, payload) = (number(IMAGE_SIZE)?, number(OFFSET)?, number(LENGTH)?);
    let own = if offset == 0 { size } else { offset };
    let sound = own > 0 && own.is_multiple_of(PAGE) && own <= LARGEST && payload <= LARGEST;
    let whole = offset == 0 && payload == 0 && image.len() as u64 <= own
        || offset != 0 && offset.checked_add(payload) == Some(image.len() as u64);
    if sound && whole { Ok(Attached { image: own, payload }) } else { Err(Unfit::Damaged) }
}

/// The image with this payload, instead of the one that it may have.
pub fn attach(image: &[u8], payload: &[u8]) -> Result<Vec<u8>, Unfit> {
    let own = attached(image)?.image;
    let length = payload.len() as u64;
    if length > LARGEST {
        return Err(Unfit::TooLong);
    }
    let own_bytes = image.get(..own as usize).unwrap_or(image);
    let mut whole = Vec::with_capacity(own as usize + payload.len());
    whole.extend_from_slice(own_bytes);
    whole.resize(own as usize, 0);
    whole.extend_from_slice(payload);
    let memory = own + length.next_multiple_of(PAGE);
    for (place, number) in [(IMAGE_SIZE, memory), (OFFSET, own), (LENGTH, length)] {
        whole[place].copy_from_slice(&number.to_le_bytes());
    }
    Ok(whole)
}
