//! TCP packets of many segments, cut where the device does not do it.
//!
//! What smoltcp does for a segment costs more than the segment. Only for devices that see to checksums.

use crate::gate::Stream;
use crate::headers::FIN;
use alloc::vec::Vec;
use core::num::NonZeroU16;
use fata_stream::grow;
use smoltcp::phy::TxToken;

const PSH: u8 = 8;

/// A packet that is being cut.
#[derive(Default)]
pub(crate) struct Segmented {
    /// The frame; kept for the next one, and so never shorter than the longest.
    frame: Vec<u8>,
    /// Its length. Zero if there is none, or all of it has been sent.
    pub(crate) len: usize,
    v6: bool,
    size: usize,
    /// What has been sent of its payload.
    sent: usize,
}

impl Segmented {
    /// Gives room for a frame of `len` bytes, to be cut into segments of `size` bytes.
    pub(crate) fn begin(&mut self, len: usize, stream: Stream, size: NonZeroU16) -> &mut [u8] {
        grow(&mut self.frame, len);
        // Who writes a header may leave out what is nought.
        self.frame[..len.min(128)].fill(0);
        (self.len, self.v6, self.size, self.sent) = (len, stream.v6, size.get().into(), 0);
        &mut self.frame[..len]
    }

    /// Sends the next segment.
    pub(crate) fn send(&mut self, token: impl TxToken) {
        let tcp = if self.v6 { 54 } else { 34 };
        let header = tcp + usize::from(self.frame[tcp + 12] >> 4) * 4;
        let (head, payload) = self.frame[..self.len].split_at(header);
        let rest = &payload[self.sent..];
        let piece = &rest[..self.size.min(rest.len())];
        let is_last = piece.len() == rest.len();
        token.consume(header + piece.len(), |room| {
            let (room_head, room_piece) = room.split_at_mut(header);
            room_head.copy_from_slice(head);
            room_piece.copy_from_slice(piece);
            if self.v6 {
                let len = (header - 54 + piece.len()) as u16;
                room_head[18..20].copy_from_slice(&len.to_be_bytes());
            } else {
                set_length(room_head, (header - 14 + piece.len()) as u16);
            }
            let number =
                room_head[tcp + 4..].first_chunk::<4>().map_or(0, |number| u32::from_be_bytes(*number));
            let number = number.wrapping_add(self.sent as u32);
            room_head[tcp + 4..tcp + 8].copy_from_slice(&number.to_be_bytes());
            if !is_last {
                room_head[tcp + 13] &= !(FIN | PSH);
            }
        });
        self.sent += piece.len();
        if is_last {
            self.len = 0;
        }
    }
}

/// Sets the length of an IPv4 packet, and corrects the checksum of its header (RFC 1624). One that the device makes is
/// zero, and made of what is there by then.
fn set_length(frame: &mut [u8], len: u16) {
    let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let (old, sum) = (word(16), word(24));
    frame[16..18].copy_from_slice(&len.to_be_bytes());
    if sum != 0 {
        let new = u32::from(!sum) + u32::from(!old) + u32::from(len);
        let new = (new & 0xffff) + (new >> 16);
        let new = (new & 0xffff) + (new >> 16);
        frame[24..26].copy_from_slice(&(!(new as u16)).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_link::{Link, wire};
    use smoltcp::phy::{ChecksumCapabilities, Device, RxToken};
    use smoltcp::time::Instant;
    use smoltcp::wire::{
        IpAddress, IpProtocol, IpRepr, Ipv4Packet, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    };

    #[test]
    fn the_segments_are_what_smoltcp_would_have_sent() {
        let v4 = (IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2));
        let v6 = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        for ((from, to), v6) in [(v4, false), (v6, true)] {
            for len in [1001, 2000, 20_000, 65_000] {
                let data: Vec<u8> = (0..len).map(|i| (i + i / 256) as u8).collect();
                let repr = TcpRepr {
                    src_port: 1,
                    dst_port: 2,
                    control: TcpControl::Fin,
                    seq_number: TcpSeqNumber(-1500),
                    ack_number: Some(TcpSeqNumber(9)),
                    window_len: 77,
                    window_scale: None,
                    max_seg_size: None,
                    sack_permitted: false,
                    sack_ranges: [None; 3],
                    timestamp: None,
                    payload: &data,
                };
                let ip = IpRepr::new(from, to, IpProtocol::Tcp, repr.buffer_len(), 64);
                let (mut sums, at) = (ChecksumCapabilities::default(), 14 + ip.header_len());
                sums.tcp = smoltcp::phy::Checksum::None;
                let (mut near, mut far, _) = wire::pair(wire::Options::default());
                let mut segmented = Segmented::default();
                let stream = Stream { v6, max_segment: 1000 };
                let size = NonZeroU16::new(1000).unwrap();
                let frame = segmented.begin(at + repr.buffer_len(), stream, size);
                let ethertype: [u8; 2] = if v6 { [0x86, 0xdd] } else { [8, 0] };
                frame[12..14].copy_from_slice(&ethertype);
                ip.emit(&mut frame[14..], &sums);
                repr.emit(&mut TcpPacket::new_unchecked(&mut frame[at..]), &from, &to, &sums);
                while segmented.len > 0 {
                    segmented.send(near.transmit(Instant::ZERO).unwrap());
                }
                near.flush();
                let mut got = Vec::new();
                while let Some((rx, _)) = far.receive(Instant::ZERO) {
                    rx.consume(|frame| {
                        assert!(v6 || Ipv4Packet::new_checked(&frame[14..]).unwrap().verify_checksum());
                        let packet = TcpPacket::new_checked(&frame[at..]).unwrap();
                        assert_eq!(packet.seq_number(), repr.seq_number + got.len());
                        got.extend_from_slice(packet.payload());
                        assert_eq!(packet.fin(), got.len() == len);
                        assert!(packet.payload().len() == 1000 || packet.fin());
                        let length = u16::from_be_bytes([
                            frame[16 + 2 * usize::from(v6)],
                            frame[17 + 2 * usize::from(v6)],
                        ]);
                        assert_eq!(usize::from(length), frame.len() - if v6 { 54 } else { 14 });
                    });
                }
                assert!(got == data);
            }
        }
    }
}
