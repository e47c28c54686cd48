//! Any frames, from neighbours who know what they do: the network stack takes no more memory than it may, comes to rest,
//! and serves whoever means well afterwards.

use crate::script::Script;
use embedded_io_async::{Read, Write};
use fata_link::wire::{self, Wire};
use fata_link::{Link, Parked};
use fata_netstack::{Config, IpAddress, IpEndpoint, Random, Stack, tcp, udp};
use fata_rt::{Executor, Rt};
use fata_sim::Clock;
use smoltcp::phy::{ChecksumCapabilities, Device, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpProtocol, IpRepr, TcpPacket};
use std::rc::Rc;
use std::time::Duration;

const OURS: [&str; 2] = ["10.0.0.1", "fd00::1"];
const THEIRS: [&str; 2] = ["10.0.0.2", "fd00::2"];
const PORTS: [u16; 6] = [80, 7, 68, 9, 49_152, 0];
const TIMES_MS: [u64; 4] = [1, 100, 3000, 70_000];
/// Turns until it must have come to rest.
const TURNS: u32 = 2000;
/// What is open at most: two sockets of ours, the backlog, connections that are served and that end.
const SOCKETS: usize = 2 + 8 + 600;

/// A stack under attack, and the attacker's end of the wire.
struct Siege {
    clock: Rc<Clock>,
    executor: Executor,
    stack: Stack,
    far: Wire,
    /// The last segment that the stack sent: ports, number and what it acknowledged.
    seen: Option<(u16, u16, u32, u32)>,
}

/// Does as the bytes say.
///
/// # Panics
/// If the stack does what it must not.
pub fn stack_frames(input: &[u8]) {
    let mut script = Script(input);
    let Some(mode) = script.byte() else { return };
    let mut siege = Siege::begin(mode);
    while let Some(control) = script.byte() {
        if siege.step(control, &mut script).is_none() {
            break;
        }
        siege.rest();
        assert!(siege.stack.sockets().0 <= SOCKETS);
    }
    siege.end();
}

pub(crate) fn config(words: &[(&str, &str)]) -> Config {
    let mut config = Config::default();
    for (name, value) in words {
        config.word(name, value).unwrap();
    }
    config.check().unwrap();
    config
}

impl Siege {
    fn begin(mode: u8) -> Self {
        let options = wire::Options {
            mtu: [1500, 1280, 9000, 576][usize::from(mode & 3)],
            checksum_offload: mode & 4 == 0,
            segmentation: core::num::NonZeroUsize::new(60_000).filter(|_| mode & 12 == 8),
            room: 4096,
        };
        let (near, far, _) = wire::pair(options);
        let clock = Rc::new(Clock::new());
        let executor = Executor::new(clock.clone());
        let rt = executor.rt();
        let v4 = if mode & 16 == 0 { "10.0.0.1/24" } else { "dhcp" };
        let stack = Stack::start(
            &rt,
            Parked::new(near),
            config(&[("ip", v4), ("ip6", "fd00::1/64")]),
            &Random::known(7),
        );
        serve(&rt, &stack);
        let mut siege = Self { clock, executor, stack, far, seen: None };
        siege.rest();
        siege
    }

