//! Whether two answers say the same, and if not, why.

use anyhow::{Context as _, Result};
use domain::base::{Message, Rtype};
use domain::rdata::AllRecordData;

pub(super) enum Difference {
    /// The name that `docs/src/dns.md` explains it by.
    Known(&'static str),
    Unknown(String),
}

/// What an answer says, sections sorted: their order is nobody's concern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) flags: u16,
    pub(super) rcode: String,
    pub(super) question: String,
    pub(super) answer: Vec<String>,
    pub(super) authority: Vec<String>,
    pub(super) additional: Vec<String>,
    pub(super) edns: Option<(u8, bool)>,
}

impl Said {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let message = Message::from_octets(bytes.to_vec())?;
        let flags = u16::from_be_bytes(*bytes[2..].first_chunk().context("short")?);
        let (_, answer, authority, additional) = message.sections()?;
        let section = |section: domain::base::message::RecordSection<'_, Vec<u8>>| -> Result<Vec<String>> {
            let mut lines = Vec::new();
            for record in section {
                let record = record?.into_any_record::<AllRecordData<_, _>>()?;
                if record.rtype() != Rtype::OPT {
                    let (owner, ttl) = (record.owner(), record.ttl().as_secs());
                    lines.push(format!("{owner} {ttl} {} {}", record.rtype(), record.data()).to_lowercase());
                }
            }
            lines.sort();
            Ok(lines)
        };
        let question = message.question();
        let question = question.map(|q| q.map(|q| format!("{q:?}"))).collect::<Result<Vec<_>, _>>()?;
        let edns = message.opt().map(|opt| (opt.version(), opt.dnssec_ok()));
        Ok(Self {
            flags,
            rcode: message.opt_rcode().to_string(),
            question: question.concat(),
            answer: section(answer)?,
            authority: section(authority)?,
            additional: section(additional)?,
            edns,
        })
    }
}

/// Whether a query was not understood, or is for what is not done.
pub(super) fn is_error(answer: &[u8]) -> bool {
    matches!(answer[3] & 15, 1 | 4)
}

/// What is different, and whether that is explained.
pub(super) fn compare(query: &[u8], ours: Option<&[u8]>, theirs: Option<&[u8]>) -> Option<Difference> {
    let unknown = |why: &str| Some(Difference::Unknown(why.to_owned()));
    let (ours, theirs) = match (ours, theirs) {
        (None, None) => return None,
        (Some(ours), Some(theirs)) => (ours, theirs),
        // It hangs up on what cannot be a question.
        (Some(ours), None) if query.len() < SHORTEST && ours[3] & 15 == 1 => {
            return Some(Difference::Known("fragments"));
        }
        // Of errors it sends so many a second and no more.
        (Some(ours), None) if is_error(ours) => return Some(Difference::Known("errors-limited")),
        (Some(_), None) => return unknown("ours alone answers"),
        (None, Some(_)) => return unknown("NSD alone answers"),
    };
    let (Ok(ours), Ok(theirs)) = (Said::parse(ours), Said::parse(theirs)) else {
        return unknown("one cannot be read");
    };
    if ours == theirs {
        return None;
    }
    match explain(query, &ours, &theirs) {
        Some(name) => Some(Difference::Known(name)),
        None => unknown("they say different things"),
    }
}

/// Those that mean nothing in an error: authority, truncation, recursion desired, checking disabled.
const FLAGS: u16 = 0x710;
const NOTIFY: u8 = 4;
/// A header and the least question.
const SHORTEST: usize = 12 + 5;

fn explain(query: &[u8], ours: &Said, theirs: &Said) -> Option<&'static str> {
    let question = Question::of(query);
    let class = question.as_ref().map_or(0, |question| question.class);
    let kind = question.as_ref().map_or(0, |question| question.kind);
    let same_but = |change: &dyn Fn(&mut Said)| {
        let mut said = ours.clone();
        change(&mut said);
        said == *theirs
    };
    let is = |rcode: &str| ours.rcode == rcode;
    if is("NOTIMP") && (128..=254).contains(&kind) {
        return Some("meta-types");
    }
    if class == 255
        && same_but(&|said| {
            said.authority.clear();
            said.additional.clear();
        })
    {
        return Some("class-any");
    }
    if is("BADVERS")
        && same_but(&|said| (said.edns, said.flags) = (theirs.edns, said.flags | theirs.flags & FLAGS))
    {
        return Some("badvers");
    }
    if is("NOTIMP") && query[2] >> 3 & 15 == NOTIFY {
        return Some("notify");
    }
    if is("REFUSED") && class != 1 && same_but(&|said| said.question.clear()) {
        return Some("other-classes");
    }
    if is("FORMERR") && question.is_some_and(|question| question.trailing) && theirs.rcode != "FORMERR" {
        return Some("trailing-bytes");
    }
    if !ours.answer.is_empty() && ours.authority.is_empty() && same_but(&|said| said.additional.clear()) {
        return Some("additional");
    }
    if (is("FORMERR") || is("NOTIMP"))
        && same_but(&|said| said.flags = said.flags & !FLAGS | theirs.flags & FLAGS)
    {
        return Some("flags-of-errors");
    }
    None
}

/// What a query asks for, if that can be read.
struct Question {
    kind: u16,
    class: u16,
    /// There is more than the counts say.
    trailing: bool,
}

impl Question {
    fn of(query: &[u8]) -> Option<Self> {
        let mut at = 12;
        while let len @ 1..=63 = *query.get(at)? {
            at += 1 + usize::from(len);
        }
        let word = |at: usize| Some(u16::from_be_bytes(*query.get(at..)?.first_chunk()?));
        let counts = (word(4)?, word(6)?, word(8)?, word(10)?);
        let end = at + 5;
        // Ours have a record for EDNS or none.
        let opt = word(end + 9).map_or(0, |len| 11 + usize::from(len));
        let trailing = match counts {
            (1, 0, 0, 0) => query.len() > end,
            (1, 0, 0, 1) => query.len() > end + opt,
            _ => false,
        };
        Some(Self { kind: word(at + 1)?, class: word(at + 3)?, trailing })
    }
}
