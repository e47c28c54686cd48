//! In which order addresses are tried (RFC 6724 section 6), as far as it matters to a host with few addresses.

use core::cmp::Reverse;
use core::net::Ipv6Addr;
use fata_netstack::{IpAddress, IpCidr};

/// Addresses in the order in which they are best tried from an interface with these.
pub fn sort(to: &mut [IpAddress], from: &[IpCidr]) {
    // Stable: what is as good stays as it came (rule 10).
    to.sort_by_cached_key(|address| rank(*address, from));
}

/// The lower, the better.
type Rank = (bool, bool, bool, Reverse<u8>, u8, Reverse<u32>);

fn rank(to: IpAddress, from: &[IpCidr]) -> Rank {
    let (precedence, label) = policy(to, from);
    let Some(source) = source_for(to, from) else {
        // Rule 1.
        return (true, true, true, Reverse(precedence), scope(to), Reverse(0));
    };
    // Rules 2, 5, 6, 8 and 9.
    let other_scope = scope(source) != scope(to);
    let other_label = policy(source, from).1 != label;
    (false, other_scope, other_label, Reverse(precedence), scope(to), Reverse(common_bits(to, source)))
}

/// The address of ours that packets to there have: one in the same network, or one with the same scope, or any.
fn source_for(to: IpAddress, from: &[IpCidr]) -> Option<IpAddress> {
    let ours = from.iter().filter(|cidr| cidr.address().version() == to.version());
    let best = ours.max_by_key(|cidr| {
        (cidr.contains_addr(&to), scope(cidr.address()) == scope(to), Reverse(scope(cidr.address())))
    })?;
    // What is beyond the link cannot be reached from an address that is valid on the link alone.
    (scope(best.address()) >= scope(to)).then(|| best.address())
}

/// Whether packets to there could have a source, or may have one yet.
pub(crate) fn can_reach(to: IpAddress, from: &[IpCidr]) -> bool {
    let any = from.iter().any(|cidr| cidr.address().version() == to.version());
    !any || source_for(to, from).is_some()
}

const HOST: u8 = 1;
const LINK: u8 = 2;
const GLOBAL: u8 = 14;

/// RFC 6724 sections 3.1 and 3.2.
fn scope(address: IpAddress) -> u8 {
    match address {
        IpAddress::Ipv4(address) if address.is_loopback() => HOST,
        IpAddress::Ipv4(address) if address.is_link_local() => LINK,
        IpAddress::Ipv6(address) if address.is_loopback() => HOST,
        IpAddress::Ipv6(address) if address.is_unicast_link_local() => LINK,
        _ => GLOBAL,
    }
}

/// Precedence and label (RFC 6724 section 2.1). Local networks (RFC 4193) come after IPv4 there, since they seldom
/// reach far; but one that we are in does.
fn policy(address: IpAddress, from: &[IpCidr]) -> (u8, u8) {
    let IpAddress::Ipv6(address) = address else { return (35, 4) };
    let [first, second, ..] = address.segments();
    match first {
        _ if address == Ipv6Addr::LOCALHOST => (50, 0),
        0x2002 => (30, 2),
        0x2001 if second == 0 => (5, 5),
        0xfc00..=0xfdff => {
            let near = |cidr: &IpCidr| match cidr.address() {
                IpAddress::Ipv6(ours) => ours.segments()[..3] == address.segments()[..3],
                IpAddress::Ipv4(_) => false,
            };
            (if from.iter().any(near) { 45 } else { 3 }, 13)
        }
        // Of sites, which there are no more; QEMU gives them.
        0xfec0..=0xfeff => (1, 11),
        _ => (40, 1),
    }
}

/// Of IPv4 this says nothing.
fn common_bits(a: IpAddress, b: IpAddress) -> u32 {
    match (a, b) {
        (IpAddress::Ipv6(a), IpAddress::Ipv6(b)) => {
            // The halves, since 128-bit arithmetic is large; the second one does not matter to routes.
            let half = |address: Ipv6Addr| {
                let octets = address.octets();
                octets[..8].iter().fold(0, |half, octet| half << 8 | u64::from(*octet))
            };
            (half(a) ^ half(b)).leading_zeros()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn addresses(text: &str) -> Vec<IpAddress> {
        text.split_whitespace().map(|word| word.parse().unwrap()).collect()
    }

    #[test]
    fn the_order_is_that_of_the_rfc() {
        for (from, expected) in [
            // Both families: IPv6 first.
            ("2001:db8:1::1/64 fe80::1/64 10.0.0.1/24", "2001:db8:2::9 10.0.0.9"),
            // IPv6 of the link alone: what is beyond it comes last.
            ("fe80::1/64 10.0.0.1/24", "10.0.0.9 2001:db8:2::9"),
            ("fe80::1/64 10.0.0.1/24", "fe80::9 10.0.0.9 2001:db8:2::9"),
            ("2001:db8:1::1/64", "2001:db8:2::9 10.0.0.9"),
            // A network that is nearer.
            ("2001:db8:1::1/64", "2001:db8:1:0:1::9 2001:db8:1:1::9 2001:db8:ffff::9"),
            // Local networks: ours first, others after IPv4.
            ("fd00:1::1/64 10.0.0.1/24", "fd00:1::9 fd00:1:0:5::9 10.0.0.9 fd00:2::9"),
            ("fd00:1::1/64 2001:db8::1/64 10.0.0.1/24", "fd00:1::9 2001:db8::9 10.0.0.9"),
            // 6to4 after what is native, Teredo last.
            ("2001:db8::1/64 10.0.0.1/24", "2001:db8:5::9 10.0.0.9 2002:a00:1::9 2001:0:1::9"),
            ("2001:db8::1/64 10.0.0.1/24", "2001:db8::9 10.0.0.9 169.254.0.9"),
            ("fec0::1/64 10.0.0.1/24", "10.0.0.9 fec0::9 2001:db8::9"),
        ] {
            let from: Vec<IpCidr> = from.split_whitespace().map(|word| word.parse().unwrap()).collect();
            let expected = addresses(expected);
            let mut all = expected.clone();
            for _ in 0..all.len() {
                all.rotate_left(1);
                let mut sorted = all.clone();
                sort(&mut sorted, &from);
                assert_eq!(sorted, expected, "{from:?}");
            }
            all.reverse();
            sort(&mut all, &from);
            assert_eq!(all, expected);
        }
    }

    #[test]
    fn what_is_as_good_stays_in_order() {
        let from = ["2001:db8::1/64".parse().unwrap(), "10.0.0.1/24".parse().unwrap()];
        let mut all = addresses("10.0.0.3 10.0.0.2 2001:db8::3 10.9.0.1 2001:db8::2");
        sort(&mut all, &from);
        assert_eq!(all, addresses("2001:db8::3 2001:db8::2 10.0.0.3 10.0.0.2 10.9.0.1"));
    }
}
