//! The control ring, by which a guest says how frames are to be spread over its rings (`xen-netback/hash.c`).

use super::queue::Side;
use super::wire::{CTRL_SLOT, u16_at, u32_at};
use super::{Inner, Netback};
use crate::frame::{ETHERNET, Frame, TCP};
use fata_ring::Corrupt;
use xen_hyp::{GrantRef, PAGE_SIZE, Port, SharedMem};

/// `XEN_NETIF_CTRL_TYPE_*`.
const GET_HASH_FLAGS: u16 = 1;
const SET_HASH_FLAGS: u16 = 2;
const SET_HASH_KEY: u16 = 3;
const GET_HASH_MAPPING_SIZE: u16 = 4;
const SET_HASH_MAPPING_SIZE: u16 = 5;
const SET_HASH_MAPPING: u16 = 6;
const SET_HASH_ALGORITHM: u16 = 7;

/// `XEN_NETIF_CTRL_STATUS_*`.
const SUCCESS: u32 = 0;
const NOT_SUPPORTED: u32 = 1;
const INVALID_PARAMETER: u32 = 2;

/// `XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ`.
const TOEPLITZ: u32 = 1;
/// `_XEN_NETIF_CTRL_HASH_TYPE_*`: IPv4, the same with TCP, IPv6, the same with TCP.
const TYPES: u32 = 4;
/// `XEN_NETBK_MAX_HASH_KEY_SIZE`.
const KEY_MAX: usize = 40;
/// `XEN_NETBK_MAX_HASH_MAPPING_SIZE`.
const MAPPING_MAX: usize = 128;

/// How the guest wants frames to be spread.
#[derive(Default)]
pub(super) struct Hash {
    algorithm: u32,
    flags: u32,
    key: Vec<u8>,
    mapping: Vec<u32>,
}

/// What is known of a frame.
#[derive(Clone, Copy)]
pub(super) struct Hashed {
    pub(super) kind: u8,
    pub(super) value: u32,
}

impl Netback {
    /// Maps the ring, if the guest has one (`connect_ctrl_ring`).
    pub(super) fn connect_control(&self) -> Result<Option<Side>, String> {
        let Some(gref) = self.vdev.number("ctrl-ring-ref") else { return Ok(None) };
        let port = self.vdev.number("event-channel-ctrl");
        let port = port.ok_or_else(|| format!("reading {}/event-channel-ctrl", self.vdev.front()))?;
        let (world, home, guest) = (&self.world, &self.home, &self.guest);
        let mut side = Side::map(world, home, guest, gref, CTRL_SLOT, Port(0))?;
        let bound = world.bind(home, guest.id(), Port(port));
        side.port = bound.map_err(|error| format!("binding port {port}: {error}"))?;
        Ok(Some(side))
    }

    /// Does what the guest asks for; gives whether there was anything (`xenvif_ctrl_action`).
    pub(super) fn control(&self, inner: &mut Inner) -> bool {
        let Some(mut side) = inner.control.take() else { return false };
        let any = side.take_event() | core::mem::take(&mut side.awake);
        if any {
            while let Some(request) = side.back.take::<[u8; CTRL_SLOT]>().unwrap_or_else(|Corrupt| {
                inner.complaints.push("impossible number of control requests".into());
                None
            }) {
                side.back.push(&self.reply(inner, &request));
            }
            side.publish(&self.world);
        }
        inner.control = Some(side);
        any
    }

    /// `process_ctrl_request`.
    fn reply(&self, inner: &mut Inner, request: &[u8; CTRL_SLOT]) -> [u8; 12] {
        let data = [4, 8, 12].map(|at| u32_at(request, at));
        let queues = inner.queues.len() as u32;
        let hash = &mut inner.hash;
        let (status, value) = match u16_at(request, 2) {
            SET_HASH_ALGORITHM => (hash.set_algorithm(data[0]), 0),
            GET_HASH_FLAGS if hash.algorithm == TOEPLITZ => (SUCCESS, (1 << TYPES) - 1),
            SET_HASH_FLAGS => (hash.set_flags(data[0]), 0),
            SET_HASH_KEY if data[1] as usize > KEY_MAX => (INVALID_PARAMETER, 0),
            SET_HASH_KEY => (hash.set_key(self.copy_of(data[0], data[1] as usize)), 0),
            GET_HASH_MAPPING_SIZE => (SUCCESS, MAPPING_MAX as u32),
            SET_HASH_MAPPING_SIZE => (hash.set_mapping_size(data[0] as usize), 0),
            SET_HASH_MAPPING => {
                let bytes = (data[1] as usize).checked_mul(4).filter(|&bytes| bytes <= PAGE_SIZE);
                let entries = bytes.and_then(|bytes| self.copy_of(data[0], bytes));
                (hash.set_mapping(entries, data[2] as usize, queues), 0)
            }
            _ => (NOT_SUPPORTED, 0),
        };
        let mut reply = [0; 12];
        reply[..4].copy_from_slice(&request[..4]);
        reply[4..8].copy_from_slice(&status.to_ne_bytes());
        reply[8..].copy_from_slice(&u32::to_ne_bytes(value));
        reply
    }

