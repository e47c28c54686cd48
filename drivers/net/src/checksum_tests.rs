//! Frames made by hand, and by the stack whose checksums we take over.

use super::Transport;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol, Ipv4Address,
    Ipv4Packet, Ipv4Repr, Ipv6Address, Ipv6Packet, Ipv6Repr, TcpPacket, UdpPacket, UdpRepr,
};
use std::vec;
use std::vec::Vec;

const V4: [Ipv4Address; 2] = [Ipv4Address::new(10, 0, 0, 1), Ipv4Address::new(192, 168, 255, 254)];
const V6: [Ipv6Address; 2] =
    [Ipv6Address::new(0xfe80, 0, 0, 0, 1, 2, 3, 4), Ipv6Address::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xffff)];

fn ethernet(protocol: EthernetProtocol, bytes: usize) -> Vec<u8> {
    let mut frame = vec![0; 14 + bytes];
    let addresses = (EthernetAddress([2, 0, 0, 0, 0, 1]), EthernetAddress([2, 0, 0, 0, 0, 2]));
    let repr = EthernetRepr { src_addr: addresses.0, dst_addr: addresses.1, ethertype: protocol };
    repr.emit(&mut EthernetFrame::new_unchecked(&mut frame));
    frame
}

/// A UDP datagram as smoltcp makes it, with its checksum.
fn udp(payload: &[u8], v6: bool) -> Vec<u8> {
    let repr = UdpRepr { src_port: 5001, dst_port: 7 };
    let sums = ChecksumCapabilities::default();
    let emit = |bytes: &mut [u8], source: IpAddress, target: IpAddress| {
        let fill = |place: &mut [u8]| place.copy_from_slice(payload);
        repr.emit(&mut UdpPacket::new_unchecked(bytes), &source, &target, payload.len(), fill, &sums);
    };
    if v6 {
        let mut frame = ethernet(EthernetProtocol::Ipv6, 48 + payload.len());
        let ip = Ipv6Repr {
            src_addr: V6[0],
            dst_addr: V6[1],
            next_header: IpProtocol::Udp,
            payload_len: 8 + payload.len(),
            hop_limit: 64,
        };
        ip.emit(&mut Ipv6Packet::new_unchecked(&mut frame[14..]));
        emit(&mut frame[54..], V6[0].into(), V6[1].into());
        return frame;
    }
    let mut frame = ethernet(EthernetProtocol::Ipv4, 28 + payload.len());
    let ip = Ipv4Repr {
        src_addr: V4[0],
        dst_addr: V4[1],
        next_header: IpProtocol::Udp,
        payload_len: 8 + payload.len(),
        hop_limit: 64,
    };
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut frame[14..]), &sums);
    emit(&mut frame[34..], V4[0].into(), V4[1].into());
    frame
}

#[test]
fn what_a_stack_summed_is_found_right_and_made_again() {
    for v6 in [false, true] {
        for len in (0..70).chain([1471, 1472, 9000, 65_000]) {
            let payload: Vec<u8> = (0..len).map(|n| (n * 7 + 3) as u8).collect();
            let right = udp(&payload, v6);
            let transport = Transport::of(&right).unwrap();
            assert!(transport.holds(&right), "{len} {v6}");
            assert_eq!(transport.is_v6, v6);
            let mut blank = right.clone();
            transport.blank(&mut blank);
            let mut filled = blank.clone();
            transport.fill(&mut filled);
            assert_eq!(filled, right, "{len} {v6}");
            let mut wrong = right.clone();
            *wrong.last_mut().unwrap() ^= 0x40;
            assert!(!transport.holds(&wrong), "{len} {v6}");
            // Whoever completes a blank one sums what is in the field too (Linux's CHECKSUM_PARTIAL).
            let sum = !super::fold(super::sum(&blank[transport.start..]));
            assert_eq!(sum.to_ne_bytes(), right[transport.field..transport.field + 2], "{len} {v6}");
        }
    }
}

#[test]
fn a_tcp_segment_after_extension_headers() {
    let mut frame = ethernet(EthernetProtocol::Ipv6, 40 + 8 + 16 + 20);
    let ip = Ipv6Repr {
        src_addr: V6[0],
        dst_addr: V6[1],
        next_header: IpProtocol::HopByHop,
        payload_len: 44,
        hop_limit: 1,
    };
    ip.emit(&mut Ipv6Packet::new_unchecked(&mut frame[14..]));
    // Hop-by-hop options, then destination options of two units.
    frame[54..56].copy_from_slice(&[60, 0]);
    frame[62..64].copy_from_slice(&[6, 1]);
    frame[78 + 12] = 5 << 4;
    let transport = Transport::of(&frame).unwrap();
    transport.fill(&mut frame);
    let segment = TcpPacket::new_checked(&frame[78..]).unwrap();
    assert!(segment.verify_checksum(&V6[0].into(), &V6[1].into()));
    assert!(transport.holds(&frame));
}

#[test]
fn a_datagram_without_a_checksum_is_right_in_version_4_only() {
    for (v6, is_right) in [(false, true), (true, false)] {
        let mut frame = udp(b"abc", v6);
        let transport = Transport::of(&frame).unwrap();
        frame[transport.field..transport.field + 2].fill(0);
        assert_eq!(transport.holds(&frame), is_right);
    }
    // One whose sum happens to be zero says all ones instead.
    let mut frame = udp(&[0; 2], false);
    let transport = Transport::of(&frame).unwrap();
    let at = frame.len() - 2;
    let field = [frame[transport.field], frame[transport.field + 1]];
    frame[at..].copy_from_slice(&field);
    transport.fill(&mut frame);
    assert_eq!(frame[transport.field..transport.field + 2], [0xff, 0xff]);
    assert!(transport.holds(&frame));
}

#[test]
fn fragments_and_nonsense_have_no_checksum_to_see_to() {
    let frame = udp(&[1; 32], false);
    let with = |change: &dyn Fn(&mut [u8])| {
        let mut frame = frame.clone();
        change(&mut frame);
        Transport::of(&frame)
    };
    assert!(with(&|_| {}).is_some());
    assert_eq!(with(&|f| f[20] = 0x20), None, "more fragments");
    assert_eq!(with(&|f| f[21] = 1), None, "a later fragment");
    assert_eq!(with(&|f| f[14] = 0x44), None, "a header of 16 bytes");
    assert_eq!(with(&|f| f[14] = 0x55), None, "version 5");
    assert_eq!(with(&|f| f[16] = 0xff), None, "longer than the frame");
    assert_eq!(with(&|f| f[17] = 27), None, "shorter than a UDP header");
    assert_eq!(with(&|f| f[23] = 1), None, "ICMP");
    assert_eq!(with(&|f| f[12] = 9), None, "no IP");
    assert_eq!(Transport::of(&[]), None);
    for len in 0..frame.len() {
        assert_eq!(Transport::of(&frame[..len]), None, "{len}");
    }
    let frame = udp(&[1; 32], true);
    for len in 0..frame.len() {
        assert_eq!(Transport::of(&frame[..len]), None, "{len}");
    }
    // Extension headers that lead out of the frame, or round and round.
    for next in [0, 43, 60, 44, 59] {
        let mut frame = frame.clone();
        frame[20] = next;
        frame[54..].fill(next);
        assert_eq!(Transport::of(&frame), None, "{next}");
    }
}
