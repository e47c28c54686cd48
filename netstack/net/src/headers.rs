//! What the headers of a received frame say, as far as one must know to give it to the right socket.

use core::cmp::Ordering;
use core::net::Ipv4Addr;
use smoltcp::wire::{IpAddress, IpListenEndpoint};

/// An IP address of either family; one of IPv4 in the form of RFC 4291 section 2.5.5.2.
pub(crate) type Address = [u32; 4];

/// TCP's flags.
pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// Where a datagram or segment comes from and goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) remote: Address,
    pub(crate) local: Address,
    pub(crate) remote_port: u16,
    pub(crate) local_port: u16,
}

/// In an order that is found out soon: most flows differ in their ports.
impl Ord for Flow {
    fn cmp(&self, other: &Self) -> Ordering {
        let ports = |flow: &Self| u32::from(flow.remote_port) << 16 | u32::from(flow.local_port);
        let hosts = |flow: &Self| (flow.remote, flow.local);
        ports(self).cmp(&ports(other)).then_with(|| hosts(self).cmp(&hosts(other)))
    }
}

impl PartialOrd for Flow {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What a frame is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// TCP, whose header begins at `at`.
    Tcp { flow: Flow, flags: u8, at: usize },
    /// UDP.
    Udp(Flow),
    /// The answer to a ping with this identifier.
    Echo(u16),
    /// A part of a datagram, of either IP.
    Fragment,
    /// Says or asks where a neighbour is.
    Neighbor,
    /// What a router advertises.
    Router,
    /// Somebody asks for groups.
    Query,
    /// Anything else, and what is too short to be what it says.
    Other,
}

/// Looks at a frame. Lengths and checksums are for smoltcp to verify.
pub(crate) fn look(frame: &[u8]) -> Seen {
    parse(frame).unwrap_or(Seen::Other)
}

fn parse(frame: &[u8]) -> Option<Seen> {
    let ethernet = frame.first_chunk::<14>()?;
    match (ethernet[12], ethernet[13]) {
        (0x08, 0x00) => {
            let ip = frame[14..].first_chunk::<20>()?;
            // More fragments, or an offset.
            if ip[6] & 0x3f | ip[7] != 0 {
                return Some(Seen::Fragment);
            }
            let at = 14 + usize::from(ip[0] & 15) * 4;
            let address = |at: usize| v4(u32::from_be_bytes([ip[at], ip[at + 1], ip[at + 2], ip[at + 3]]));
            transport(frame, ip[9], at, address(12), address(16))
        }
        (0x86, 0xdd) => {
            let ip = frame[14..].first_chunk::<40>()?;
            let (mut protocol, mut at) = (ip[6], 54);
            if protocol == 0 {
                // Options for every hop, which smoltcp reads too.
                let options = frame.get(at..at + 2)?;
                (protocol, at) = (options[0], at + (usize::from(options[1]) + 1) * 8);
            }
            if protocol == 44 {
                return Some(Seen::Fragment);
            }
            match frame.get(at) {
                Some(135 | 136) if protocol == 58 => return Some(Seen::Neighbor),
                Some(134) if protocol == 58 => return Some(Seen::Router),
                _ => {}
            }
            let address = |at: usize| {
                let mut words = [0; 4];
                for (word, bytes) in words.iter_mut().zip(ip[at..at + 16].as_chunks::<4>().0) {
                    *word = u32::from_be_bytes(*bytes);
                }
                words
            };
            transport(frame, protocol, at, address(8), address(24))
        }
        (0x08, 0x06) => Some(Seen::Neighbor),
        _ => None,
    }
}

fn transport(frame: &[u8], protocol: u8, at: usize, remote: Address, local: Address) -> Option<Seen> {
    let header = frame.get(at..)?.first_chunk::<8>()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let flow = Flow { remote, local, remote_port: word(0), local_port: word(2) };
    match protocol {
        6 => Some(Seen::Tcp { flow, flags: *frame.get(at + 13)?, at }),
        17 => Some(Seen::Udp(flow)),
        1 if header[0] == 0 => Some(Seen::Echo(word(4))),
        58 if header[0] == 129 => Some(Seen::Echo(word(4))),
        2 if header[0] == 17 => Some(Seen::Query),
        58 if header[0] == 130 => Some(Seen::Query),
        _ => None,
    }
}

const fn v4(address: u32) -> Address {
    [0, 0, 0xffff, address]
}

/// An address in the form of frames' headers.
pub(crate) fn address(address: IpAddress) -> Address {
    match address {
        IpAddress::Ipv4(address) => v4(address.to_bits()),
        IpAddress::Ipv6(address) => {
            let mut words = [0; 4];
            for (word, bytes) in words.iter_mut().zip(address.octets().as_chunks::<4>().0) {
                *word = u32::from_be_bytes(*bytes);
            }
            words
        }
    }
}

/// The other way round.
pub(crate) fn ip_address(address: Address) -> IpAddress {
    match address {
        [0, 0, 0xffff, v4] => IpAddress::Ipv4(Ipv4Addr::from_bits(v4)),
        [a, b, c, d] => {
            let mut octets = [0; 16];
            for (place, word) in octets.as_chunks_mut::<4>().0.iter_mut().zip([a, b, c, d]) {
                *place = word.to_be_bytes();
            }
            IpAddress::Ipv6(octets.into())
        }
    }
}

