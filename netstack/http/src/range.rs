//! Parts of things (RFC 9110 section 14).

use crate::conditions::{Validators, Verdict, if_range, preconditions};
use crate::fields::{Fields, Seen};
use crate::method::Method;
use crate::request::Request;
use crate::words::{list, number};

/// Bytes from the first to before the end. There is at least one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Its first byte.
    pub start: u64,
    /// The first behind it.
    pub end: u64,
}

/// Ranges of an answer, at most.
const MOST: usize = 8;

/// Several of them, apart from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranges {
    ranges: [Range; MOST],
    count: usize,
}

impl Ranges {
    /// In the order they were asked for.
    pub fn all(&self) -> &[Range] {
        &self.ranges[..self.count]
    }
}

/// What to answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of it (200).
    Full,
    /// This part (206).
    Part(Range),
    /// These (206, `multipart/byteranges`).
    Parts(Ranges),
    /// Nothing: the client has it (304).
    NotModified,
    /// Nothing: the client takes it for something else (412).
    Failed,
    /// Nothing: the client wants what is not there (416).
    Unsatisfiable,
}

/// Without any of them there is nothing to consider.
const CONSIDERED: Seen =
    Seen::of(&["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "range"]);

/// What of a thing with so many bytes a request is for, all conditions and ranges considered.
pub fn select(request: &Request<'_>, current: &Validators<'_>, len: u64) -> Selection {
    if !request.fields.may_have(CONSIDERED) {
        return Selection::Full;
    }
    match preconditions(request, Some(current)) {
        Verdict::Met => {}
        Verdict::NotModified => return Selection::NotModified,
        Verdict::Failed => return Selection::Failed,
    }
    if request.method != Method::Get || !if_range(request.fields, current) {
        return Selection::Full;
    }
    ranges(request.fields, len).unwrap_or(Selection::Full)
}

/// `None` if no ranges are asked for, or not in a way that is understood, or more than is good for anybody: then all of it is
/// the answer.
fn ranges(fields: Fields<'_>, len: u64) -> Option<Selection> {
    let mut values = fields.values("range");
    let (value, None) = (values.next()?, values.next()) else { return None };
    let equals = value.iter().position(|byte| *byte == b'=')?;
    // For an empty thing some clients ask for a part of it anyway.
    if !value[..equals].eq_ignore_ascii_case(b"bytes") || len == 0 {
        return None;
    }
    let (mut ranges, mut asked) = (Ranges { ranges: [Range::default(); MOST], count: 0 }, 0);
    for spec in list(&value[equals + 1..]) {
        asked += 1;
        if asked > MOST {
            return None;
        }
        let Some(range) = range(spec, len)? else { continue };
        if ranges.all().iter().any(|other| range.start < other.end && other.start < range.end) {
            return None;
        }
        ranges.ranges[ranges.count] = range;
        ranges.count += 1;
    }
    Some(match *ranges.all() {
        [] if asked > 0 => Selection::Unsatisfiable,
        [] => return None,
        [range] => Selection::Part(range),
        _ => Selection::Parts(ranges),
    })
}

/// One of them; `Some(None)` if there are no such bytes.
fn range(spec: &[u8], len: u64) -> Option<Option<Range>> {
    let dash = spec.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (digits(&spec[..dash])?, digits(&spec[dash + 1..])?);
    let (start, end) = match (first, last) {
        (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1).min(len)),
        (Some(first), None) => (first, len),
        (None, Some(count)) => (len.saturating_sub(count), len),
        _ => return None,
    };
    Some((start < end).then_some(Range { start, end }))
}

/// A number, of any size; `Some(None)` if there is none.
fn digits(text: &[u8]) -> Option<Option<u64>> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((!text.is_empty()).then(|| number(text).unwrap_or(u64::MAX)))
}
