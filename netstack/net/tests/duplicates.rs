//! Addresses that somebody else has, or would like to have, and addresses that change.

mod net;

use embedded_io_async::{Read, Write};
use fata_link::neighbor::{self, Message};
use fata_link::wire;
use fata_netstack::{Conflict, Error, IpAddress, IpEndpoint, Random, Stack, tcp, udp};
use fata_rt::Rt;
use net::{A, B, Far, address, config, pair, prefix, run};
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, Icmpv6Packet, Ipv6Packet};
use std::time::Duration;

const GIVEN: &str = "ip=10.0.0.2/24 ip6=fd00::2/64";
const V4: &str = "10.0.0.2/24";
const V6: &str = "fd00::2/64";
const LOCAL: &str = "fe80::ff:fe00:1/64";

fn start(rt: &Rt, words: &str) -> (Stack, Far) {
    let (a, b, _) = wire::pair(wire::Options::default());
    (Stack::start(rt, a, config(words), &Random::known(1)), Far::new(rt, b))
}

fn all(stack: &Stack) -> Vec<String> {
    stack.addresses().iter().map(ToString::to_string).collect()
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Who was asked for by nobody.
fn probes(frames: &[Vec<u8>]) -> Vec<IpAddress> {
    let probe = |frame: &Vec<u8>| match neighbor::parse(frame) {
        Some(Message::Ask { from, target }) if from.is_unspecified() => Some(target),
        _ => None,
    };
    frames.iter().filter_map(probe).collect()
}

/// Who was said to be at the stack, to everybody.
fn announced(frames: &[Vec<u8>]) -> Vec<IpAddress> {
    let announcement = |frame: &Vec<u8>| match neighbor::parse(frame) {
        Some(Message::Ask { from, target }) if from == target => Some(target),
        Some(Message::Tell { who: who @ IpAddress::Ipv6(_), .. }) => Some(who),
        _ => None,
    };
    frames.iter().filter_map(announcement).collect()
}

fn count(all: &[IpAddress], one: &str) -> usize {
    all.iter().filter(|other| **other == address(one)).count()
}

#[test]
fn an_address_is_used_at_once_and_asked_for_meanwhile() {
    run(async |rt| {
        let (stack, mut far) = start(&rt, GIVEN);
        let frames = far.heard().await;
        assert_eq!(all(&stack), [V4, V6, LOCAL]);
        assert_eq!((probes(&frames).len(), announced(&frames).len()), (3, 0));
        let frames = far.heard_in(ms(50)).await;
        assert_eq!((probes(&frames).len(), announced(&frames).len()), (0, 3));
        // RFC 5227: three probes one to two seconds apart, and two announcements in all; RFC 4862: one probe.
        let frames = far.heard_in(ms(20_000)).await;
        assert_eq!(probes(&frames), [address("10.0.0.2"), address("10.0.0.2")]);
        assert_eq!(announced(&frames).len(), 3);
        assert_eq!(far.heard_in(ms(1_000_000)).await, [[0u8; 0]; 0]);
    });
}

#[test]
fn or_it_waits_until_nobody_has_objected() {
    run(async |rt| {
        let (stack, mut far) = start(&rt, &format!("{GIVEN} dad=wait"));
        let start_ns = rt.now_ns();
        let frames = far.heard().await;
        assert_eq!((all(&stack), probes(&frames).len()), (vec![], 3));
        let frames = far.heard_in(ms(1000)).await;
        assert_eq!((all(&stack), announced(&frames).len()), (vec![V6.to_string(), LOCAL.to_string()], 2));
        stack.when(|stack| (stack.addresses().len() == 3).then_some(())).await;
        let waited_ms = (rt.now_ns() - start_ns) / 1_000_000;
        assert!((4000..=6000).contains(&waited_ms), "{waited_ms}");
        assert_eq!(announced(&far.heard().await), [address("10.0.0.2")]);
        // Off, it asks nobody, and announces at once.
        let (_stack, mut far) = start(&rt, &format!("{GIVEN} dad=off"));
        let frames = far.heard_in(ms(20_000)).await;
        assert_eq!((probes(&frames).len(), announced(&frames).len()), (0, 3));
    });
}

#[test]
fn what_somebody_has_is_given_up_and_told() {
    for mode in ["optimistic", "wait"] {
        run(async |rt| {
            let (stack, mut far) = start(&rt, &format!("{GIVEN} dad={mode}"));
            far.heard().await;
            for (taken, left) in [("10.0.0.2", 2), ("fd00::2", 1)] {
                far.claim(address(taken)).await;
                let conflict = Conflict { address: address(taken), holder: far.mac };
                assert_eq!(stack.conflicts().last(), Some(&conflict), "{mode}");
                if mode == "optimistic" {
                    assert_eq!(all(&stack).len(), left, "{mode}");
                }
            }
            rt.sleep(ms(10_000)).await;
            assert_eq!((all(&stack), stack.counts().conflicts), (vec![LOCAL.to_string()], 2), "{mode}");
            let error = stack.connect(IpEndpoint::new(address("10.0.0.1"), 9), tcp::Options::default()).await;
            assert_eq!(error.err(), Some(Error::NoAddress), "and there will be none");
            // Until it is told otherwise.
            stack.configure(config("ip=10.0.0.3/24 ip6=fd00::2/64"));
            assert_eq!(stack.conflicts(), []);
            rt.sleep(ms(10_000)).await;
            assert_eq!(all(&stack), ["10.0.0.3/24", V6, LOCAL]);
        });
    }
}

#[test]
fn an_address_that_we_made_has_another_in_its_place() {
    run(async |rt| {
        let (stack, mut far) = start(&rt, "ip6=slaac");
        far.advertise(1, 1800, 0, &[prefix("2001:db8:0:1::", 0xc0, 3600, 3600)]).await;
        let mut seen = all(&stack);
        assert_eq!(seen, ["2001:db8:0:1:0:ff:fe00:1/64", LOCAL]);
        for _ in 0..7 {
            for cidr in stack.addresses() {
                far.claim(cidr.address()).await;
            }
            let new = all(&stack);
            assert!(new.len() == 2 && new.iter().all(|cidr| !seen.contains(cidr)), "{new:?}");
            seen.extend(new);
        }
        // Somebody who has whatever we think of is not worked for, for ever.
        for cidr in stack.addresses() {
            far.claim(cidr.address()).await;
        }
        assert_eq!(all(&stack), [""; 0]);
        // The same ones the next time, since nothing else is known of us there.
        let (stack, mut far) = start(&rt, "ip6=slaac");
        far.advertise(1, 1800, 0, &[prefix("2001:db8:0:1::", 0xc0, 3600, 3600)]).await;
        for cidr in stack.addresses() {
            far.claim(cidr.address()).await;
        }
        assert_eq!(all(&stack), seen[2..4]);
    });
}

#[test]
fn what_is_ours_is_defended_and_what_was_given_stays() {
    run(async |rt| {
        let (stack, mut far) = start(&rt, GIVEN);
        far.heard_in(ms(20_000)).await;
        for (ours, times) in [("10.0.0.2", 1), ("fd00::2", 1)] {
            for _ in 0..5 {
                far.claim(address(ours)).await;
            }
            assert_eq!(
                count(&announced(&far.heard().await), ours),
                times,
                "not more than once in ten seconds"
            );
            rt.sleep(ms(10_000)).await;
            far.claim(address(ours)).await;
            assert_eq!(count(&announced(&far.heard().await), ours), 1);
        }
        assert_eq!((all(&stack), stack.counts().claims), (vec![V4.into(), V6.into(), LOCAL.into()], 12));
    });
}

#[test]
fn who_would_like_to_have_what_is_ours_is_told() {
    run(async |rt| {
        let (stack, mut far) = start(&rt, GIVEN);
        for when in [0, 20_000] {
            far.heard_in(ms(when)).await;
            let probe = neighbor::ask(far.mac, address("0.0.0.0"), address("10.0.0.2")).unwrap();
            far.send(probe.bytes());
            let frames = far.heard().await;
            let answer = ArpRepr::parse(&ArpPacket::new_checked(&frames[0][14..]).unwrap()).unwrap();
            let ArpRepr::EthernetIpv4 { operation, source_protocol_addr, target_hardware_addr, .. } = answer
            else {
                panic!("{answer:?}");
            };
            assert_eq!(operation, ArpOperation::Reply);
            assert_eq!((address("10.0.0.2"), far.mac), (source_protocol_addr.into(), target_hardware_addr));
            assert_eq!((frames.len(), &frames[0][..6]), (1, &far.mac.0[..]));
            let probe = neighbor::ask(far.mac, address("::"), address("fd00::2")).unwrap();
            far.send(probe.bytes());
            let frames = far.heard().await;
            assert_eq!(announced(&frames), [address("fd00::2")]);
            let packet = Ipv6Packet::new_checked(&frames[0][14..]).unwrap();
            assert_eq!(packet.dst_addr().to_string(), "ff02::1");
            let message = Icmpv6Packet::new_checked(packet.payload()).unwrap();
            assert!(message.verify_checksum(&packet.src_addr(), &packet.dst_addr()));
        }
        assert_eq!(all(&stack).len(), 3);
        // Of two who both only want to have it neither gets it.
        let (stack, mut far) = start(&rt, &format!("{GIVEN} dad=wait"));
        far.heard().await;
        far.send(neighbor::ask(far.mac, address("0.0.0.0"), address("10.0.0.2")).unwrap().bytes());
        far.send(neighbor::ask(far.mac, address("::"), address("fd00::2")).unwrap().bytes());
        far.heard().await;
        assert_eq!(stack.counts().conflicts, 2);
    });
}

#[test]
fn what_is_no_claim_changes_nothing() {
    run(async |rt| {
        let (stack, mut far) = start(&rt, GIVEN);
        far.heard().await;
        let mac = stack.link().mac;
        let claim =
            |mac: EthernetAddress, ours: &str| neighbor::announce(mac, address(ours)).bytes().to_vec();
        // Our own frames that come back; neighbours that ask us, or speak of others; and what is broken.
        far.send(&claim(mac, "10.0.0.2"));
        far.send(&claim(mac, "fd00::2"));
        far.send(&claim(far.mac, "10.0.0.9"));
        far.send(neighbor::ask(far.mac, address("10.0.0.1"), address("10.0.0.2")).unwrap().bytes());
        far.send(neighbor::ask(far.mac, address("fd00::1"), address("fd00::2")).unwrap().bytes());
        let mut broken = claim(far.mac, "fd00::2");
        broken[57] ^= 1;
        far.send(&broken);
        far.send(&claim(far.mac, "fd00::2")[..80]);
        far.heard().await;
        assert_eq!((all(&stack).len(), stack.counts().conflicts, stack.counts().claims), (3, 0, 0));
    });
}

/// Echoes what comes.
async fn serve(stack: Stack) {
    let listener = stack.listen(80, 8, tcp::Options::default()).unwrap();
    loop {
        let mut stream = listener.accept().await;
        drop(stack.rt().clone().spawn(async move {
            let mut buffer = [0; 100];
            while let Ok(len @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..len]).await.unwrap();
            }
        }));
    }
}