    /// `None` at the end of the script.
    fn step(&mut self, control: u8, script: &mut Script<'_>) -> Option<()> {
        let v6 = usize::from(control & 8 != 0);
        let (from, to): (IpAddress, IpAddress) = (THEIRS[v6].parse().unwrap(), OURS[v6].parse().unwrap());
        let mut bytes = match control & 7 {
            0 => {
                let ms = TIMES_MS[usize::from(control >> 6)];
                self.clock.go_on(ms);
                return Some(());
            }
            1 => {
                let len = script.byte()?;
                script.bytes(len.into()).to_vec()
            }
            2 => {
                let protocol = [1, 58, 17, 6, 0, 44, 2, 255][script.below(8)?];
                let len = script.byte()?;
                packet(from, to, IpProtocol::from(protocol), script.bytes(len.into()))
            }
            3 => {
                let header = [67u16.to_be_bytes(), PORTS[script.below(6)?].to_be_bytes()].concat();
                let len = script.byte()?;
                let data = script.bytes(len.into());
                let header = [header, ((8 + data.len()) as u16).to_be_bytes().to_vec(), vec![0, 0]].concat();
                packet(from, to, IpProtocol::Udp, &[&header[..], data].concat())
            }
            4 | 5 => {
                let mut payload = self.segment(control, script)?;
                TcpPacket::new_unchecked(&mut payload[..]).fill_checksum(&from, &to);
                packet(from, to, IpProtocol::Tcp, &payload)
            }
            6 => fragment(from, to, script)?,
            _ => {
                let target = if control & 16 == 0 { to } else { from };
                let mac = EthernetAddress([2, 0, 0, 0, 0, script.byte()?]);
                fata_link::neighbor::ask(mac, from, target)?.bytes().to_vec()
            }
        };
        // A few bytes turned afterwards.
        if control & 64 != 0 {
            let (at, value) = (script.byte()?, script.byte()?);
            if let Some(byte) = bytes.get_mut(usize::from(at)) {
                *byte = value;
            }
        }
        if let Some(token) = self.far.transmit(Instant::ZERO)
            && bytes.len() <= 576
        {
            token.consume(bytes.len(), |room| room.copy_from_slice(&bytes));
            self.far.flush();
        }
        Some(())
    }

