//! What can go wrong: with what was said, with the stream, and with our patience.

use crate::status::Status;
use core::fmt;
use embedded_io_async::ErrorKind;

/// Why an exchange, or a connection, did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// What came is no HTTP, or not such that two readers must understand it alike. Nothing after it is believed.
    Invalid(Rule),
    /// It is more than our limits allow.
    TooMuch(Excess),
    /// The stream ended, in order, but in the middle of a message.
    Truncated(At),
    /// The stream broke.
    Broken {
        /// How far the exchange was.
        at: At,
        /// What the stream says.
        kind: ErrorKind,
    },
    /// It took longer than our limits allow.
    Late(At),
    /// A handler wants this to be the answer.
    Status(Status),
    /// We were to send what is no HTTP.
    Misuse(Misuse),
    /// There is no memory for it.
    NoMemory,
}

/// How far an exchange was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Nothing of the next message had come.
    Between,
    /// In the head of what comes.
    Head,
    /// In its body.
    Body,
    /// In what we send.
    Sending,
}

/// A rule of RFC 9112 or RFC 9110 that a message breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The request line is method, target and version with one space between.
    RequestLine,
    /// The status line is version, three digits and a reason.
    StatusLine,
    /// The version is HTTP/1.0 or HTTP/1.1.
    Version,
    /// The target has one of four forms, of visible ASCII, without a fragment or a user.
    Target,
    /// The path is encoded as it should be, is UTF-8, and hides neither a slash nor a zero.
    Path,
    /// Field names are tokens, right before their colon; lines do not begin with space.
    FieldName,
    /// Field values have no control characters.
    FieldValue,
    /// Lines end with CR LF, and nothing else.
    LineEnd,
    /// A request of 1.1 has one `Host`, which is a host.
    Host,
    /// There is one `Content-Length`, of digits.
    ContentLength,
    /// `Transfer-Encoding` ends with `chunked`, once, and 1.0 has none.
    TransferEncoding,
    /// It is `chunked` alone that we know.
    Coding,
    /// A message has `Content-Length` or `Transfer-Encoding`, not both.
    TwoLengths,
    /// `Expect` is `100-continue`.
    Expectation,
    /// A chunk's size is hexadecimal digits of no more than 64 bits, and a line ends where it should.
    Chunk,
    /// Trailers are fields.
    Trailer,
    /// Interim answers come before the final one, and not without end.
    Interim,
}

/// A size that was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// Of the first line.
    Line,
    /// Of a head.
    Head,
    /// Fields in number.
    Fields,
    /// Of a body.
    Body,
    /// Of trailers, or of what accompanies chunks.
    Trailers,
}

/// What we cannot send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// A field whose name is no token, or whose value has control characters.
    Field,
    /// A body that is longer or shorter than was said.
    Length,
    /// A body that was not finished.
    Unfinished,
    /// A second answer, or one where none is due.
    Twice,
    /// No answer.
    Unanswered,
    /// A target that is none, or a method that is not sent.
    Target,
    /// A request on a connection that is used up.
    UsedUp,
}

impl Error {
    /// Nothing of the answer had come, so that the request may be sent again on another connection if that is
    /// [idempotent](crate::Method::is_idempotent), or if the connection was an old one (RFC 9112 section 9.3.1).
    pub fn nothing_came(self) -> bool {
        let at = match self {
            Self::Truncated(at) | Self::Broken { at, .. } | Self::Late(at) => at,
            Self::Misuse(Misuse::UsedUp) => return true,
            _ => return false,
        };
        matches!(at, At::Between | At::Sending)
    }

    /// What to answer who caused it, if that makes sense.
    pub fn status(self) -> Option<Status> {
        Some(match self {
            Self::Invalid(Rule::Version) => Status::VERSION_NOT_SUPPORTED,
            Self::Invalid(Rule::Coding) => Status::NOT_IMPLEMENTED,
            Self::Invalid(Rule::Expectation) => Status::EXPECTATION_FAILED,
            Self::Invalid(_) => Status::BAD_REQUEST,
            Self::TooMuch(Excess::Line) => Status::URI_TOO_LONG,
            Self::TooMuch(Excess::Body) => Status::CONTENT_TOO_LARGE,
            Self::TooMuch(_) => Status::FIELDS_TOO_LARGE,
            Self::Late(At::Head | At::Body) => Status::REQUEST_TIMEOUT,
            Self::Status(status) => status,
            Self::Misuse(_) => Status::INTERNAL_SERVER_ERROR,
            Self::NoMemory => Status::SERVICE_UNAVAILABLE,
            Self::Truncated(At::Head | At::Body) => Status::BAD_REQUEST,
            Self::Truncated(_) | Self::Broken { .. } | Self::Late(_) => return None,
        })
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<Rule> for Error {
    fn from(rule: Rule) -> Self {
        Self::Invalid(rule)
    }
}

impl From<Misuse> for Error {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}

impl Rule {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::RequestLine => "the request line is none",
            Self::StatusLine => "the status line is none",
            Self::Version => "the version is not HTTP/1.0 or HTTP/1.1",
            Self::Target => "the target makes no sense",
            Self::Path => "the path is not encoded as it should be",
            Self::FieldName => "a field's name is none, or not right before its colon",
            Self::FieldValue => "a field's value has control characters",
            Self::LineEnd => "a line does not end with CR LF",
            Self::Host => "there is not one Host, or it is none",
            Self::ContentLength => "there is not one Content-Length, or it is no number",
            Self::TransferEncoding => "Transfer-Encoding does not end with chunked, or has no place there",
            Self::Coding => "a transfer coding is not known here",
            Self::TwoLengths => "there are Content-Length and Transfer-Encoding",
            Self::Expectation => "the expectation is not known here",
            Self::Chunk => "a chunk is not as it should be",
            Self::Trailer => "the trailers are none",
            Self::Interim => "there are interim answers without end",
        }
    }
}

impl Excess {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Line => "the first line is too long",
            Self::Head => "the head is too long",
            Self::Fields => "there are too many fields",
            Self::Body => "the body is too long",
            Self::Trailers => "there is too much around the body",
        }
    }
}

impl At {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Between => "before the message",
            Self::Head => "in the head",
            Self::Body => "in the body",
            Self::Sending => "while sending",
        }
    }
}

impl Misuse {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Field => "a field to send is none",
            Self::Length => "a body to send does not have its length",
            Self::Unfinished => "a body to send was not finished",
            Self::Twice => "there is an answer already",
            Self::Unanswered => "there is no answer",
            Self::Target => "nothing like that can be asked for",
            Self::UsedUp => "the connection is used up",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, more) = match self {
            Self::Invalid(rule) => ("invalid message: ", rule.text()),
            Self::TooMuch(excess) => ("too much: ", excess.text()),
            Self::Truncated(at) => ("the stream ended ", at.text()),
            Self::Broken { at, .. } => ("the stream broke ", at.text()),
            Self::Late(at) => ("too late ", at.text()),
            Self::Status(status) => ("", status.reason()),
            Self::Misuse(misuse) => ("wrong use: ", misuse.text()),
            Self::NoMemory => ("there is not enough memory", ""),
        };
        f.write_str(what)?;
        f.write_str(more)
    }
}

impl core::error::Error for Error {}
