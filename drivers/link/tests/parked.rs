//! `Parked` under a real smoltcp interface, among neighbours that the test plays.

use core::net::{Ipv4Addr, Ipv6Addr};
use fata_link::neighbor::{self, Message};
use fata_link::wire::{self, Wire};
use fata_link::{Limits, Link, Parked, Parking};
use fata_sim::Rng;
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress, IpCidr, IpProtocol, Ipv4Packet, Ipv4Repr,
    Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
};
use std::cell::Cell;
use std::rc::Rc;
use std::task::Waker;

const OURS_V4: &str = "10.0.0.1";
const OURS_V6: &str = "fd00::1";
const ROUTER_V4: &str = "10.0.0.254";
const ROUTER_V6: &str = "fd00::fe";

fn address(text: &str) -> IpAddress {
    text.parse().unwrap()
}

fn mac(number: u8) -> EthernetAddress {
    EthernetAddress([2, 1, 0, 0, 0, number])
}

/// The stack under test, and the cable's other end.
struct Net {
    interface: Interface,
    sockets: SocketSet<'static>,
    link: Parked<Wire>,
    parking: Rc<Cell<Parking>>,
    far: Wire,
    now_us: i64,
    /// Who is there to answer for an address.
    neighbors: Vec<(IpAddress, EthernetAddress)>,
    /// Answers to pings: to whom, and the number.
    answers: Vec<(EthernetAddress, IpAddress, u16)>,
    requests: Vec<IpAddress>,
}

impl Net {
    fn new(limits: Limits) -> Self {
        let (near, far, _) = wire::pair(wire::Options { room: 100_000, ..wire::Options::default() });
        let mut link = Parked::with(near, limits);
        let config = Config::new(link.status().mac.into());
        let mut interface = Interface::new(config, &mut link, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(address(OURS_V4), 24)).unwrap();
            addresses.push(IpCidr::new(address(OURS_V6), 64)).unwrap();
        });
        let (IpAddress::Ipv4(v4), IpAddress::Ipv6(v6)) = (address(ROUTER_V4), address(ROUTER_V6)) else {
            unreachable!()
        };
        interface.routes_mut().add_default_ipv4_route(v4).unwrap();
        interface.routes_mut().add_default_ipv6_route(v6).unwrap();
        let mut net = Self {
            interface,
            sockets: SocketSet::new(vec![]),
            parking: link.parking(),
            link,
            far,
            now_us: 1_000_000,
            neighbors: vec![(address(ROUTER_V4), mac(254)), (address(ROUTER_V6), mac(254))],
            answers: Vec::new(),
            requests: Vec::new(),
        };
        for ours in [OURS_V4, OURS_V6] {
            let announce = neighbor::announce(net.link.status().mac, address(ours));
            net.link.transmit(net.now()).unwrap().consume(announce.bytes().len(), |room| {
                room.copy_from_slice(announce.bytes());
            });
        }
        net.link.flush();
        net.run();
        net.requests.clear();
        net
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.now_us)
    }

    fn send(&mut self, frame: &[u8]) {
        let now = self.now();
        self.far.transmit(now).unwrap().consume(frame.len(), |room| room.copy_from_slice(frame));
        self.far.flush();
    }

    /// Until nothing moves any more at this time.
    fn run(&mut self) {
        loop {
            let now = self.now();
            self.interface.poll(now, &mut self.link, &mut self.sockets);
            self.link.flush();
            let mut moved = false;
            while let Some((rx, _)) = self.far.receive(now) {
                moved = true;
                let frame = rx.consume(|frame| frame.to_vec());
                self.look(&frame);
            }
            if !moved {
                return;
            }
        }
    }

    /// Lets time pass, as the link and the stack ask for it.
    fn pass(&mut self, us: i64) {
        self.run();
        let end = self.now_us + us;
        while let Some(due) = self.link.due().filter(|due| due.total_micros() <= end) {
            self.now_us = self.now_us.max(due.total_micros());
            self.run();
        }
        self.now_us = end;
        self.run();
    }

    fn look(&mut self, frame: &[u8]) {
        match neighbor::parse(frame) {
            Some(Message::Ask { from, target }) if from != target => {
                self.requests.push(target);
                if let Some((_, at)) = self.neighbors.iter().find(|(address, _)| *address == target).copied()
                {
                    let to = EthernetAddress::from_bytes(&frame[6..12]);
                    self.send(&tell(target, at, from, to));
                }
            }
            _ => self.answers.extend(echo_reply(frame)),
        }
    }

    fn ping(&mut self, from: EthernetAddress, source: IpAddress, number: u16) {
        let ours = if source.version() == address(OURS_V4).version() { OURS_V4 } else { OURS_V6 };
        let to = self.link.status().mac;
        let frame = echo_request(from, to, source, address(ours), number);
        self.send(&frame);
    }
}

