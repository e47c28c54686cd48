//! What a backend offers and what the interface is like, as Xenstore says. It may say anything.

use smoltcp::wire::EthernetAddress;

/// What this end asks for, as far as the backend offers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Pairs of rings.
    pub queues: u32,
    /// Frames of more than one page.
    pub sg: bool,
    /// TCP packets of up to 64 KiB that the other end divides, or does not have to. Needs `sg` and `checksum`.
    pub gso: bool,
    /// Checksums of TCP and UDP that the other end completes or vouches for.
    pub checksum: bool,
    /// Event channels for sending and receiving apart.
    pub split: bool,
    /// Multicast frames only for groups that were [joined](crate::Nic::join).
    pub multicast: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { queues: 1, sg: true, gso: true, checksum: true, split: false, multicast: false }
    }
}

impl Options {
    /// Takes a word of a command line: `queues=N`, `sg=0|1`, `gso=0|1`, `csum=0|1`, `split=0|1`, `mcast=0|1`. `None` if
    /// it is none of these, or the value makes no sense.
    pub fn word(&mut self, name: &str, value: &str) -> Option<()> {
        if name == "queues" {
            self.queues = value.parse().ok().filter(|&queues| queues > 0)?;
            return Some(());
        }
        let option = match name {
            "sg" => &mut self.sg,
            "gso" => &mut self.gso,
            "csum" => &mut self.checksum,
            "split" => &mut self.split,
            "mcast" => &mut self.multicast,
            _ => return None,
        };
        *option = match value {
            "0" => false,
            "1" => true,
            _ => return None,
        };
        Some(())
    }
}

/// The nodes of the backend that are read before connecting.
pub(crate) const OFFER: [&str; 8] = [
    "feature-rx-copy",
    "feature-sg",
    "feature-gso-tcpv4",
    "feature-gso-tcpv6",
    "feature-ipv6-csum-offload",
    "feature-split-event-channels",
    "multi-queue-max-queues",
    "feature-multicast-control",
];

/// As many pairs of rings as anybody has use for on one vCPU.
const QUEUES_MAX: u32 = 8;

/// What was agreed on for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) queues: u32,
    /// What we take.
    pub(crate) takes: Takes,
    /// Frames of several pages may be sent.
    pub(crate) sg: bool,
    pub(crate) gso_v4: bool,
    pub(crate) gso_v6: bool,
    /// Checksums may be left to the other end.
    pub(crate) csum_v4: bool,
    pub(crate) csum_v6: bool,
    pub(crate) split: bool,
    pub(crate) multicast: bool,
}

/// What we take whatever the backend offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Takes {
    pub(crate) sg: bool,
    pub(crate) gso: bool,
    pub(crate) checksum: bool,
}

impl Agreed {
    /// `None` if the backend cannot copy frames to where we want them, as none can that is older than 2006.
    pub(crate) fn on(offer: [Option<u64>; OFFER.len()], options: &Options) -> Option<Self> {
        let [copy, sg, gso_v4, gso_v6, csum_v6, split, queues, multicast] = offer;
        let is = |number: Option<u64>| number == Some(1);
        if !is(copy) {
            return None;
        }
        let takes = Takes {
            sg: options.sg,
            gso: options.gso && options.sg && options.checksum,
            checksum: options.checksum,
        };
        let sg = options.sg && is(sg);
        let gso = takes.gso && sg;
        Some(Self {
            queues: (queues.unwrap_or(1).min(options.queues.into()) as u32).clamp(1, QUEUES_MAX),
            takes,
            sg,
            gso_v4: gso && is(gso_v4),
            gso_v6: gso && is(gso_v6) && is(csum_v6),
            csum_v4: options.checksum,
            csum_v6: options.checksum && is(csum_v6),
            split: options.split && is(split),
            multicast: options.multicast && is(multicast),
        })
    }
}

/// Bytes of an Ethernet header.
pub(crate) const ETHERNET: usize = 14;
/// The MTU if nobody says anything (`netif.h`).
const MTU: u64 = 1500;

