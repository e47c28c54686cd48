//! As much of DER as keys and signatures are written in.

use alloc::vec::Vec;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;

/// It is not DER, or not what was expected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Values one after another.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next value's tag.
    pub(crate) fn tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next value, which is to have this tag.
    pub(crate) fn value(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        let (&first, rest) = self.0.split_first().ok_or(Malformed)?;
        let (&len, rest) = rest.split_first().ok_or(Malformed)?;
        // Lengths as short as they can be, and nothing beyond 64 KiB.
        let (len, rest) = match (len, rest) {
            (0..=0x7f, _) => (usize::from(len), rest),
            (0x81, &[len @ 0x80..=0xff, ref rest @ ..]) => (usize::from(len), rest),
            (0x82, &[high @ 1..=0xff, low, ref rest @ ..]) => {
                (usize::from(u16::from_be_bytes([high, low])), rest)
            }
            _ => return Err(Malformed),
        };
        if first != tag || rest.len() < len {
            return Err(Malformed);
        }
        let (value, rest) = rest.split_at(len);
        self.0 = rest;
        Ok(value)
    }

    /// The values in the next one.
    pub(crate) fn inner(&mut self, tag: u8) -> Result<Self, Malformed> {
        self.value(tag).map(Self)
    }

    /// A number that is not negative, without leading zeros.
    pub(crate) fn unsigned(&mut self) -> Result<&'a [u8], Malformed> {
        match self.value(INTEGER)? {
            [] => Err(Malformed),
            [0, rest @ ..] if rest.first().is_none_or(|byte| *byte >= 0x80) => Ok(rest),
            [0, ..] | [0x80..=0xff, ..] => Err(Malformed),
            number => Ok(number),
        }
    }

    /// All has been read.
    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// Appends a value, of less than 64 KiB.
pub(crate) fn write(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    let [high, low] = (value.len() as u16).to_be_bytes();
    match value.len() {
        0..=0x7f => out.extend_from_slice(&[tag, low]),
        0x80..=0xff => out.extend_from_slice(&[tag, 0x81, low]),
        _ => out.extend_from_slice(&[tag, 0x82, high, low]),
    }
    out.extend_from_slice(value);
}

/// Appends a number that is not negative.
pub(crate) fn write_unsigned(out: &mut Vec<u8>, number: &[u8]) {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = &number[zeros.min(number.len().saturating_sub(1))..];
    let mut value = Vec::with_capacity(number.len() + 1);
    if number.first().is_none_or(|byte| *byte >= 0x80) {
        value.push(0);
    }
    value.extend_from_slice(number);
    write(out, INTEGER, &value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for len in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff] {
            let value = vec![7; len];
            let mut out = Vec::new();
            write(&mut out, OCTET_STRING, &value);
            let mut reader = Reader::new(&out);
            assert_eq!((reader.tag(), reader.value(OCTET_STRING)), (Some(OCTET_STRING), Ok(&value[..])));
            assert_eq!(reader.end(), Ok(()));
            // Cut anywhere it is not read, and neither as something else.
            assert!((0..out.len()).all(|end| Reader::new(&out[..end]).value(OCTET_STRING).is_err()));
            assert!(Reader::new(&out).value(INTEGER).is_err());
        }
    }

    #[test]
    fn numbers() {
        for (number, written) in [
            (&[0][..], &[2, 1, 0][..]),
            (&[0, 0, 5], &[2, 1, 5]),
            (&[0x80], &[2, 2, 0, 0x80]),
            (&[], &[2, 1, 0]),
        ] {
            let mut out = Vec::new();
            write_unsigned(&mut out, number);
            assert_eq!(out, written);
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            assert_eq!(Reader::new(&out).unsigned(), Ok(&number[zeros..]));
        }
        // None, negative, and longer than need be.
        for odd in
            [&[2, 0][..], &[2, 1, 0x80], &[2, 2, 0, 5], &[2, 0x81, 1, 5], &[2, 0x80, 5], &[2, 0x82, 0, 1, 5]]
        {
            assert_eq!(Reader::new(odd).unsigned(), Err(Malformed), "{odd:?}");
        }
    }
}
