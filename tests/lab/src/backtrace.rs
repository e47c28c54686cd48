//! Names the functions in a guest's crash report as it passes by.
//!
//! A report has a line `  bt #03 +0x1a2b4` for each frame: its number and an offset from the start of the image.

use std::path::Path;

use anyhow::Result;

/// What looks names up in an image's ELF file.
pub struct Symboliser {
    loader: addr2line::Loader,
}

impl Symboliser {
    /// Reads the ELF file.
    pub fn open(elf: &Path) -> Result<Self> {
        let loader = addr2line::Loader::new(elf)
            .map_err(|e| anyhow::anyhow!("reading symbols of {}: {e}", elf.display()))?;
        Ok(Self { loader })
    }

    /// The function at an offset that the instruction there is for: the innermost of this workspace, whose paths are
    /// relative, or if there is none, the innermost.
    pub(crate) fn own(&self, offset: u64) -> Option<String> {
        let mut innermost = None;
        if let Ok(mut frames) = self.loader.find_frames(offset) {
            while let Ok(Some(frame)) = frames.next() {
                let name =
                    frame.function.as_ref().and_then(|f| f.demangle().ok().map(|name| name.into_owned()));
                let is_own = frame.location.and_then(|l| l.file).is_some_and(|file| !file.starts_with('/'));
                if is_own && name.is_some() {
                    return name;
                }
                innermost = innermost.or(name);
            }
        }
        innermost.or_else(|| self.loader.find_symbol(offset).map(str::to_owned))
    }

    /// The functions at an offset from the start of the image, innermost first: `name (file:line)`.
    pub fn names(&self, offset: u64) -> Vec<String> {
        let mut names = Vec::new();
        if let Ok(mut frames) = self.loader.find_frames(offset) {
            while let Ok(Some(frame)) = frames.next() {
                let name = frame.function.as_ref().and_then(|f| f.demangle().ok());
                let place = frame.location.and_then(|l| Some(format!(" ({}:{})", short(l.file?), l.line?)));
                names.extend(name.map(|name| format!("{name}{}", place.unwrap_or_default())));
            }
        }
        if names.is_empty() {
            let symbol = self.loader.find_symbol(offset);
            names.extend(symbol.map(|s| format!("{:#}", addr2line::demangle_auto(s.into(), None))));
        }
        names
    }
}

/// Passes a guest's output on and adds the names to the lines of a backtrace.
pub struct Annotator<N> {
    names: N,
    line: Vec<u8>,
}

/// No line of a backtrace is longer.
const LINE_MAX: usize = 64;

impl<N: Fn(u64) -> Vec<String>> Annotator<N> {
    /// `names` is asked for every address; the symboliser's `names` fits.
    pub fn new(names: N) -> Self {
        Self { names, line: Vec::new() }
    }

    /// Takes the next bytes and gives what to show; nothing is held back.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if matches!(byte, b'\r' | b'\n') {
                let line = std::mem::take(&mut self.line);
                if let Some((frame, offset)) = parse(&line) {
                    // A return address belongs to the line after the call; the fault's own address does not.
                    let at = if frame == 0 { offset } else { offset.saturating_sub(1) };
                    let names = (self.names)(at).join("\r\n                 in ");
                    if !names.is_empty() {
                        shown.extend_from_slice(format!("  {names}").as_bytes());
                    }
                }
            } else if self.line.len() < LINE_MAX {
                self.line.push(byte);
            }
            shown.push(byte);
        }
        shown
    }
}

/// The frame's number and its offset; colours around them do not matter.
fn parse(line: &[u8]) -> Option<(u32, u64)> {
    let line = std::str::from_utf8(line).ok()?;
    let (_, rest) = line.split_once("bt #")?;
    let (frame, offset) = rest.split_once(" +0x")?;
    let digits = offset.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(offset.len());
    Some((frame.parse().ok()?, u64::from_str_radix(&offset[..digits], 16).ok()?))
}

/// The last three parts of a path say enough.
fn short(path: &str) -> String {
    let parts: Vec<_> = path.rsplit('/').take(3).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotate(size: usize, text: &str) -> String {
        let mut annotator = Annotator::new(|at| match at {
            0x1000 => vec!["here (a.rs:1)".to_owned()],
            0x1fff => vec!["inner (b.rs:2)".to_owned(), "outer (c.rs:3)".to_owned()],
            _ => Vec::new(),
        });
        let shown = text.as_bytes().chunks(size).flat_map(|part| annotator.feed(part)).collect();
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn names_are_added_at_the_end_of_a_frames_line() {
        let text = "panicked\r\n  bt #00 +0x1000\r\n  bt #01 +0x2000\x1b[0m\r\n  bt #02 +0x5\r\nbt # +0x\r\n";
        let shown = "panicked\r\n  bt #00 +0x1000  here (a.rs:1)\r\n\
                     \x20 bt #01 +0x2000\x1b[0m  inner (b.rs:2)\r\n                 in outer (c.rs:3)\r\n\
                     \x20 bt #02 +0x5\r\nbt # +0x\r\n";
        for size in 1..text.len() {
            assert_eq!(annotate(size, text), shown);
        }
    }

    #[test]
    fn finds_a_function_of_this_very_test() {
        let symbols = Symboliser::open(&std::env::current_exe().unwrap()).unwrap();
        let base = symbols.loader.relative_address_base();
        let symbol = (0..0x200_0000u64)
            .step_by(64)
            .find_map(|at| symbols.names(base + at).into_iter().find(|n| n.contains("fata_lab")));
        assert!(symbol.is_some(), "no function of this crate was found in its own test binary");
    }
}
