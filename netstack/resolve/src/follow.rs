//! From a name through its other names to what it has, within one message.

use crate::error::Error;
use crate::kind::Kind;
use crate::message::{Answers, Corrupt, Message, rcode};
use crate::name::Name;
use crate::record::{Data, Record};
use alloc::vec::Vec;

/// Names that may lead from one to the next.
pub(crate) const LINKS: usize = 16;

/// What a message says of a name.
#[derive(Debug)]
pub(crate) struct Step {
    /// The other names on the way, and what the last one has.
    pub(crate) records: Vec<Record>,
    pub(crate) end: End,
    /// For how long all of it may be kept.
    pub(crate) ttl_s: u32,
}

/// Where it ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With what was asked for.
    Found,
    /// There is nothing.
    Nothing(Error),
    /// At a name of which the message says nothing more.
    Elsewhere(Name),
}

/// Follows a name through a message that answers a question for it.
pub(crate) fn follow(message: &Message<'_>, name: &Name, kind: Kind) -> Result<Step, Corrupt> {
    let is_missing = message.rcode()? == rcode::NO_SUCH_NAME;
    let (mut answers, mut name, mut ttl_s) = (Answers::default(), name.clone(), u32::MAX);
    let mut links = 0;
    let end = loop {
        let before = answers.records.len();
        message.answers(&name, kind, &mut answers)?;
        if answers.records.len() > before {
            break End::Found;
        }
        if let Some(alias) = answers.alias.take() {
            let Data::Cname(to) = &alias.data else { return Err(Corrupt) };
            name = to.clone();
            answers.add(alias)?;
            links += 1;
            if links > LINKS {
                break End::Nothing(Error::Loop);
            }
            continue;
        }
        let nothing_for_s = message.nothing_for_s(&name)?;
        if !is_missing && links > 0 && nothing_for_s.is_none() {
            break End::Elsewhere(name);
        }
        ttl_s = nothing_for_s.unwrap_or(0);
        break End::Nothing(if is_missing { Error::NoSuchName } else { Error::NoData });
    };
    let ttl_s = answers.records.iter().map(|record| record.ttl_s).fold(ttl_s, u32::min);
    Ok(Step { records: answers.records, end, ttl_s })
}