    /// The first bytes of a page of the guest's.
    fn copy_of(&self, gref: u32, bytes: usize) -> Option<Vec<u8>> {
        let mut copy = vec![0; bytes];
        if bytes > 0 {
            let page = self.world.map_grant(self.home.id(), &self.guest, GrantRef(gref), false).ok()?;
            page.copy_in(0, &mut copy);
        }
        Some(copy)
    }
}

impl Hash {
    fn set_algorithm(&mut self, algorithm: u32) -> u32 {
        if algorithm > TOEPLITZ {
            return INVALID_PARAMETER;
        }
        self.algorithm = algorithm;
        SUCCESS
    }

    fn set_flags(&mut self, flags: u32) -> u32 {
        if flags >> TYPES != 0 || self.algorithm != TOEPLITZ {
            return INVALID_PARAMETER;
        }
        self.flags = flags;
        SUCCESS
    }

    fn set_key(&mut self, key: Option<Vec<u8>>) -> u32 {
        let Some(key) = key else { return INVALID_PARAMETER };
        self.key = key;
        SUCCESS
    }

    fn set_mapping_size(&mut self, size: usize) -> u32 {
        if size > MAPPING_MAX {
            return INVALID_PARAMETER;
        }
        self.mapping = vec![0; size];
        SUCCESS
    }

    fn set_mapping(&mut self, entries: Option<Vec<u8>>, offset: usize, queues: u32) -> u32 {
        let Some(bytes) = entries else { return INVALID_PARAMETER };
        let entries: Vec<u32> = bytes.chunks(4).map(|entry| u32_at(entry, 0)).collect();
        let place = offset.checked_add(entries.len()).and_then(|end| self.mapping.get_mut(offset..end));
        match place {
            Some(place) if entries.iter().all(|&queue| queue < queues) => {
                place.copy_from_slice(&entries);
                SUCCESS
            }
            _ => INVALID_PARAMETER,
        }
    }

    /// Which of so many rings a frame goes into, if the guest said how to find out (`xenvif_select_queue`).
    pub(super) fn steer(&self, frame: &Frame, queues: usize) -> Option<usize> {
        if self.algorithm != TOEPLITZ {
            return None;
        }
        let value = self.of(frame).map_or(0, |hashed| hashed.value) as usize;
        Some(match self.mapping.len() {
            0 => value % queues,
            size => self.mapping[value % size] as usize % queues,
        })
    }

    /// The hash of a frame, if it is one of those that the guest wants to have one (`xenvif_set_skb_hash`).
    pub(super) fn of(&self, frame: &Frame) -> Option<Hashed> {
        let version = match *frame.bytes.get(12..15)? {
            [0x08, 0x00, byte] if byte >> 4 == 4 => 4,
            [0x86, 0xdd, byte] if byte >> 4 == 6 => 6,
            _ => return None,
        };
        let base = if version == 4 { 0 } else { 2 };
        let addresses = if version == 4 { 12..20 } else { 8..40 };
        let addresses = frame.bytes.get(ETHERNET + addresses.start..ETHERNET + addresses.end)?;
        let wanted = |kind: u8| self.algorithm == TOEPLITZ && self.flags >> kind & 1 != 0;
        let tcp = frame.headers().filter(|headers| headers.protocol == TCP);
        match tcp {
            Some(headers) if wanted(base + 1) => {
                let ports = &frame.bytes[headers.transport..headers.transport + 4];
                Some(Hashed { kind: base + 1, value: toeplitz(&self.key, &[addresses, ports].concat()) })
            }
            _ if wanted(base) => Some(Hashed { kind: base, value: toeplitz(&self.key, addresses) }),
            _ => None,
        }
    }
}

/// As `netif.h` says it.
fn toeplitz(key: &[u8], buffer: &[u8]) -> u32 {
    let bit = |bytes: &[u8], n: usize| bytes.get(n / 8).is_some_and(|byte| byte << (n % 8) & 0x80 != 0);
    let window = |at: usize| (0..32).fold(0, |word, n| word << 1 | u32::from(bit(key, at + n)));
    (0..buffer.len() * 8).filter(|&n| bit(buffer, n)).fold(0, |hash, n| hash ^ window(n))
}

#[cfg(test)]
mod tests {
    use super::toeplitz;

    /// The well-known key and its values for TCP over IPv4.
    #[test]
    fn hashes_are_those_that_everybody_computes() {
        let key = [
            0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
            0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
            0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
        ];
        let addresses = [66, 9, 149, 187, 161, 142, 100, 80];
        let ports = [2794u16.to_be_bytes(), 1766u16.to_be_bytes()].concat();
        assert_eq!(toeplitz(&key, &addresses), 0x323e_8fc2);
        assert_eq!(toeplitz(&key, &[&addresses[..], &ports].concat()), 0x51cc_c178);
    }
}
