//! What sources say, and which one counts.

use fata_addresses::{Choice, Origin, Reason, Source, Topic, choose};
use fata_netstack::{ConfigError, Duplicates, V4};
use fata_sim::Rng;

fn words(origin: Origin, text: &str) -> Source {
    let split = |word| str::split_once(word, '=').unwrap();
    Source::words(origin, text.split_whitespace().map(split))
}

fn line(text: &str) -> Source {
    words(Origin::CommandLine, text)
}

fn chosen(sources: Vec<Source>) -> Choice {
    let choice = choose(sources);
    choice.config.check().unwrap();
    choice
}

fn store(ip: &str, gw: &str) -> Source {
    Source::nodes(Origin::StoreNodes, [("ip", ip), ("gw", gw)].into_iter())
}

#[test]
fn the_first_that_says_something_counts_and_the_line_says_why() {
    let choice = chosen(vec![line("ip=10.0.0.2/24 quiet=1"), store("10.0.0.9/24", "10.0.0.1\n")]);
    assert_eq!((choice.config.v4.address(), choice.config.gateway_v4), (Some([10, 0, 0, 2].into()), None));
    assert_eq!(
        choice.to_string(),
        "addresses: command line 10.0.0.2/24; network SLAAC; \
         Xenstore data/ip 10.0.0.9/24 by way of 10.0.0.1 ignored, the command line came first"
    );
    let choice = chosen(vec![line("ip6=fd00::2/64"), store("10.0.0.9/24", "10.0.0.1")]);
    assert_eq!(choice.origin(Topic::V4), Some(Origin::StoreNodes));
    assert_eq!(
        choice.to_string(),
        "addresses: Xenstore data/ip 10.0.0.9/24 by way of 10.0.0.1; command line fd00::2/64"
    );
    let choice = chosen(vec![line("ip=off ip6=off"), store("10.0.0.9/24", "")]);
    assert_eq!((choice.config.v4, choice.config.v6_off), (V4::Off, true));
    let nothing = chosen(vec![line("")]);
    assert_eq!((nothing.config.v4, nothing.config.slaac), (V4::Dhcp, true));
    assert_eq!(nothing.to_string(), "addresses: network DHCP; network SLAAC");
}

#[test]
fn what_makes_no_sense_has_a_name_and_the_next_one_counts() {
    let cases = [
        ("ip=10.0.0.300/24", ConfigError::BadV4),
        ("ip=10.0.0.2", ConfigError::BadV4),
        ("ip=10.0.0.2/33", ConfigError::BadPrefix),
        ("ip=10.0.0.255/24", ConfigError::NotHost),
        ("ip=10.0.0.2/24 gw=10.1.0.1", ConfigError::GatewayOutside),
        ("gw=10.0.0.1", ConfigError::GatewayWithoutAddress),
        ("ip=10.0.0.2/24 ip=dhcp", ConfigError::Twice),
        ("ip=10.0.0.2/24 route=10.1.0.0/16,10.9.0.1", ConfigError::GatewayOutside),
    ];
    for (text, error) in cases {
        let choice = chosen(vec![line(&format!("{text} dns=9.9.9.9")), store("10.0.0.9/24", "10.0.0.1")]);
        assert_eq!(choice.origin(Topic::V4), Some(Origin::StoreNodes), "{text}");
        assert_eq!(choice.origin(Topic::Dns), Some(Origin::CommandLine), "but of others it may be right");
        let told = choice.to_string();
        assert!(told.contains("command line ") && told.contains("refused, "), "{told}");
        let flaws = line(text).flaws;
        assert_eq!((flaws.len(), &flaws[0].why), (1, &Reason::Config(error)), "{text}");
    }
    let told = chosen(vec![line("ip=10.0.0.300/24"), store("10.0.0.9/24", "10.9.9.9")]).to_string();
    assert_eq!(
        told,
        "addresses: network DHCP; network SLAAC; command line ip=10.0.0.300/24 refused, ip= wants dhcp, off, or an \
         IPv4 address with its prefix, such as 10.0.0.2/24; Xenstore data/ip 10.0.0.9/24 by way of 10.9.9.9 refused, \
         the gateway is outside of our networks"
    );
}

