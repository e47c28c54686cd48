//! Whether our addresses are ours: probes before and while they are used, answers to those who would like to have them,
//! and what becomes of conflicts (RFC 5227 for IPv4, RFC 4862 section 5.4 for IPv6). smoltcp 0.14 does none of it; nor does
//! it answer those who ask from no address.
//!
//! [`Optimistic`](Duplicates::Optimistic), which is the default, follows RFC 4429 in that an address is used at once, so
//! that nothing waits, and in that nobody is told of it before who has it had the time to object. But our own questions for
//! neighbours do tell of it.

use crate::config::Duplicates;
use fata_link::neighbor::{self, Frame, Message};
use fata_random::Random;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, Icmpv6Packet, IpAddress, IpCidr};

/// Probes for IPv4, the least time between them, and the time after the last (RFC 5227 section 1.1).
const PROBES_V4: u8 = 3;
const PROBE_MIN: Duration = Duration::from_secs(1);
const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);
/// The probe for IPv6, and the time after it (RFC 4862 section 5.1, RFC 4861 section 10).
const PROBES_V6: u8 = 1;
const RETRANS_TIMER: Duration = Duration::from_secs(1);
/// How long the first probe has to be answered before an address that is used already is announced.
const OBJECTION: Duration = Duration::from_millis(50);
/// For so long a claim to our address is answered once (RFC 5227 section 2.4).
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// Somebody else has an address that was to be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The address.
    pub address: IpAddress,
    /// Who has it.
    pub holder: EthernetAddress,
}

/// One of our addresses.
pub(crate) struct Own {
    pub(crate) cidr: IpCidr,
    /// Probes that are left to send, and when the next step is due. Without, it is ours.
    asking: Option<(u8, Instant)>,
    /// When it is announced next.
    announce: Option<Instant>,
    /// When a claim of somebody else was answered last.
    defended: Option<Instant>,
}

/// What a frame means for our addresses.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Nothing,
    /// It is to be given up.
    Taken(Conflict),
    /// Somebody claims it, and was answered, or was lately.
    Defended,
}

impl Own {
    pub(crate) fn new(cidr: IpCidr, mode: Duplicates, now: Instant) -> Self {
        let mut own = Self { cidr, asking: None, announce: None, defended: None };
        own.begin(mode, now);
        own
    }

    /// Begins to ask whether somebody has it.
    fn begin(&mut self, mode: Duplicates, now: Instant) {
        let probes = if is_v4(&self.cidr) { PROBES_V4 } else { PROBES_V6 };
        (self.asking, self.announce) = match mode {
            Duplicates::Optimistic => (Some((probes, now)), Some(now + OBJECTION)),
            Duplicates::Wait => (Some((probes, now)), None),
            Duplicates::Off => (None, Some(now)),
        };
    }

    /// The link is there again. What was ours still is, and neighbours are to hear where it is now.
    pub(crate) fn link_up(&mut self, mode: Duplicates, now: Instant) {
        match self.asking {
            Some(_) => self.begin(mode, now),
            None => self.announce = Some(now),
        }
    }

    /// Whether it is used.
    pub(crate) fn is_used(&self, mode: Duplicates) -> bool {
        self.asking.is_none() || mode == Duplicates::Optimistic
    }

    /// When something is to be done next.
    pub(crate) fn due(&self) -> Option<Instant> {
        [self.asking.map(|(_, next)| next), self.announce].into_iter().flatten().min()
    }

    /// Does what is due. Gives whether it has become ours.
    pub(crate) fn step(
        &mut self,
        mac: EthernetAddress,
        now: Instant,
        random: &Random,
        send: &mut impl FnMut(Frame),
    ) -> bool {
        let address = self.cidr.address();
        let mut is_ours = false;
        if let Some((left, _)) = self.asking.filter(|(_, next)| *next <= now) {
            if left == 0 {
                (self.asking, self.announce) = (None, Some(now));
                is_ours = true;
            } else {
                let nobody = if is_v4(&self.cidr) { IpAddress::v4(0, 0, 0, 0) } else { UNSPECIFIED };
                neighbor::ask(mac, nobody, address).into_iter().for_each(&mut *send);
                let wait = match (is_v4(&self.cidr), left) {
                    (true, 1) => ANNOUNCE_WAIT,
                    (true, _) => PROBE_MIN + Duration::from_micros(random.below(1_000_000)),
                    (false, _) => RETRANS_TIMER,
                };
                self.asking = Some((left - 1, now + wait));
            }
        }
        if self.announce.is_some_and(|at| at <= now) {
            self.announce = None;
            send(neighbor::announce(mac, address));
        }
        is_ours
    }

