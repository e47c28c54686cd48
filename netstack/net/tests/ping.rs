//! Pings of all sizes, over all kinds of links.

mod net;

use fata_link::{Counter, Parked, wire};
use fata_netstack::{Error, IpAddress, Random, Stack};
use fata_rt::yield_now;
use net::{A, B, address, config, pair, run};
use smoltcp::wire::EthernetAddress;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn pings_of_every_size_are_answered_over_every_mtu() {
    for mtu in [1280, 1500, 9000] {
        run(async |rt| {
            let (a, _b, _) = pair(&rt, wire::Options { mtu, ..wire::Options::default() });
            for to in B {
                for len in [0, 1, 56, 64, mtu - 48, mtu - 28, mtu - 27, 2000, 9000, 20_000, 65_000, 65_487] {
                    let mut pinger = a.pinger(address(to), len).await.unwrap();
                    for _ in 0..3 {
                        let answer = rt.timeout(SECOND, pinger.ping(&payload(len))).await;
                        assert!(answer.is_ok_and(|answer| answer.is_ok()), "{to}, MTU {mtu}, {len} bytes");
                    }
                }
            }
        });
    }
}

#[test]
fn the_largest_there_are_and_those_that_are_larger() {
    run(async |rt| {
        let (a, _b, _) = pair(&rt, wire::Options::default());
        for (to, largest) in [(B[0], 65_507), (B[1], 65_487)] {
            let mut pinger = a.pinger(address(to), largest).await.unwrap();
            rt.timeout(SECOND, pinger.ping(&payload(largest))).await.unwrap().unwrap();
            assert_eq!(pinger.ping(&payload(largest * 5)).await, Err(Error::TooLarge));
            assert_eq!(a.pinger(address(to), largest + 1).await.err(), Some(Error::TooLarge));
        }
    });
}

#[test]
fn a_flood_from_both_sides_is_answered_and_leaves_nothing_behind() {
    run(async |rt| {
        // So little room that nothing large fits.
        let (a, b, _) = pair(&rt, wire::Options { room: 8, ..wire::Options::default() });
        let mut tasks = Vec::new();
        for (stack, to) in [(&a, B[0]), (&b, A[0]), (&a, B[1]), (&b, A[1])] {
            for len in [64, 1400, 5000, 65_000] {
                let mut pinger = stack.pinger(address(to), len).await.unwrap();
                let rt2 = rt.clone();
                tasks.push(rt.spawn(async move {
                    let mut lost = 0;
                    for _ in 0..30 {
                        let answer = rt2.timeout(SECOND, pinger.ping(&payload(len))).await;
                        lost += usize::from(answer.is_err());
                    }
                    lost
                }));
            }
        }
        for task in tasks {
            assert_eq!(task.await, Ok(0));
        }
        assert_eq!((a.sockets(), b.sockets()), ((0, 0), (0, 0)));
    });
}

#[test]
fn who_is_not_there_does_not_answer() {
    run(async |rt| {
        let (a, _b, _) = pair(&rt, wire::Options::default());
        let mut pinger = a.pinger(address("10.0.0.77"), 64).await.unwrap();
        let start_ns = rt.now_ns();
        assert!(rt.timeout(SECOND * 5, pinger.ping(&[0; 64])).await.is_err());
        assert_eq!(rt.now_ns() - start_ns, 5_000_000_000);
        assert_eq!(a.pinger(address("0.0.0.0"), 64).await.err(), Some(Error::Unaddressable));
    });
}

#[test]
fn there_is_no_way_to_a_family_that_is_off() {
    run(async |rt| {
        let (a, _, _) = wire::pair(wire::Options::default());
        let a = Stack::start(&rt, a, config("ip=10.0.0.1/24 ip6=off"), &Random::known(1));
        assert_eq!(a.pinger(address("fd00::1"), 64).await.err(), Some(Error::NoAddress));
        assert_eq!(a.up().await.len(), 1);
    });
}

/// Also the first one, with a round trip that is the delay of the link and no more.
#[test]
fn the_round_trip_is_what_the_link_takes() {
    run(async |rt| {
        let delay = smoltcp::time::Duration::from_millis(7);
        let plan = fata_link::Plan { delay, ..fata_link::Plan::default() };
        let (a, _b, _) = net::bad_pair(&rt, wire::Options::default(), plan, &mut fata_sim::Rng::new());
        for to in B {
            let mut pinger = a.pinger(address(to), 64).await.unwrap();
            let first = pinger.ping(&[1; 64]).await.unwrap();
            // Each of the two asks for the other's address first, unless that came with the question.
            assert!(first <= Duration::from_millis(7 * 6), "{first:?}");
            assert_eq!(pinger.ping(&[1; 64]).await, Ok(Duration::from_millis(14)));
        }
    });
}

