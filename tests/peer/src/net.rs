//! Jobs for a network, and where the images that are measured listen: `images/net-bench` speaks this as well, but for
//! names, which a name server knows.

use core::fmt;

/// Each datagram comes back.
pub const UDP_ECHO: u16 = 5001;
/// Datagrams are counted.
pub const UDP_SINK: u16 = 5002;
/// `N SIZE` asks for N datagrams of SIZE bytes.
pub const UDP_SOURCE: u16 = 5003;
/// Any datagram asks for `COUNT NANOSECONDS` of the sink since it was asked last.
pub const UDP_COUNT: u16 = 5004;
/// A line a connection: `R N` takes N bytes and answers `k`, `S N BLK` sends N bytes in writes of BLK and takes a
/// byte, `E` sends back what comes.
pub const TCP: u16 = 5000;
/// The longest datagram, and the longest write to a stream.
pub const LARGEST: usize = 65_536;

/// What is measured; in and out are as the guest sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Datagrams to the guest.
    UdpIn,
    /// Datagrams from the guest.
    UdpOut,
    /// Datagrams to the guest and back, one at a time.
    UdpEcho,
    /// The same with ICMP.
    Ping,
    /// A stream to the guest.
    TcpIn,
    /// A stream from the guest.
    TcpOut,
    /// Bytes of a stream to the guest and back, one write at a time.
    TcpEcho,
    /// Queries for what there is, so many unanswered at a time.
    DnsUdp,
    /// The same for names that are not there.
    DnsNothing,
    /// Queries for what there is on one stream.
    DnsTcp,
    /// Requests for a small page, over as many connections as the size says.
    Http,
    /// The same with a connection for each request.
    HttpEach,
    /// Requests for a large file.
    HttpFile,
}

/// Where pages come from: [`HTTP_PAGE`] bytes at `/index.html`, [`HTTP_FILE`] at `/1m.bin`.
pub const HTTP: u16 = 80;
/// What nginx comes with.
pub const HTTP_PAGE: usize = 612;
/// 1 MiB.
pub const HTTP_FILE: usize = 1 << 20;

const NAMES: [(&str, Kind); 13] = [
    ("udp-in", Kind::UdpIn),
    ("udp-out", Kind::UdpOut),
    ("udp-echo", Kind::UdpEcho),
    ("ping", Kind::Ping),
    ("tcp-in", Kind::TcpIn),
    ("tcp-out", Kind::TcpOut),
    ("tcp-echo", Kind::TcpEcho),
    ("http", Kind::Http),
    ("http-each", Kind::HttpEach),
    ("http-file", Kind::HttpFile),
    ("dns-udp", Kind::DnsUdp),
    ("dns-nothing", Kind::DnsNothing),
    ("dns-tcp", Kind::DnsTcp),
];

/// What to send, how much at once, and how often: `KIND,SIZE,COUNT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// What.
    pub kind: Kind,
    /// Bytes of a datagram without headers, or of a write to a stream; of queries, how many are unanswered at a time; with
    /// HTTP, connections at a time.
    pub size: usize,
    /// How many.
    pub count: u64,
}

impl Job {
    /// Reads one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(',');
        let name = words.next()?;
        let (_, kind) = NAMES.into_iter().find(|(known, _)| *known == name)?;
        let (size, count) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        (words.next().is_none() && (1..=LARGEST).contains(&size)).then_some(Self { kind, size, count })
    }

    /// Bytes in all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.size as u64 * self.count
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, kind)| *kind == self.kind).map_or("", |(name, _)| name);
        write!(f, "net {name} size {} count {}", self.size, self.count)
    }
}

/// A line that begins a connection to [`TCP`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Takes so many bytes.
    Receive(u64),
    /// Sends so many, in writes of this length.
    Send(u64, usize),
    /// Sends back what comes.
    Echo,
}

impl Command {
    /// Reads one.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let command = match words.next()? {
            "R" => Self::Receive(words.next()?.parse().ok()?),
            "S" => Self::Send(words.next()?.parse().ok()?, words.next()?.parse().ok()?),
            "E" => Self::Echo,
            _ => return None,
        };
        let fits = !matches!(command, Self::Send(_, block) if !(1..=LARGEST).contains(&block));
        (words.next().is_none() && fits).then_some(command)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receive(bytes) => writeln!(f, "R {bytes}"),
            Self::Send(bytes, block) => writeln!(f, "S {bytes} {block}"),
            Self::Echo => writeln!(f, "E"),
        }
    }
}

/// Bytes of a stream from `at` on, such that none that are lost, doubled or exchanged go unnoticed: SplitMix64, eight
/// bytes a number.
pub fn pattern(at: u64, into: &mut [u8]) {
    let (mut at, mut rest) = (at, into);
    while !rest.is_empty() {
        let skip = at as usize % 8;
        let (now, later) = rest.split_at_mut((8 - skip).min(rest.len()));
        now.copy_from_slice(&word(at / 8).to_le_bytes()[skip..][..now.len()]);
        at += now.len() as u64;
        rest = later;
    }
}

fn word(index: u64) -> u64 {
    let z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_understood_or_refused() {
        for (name, _) in NAMES {
            let job = Job::parse(&std::format!("{name},64,1000")).unwrap();
            assert_eq!(std::format!("{job}"), std::format!("net {name} size 64 count 1000"));
            assert_eq!(job.bytes(), 64_000);
        }
        for text in ["", "ping", "ping,1", "ping,0,1", "ping,65537,1", "ping,1,1,1", "pong,1,1"] {
            assert_eq!(Job::parse(text), None, "{text}");
        }
    }

    #[test]
    fn commands_are_understood_or_refused() {
        for command in [Command::Receive(1 << 40), Command::Send(10, 3), Command::Echo] {
            assert_eq!(Command::parse(&std::format!("{command}")), Some(command));
        }
        for line in ["", "X", "R", "R -1", "S 1", "S 1 0", "S 1 65537", "E 1", "R 1 1"] {
            assert_eq!(Command::parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_pattern_is_the_same_however_it_is_cut() {
        let mut whole = [0; 100];
        pattern(3, &mut whole);
        let mut piece = [0; 20];
        pattern(3 + 41, &mut piece);
        assert_eq!(whole[41..61], piece);
        assert_ne!(whole[..8], whole[8..16]);
    }
}
