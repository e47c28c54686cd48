use super::*;

fn config(text: &str) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    for word in text.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap();
        assert!(config.word(name, value)?, "{word}");
    }
    config.check().map(|()| config)
}

#[test]
fn words_become_addresses() {
    let v4 = config("ip=10.0.0.2/24 gw=10.0.0.1").unwrap();
    assert_eq!(v4.v4, V4::Static(Ipv4Cidr::new(Ipv4Addr::new(10, 0, 0, 2), 24)));
    assert_eq!(v4.gateway_v4, Some(Ipv4Addr::new(10, 0, 0, 1)));
    let both = config("ip=dhcp ip6=fd00::2/64 ip6=2001:db8::9/48 gw6=fe80::1").unwrap();
    assert_eq!((both.v4, both.v6.len()), (V4::Dhcp, 2));
    assert_eq!(config("ip=off ip6=off").unwrap().v4, V4::Off);
    assert!(config("ip=10.0.0.0/31 gw=10.0.0.1").is_ok() && config("ip=10.0.0.0/32").is_ok());
    assert!(config("ip6=fd00::1/64 gw6=fd00::2").is_ok() && config("gw6=fe80::1").is_ok());
    assert_eq!(Config::default().word("console", "hvc0"), Ok(false));
    let many = config("ip=10.0.0.2/24 ip=10.1.0.2/16 gw=10.1.0.1").unwrap();
    assert_eq!((many.static_v4().count(), many.says_v4, many.says_v6), (2, true, false));
    assert!(config("gw=10.0.0.1 ip=10.0.0.2/24 mtu=1280").is_ok() && config("ip6=off mtu=576").is_ok());
}

#[test]
fn and_servers_names_and_routes() {
    let all = config("dns=10.0.0.1,fd00::1 dns=10.0.0.1 search=Example.org.,b ntp=10.0.0.3 hostname=web-1")
        .unwrap();
    assert_eq!(all.dns, ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()]);
    assert_eq!(
        (all.search, all.host_name.as_deref()),
        (vec!["example.org".into(), "b".into()], Some("web-1"))
    );
    let routes =
        config("ip=10.0.0.2/24 route=10.1.0.0/16,10.0.0.1 ip6=slaac route=fd01::/16,fe80::1").unwrap();
    assert_eq!((routes.routes.len(), routes.slaac, routes.says_v4), (2, true, true));
    assert_eq!(routes.routes[0].via, "10.0.0.1".parse().unwrap());
}

#[test]
fn what_makes_no_sense_is_called_by_its_name() {
    use ConfigError as E;
    let cases = [
        ("ip=", E::BadV4),
        ("ip=10.0.0.2", E::BadV4),
        ("ip=10.0.0/24", E::BadV4),
        ("ip=10.0.0.2/+8", E::BadV4),
        ("ip=10.0.0.02/24", E::BadV4),
        ("ip=10.0.0.2/24/8", E::BadV4),
        ("ip=10.0.0.2/33", E::BadPrefix),
        ("ip=10.0.0.2/256", E::BadPrefix),
        ("ip=10.0.0.2/0", E::BadPrefix),
        ("ip=10.0.0.2/", E::BadPrefix),
        ("ip=10.0.0.0/24", E::NotHost),
        ("ip=10.0.0.255/24", E::NotHost),
        ("ip=224.0.0.1/24", E::NotHost),
        ("ip=127.0.0.1/8", E::NotHost),
        ("ip=0.0.0.0/8", E::NotHost),
        ("ip=dhcp ip=10.0.0.2/24", E::Twice),
        ("ip=10.0.0.2/24 gw=10.0.1.1", E::GatewayOutside),
        ("ip=10.0.0.2/24 gw=10.0.0.2", E::GatewayIsSelf),
        ("ip=10.0.0.2/24 gw=10.0.0.255", E::NotHost),
        ("ip=10.0.0.2/24 gw=10.0.0.1/24", E::BadGateway),
        ("gw=10.0.0.1", E::GatewayWithoutAddress),
        ("ip=dhcp gw=10.0.0.1", E::GatewayWithoutAddress),
        ("ip6=fd00::1", E::BadV6),
        ("ip6=fd00::g/64", E::BadV6),
        ("ip6=dhcp", E::BadV6),
        ("ip6=fd00::1/129", E::BadPrefix),
        ("ip6=ff02::1/64", E::NotHost),
        ("ip6=::ffff:10.0.0.1/96", E::NotHost),
        ("ip6=fd00::1/64 ip6=fd00::1/48", E::Twice),
        ("ip6=fd00::1/64 ip6=fd00::2/64 ip6=fd00::3/64 ip6=fd00::4/64 ip6=fd00::5/64", E::TooMany),
        ("ip6=fd00::1/64 gw6=fd01::1", E::GatewayOutside),
        ("ip6=fd00::1/64 gw6=fd00::1", E::GatewayIsSelf),
        ("gw6=ff02::1", E::NotHost),
        ("gw6=10.0.0.1", E::BadGateway),
        ("ip6=off ip6=fd00::1/64", E::OffAndOn),
        ("ip6=off ip6=slaac", E::OffAndOn),
        ("ip=off ip=10.0.0.2/24", E::Twice),
        ("ip=10.0.0.2/24 ip=10.0.0.2/16", E::Twice),
        ("ip=10.0.0.2/24 ip=dhcp", E::Twice),
        ("ip=10.0.0.2/24 ip=10.0.0.3/24 ip=10.0.0.4/24 ip=10.0.0.5/24", E::TooMany),
        ("ip=10.0.0.2/24 ip=10.1.0.2/24 gw=10.1.0.2", E::GatewayIsSelf),
        ("route=10.1.0.0/16", E::BadRoute),
        ("route=10.1.0.0/16,fd00::1", E::BadRoute),
        ("route=10.1.0.0/0,10.0.0.1", E::BadPrefix),
        ("ip=10.0.0.2/24 route=10.1.0.0/16,10.9.0.1", E::GatewayOutside),
        ("dns=", E::BadServer),
        ("dns=10.0.0.1,", E::BadServer),
        ("dns=0.0.0.0", E::BadServer),
        ("ntp=ff02::1", E::BadServer),
        ("dns=10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4 dns=10.0.0.5", E::TooMany),
        ("search=", E::BadName),
        ("search=a..b", E::BadName),
        ("search=-a", E::BadName),
        ("hostname=a/b", E::BadName),
        ("hostname=a hostname=b", E::Twice),
        ("mtu=1279", E::BadMtu),
        ("mtu=65536", E::BadMtu),
        ("ip6=off mtu=575", E::BadMtu),
        ("dad=maybe", E::BadDuplicates),
    ];
    for (text, error) in cases {
        assert_eq!(config(text), Err(error), "{text}");
    }
}
