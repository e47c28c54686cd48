//! Addresses from where a host's administrator says them: servers and routers with short leases, xl, a disk.

use anyhow::{Result, ensure};

use super::super::{Case, Context};
use super::{PING, case_with};
use crate::guest::Guest;
use crate::net::VifWish;
use crate::network::{Network, SUBJECT};
use crate::progress::Progress;
use crate::tools::On;

/// What cloud-init's tools make of 10.0.0.5 and fd00::5 (netstack/addresses/tests/data).
const DISK: &[u8] = include_bytes!("../../../../../netstack/addresses/tests/data/joliet.xz");

/// The image that looks at disks.
const PING_CIDATA: &str = "ping+cidata";

pub(super) fn add(cases: &mut Vec<Case>) {
    cases.push(case_with(PING, "net-addresses-dnsmasq", 420, dnsmasq));
    cases.push(case_with(PING, "net-addresses-vif", 90, |_, network| vif(network)));
    cases.push(case_with(PING_CIDATA, "net-addresses-cidata", 90, |_, network| cidata(network)));
}

/// Catches: a lease that is not renewed, or not given back when it runs out; what routers advertise misread; and a server
/// that is back and is not asked.
fn dnsmasq(ctx: &Context<'_>, network: &Network<'_>) -> Result<()> {
    let dom0 = network.dom0;
    let tools = ctx.lab.tools(On::Dom0, &Progress::quiet())?;
    dom0.push_tools(&tools, &["dnsmasq"])?;
    // Two minutes are the shortest lease that it gives.
    dom0.push(
        "/tmp/dnsmasq.conf",
        b"port=0\ninterface=xenbr0\nbind-interfaces\nuser=root\nleasefile-ro\npid-file=/tmp/dnsmasq.pid\n\
          log-dhcp\nlog-facility=/tmp/dnsmasq.log\ndhcp-authoritative\n\
          dhcp-range=10.0.0.150,10.0.0.160,255.255.255.0,120\ndhcp-option=option:dns-server,10.0.0.1\n\
          dhcp-option=option:domain-search,lab.example\n\
          enable-ra\nra-param=xenbr0,10,60\ndhcp-range=fd00::,ra-only,64,120\n\
          dhcp-option=option6:dns-server,[fd00::53]\n",
    )?;
    let begin = "rm -f /tmp/dnsmasq.log; /tools/dnsmasq -C /tmp/dnsmasq.conf";
    dom0.sh(&format!("kill $(cat /run/udhcpd.pid); {begin}"))?;
    let guest = dom0.create(&network.domu("subject", ""))?;
    let texts = [
        "addresses: network DHCP; network SLAAC",
        "leased by 10.0.0.1, gateway 10.0.0.1",
        // By the Ethernet address.
        "address fd00::216:3eff:fe00:2/64",
        "name server 10.0.0.1",
        "name server fd00::53",
    ];
    let said = all_of(&guest, network, &texts)?;
    let address =
        said.lines().find_map(|line| line.trim().strip_prefix("address 10.0.0.")?.strip_suffix("/24"));
    let number = address.and_then(|number| number.parse().ok()).filter(|number| (150..=160).contains(number));
    let number: u8 = number.ok_or_else(|| anyhow::anyhow!("no address from there: {said}"))?;
    network.await_answer(number)?;
    // Renewed, at half time.
    let acks = "grep -c 'DHCPACK(xenbr0)' /tmp/dnsmasq.log";
    dom0.sh(&format!("while [ $({acks}) -lt 2 ]; do sleep 1; done"))?;
    network.ping(&format!("10.0.0.{number}"), 1000, 3)?;
    // Then nobody is there any more.
    dom0.sh("kill $(cat /tmp/dnsmasq.pid)")?;
    let gone = format!("address 10.0.0.{number}/24 gone");
    all_of(&guest, network, &[&gone, "address fd00::216:3eff:fe00:2/64 gone"])?;
    dom0.sh(begin)?;
    network.await_answer(number)?;
    dom0.sh("kill $(cat /tmp/dnsmasq.pid); udhcpd -S -a 0 /etc/udhcpd.conf; rm -f /tmp/dnsmasq.*")?;
    network.remove("subject", &guest)
}

/// Catches: what xl is told with a card not found, or taken for something else, and changes of it while it runs.
fn vif(network: &Network<'_>) -> Result<()> {
    let mut domu = network.domu("subject", "ip6=off");
    domu.vifs = vec![VifWish { more: format!(",ip=10.0.0.{SUBJECT}"), ..VifWish::new(SUBJECT) }.spec()];
    let guest = network.dom0.create(&domu)?;
    says(
        &guest,
        network,
        &format!("addresses: vif ip 10.0.0.{SUBJECT}/24; command line no IPv6 beyond the link"),
    )?;
    network.await_answer(SUBJECT)?;
    // What the guest's own directory says comes first, also later.
    let tree = format!("/local/domain/{}/data/net/0", guest.domain);
    network.dom0.store_write(&format!("{tree}/ip"), "10.0.0.77/24")?;
    says(&guest, network, "address 10.0.0.77/24")?;
    network.await_answer(77)?;
    network.remove("subject", &guest)
}

/// Catches: a disk of cloud-init's that is not found, or read wrongly.
fn cidata(network: &Network<'_>) -> Result<()> {
    let mut image = Vec::new();
    std::io::Read::read_to_end(&mut lzma_rust2::XzReader::new(DISK, true), &mut image)?;
    network.dom0.push("/tmp/cidata.iso", &image)?;
    let mut domu = network.domu("subject", "cidata");
    domu.disks = vec!["format=raw,vdev=xvda,access=ro,target=/tmp/cidata.iso".into()];
    let guest = network.dom0.create(&domu)?;
    says(&guest, network, "addresses: cidata disk 10.0.0.5/24 by way of 10.0.0.1; cidata disk fd00::5/64; ")?;
    network.await_answer(5)?;
    network.remove("subject", &guest)?;
    network.dom0.sh("rm /tmp/cidata.iso").map(drop)
}

/// What the guest has said when it has said all of this, in any order.
fn all_of(guest: &Guest, network: &Network<'_>, texts: &[&str]) -> Result<String> {
    loop {
        let said = guest.console.output.text();
        match texts.iter().find(|text| !said.contains(**text)) {
            None => return Ok(said),
            Some(text) => ensure!(!network.left().is_zero(), "it does not say {text:?}, but:\n{said}"),
        }
        network.dom0.sh("sleep 1")?;
    }
}

fn says(guest: &Guest, network: &Network<'_>, text: &str) -> Result<()> {
    guest.console.expect(text, network.left()).map(drop)
}
