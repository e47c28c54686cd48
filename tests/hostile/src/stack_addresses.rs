//! DHCP servers and routers who say anything, and neighbours who claim our addresses: the stack comes to rest, keeps within
//! its bounds, and takes other addresses when it is told to.

use crate::script::Script;
use crate::stack_frames::{config, packet};
use fata_link::wire::{self, Wire};
use fata_link::{Link, Parked, neighbor};
use fata_netstack::{IpAddress, MAX_SEARCH, MAX_SERVERS, Random, Stack, udp};
use fata_rt::{Executor, Rt};
use fata_sim::Clock;
use smoltcp::phy::{Device, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, Icmpv6Packet, IpProtocol};
use std::rc::Rc;
use std::time::Duration;

const TIMES_MS: [u64; 8] = [1, 60, 1000, 5000, 70_000, 1_000_000, 8_000_000, 100_000_000];
/// Turns until it must have come to rest.
const TURNS: u32 = 2000;

struct Siege {
    clock: Rc<Clock>,
    executor: Executor,
    stack: Stack,
    far: Wire,
    /// The number of the stack's last DHCP message.
    number: [u8; 4],
}

/// Does as the bytes say.
///
/// # Panics
/// If the stack does what it must not.
pub fn stack_addresses(input: &[u8]) {
    let mut script = Script(input);
    let Some(mode) = script.byte() else { return };
    let (near, far, _) = wire::pair(wire::Options { room: 4096, ..wire::Options::default() });
    let clock = Rc::new(Clock::new());
    let executor = Executor::new(clock.clone());
    let v4 = if mode & 1 == 0 { "dhcp" } else { "10.0.0.1/24" };
    let dad = ["optimistic", "wait", "off"][usize::from(mode >> 1) % 3];
    let config = config(&[("ip", v4), ("ip6", "slaac"), ("dad", dad)]);
    let stack = Stack::start(&executor.rt(), Parked::new(near), config, &Random::known(7));
    let mut siege = Siege { clock, executor, stack, far, number: [0; 4] };
    siege.rest();
    while siege.step(&mut script).is_some() {
        siege.rest();
        siege.check();
    }
    siege.end();
}

impl Siege {
    fn step(&mut self, script: &mut Script<'_>) -> Option<()> {
        let control = script.byte()?;
        let bytes = match control & 7 {
            0 => {
                let ms = TIMES_MS[usize::from(control >> 5)];
                self.clock.go_on(ms);
                return Some(());
            }
            1 | 2 => advert(control, script)?,
            3 | 4 => self.dhcp(control, script)?,
            5 => self.claim(control, script)?,
            6 => {
                let len = script.byte()?;
                script.bytes(len.into()).to_vec()
            }
            _ => {
                let words = [("ip", "dhcp"), ("ip6", "slaac"), ("ip", "10.0.0.1/24"), ("ip6", "fd00::1/64")];
                let at = usize::from(control >> 3) % 4;
                self.stack.configure(config(&[words[at], words[at ^ 1]]));
                return Some(());
            }
        };
        if let Some(token) = self.far.transmit(Instant::ZERO)
            && bytes.len() <= 1514
        {
            token.consume(bytes.len(), |room| room.copy_from_slice(&bytes));
            self.far.flush();
        }
        Some(())
    }

    fn dhcp(&self, control: u8, script: &mut Script<'_>) -> Option<Vec<u8>> {
        let kind = [2, 5, 6, 5][usize::from(control >> 3) % 4];
        let mut message = vec![0; 240];
        message[..4].copy_from_slice(&[2, 1, 6, 0]);
        message[4..8].copy_from_slice(&self.number);
        message[16..20].copy_from_slice(&[10, 0, 0, script.byte()?]);
        message[28..34].copy_from_slice(&self.stack.link().mac.0);
        message[236..240].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        message.extend([53, 1, kind, 54, 4, 10, 0, 0, 9]);
        if control & 64 == 0 {
            message.extend([1, 4, 255, 255, 255, 0, 51, 4, 0, 0, script.byte()?, 0]);
        }
        let len = script.byte()?;
        message.extend(script.bytes(len.into()));
        message.push(255);
        let mut datagram = vec![0, 67, 0, 68];
        datagram.extend((message.len() as u16 + 8).to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(message);
        let everybody = IpAddress::v4(255, 255, 255, 255);
        Some(packet(IpAddress::v4(10, 0, 0, 9), everybody, IpProtocol::Udp, &datagram))
    }

    /// Somebody has, or would like to have, an address of ours.
    fn claim(&self, control: u8, script: &mut Script<'_>) -> Option<Vec<u8>> {
        let ours = self.stack.addresses();
        let at = script.below(ours.len().max(1))?;
        let address = ours.get(at).map_or(IpAddress::v4(10, 0, 0, 1), |cidr| cidr.address());
        let mac = EthernetAddress([2, 0, 0, 0, 0, script.byte()?]);
        let nobody = match address {
            IpAddress::Ipv4(_) => IpAddress::v4(0, 0, 0, 0),
            IpAddress::Ipv6(_) => IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 0),
        };
        let frame = match control >> 3 & 1 {
            0 => neighbor::announce(mac, address),
            _ => neighbor::ask(mac, nobody, address)?,
        };
        Some(frame.bytes().to_vec())
    }

