//! What a time server is asked, and what of its answers to believe (RFC 5905, RFC 4330 section 5).

use core::fmt;

/// Bytes of a packet without extensions.
pub const LEN: usize = 48;
/// The port of time servers.
pub const PORT: u16 = 123;

const NS_PER_S: u64 = 1_000_000_000;
/// From 1900, from which servers count, to 1970.
const SECONDS_BEFORE_1970: u64 = 2_208_988_800;
/// 2025-01-01, as servers count. What looks earlier is after their 32 bits run out in 2036.
const EARLIEST: u32 = 3_944_678_400;
/// The longest that question and answer may be on their way together: what is later says little.
const MAX_DELAY_NS: u64 = 2 * NS_PER_S;
/// How wrong a server may believe to be (MAXDISP).
const MAX_DISTANCE_NS: u64 = 16 * NS_PER_S;

/// Why an answer is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is none: too short, of another kind, or to another question. Whoever sent it, the answer may be yet to come.
    NoAnswer,
    /// The server wants no more questions (kiss-o'-death DENY or RSTR).
    Denied,
    /// The server wants fewer questions (RATE).
    TooOften,
    /// The server has another reason, in four letters.
    Kiss([u8; 4]),
    /// The server does not know the time itself.
    Unsynchronised,
    /// What it says cannot be: times that are absent or run backwards, or errors beyond measure.
    Absurd,
    /// It took too long to say much.
    Late,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAnswer => "this is no answer",
            Self::Denied => "the server wants no questions from us",
            Self::TooOften => "the server is asked too often",
            Self::Kiss(code) => return write!(f, "the server refuses: {}", code.escape_ascii()),
            Self::Unsynchronised => "the server does not know the time either",
            Self::Absurd => "the server's times make no sense",
            Self::Late => "the answer took too long",
        })
    }
}

/// A question on its way.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Drawn at random: the answer repeats it, and nobody else can.
    pub nonce: u64,
    /// When it was sent, on the monotonic clock.
    pub sent_ns: u64,
}

/// What a server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Nanoseconds since 1970 when our monotonic clock stood at zero.
    pub epoch_ns: u64,
    /// By how much that may be wrong, to either side.
    pub error_ns: u64,
    /// How long question and answer were on their way.
    pub delay_ns: u64,
    /// How far the server is from a clock.
    pub stratum: u8,
}

impl Question {
    /// The packet: version 4, a client's, and of all the fields the one that is not about us.
    pub fn packet(&self) -> [u8; LEN] {
        let mut packet = [0; LEN];
        packet[0] = 4 << 3 | 3;
        packet[40..].copy_from_slice(&self.nonce.to_be_bytes());
        packet
    }

    /// Reads what came at `now_ns` from where the question was sent to.
    pub fn answer(&self, packet: &[u8], now_ns: u64) -> Result<Answer, Refused> {
        let packet: &[u8; LEN] = packet.first_chunk().ok_or(Refused::NoAnswer)?;
        let word =
            |at: usize| u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
        let stamp = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        let (leap, version, mode, stratum) = (packet[0] >> 6, packet[0] >> 3 & 7, packet[0] & 7, packet[1]);
        // Before anything is believed, refusals included.
        if mode != 4 || !(1..=4).contains(&version) || stamp(24) != self.nonce {
            return Err(Refused::NoAnswer);
        }
        if stratum == 0 {
            return Err(match word(12).to_be_bytes() {
                code if code == *b"DENY" || code == *b"RSTR" => Refused::Denied,
                code if code == *b"RATE" => Refused::TooOften,
                code => Refused::Kiss(code),
            });
        }
        if leap == 3 || stratum > 15 {
            return Err(Refused::Unsynchronised);
        }
        let (received, transmitted) = (stamp(32), stamp(40));
        if received == 0 || transmitted == 0 {
            return Err(Refused::Absurd);
        }
        let (received_ns, transmitted_ns) = (since_1970_ns(received), since_1970_ns(transmitted));
        let distance_ns = short_ns(word(4)) / 2 + short_ns(word(8));
        let away_ns = now_ns.checked_sub(self.sent_ns).ok_or(Refused::Absurd)?;
        let there_ns = transmitted_ns.checked_sub(received_ns).ok_or(Refused::Absurd)?;
        if distance_ns >= MAX_DISTANCE_NS {
            return Err(Refused::Absurd);
        }
        // A server that claims to have had it for longer than it was away counts in another way than we do.
        let delay_ns = away_ns.checked_sub(there_ns).ok_or(Refused::Absurd)?;
        if delay_ns > MAX_DELAY_NS {
            return Err(Refused::Late);
        }
        let epoch_ns = (transmitted_ns + delay_ns / 2).checked_sub(now_ns).ok_or(Refused::Absurd)?;
        Ok(Answer { epoch_ns, error_ns: delay_ns.div_ceil(2) + distance_ns, delay_ns, stratum })
    }
}

/// A time stamp, of which the upper half is seconds since 1900.
fn since_1970_ns(stamp: u64) -> u64 {
    let seconds = (stamp >> 32) as u32;
    let seconds = u64::from(seconds) + (u64::from(seconds < EARLIEST) << 32) - SECONDS_BEFORE_1970;
    // Until 2161 and less than 2^63.
    seconds * NS_PER_S + ((u64::from(stamp as u32) * NS_PER_S) >> 32)
}

/// A span of time, of which the upper half is seconds.
fn short_ns(span: u32) -> u64 {
    (u64::from(span) * NS_PER_S) >> 16
}

/// The answer that most servers agree with: each says between which moments the truth lies, and it must lie between those
/// of more than half of them (RFC 5905 section 11.2.1). Of several such, the one that is the surest.
pub fn agreed(answers: &[Answer]) -> Option<Answer> {
    let overlap =
        |a: &Answer, b: &Answer| a.epoch_ns.abs_diff(b.epoch_ns) <= a.error_ns.saturating_add(b.error_ns);
    let has_most =
        |one: &&Answer| answers.iter().filter(|other| overlap(one, other)).count() * 2 > answers.len();
    answers.iter().filter(has_most).min_by_key(|answer| answer.error_ns).copied()
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
