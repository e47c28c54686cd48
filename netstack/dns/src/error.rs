//! Why a zone file is refused.

use crate::kind::Kind;
use crate::name::BadName;
use crate::text::escape;
use alloc::boxed::Box;
use core::fmt;

/// What is wrong with a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A parenthesis is not closed.
    OpenParenthesis,
    /// A parenthesis is closed that was not opened.
    CloseParenthesis,
    /// A quote is not closed on its line.
    OpenQuote,
    /// `$INCLUDE`.
    Include,
    /// `$GENERATE`.
    Generate,
    /// Another word with a dollar sign.
    Directive,
    /// A line without an owner, and none before it.
    NoOwner,
    /// No time to live, and nothing that says which one to take.
    NoTtl,
    /// A time that is none, or too long.
    Time,
    /// A class other than `IN`.
    Class,
    /// There is no type of that name.
    Type,
    /// Records of that type cannot be in a zone.
    MetaType,
    /// A name is none.
    Name(BadName),
    /// A number is none, or too large.
    Number,
    /// Not an IPv4 address.
    V4,
    /// Not an IPv6 address.
    V6,
    /// A string of more than 255 bytes, or with a backslash that makes no sense.
    String,
    /// Not hexadecimal.
    Hex,
    /// Not Base64.
    Base64,
    /// A tag of CAA that is not letters and digits.
    Tag,
    /// Not a parameter of a service, or with a value that is none of its.
    Parameter,
    /// A parameter twice.
    ParameterTwice,
    /// A parameter that another one makes necessary is missing.
    ParameterMissing,
    /// The record should go on.
    Short,
    /// There is more than the record has.
    Long,
    /// The bytes of a record are none of its type (RFC 3597 section 5).
    Data(Kind),
    /// The record is larger than any message.
    RecordTooLarge,
    /// There are more bytes, names or records than may be.
    TooLarge,
    /// The name is not below the zone's.
    OutOfZone,
    /// There is no SOA record.
    NoSoa,
    /// There are several SOA records.
    TwoSoas,
    /// The zone has no name servers.
    NoNs,
    /// A name has a CNAME and something else, or two of them.
    CnameAndOther,
    /// A name has several DNAME records.
    TwoDnames,
    /// A name is below one with a DNAME.
    BelowDname,
    /// NS or DNAME at a wildcard.
    WildcardNs,
    /// A name server has no address.
    NoAddress,
    /// A name server or mail exchanger is an alias.
    TargetIsCname,
}

impl What {
    fn as_str(self) -> &'static str {
        match self {
            Self::OpenParenthesis => "a parenthesis is opened and not closed",
            Self::CloseParenthesis => "a parenthesis is closed that was not opened",
            Self::OpenQuote => "a quote is not closed on its line",
            Self::Include => "$INCLUDE is refused: there are no other files here",
            Self::Generate => "$GENERATE is refused: write the records out",
            Self::Directive => "only $ORIGIN and $TTL are known",
            Self::NoOwner => "the first record has no owner",
            Self::NoTtl => "there is no time to live, and neither $TTL nor an earlier record has one",
            Self::Time => "a time is a number of seconds up to 2147483647, or like 1w2d3h4m5s",
            Self::Class => "the class must be IN",
            Self::Type => {
                "there is no such type; others than the usual ones are written as TYPE123 \\# LENGTH HEX"
            }
            Self::MetaType => "records of this type cannot be in a zone",
            Self::Name(bad) => bad.as_str(),
            Self::Number => "a number is missing, or too large",
            Self::V4 => "this is no IPv4 address",
            Self::V6 => "this is no IPv6 address",
            Self::String => {
                "a string has at most 255 bytes, and backslashes only before three digits up to 255 or a character"
            }
            Self::Hex => "this is not as many hexadecimal digits as were announced",
            Self::Base64 => "this is no Base64",
            Self::Tag => "a tag of CAA is made of letters and digits",
            Self::Parameter => "this is no parameter of a service, or its value makes no sense",
            Self::ParameterTwice => "a parameter is there twice",
            Self::ParameterMissing => "a parameter that others make mandatory is missing",
            Self::Short => "the record ends too early",
            Self::Long => "the record goes on after its end",
            Self::Data(_) => "these bytes are no record of this type",
            Self::RecordTooLarge => "the record is too large for a message",
            Self::TooLarge => "the zone is too large",
            Self::OutOfZone => "this name is not in the zone",
            Self::NoSoa => "the zone has no SOA",
            Self::TwoSoas => "the zone has more than one SOA",
            Self::NoNs => "the zone has no NS",
            Self::CnameAndOther => "a name with a CNAME cannot have other records, nor a second one",
            Self::TwoDnames => "a name has more than one DNAME",
            Self::BelowDname => "there can be nothing below a name with a DNAME",
            Self::WildcardNs => "a wildcard cannot have NS or DNAME",
            Self::NoAddress => "a name server in the zone has no address",
            Self::TargetIsCname => "a name server is an alias",
        }
    }
}

/// The most bytes of a word that are kept.
const WORD_MAX: usize = 60;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneError {
    /// The line, from 1 on; 0 if it is the zone as a whole.
    pub line: u32,
    /// What.
    pub what: What,
    /// The word that it is about, or its beginning; empty if there is none.
    pub word: Box<[u8]>,
}

impl ZoneError {
    pub(crate) fn new(line: u32, what: What, word: &[u8]) -> Self {
        Self { line, what, word: word[..word.len().min(WORD_MAX)].into() }
    }
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line != 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.word.is_empty() {
            self.word.iter().try_for_each(|byte| escape(f, *byte, b""))?;
            f.write_str(": ")?;
        }
        f.write_str(self.what.as_str())?;
        match self.what {
            What::Data(kind) => write!(f, " ({kind})"),
            _ => Ok(()),
        }
    }
}

impl core::error::Error for ZoneError {}