    /// Somebody else says or asks this of it. `fixed` if it is ours whatever happens, once it is.
    fn hear(&mut self, claim: Claim, now: Instant, fixed: bool, is_used: bool) -> Answer {
        if self.asking.is_some() {
            // Who only asks gives up if we have it already; if neither does, neither may have it.
            let is_theirs = claim == Claim::Has || !is_used;
            return if is_theirs { Answer::GiveUp } else { Answer::Tell };
        }
        if claim == Claim::Wants {
            return Answer::Tell;
        }
        let lately = self.defended.is_some_and(|at| now < at + DEFEND_INTERVAL);
        if lately && !fixed {
            return Answer::GiveUp;
        }
        if !lately {
            (self.defended, self.announce) = (Some(now), Some(now));
        }
        Answer::Nothing
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Claim {
    Has,
    Wants,
}

enum Answer {
    Nothing,
    Tell,
    GiveUp,
}

const UNSPECIFIED: IpAddress = IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 0);

fn is_v4(cidr: &IpCidr) -> bool {
    matches!(cidr, IpCidr::Ipv4(_))
}

/// Looks at a frame that says or asks something of neighbours. `is_fixed` says of which addresses of ours nobody is to
/// take them from us, once they are ours.
pub(crate) fn hear(
    all: &mut [Own],
    frame: &[u8],
    mac: EthernetAddress,
    now: Instant,
    mode: Duplicates,
    is_fixed: impl Fn(&IpAddress) -> bool,
    send: &mut impl FnMut(Frame),
) -> Meaning {
    let (address, claim) = match neighbor::parse(frame) {
        Some(Message::Ask { from, target }) if from.is_unspecified() => (target, Claim::Wants),
        // Who asks for somebody else with our address has it, and so has who announces it.
        Some(Message::Ask { from: IpAddress::Ipv4(from), .. }) => (IpAddress::Ipv4(from), Claim::Has),
        Some(Message::Tell { who, .. }) => (who, Claim::Has),
        _ => return Meaning::Nothing,
    };
    let Some(at) = all.iter().position(|own| own.cidr.address() == address) else { return Meaning::Nothing };
    let holder = EthernetAddress::from_bytes(&frame[6..12]);
    // What comes back to us is ours; and what says that we are there.
    let is_echo = holder == mac || is_v4(&all[at].cidr) && frame.get(22..28) == Some(&mac.0[..]);
    if is_echo || !is_genuine(frame) {
        return Meaning::Nothing;
    }
    let is_used = all[at].is_used(mode);
    match all[at].hear(claim, now, is_fixed(&address), is_used) {
        Answer::GiveUp => Meaning::Taken(Conflict { address, holder }),
        Answer::Tell => {
            send(neighbor::defend(mac, address, holder));
            Meaning::Nothing
        }
        Answer::Nothing => Meaning::Defended,
    }
}

/// ARP has no checksum. Of neighbour discovery the checksum is right, and who asks from no address does as RFC 4861
/// section 7.1.1 says.
fn is_genuine(frame: &[u8]) -> bool {
    if frame.get(12) == Some(&0x08) {
        return true;
    }
    let Some(ip) = frame.get(14..).and_then(|rest| rest.first_chunk::<40>()) else { return false };
    let octets = |at: usize| ip[at..].first_chunk::<16>().copied().unwrap_or_default().into();
    let len = usize::from(u16::from_be_bytes([ip[4], ip[5]]));
    let message = frame.get(54..).and_then(|rest| rest.get(..len));
    let Some(Ok(message)) = message.map(Icmpv6Packet::new_checked) else { return false };
    message.verify_checksum(&octets(8), &octets(24)) && message.msg_code() == 0
}
