//! What routers advertise (RFC 4861, 4862, 4191, 8106): prefixes to make addresses of, ways out, name servers, domains to
//! look for names in, and the MTU. smoltcp 0.14 keeps one prefix of an advertisement and none of the rest, so this is
//! done here. All of it has a lifetime, and there is room for little of each: what comes beyond that is not looked at.

use crate::config::{LEAST_MTU_V6, MAX_SEARCH, MAX_SERVERS, MAX_V6, is_server};
use crate::names;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use fata_random::Random;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, Icmpv6Packet, IpAddress, Ipv6Cidr};

/// The first and the longest time from one question for routers to the next (RFC 7559).
const PATIENCE: Duration = Duration::from_secs(4);
const MOST_PATIENCE: Duration = Duration::from_secs(3600);
const MAX_ROUTERS: usize = 4;
const TWO_HOURS: Duration = Duration::from_secs(7200);

/// So often somebody may have the address that we make for ourselves, before we make no more.
pub(crate) const ATTEMPTS: u8 = 8;

/// Until when something holds; for ever, without.
type Until = Option<Instant>;

struct Router {
    address: Ipv6Addr,
    /// RFC 4191: -1, 0 or 1.
    preference: i8,
    until: Until,
}

struct Prefix {
    prefix: Ipv6Addr,
    /// Others with the prefix are on the link.
    on_link: bool,
    /// Interface identifiers that turned out to be somebody else's.
    attempts: u8,
    address: Ipv6Addr,
    valid: Until,
    /// It is to be used for something new until then; at nought that is over.
    preferred: Until,
}

/// What was advertised and holds still.
#[derive(Default)]
pub(crate) struct Slaac {
    /// When to ask for routers next, and for how long to wait then.
    ask: Option<(Instant, Duration)>,
    routers: Vec<Router>,
    prefixes: Vec<Prefix>,
    name_servers: Vec<(Ipv6Addr, Until)>,
    search: Vec<(String, Until)>,
    pub(crate) mtu: Option<u16>,
}

