//! Answers to segments that no socket sends.

use crate::headers::Flow;
use smoltcp::phy::{ChecksumCapabilities, TxToken};
use smoltcp::wire::{IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

use crate::headers::ip_address;

/// What a segment says. `None` if it is shorter than it says. Its checksum is not looked at.
pub(crate) fn parse(frame: &[u8], at: usize) -> Option<TcpRepr<'_>> {
    let word = |at: usize| Some(usize::from(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?)));
    let end = if frame.get(12)? == &0x08 { 14 + word(16)? } else { 54 + word(18)? };
    let packet = TcpPacket::new_checked(frame.get(at..end)?).ok()?;
    let unspecified = smoltcp::wire::Ipv4Address::UNSPECIFIED.into();
    TcpRepr::parse(&packet, &unspecified, &unspecified, &ChecksumCapabilities::ignored()).ok()
}

/// The beginnings of an answer.
pub(crate) fn to(flow: &Flow) -> TcpRepr<'static> {
    TcpRepr {
        src_port: flow.local_port,
        dst_port: flow.remote_port,
        control: TcpControl::None,
        seq_number: TcpSeqNumber(0),
        ack_number: None,
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    }
}

/// Sends an answer to where `frame` came from.
#[inline(never)]
pub(crate) fn send(
    frame: &[u8],
    flow: &Flow,
    answer: &TcpRepr<'_>,
    sums: &ChecksumCapabilities,
    token: impl TxToken,
) {
    let (from, to) = (ip_address(flow.local), ip_address(flow.remote));
    let ip = IpRepr::new(from, to, IpProtocol::Tcp, answer.buffer_len(), 64);
    let Some(ethernet) = frame.first_chunk::<14>() else { return };
    token.consume(14 + ip.buffer_len(), |room| {
        room[..6].copy_from_slice(&ethernet[6..12]);
        room[6..12].copy_from_slice(&ethernet[..6]);
        room[12..14].copy_from_slice(&ethernet[12..14]);
        ip.emit(&mut room[14..], sums);
        let segment = &mut room[14 + ip.header_len()..];
        answer.emit(&mut TcpPacket::new_unchecked(segment), &from, &to, sums);
    });
}

/// Where answers go that have been given once, or are not to be given.
pub(crate) struct Nowhere;

impl TxToken for Nowhere {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        f(&mut alloc::vec![0; len])
    }
}
