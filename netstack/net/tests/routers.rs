//! Addresses from what routers advertise.

mod net;

use fata_link::{Link, wire};
use fata_netstack::{IpAddress, IpEndpoint, Random, Stack, udp};
use fata_rt::Rt;
use net::{Far, address, advert, config, dnssl, prefix, rdnss, run};
use std::time::Duration;

const BOTH: u8 = 0xc0;
const HOUR: u32 = 3600;
/// By the Ethernet address of the wire's first end.
const OURS: &str = "2001:db8:0:1:0:ff:fe00:1/64";

fn start(rt: &Rt, words: &str) -> (Stack, Far) {
    let (a, b, _) = wire::pair(wire::Options::default());
    (Stack::start(rt, a, config(words), &Random::known(1)), Far::new(rt, b))
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(count.into())
}

/// Without the link-local one.
fn global(stack: &Stack) -> Vec<String> {
    let all = stack.addresses();
    all.iter().map(ToString::to_string).filter(|text| !text.starts_with("fe80")).collect()
}

fn is_solicitation(frame: &[u8]) -> bool {
    frame[12..14] == [0x86, 0xdd] && frame[54] == 133
}

/// The Ethernet address that a datagram to a host beyond the link would go to: who is asked for, at least.
async fn way_out(stack: &Stack, far: &mut Far) -> Option<IpAddress> {
    let socket = stack.udp(0, udp::Options::default()).unwrap();
    socket.send(&[1], IpEndpoint::new(address("2001:db8:ffff::1"), 9)).await.unwrap();
    far.heard().await.iter().find_map(|frame| match fata_link::neighbor::parse(frame) {
        Some(fata_link::neighbor::Message::Ask { from, target }) if !from.is_unspecified() => Some(target),
        _ => None,
    })
}

#[test]
fn routers_are_asked_for_until_one_answers_and_its_word_is_taken() {
    run(async |rt| {
        let (stack, mut far) = start(&rt, "ip6=slaac");
        let asked = |frames: Vec<Vec<u8>>| frames.iter().filter(|frame| is_solicitation(frame)).count();
        assert_eq!(asked(far.heard().await), 1);
        // After some 4, 8, 16 and 32 seconds, to within a tenth.
        assert_eq!(asked(far.heard_in(seconds(70)).await), 4);
        let options = [
            prefix("2001:db8:0:1::", BOTH, 2 * HOUR, HOUR),
            rdnss(HOUR, &["2001:db8::53", "ff02::1", "fe80::53"]),
            dnssl(HOUR, b"\x07example\x03org\0\x01b\0"),
            vec![5, 1, 0, 0, 0, 0, 0x05, 0x78],
        ];
        far.advertise(1, 1800, 0, &options).await;
        assert_eq!(global(&stack), [OURS]);
        assert_eq!(stack.name_servers(), [address("2001:db8::53"), address("fe80::53")]);
        assert_eq!(stack.search(), ["example.org", "b"]);
        assert_eq!(way_out(&stack, &mut far).await, Some(address("fe80::1")));
        assert_eq!(asked(far.heard_in(seconds(1700)).await), 0, "and it asks no more");
        assert_eq!(stack.counts().adverts, 1);
    });
}

#[test]
fn all_of_it_runs_out_unless_it_is_said_again() {
    run(async |rt| {
        let (stack, mut far) = start(&rt, "ip6=slaac");
        let options =
            [prefix("2001:db8:0:1::", BOTH, 300, 200), rdnss(100, &["2001:db8::53"]), dnssl(150, b"\x01a\0")];
        for _ in 0..20 {
            far.advertise(1, 90, 0, &options).await;
            rt.sleep(seconds(80)).await;
            assert_eq!((global(&stack).len(), stack.name_servers().len(), stack.search().len()), (1, 1, 1));
        }
        rt.sleep(seconds(11)).await;
        far.heard().await;
        assert_eq!(way_out(&stack, &mut far).await, None, "no router");
        rt.sleep(seconds(10)).await;
        assert_eq!((stack.name_servers().len(), stack.search().len()), (0, 1));
        rt.sleep(seconds(50)).await;
        assert_eq!((global(&stack).len(), stack.search().len()), (1, 0));
        rt.sleep(seconds(150)).await;
        assert_eq!(global(&stack), [""; 0]);
    });
}

#[test]
fn who_only_says_so_takes_an_address_from_us_not_within_two_hours() {
    run(async |rt| {
        let (stack, mut far) = start(&rt, "ip6=slaac");
        let said = |valid| [prefix("2001:db8:0:1::", BOTH, valid, 0)];
        // Forever, then not: two hours are left.
        far.advertise(1, 1800, 0, &said(u32::MAX)).await;
        far.advertise(1, 1800, 0, &said(0)).await;
        rt.sleep(seconds(2 * HOUR - 1)).await;
        // Nor does it help to say it again, nor that a second is left.
        far.advertise(1, 1800, 0, &said(0)).await;
        assert_eq!(global(&stack), [OURS]);
        rt.sleep(seconds(1)).await;
        assert_eq!(global(&stack), [""; 0]);
        // What is longer counts, however short.
        far.advertise(1, 1800, 0, &said(10)).await;
        rt.sleep(seconds(5)).await;
        far.advertise(1, 1800, 0, &said(20)).await;
        far.advertise(1, 1800, 0, &said(3)).await;
        rt.sleep(seconds(19)).await;
        assert_eq!(global(&stack), [OURS]);
        rt.sleep(seconds(1)).await;
        assert_eq!(global(&stack), [""; 0]);
    });
}

