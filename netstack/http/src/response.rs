//! The head of a response (RFC 9112 section 4, and 6.3 for the length of its body).

use crate::error::{Error, Rule};
use crate::fields::{Field, Fields, Seen};
use crate::head::{Facts, Framing, check_line, rule, take_fields};
use crate::limits::Limits;
use crate::method::Method;
use crate::status::Status;
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use httparse::{Header, Status as Parsed};

/// What it says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseHead {
    pub(crate) len: usize,
    pub(crate) status: Status,
    pub(crate) framing: Framing,
    pub(crate) persists: bool,
    /// Of the fields.
    pub(crate) seen: Seen,
}

/// Reads it, in answer to a request with this method.
pub(crate) fn response(
    bytes: &[u8],
    method: Method,
    limits: &Limits,
    fields: &mut Vec<Field>,
) -> Result<Option<ResponseHead>, Error> {
    check_line(bytes, limits)?;
    let mut room = [const { MaybeUninit::<Header<'_>>::uninit() }; Limits::FIELDS];
    let room = &mut room[..limits.fields.min(Limits::FIELDS)];
    let mut parsed = httparse::Response::new(&mut []);
    if bytes.first().is_some_and(|first| *first != b'H') {
        return Err(Rule::StatusLine.into());
    }
    let config = httparse::ParserConfig::default();
    let len = match config.parse_response_with_uninit_headers(&mut parsed, bytes, room) {
        Ok(Parsed::Complete(len)) => len,
        Ok(Parsed::Partial) => return Ok(None),
        Err(error) => return Err(rule(error, Rule::StatusLine)),
    };
    let head = &bytes[..len];
    let minor = parsed.version.unwrap_or(0);
    let status = parsed.code.and_then(Status::new).filter(|status| status.code() < 600);
    let status = status.ok_or(Rule::StatusLine)?;
    let seen = take_fields(head, parsed.headers, fields)?;
    let facts = Facts::of(Fields::new(head, fields, seen), minor)?;
    let framing = match (facts.chunked, facts.length) {
        _ if method == Method::Head || status.is_bodiless() => Framing::None,
        (true, _) => Framing::Chunked,
        (false, Some(0)) => Framing::None,
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::Close,
    };
    let persists = facts.persists(minor) && framing != Framing::Close;
    Ok(Some(ResponseHead { len, status, framing, persists, seen }))
}