impl Slaac {
    /// Asks for routers from now on, until one answers.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.ask = Some((now, PATIENCE));
    }

    /// Whether they are to be asked for now.
    pub(crate) fn asks(&mut self, now: Instant, random: &Random) -> bool {
        let Some((at, patience)) = self.ask.filter(|(at, _)| *at <= now) else { return false };
        // A tenth more or less, so that guests that started together do not go on together.
        let tenth = Duration::from_micros(random.below(patience.total_micros() / 5));
        let next = at.max(now) + patience * 9 / 10 + tenth;
        self.ask = Some((next, (patience * 2).min(MOST_PATIENCE)));
        true
    }

    /// When something is to be done next.
    pub(crate) fn due(&self) -> Option<Instant> {
        let preferred = |prefix: &Prefix| prefix.preferred.filter(|until| *until != Instant::ZERO);
        let prefixes = self.prefixes.iter().flat_map(|prefix| [prefix.valid, preferred(prefix)]);
        let routers = self.routers.iter().map(|router| router.until);
        let servers = self.name_servers.iter().map(|(_, until)| *until);
        let search = self.search.iter().map(|(_, until)| *until);
        let ask = self.ask.map(|(at, _)| at);
        prefixes.chain(routers).chain(servers).chain(search).chain([ask]).flatten().min()
    }

    /// Forgets what has run out. Gives whether there was any.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let holds = |until: Until| until.is_none_or(|until| until > now);
        let before = self.prefixes.len() + self.routers.len() + self.name_servers.len() + self.search.len();
        self.prefixes.retain(|prefix| holds(prefix.valid));
        self.routers.retain(|router| holds(router.until));
        self.name_servers.retain(|(_, until)| holds(*until));
        self.search.retain(|(_, until)| holds(*until));
        let after = self.prefixes.len() + self.routers.len() + self.name_servers.len() + self.search.len();
        let mut changed = before != after;
        for prefix in &mut self.prefixes {
            if prefix.preferred.is_some_and(|until| until != Instant::ZERO && until <= now) {
                prefix.preferred = Some(Instant::ZERO);
                changed = true;
            }
        }
        changed
    }

    /// Our addresses, those that are not to be used for something new last.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Ipv6Cidr> + '_ {
        let of = |preferred: bool| {
            let is = move |prefix: &&Prefix| {
                (prefix.preferred != Some(Instant::ZERO)) == preferred && prefix.attempts < ATTEMPTS
            };
            // Neighbours who are not on the link are reached by way of the router.
            let cidr = |prefix: &Prefix| Ipv6Cidr::new(prefix.address, if prefix.on_link { 64 } else { 128 });
            self.prefixes.iter().filter(is).map(cidr)
        };
        of(true).chain(of(false))
    }

    /// The way out: the one that wants to be it most, and of these the first that was heard of.
    pub(crate) fn router(&self) -> Option<Ipv6Addr> {
        let best = self.routers.iter().map(|router| router.preference).max()?;
        self.routers.iter().find(|router| router.preference == best).map(|router| router.address)
    }

    pub(crate) fn name_servers(&self) -> impl Iterator<Item = IpAddress> + '_ {
        self.name_servers.iter().map(|(address, _)| IpAddress::Ipv6(*address))
    }

    pub(crate) fn search(&self) -> impl Iterator<Item = String> + '_ {
        self.search.iter().map(|(name, _)| name.clone())
    }

    /// Somebody has this address of ours: takes another one with the same prefix. False if it is none of these.
    pub(crate) fn is_taken(&mut self, address: Ipv6Addr, mac: EthernetAddress) -> bool {
        let Some(prefix) = self.prefixes.iter_mut().find(|prefix| prefix.address == address) else {
            return false;
        };
        prefix.attempts = prefix.attempts.saturating_add(1);
        prefix.address = identified(prefix.prefix, mac, prefix.attempts);
        true
    }

    /// Hears a frame that is a router's advertisement. Gives whether anything has changed. What makes no sense is left out
    /// as the RFCs say, and an advertisement that is broken anywhere as a whole.
    pub(crate) fn hear(&mut self, frame: &[u8], mac: EthernetAddress, now: Instant) -> bool {
        let Some((source, advert)) = verified(frame) else { return false };
        let mut changed = self.hear_router(source, advert, now);
        let mut mtu = None;
        for (kind, option) in options(&advert[16..]) {
            changed |= match kind {
                3 => self.hear_prefix(option, mac, now),
                5 => {
                    let said = word(option, 4);
                    mtu = u16::try_from(said).ok().filter(|mtu| *mtu >= LEAST_MTU_V6);
                    false
                }
                25 => self.hear_name_servers(option, now),
                31 => self.hear_search(option, now),
                _ => false,
            };
        }
        if mtu.is_some() && mtu != self.mtu {
            (self.mtu, changed) = (mtu, true);
        }
        changed
    }

    fn hear_router(&mut self, source: Ipv6Addr, advert: &[u8], now: Instant) -> bool {
        let seconds = u16::from_be_bytes([advert[6], advert[7]]);
        let old = self.router();
        let known = self.routers.iter().position(|router| router.address == source);
        if seconds == 0 {
            if let Some(at) = known {
                self.routers.remove(at);
            }
            return self.router() != old;
        }
        // One that can be used: who is silent now is heard when it speaks.
        self.ask = None;
        let preference = match advert[5] >> 3 & 3 {
            1 => 1,
            3 => -1,
            _ => 0,
        };
        let router = Router {
            address: source,
            preference,
            until: Some(now + Duration::from_secs(u64::from(seconds))),
        };
        match known {
            Some(at) => self.routers[at] = router,
            None if self.routers.len() < MAX_ROUTERS => self.routers.push(router),
            None => {}
        }
        self.router() != old
    }

    /// RFC 4862 section 5.5.3.
    fn hear_prefix(&mut self, option: &[u8], mac: EthernetAddress, now: Instant) -> bool {
        let Some(option) = option.first_chunk::<32>() else { return false };
        let (on_link, autonomous) = (option[3] & 0x80 != 0, option[3] & 0x40 != 0);
        let (valid, preferred) = (word(option, 4), word(option, 8));
        let mut octets = [0; 16];
        // The identifier is 64 bits long (RFC 4291), and so is the prefix, or no address can be made of it.
        octets[..8].copy_from_slice(&option[16..24]);
        let prefix = Ipv6Addr::from(octets);
        if !autonomous || option[2] != 64 || preferred > valid || !is_global(prefix) {
            return false;
        }
        let new = Prefix {
            prefix,
            on_link,
            attempts: 0,
            address: identified(prefix, mac, 0),
            valid: until(valid, now),
            preferred: if preferred == 0 { Some(Instant::ZERO) } else { until(preferred, now) },
        };
        let Some(old) = self.prefixes.iter_mut().find(|old| old.prefix == prefix) else {
            let has_room = valid > 0 && self.prefixes.len() < MAX_V6;
            if has_room {
                self.prefixes.push(new);
            }
            return has_room;
        };
        let changed = old.on_link != on_link
            || (old.preferred == Some(Instant::ZERO)) != (new.preferred == Some(Instant::ZERO));
        (old.on_link, old.preferred) = (on_link, new.preferred);
        // An address is not taken from us by somebody who only says so: not within two hours.
        let in_two_hours = now + TWO_HOURS;
        let remains = |than: Instant| old.valid.is_none_or(|valid| valid > than);
        if new.valid.is_none_or(|valid| valid > in_two_hours || !remains(valid)) {
            old.valid = new.valid;
        } else if remains(in_two_hours) {
            old.valid = Some(in_two_hours);
        }
        changed
    }

    /// RFC 8106 section 5.1.
    fn hear_name_servers(&mut self, option: &[u8], now: Instant) -> bool {
        let seconds = word(option, 4);
        let mut changed = false;
        for octets in option.get(8..).unwrap_or_default().as_chunks::<16>().0 {
            let server = Ipv6Addr::from(*octets);
            if is_server(&IpAddress::Ipv6(server)) {
                changed |= keep(&mut self.name_servers, server, seconds, now, MAX_SERVERS);
            }
        }
        changed
    }

    /// RFC 8106 section 5.2.
    fn hear_search(&mut self, option: &[u8], now: Instant) -> bool {
        let seconds = word(option, 4);
        let mut changed = false;
        for name in names::read(option.get(8..).unwrap_or_default()) {
            changed |= keep(&mut self.search, name, seconds, now, MAX_SEARCH);
        }
        changed
    }
}

