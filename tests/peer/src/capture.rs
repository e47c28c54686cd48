//! What goes through an interface of domain 0: written down, or changed in how it is treated.

use core::ffi::CStr;
use core::net::{IpAddr, Ipv4Addr};

use crate::fail;
use crate::socket::Socket;
use crate::sys::{self, Failed, File, Out};

/// What is not written down yet.
const ROOM: u32 = 16 << 20;
/// The longest frame, for which also a large one counts that is cut up later.
pub(crate) const FRAME: usize = 80 << 10;
const RECORD: usize = 16;
/// The interface is down, or gone.
const ENETDOWN: isize = -100;
/// The header of a capture (draft-ietf-opsawg-pcap): nanoseconds, version 2.4, frames' greatest length, Ethernet.
const HEADER: [u32; 6] = [0xa1b2_3c4d, 4 << 16 | 2, 0, 0, FRAME as u32, 1];
/// linux/ethtool.h: sums of what is received and sent, segmentation in the device and before it, and reassembly.
const OFFLOADS: [u32; 5] = [0x15, 0x17, 0x1f, 0x24, 0x2c];

/// Writes all frames of an interface, each up to so many bytes, to standard output as a capture that Wireshark opens,
/// until killed.
pub(crate) fn run(interface: &str, most: usize) -> Result<(), Failed> {
    let socket = Socket::frames(index(interface)?)?;
    socket.room(ROOM)?;
    let mut record = [0; RECORD + FRAME];
    put(&mut record, &HEADER);
    Out.write_all(&record[..4 * HEADER.len()])?;
    loop {
        let length = match socket.receive(&mut record[RECORD..]) {
            Ok(Some(length)) => length,
            // It may come up again.
            Ok(None) | Err(Failed(_, ENETDOWN)) => continue,
            // Words about it would not be frames.
            Err(_) => return Ok(()),
        };
        let [seconds, ns] = sys::wall_clock()?;
        let kept = length.min(most);
        put(&mut record, &[seconds as u32, ns as u32, kept as u32, length as u32]);
        Out.write_all(&record[..RECORD + kept])?;
    }
}

/// Has Linux itself do what it would leave to the interface, or not.
pub(crate) fn offloads(interface: &str, on: bool) -> Result<(), Failed> {
    let socket = Socket::udp(IpAddr::V4(Ipv4Addr::UNSPECIFIED))?;
    OFFLOADS.iter().try_for_each(|&feature| socket.set_feature(interface, feature, on))
}

fn put(bytes: &mut [u8], words: &[u32]) {
    for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
}

/// The interface's number.
fn index(interface: &str) -> Result<u32, Failed> {
    let mut path = [0; 64];
    let parts = ["/sys/class/net/", interface, "/ifindex"];
    for (to, from) in path[..63].iter_mut().zip(parts.iter().flat_map(|part| part.bytes())) {
        *to = from;
    }
    let path = CStr::from_bytes_until_nul(&path).unwrap_or(c"");
    let mut text = [0; 16];
    let length = File::open_to_read(path)?.read(&mut text)?;
    let text = core::str::from_utf8(&text[..length]).unwrap_or("");
    Ok(text.trim_end().parse().unwrap_or_else(|_| fail(format_args!("{text:?} is no interface's number"))))
}
