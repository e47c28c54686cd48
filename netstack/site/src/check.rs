//! What must be true of a blob.

use crate::{
    ETAG, FILE, File, HEADER, Kind, MAGIC, REDIRECT, Rule, Site, VARIANT, VERSION, Variant, le32, le64,
};
use crate::{Encoding, escape};
use core::fmt;

/// Why bytes are no site. A number is that of the file, variant or redirect that is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// They do not begin as one does.
    Magic,
    /// A version that is not known here.
    Version(u32),
    /// They end too early.
    Length,
    /// A text or a path is not what it has to be, or paths are not in order.
    File(u32),
    /// Bytes that are elsewhere, or an encoding or a tag that is none.
    Variant(u32),
    /// A path, a place or a status that makes no sense.
    Redirect(u32),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("this is no site"),
            Self::Version(version) => write!(f, "a site of version {version}, and {VERSION} is known"),
            Self::Length => f.write_str("the site is cut short"),
            Self::File(number) => write!(f, "file {number} of the site is damaged"),
            Self::Variant(number) => write!(f, "variant {number} of the site is damaged"),
            Self::Redirect(number) => write!(f, "redirect {number} of the site is damaged"),
        }
    }
}

impl core::error::Error for Error {}

impl<'a> Site<'a> {
    /// Checks all but the pages' own bytes. What follows the blob is not looked at.
    pub fn open(blob: &'a [u8]) -> Result<Self, Error> {
        if blob.get(..8) != Some(MAGIC) {
            return Err(Error::Magic);
        }
        let number = |at| le32(blob, at).ok_or(Error::Length);
        let version = number(8)?;
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let length = le64(blob, 24).and_then(|length| usize::try_from(length).ok());
        let (files, variants, redirects) = (number(12)?, number(16)?, number(20)?);
        let tables = u64::from(files) * FILE as u64
            + u64::from(variants) * VARIANT as u64
            + u64::from(redirects) * REDIRECT as u64;
        let site = Self {
            blob: length.and_then(|length| blob.get(..length)).ok_or(Error::Length)?,
            files: files as usize,
            variants: variants as usize,
            redirects: redirects as usize,
            changed: le64(blob, 32).ok_or(Error::Length)?,
        };
        if (site.blob.len() as u64) < tables + HEADER as u64 {
            return Err(Error::Length);
        }
        for number in 0..variants {
            let sound = site.variant(number as usize).is_some_and(|variant| variant.is_sound());
            sound.then_some(()).ok_or(Error::Variant(number))?;
        }
        let mut before = "";
        for number in 0..files {
            let file = site.file(number as usize).filter(|file| file.path > before && file.is_sound());
            before = file.ok_or(Error::File(number))?.path;
        }
        for number in 0..redirects {
            let sound = site.rule(number as usize).is_some_and(|rule| rule.is_sound());
            sound.then_some(()).ok_or(Error::Redirect(number))?;
        }
        Ok(site)
    }
}

impl Variant<'_> {
    fn is_sound(&self) -> bool {
        let inner = self.etag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let letters = |inner: &str| inner.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        self.etag.len() == ETAG && inner.is_some_and(letters)
    }
}

impl File<'_> {
    fn is_sound(&self) -> bool {
        let printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        // Each line ends with CR LF and has neither elsewhere, and nobody can put an end to the header.
        let line = |line: &str| !line.is_empty() && line.bytes().all(printable) && line.contains(": ");
        let lines = match self.headers.strip_suffix("\r\n") {
            None => self.headers.is_empty(),
            Some(lines) => lines.split("\r\n").all(line),
        };
        let mut encodings = self.variants().map(|variant| variant.encoding);
        let mut forms = encodings.next() == Some(Encoding::Identity);
        let mut last = Encoding::Identity;
        let mut seen = 1;
        for encoding in encodings {
            forms &= encoding > last;
            last = encoding;
            seen += 1;
        }
        forms &= seen == self.count;
        forms
            && lines
            && !self.mime.is_empty()
            && self.mime.bytes().all(printable)
            && self.path.starts_with('/')
    }
}

impl Rule<'_> {
    fn is_sound(&self) -> bool {
        let slashes = match self.kind {
            Kind::Path => true,
            Kind::Below => self.from.ends_with('/'),
            Kind::Splat => self.from.ends_with('/') && self.to.ends_with('/'),
        };
        slashes && self.from.starts_with('/') && escape::is_place(self.to) && is_redirect(self.status)
    }
}

/// Whether the status sends clients elsewhere.
pub(crate) const fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}
