//! Messages of a server that does as it is told.

use super::name;
use fata_netstack::IpEndpoint;
use fata_resolve::Kind;
use std::time::Duration;

/// What a server was asked.
#[derive(Clone, Debug)]
pub struct Query {
    pub bytes: Vec<u8>,
    /// As it was spelled.
    pub name: String,
    pub kind: Kind,
    pub stream: bool,
    pub edns: bool,
    pub from: IpEndpoint,
    /// The server's.
    pub port: u16,
}

impl Query {
    pub fn read(bytes: &[u8], stream: bool, from: IpEndpoint, port: u16) -> Self {
        let (mut at, mut name) = (12, String::new());
        while bytes[at] > 0 {
            let label = &bytes[at + 1..at + 1 + usize::from(bytes[at])];
            for byte in label {
                match byte {
                    b'-' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => name.push(char::from(*byte)),
                    _ => name += &format!("\\{byte:03}"),
                }
            }
            name.push('.');
            at += 1 + label.len();
        }
        let kind = Kind(u16::from_be_bytes([bytes[at + 1], bytes[at + 2]]));
        let edns = bytes[11] == 1;
        assert_eq!(bytes.len(), at + 5 + if edns { 11 } else { 0 });
        assert_eq!(bytes[2..11], [1, 0, 0, 1, 0, 0, 0, 0, 0]);
        if name.is_empty() {
            name.push('.');
        }
        Self { bytes: bytes.to_vec(), name, kind, stream, edns, from, port }
    }

    /// Without regard to case.
    pub fn is(&self, text: &str) -> bool {
        name(&self.name) == name(text)
    }

    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.bytes[0], self.bytes[1]])
    }

    /// An answer with nothing in it.
    pub fn reply(&self) -> Reply {
        let end = 12 + name(&self.name).wire().len() + 4;
        let mut bytes = self.bytes[..end].to_vec();
        bytes[2..4].copy_from_slice(&[0x81, 0x80]);
        bytes[11] = 0;
        Reply {
            bytes,
            after: Duration::ZERO,
            elsewhere: false,
            len: None,
            piece: usize::MAX,
            between: Duration::ZERO,
        }
    }

    /// The answer with one address.
    pub fn a(&self, last: u8) -> Vec<Reply> {
        vec![self.reply().record(&self.name, Kind::A, 60, &[10, 0, 0, last])]
    }

    pub fn no_such_name(&self) -> Vec<Reply> {
        vec![self.reply().rcode(3).soa("example", 300, 30)]
    }

    pub fn no_data(&self) -> Vec<Reply> {
        vec![self.reply().soa("example", 300, 30)]
    }
}

/// What a server sends.
#[derive(Clone, Debug)]
pub struct Reply {
    pub bytes: Vec<u8>,
    pub after: Duration,
    /// From another port than the server's.
    pub elsewhere: bool,
    /// The length that is told in a stream.
    pub len: Option<u16>,
    /// In a stream: so many bytes at a time, and how long it is from one piece to the next.
    pub piece: usize,
    pub between: Duration,
}

impl Reply {
    pub fn rcode(mut self, rcode: u8) -> Self {
        self.bytes[3] = self.bytes[3] & 0xf0 | rcode;
        self
    }

    pub fn truncated(mut self) -> Self {
        self.bytes[2] |= 2;
        self
    }

    pub fn id(mut self, id: u16) -> Self {
        self.bytes[..2].copy_from_slice(&id.to_be_bytes());
        self
    }

    pub fn after(mut self, ms: u64) -> Self {
        self.after = Duration::from_millis(ms);
        self
    }

    pub fn elsewhere(mut self) -> Self {
        self.elsewhere = true;
        self
    }

    /// One byte of it.
    pub fn byte(mut self, at: usize, value: u8) -> Self {
        self.bytes[at] = value;
        self
    }

    fn push(mut self, section: usize, owner: &str, kind: Kind, ttl_s: u32, data: &[u8]) -> Self {
        self.bytes.extend_from_slice(name(owner).wire());
        self.bytes.extend_from_slice(&kind.0.to_be_bytes());
        self.bytes.extend_from_slice(&[0, 1]);
        self.bytes.extend_from_slice(&ttl_s.to_be_bytes());
        self.bytes.extend_from_slice(&(data.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(data);
        let at = 6 + 2 * section;
        let count = u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]) + 1;
        self.bytes[at..at + 2].copy_from_slice(&count.to_be_bytes());
        self
    }

    /// With a record in the answer section.
    pub fn record(self, owner: &str, kind: Kind, ttl_s: u32, data: &[u8]) -> Self {
        self.push(0, owner, kind, ttl_s, data)
    }

    pub fn cname(self, owner: &str, ttl_s: u32, to: &str) -> Self {
        self.push(0, owner, Kind::CNAME, ttl_s, name(to).wire())
    }

    /// In the authority section.
    pub fn soa(self, zone: &str, ttl_s: u32, least_s: u32) -> Self {
        let numbers = [1, 2, 3, 4, least_s].map(u32::to_be_bytes).concat();
        let data = [name("ns.example").wire(), name("mail.example").wire(), &numbers].concat();
        self.push(1, zone, Kind::SOA, ttl_s, &data)
    }

    /// In the additional section.
    pub fn extra(self, owner: &str, kind: Kind, data: &[u8]) -> Self {
        self.push(2, owner, kind, 60, data)
    }

    /// With the question in small letters.
    pub fn lowered(mut self) -> Self {
        let mut at = 12;
        while self.bytes[at] > 0 {
            let end = at + 1 + usize::from(self.bytes[at]);
            self.bytes[at + 1..end].make_ascii_lowercase();
            at = end;
        }
        self
    }
}
