//! Requests, responses and extra infos as they lie in the rings (`xen/include/public/io/netif.h`).

use core::mem::offset_of;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `XEN_NETIF_NR_SLOTS_MIN`: fragments that every backend takes in a frame.
pub(crate) const SLOTS_MIN: usize = 18;
/// `XEN_NETIF_MAX_TX_SIZE`: the most bytes in a frame sent, as its size is a 16-bit number.
pub(crate) const TX_MAX: usize = 0xffff;
/// "Ring slot size is 12 octets" for transmit, 8 for receive.
pub(crate) const TX_SLOT_BYTES: usize = 12;
pub(crate) const RX_SLOT_BYTES: usize = 8;

/// `NETTXF_*`.
pub(crate) mod tx_flag {
    pub(crate) const CSUM_BLANK: u16 = 1 << 0;
    pub(crate) const DATA_VALIDATED: u16 = 1 << 1;
    pub(crate) const MORE_DATA: u16 = 1 << 2;
    pub(crate) const EXTRA_INFO: u16 = 1 << 3;
}

/// `NETRXF_*`.
pub(crate) mod rx_flag {
    pub(crate) const DATA_VALIDATED: u16 = 1 << 0;
    pub(crate) const CSUM_BLANK: u16 = 1 << 1;
    pub(crate) const MORE_DATA: u16 = 1 << 2;
    pub(crate) const EXTRA_INFO: u16 = 1 << 3;
}

/// `struct netif_tx_request`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct TxRequest {
    pub(crate) gref: u32,
    pub(crate) offset: u16,
    pub(crate) flags: u16,
    pub(crate) id: u16,
    /// Of a frame's first fragment, the whole frame's.
    pub(crate) size: u16,
}

/// `struct netif_tx_response`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct TxResponse {
    pub(crate) id: u16,
    pub(crate) status: i16,
}

/// `struct netif_rx_request`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct RxRequest {
    pub(crate) id: u16,
    pub(crate) pad: u16,
    pub(crate) gref: u32,
}

/// `struct netif_rx_response`, or an extra info in the place of one: its `type` and `flags` are where `id` is.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct RxResponse {
    pub(crate) id: u16,
    pub(crate) offset: u16,
    pub(crate) flags: u16,
    /// Bytes, or an error if negative.
    pub(crate) status: i16,
}

impl RxResponse {
    /// The extra info's type and flags, if it is one.
    pub(crate) fn as_extra(self) -> (u8, u8) {
        let [kind, flags] = self.id.to_le_bytes();
        (kind, flags)
    }
}

/// `NETIF_RSP_*`.
pub(crate) mod status {
    pub(crate) const DROPPED: i16 = -2;
    pub(crate) const OKAY: i16 = 0;
    /// The answer to an extra info.
    pub(crate) const NULL: i16 = 1;
}

/// `struct netif_extra_info` with what we send in it: a segment's size, or an address.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Extra {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) data: [u8; 6],
}

/// `XEN_NETIF_EXTRA_TYPE_*`.
pub(crate) mod extra {
    pub(crate) const GSO: u8 = 1;
    pub(crate) const MCAST_ADD: u8 = 2;
    pub(crate) const MCAST_DEL: u8 = 3;
    pub(crate) const HASH: u8 = 4;
    /// `XEN_NETIF_EXTRA_FLAG_MORE`.
    pub(crate) const MORE: u8 = 1;
}

impl Extra {
    /// A TCP packet that is to be cut into segments with so many bytes of payload (`XEN_NETIF_GSO_TYPE_TCPV4`, `_TCPV6`).
    pub(crate) fn segments(bytes: u16, is_v6: bool) -> Self {
        let [low, high] = bytes.to_le_bytes();
        Self { kind: extra::GSO, flags: 0, data: [low, high, 1 + u8::from(is_v6), 0, 0, 0] }
    }

    /// A multicast address to let through, or not any more.
    pub(crate) fn multicast(address: [u8; 6], wanted: bool) -> Self {
        let kind = if wanted { extra::MCAST_ADD } else { extra::MCAST_DEL };
        Self { kind, flags: 0, data: address }
    }
}

const _: () = {
    assert!(size_of::<TxRequest>() == TX_SLOT_BYTES);
    assert!(offset_of!(TxRequest, size) == 10);
    assert!(size_of::<TxResponse>() == 4);
    assert!(size_of::<RxRequest>() == RX_SLOT_BYTES);
    assert!(size_of::<RxResponse>() == RX_SLOT_BYTES);
    assert!(size_of::<Extra>() == RX_SLOT_BYTES);
};
