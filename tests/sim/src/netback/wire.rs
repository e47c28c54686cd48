//! What lies in the rings (`xen/include/public/io/netif.h`).

/// Bytes of a slot of each ring.
pub(super) const TX_SLOT: usize = 12;
pub(super) const RX_SLOT: usize = 8;
pub(super) const CTRL_SLOT: usize = 16;

/// `NETTXF_*`.
pub(super) const TXF_CSUM_BLANK: u16 = 1;
pub(super) const TXF_DATA_VALIDATED: u16 = 2;
pub(super) const TXF_MORE_DATA: u16 = 4;
pub(super) const TXF_EXTRA_INFO: u16 = 8;

/// `NETRXF_*`.
pub(super) const RXF_DATA_VALIDATED: u16 = 1;
pub(super) const RXF_CSUM_BLANK: u16 = 2;
pub(super) const RXF_MORE_DATA: u16 = 4;
pub(super) const RXF_EXTRA_INFO: u16 = 8;

/// `XEN_NETIF_EXTRA_TYPE_*`.
pub(super) const EXTRA_GSO: u8 = 1;
pub(super) const EXTRA_MCAST_ADD: u8 = 2;
pub(super) const EXTRA_MCAST_DEL: u8 = 3;
pub(super) const EXTRA_HASH: u8 = 4;
pub(super) const EXTRA_MAX: u8 = 5;
/// `XEN_NETIF_EXTRA_FLAG_MORE`.
pub(super) const EXTRA_MORE: u8 = 1;

/// `XEN_NETIF_GSO_TYPE_*`.
pub(super) const GSO_TCPV4: u8 = 1;
pub(super) const GSO_TCPV6: u8 = 2;

/// `NETIF_RSP_*`.
pub(super) const ERROR: i16 = -1;
pub(super) const OKAY: i16 = 0;
const NULL: i16 = 1;

/// `struct netif_tx_request`.
#[derive(Clone, Copy, Debug)]
pub(super) struct TxRequest {
    pub(super) gref: u32,
    pub(super) offset: u16,
    pub(super) flags: u16,
    pub(super) id: u16,
    pub(super) size: u16,
}

impl TxRequest {
    pub(super) fn parse(slot: &[u8; TX_SLOT]) -> Self {
        Self {
            gref: u32_at(slot, 0),
            offset: u16_at(slot, 4),
            flags: u16_at(slot, 6),
            id: u16_at(slot, 8),
            size: u16_at(slot, 10),
        }
    }

    pub(super) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// `struct netif_rx_request`.
#[derive(Clone, Copy, Debug)]
pub(super) struct RxRequest {
    pub(super) id: u16,
    pub(super) gref: u32,
}

impl RxRequest {
    pub(super) fn parse(slot: &[u8; RX_SLOT]) -> Self {
        Self { id: u16_at(slot, 0), gref: u32_at(slot, 4) }
    }
}

/// `struct netif_tx_response`.
pub(super) fn tx_response(id: u16, status: i16) -> [u8; 4] {
    let mut bytes = [0; 4];
    bytes[..2].copy_from_slice(&id.to_ne_bytes());
    bytes[2..].copy_from_slice(&status.to_ne_bytes());
    bytes
}

/// The answer to a slot with extra information, whose id means nothing.
pub(super) fn tx_null() -> [u8; 4] {
    tx_response(0xbaad, NULL)
}

/// `struct netif_rx_response`.
pub(super) fn rx_response(id: u16, offset: u16, flags: u16, status: i16) -> [u8; RX_SLOT] {
    let mut bytes = [0; RX_SLOT];
    let fields = [id, offset, flags, status as u16];
    for (field, bytes) in fields.iter().zip(bytes.chunks_mut(2)) {
        bytes.copy_from_slice(&field.to_ne_bytes());
    }
    bytes
}

/// `struct netif_extra_info` of GSO.
pub(super) fn gso_info(kind: u8, mss: u16) -> [u8; RX_SLOT] {
    let size = mss.to_ne_bytes();
    [EXTRA_GSO, 0, size[0], size[1], kind, 0, 0, 0]
}

/// The same of a hash, whose value is in the order of this machine. Toeplitz is the only algorithm there is.
pub(super) fn hash_info(kind: u8, value: u32) -> [u8; RX_SLOT] {
    let [a, b, c, d] = value.to_ne_bytes();
    [EXTRA_HASH, 0, kind, 1, a, b, c, d]
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(*bytes[at..].first_chunk().expect("in the slot"))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(*bytes[at..].first_chunk().expect("in the slot"))
}
