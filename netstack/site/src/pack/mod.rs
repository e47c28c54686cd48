//! Makes a blob of a directory.

#[cfg(feature = "compress")]
mod compress;
mod mime;
mod read;
mod rules;

#[cfg(feature = "compress")]
pub use compress::compress;
pub use read::{ReadError, read};

use crate::{ETAG, Encoding, FILE, HEADER, MAGIC, REDIRECT, VARIANT, VERSION};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The file with redirects, which is not a page.
pub const REDIRECTS: &str = "/_redirects";
/// The file with header lines, which is not a page.
pub const HEADERS: &str = "/_headers";

/// Bytes begin at multiples of this.
const ALIGNMENT: usize = 16;

/// A file to be packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path in the site, with the slash that it begins with.
    pub path: String,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// The same, encoded, where that is worth it.
    pub encoded: Vec<(Encoding, Vec<u8>)>,
}

impl Entry {
    /// A file as it is.
    pub fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), bytes: bytes.into(), encoded: Vec::new() }
    }

    /// Its type, by its name.
    pub fn mime(&self) -> &'static str {
        mime::of(&self.path)
    }
}

/// Why files cannot be packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackError {
    /// Two files of this path.
    Twice(String),
    /// Not a path.
    Path(String),
    /// There is too much of it.
    TooLong,
    /// A line of `_redirects` or `_headers` makes no sense.
    Rule {
        /// Which of both.
        file: &'static str,
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice(path) => write!(f, "two files are {path}"),
            Self::Path(path) => write!(f, "{path:?} is not the path of a page"),
            Self::TooLong => f.write_str("the tables and texts of the site do not fit into 4 GiB"),
            Self::Rule { file, line, reason } => write!(f, "{}, line {line}: {reason}", &file[1..]),
        }
    }
}

impl core::error::Error for PackError {}

/// Packs files, in whichever order they come, as changed at `changed`, in seconds since 1970. Two that are equal are kept
/// once.
pub fn pack(mut files: Vec<Entry>, changed: u64) -> Result<Vec<u8>, PackError> {
    let mut take = |path| {
        let at = files.iter().position(|file: &Entry| file.path == path)?;
        Some(files.swap_remove(at).bytes)
    };
    let redirects = rules::redirects(&take(REDIRECTS).unwrap_or_default())?;
    let headers = rules::headers(&take(HEADERS).unwrap_or_default())?;
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    for pair in files.windows(2) {
        if pair[0].path == pair[1].path {
            return Err(PackError::Twice(pair[0].path.clone()));
        }
    }
    let variants = files.iter().map(|file| 1 + file.encoded.len()).sum::<usize>();
    let tables = HEADER + files.len() * FILE + variants * VARIANT + redirects.len() * REDIRECT;
    let mut texts = Texts { from: tables, bytes: Vec::new(), known: HashMap::new() };
    let mut table = Vec::new();
    table.extend_from_slice(MAGIC);
    for number in [VERSION, files.len() as u32, variants as u32, redirects.len() as u32] {
        table.extend_from_slice(&number.to_le_bytes());
    }
    // The length is known in the end.
    for number in [0, changed] {
        table.extend_from_slice(&number.to_le_bytes());
    }
    let mut first = 0;
    for file in &files {
        if !is_path(&file.path) {
            return Err(PackError::Path(file.path.clone()));
        }
        let lines = rules::lines_for(&headers, &file.path);
        for text in [&file.path, file.mime(), &lines] {
            table.extend_from_slice(&texts.put(text)?);
        }
        let count = 1 + file.encoded.len() as u32;
        for number in [first, count] {
            table.extend_from_slice(&number.to_le_bytes());
        }
        first += count;
    }
    let mut redirect_table = Vec::new();
    for rule in &redirects {
        for text in [&rule.from, &rule.to] {
            redirect_table.extend_from_slice(&texts.put(text)?);
        }
        for number in [u32::from(rule.status), rule.kind as u32] {
            redirect_table.extend_from_slice(&number.to_le_bytes());
        }
    }
    let mut data = Data { from: tables + texts.bytes.len(), bytes: Vec::new(), known: HashMap::new() };
    for file in &files {
        let mut forms: Vec<_> = file.encoded.iter().map(|(encoding, bytes)| (*encoding, bytes)).collect();
        forms.push((Encoding::Identity, &file.bytes));
        forms.sort_unstable_by_key(|(encoding, _)| *encoding);
        for (encoding, bytes) in forms {
            let (place, tag) = data.put(bytes);
            for number in [encoding.number(), 0] {
                table.extend_from_slice(&number.to_le_bytes());
            }
            for number in [place, bytes.len() as u64] {
                table.extend_from_slice(&number.to_le_bytes());
            }
            table.extend_from_slice(&tag);
        }
    }
    table.extend_from_slice(&redirect_table);
    table.extend_from_slice(&texts.bytes);
    table.extend_from_slice(&data.bytes);
    let length = (table.len() as u64).to_le_bytes();
    table[24..32].copy_from_slice(&length);
    Ok(table)
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path[1..].split('/').all(|part| !matches!(part, "" | "." | "..")) && {
        path.chars().all(|letter| !letter.is_control())
    }
}

/// Texts, each once.
struct Texts {
    from: usize,
    bytes: Vec<u8>,
    known: HashMap<String, [u8; 8]>,
}

impl Texts {
    fn put(&mut self, text: &str) -> Result<[u8; 8], PackError> {
        if let Some(known) = self.known.get(text) {
            return Ok(*known);
        }
        let place = u32::try_from(self.from + self.bytes.len()).map_err(|_| PackError::TooLong)?;
        let length = u32::try_from(text.len()).map_err(|_| PackError::TooLong)?;
        self.bytes.extend_from_slice(text.as_bytes());
        let mut entry = [0; 8];
        entry[..4].copy_from_slice(&place.to_le_bytes());
        entry[4..].copy_from_slice(&length.to_le_bytes());
        self.known.insert(text.to_string(), entry);
        Ok(entry)
    }
}

/// Contents, each once, with their tags.
struct Data {
    from: usize,
    bytes: Vec<u8>,
    known: HashMap<[u8; ETAG], u64>,
}

impl Data {
    fn put(&mut self, bytes: &[u8]) -> (u64, [u8; ETAG]) {
        let tag = tag(bytes);
        if let Some(place) = self.known.get(&tag) {
            return (*place, tag);
        }
        let place = (self.from + self.bytes.len()).next_multiple_of(ALIGNMENT);
        self.bytes.resize(place - self.from, 0);
        self.bytes.extend_from_slice(bytes);
        self.known.insert(tag, place as u64);
        (place as u64, tag)
    }
}

/// The entity tag of these bytes: half of their SHA-256 in base64 (RFC 4648, section 5), in quotes.
fn tag(bytes: &[u8]) -> [u8; ETAG] {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let hash = Sha256::digest(bytes);
    let mut tag = [b'"'; ETAG];
    for (three, four) in hash[..16].chunks(3).zip(tag[1..ETAG - 1].chunks_mut(4)) {
        let mut padded = [0; 3];
        padded[..three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for (at, letter) in four.iter_mut().enumerate() {
            *letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
        }
    }
    tag
}
