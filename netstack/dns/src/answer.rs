//! The answer to a message (RFC 1034 section 4.3.2, and what changed it).

use crate::kind::Kind;
use crate::name::{Key, Name};
use crate::out::{Full, Out, Owner, Section, UDP_MAX};
use crate::query::{CLASS_ANY, CLASS_IN, Edns, HEADER, Query, Rcode, parse};
use crate::tree::{APEX, CNAME, WILD};
use crate::zone::{Found, Set, Zone};
use alloc::rc::Rc;

/// The room that [`answer`] wants, so that an answer over TCP fits.
pub const ANSWER_MAX: usize = 65_535;
/// The smallest room that all have for datagrams (RFC 1035 section 4.2.1).
const UDP_MIN: usize = 512;
/// The most aliases that are followed.
const ALIASES_MAX: usize = 16;
/// The most sets of records that are remembered, so that none is there twice.
const SETS_MAX: usize = 40;

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// In a stream.
    Tcp,
}

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its length.
    pub len: usize,
    /// How it ends.
    pub rcode: Rcode,
    /// Whether it has less than it should.
    pub truncated: bool,
    /// The same for answers that are alike: those about one name, and those about names that are not there below one.
    pub token: u32,
}

/// Makes the answer to a message in `out`, where there must be room for [`UDP_MAX`] bytes, or [`ANSWER_MAX`] for streams.
/// `None` if it is none that must be answered.
pub fn answer(zones: &[Rc<Zone>], query: &[u8], transport: Transport, out: &mut [u8]) -> Option<Reply> {
    let query_bytes = query;
    let mut key = Key::new();
    let query = match parse(query, &mut key) {
        Ok(query) => query,
        Err(None) => return None,
        Err(Some(rcode)) => {
            let mut out = Out::new(out, query_bytes, UDP_MIN, false);
            out.rcode(rcode);
            let len = out.finish(None, rcode);
            return Some(Reply { len, rcode, truncated: false, token: rcode as u32 });
        }
    };
    let limit = match (transport, query.edns) {
        (Transport::Tcp, _) => ANSWER_MAX,
        (Transport::Udp, None) => UDP_MIN,
        (Transport::Udp, Some(edns)) => usize::from(edns.size).clamp(UDP_MIN, UDP_MAX),
    };
    let mut out = Out::new(out, query_bytes, limit, query.edns.is_some());
    out.question(query_bytes, query.end, &key);
    let mut work = Work {
        query: &query,
        key: &key,
        transport,
        out,
        rcode: Rcode::NoError,
        token: 0,
        sets: [0; SETS_MAX],
        known: 0,
        more: [None; 4],
    };
    if work.begin(zones) == Err(Full) {
        // Whoever gets this asks again by TCP, and takes nothing from it (RFC 2181 section 9).
        work.out.clear(query.end);
        work.out.truncated();
    }
    let Work { mut out, rcode, token, .. } = work;
    out.rcode(rcode);
    let truncated = out.is_truncated();
    let len = out.finish(query.edns.map(|edns| Edns { version: 0, ..edns }), rcode);
    Some(Reply { len, rcode, truncated, token: token << 4 | rcode as u32 & 15 })
}

/// Makes of the beginning of an answer one that says nothing but that TCP is to be used. Gives its length.
pub fn truncate(query: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut key = Key::new();
    let parsed = parse(query, &mut key).ok()?;
    let mut out = Out::new(out, query, UDP_MIN, parsed.edns.is_some());
    out.question(query, parsed.end, &key);
    out.truncated();
    Some(out.finish(parsed.edns, Rcode::NoError))
}

struct Work<'a, 'o> {
    query: &'a Query,
    /// The name that is asked for.
    key: &'a Key,
    transport: Transport,
    out: Out<'o>,
    rcode: Rcode,
    token: u32,
    /// Where the data of what is there already is.
    sets: [u32; SETS_MAX],
    known: usize,
    /// Sets whose targets' addresses are to be added, and whose they are.
    more: [Option<(Set, u32)>; 4],
}

/// The zone that a name is in: of those that contain it the one with the most labels.
pub(crate) fn zone_of<'z>(zones: &'z [Rc<Zone>], key: &Key, kind: Kind) -> Option<(&'z Zone, usize)> {
    let zones = zones.iter().filter_map(|zone| Some((&**zone, zone.depth(key)?)));
    // A DS is on the parent's side, if that is here as well.
    zones.min_by_key(|(_, depth)| if kind == Kind::DS && *depth == 0 { usize::MAX } else { *depth })
}