    /// A segment that may fit into a connection that there is.
    fn segment(&self, control: u8, script: &mut Script<'_>) -> Option<Vec<u8>> {
        let (flags, port, shift) = (script.byte()?, script.below(16)?, script.byte()? as i8);
        let (ours, theirs, number, acknowledged) =
            self.seen.filter(|_| control & 7 == 5).unwrap_or((80, 1000 + port as u16, 0, 0));
        let len = script.byte()?;
        let data = script.bytes(len.into());
        let mut bytes = vec![0; 20];
        bytes[..2].copy_from_slice(&theirs.to_be_bytes());
        bytes[2..4].copy_from_slice(&ours.to_be_bytes());
        bytes[4..8].copy_from_slice(&acknowledged.wrapping_add_signed(shift.into()).to_be_bytes());
        bytes[8..12].copy_from_slice(&number.wrapping_add(u32::from(control >> 7)).to_be_bytes());
        // The header may go on into the data, which are its options then.
        bytes[12] = 0x50 + (control & 0x20);
        bytes[13] = flags;
        bytes[14] = shift as u8;
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().max(usize::from(bytes[12] >> 4) * 4), 0);
        Some(bytes)
    }

    /// Lets all tasks do what they can at this time, and looks at what is sent.
    fn rest(&mut self) {
        for _ in 0..TURNS {
            let busy = self.executor.turn();
            let mut heard = false;
            while let Some((rx, _)) = self.far.receive(Instant::ZERO) {
                heard = true;
                rx.consume(|frame| self.seen = segment_of(frame).or(self.seen));
            }
            if !busy && !heard && self.executor.settle() {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// Somebody who means well comes, and is served.
    fn end(mut self) {
        self.clock.go_on(150_000);
        self.rest();
        let rt = self.executor.rt();
        let words = [("ip", "10.0.0.2/24"), ("ip6", "fd00::2/64")];
        let other = Stack::start(&rt, Parked::new(self.far), config(&words), &Random::known(9));
        // Without a server to lease it an address it has but one.
        let has_v4 = self.stack.addresses().iter().any(|cidr| matches!(cidr.address(), IpAddress::Ipv4(_)));
        let rt2 = rt.clone();
        let task = rt.spawn(async move {
            for there in OURS.into_iter().skip(usize::from(!has_v4)) {
                rt2.timeout(Duration::from_secs(100), visit(&other, there.parse().unwrap())).await.unwrap();
            }
        });
        while !task.is_finished() {
            if !self.executor.turn() && self.executor.settle() {
                self.executor.idle();
            }
        }
    }
}

async fn visit(stack: &Stack, there: IpAddress) {
    let mut pinger = stack.pinger(there, 3000).await.unwrap();
    pinger.ping(&[5; 3000]).await.unwrap();
    let mut stream = stack.connect(IpEndpoint::new(there, 80), tcp::Options::default()).await.unwrap();
    stream.write_all(&[6; 10_000]).await.unwrap();
    let mut back = vec![0; 10_000];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(back, [6; 10_000]);
}

/// Echoes: datagrams to 7, streams to 80.
fn serve(rt: &Rt, stack: &Stack) {
    let small = tcp::Options { receive: 4096, send: 4096, ..tcp::Options::default() };
    let listener = stack.listen(80, 8, small).unwrap();
    let rt2 = rt.clone();
    drop(rt.spawn(async move {
        loop {
            let (mut stream, rt3) = (listener.accept().await, rt2.clone());
            drop(rt2.spawn(async move {
                let mut buffer = [0; 1000];
                let echo = async {
                    while let Ok(len @ 1..) = stream.read(&mut buffer).await {
                        if stream.write_all(&buffer[..len]).await.is_err() {
                            break;
                        }
                    }
                };
                let _ = rt3.timeout(Duration::from_secs(30), echo).await;
            }));
        }
    }));
    let socket = stack.udp(7, udp::Options { datagrams: 8, bytes: 4096 }).unwrap();
    drop(rt.spawn(async move {
        loop {
            let (bytes, from) = socket.receive_with(|bytes, from| (bytes.to_vec(), from.endpoint)).await;
            let _ = socket.send(&bytes, from).await;
        }
    }));
}

fn ethernet(v6: bool) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    frame.extend_from_slice(if v6 { &[0x86, 0xdd] } else { &[8, 0] });
    frame
}

pub(crate) fn packet(from: IpAddress, to: IpAddress, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let ip = IpRepr::new(from, to, protocol, payload.len(), 255);
    let mut frame = ethernet(ip.header_len() == 40);
    frame.resize(14 + ip.header_len(), 0);
    ip.emit(&mut frame[14..], &ChecksumCapabilities::default());
    frame.extend_from_slice(payload);
    frame
}

fn fragment(from: IpAddress, to: IpAddress, script: &mut Script<'_>) -> Option<Vec<u8>> {
    let (protocol, number) = ([1, 58, 17, 6][script.below(4)?], script.byte()? & 3);
    let flags = u16::from_be_bytes([script.byte()?, script.byte()?]);
    let len = script.byte()?;
    let data = script.bytes(len.into());
    if matches!(from, IpAddress::Ipv6(_)) {
        let head = [protocol, 0, (flags >> 8) as u8, flags as u8, 0, 0, 0, number];
        return Some(packet(from, to, IpProtocol::from(44), &[&head[..], data].concat()));
    }
    let mut frame = packet(from, to, IpProtocol::from(protocol), data);
    frame[19] = number;
    frame[20..22].copy_from_slice(&flags.to_be_bytes());
    let ip = &mut smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[14..]);
    ip.fill_checksum();
    Some(frame)
}

fn segment_of(frame: &[u8]) -> Option<(u16, u16, u32, u32)> {
    let at = match (frame.get(12)?, frame.get(23)?, frame.get(20)?) {
        (8, 6, _) => 34,
        (0x86, _, 6) => 54,
        _ => return None,
    };
    let word = |at: usize| Some(u32::from_be_bytes(*frame.get(at..)?.first_chunk()?));
    let ports = word(at)?;
    // What acknowledges ours is the number to go on with.
    Some(((ports >> 16) as u16, ports as u16, word(at + 4)?, word(at + 8)?))
}