fn ethernet(from: EthernetAddress, to: EthernetAddress, ethertype: EthernetProtocol, len: usize) -> Vec<u8> {
    let mut frame = vec![0; 14 + len];
    EthernetRepr { src_addr: from, dst_addr: to, ethertype }
        .emit(&mut EthernetFrame::new_unchecked(&mut frame));
    frame
}

fn ip_v6(from: Ipv6Addr, to: Ipv6Addr, message: &Icmpv6Repr<'_>, hop_limit: u8, packet: &mut [u8]) {
    let payload_len = message.buffer_len();
    let header =
        Ipv6Repr { src_addr: from, dst_addr: to, next_header: IpProtocol::Icmpv6, payload_len, hop_limit };
    header.emit(&mut Ipv6Packet::new_unchecked(&mut *packet));
    let sums = ChecksumCapabilities::default();
    message.emit(&from, &to, &mut Icmpv6Packet::new_unchecked(&mut packet[40..]), &sums);
}

fn echo_request(
    from: EthernetAddress,
    to: EthernetAddress,
    source: IpAddress,
    destination: IpAddress,
    number: u16,
) -> Vec<u8> {
    match (source, destination) {
        (IpAddress::Ipv4(source), IpAddress::Ipv4(destination)) => {
            let message = Icmpv4Repr::EchoRequest { ident: 7, seq_no: number, data: &[1; 20] };
            let mut frame = ethernet(from, to, EthernetProtocol::Ipv4, 20 + message.buffer_len());
            let header = Ipv4Repr {
                src_addr: source,
                dst_addr: destination,
                next_header: IpProtocol::Icmp,
                payload_len: message.buffer_len(),
                hop_limit: 64,
            };
            let sums = ChecksumCapabilities::default();
            header.emit(&mut Ipv4Packet::new_unchecked(&mut frame[14..]), &sums);
            message.emit(&mut Icmpv4Packet::new_unchecked(&mut frame[34..]), &sums);
            frame
        }
        (IpAddress::Ipv6(source), IpAddress::Ipv6(destination)) => {
            let message = Icmpv6Repr::EchoRequest { ident: 7, seq_no: number, data: &[1; 20] };
            let mut frame = ethernet(from, to, EthernetProtocol::Ipv6, 40 + message.buffer_len());
            ip_v6(source, destination, &message, 64, &mut frame[14..]);
            frame
        }
        _ => panic!("addresses of two families"),
    }
}

fn tell(who: IpAddress, at: EthernetAddress, to_ip: IpAddress, to: EthernetAddress) -> Vec<u8> {
    match (who, to_ip) {
        (IpAddress::Ipv4(who), IpAddress::Ipv4(to_ip)) => {
            let mut frame = ethernet(at, to, EthernetProtocol::Arp, 28);
            let reply = ArpRepr::EthernetIpv4 {
                operation: ArpOperation::Reply,
                source_hardware_addr: at,
                source_protocol_addr: who,
                target_hardware_addr: to,
                target_protocol_addr: to_ip,
            };
            reply.emit(&mut ArpPacket::new_unchecked(&mut frame[14..]));
            frame
        }
        (IpAddress::Ipv6(who), IpAddress::Ipv6(to_ip)) => {
            let flags = NdiscNeighborFlags::SOLICITED;
            let advert = NdiscRepr::NeighborAdvert { flags, target_addr: who, lladdr: Some(at.into()) };
            let message = Icmpv6Repr::Ndisc(advert);
            let mut frame = ethernet(at, to, EthernetProtocol::Ipv6, 40 + message.buffer_len());
            ip_v6(who, to_ip, &message, 255, &mut frame[14..]);
            frame
        }
        _ => panic!("addresses of two families"),
    }
}

