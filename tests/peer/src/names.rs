//! Asks a name server. Queries are in files, as they go over a stream: a length of two bytes before each.

use core::ffi::CStr;
use core::net::IpAddr;

use fata_peer::net::{Kind, LARGEST};

use crate::fail;
use crate::load::{self, Load};
use crate::socket::{Address, Socket};
use crate::sys::{Failed, File};

const PORT: u16 = 53;
/// For what there is, and for names that are not there.
const HITS: &CStr = c"/tmp/dns-hits";
const MISSES: &CStr = c"/tmp/dns-misses";
/// Such a file, and a query, at most.
const FILE: usize = 1 << 20;
const QUERY: usize = 512;
/// What an answer must say of itself (RFC 1035 section 4.1.1): that it is one, and with authority.
const ANSWER: u8 = 0x84;
const NO_ERROR: u8 = 0;
const NAME_ERROR: u8 = 3;

/// A file of queries.
struct Queries<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Queries<'a> {
    fn read(path: &CStr, room: &'a mut [u8; FILE]) -> Result<Self, Failed> {
        let file = File::open_to_read(path)?;
        let mut len = 0;
        loop {
            match file.read(&mut room[len..])? {
                0 => break,
                more => len += more,
            }
        }
        Ok(Self { bytes: &room[..len], at: 0 })
    }

    /// The next one, with its length in front and this number; after the last comes the first. Gives how long that is.
    fn next(&mut self, n: u64, into: &mut [u8; QUERY]) -> usize {
        if self.at == self.bytes.len() {
            self.at = 0;
        }
        let rest = &self.bytes[self.at..];
        let whole = length(rest).and_then(|len| rest.get(..2 + len));
        let Some(query) = whole.filter(|query| query.len() <= QUERY) else {
            fail(format_args!("there is no query at {}", self.at));
        };
        self.at += query.len();
        into[..query.len()].copy_from_slice(query);
        into[2..4].copy_from_slice(&(n as u16).to_be_bytes());
        query.len()
    }
}

/// What a message's first two bytes say in a stream.
fn length(bytes: &[u8]) -> Option<usize> {
    bytes.first_chunk().map(|len| u16::from_be_bytes(*len).into())
}

impl Load {
    fn queries<'a>(&self, room: &'a mut [u8; FILE]) -> Result<Queries<'a>, Failed> {
        Queries::read(if self.job.kind == Kind::DnsNothing { MISSES } else { HITS }, room)
    }

    /// Fails unless this answers one of `unanswered` queries, the last of which had the number before `next`, in the way
    /// that is due.
    fn judge(&self, answer: &[u8], next: u64, unanswered: u64) {
        let Some(&[id0, id1, flags, rcode, _, _, count0, count1]) = answer.first_chunk() else {
            fail(format_args!("an answer of {} bytes", answer.len()));
        };
        let age = (next as u16).wrapping_sub(u16::from_be_bytes([id0, id1]));
        let (rcode, found) = (rcode & 15, count0 | count1 != 0);
        let due = if self.job.kind == Kind::DnsNothing { (NAME_ERROR, false) } else { (NO_ERROR, true) };
        if flags & ANSWER != ANSWER || (rcode, found) != due {
            fail(format_args!("{}: an answer with {flags:#x}, {rcode}, found: {found}", self.job));
        }
        // What came late was thought to be lost; and no more are in line than were asked.
        if age == 0 || u64::from(age) > unanswered + self.job.size as u64 {
            fail(format_args!("{}: an answer to nothing, {age} back", self.job));
        }
    }

    pub(crate) fn names_by_datagrams(&self) -> Result<(), Failed> {
        let mut room = [0; FILE];
        let mut queries = self.queries(&mut room)?;
        let socket = self.udp(PORT)?;
        let (mut query, mut answer) = ([0; QUERY], [0; LARGEST]);
        let most = self.job.size as u64;
        self.measure(|| {
            let (mut sent, mut through, mut lost) = (0, 0, 0);
            while through + lost < self.job.count {
                while sent < self.job.count && sent - through - lost < most {
                    let len = queries.next(sent, &mut query);
                    socket.send(&query[2..len])?;
                    sent += 1;
                }
                match socket.receive(&mut answer)? {
                    Some(len) => {
                        self.judge(&answer[..len], sent, sent - through - lost);
                        through += 1;
                    }
                    None => lost = sent - through,
                }
            }
            Ok(through)
        })
    }

    pub(crate) fn names_by_a_stream(&self) -> Result<(), Failed> {
        let mut room = [0; FILE];
        let mut queries = self.queries(&mut room)?;
        let stream = self.tcp(PORT)?;
        stream.no_delay()?;
        let (mut asked, mut answers) = ([0; LARGEST], [0; LARGEST]);
        let most = self.job.size as u64;
        self.measure(|| {
            let (mut sent, mut through, mut had) = (0, 0, 0);
            while through < self.job.count {
                let mut len = 0;
                while sent < self.job.count && sent - through < most && len + QUERY <= asked.len() {
                    let Some(place) = asked[len..].first_chunk_mut() else { break };
                    len += queries.next(sent, place);
                    sent += 1;
                }
                stream.send_all(&asked[..len])?;
                match stream.receive(&mut answers[had..])? {
                    Some(more @ 1..) => had += more,
                    _ => fail(format_args!("{}: the end after {through} answers", self.job)),
                }
                let mut used = 0;
                while let Some(answer) =
                    length(&answers[used..had]).and_then(|len| answers[used..had].get(2..2 + len))
                {
                    self.judge(answer, sent, sent - through);
                    through += 1;
                    used += 2 + answer.len();
                }
                answers.copy_within(used..had, 0);
                had -= used;
            }
            Ok(through)
        })
    }
}

/// Asks the first question until there is an answer, sets the first mark, and says how long that took.
pub(crate) fn await_answer(target: IpAddr, limit_ms: u64) -> Result<(), Failed> {
    let (mut room, mut query) = ([0; FILE], [0; QUERY]);
    let len = Queries::read(HITS, &mut room)?.next(0, &mut query);
    let socket = Socket::udp(target)?;
    socket.connect(&Address::new(target, PORT))?;
    let is_right = |answer: &[u8]| {
        answer.get(2..4).is_some_and(|flags| flags[0] & ANSWER == ANSWER && flags[1] & 15 == NO_ERROR)
    };
    load::await_any(&socket, &query[2..len], limit_ms, is_right)
}