#[test]
fn many_unknown_neighbors_are_pinged_at_once() {
    run(async |rt| {
        let (a, b, _) = wire::pair(wire::Options::default());
        let a = net::start(&rt, a, A);
        let words: String = (2..6).map(|n| format!("ip6=fd00::{n}/64 ")).collect();
        let _b =
            Stack::start(&rt, Parked::new(b), config(&format!("ip=10.0.0.2/24 {words}")), &Random::known(2));
        let start_ns = rt.now_ns();
        let mut tasks = Vec::new();
        for to in ["10.0.0.2", "fd00::2", "fd00::3", "fd00::4", "fd00::5"] {
            let mut pinger = a.pinger(address(to), 64).await.unwrap();
            tasks.push(rt.spawn(async move { pinger.ping(&[3; 64]).await }));
        }
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(rt.now_ns() - start_ns, 0, "nobody waits for a second that smoltcp is silent");
    });
}

#[test]
fn nothing_is_sent_before_the_link_is_up_and_then_it_is_announced() {
    run(async |rt| {
        let (a, mut far, cable) = wire::pair(wire::Options::default());
        cable.unplug();
        let counter = Counter::new(a);
        let counts = counter.counts();
        let a = net::start(&rt, counter, A);
        let rt2 = rt.clone();
        let stack = a.clone();
        let ping = rt.spawn(async move {
            let mut pinger = stack.pinger(address(B[0]), 64).await.unwrap();
            rt2.timeout(SECOND, pinger.ping(&[1; 64])).await.is_err()
        });
        rt.sleep(SECOND).await;
        assert_eq!((counts.sent().frames, a.addresses()), (0, Vec::new()));
        cable.plug(cable.options());
        // At once the neighbours are asked whether they have our addresses, and for the one that is pinged; when they had
        // the time to object, they are told.
        for (from_ms, frames) in [(0, 4), (49, 0), (1, 3)] {
            rt.sleep(Duration::from_millis(from_ms)).await;
            for _ in 0..100 {
                yield_now().await;
            }
            let mut seen = Vec::new();
            while let Some((rx, _)) = smoltcp::phy::Device::receive(&mut far, smoltcp::time::Instant::ZERO) {
                // But for reports of groups, which have options for every hop.
                let is_report = |frame: &[u8]| frame[12..14] == [0x86, 0xdd] && frame[20] == 0;
                smoltcp::phy::RxToken::consume(rx, |frame| {
                    if !is_report(frame) {
                        seen.push(fata_link::neighbor::parse(frame));
                    }
                });
            }
            assert_eq!(seen.len(), frames, "{seen:?}");
            use fata_link::neighbor::Message;
            let mac = a.link().mac;
            for own in a.addresses().iter().filter(|_| frames > 0) {
                let own = own.address();
                let nobody: IpAddress =
                    if matches!(own, IpAddress::Ipv4(_)) { address("0.0.0.0") } else { address("::") };
                let is_it = |message: &Message| match message {
                    Message::Ask { from, target } => {
                        let said = if frames == 4 { nobody } else { own };
                        (*from, *target) == (said, own)
                    }
                    Message::Tell { .. } => frames == 3 && *message == Message::Tell { who: own, mac },
                };
                assert_eq!(
                    seen.iter().flatten().filter(|message| is_it(message)).count(),
                    1,
                    "{own} in {seen:?}"
                );
            }
        }
        assert_eq!(a.addresses().len(), 3);
        assert_eq!(ping.await, Ok(true));
    });
}

#[test]
fn a_link_that_filters_hears_of_the_groups_that_addresses_need() {
    run(async |rt| {
        let (a, _far, cable) = wire::pair(wire::Options::default());
        let a = net::start(&rt, a, ["10.0.0.1", "fd00::12:3456"]);
        let told = Rc::new(RefCell::new(Vec::new()));
        let (stack, told2) = (a.clone(), told.clone());
        let task = rt.spawn(async move {
            stack.tell_groups(|group, wanted| told2.borrow_mut().push((group.0, wanted))).await;
        });
        a.up().await;
        // RFC 1112, RFC 2464, RFC 4291.
        let [all_v4, all, asked] =
            [[1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]];
        let wanted = a.groups();
        for group in [all_v4, all, asked] {
            assert!(wanted.contains(&EthernetAddress(group)), "{group:x?} is missing in {wanted:x?}");
        }
        while told.borrow().len() < wanted.len() {
            yield_now().await;
        }
        let expected: Vec<_> = wanted.iter().map(|group| (group.0, true)).collect();
        assert_eq!(*told.borrow(), expected, "each once");
        drop((task, cable));
    });
}
