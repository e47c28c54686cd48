//! Frames to send and to receive.

use fata_sim::Frame;

/// The interface's own address, as the simulator's backend has it.
pub(crate) const OURS: [u8; 6] = [0x00, 0x16, 0x3e, 0x00, 0x00, 0x01];
pub(crate) const THEIRS: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0b];

const TCP: u8 = 6;
const UDP: u8 = 17;

/// A frame of so many bytes that is nothing a driver knows, each like no other.
pub(crate) fn raw(length: usize, seed: usize) -> Frame {
    let mut bytes = [&OURS[..], &THEIRS, &[0x88, 0xb5]].concat();
    bytes.extend((14..length).map(|n| (n * 7 + n / 251 + seed * 13 + length) as u8));
    assert_eq!(bytes.len(), length);
    Frame::new(bytes)
}

/// A TCP packet with its checksum, in IP of this version.
pub(crate) fn tcp(version: u8, ports: [u16; 2], data: &[u8]) -> Frame {
    let mut segment = Vec::new();
    ports.iter().for_each(|port| segment.extend(port.to_be_bytes()));
    // Sequence and acknowledgement, five words of header with PSH and ACK, window, checksum, urgent pointer.
    segment.extend([0, 0, 0, 100, 0, 0, 0, 7, 0x50, 0x18, 0x20, 0, 0, 0, 0, 0]);
    segment.extend(data);
    ip(version, TCP, &segment)
}

/// A UDP packet.
pub(crate) fn udp(version: u8, ports: [u16; 2], data: &[u8]) -> Frame {
    let mut datagram = Vec::new();
    ports.iter().for_each(|port| datagram.extend(port.to_be_bytes()));
    datagram.extend((8 + data.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(data);
    ip(version, UDP, &datagram)
}

fn ip(version: u8, protocol: u8, payload: &[u8]) -> Frame {
    let mut bytes = [OURS, THEIRS].concat();
    let length = payload.len() as u16;
    if version == 4 {
        bytes.extend([8, 0, 0x45, 0]);
        bytes.extend((20 + length).to_be_bytes());
        bytes.extend([0x12, 0x34, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        let sum: u32 = bytes[14..].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    } else {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        bytes.extend(length.to_be_bytes());
        bytes.extend([protocol, 64]);
        for last in [1, 2] {
            bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
    }
    bytes.extend(payload);
    whole(&Frame::new(bytes).with_blank())
}

/// The same with its checksum in it.
pub(crate) fn whole(frame: &Frame) -> Frame {
    let mut frames = frame.on_the_wire().unwrap();
    assert_eq!(frames.len(), 1);
    frames.remove(0)
}

/// The same with a checksum that is wrong.
pub(crate) fn spoilt(mut frame: Frame) -> Frame {
    let at = frame.headers().unwrap().csum;
    frame.bytes[at] ^= 0x40;
    frame
}

/// Bytes that repeat late.
pub(crate) fn data(length: usize) -> Vec<u8> {
    (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// The data of a TCP or UDP packet.
pub(crate) fn payload(frame: &Frame) -> &[u8] {
    let headers = frame.headers().expect("TCP or UDP");
    &frame.bytes[headers.data..headers.end]
}