    fn rest(&mut self) {
        for _ in 0..TURNS {
            let busy = self.executor.turn();
            let mut heard = false;
            while let Some((rx, _)) = self.far.receive(Instant::ZERO) {
                heard = true;
                rx.consume(|frame| {
                    if frame.get(34..38) == Some(&[0, 68, 0, 67])
                        && let Some(number) = frame.get(46..).and_then(|rest| rest.first_chunk())
                    {
                        self.number = *number;
                    }
                });
            }
            if !busy && !heard && self.executor.settle() {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    fn check(&self) {
        let Self { stack, .. } = self;
        assert!(stack.addresses().len() <= 8 && stack.conflicts().len() <= 16);
        assert!(stack.name_servers().len() <= 2 * MAX_SERVERS && stack.search().len() <= 2 * MAX_SEARCH);
        assert!(stack.time_servers().len() <= MAX_SERVERS && stack.sockets().0 <= 1);
        for cidr in stack.addresses() {
            assert!(cidr.address().is_unicast(), "{cidr}");
        }
    }

    /// Told which addresses to have it has them, and can be spoken to.
    fn end(mut self) {
        self.stack.configure(config(&[("ip", "10.7.0.1/24"), ("ip6", "fd07::1/64")]));
        self.clock.go_on(10_000);
        self.rest();
        let rt = self.executor.rt();
        let words = [("ip", "10.7.0.2/24"), ("ip6", "fd07::2/64")];
        let other = Stack::start(&rt, Parked::new(self.far), config(&words), &Random::known(9));
        let (rt2, stack) = (rt.clone(), self.stack.clone());
        let task = rt.spawn(async move { visit(&rt2, &stack, &other).await });
        while !task.is_finished() {
            if !self.executor.turn() && self.executor.settle() {
                self.executor.idle();
            }
        }
        assert!(self.stack.addresses().len() >= 2);
    }
}

async fn visit(rt: &Rt, stack: &Stack, other: &Stack) {
    let socket = stack.udp(7, udp::Options::default()).unwrap();
    for there in ["10.7.0.1", "fd07::1"] {
        let sender = other.udp(9, udp::Options::default()).unwrap();
        let to = fata_netstack::IpEndpoint::new(there.parse().unwrap(), 7);
        sender.send(b"hello", to).await.unwrap();
        let mut buffer = [0; 10];
        rt.timeout(Duration::from_secs(10), socket.receive(&mut buffer)).await.unwrap();
    }
}

/// What a router advertises, with whatever options.
fn advert(control: u8, script: &mut Script<'_>) -> Option<Vec<u8>> {
    let from: IpAddress = format!("fe80::{}", control >> 5).parse().unwrap();
    let to: IpAddress = "ff02::1".parse().unwrap();
    let mut message = vec![134, 0, 0, 0, 64, script.byte()?, 0, script.byte()?];
    message.extend([0; 8]);
    for _ in 0..script.below(8)? {
        let kind = script.byte()?;
        let (option, len) = match kind & 3 {
            0 => {
                let mut option =
                    vec![3, 4, 64, script.byte()?, 0, 0, script.byte()?, 0, 0, 0, script.byte()?, 0];
                option.extend([0, 0, 0, 0, 0xfd, 0, 0, 0, 0, 0, 0, script.byte()?]);
                (option, 32)
            }
            1 => (vec![25, 5, 0, 0, 0, 0, script.byte()?, script.byte()?, 0xfd, script.byte()?], 40),
            2 => {
                let mut option = vec![31, 4, 0, 0, 0, 0, 1, script.byte()?];
                option.extend(script.bytes(24));
                (option, 32)
            }
            _ => (vec![script.byte()?, script.byte()?, 0, 0, 0, 0, script.byte()?, script.byte()?], 8),
        };
        message.extend(&option);
        message.resize(message.len() + len - option.len().min(len), 0);
    }
    if let (IpAddress::Ipv6(from), IpAddress::Ipv6(to)) = (from, to) {
        Icmpv6Packet::new_unchecked(&mut message[..]).fill_checksum(&from, &to);
    }
    Some(packet(from, to, IpProtocol::Icmpv6, &message))
}