/// The address that somebody waits at; any, if it is all zeroes.
pub(crate) fn listen_endpoint(address: Address, port: u16) -> IpListenEndpoint {
    IpListenEndpoint { addr: (address != Address::default()).then(|| ip_address(address)), port }
}

/// How many bytes of payload a TCP segment has.
pub(crate) fn payload(frame: &[u8], at: usize) -> Option<usize> {
    let word = |at: usize| Some(usize::from(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?)));
    let end = if frame.get(12)? == &0x08 { 14 + word(16)? } else { 54 + word(18)? };
    end.checked_sub(at + usize::from(frame.get(at + 12)? >> 4) * 4)
}

/// The largest segment that the sender of this SYN takes, and where that stands in the frame. `None` if it does not say.
pub(crate) fn max_segment(frame: &[u8], at: usize) -> Option<(usize, u16)> {
    let end = at + usize::from(frame.get(at + 12)? >> 4) * 4;
    let mut option = at + 20;
    while option < end {
        match *frame.get(option)? {
            0 => return None,
            1 => option += 1,
            2 => {
                let value = frame.get(option + 2..option + 4)?;
                return Some((option + 2, u16::from_be_bytes([value[0], value[1]])));
            }
            _ => option += usize::from(*frame.get(option + 1)?).max(2),
        }
    }
    None
}

/// Lowers the segment size in a SYN to `most`. The checksum is corrected, not made anew, so that a wrong one stays
/// wrong; one that the device fills in covers what is there by then.
pub(crate) fn lower_max_segment(frame: &mut [u8], at: usize, most: u16, has_checksum: bool) {
    let Some((place, value)) = max_segment(frame, at).filter(|(_, value)| *value > most) else { return };
    frame[place..place + 2].copy_from_slice(&most.to_be_bytes());
    if !has_checksum {
        return;
    }
    // RFC 1624. A value at an odd offset is in the sum with its bytes swapped.
    let swap = |word: u16| if (place - at).is_multiple_of(2) { word } else { word.swap_bytes() };
    let sum = u16::from_be_bytes([frame[at + 16], frame[at + 17]]);
    let mut new = u32::from(!sum) + u32::from(!swap(value)) + u32::from(swap(most));
    new = (new & 0xffff) + (new >> 16);
    new = (new & 0xffff) + (new >> 16);
    frame[at + 16..at + 18].copy_from_slice(&(!(new as u16)).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_sim::Rng;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{IpAddress, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, TcpTimestampRepr};

    fn syn(max_seg_size: Option<u16>) -> (Vec<u8>, TcpRepr<'static>) {
        let repr = TcpRepr {
            src_port: 1025,
            dst_port: 80,
            control: TcpControl::Syn,
            seq_number: TcpSeqNumber(7),
            ack_number: None,
            window_len: 1000,
            window_scale: Some(3),
            max_seg_size,
            sack_permitted: true,
            sack_ranges: [None; 3],
            timestamp: Some(TcpTimestampRepr { tsval: 1, tsecr: 0 }),
            payload: &[],
        };
        (vec![0; 34 + repr.buffer_len()], repr)
    }

    const A: IpAddress = IpAddress::v4(10, 0, 0, 1);
    const B: IpAddress = IpAddress::v4(10, 0, 0, 2);

    #[test]
    fn the_segment_size_is_lowered_and_the_checksum_stays_right() {
        for (said, expected) in [(Some(9000), Some(1460)), (Some(500), Some(500)), (None, None)] {
            let (mut frame, repr) = syn(said);
            let sums = ChecksumCapabilities::default();
            repr.emit(&mut TcpPacket::new_unchecked(&mut frame[34..]), &A, &B, &sums);
            // Also where it stands at an odd offset.
            for shift in [0, 1] {
                let mut frame = frame.clone();
                if shift == 1 && said.is_some() {
                    frame[54..59].rotate_right(1);
                    assert_eq!(frame[54], 3, "the first byte of the window scale");
                    frame[54] = 1;
                    frame[59..61].fill(1);
                    TcpPacket::new_unchecked(&mut frame[34..]).fill_checksum(&A, &B);
                }
                lower_max_segment(&mut frame, 34, 1460, true);
                assert_eq!(max_segment(&frame, 34).map(|(_, value)| value), expected);
                assert!(TcpPacket::new_unchecked(&frame[34..]).verify_checksum(&A, &B), "{said:?} {shift}");
            }
        }
    }

    #[test]
    fn any_bytes_can_be_looked_at() {
        let mut random = Rng::new();
        for _ in 0..100_000 {
            let len = random.within(0..100);
            let mut frame = random.bytes(len);
            for (at, byte) in [(12, 8), (13, 0), (23, 6), (20, 6)] {
                if let Some(place) = frame.get_mut(at).filter(|_| random.within(0..3) > 0) {
                    *place = byte;
                }
            }
            if random.within(0..3) == 0 && len > 13 {
                (frame[12], frame[13]) = (0x86, 0xdd);
            }
            if let Seen::Tcp { at, .. } = look(&frame) {
                lower_max_segment(&mut frame, at, 1000, true);
            }
        }
    }

    #[test]
    fn addresses_of_both_families_differ() {
        assert_eq!(address(A), [0, 0, 0xffff, 0x0a00_0001]);
        let v6: IpAddress = "fd00::102:304".parse().unwrap();
        assert_eq!(address(v6), [0xfd00_0000, 0, 0, 0x0102_0304]);
        assert_eq!([A, v6].map(|one| ip_address(address(one))), [A, v6]);
    }
}