fn echo_reply(frame: &[u8]) -> Option<(EthernetAddress, IpAddress, u16)> {
    let to = EthernetAddress::from_bytes(&frame[..6]);
    let number = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    match (frame[12], frame[23], frame.get(34), frame[20], frame.get(54)) {
        (8, 1, Some(0), ..) => {
            let octets: [u8; 4] = frame[30..34].try_into().unwrap();
            Some((to, IpAddress::Ipv4(Ipv4Addr::from(octets)), number(40)))
        }
        (0x86, .., 58, Some(129)) => {
            let octets: [u8; 16] = frame[38..54].try_into().unwrap();
            Some((to, IpAddress::Ipv6(Ipv6Addr::from(octets)), number(60)))
        }
        _ => None,
    }
}

fn host(family: u8, number: u8) -> IpAddress {
    if family == 4 { IpAddress::v4(10, 0, 0, number) } else { address(&format!("fd00::{number:x}")) }
}

#[test]
fn the_first_ping_of_an_unknown_neighbor_is_answered() {
    for family in [4, 6] {
        let mut net = Net::new(Limits::default());
        net.neighbors.push((host(family, 2), mac(2)));
        net.ping(mac(2), host(family, 2), 1);
        net.run();
        assert_eq!(net.answers, [(mac(2), host(family, 2), 1)], "IPv{family}");
        assert_eq!(net.parking.get(), Parking { kept: 1, delivered: 1, ..Parking::default() });
        net.ping(mac(2), host(family, 2), 2);
        net.run();
        assert_eq!(net.answers.len(), 2);
        assert_eq!(net.parking.get().kept, 1, "the neighbor was known");
        assert_eq!(net.link.due(), None);
    }
}

/// What smoltcp alone makes of it, so that one sees when this is no longer needed.
#[test]
fn without_us_it_is_lost() {
    let mut net = Net::new(Limits { frames: 0, bytes: 0 });
    net.neighbors.push((host(4, 2), mac(2)));
    net.ping(mac(2), host(4, 2), 1);
    net.run();
    assert_eq!(net.answers, []);
    assert_eq!(net.parking.get().refused, 1);
}

#[test]
fn several_from_one_neighbor_are_answered_in_order() {
    for family in [4, 6] {
        let mut net = Net::new(Limits::default());
        // Nobody answers at first.
        (1..=10).for_each(|number| net.ping(mac(2), host(family, 2), number));
        net.run();
        assert_eq!((net.answers.len(), net.parking.get().kept), (0, 10));
        net.neighbors.push((host(family, 2), mac(2)));
        net.pass(1_000_000);
        let numbers: Vec<_> = net.answers.iter().map(|(.., number)| *number).collect();
        assert_eq!(numbers, (1..=10).collect::<Vec<_>>(), "IPv{family}");
        assert_eq!(net.parking.get().asked, 1, "a lost request is sent again");
    }
}

#[test]
fn the_first_ping_from_beyond_a_gateway_is_answered_by_way_of_it() {
    for (family, sources) in [(4, ["192.0.2.1", "192.0.2.2"]), (6, ["2001:db8::1", "2001:db8::2"])] {
        let mut net = Net::new(Limits::default());
        for (number, source) in (1..).zip(sources) {
            net.ping(mac(254), address(source), number);
        }
        net.run();
        let expected: Vec<_> =
            (1..).zip(sources).map(|(number, source)| (mac(254), address(source), number)).collect();
        assert_eq!(net.answers, expected, "IPv{family}");
        assert_eq!(net.requests.len(), 1, "{:?}", net.requests);
    }
}

#[test]
fn many_neighbors_at_once_are_answered_at_once() {
    for family in [4, 6] {
        let mut net = Net::new(Limits::default());
        for number in 2..42 {
            net.neighbors.push((host(family, number), mac(number)));
            net.ping(mac(number), host(family, number), number.into());
        }
        net.run();
        let mut numbers: Vec<_> = net.answers.iter().map(|(.., number)| *number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (2..42).collect::<Vec<_>>(), "IPv{family}");
        assert_eq!(net.requests.len(), 40, "one request each");
    }
}

#[test]
fn a_neighbor_that_asks_us_is_heard_of() {
    let mut net = Net::new(Limits::default());
    net.ping(mac(2), host(4, 2), 1);
    net.run();
    assert_eq!(net.answers, []);
    let request = neighbor::ask(mac(2), host(4, 2), address(OURS_V4)).unwrap();
    net.send(request.bytes());
    net.run();
    assert_eq!(net.answers, [(mac(2), host(4, 2), 1)]);
}

