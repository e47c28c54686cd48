//! Turns a console with defmt frames among its text into text.
//!
//! A frame is TAB, `~`, base64 without padding, and the end of the line (`boot/log/src/lib.rs` says why).
//! Everything else passes through at once, byte by byte: somebody may be typing.

use std::io::Write;
use std::mem;

use anyhow::{Context, Result};
use defmt_decoder::{Locations, Table};

/// No frame is longer; more than this is never held back.
const MAX_HELD: usize = 16 << 10;

/// Decodes one console.
pub struct Decoder {
    strings: Strings,
    /// The beginning of what may turn out to be a frame.
    held: Vec<u8>,
}

/// The image's format strings, and where in the sources they are.
struct Strings {
    table: Table,
    locations: Locations,
}

impl Decoder {
    /// A decoder for what the image `elf` writes; `None` if it does not use defmt.
    pub fn new(elf: &[u8]) -> Result<Option<Self>> {
        let table = Table::parse(elf).context("cannot read the image's defmt strings")?;
        let Some(table) = table.filter(|table| !table.is_empty()) else { return Ok(None) };
        // Without debug information there are none, which is no reason to fail.
        let locations = table.get_locations(elf).unwrap_or_default();
        Ok(Some(Self { strings: Strings { table, locations }, held: Vec::new() }))
    }

    /// Appends to `out` what `bytes` of the console mean.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            let goes_on = match self.held.len() {
                0 => byte == b'\t',
                1 => byte == b'~',
                _ => digit(byte).is_some() && self.held.len() < MAX_HELD,
            };
            if goes_on {
                self.held.push(byte);
                continue;
            }
            let is_end = matches!(byte, b'\r' | b'\n');
            let held = mem::take(&mut self.held);
            match held.get(2..).filter(|_| is_end).and_then(|frame| self.strings.decode(frame)) {
                Some(text) => out.extend_from_slice(&text),
                None => out.extend_from_slice(&held),
            }
            // What was not a frame may be followed by one.
            if byte == b'\t' {
                self.held.push(byte);
            } else {
                out.push(byte);
            }
        }
    }

    /// Appends what is still held back when the console has ended.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }
}

impl Strings {
    /// The text of a frame; `None` if the image cannot have written it.
    fn decode(&self, digits: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = base64(digits);
        // The line's end stands for the zero that ends a rzCOBS frame.
        bytes.push(0);
        let mut stream = self.table.new_stream_decoder();
        stream.received(&bytes);
        let frame = stream.decode().ok()?;
        let mut text = Vec::new();
        let time = frame.display_timestamp().map(|time| time.to_string()).unwrap_or_default();
        let level = frame.level().map_or("", |level| level.as_str());
        write!(text, "{time:>12} {level:5} {}", frame.display_message()).ok()?;
        if let Some(at) = self.locations.get(&frame.index()) {
            write!(text, " ({}:{})", at.file.display(), at.line).ok()?;
        }
        Some(text)
    }
}

fn digit(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

fn base64(digits: &[u8]) -> Vec<u8> {
    let (mut bits, mut pending, mut bytes) = (0, 0, Vec::new());
    for digit in digits.iter().filter_map(|&byte| digit(byte)) {
        bits = bits << 6 | digit;
        pending += 6;
        if pending >= 8 {
            pending -= 8;
            bytes.push((bits >> pending) as u8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::write::{Object, Symbol, SymbolSection};
    use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

    /// An image whose only message is number 1, "hello", on the level `info`.
    fn elf() -> Vec<u8> {
        let mut elf = Object::new(BinaryFormat::Elf, Architecture::Aarch64, Endianness::Little);
        let section = elf.add_section(Vec::new(), b".defmt".to_vec(), SectionKind::Other);
        elf.append_section_data(section, &[0; 4], 1);
        let hello =
            r#"{"package":"p","tag":"defmt_info","data":"hello","disambiguator":"1","crate_name":"p"}"#;
        for (value, name) in [(1, hello), (2, "_defmt_encoding_ = rzcobs"), (3, "_defmt_version_ = 4")] {
            elf.add_symbol(Symbol {
                name: name.into(),
                value,
                size: 1,
                kind: SymbolKind::Data,
                scope: SymbolScope::Linkage,
                weak: false,
                section: SymbolSection::Section(section),
                flags: SymbolFlags::None,
            });
        }
        elf.write().unwrap()
    }

    /// rzCOBS of the bytes 1 and 0, the number of the message.
    const HELLO: &[u8] = b"\t~AX4";

    fn decoder() -> Decoder {
        Decoder::new(&elf()).unwrap().unwrap()
    }

    fn decode(console: &[u8]) -> String {
        let (mut decoder, mut out) = (decoder(), Vec::new());
        decoder.push(console, &mut out);
        decoder.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn frames_become_text_and_keep_their_line_ends() {
        let console =
            [b"boot\r\n> ".as_slice(), HELLO, b"\r\n", HELLO, b"\n\tcaf\xc3\xa9 ", HELLO, b"\n"].concat();
        let hello = format!("{:>12} info  hello", "");
        assert_eq!(decode(&console), format!("boot\r\n> {hello}\r\n{hello}\n\tcaf\u{e9} {hello}\n"));
    }

    #[test]
    fn text_passes_at_once() {
        let (mut decoder, mut out) = (decoder(), Vec::new());
        for &byte in b"~ AX4 \x1b[31mred\x00" {
            decoder.push(&[byte], &mut out);
            assert_eq!(out.pop(), Some(byte));
        }
        // Only a tab waits for what follows it, and what looks like a frame until it is none.
        for (console, passed) in [(&b"\t"[..], 0), (b"\tx", 2), (b"\t~AX4", 0), (b"\t~AX4 ", 6), (b"\t\t", 1)]
        {
            let (mut decoder, mut out) = (self::decoder(), Vec::new());
            decoder.push(console, &mut out);
            assert_eq!(out, &console[..passed]);
        }
        let endless = [&b"\t~"[..], &[b'A'; 2 * MAX_HELD]].concat();
        decoder.push(&endless, &mut out);
        assert_eq!(out, endless);
    }

    #[test]
    fn what_no_image_wrote_stays_as_it_is() {
        for console in ["\t~AX4", "\t~\n", "\t~AX\n", "\t~////\n", "\t~A=4\n", "\t~zzzz\r\n"] {
            assert_eq!(decode(console.as_bytes()), console);
        }
        assert_eq!(decode(b"\t~AX\t~AX4\n"), format!("\t~AX{:>12} info  hello\n", ""));
    }

    #[test]
    fn an_image_without_defmt_has_no_decoder() {
        let plain =
            Object::new(BinaryFormat::Elf, Architecture::Aarch64, Endianness::Little).write().unwrap();
        assert!(Decoder::new(&plain).unwrap().is_none());
        assert!(Decoder::new(b"not an ELF").is_err());
    }
}