impl Work<'_, '_> {
    fn begin(&mut self, zones: &[Rc<Zone>]) -> Result<(), Full> {
        let (key, Query { kind, class, edns, .. }) = (self.key, self.query);
        self.rcode = match *kind {
            _ if edns.is_some_and(|edns| edns.version != 0) => Rcode::BadVers,
            _ if *class != CLASS_IN && *class != CLASS_ANY => Rcode::Refused,
            Kind::AXFR if self.transport == Transport::Udp => Rcode::FormErr,
            Kind::AXFR | Kind::IXFR | Kind::ANY => Rcode::NoError,
            // What is about messages, or never was (RFC 6895 section 3.1).
            Kind(0 | 41 | 128..=255) => Rcode::NotImp,
            _ => Rcode::NoError,
        };
        if self.rcode != Rcode::NoError {
            return Ok(());
        }
        let Some((zone, depth)) = zone_of(zones, key, *kind) else {
            self.rcode = Rcode::Refused;
            return Ok(());
        };
        match *kind {
            Kind::AXFR | Kind::IXFR if depth != 0 => self.rcode = Rcode::NotAuth,
            // Whoever may have it does not come here.
            Kind::AXFR => self.rcode = Rcode::Refused,
            Kind::IXFR if self.transport == Transport::Tcp => self.rcode = Rcode::Refused,
            Kind::IXFR => {
                self.out.authoritative();
                let soa = zone.soa();
                return self.put(Section::Answer, Owner::Question, zone, &soa, soa.ttl);
            }
            _ => {
                // Of all classes we know one (RFC 1034 section 6.2.2).
                if *class == CLASS_IN {
                    self.out.authoritative();
                }
                return self.lookup(zone, depth);
            }
        }
        Ok(())
    }

    fn lookup(&mut self, zone: &Zone, mut depth: usize) -> Result<(), Full> {
        let kind = self.query.kind;
        let mut alias: Option<(Name, Key)> = None;
        for _ in 0..ALIASES_MAX {
            let (owner, key) = match &alias {
                None => (Owner::Question, self.key),
                Some((name, key)) => (Owner::Name(name), key),
            };
            let next = match zone.find(key, depth, kind == Kind::DS) {
                Found::Node(node) if alias.is_some() && self.is_loop(zone, node) => None,
                Found::Node(node) => self.node(zone, node, owner)?,
                Found::Cut(node) => {
                    self.token = node;
                    self.referral(zone, node)?;
                    None
                }
                Found::Below(node) => {
                    let wild = zone.tree.node(node).flags & WILD != 0;
                    match zone.tree.child(node, b"*").filter(|_| wild) {
                        Some(wild) => self.node(zone, wild, owner)?,
                        None => {
                            (self.rcode, self.token) = (Rcode::NxDomain, node);
                            self.negative(zone)?;
                            None
                        }
                    }
                }
                Found::Dname(node, labels) => self.dname(zone, node, labels, owner, key)?,
            };
            let Some(name) = next else { break };
            let key = Key::of(name.wire());
            let Some(inside) = zone.depth(&key) else { break };
            depth = inside;
            alias = Some((name, key));
        }
        self.additional(zone);
        Ok(())
    }

    /// What there is at a name. Gives the name to go on with.
    fn node(&mut self, zone: &Zone, node: u32, owner: Owner<'_>) -> Result<Option<Name>, Full> {
        self.token = node;
        let sets = zone.sets(node);
        let kind = self.query.kind;
        let found = match kind {
            // One will do (RFC 8482 section 4.1).
            Kind::ANY => zone.set(node, Kind::SOA).or_else(|| sets.first()),
            _ => sets.iter().find(|set| set.kind == kind),
        };
        if let Some(set) = found {
            self.put(Section::Answer, owner, zone, set, set.ttl)?;
            self.more_of(set, node);
            return Ok(None);
        }
        if zone.tree.node(node).flags & CNAME != 0
            && let Some(set) = zone.set(node, Kind::CNAME)
        {
            self.put(Section::Answer, owner, zone, set, set.ttl)?;
            return Ok(zone.data(set).next().and_then(Name::from_wire));
        }
        self.negative(zone)?;
        Ok(None)
    }

    /// Whether an alias leads back to one that was there already.
    fn is_loop(&self, zone: &Zone, node: u32) -> bool {
        zone.tree.node(node).flags & CNAME != 0
            && zone.set(node, Kind::CNAME).is_some_and(|set| self.has(set))
    }