#[test]
fn a_backend_says_addresses_only_and_their_networks_are_of_the_usual_size() {
    let source = Source::backend("10.0.0.2 fd00::2,10.1.0.2/16");
    assert_eq!(source.flaws, []);
    let all: Vec<_> = source.config.static_v4().map(|cidr| cidr.to_string()).collect();
    assert_eq!(
        (all, source.config.v6[0].to_string().as_str()),
        (vec!["10.0.0.2/24".into(), "10.1.0.2/16".into()], "fd00::2/64")
    );
    for wrong in ["dhcp", "off", "10.0.0.2/x", "10.0.0", "fd00::2/", "10.0.0.0", "a:b"] {
        let source = Source::backend(wrong);
        assert_eq!(source.flaws.len(), usize::from(wrong != "fd00::2/"), "{wrong}");
    }
    assert!(!Source::backend("").says(Topic::V4));
}

#[test]
fn nodes_may_have_several_values() {
    let nodes = [
        ("ip", "10.0.0.2/24 10.0.0.3/24"),
        ("gw", "10.0.0.1"),
        ("route", "10.1.0.0/16,10.0.0.7 10.2.0.0/16,10.0.0.7"),
        ("dns", "10.0.0.1, fd00::1"),
        ("search", "example.org lab"),
        ("dad", "wait"),
        ("mac", "02:00:00:00:00:01"),
    ];
    let source = Source::nodes(Origin::StoreTree, nodes.into_iter());
    assert_eq!(source.flaws, []);
    let config = chosen(vec![source]).config;
    assert_eq!(
        (config.static_v4().count(), config.routes.len(), config.dns.len(), config.search.len()),
        (2, 2, 2, 2)
    );
    assert_eq!(config.duplicates, Duplicates::Wait);
}

#[test]
fn what_somebody_else_has_is_left_to_the_next() {
    let sources = vec![line("ip=10.0.0.2/24"), store("10.0.0.9/24", "10.0.0.1")];
    let next = chosen(sources).without(Topic::V4);
    assert_eq!(next.origin(Topic::V4), Some(Origin::StoreNodes));
    let last = next.without(Topic::V4);
    assert_eq!((last.config.v4, last.origin(Topic::V4)), (V4::Dhcp, Some(Origin::Network)));
    assert!(last.to_string().contains("command line its address refused, somebody else has it"));
}

#[test]
fn a_small_mtu_is_for_ipv4_alone() {
    assert_eq!(line("mtu=600").flaws.len(), 1);
    let choice = chosen(vec![line("ip6=off"), words(Origin::StoreTree, "ip6=off mtu=600")]);
    assert_eq!(choice.config.mtu, Some(600));
    let choice = chosen(vec![line("ip6=slaac"), words(Origin::StoreTree, "ip6=off mtu=600")]);
    assert_eq!(choice.config.mtu, None);
}

#[test]
fn any_words_give_a_choice_that_passes_its_check() {
    let (mut random, mut broken) = (Rng::new(), 0);
    let names =
        ["ip", "ip6", "gw", "gw6", "route", "dns", "search", "hostname", "mtu", "ntp", "dad", "other"];
    let values = [
        "10.0.0.2/24",
        "10.0.0.1",
        "10.1.0.0/16,10.0.0.1",
        "fd00::1/64",
        "fd00::9",
        "fe80::1",
        "off",
        "dhcp",
        "slaac",
        "wait",
        "600",
        "1400",
        "a.b",
        "",
        "10.0.0.255/24",
        "fd01::/16,fe80::1",
        "x;y",
        "10.0.0.2/33",
        "::/0,fe80::1",
    ];
    for _ in 0..20_000 {
        let mut sources = Vec::new();
        for origin in [Origin::CommandLine, Origin::DeviceTree, Origin::StoreTree] {
            let count = random.within(0..6);
            let all: Vec<_> = (0..count)
                .map(|_| (names[random.within(0..names.len())], values[random.within(0..values.len())]))
                .collect();
            sources.push(Source::words(origin, all.into_iter()));
        }
        sources.push(Source::backend(values[random.within(0..values.len())]));
        broken += sources.iter().map(|source| source.flaws.len()).sum::<usize>();
        let told = chosen(sources).to_string();
        assert!(told.starts_with("addresses: ") && !told.contains("; ;"));
    }
    assert!(broken > 1000);
}
