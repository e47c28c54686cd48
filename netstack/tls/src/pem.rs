//! PEM (RFC 7468): blocks of base64 between lines that say what they are.

use alloc::vec::Vec;
use core::fmt;
use zeroize::Zeroize;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// A block. It is overwritten when it is dropped, since it may be a private key.
pub(crate) struct Block<'a> {
    /// What it is: `CERTIFICATE`.
    pub(crate) label: &'a str,
    /// The line it begins with, from 1.
    pub(crate) line: u32,
    pub(crate) data: Vec<u8>,
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        self.data.as_mut_slice().zeroize();
    }
}

/// A text is not PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PemError {
    /// Where, from 1.
    pub line: u32,
    /// What is wrong there.
    pub fault: PemFault,
}

/// What can be wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PemFault {
    /// It is not UTF-8.
    Text,
    /// The block that begins there does not end.
    Unfinished,
    /// Another block should have ended there.
    WrongEnd,
    /// It is not base64.
    Base64,
    /// The block that begins there is encrypted.
    Encrypted,
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            PemFault::Text => "is not text",
            PemFault::Unfinished => "begins a block that does not end",
            PemFault::WrongEnd => "ends another block than the one that began",
            PemFault::Base64 => "is not base64",
            PemFault::Encrypted => "begins an encrypted block, and there is nobody to ask for the passphrase",
        };
        write!(f, "line {} {fault}", self.line)
    }
}

impl core::error::Error for PemError {}

/// The blocks of a text, whatever stands between them.
pub(crate) struct Blocks<'a> {
    rest: &'a [u8],
    line: u32,
}

impl<'a> Blocks<'a> {
    pub(crate) fn of(text: &'a [u8]) -> Self {
        Self { rest: text, line: 0 }
    }

    /// The next line, without what ends it and the spaces before that.
    fn next_line(&mut self) -> Option<Result<&'a str, PemError>> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let (line, rest) = match end {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        self.line += 1;
        let line = core::str::from_utf8(line.trim_ascii_end());
        Some(line.map_err(|_| self.error(PemFault::Text)))
    }

    fn error(&self, fault: PemFault) -> PemError {
        PemError { line: self.line, fault }
    }

    fn block(&mut self, label: &'a str) -> Result<Block<'a>, PemError> {
        let begun = self.line;
        let unfinished = PemError { line: begun, fault: PemFault::Unfinished };
        let mut bits = Base64::default();
        // As much as it can be, so that it does not move and leave copies.
        let most = self.rest.windows(END.len()).position(|window| window == END.as_bytes());
        let mut data = Vec::with_capacity(most.ok_or(unfinished)? / 4 * 3 + 3);
        let mut block = loop {
            let line = self.next_line().ok_or(unfinished)??;
            if let Some(rest) = line.strip_prefix(END) {
                if rest.strip_suffix(DASHES) != Some(label) {
                    return Err(self.error(PemFault::WrongEnd));
                }
                break Block { label, line: begun, data };
            }
            // A header of RFC 1421, which only encrypted keys have.
            if line.contains(':') {
                return Err(PemError { line: begun, fault: PemFault::Encrypted });
            }
            if bits.add(line.trim_ascii_start(), &mut data).is_err() {
                data.as_mut_slice().zeroize();
                return Err(self.error(PemFault::Base64));
            }
        };
        if !bits.is_whole() {
            block.data.clear();
            return Err(self.error(PemFault::Base64));
        }
        Ok(block)
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<Block<'a>, PemError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = match self.next_line()? {
                Ok(line) => line,
                Err(error) => return Some(Err(error)),
            };
            let label =
                line.trim_ascii_start().strip_prefix(BEGIN).and_then(|line| line.strip_suffix(DASHES));
            if let Some(label) = label {
                return Some(self.block(label));
            }
        }
    }
}

/// Base64 (RFC 4648, 4), with its padding.
#[derive(Default)]
struct Base64 {
    bits: u32,
    /// Characters since the last whole group of four.
    count: u8,
    padding: u8,
}

struct NotBase64;

impl Base64 {
    fn add(&mut self, line: &str, data: &mut Vec<u8>) -> Result<(), NotBase64> {
        for byte in line.bytes() {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' if self.count >= 2 => {
                    self.padding += 1;
                    0
                }
                _ => return Err(NotBase64),
            };
            if self.padding > 0 && byte != b'=' {
                return Err(NotBase64);
            }
            self.bits = self.bits << 6 | u32::from(value);
            self.count += 1;
            if self.count == 4 {
                let [_, bytes @ ..] = self.bits.to_be_bytes();
                let (whole, spare) = bytes.split_at(3 - usize::from(self.padding));
                if spare.iter().any(|byte| *byte != 0) {
                    return Err(NotBase64);
                }
                data.extend_from_slice(whole);
                (self.bits, self.count) = (0, 0);
            }
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.count == 0
    }
}