#[test]
fn a_neighbor_that_never_answers_is_given_up_and_nothing_stays() {
    let mut net = Net::new(Limits::default());
    net.ping(mac(2), host(4, 2), 1);
    net.ping(mac(3), host(4, 3), 1);
    net.pass(10_000_000);
    assert_eq!(net.parking.get(), Parking { kept: 2, lost: 2, asked: 5, ..Parking::default() });
    assert_eq!((net.link.due(), net.answers.len()), (None, 0));
}

/// What was taken in silence, or is not for us, must come once.
#[test]
fn other_frames_are_not_kept() {
    let mut net = Net::new(Limits::default());
    net.ping(mac(2), host(4, 2), 1);
    net.run();
    let ours = net.link.status().mac;
    let mut to_another = echo_request(mac(3), mac(9), host(4, 3), address(OURS_V4), 1);
    net.send(&to_another);
    to_another[..6].copy_from_slice(&[0xff; 6]);
    let for_another = echo_request(mac(3), ours, host(4, 3), host(4, 77), 1);
    net.send(&for_another);
    let mut datagram = echo_request(mac(3), ours, host(4, 3), address(OURS_V4), 1);
    datagram[23] = 17;
    net.send(&datagram);
    let mut segment = datagram.clone();
    segment[23] = 6;
    segment[34 + 13] = 0x10;
    net.send(&segment);
    net.run();
    assert_eq!(net.parking.get(), Parking { kept: 1, ..Parking::default() });
}

/// Frames of all kinds, from everywhere, for a long time: memory and requests stay bounded, and a neighbor that pings
/// afterwards is answered.
#[test]
fn a_flood_is_bounded() {
    let mut random = Rng::new();
    let limits = Limits { frames: 32, bytes: 8 << 10 };
    let mut net = Net::new(limits);
    for round in 0..300 {
        for _ in 0..50 {
            let (from, number) = (mac(random.within(2..250) as u8), random.within(2..250) as u8);
            let mut source = host(if random.within(0..2) == 0 { 4 } else { 6 }, number);
            if random.within(0..4) == 0 {
                source = IpAddress::v4(random.number() as u8, 1, 2, number);
            }
            let ours = if source.version() == address(OURS_V4).version() { OURS_V4 } else { OURS_V6 };
            let mut frame = echo_request(from, net.link.status().mac, source, address(ours), round);
            match random.within(0..4) {
                0 => frame.truncate(random.within(0..frame.len())),
                1 => {
                    let at = random.within(0..frame.len());
                    frame[at] = random.number() as u8;
                }
                2 => frame.extend_from_slice(&random.bytes(1000)),
                _ => {}
            }
            net.send(&frame);
        }
        net.pass(random.within(0..200_000) as i64);
        let counts = net.parking.get();
        let held = counts.kept - counts.delivered - counts.lost;
        assert!(held <= limits.frames as u64, "{held} frames are kept");
    }
    let counts = net.parking.get();
    assert!(counts.asked <= 3 * counts.kept && counts.refused > 1000, "{counts:?}");
    net.pass(5_000_000);
    let counts = net.parking.get();
    assert_eq!(counts.kept, counts.delivered + counts.lost);
    net.answers.clear();
    net.neighbors.push((host(4, 251), mac(251)));
    net.ping(mac(251), host(4, 251), 9);
    net.run();
    assert_eq!(net.answers, [(mac(251), host(4, 251), 9)]);
}

#[test]
fn what_is_kept_is_gone_when_the_link_comes_up_again() {
    let (near, mut far, cable) = wire::pair(wire::Options::default());
    let mut link = Parked::new(near);
    let parking = link.parking();
    let now = Instant::ZERO;
    far.transmit(now).unwrap().consume(60, |frame| frame.fill(4));
    far.flush();
    let (rx, tx) = link.receive(now).unwrap();
    let request = neighbor::ask(mac(1), host(4, 1), host(4, 2)).unwrap();
    rx.consume(|_| tx.consume(request.bytes().len(), |room| room.copy_from_slice(request.bytes())));
    assert_eq!(parking.get(), Parking { kept: 1, ..Parking::default() });
    cable.unplug();
    cable.plug(cable.options());
    link.register(Waker::noop());
    assert!(link.receive(now).is_none());
    assert_eq!(parking.get(), Parking { kept: 1, lost: 1, ..Parking::default() });
    assert_eq!(link.due(), None);
}