/// Keeps one of a list for so long, or no longer. Gives whether the list has changed.
fn keep<T: PartialEq>(all: &mut Vec<(T, Until)>, one: T, seconds: u32, now: Instant, most: usize) -> bool {
    match all.iter().position(|(known, _)| *known == one) {
        Some(at) if seconds == 0 => {
            all.remove(at);
            true
        }
        Some(at) => {
            all[at].1 = until(seconds, now);
            false
        }
        None => {
            let has_room = seconds > 0 && all.len() < most;
            if has_room {
                all.push((one, until(seconds, now)));
            }
            has_room
        }
    }
}

fn until(seconds: u32, now: Instant) -> Until {
    (seconds != u32::MAX).then(|| now + Duration::from_secs(seconds.into()))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_be_bytes(*word))
}

/// The advertisement in a frame, and whose it is, if RFC 4861 section 6.1.2 lets it count.
fn verified(frame: &[u8]) -> Option<(Ipv6Addr, &[u8])> {
    let ip = frame.get(14..)?.first_chunk::<40>()?;
    let len = usize::from(u16::from_be_bytes([ip[4], ip[5]]));
    let advert = frame.get(54..)?.get(..len)?;
    let octets = |at: usize| ip[at..].first_chunk::<16>().copied().map(Ipv6Addr::from);
    let (source, destination) = (octets(8)?, octets(24)?);
    let counts =
        ip[6] == 58 && ip[7] == 255 && source.is_unicast_link_local() && len >= 16 && advert[..2] == [134, 0];
    if !counts || !Icmpv6Packet::new_checked(advert).ok()?.verify_checksum(&source, &destination) {
        return None;
    }
    // An option without a length, or longer than what is left.
    let mut rest = &advert[16..];
    while !rest.is_empty() {
        let len = usize::from(*rest.get(1)?) * 8;
        rest = rest.get(len..).filter(|_| len > 0)?;
    }
    Some((source, advert))
}

fn options(mut rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    core::iter::from_fn(move || {
        let (option, after) = rest.split_at_checked(usize::from(*rest.get(1)?) * 8)?;
        rest = after;
        Some((*option.first()?, option))
    })
}

fn is_global(prefix: Ipv6Addr) -> bool {
    !prefix.is_unicast_link_local() && !prefix.is_multicast() && prefix.segments()[..4] != [0; 4]
}

/// An address with this prefix: at first by the Ethernet address (RFC 4291 appendix A), so that the administrator knows
/// it beforehand; then, if somebody has that, by what a hash makes of it, the same ones after each boot (as in RFC 7217,
/// but with nothing secret in it).
pub(crate) fn identified(prefix: Ipv6Addr, mac: EthernetAddress, attempts: u8) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    let mut id = [a ^ 2, b, c, 0xff, 0xfe, d, e, f];
    if attempts > 0 {
        let network = prefix.octets().first_chunk().map_or(0, |network| u64::from_be_bytes(*network));
        let hash = mix(u64::from_be_bytes(id) ^ mix(network) ^ mix(attempts.into()));
        // Neither universal nor a group's, so that it is nobody's who has it of an Ethernet address.
        id = (hash & !(3 << 56)).to_be_bytes();
    }
    let mut octets = prefix.octets();
    octets[8..].copy_from_slice(&id);
    octets.into()
}

/// SplitMix64's.
fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
