//! The other end of a wire, played by hand: it says of each segment what is in it.

use super::{A, B, address};
use fata_link::wire::Wire;
use fata_link::{Link, neighbor};
use fata_rt::yield_now;
use smoltcp::phy::{ChecksumCapabilities, Device, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, IpAddress, IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

/// An Ethernet frame with an IP packet from B's card to A's.
pub fn frame(from: IpAddress, to: IpAddress, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let ip = IpRepr::new(from, to, protocol, payload.len(), 64);
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    frame.extend_from_slice(if ip.header_len() == 20 { &[8, 0] } else { &[0x86, 0xdd] });
    frame.resize(14 + ip.header_len(), 0);
    ip.emit(&mut frame[14..], &ChecksumCapabilities::default());
    frame.extend_from_slice(payload);
    frame
}

/// One connection with stack A, by somebody who does with it as he likes.
pub struct Peer {
    pub wire: Wire,
    /// Where segments come from: address and port.
    pub from: (IpAddress, u16),
    /// The port they go to.
    pub to: u16,
    /// The number of the next byte to send, and the one that is acknowledged.
    pub seq: i32,
    pub ack: i32,
    pub window: u16,
}

/// What A has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub control: TcpControl,
    pub seq: i32,
    pub ack: Option<i32>,
    pub window: u16,
    pub max_seg_size: Option<u16>,
    pub window_scale: Option<u8>,
    pub payload: Vec<u8>,
}

impl Peer {
    pub fn new(wire: Wire, from: &str, port: u16, to: u16) -> Self {
        Self { wire, from: (address(from), port), to, seq: 1000, ack: 0, window: u16::MAX }
    }

    fn there(&self) -> IpAddress {
        address(A[usize::from(matches!(self.from.0, IpAddress::Ipv6(_)))])
    }

    /// Sends a segment as `control`, `seq`, `ack` and `window` say; without acknowledging in a SYN.
    pub fn send(&mut self, control: TcpControl, payload: &[u8]) {
        let syn = control == TcpControl::Syn;
        let repr = TcpRepr {
            src_port: self.from.1,
            dst_port: self.to,
            control,
            seq_number: TcpSeqNumber(self.seq),
            ack_number: (!syn).then_some(TcpSeqNumber(self.ack)),
            window_len: self.window,
            window_scale: syn.then_some(0),
            max_seg_size: syn.then_some(1460),
            sack_permitted: syn,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        };
        let mut bytes = vec![0; repr.buffer_len()];
        let packet = &mut TcpPacket::new_unchecked(&mut bytes);
        repr.emit(packet, &self.from.0, &self.there(), &ChecksumCapabilities::default());
        self.put(&frame(self.from.0, self.there(), IpProtocol::Tcp, &bytes));
    }

    pub fn put(&mut self, bytes: &[u8]) {
        let token = self.wire.transmit(Instant::ZERO).expect("room on the wire");
        token.consume(bytes.len(), |room| room.copy_from_slice(bytes));
        self.wire.flush();
    }

    /// Lets the stack work, and gives what it has sent to this connection. Questions for neighbours are answered.
    pub async fn heard(&mut self) -> Vec<Segment> {
        let mut segments = Vec::new();
        let mut quiet = 0;
        while quiet < 4 {
            yield_now().await;
            quiet += 1;
            while let Some((rx, _)) = self.wire.receive(Instant::ZERO) {
                quiet = 0;
                let got = rx.consume(|frame| frame.to_vec());
                match neighbor::parse(&got) {
                    Some(neighbor::Message::Ask { from, target })
                        if target != from && !from.is_unspecified() =>
                    {
                        // A question to who asks tells as well.
                        let tell = neighbor::ask(EthernetAddress([2, 0, 0, 0, 0, 2]), target, from).unwrap();
                        self.put(tell.bytes());
                    }
                    _ => segments.extend(self.segment(&got)),
                }
            }
        }
        segments
    }

    fn segment(&self, got: &[u8]) -> Option<Segment> {
        let (at, protocol) = if got[12] == 8 { (34, got[23]) } else { (54, got[20]) };
        if protocol != 6 {
            return None;
        }
        let packet = TcpPacket::new_checked(&got[at..]).unwrap();
        let (from, to) = (self.there(), self.from.0);
        let repr = TcpRepr::parse(&packet, &from, &to, &ChecksumCapabilities::default()).unwrap();
        (repr.dst_port == self.from.1).then(|| Segment {
            control: repr.control,
            seq: repr.seq_number.0,
            ack: repr.ack_number.map(|number| number.0),
            window: repr.window_len,
            max_seg_size: repr.max_seg_size,
            window_scale: repr.window_scale,
            payload: repr.payload.to_vec(),
        })
    }

    /// Opens a connection.
    pub async fn open(&mut self) -> Segment {
        self.send(TcpControl::Syn, &[]);
        let heard = self.heard().await;
        let [answer] = &heard[..] else { panic!("{heard:?}") };
        assert_eq!((answer.control, answer.ack), (TcpControl::Syn, Some(self.seq + 1)));
        (self.seq, self.ack) = (self.seq + 1, answer.seq.wrapping_add(1));
        self.send(TcpControl::None, &[]);
        answer.clone()
    }
}

/// Anybody at B's end.
pub fn at_b(wire: Wire, port: u16) -> Peer {
    Peer::new(wire, B[0], port, 80)
}
