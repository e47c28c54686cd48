//! Frames that ask who has an address, and that say so: ARP (RFC 826) and neighbour discovery (RFC 4861).

use core::net::{Ipv4Addr, Ipv6Addr};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    Icmpv6Packet, Icmpv6Repr, IpAddress, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
};

/// What a frame says of neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Asks who has `target`. With `from` unspecified nobody is to remember the asker.
    Ask {
        /// The asker's address, which it says to be at the frame's source.
        from: IpAddress,
        /// Whose Ethernet address is wanted.
        target: IpAddress,
    },
    /// Says that `who` is at `mac`.
    Tell {
        /// Whose address it is.
        who: IpAddress,
        /// Where that is.
        mac: EthernetAddress,
    },
}

/// Reads a frame. `None` if it is of something else, or broken in a way that one can see without checksums.
pub fn parse(frame: &[u8]) -> Option<Message> {
    match frame.get(12..14)? {
        [0x08, 0x06] => arp(frame.get(14..42)?),
        [0x86, 0xdd] => ndisc(frame),
        _ => None,
    }
}

fn arp(packet: &[u8]) -> Option<Message> {
    // Ethernet and IPv4, with addresses of 6 and 4 bytes.
    if packet[..6] != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let from = v4(&packet[14..18]);
    match packet[7] {
        1 => Some(Message::Ask { from, target: v4(&packet[24..28]) }),
        2 => Some(Message::Tell { who: from, mac: EthernetAddress::from_bytes(&packet[8..14]) }),
        _ => None,
    }
}

fn ndisc(frame: &[u8]) -> Option<Message> {
    // ICMPv6 right after the header, from the same link, of at least the length without options.
    if frame.len() < 78 || frame[20] != 58 || frame[21] != 255 {
        return None;
    }
    let target = v6(&frame[62..78]);
    match frame[54] {
        135 => Some(Message::Ask { from: v6(&frame[22..38]), target }),
        136 => {
            let source = &frame[6..12];
            // The option with the address need not be there.
            let named = frame.get(78..86).filter(|option| option[..2] == [2, 1]).map(|option| &option[2..]);
            Some(Message::Tell { who: target, mac: EthernetAddress::from_bytes(named.unwrap_or(source)) })
        }
        _ => None,
    }
}

fn v4(bytes: &[u8]) -> IpAddress {
    IpAddress::Ipv4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))
}

fn v6(bytes: &[u8]) -> IpAddress {
    let mut octets = [0; 16];
    octets.copy_from_slice(bytes);
    IpAddress::Ipv6(Ipv6Addr::from(octets))
}

/// A frame that was made here.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    bytes: [u8; 86],
    len: usize,
}

impl Frame {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Asks all who could have `target`, from `from` at `mac`. `None` if one of the addresses is of the other family.
///
/// From the unspecified address it is the probe of somebody who wants to have `target`: of RFC 5227 section 2.1.1, or of
/// RFC 4862 section 5.4.2.
pub fn ask(mac: EthernetAddress, from: IpAddress, target: IpAddress) -> Option<Frame> {
    match (from, target) {
        (IpAddress::Ipv4(from), IpAddress::Ipv4(target)) => Some(arp_frame(mac, from, target)),
        (IpAddress::Ipv6(from), IpAddress::Ipv6(target)) => {
            // Of whom nobody is to remember, nobody needs to know where it is.
            let lladdr = (!from.is_unspecified()).then(|| mac.into());
            let solicit = NdiscRepr::NeighborSolicit { target_addr: target, lladdr };
            let [.., a, b, c] = target.octets();
            let group =
                Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from(b) << 8 | u16::from(c));
            Some(ndisc_frame(mac, from, group, solicit))
        }
        _ => None,
    }
}

/// Tells everybody that we are at `mac`, unasked: the ARP announcement of RFC 5227, or the unsolicited advertisement of
/// RFC 4861 section 7.2.6.
pub fn announce(mac: EthernetAddress, address: IpAddress) -> Frame {
    match address {
        IpAddress::Ipv4(address) => arp_frame(mac, address, address),
        IpAddress::Ipv6(address) => {
            let flags = NdiscNeighborFlags::OVERRIDE;
            let advert = NdiscRepr::NeighborAdvert { flags, target_addr: address, lladdr: Some(mac.into()) };
            ndisc_frame(mac, address, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), advert)
        }
    }
}

/// Asks for routers (RFC 4861 section 4.1).
pub fn solicit(mac: EthernetAddress, from: Ipv6Addr) -> Frame {
    let lladdr = (!from.is_unspecified()).then(|| mac.into());
    let all_routers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
    ndisc_frame(mac, from, all_routers, NdiscRepr::RouterSolicit { lladdr })
}

/// Tells who asks from no address, at `to`, that `ours` is ours.
pub fn defend(mac: EthernetAddress, ours: IpAddress, to: EthernetAddress) -> Frame {
    let mut frame = announce(mac, ours);
    if let IpAddress::Ipv4(_) = ours {
        // Of IPv6 everybody is told, since an answer needs an address to go to.
        frame.bytes[..6].copy_from_slice(&to.0);
        frame.bytes[20..22].copy_from_slice(&2u16.to_be_bytes());
        frame.bytes[32..38].copy_from_slice(&to.0);
        frame.bytes[38..42].fill(0);
    }
    frame
}

