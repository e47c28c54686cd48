//! cloud-init's files: `meta-data`, of which the host name is ours, and `network-config` of versions 1 and 2.
//!
//! Of several interfaces that are described the one with our Ethernet address is ours, or else the first that names none.
//! What a guest with one interface cannot do (bonds, bridges, VLANs, DHCPv6) is refused by name.

use crate::source::{Origin, Reason, Source, Topic};
use crate::yaml::{self, Node};
use alloc::format;
use alloc::string::{String, ToString};

/// What the files say; those that are not there are left out. `mac` is our Ethernet address, if it is known.
pub fn read(
    origin: Origin,
    meta_data: Option<&[u8]>,
    network: Option<&[u8]>,
    mac: Option<[u8; 6]>,
) -> Source {
    let mut source = Source::new(origin);
    if let Some(bytes) = meta_data {
        match yaml::read(bytes) {
            Ok(node) => meta(&mut source, &node),
            Err(error) => unreadable(&mut source, "meta-data", error.to_string()),
        }
    }
    if let Some(bytes) = network {
        match yaml::read(bytes) {
            Ok(node) => config(&mut source, &node, mac),
            Err(error) => unreadable(&mut source, "network-config", error.to_string()),
        }
    }
    source.finished()
}

fn unreadable(source: &mut Source, what: &str, why: String) {
    source.flaw(None, what, Reason::Unreadable(why));
}

fn meta(source: &mut Source, node: &Node) {
    let name = ["local-hostname", "hostname"].iter().find_map(|key| node.at(key)?.text());
    if let Some(name) = name {
        source.word("hostname", name);
    }
}

fn config(source: &mut Source, node: &Node, mac: Option<[u8; 6]>) {
    let node = node.at("network").unwrap_or(node);
    match node.at("version").and_then(Node::text) {
        Some("1") => version_1(source, node.at("config").map_or(&[], Node::members), mac),
        Some("2") => version_2(source, node, mac),
        _ if node.at("config").and_then(Node::text) == Some("disabled") => {}
        _ => unreadable(source, "network-config", "its version is neither 1 nor 2".into()),
    }
}

/// Whether an interface is ours: the Ethernet address that it is to have, if one is named.
fn is_ours(named: Option<&Node>, mac: Option<[u8; 6]>) -> bool {
    let Some(named) = named.and_then(Node::text) else { return true };
    let mut parts = named.split([':', '-']).map(|part| u8::from_str_radix(part, 16).ok());
    mac.is_some_and(|mac| mac.iter().all(|byte| parts.next() == Some(Some(*byte))) && parts.next().is_none())
}

/// The first with our Ethernet address, else the first that names none.
fn ours<'a>(
    all: impl Iterator<Item = &'a Node> + Clone,
    of: impl Fn(&Node) -> Option<&Node>,
    mac: Option<[u8; 6]>,
) -> Option<&'a Node> {
    let named = all.clone().find(|node| of(node).is_some() && is_ours(of(node), mac));
    named.or_else(|| all.clone().find(|node| of(node).is_none()))
}

/// `docs/rtd/reference/network-config-format-v2.rst` of cloud-init.
fn version_2(source: &mut Source, node: &Node, mac: Option<[u8; 6]>) {
    for kind in ["bonds", "bridges", "vlans", "wifis", "tunnels", "vrfs"] {
        if node.at(kind).is_some() {
            unreadable(source, kind, "there is one interface only".into());
        }
    }
    let all = node.at("ethernets").map_or(&[][..], Node::pairs).iter().map(|(_, node)| node);
    let Some(port) = ours(all, |node| node.at("match")?.at("macaddress"), mac) else {
        return unreadable(source, "ethernets", "none of them is ours".into());
    };
    let is_true = |key: &str| port.at(key).is_some_and(Node::is_true);
    if is_true("dhcp4") {
        source.word("ip", "dhcp");
    }
    if is_true("dhcp6") {
        no_dhcp6(source);
    }
    if is_true("accept-ra") {
        source.word("ip6", "slaac");
    }
    for address in texts(port.at("addresses")) {
        source.word(family(address, "ip", "ip6"), address);
    }
    for (key, word) in [("gateway4", "gw"), ("gateway6", "gw6"), ("mtu", "mtu")] {
        if let Some(value) = port.at(key).and_then(Node::text) {
            source.word(word, value);
        }
    }
    for route in port.at("routes").map_or(&[][..], Node::members) {
        let text = |key: &str| route.at(key).and_then(Node::text);
        if let (Some(to), Some(via)) = (text("to"), text("via")) {
            way(source, to, via);
        }
    }
    if let Some(names) = port.at("nameservers") {
        servers(source, names.at("addresses"), names.at("search"));
    }
}

