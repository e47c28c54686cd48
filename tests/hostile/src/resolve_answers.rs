//! Answers of servers of names, who know what they were asked: lookups end, take no more memory than they may and leave
//! nothing behind, and whoever asks an honest server afterwards is served.

use embedded_io_async::{Read, Write};
use fata_link::Parked;
use fata_link::wire;
use fata_netstack::{Config as Addresses, IpEndpoint, Stack, TcpStream, tcp, udp};
use fata_random::Random;
use fata_resolve::{Answer, Config, Error, Kind, Name, Resolver};
use fata_rt::{Executor, Rt};
use fata_sim::Clock;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const KINDS: [Kind; 8] =
    [Kind::A, Kind::AAAA, Kind::CNAME, Kind::MX, Kind::TXT, Kind::SRV, Kind::HTTPS, Kind::SOA];
const TTLS: [u32; 4] = [0, 60, 0x7fff_ffff, u32::MAX];
/// Lookups in one run.
const LOOKUPS: usize = 12;
const CACHE: (usize, usize) = (8, 2000);
/// No lookup takes longer: two names may be meant, each with half a minute, and to wait for the network is part of it.
const LONGEST: Duration = Duration::from_secs(100);

/// The input, which the lookups and the server take from in turn.
#[derive(Clone)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Shared {
    fn byte(&self) -> Option<u8> {
        self.0.borrow_mut().pop()
    }

    fn bytes(&self, len: u8) -> Vec<u8> {
        (0..len).map_while(|_| self.byte()).collect()
    }

    fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

/// Does as the bytes say.
///
/// # Panics
/// If a lookup does what it must not.
pub fn resolve_answers(input: &[u8]) {
    let script = Shared(Rc::new(RefCell::new(input.iter().rev().copied().collect())));
    let Some(mode) = script.byte() else { return };
    let clock = Rc::new(Clock::new());
    let executor = Executor::new(clock);
    let rt = executor.rt();
    let task = rt.spawn(run(rt.clone(), script, mode));
    while !task.is_finished() {
        if !executor.turn() && executor.settle() {
            executor.idle();
        }
    }
}

async fn run(rt: Rt, script: Shared, mode: u8) {
    let (a, b, _) = wire::pair(wire::Options::default());
    let random = Random::known(mode.into());
    let start = |link, word| {
        let mut config = Addresses::default();
        config.word("ip", word).unwrap();
        config.word("ip6", "off").unwrap();
        Stack::start(&rt, Parked::new(link), config, &random)
    };
    let (ours, theirs) = (start(a, "10.0.0.1/24"), start(b, "10.0.0.2/24"));
    serve(&rt, &theirs, &script);
    let config = Config {
        servers: [53, 54].into_iter().take(1 + usize::from(mode & 1)).map(at).collect(),
        mix_case: mode & 2 == 0,
        timeout: Duration::from_millis(500),
        cache_entries: CACHE.0,
        cache_bytes: CACHE.1,
        search: if mode & 4 == 0 { Vec::new() } else { vec![Name::parse("example").unwrap()] },
        ..Config::default()
    };
    let resolver = Resolver::new(&ours, &random, config);
    for _ in 0..LOOKUPS {
        let Some(control) = script.byte() else { break };
        let (kind, name) = (KINDS[usize::from(control & 7)], format!("n{}.example", control >> 3 & 7));
        let answer = rt.timeout(LONGEST, resolver.lookup(&name, kind)).await;
        check(&answer.expect("a lookup does not end"), kind);
        if control & 64 != 0 {
            rt.sleep(Duration::from_secs(u64::from(control) >> 7) * 100).await;
        }
        let (entries, bytes) = resolver.remembered();
        assert!(entries <= CACHE.0 && bytes <= CACHE.1);
    }
    // Without a script they mean well.
    script.0.borrow_mut().clear();
    rt.sleep(Duration::from_secs(100)).await;
    let before = rt.stats().tasks;
    for number in 0..2 {
        let answer = resolver.lookup(&format!("honest{number}.example."), Kind::A).await;
        assert_eq!(answer.map(|answer| answer.addresses().count()), Ok(1));
    }
    rt.sleep(Duration::from_secs(100)).await;
    assert_eq!((ours.sockets(), rt.stats().tasks), ((0, 0), before));
}

fn at(port: u16) -> IpEndpoint {
    IpEndpoint::new("10.0.0.2".parse().unwrap(), port)
}

/// What is said of an answer is true of it, and a terminal does not act on it.
fn check(answer: &Result<Answer, Error>, kind: Kind) {
    let Ok(answer) = answer else { return };
    let last = answer.records().last().expect("there is something, or an error");
    assert_eq!(last.kind, kind);
    for record in answer.records() {
        assert!(record.kind == kind || record.kind == Kind::CNAME);
        assert!(record.ttl_s <= 86_400);
        let text = format!("{} {}", record.name, record.data);
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text:?}");
    }
}