fn arp_frame(mac: EthernetAddress, from: Ipv4Addr, target: Ipv4Addr) -> Frame {
    let mut frame = Frame { bytes: [0; 86], len: 42 };
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame.bytes[..42]);
    let header = EthernetRepr {
        src_addr: mac,
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Arp,
    };
    header.emit(&mut ethernet);
    let request = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: mac,
        source_protocol_addr: from,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: target,
    };
    request.emit(&mut ArpPacket::new_unchecked(ethernet.payload_mut()));
    frame
}

fn ndisc_frame(mac: EthernetAddress, from: Ipv6Addr, to: Ipv6Addr, message: NdiscRepr<'_>) -> Frame {
    let message = Icmpv6Repr::Ndisc(message);
    let mut frame = Frame { bytes: [0; 86], len: 14 + 40 + message.buffer_len() };
    let [.., a, b, c, d] = to.octets();
    let header = EthernetRepr {
        src_addr: mac,
        dst_addr: EthernetAddress([0x33, 0x33, a, b, c, d]),
        ethertype: EthernetProtocol::Ipv6,
    };
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame.bytes[..]);
    header.emit(&mut ethernet);
    let packet = Ipv6Repr {
        src_addr: from,
        dst_addr: to,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: 255,
    };
    packet.emit(&mut Ipv6Packet::new_unchecked(ethernet.payload_mut()));
    let payload = &mut ethernet.payload_mut()[40..40 + message.buffer_len()];
    let sums = ChecksumCapabilities::default();
    message.emit(&from, &to, &mut Icmpv6Packet::new_unchecked(payload), &sums);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 9]);

    fn address(text: &str) -> IpAddress {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_made_is_read_again() {
        for (from, target) in [("10.0.0.2", "10.0.0.1"), ("fe80::1", "fd00::12:3456")] {
            let (from, target) = (address(from), address(target));
            let frame = ask(MAC, from, target).unwrap();
            assert_eq!(parse(frame.bytes()), Some(Message::Ask { from, target }));
            for cut in 0..frame.bytes().len() - 8 {
                assert_eq!(parse(&frame.bytes()[..cut]), None, "cut to {cut}");
            }
        }
        assert!(ask(MAC, address("10.0.0.1"), address("fe80::1")).is_none());
        let (v4, v6) = (address("10.0.0.2"), address("fe80::1"));
        assert_eq!(parse(announce(MAC, v4).bytes()), Some(Message::Ask { from: v4, target: v4 }));
        assert_eq!(parse(announce(MAC, v6).bytes()), Some(Message::Tell { who: v6, mac: MAC }));
    }

    #[test]
    fn who_has_no_address_yet_can_ask_and_is_answered() {
        let to = EthernetAddress([2, 0, 0, 0, 0, 7]);
        for (nobody, target) in [("0.0.0.0", "10.0.0.1"), ("::", "fd00::12:3456")] {
            let (nobody, target) = (address(nobody), address(target));
            let frame = ask(MAC, nobody, target).unwrap();
            assert_eq!(parse(frame.bytes()), Some(Message::Ask { from: nobody, target }));
            let answer = defend(MAC, target, to);
            assert_eq!(parse(answer.bytes()), Some(Message::Tell { who: target, mac: MAC }));
        }
        assert_eq!(ask(MAC, address("::"), address("fd00::1")).unwrap().bytes().len(), 78, "no option");
        let frame = solicit(MAC, "fe80::1".parse().unwrap());
        let packet = Ipv6Packet::new_checked(&frame.bytes()[14..]).unwrap();
        let message = Icmpv6Packet::new_checked(packet.payload()).unwrap();
        assert!(message.verify_checksum(&packet.src_addr(), &packet.dst_addr()));
        assert_eq!((packet.payload()[0], packet.hop_limit(), frame.bytes().len()), (133, 255, 70));
    }

    #[test]
    fn smoltcp_reads_them_too() {
        let frame = ask(MAC, address("fe80::1"), address("fd00::12:3456")).unwrap();
        let ethernet = EthernetFrame::new_checked(frame.bytes()).unwrap();
        assert_eq!(ethernet.dst_addr().to_string(), "33-33-ff-12-34-56");
        let packet = Ipv6Packet::new_checked(ethernet.payload()).unwrap();
        assert_eq!(packet.dst_addr().to_string(), "ff02::1:ff12:3456");
        let message = Icmpv6Packet::new_checked(packet.payload()).unwrap();
        let sums = ChecksumCapabilities::default();
        Icmpv6Repr::parse(&packet.src_addr(), &packet.dst_addr(), &message, &sums).unwrap();
        let frame = announce(MAC, address("10.0.0.2"));
        let ethernet = EthernetFrame::new_checked(frame.bytes()).unwrap();
        assert!(ethernet.dst_addr().is_broadcast());
        ArpRepr::parse(&ArpPacket::new_checked(ethernet.payload()).unwrap()).unwrap();
    }
}
