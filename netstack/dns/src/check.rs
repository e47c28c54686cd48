//! Whether a zone makes sense, as `named-checkzone` sees it: what breaks it is an error, what is only odd a warning.

use crate::error::{What, ZoneError};
use crate::kind::Kind;
use crate::name::{Key, Name};
use crate::tree::{APEX, CNAME, CUT, DNAME};
use crate::zone::{Found, Set, Zone};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The most warnings that are kept.
const WARNINGS_MAX: usize = 16;

/// What is odd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The line, from 1 on.
    pub line: u32,
    /// What.
    pub odd: Odd,
    /// The name that it is about.
    pub name: Name,
}

/// In what way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// What mail or a service goes to is in the zone and has no address.
    NoAddress,
    /// What mail or a service goes to is an alias.
    Alias,
    /// It is below a delegation, where nobody is told of it.
    Hidden,
    /// A name server below another delegation has no address here.
    NoGlue,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: ", self.line, self.name)?;
        f.write_str(match self.odd {
            Odd::NoAddress => "has no address",
            Odd::Alias => "is an alias, and should not be pointed to",
            Odd::Hidden => "is below a delegation, and not an address: nobody will see it",
            Odd::NoGlue => "is below another delegation, and there is no address of it here",
        })
    }
}

/// Looks at all of it. `lines` has the line of each set.
pub(crate) fn check(zone: &Zone, lines: &[u32]) -> Result<Vec<Warning>, ZoneError> {
    let mut check = Check { zone, lines, warnings: Vec::new() };
    check.apex()?;
    for node in 0..zone.names() as u32 {
        check.node(node)?;
    }
    Ok(check.warnings)
}

struct Check<'a> {
    zone: &'a Zone,
    lines: &'a [u32],
    warnings: Vec<Warning>,
}

impl Check<'_> {
    fn apex(&self) -> Result<(), ZoneError> {
        let sets = self.zone.sets(APEX);
        let soa = sets.iter().position(|set| set.kind == Kind::SOA);
        let soa = soa.ok_or_else(|| ZoneError::new(0, What::NoSoa, b""))?;
        if sets[soa].count > 1 {
            return Err(ZoneError::new(self.lines[soa], What::TwoSoas, b""));
        }
        if self.zone.set(APEX, Kind::NS).is_none() {
            return Err(ZoneError::new(0, What::NoNs, b""));
        }
        Ok(())
    }

    fn node(&mut self, node: u32) -> Result<(), ZoneError> {
        let zone = self.zone;
        let first = zone.tree.node(node).first as usize;
        let flags = zone.tree.node(node).flags;
        let lines = &self.lines[first.min(self.lines.len())..];
        // Where the last of them begins.
        let line = lines.iter().take(zone.sets(node).len()).max().copied().unwrap_or_default();
        let fail = |line, what| Err(ZoneError::new(line, what, named(&zone.name_of(node)).as_bytes()));
        let sets = zone.sets(node);
        let is_real = |set: &&Set| set.kind != Kind::RRSIG && set.kind != Kind::NSEC;
        if flags & CNAME != 0
            && sets.iter().filter(is_real).any(|set| set.kind != Kind::CNAME || set.count > 1)
        {
            return fail(line, What::CnameAndOther);
        }
        if zone.set(node, Kind::DNAME).is_some_and(|set| set.count > 1) {
            return fail(line, What::TwoDnames);
        }
        if flags & (CUT | DNAME) != 0 && node != APEX && zone.tree.label(node) == b"\x01*" {
            return fail(line, What::WildcardNs);
        }
        if node != APEX && zone.set(node, Kind::SOA).is_some() {
            return fail(line, What::TwoSoas);
        }
        // What is above: there are at most 127 of them.
        let (mut above, mut hidden) = (zone.tree.parent(node), false);
        while let Some(parent) = above {
            hidden |= zone.tree.node(parent).flags & CUT != 0;
            if zone.tree.node(parent).flags & DNAME != 0 && !sets.is_empty() {
                return fail(line, What::BelowDname);
            }
            above = zone.tree.parent(parent);
        }
        for (index, set) in sets.iter().enumerate() {
            let line = self.lines[first + index];
            let is_glue = matches!(set.kind, Kind::A | Kind::AAAA);
            // At a cut there may be what the parent says of its child, beside the addresses.
            let here = flags & CUT == 0 || matches!(set.kind, Kind::NS | Kind::DS | Kind::NSEC | Kind::RRSIG);
            if (hidden || !here) && !is_glue {
                self.warn(line, Odd::Hidden, &zone.name_of(node));
            }
            if !hidden {
                self.targets(node, set, line)?;
            }
        }
        Ok(())
    }

    /// Where name servers, mail and services are.
    fn targets(&mut self, owner: u32, set: &Set, line: u32) -> Result<(), ZoneError> {
        let skip = match set.kind {
            Kind::NS => 0,
            Kind::MX => 2,
            Kind::SRV => 6,
            _ => return Ok(()),
        };
        let zone = self.zone;
        for data in zone.data(set) {
            let target = &data[skip..];
            let key = Key::of(target);
            // A service that is not there is a dot.
            let Some(depth) = zone.depth(&key).filter(|_| key.labels() > 0) else { continue };
            let found = zone.find(&key, depth, false);
            let node = match found {
                Found::Node(node) => Some(node),
                Found::Cut(_) => zone.node(&key),
                Found::Below(node) => zone.tree.child(node, b"*"),
                Found::Dname(..) => None,
            };
            let has = |kind| node.is_some_and(|node| zone.set(node, kind).is_some());
            let (addressed, alias) = (has(Kind::A) || has(Kind::AAAA), has(Kind::CNAME));
            let name = || Name::from_wire(target).unwrap_or(Name::ROOT);
            let fail = |what| Err(ZoneError::new(line, what, named(&name()).as_bytes()));
            match (set.kind, found) {
                _ if addressed => {}
                (Kind::NS, _) if alias || matches!(found, Found::Dname(..)) => {
                    return fail(What::TargetIsCname);
                }
                // The child's own servers cannot be found without; another child's perhaps.
                (Kind::NS, Found::Cut(cut)) if cut != owner => self.warn(line, Odd::NoGlue, &name()),
                (Kind::NS, _) => return fail(What::NoAddress),
                (_, Found::Cut(_)) => {}
                _ if alias || matches!(found, Found::Dname(..)) => self.warn(line, Odd::Alias, &name()),
                _ => self.warn(line, Odd::NoAddress, &name()),
            }
        }
        Ok(())
    }

    fn warn(&mut self, line: u32, odd: Odd, name: &Name) {
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(Warning { line, odd, name: name.clone() });
        }
    }
}

fn named(name: &Name) -> String {
    alloc::format!("{name}")
}
