//! All of a zone, in as many messages as it takes (RFC 5936). Who asks for what has changed gets all of it too, or that
//! nothing has (RFC 1995 section 4).

use crate::answer::zone_of;
use crate::kind::Kind;
use crate::name::Key;
use crate::out::{Out, Owner, Section};
use crate::query::{CLASS_IN, Edns, HEADER, Rcode, kind, parse};
use crate::tree::APEX;
use crate::zone::Zone;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// What a message is to take at most, if no set alone is larger: names further on cannot be pointed to.
const MESSAGE: usize = 16 << 10;

/// A transfer under way. It goes on with its zone when another one has taken its place.
pub struct Transfer {
    zone: Rc<Zone>,
    /// The query's header and question.
    query: Vec<u8>,
    edns: Option<Edns>,
    next: Next,
}

/// What is sent next.
#[derive(Clone, Copy)]
enum Next {
    First,
    /// The sets of a name, from one of them on.
    Node(u32, usize),
    Done,
}

impl Transfer {
    /// Begins one, if the message asks for a zone that is here. Whether it may is for the caller to say.
    pub fn begin(zones: &[Rc<Zone>], message: &[u8]) -> Option<Self> {
        // Most messages ask for something else.
        kind(message).filter(|kind| matches!(*kind, Kind::AXFR | Kind::IXFR))?;
        let mut key = Key::new();
        let query = parse(message, &mut key).ok()?;
        let edns_known = query.edns.is_none_or(|edns| edns.version == 0);
        if query.class != CLASS_IN || !edns_known {
            return None;
        }
        let (found, 0) = zone_of(zones, &key, query.kind)? else { return None };
        let zone = zones.iter().find(|zone| core::ptr::eq(&***zone, found))?.clone();
        Some(
            Self { zone, query: message[..query.end].to_vec(), edns: query.edns, next: Next::First }
                .since(query.serial),
        )
    }

    /// Who has that already gets the SOA, and that is all.
    fn since(mut self, serial: Option<u32>) -> Self {
        // RFC 1982.
        if serial.is_some_and(|theirs| self.zone.serial().wrapping_sub(theirs) as i32 <= 0) {
            self.next = Next::Node(u32::MAX, 0);
        }
        self
    }

    /// Makes the next message in `out`, where there must be room for [`ANSWER_MAX`](crate::ANSWER_MAX) bytes. `None`
    /// when it is done.
    pub fn next(&mut self, out: &mut [u8]) -> Option<usize> {
        let question_end = self.query.len();
        let edns = self.edns.take();
        let limit = out.len();
        let mut out = Out::new(out, &self.query, limit, edns.is_some());
        out.authoritative();
        match self.next {
            Next::Done => return None,
            Next::First | Next::Node(u32::MAX, _) => {
                let parsed = parse_question(&self.query)?;
                out.question(&self.query, question_end, &parsed);
                let soa = self.zone.soa();
                out.set(Section::Answer, Owner::Question, &self.zone, &soa, soa.ttl).ok()?;
            }
            Next::Node(..) => {}
        }
        self.next = match self.next {
            Next::First => self.fill(&mut out, APEX, 0),
            Next::Node(u32::MAX, _) => Next::Done,
            Next::Node(node, set) => self.fill(&mut out, node, set),
            Next::Done => Next::Done,
        };
        Some(out.finish(edns, Rcode::NoError))
    }

    /// Puts in as many sets as fit, and the SOA once more after the last one.
    fn fill(&self, out: &mut Out<'_>, mut node: u32, mut first: usize) -> Next {
        let zone = &*self.zone;
        while (node as usize) < zone.names() {
            let sets = zone.sets(node);
            if first < sets.len() {
                let name = zone.name_of(node);
                for (index, set) in sets.iter().enumerate().skip(first) {
                    if set.kind == Kind::SOA {
                        continue;
                    }
                    let full = out.len() > MESSAGE
                        || out.set(Section::Answer, Owner::Name(&name), zone, set, set.ttl).is_err();
                    if full {
                        return Next::Node(node, index);
                    }
                }
            }
            (node, first) = (node + 1, 0);
        }
        let soa = zone.soa();
        match out.set(Section::Answer, Owner::Name(&zone.name), zone, &soa, soa.ttl) {
            Ok(()) => Next::Done,
            Err(_) => Next::Node(node, 0),
        }
    }
}

/// The name that was asked for.
fn parse_question(query: &[u8]) -> Option<Key> {
    let mut key = Key::new();
    key.set(query.get(HEADER..)?)?;
    Some(key)
}
