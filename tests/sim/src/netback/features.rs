//! What a backend offers, and what it counts.

/// What a backend can do and what its device is like.
#[derive(Clone, Debug)]
pub struct Features {
    /// `feature-sg`.
    pub sg: bool,
    /// `feature-gso-tcpv4`.
    pub gso_tcpv4: bool,
    /// `feature-gso-tcpv6`.
    pub gso_tcpv6: bool,
    /// `feature-ipv6-csum-offload`.
    pub csum_ipv6: bool,
    /// `feature-rx-copy`.
    pub rx_copy: bool,
    /// `feature-multicast-control`.
    pub multicast_control: bool,
    /// `feature-dynamic-multicast-control`.
    pub dynamic_multicast_control: bool,
    /// `feature-split-event-channels`.
    pub split_event_channels: bool,
    /// `feature-ctrl-ring`.
    pub ctrl_ring: bool,
    /// `multi-queue-max-queues`; 0: no such node.
    pub queues: u32,
    /// Slots with data that a packet may have (`XEN_NETIF_NR_SLOTS_MIN`).
    pub slots: usize,
    /// The first bytes of a packet that are copied and not mapped (`XEN_NETBACK_TX_COPY_LEN`).
    pub copy_bytes: usize,
    /// `mac` of both halves.
    pub mac: [u8; 6],
    /// `mtu` of the guest's half, if there is one.
    pub mtu: Option<u32>,
    /// `carrier` of the backend's half, which Linux does not have.
    pub carrier: Option<bool>,
    /// `trusted` of the guest's half, if there is one.
    pub trusted: Option<bool>,
}

impl Default for Features {
    /// Those of Linux's.
    fn default() -> Self {
        Self {
            sg: true,
            gso_tcpv4: true,
            gso_tcpv6: true,
            csum_ipv6: true,
            rx_copy: true,
            multicast_control: true,
            dynamic_multicast_control: true,
            split_event_channels: true,
            ctrl_ring: true,
            queues: 4,
            slots: 18,
            copy_bytes: 128,
            mac: [0x00, 0x16, 0x3e, 0x00, 0x00, 0x01],
            mtu: Some(1500),
            carrier: None,
            trusted: Some(true),
        }
    }
}

/// How many of each it has seen. What the guest sends is `tx`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetStats {
    /// Packets and bytes that the guest has sent.
    pub tx_packets: u64,
    /// Bytes of these.
    pub tx_bytes: u64,
    /// Those answered with an error.
    pub tx_errors: u64,
    /// Those lost because there is no carrier.
    pub tx_dropped: u64,
    /// Those with a wrong checksum of which the guest did not say that it was right.
    pub tx_checksums: u64,
    /// Those to be cut whose checksum was not blank (`rx_gso_checksum_fixup`).
    pub gso_fixups: u64,
    /// Frames that the guest has been given.
    pub rx_packets: u64,
    /// Bytes of these.
    pub rx_bytes: u64,
    /// Those lost because it is not connected, has no carrier, or has not given pages to receive into for long.
    pub dropped_down: u64,
    /// Those lost because too many wait.
    pub dropped_full: u64,
    /// Those lost because the guest gave no pages to receive into in time.
    pub dropped_no_requests: u64,
    /// Those lost because the guest does not take such long ones.
    pub dropped_long: u64,
    /// Those for a group that the guest is not in.
    pub dropped_filtered: u64,
    /// Those that could not be made such as the guest takes.
    pub dropped_bad: u64,
}