/// The MTU to work with, given what the toolstack wants. Without scatter-gather a frame has one page.
pub(crate) fn mtu(wanted: Option<u64>, sg: bool) -> usize {
    // RFC 791: "every internet module must be able to forward a datagram of 68 octets".
    let most = if sg { crate::wire::TX_MAX } else { xen_hyp::PAGE_SIZE } - ETHERNET;
    wanted.filter(|&mtu| mtu >= 68).unwrap_or(MTU).min(most as u64) as usize
}

/// An interface's address as it is in Xenstore: `00:16:3e:01:02:03`. None if it is no address of a single interface.
pub(crate) fn mac(text: &str) -> Option<EthernetAddress> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| (1..=2).contains(&part.len()))?;
        // `from_str_radix` takes a sign.
        *byte = u8::from_str_radix(part.strip_prefix('+').map_or(part, |_| ""), 16).ok()?;
    }
    let address = EthernetAddress(bytes);
    (parts.next().is_none() && address.is_unicast() && bytes != [0; 6]).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_offers_do_no_harm() {
        let options = Options { queues: u32::MAX, split: true, multicast: true, ..Options::default() };
        assert_eq!(Agreed::on([None; OFFER.len()], &options), None);
        assert_eq!(Agreed::on([Some(2); OFFER.len()], &options), None);
        let all = Agreed::on([Some(1); OFFER.len()], &options).unwrap();
        assert!(all.sg && all.gso_v4 && all.gso_v6 && all.csum_v6 && all.split && all.multicast);
        assert_eq!(all.queues, 1);
        let mut huge = [Some(u64::MAX); OFFER.len()];
        huge[0] = Some(1);
        let huge = Agreed::on(huge, &options).unwrap();
        assert!(!huge.sg && !huge.split && huge.queues == QUEUES_MAX);
        let mut none = [Some(1); OFFER.len()];
        none[6] = Some(0);
        assert_eq!(Agreed::on(none, &options).unwrap().queues, 1);
    }

    #[test]
    fn what_needs_another_feature_goes_with_it() {
        let all = [Some(1); OFFER.len()];
        let without = |options: Options| Agreed::on(all, &options).unwrap();
        let no_sg = without(Options { sg: false, ..Options::default() });
        assert!(!no_sg.takes.gso && !no_sg.gso_v4 && !no_sg.gso_v6 && no_sg.csum_v4);
        let no_sums = without(Options { checksum: false, ..Options::default() });
        assert!(!no_sums.takes.gso && !no_sums.gso_v4 && no_sums.sg && !no_sums.csum_v4);
    }

    #[test]
    fn mtus() {
        for (wanted, sg, mtu_) in [
            (None, true, 1500),
            (Some(0), true, 1500),
            (Some(67), true, 1500),
            (Some(1280), false, 1280),
            (Some(9000), true, 9000),
            (Some(9000), false, 4082),
            (Some(u64::MAX), true, 65521),
        ] {
            assert_eq!(mtu(wanted, sg), mtu_, "{wanted:?} {sg}");
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(mac("00:16:3e:01:02:fF"), Some(EthernetAddress([0, 0x16, 0x3e, 1, 2, 255])));
        assert_eq!(mac("0:16:3e:1:2:f"), Some(EthernetAddress([0, 0x16, 0x3e, 1, 2, 15])));
        for wrong in [
            "",
            "00:16:3e:01:02",
            "00:16:3e:01:02:03:04",
            "00:16:3e:01:02:",
            "00:16:3e:01:02:+3",
            "00:16:3e:01:02:003",
            "01:16:3e:01:02:03",
            "ff:ff:ff:ff:ff:ff",
            "00:00:00:00:00:00",
            "00-16-3e-01-02-03",
            "å:16:3e:01:02:03",
        ] {
            assert_eq!(mac(wrong), None, "{wrong}");
        }
    }
}