fn serve(rt: &Rt, stack: &Stack, script: &Shared) {
    for port in [53, 54] {
        let socket = stack.udp(port, udp::Options::default()).unwrap();
        let listener = stack.listen(port, 4, tcp::Options::default()).unwrap();
        let datagrams = script.clone();
        drop(rt.spawn(async move {
            loop {
                let (question, from) =
                    socket.receive_with(|bytes, from| (bytes.to_vec(), from.endpoint)).await;
                for answer in answers(&question, &datagrams) {
                    let _ = socket.send(&answer, from).await;
                }
            }
        }));
        let (rt2, streams) = (rt.clone(), script.clone());
        drop(rt.spawn(async move {
            loop {
                let (stream, script) = (listener.accept().await, streams.clone());
                let rt3 = rt2.clone();
                drop(rt2.spawn(async move {
                    let _ = rt3.timeout(Duration::from_secs(20), serve_stream(stream, script)).await;
                }));
            }
        }));
    }
}

async fn serve_stream(mut stream: TcpStream, script: Shared) {
    let mut len = [0; 2];
    if stream.read_exact(&mut len).await.is_err() {
        return;
    }
    let mut question = vec![0; u16::from_be_bytes(len).into()];
    if stream.read_exact(&mut question).await.is_err() {
        return;
    }
    for answer in answers(&question, &script) {
        let lie = script.byte().unwrap_or_default();
        let len = if lie < 240 { answer.len() as u16 } else { u16::from(lie).wrapping_mul(999) };
        if stream.write_all(&[&len.to_be_bytes(), &answer[..]].concat()).await.is_err() {
            return;
        }
    }
    stream.shutdown();
    let _ = stream.settled().await;
}

/// What is answered to a question: nothing, one message or two.
fn answers(question: &[u8], script: &Shared) -> Vec<Vec<u8>> {
    if script.is_empty() {
        return vec![honest(question)];
    }
    let Some(control) = script.byte() else { return Vec::new() };
    let count = [1, 1, 2, 0][usize::from(control >> 6)];
    (0..count).map(|_| answer(question, control, script)).collect()
}

/// Where the question ends.
fn end(question: &[u8]) -> usize {
    let mut at = 12;
    while question[at] > 0 {
        at += 1 + usize::from(question[at]);
    }
    at + 5
}

fn honest(question: &[u8]) -> Vec<u8> {
    let mut bytes = question[..end(question)].to_vec();
    bytes[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    bytes.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x09");
    bytes
}

fn answer(question: &[u8], control: u8, script: &Shared) -> Vec<u8> {
    let mut bytes = question[..end(question)].to_vec();
    match control & 7 {
        0 => return honest(question),
        1 => {
            // Any bytes, with our number in front.
            bytes.truncate(2);
            bytes.extend(script.bytes(script.byte().unwrap_or_default()));
            return bytes;
        }
        2 => bytes[12..].make_ascii_lowercase(),
        3 => bytes[1] ^= 1,
        _ => {}
    }
    bytes[2] = 0x81 | (control >> 3 & 2);
    bytes[3] = 0x80 | script.byte().unwrap_or_default() & 15;
    bytes[6..12].fill(0);
    let counts = script.byte().unwrap_or_default();
    for (section, count) in [counts & 7, counts >> 3 & 1, counts >> 4 & 3].into_iter().enumerate() {
        bytes[7 + 2 * section] = count;
        for _ in 0..count {
            if record(&mut bytes, question, script).is_none() {
                return bytes;
            }
        }
    }
    // A byte turned afterwards.
    if control & 8 != 0
        && let (Some(at), Some(value)) = (script.byte(), script.byte())
        && let Some(byte) = bytes.get_mut(usize::from(at))
    {
        *byte = value;
    }
    bytes
}

fn record(bytes: &mut Vec<u8>, question: &[u8], script: &Shared) -> Option<()> {
    let control = script.byte()?;
    name(bytes, control, script)?;
    let asked = [question[end(question) - 4], question[end(question) - 3]];
    let kind = match control >> 2 & 3 {
        0 => asked,
        1 => [0, 5],
        2 => [0, 41],
        _ => KINDS[usize::from(script.byte()? & 7)].0.to_be_bytes(),
    };
    bytes.extend_from_slice(&[kind[0], kind[1], 0, 1]);
    bytes.extend_from_slice(&TTLS[usize::from(control >> 4 & 3)].to_be_bytes());
    let at = bytes.len();
    bytes.extend_from_slice(&[0, 0]);
    let (len, head) = (script.byte()?, script.byte()?);
    bytes.extend(script.bytes(len & 63));
    if head & 4 != 0 {
        name(bytes, head, script)?;
    }
    bytes.extend(script.bytes(head >> 3 & 7));
    let len = (bytes.len() - at - 2) as u16 + u16::from(control >> 7);
    bytes[at..at + 2].copy_from_slice(&len.to_be_bytes());
    Some(())
}

fn name(bytes: &mut Vec<u8>, control: u8, script: &Shared) -> Option<()> {
    match control & 3 {
        // The question's.
        0 => bytes.extend_from_slice(&[0xc0, 12]),
        1 => bytes.extend_from_slice(&[0xc0 | script.byte()? & 1, script.byte()?]),
        2 => bytes.extend_from_slice(&[1, script.byte()?, 0xc0, 12]),
        _ => {
            let len = script.byte()?;
            bytes.push(len);
            bytes.extend(script.bytes(len));
            bytes.push(0);
        }
    }
    Some(())
}