/// `docs/rtd/reference/network-config-format-v1.rst` of cloud-init.
fn version_1(source: &mut Source, all: &[Node], mac: Option<[u8; 6]>) {
    let kind = |node: &Node| node.at("type").and_then(Node::text).map(String::from).unwrap_or_default();
    for node in all {
        match &*kind(node) {
            "physical" => {}
            "nameserver" => servers(source, node.at("address"), node.at("search")),
            "route" => route_1(source, node),
            other => {
                let other = format!("type: {other}");
                unreadable(source, &other, "there is one interface only".into());
            }
        }
    }
    let ports = all.iter().filter(|node| kind(node) == "physical");
    let Some(port) = ours(ports, |node| node.at("mac_address"), mac) else {
        return unreadable(source, "config", "no interface of it is ours".into());
    };
    if let Some(mtu) = port.at("mtu").and_then(Node::text) {
        source.word("mtu", mtu);
    }
    for subnet in port.at("subnets").map_or(&[][..], Node::members) {
        subnet_1(source, subnet);
    }
}

fn subnet_1(source: &mut Source, subnet: &Node) {
    let text = |key: &str| subnet.at(key).and_then(Node::text);
    match text("type").unwrap_or_default() {
        "dhcp" | "dhcp4" => {
            source.word("ip", "dhcp");
        }
        "dhcp6" | "ipv6_dhcpv6-stateful" => no_dhcp6(source),
        "ipv6_slaac" | "ipv6_dhcpv6-stateless" => {
            source.word("ip6", "slaac");
        }
        "manual" => {}
        "static" | "static6" => {
            let address = text("address").unwrap_or_default();
            let word = family(address, "ip", "ip6");
            let cidr = match text("netmask") {
                Some(mask) if !address.contains('/') => format!("{address}/{}", prefix(mask)),
                _ => address.into(),
            };
            source.word(word, &cidr);
            if let Some(gateway) = text("gateway") {
                source.word(family(gateway, "gw", "gw6"), gateway);
            }
        }
        other => {
            let other = format!("type: {other}");
            unreadable(source, &other, "it is no kind of subnet that is known here".into());
        }
    }
    servers(source, subnet.at("dns_nameservers"), subnet.at("dns_search"));
    subnet.at("routes").map_or(&[][..], Node::members).iter().for_each(|route| route_1(source, route));
}

fn route_1(source: &mut Source, route: &Node) {
    let text = |keys: [&str; 2]| keys.iter().find_map(|key| route.at(key)?.text());
    let (Some(to), Some(via)) = (text(["destination", "network"]), text(["gateway", "via"])) else { return };
    match text(["netmask", "prefix"]) {
        Some(mask) if !to.contains('/') => way(source, &format!("{to}/{}", prefix(mask)), via),
        _ => way(source, to, via),
    }
}

/// The length of a network mask; what is none comes out as it went in, and is refused later.
fn prefix(mask: &str) -> String {
    let Ok(bits) = mask.parse::<core::net::Ipv4Addr>().map(u32::from) else { return mask.into() };
    let ones = bits.leading_ones();
    if bits.checked_shl(ones).unwrap_or(0) == 0 { ones.to_string() } else { mask.into() }
}

fn way(source: &mut Source, to: &str, via: &str) {
    let is_default = matches!(to, "default" | "0.0.0.0/0" | "::/0");
    if is_default {
        source.word(family(via, "gw", "gw6"), via);
    } else {
        source.word("route", &format!("{to},{via}"));
    }
}

fn servers(source: &mut Source, addresses: Option<&Node>, search: Option<&Node>) {
    for (word, node) in [("dns", addresses), ("search", search)] {
        for part in texts(node).flat_map(|text| text.split([' ', ','])).filter(|part| !part.is_empty()) {
            source.word(word, part);
        }
    }
}

fn no_dhcp6(source: &mut Source) {
    let why = "there is no DHCPv6, but routers can be asked by ip6=slaac";
    source.flaw(Some(Topic::V6), "dhcp6", Reason::Unreadable(why.into()));
}

fn texts(node: Option<&Node>) -> impl Iterator<Item = &str> {
    node.map_or(&[][..], Node::members).iter().filter_map(Node::text)
}

fn family(address: &str, v4: &'static str, v6: &'static str) -> &'static str {
    if address.contains(':') { v6 } else { v4 }
}