#[test]
fn sockets_whose_addresses_stay_go_on_and_the_others_are_told() {
    run(async |rt| {
        let (a, b, _) = pair(&rt, wire::Options::default());
        drop(rt.spawn(serve(b.clone())));
        let mut streams = Vec::new();
        for there in B {
            let to = IpEndpoint::new(address(there), 80);
            streams.push(a.connect(to, tcp::Options::default()).await.unwrap());
        }
        let bound = a.udp((address(A[0]), 53), udp::Options::default()).unwrap();
        a.configure(config("ip=10.0.0.7/24 ip6=fd00::1/64"));
        assert_eq!(all(&a)[..2], ["10.0.0.7/24", "fd00::1/64"]);
        let mut buffer = [0; 4];
        let mut v6 = streams.pop().unwrap();
        v6.write_all(b"more").await.unwrap();
        v6.read_exact(&mut buffer).await.unwrap();
        let mut v4 = streams.pop().unwrap();
        assert_eq!(v4.read(&mut buffer).await, Err(Error::AddressGone));
        assert_eq!(v4.write(b"more").await, Err(Error::AddressGone));
        let to = IpEndpoint::new(address(B[0]), 9);
        assert_eq!(bound.send(b"more", to).await, Err(Error::AddressGone));
        // Somebody new has the new one, and who waits for the old one gets it back.
        let mut stream =
            a.connect(IpEndpoint::new(address(B[0]), 80), tcp::Options::default()).await.unwrap();
        assert_eq!(stream.local().unwrap().addr, address("10.0.0.7"));
        stream.write_all(b"more").await.unwrap();
        stream.read_exact(&mut buffer).await.unwrap();
        a.configure(config("ip=10.0.0.7/24 ip=10.0.0.1/24 ip6=off"));
        bound.send(b"more", to).await.unwrap();
        stream.write_all(b"more").await.unwrap();
        stream.read_exact(&mut buffer).await.unwrap();
        assert_eq!(v6.read(&mut buffer).await, Err(Error::AddressGone));
        drop((v4, v6, stream, bound));
        rt.sleep(ms(120_000)).await;
        assert_eq!((a.sockets(), b.sockets().1), ((0, 0), 0));
    });
}

#[test]
fn from_a_server_to_words_and_back() {
    run(async |rt| {
        let (stack, mut far) = start(&rt, "ip=dhcp");
        far.heard().await;
        stack.configure(config("ip=10.0.0.2/24 gw=10.0.0.1 mtu=1300 dns=10.0.0.1"));
        assert_eq!((all(&stack), stack.sockets().0), (vec![V4.to_string(), LOCAL.to_string()], 0));
        assert_eq!(stack.config().mtu, Some(1300));
        stack.configure(config("ip=dhcp ip6=off"));
        assert_eq!((all(&stack), stack.sockets().0, stack.name_servers()), (vec![], 1, vec![]));
        let frames = far.heard().await;
        assert!(
            frames.iter().any(|frame| frame.len() > 250 && frame[36..38] == [0, 67]),
            "it looks for a server"
        );
    });
}