    /// It is not there, and for so long it need not be asked for again (RFC 2308 section 3).
    fn negative(&mut self, zone: &Zone) -> Result<(), Full> {
        self.put(Section::Authority, Owner::Name(&zone.name), zone, &zone.soa(), zone.negative_ttl())
    }

    /// Somebody else knows.
    fn referral(&mut self, zone: &Zone, cut: u32) -> Result<(), Full> {
        if self.out.count(Section::Answer) == 0 {
            self.out.not_authoritative();
        }
        let Some(set) = zone.set(cut, Kind::NS) else { return Ok(()) };
        self.put(Section::Authority, Owner::Name(&zone.name_of(cut)), zone, set, set.ttl)?;
        // Addresses without which the way ends (RFC 9471): first those that only we know.
        let cut_key = Key::of(zone.name_of(cut).wire());
        for needed in [true, false] {
            for target in zone.data(set) {
                let key = Key::of(target);
                if key.ends_with(&cut_key) == needed && self.addresses(zone, &key) == Err(Full) && needed {
                    self.out.truncated();
                }
            }
        }
        Ok(())
    }

    /// A name below one that stands for another (RFC 6672 section 3.1).
    fn dname(
        &mut self,
        zone: &Zone,
        node: u32,
        labels: usize,
        owner: Owner<'_>,
        key: &Key,
    ) -> Result<Option<Name>, Full> {
        self.token = node;
        let Some(set) = zone.set(node, Kind::DNAME) else { return Ok(None) };
        if !self.has(set) {
            self.put(Section::Answer, Owner::Name(&zone.name_of(node)), zone, set, set.ttl)?;
        }
        let Some(mut name) = zone.data(set).next().and_then(Name::from_wire) else { return Ok(None) };
        if (0..labels).rev().any(|index| name.push_front(key.label(index)).is_none()) {
            self.rcode = Rcode::YxDomain;
            return Ok(None);
        }
        self.out.single(Section::Answer, owner, Kind::CNAME, set.ttl, name.wire())?;
        Ok(Some(name).filter(|_| self.query.kind != Kind::CNAME))
    }

    fn has(&self, set: &Set) -> bool {
        self.sets[..self.known].contains(&set.at)
    }

    fn put(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        zone: &Zone,
        set: &Set,
        ttl: u32,
    ) -> Result<(), Full> {
        self.out.set(section, owner, zone, set, ttl)?;
        if let Some(place) = self.sets.get_mut(self.known) {
            *place = set.at;
            self.known += 1;
        }
        Ok(())
    }

    /// Whose addresses will be asked for next.
    fn more_of(&mut self, set: &Set, node: u32) {
        if target_at(set.kind).is_some()
            && let Some(place) = self.more.iter_mut().find(|place| place.is_none())
        {
            *place = Some((*set, node));
        }
    }

    /// Adds what there is room for.
    fn additional(&mut self, zone: &Zone) {
        for (set, node) in self.more.into_iter().flatten() {
            let Some(skip) = target_at(set.kind) else { continue };
            for data in zone.data(&set) {
                let target = &data[skip..];
                // A service with a dot is at its own name (RFC 9460 section 2.5).
                let own = target[0] == 0 && skip == 2 && set.kind != Kind::MX && data[..2] != [0, 0];
                let key = if own { Key::of(zone.name_of(node).wire()) } else { Key::of(target) };
                if self.addresses(zone, &key) == Err(Full) {
                    return;
                }
            }
        }
    }

    fn addresses(&mut self, zone: &Zone, key: &Key) -> Result<(), Full> {
        let Some(node) = zone.node(key).filter(|_| self.known < SETS_MAX) else { return Ok(()) };
        for kind in [Kind::A, Kind::AAAA] {
            if let Some(set) = zone.set(node, kind).filter(|set| !self.has(set)) {
                self.put(Section::Additional, Owner::Name(&zone.name_of(node)), zone, set, set.ttl)?;
            }
        }
        Ok(())
    }
}

/// Where in the data the name is whose addresses are of use.
fn target_at(kind: Kind) -> Option<usize> {
    Some(match kind {
        Kind::NS => 0,
        Kind::MX | Kind::SVCB | Kind::HTTPS => 2,
        Kind::SRV => 6,
        _ => return None,
    })
}

const _: () = assert!(HEADER + 255 + 4 + 11 <= UDP_MIN && APEX == 0);
