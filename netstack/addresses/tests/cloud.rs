//! cloud-init's files, and disks that have them.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use fata_addresses::{Origin, Source, Topic, choose, cidata, cloud};
use fata_disk::MemDisk;
use fata_netstack::V4;
use fata_sim::Rng;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    for _ in 0..1_000_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
    panic!("it does not end");
}

fn image(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/{name}.xz", env!("CARGO_MANIFEST_DIR"));
    let mut bytes = Vec::new();
    let packed = std::fs::read(path).unwrap();
    std::io::Read::read_to_end(&mut lzma_rust2::XzReader::new(&packed[..], true), &mut bytes).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Option<Source> {
    run(cidata::read(&MemDisk::from_bytes(bytes).unwrap(), Some(MAC)))
}

fn config(text: &str) -> Source {
    cloud::read(Origin::Disk, None, Some(text.as_bytes()), Some(MAC))
}

#[test]
fn disks_as_other_tools_make_them_are_read() {
    for name in ["joliet", "rock", "fat"] {
        let source = read(&image(name)).unwrap();
        assert_eq!(source.flaws, [], "{name}");
        assert_eq!(source.config.host_name.as_deref(), Some("web-1"), "{name}");
        assert_eq!(
            choose(vec![source]).to_string(),
            "addresses: cidata disk 10.0.0.5/24 by way of 10.0.0.1; cidata disk fd00::5/64; \
             dns cidata disk 10.0.0.1; search cidata disk example.org; hostname cidata disk web-1",
            "{name}"
        );
    }
    assert_eq!(read(&image("other")), None, "another label");
    assert_eq!(read(&[0; 65536]), None);
}

#[test]
fn version_2_is_read() {
    let source = config(
        "network:\n  version: 2\n  ethernets:\n    a:\n      match: {}\n"
            .replace("{}", "\n        macaddress: '02:00:00:00:00:09'")
            .as_str(),
    );
    assert_eq!(source.flaws.len(), 1, "none of them is ours");
    let source = config(
        "version: 2\n\
         ethernets:\n\
         \x20 any:\n    dhcp4: true\n\
         \x20 ours:\n\
         \x20   match:\n      macaddress: \"02:00:00:00:00:01\"\n\
         \x20   set-name: eth0\n\
         \x20   addresses:\n      - 10.0.0.5/24\n      - 10.0.0.6/24\n      - fd00::5/64\n\
         \x20   mtu: 1400\n\
         \x20   accept-ra: true\n\
         \x20   routes:\n\
         \x20     - to: default\n        via: 10.0.0.1\n\
         \x20     - to: ::/0\n        via: fe80::1\n\
         \x20     - to: 10.1.0.0/16\n        via: 10.0.0.7\n\
         \x20   nameservers:\n      addresses: [10.0.0.1, fd00::53]\n      search: [a.b, c]\n",
    );
    assert_eq!(source.flaws, []);
    let config2 = &source.config;
    assert_eq!((config2.static_v4().count(), config2.v6.len(), config2.slaac), (2, 1, true));
    assert_eq!((config2.gateway_v4, config2.mtu), (Some([10, 0, 0, 1].into()), Some(1400)));
    assert_eq!((config2.routes.len(), config2.dns.len(), config2.search.len()), (1, 2, 2));
    assert_eq!(config("version: 2\nethernets:\n  a:\n    dhcp4: yes\n").config.v4, V4::Dhcp);
}

#[test]
fn version_1_is_read() {
    let source = config(
        "network:\n  version: 1\n  config:\n\
         \x20 - type: physical\n    name: eth0\n    mac_address: 02:00:00:00:00:01\n    mtu: 1400\n    subnets:\n\
         \x20   - type: static\n      address: 10.0.0.5\n      netmask: 255.255.255.0\n      gateway: 10.0.0.1\n\
         \x20     dns_nameservers: [10.0.0.1]\n\
         \x20     routes:\n      - network: 10.1.0.0\n        netmask: 255.255.0.0\n        gateway: 10.0.0.7\n\
         \x20   - type: static6\n      address: fd00::5/64\n      gateway: fd00::1\n\
         \x20 - type: nameserver\n    address: 10.0.0.2\n    search: [a.b]\n",
    );
    assert_eq!(source.flaws, []);
    assert_eq!(source.config.v4.address(), Some([10, 0, 0, 5].into()));
    assert_eq!(source.config.gateway_v6, Some("fd00::1".parse().unwrap()));
    assert_eq!((source.config.dns.len(), source.config.routes[0].to.to_string()), (2, "10.1.0.0/16".into()));
    let dhcp = config("version: 1\nconfig:\n- type: physical\n  name: a\n  subnets:\n  - type: dhcp\n");
    assert_eq!((dhcp.flaws, dhcp.config.v4), (vec![], V4::Dhcp));
    assert_eq!(config("network:\n  config: disabled\n").flaws, []);
}

#[test]
fn what_is_not_for_us_is_refused_by_name() {
    let port = "ethernets:\n  a:\n    ";
    let cases = [
        ("version: 3", "its version is neither 1 nor 2"),
        ("", "its version is neither 1 nor 2"),
        ("a: &b c", "line 1: an anchor"),
        ("version: 2\nbonds:\n  a:\n    b: c\n", "there is one interface only"),
        (
            &format!("version: 2\n{port}dhcp6: true\n"),
            "there is no DHCPv6, but routers can be asked by ip6=slaac",
        ),
        (&format!("version: 2\n{port}addresses: [10.0.0.5]\n"), "ip= wants"),
        (
            &format!("version: 2\n{port}addresses: [10.0.0.5/24]\n    gateway4: 10.1.0.1\n"),
            "the gateway is outside",
        ),
        ("version: 1\nconfig:\n- type: bond\n", "there is one interface only"),
        (
            "version: 1\nconfig:\n- type: physical\n  subnets:\n  - type: static\n    address: 10.0.0.5\n    netmask: 255.0.255.0\n",
            "ip= wants",
        ),
        ("version: 1\nconfig:\n- type: physical\n  subnets:\n  - type: x\n", "no kind of subnet"),
    ];
    for (text, why) in cases {
        let told = choose(vec![config(text)]).to_string();
        assert!(told.contains(why), "{text}: {told}");
    }
    let meta = cloud::read(Origin::Disk, Some(b"local-hostname: a/b"), None, None);
    assert!(meta.is_broken(Topic::HostName));
}

#[test]
fn changed_disks_give_errors_or_addresses() {
    let (mut random, mut different) = (Rng::new(), 0);
    for name in ["joliet", "rock", "fat"] {
        let good = image(name);
        for _ in 0..300 {
            let mut bytes = good.clone();
            // Where something is, most of the time.
            for _ in 0..random.within(1..20) {
                let mut at = random.within(0..bytes.len());
                if random.within(0..4) > 0 {
                    at = (0..1000)
                        .map(|_| random.within(0..bytes.len()))
                        .find(|at| bytes[*at] != 0)
                        .unwrap_or(at);
                }
                bytes[at] = random.number() as u8;
            }
            if random.within(0..4) == 0 {
                bytes.truncate(random.within(0..bytes.len()) / 512 * 512);
            }
            match read(&bytes) {
                Some(source) => {
                    different += u32::from(!source.flaws.is_empty());
                    choose(vec![source]).config.check().unwrap();
                }
                None => different += 1,
            }
        }
    }
    assert!(different > 20, "{different}");
}
