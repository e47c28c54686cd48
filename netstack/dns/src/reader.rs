//! Reads a zone file (RFC 1035 section 5, RFC 2308 section 4).

use crate::build::{Build, Limits};
use crate::check::{self, Warning};
use crate::data::{Fields, parse};
use crate::error::{What, ZoneError};
use crate::kind::Kind;
use crate::name::Name;
use crate::text::seconds;
use crate::words::{Word, Words};
use crate::zone::Zone;
use alloc::vec::Vec;

/// Makes a zone of a zone file, some records at a time, so that others have a turn between.
pub struct Reader<'a> {
    words: Words<'a>,
    record: Vec<Word<'a>>,
    origin: Option<Name>,
    /// Of `$TTL`.
    default_ttl: Option<u32>,
    /// Of the last record.
    last_ttl: Option<u32>,
    owner: Option<Name>,
    data: Vec<u8>,
    limits: Limits,
    /// Once the SOA has been read.
    build: Option<Build>,
}

impl<'a> Reader<'a> {
    /// Begins to read. `origin` is what names go on with until there is an `$ORIGIN`.
    pub fn new(text: &'a [u8], origin: Option<Name>, limits: Limits) -> Result<Self, ZoneError> {
        if text.len() > limits.text {
            return Err(ZoneError::new(0, What::TooLarge, b""));
        }
        Ok(Self {
            words: Words::new(text),
            record: Vec::new(),
            origin,
            default_ttl: None,
            last_ttl: None,
            owner: None,
            data: Vec::new(),
            limits,
            build: None,
        })
    }

    /// Reads about so many bytes more. Gives whether that was all.
    pub fn read(&mut self, bytes: usize) -> Result<bool, ZoneError> {
        let end = self.words.at().saturating_add(bytes);
        while self.words.at() < end {
            let mut record = core::mem::take(&mut self.record);
            let next = self.words.record(&mut record);
            let result = match next {
                Ok(Some(blank)) => self.entry(&record, blank),
                Ok(None) => return Ok(true),
                Err(error) => Err(error),
            };
            self.record = record;
            result?;
        }
        Ok(false)
    }

    /// Makes the zone of what was read, if it makes sense.
    pub fn finish(self) -> Result<(Zone, Vec<Warning>), ZoneError> {
        let line = self.words.line();
        let build = self.build.ok_or_else(|| ZoneError::new(line, What::NoSoa, b""))?;
        let (zone, lines) = build.finish()?;
        let warnings = check::check(&zone, &lines)?;
        Ok((zone, warnings))
    }

    fn entry(&mut self, words: &[Word<'a>], blank: bool) -> Result<(), ZoneError> {
        let Some(first) = words.first() else { return Ok(()) };
        if !blank && !first.quoted && first.raw.starts_with(b"$") {
            return self.directive(first, &words[1..]);
        }
        let mut fields = Fields::new(words, first.line);
        if !blank {
            let word = fields.next()?;
            let bad = |bad| word.error(What::Name(bad));
            self.owner = Some(Name::parse(word.raw, self.origin.as_ref()).map_err(bad)?);
        }
        let (ttl, kind) = self.head(&mut fields)?;
        let owner = self.owner.clone().ok_or_else(|| first.error(What::NoOwner))?;
        self.data.clear();
        parse(kind, &mut fields, self.origin.as_ref(), &mut self.data)?;
        let ttl = ttl.or(self.default_ttl).or(self.last_ttl);
        let ttl = match ttl {
            Some(ttl) => ttl,
            // RFC 1035 section 3.3.13: the SOA's minimum.
            None if kind == Kind::SOA => self.data.last_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes)),
            None => return Err(first.error(What::NoTtl)),
        };
        self.last_ttl = Some(ttl);
        let build = match (&mut self.build, kind) {
            (Some(build), _) => build,
            (place, Kind::SOA) => place.insert(Build::new(&owner, self.limits)),
            _ => return Err(first.error(What::NoSoa)),
        };
        build.add(&owner, kind, ttl, &self.data, first.line).map_err(|what| first.error(what))
    }

    /// A time to live and a class, in either order or not at all, and a type.
    fn head(&self, fields: &mut Fields<'_, 'a>) -> Result<(Option<u32>, Kind), ZoneError> {
        let (mut ttl, mut class) = (None, false);
        loop {
            let word = fields.next()?;
            let is = |text: &str| word.raw.eq_ignore_ascii_case(text.as_bytes());
            if word.quoted {
                return Err(word.error(What::Type));
            }
            if ttl.is_none() && word.raw.first().is_some_and(u8::is_ascii_digit) {
                ttl = Some(seconds(word.raw).ok_or_else(|| word.error(What::Time))?);
            } else if !class && (is("IN") || is("CLASS1")) {
                class = true;
            } else if ["CH", "CS", "HS"].into_iter().any(is)
                || word.raw.to_ascii_uppercase().starts_with(b"CLASS")
            {
                return Err(word.error(What::Class));
            } else {
                let kind = Kind::parse(word.raw).ok_or_else(|| word.error(What::Type))?;
                if !kind.is_data() {
                    return Err(word.error(What::MetaType));
                }
                return Ok((ttl, kind));
            }
        }
    }

    fn directive(&mut self, word: &Word<'a>, rest: &[Word<'a>]) -> Result<(), ZoneError> {
        let is = |text: &str| word.raw.eq_ignore_ascii_case(text.as_bytes());
        if is("$INCLUDE") {
            return Err(word.error(What::Include));
        }
        if is("$GENERATE") {
            return Err(word.error(What::Generate));
        }
        let value = || match rest {
            [] => Err(word.error(What::Short)),
            [value] => Ok(value),
            [_, more, ..] => Err(more.error(What::Long)),
        };
        if is("$ORIGIN") {
            let value = value()?;
            let name = Name::parse(value.raw, self.origin.as_ref());
            self.origin = Some(name.map_err(|bad| value.error(What::Name(bad)))?);
        } else if is("$TTL") {
            let value = value()?;
            self.default_ttl = Some(seconds(value.raw).ok_or_else(|| value.error(What::Time))?);
        } else {
            return Err(word.error(What::Directive));
        }
        Ok(())
    }
}

impl Zone {
    /// Makes a zone of a whole zone file at once.
    pub fn read(
        text: &[u8],
        origin: Option<Name>,
        limits: Limits,
    ) -> Result<(Self, Vec<Warning>), ZoneError> {
        let mut reader = Reader::new(text, origin, limits)?;
        while !reader.read(usize::MAX)? {}
        reader.finish()
    }
}
