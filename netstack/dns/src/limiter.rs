//! Response-rate limiting: whoever is sent the same over and over in datagrams probably did not ask for it.
//!
//! Networks (/24 of IPv4, /56 of IPv6) may have so many like answers a second; of what is beyond that every few are sent
//! truncated, which costs the victim nothing and lets who really asks come back by TCP. The table is bounded: a bucket
//! that is needed is taken from who has not been heard of for longest.

use alloc::vec::Vec;
use core::net::IpAddr;

/// Buckets that a key may be in.
const WAYS: usize = 4;
/// What a reply costs.
const COST: u32 = 1000;

/// What to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it.
    Send,
    /// Send that TCP is to be used.
    Slip,
    /// Send nothing.
    Drop,
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    tag: u32,
    /// When there was credit given last.
    at_ms: u32,
    /// In thousandths of a reply.
    credit: u32,
    /// Of those dropped, since the last that slipped.
    dropped: u32,
}

/// Knows what was sent to whom of late.
pub struct Limiter {
    buckets: Vec<Bucket>,
    seed: u64,
    rate: u32,
    slip: u32,
}

impl Limiter {
    /// So many like replies a second to a network, or as many as there are with 0. Of what is beyond, each `slip`th is
    /// sent truncated; none with 0. `buckets` is a power of two; `seed` keeps others from knowing who shares one.
    pub fn new(rate: u32, slip: u32, buckets: usize, seed: u64) -> Self {
        let buckets = if rate == 0 { 0 } else { buckets.next_power_of_two().max(WAYS) };
        let mut table = Vec::new();
        table.resize(buckets, Bucket::default());
        Self { buckets: table, seed, rate: rate.min(1_000_000), slip }
    }

    /// Whether a reply may be sent. Replies with the same `token` are alike.
    pub fn check(&mut self, to: IpAddr, token: u32, now_ms: u32) -> Verdict {
        if self.rate == 0 {
            return Verdict::Send;
        }
        let network = match to {
            IpAddr::V4(address) => u64::from(address.to_bits() >> 8),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                1 << 63 | [a, b, c, d].into_iter().fold(0, |value, part| value << 16 | u64::from(part)) >> 8
            }
        };
        let hash = mix(mix(self.seed ^ network) ^ u64::from(token));
        // A tag of zero is nobody's.
        let (slot, tag) = (hash as usize & (self.buckets.len() / WAYS - 1), (hash >> 32) as u32 | 1);
        let ways = &mut self.buckets[slot * WAYS..][..WAYS];
        let full = self.rate * COST;
        let bucket = match ways.iter().position(|bucket| bucket.tag == tag) {
            Some(index) => &mut ways[index],
            None => {
                let age = |bucket: &Bucket| {
                    if bucket.tag == 0 { u32::MAX } else { now_ms.wrapping_sub(bucket.at_ms) }
                };
                let index = (0..WAYS).max_by_key(|index| age(&ways[*index])).unwrap_or(0);
                ways[index] = Bucket { tag, at_ms: now_ms, credit: full, dropped: 0 };
                &mut ways[index]
            }
        };
        let passed = now_ms.wrapping_sub(bucket.at_ms).min(1000);
        bucket.at_ms = now_ms;
        bucket.credit = (bucket.credit + passed * self.rate).min(full);
        if bucket.credit >= COST {
            bucket.credit -= COST;
            return Verdict::Send;
        }
        bucket.dropped += 1;
        if self.slip > 0 && bucket.dropped >= self.slip {
            bucket.dropped = 0;
            return Verdict::Slip;
        }
        Verdict::Drop
    }
}

/// The end of SplitMix64.
fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(limiter: &mut Limiter, to: &str, token: u32, now_ms: u32, times: usize) -> [usize; 3] {
        let mut counts = [0; 3];
        for _ in 0..times {
            counts[limiter.check(to.parse().unwrap(), token, now_ms) as usize] += 1;
        }
        counts
    }

    #[test]
    fn a_network_gets_so_many_a_second_and_some_slip() {
        let mut limiter = Limiter::new(10, 2, 64, 5);
        assert_eq!(count(&mut limiter, "192.0.2.1", 1, 0, 30), [10, 10, 10]);
        // The same network, and others.
        assert_eq!(count(&mut limiter, "192.0.2.200", 1, 0, 2), [0, 1, 1]);
        assert_eq!(count(&mut limiter, "192.0.3.1", 1, 0, 5), [5, 0, 0]);
        assert_eq!(count(&mut limiter, "192.0.2.1", 2, 0, 5), [5, 0, 0]);
        // Half a second is worth half of it, and an hour no more than a second.
        assert_eq!(count(&mut limiter, "192.0.2.1", 1, 500, 7)[0], 5);
        assert_eq!(count(&mut limiter, "192.0.2.1", 1, 3_600_000, 30)[0], 10);
    }

    #[test]
    fn prefixes_of_ipv6_have_56_bits() {
        let mut limiter = Limiter::new(1, 0, 64, 5);
        assert_eq!(count(&mut limiter, "2001:db8:0:1200::1", 1, 0, 2), [1, 0, 1]);
        assert_eq!(count(&mut limiter, "2001:db8:0:12ff::2", 1, 0, 2), [0, 0, 2]);
        assert_eq!(count(&mut limiter, "2001:db8:0:1300::1", 1, 0, 2), [1, 0, 1]);
        assert_eq!(count(&mut limiter, "0.0.0.0", 1, 0, 1), [1, 0, 0]);
    }

    #[test]
    fn the_table_is_bounded_and_the_oldest_gives_way() {
        let mut limiter = Limiter::new(1, 0, 16, 5);
        for number in 0..10_000u32 {
            let to = IpAddr::V4(number.wrapping_mul(65_536).into());
            limiter.check(to, 0, number);
        }
        assert_eq!(limiter.buckets.len(), 16);
        assert!(limiter.buckets.iter().all(|bucket| bucket.at_ms > 9_700));
    }

    #[test]
    fn without_a_rate_everything_is_sent() {
        let mut limiter = Limiter::new(0, 2, 64, 5);
        assert_eq!(count(&mut limiter, "192.0.2.1", 1, 0, 1000), [1000, 0, 0]);
    }

    /// Clocks in milliseconds go round after 49 days.
    #[test]
    fn time_may_wrap() {
        let mut limiter = Limiter::new(2, 0, 64, 5);
        assert_eq!(count(&mut limiter, "192.0.2.1", 1, u32::MAX - 100, 5), [2, 0, 3]);
        assert_eq!(count(&mut limiter, "192.0.2.1", 1, 500, 5), [1, 0, 4]);
    }
}