#[test]
fn of_several_routers_the_one_that_wants_it_most_is_the_way_out() {
    run(async |rt| {
        let (stack, mut far) = start(&rt, "ip6=slaac");
        far.advertise(1, 1800, 0, &[prefix("2001:db8:0:1::", BOTH, HOUR, HOUR)]).await;
        far.advertise(2, 600, 1, &[prefix("2001:db8:0:2::", BOTH, HOUR, HOUR)]).await;
        far.advertise(3, 1800, 3, &[prefix("2001:db8:0:3::", 0x40, HOUR, 0)]).await;
        let mut expected =
            [1, 2, 3].map(|n| format!("2001:db8:0:{n}:0:ff:fe00:1/{}", if n == 3 { 128 } else { 64 }));
        assert_eq!(global(&stack), expected, "and one is not to be used for anything new");
        expected.rotate_left(1);
        far.heard().await;
        assert_eq!(way_out(&stack, &mut far).await, Some(address("fe80::2")));
        rt.sleep(seconds(601)).await;
        far.heard().await;
        assert_eq!(way_out(&stack, &mut far).await, Some(address("fe80::1")));
        far.advertise(1, 0, 0, &[]).await;
        far.heard().await;
        assert_eq!(way_out(&stack, &mut far).await, Some(address("fe80::3")));
    });
}

#[test]
fn what_makes_no_sense_is_left_out() {
    let good = prefix("2001:db8:0:1::", BOTH, HOUR, HOUR);
    let edit = |at: usize, value: u8| {
        let mut frame = advert(1, 1800, 0, &good);
        frame[at] = value;
        frame
    };
    let sound = |options: &[u8]| advert(1, 1800, 0, options);
    let cases = [
        ("a hop limit of less", edit(21, 254)),
        ("a wrong checksum", edit(57, 9)),
        ("from no link-local address", edit(22, 0x20)),
        ("another code", edit(55, 1)),
        ("an option without a length", sound(&[good.clone(), vec![25, 0, 0, 0, 0, 0, 0, 0]].concat())),
        ("an option that goes on", sound(&[good.clone(), vec![25, 3, 0, 0, 0, 0, 0, 0]].concat())),
        ("half an option", sound(&[good.clone(), vec![25]].concat())),
        ("cut short", sound(&good)[..60].to_vec()),
        ("a prefix that prefers longer than it is valid", sound(&prefix("2001:db8:0:1::", BOTH, 1, 2))),
        ("a link-local prefix", sound(&prefix("fe80::", BOTH, HOUR, HOUR))),
        ("a group's prefix", sound(&prefix("ff0e::", BOTH, HOUR, HOUR))),
        ("nobody's prefix", sound(&prefix("::", BOTH, HOUR, HOUR))),
        ("one that is not for this", sound(&prefix("2001:db8:0:1::", 0x80, HOUR, HOUR))),
        ("one of no time", sound(&prefix("2001:db8:0:1::", BOTH, 0, 0))),
        ("one of another length", sound(&[&[3, 4, 48], &good[3..]].concat())),
    ];
    for (why, frame) in cases {
        run(async |rt| {
            let (stack, mut far) = start(&rt, "ip6=slaac");
            far.heard().await;
            far.send(&frame);
            far.heard().await;
            assert_eq!((global(&stack), stack.name_servers()), (Vec::new(), Vec::new()), "{why}");
            // And what is right is taken still.
            far.advertise(1, 1800, 0, std::slice::from_ref(&good)).await;
            assert_eq!(global(&stack), [OURS], "{why}");
        });
    }
}

#[test]
fn there_is_room_for_so_much_and_only_if_asked_for() {
    run(async |rt| {
        let (stack, mut far) = start(&rt, "ip6=slaac ip6=fd00::1/64");
        far.heard().await;
        let many: Vec<_> =
            (1..30).map(|n| prefix(&format!("2001:db8:0:{n:x}::"), BOTH, HOUR, HOUR)).collect();
        far.advertise(1, 1800, 0, &many).await;
        let servers: Vec<_> = (1..30).map(|n| rdnss(HOUR, &[&format!("2001:db8::{n:x}")])).collect();
        far.advertise(2, 1800, 0, &servers).await;
        assert_eq!((global(&stack).len(), stack.name_servers().len()), (4, 4));
        let (stack, mut far) = start(&rt, "ip6=fd00::1/64");
        far.advertise(1, 1800, 0, &many).await;
        assert_eq!(global(&stack), ["fd00::1/64"]);
        assert!(!far.heard().await.iter().any(|frame| is_solicitation(frame)));
    });
}

#[test]
fn words_come_before_routers() {
    run(async |rt| {
        let (stack, mut far) = start(&rt, "ip6=slaac ip6=fd00::1/64 gw6=fd00::9 dns=10.0.0.1 search=given");
        far.heard().await;
        far.advertise(1, 1800, 1, &[rdnss(HOUR, &["2001:db8::53"]), dnssl(HOUR, b"\x01a\0")]).await;
        assert_eq!(
            (stack.name_servers(), stack.search()),
            (vec![address("10.0.0.1")], vec!["given".to_string()])
        );
        assert_eq!(way_out(&stack, &mut far).await, Some(address("fd00::9")));
    });
}

#[test]
fn another_link_may_have_other_routers() {
    run(async |rt| {
        let (a, b, cable) = wire::pair(wire::Options::default());
        let stack = Stack::start(&rt, a, config("ip6=slaac"), &Random::known(1));
        let mut far = Far::new(&rt, b);
        far.advertise(1, 1800, 0, &[prefix("2001:db8:0:1::", BOTH, HOUR, HOUR)]).await;
        cable.unplug();
        rt.sleep(seconds(1)).await;
        cable.plug(cable.options());
        assert!(far.wire.status().up);
        let frames = far.heard().await;
        assert!(frames.iter().any(|frame| is_solicitation(frame)));
        assert_eq!(global(&stack), [OURS], "what was ours still is");
    });
}
