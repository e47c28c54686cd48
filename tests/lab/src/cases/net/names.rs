//! Names, asked of dnsmasq and of NSD in dom0.

use anyhow::{Result, ensure};

use super::super::{Case, Context, Spot};
use crate::guest::End;
use crate::host::{Dom0, XlDomU};
use crate::net::{VifWish, address};
use crate::progress::Progress;
use crate::tools::On;

const IMAGE: &str = "resolve";
const MEMORY_MIB: u32 = 16;
const GUEST: &str = "guest";
/// In a text, so that it takes a stream: more than a datagram of 1232 bytes holds.
const LONG: usize = 2000;

pub(super) fn add(cases: &mut Vec<Case>) {
    for (name, run) in
        [("net-names-dnsmasq", dnsmasq as fn(&Names<'_>) -> Result<()>), ("net-names-nsd", nsd)]
    {
        let run = move |ctx: &Context<'_>| {
            let dom0 = ctx.dom0(Spot::XL)?;
            let before = dom0.footprint()?;
            run(&Names { ctx, dom0: &dom0 })?;
            let left = dom0.footprint()?.since(&before);
            ensure!(left.is_empty(), "left behind: {left:#?}");
            Ok(())
        };
        cases.push(Case { image: IMAGE, ..Case::new(Spot::XL, name, run) }.limit(180));
    }
}

/// Catches: questions that a server of every home does not understand, its address not taken from the lease, answers
/// misread, and addresses that are tried in a wrong order or for too long.
fn dnsmasq(names: &Names<'_>) -> Result<()> {
    names.push("dnsmasq")?;
    let long = vec!["x".repeat(200); LONG / 200].join(",");
    names.dom0.push(
        "/tmp/dnsmasq.conf",
        b"no-resolv\nno-hosts\nlisten-address=10.0.0.1\nbind-interfaces\nuser=root\nlocal=/lab.example/\n\
             pid-file=/tmp/dnsmasq.pid\nhost-record=host.lab.example,10.0.0.1,fd00::1,300\n\
             host-record=half.lab.example,10.0.0.1,fd00::99,300\n\
             cname=alias.lab.example,host.lab.example\nmx-host=lab.example,host.lab.example,10\n\
             srv-host=_web._tcp.lab.example,host.lab.example,80,1,2\n\
             ptr-record=9.0.0.10.in-addr.arpa,nine.lab.example\nlocal-ttl=300\n",
    )?;
    // A line of the file may not be as long as this.
    names.dom0.sh(&format!("/tools/dnsmasq -C /tmp/dnsmasq.conf --txt-record=long.lab.example,{long}"))?;
    let said = names.ask(
        "ip=dhcp resolve=host.lab.example resolve=ALIAS.lab.example,A resolve=lab.example,MX \
         resolve=_web._tcp.lab.example,SRV resolve=long.lab.example,TXT resolve=10.0.0.9,PTR \
         resolve=host.lab.example,A resolve=none.lab.example,A resolve=host.lab.example,TXT \
         connect=host.lab.example:53 connect=half.lab.example:53 connect=half.lab.example:54",
    )?;
    for text in [
        "server 10.0.0.1\n",
        "host.lab.example AAAA by 10.0.0.1, ",
        "     300 AAAA   fd00::1\n",
        "     300 A      10.0.0.1\n",
        "     300 CNAME  host.lab.example.\n",
        "MX     10 host.lab.example.\n",
        "SRV    1 2 80 host.lab.example.\n",
        "PTR    nine.lab.example.\n",
        "host.lab.example A by 10.0.0.1, remembered, ",
        "none.lab.example A: there is no such name, ",
        "host.lab.example TXT: the name has nothing of this kind, ",
        // It has no IPv6 but that of the link.
        "host.lab.example: connected to 10.0.0.1:53 from 10.0.0.102:",
        "half.lab.example: connected to 10.0.0.1:53 from 10.0.0.102:",
        "half.lab.example:54: 10.0.0.1: the connection was refused; fd00::99: the interface has no address",
        "FAILURE: 3 of 12 had no answer\n",
    ] {
        ensure!(said.contains(text), "it does not say {text:?}, but:\n{said}");
    }
    long_text(&said)?;
    // A first server that is not there, and a host whose first address is not there.
    let said = names.ask(&format!(
        "{} ip6=fd00::2/64 dns=10.0.0.77,10.0.0.1 search=lab.example resolve=host,A resolve=host,AAAA connect=half:53",
        address(2)
    ))?;
    for text in [
        "host A by 10.0.0.1, 2",
        "host AAAA by 10.0.0.1, ",
        "half: connected to 10.0.0.1:53 from 10.0.0.2:",
        "SUCCESS\n",
    ] {
        ensure!(said.contains(text), "it does not say {text:?}, but:\n{said}");
    }
    names.dom0.sh("kill $(cat /tmp/dnsmasq.pid)").map(drop)
}

/// Catches: what a server of another make says differently, and IPv6 on the way to it.
fn nsd(names: &Names<'_>) -> Result<()> {
    names.push("nsd")?;
    let long = "x".repeat(200);
    let long = vec![format!("\"{long}\""); LONG / 200].join(" ");
    names.dom0.push(
        "/tmp/nsd.conf",
        b"server:\n ip-address: fd00::1\n username: \"\"\n pidfile: \"/tmp/nsd.pid\"\n zonesdir: \"/tmp\"\n\
          \x20xfrdfile: \"\"\n zonelistfile: \"/tmp/nsd.list\"\n server-count: 1\n\
          remote-control:\n control-enable: no\nzone:\n name: lab.example\n zonefile: lab.zone\n",
    )?;
    names.dom0.push(
        "/tmp/lab.zone",
        format!(
            "$ORIGIN lab.example.\n$TTL 300\n@ SOA ns host 1 3600 900 86400 60\n@ NS ns\n@ MX 10 host\n\
             ns AAAA fd00::1\nhost A 10.0.0.1\nhost AAAA fd00::1\nalias CNAME other\nother CNAME host\n\
             long TXT {long}\n@ HTTPS 1 . alpn=h2,h3 port=8443 ipv4hint=10.0.0.1\n\
             _web._tcp SRV 1 2 80 host\n"
        )
        .as_bytes(),
    )?;
    names.dom0.sh("/tools/nsd -c /tmp/nsd.conf")?;
    let said = names.ask(&format!(
        "{} ip6=fd00::2/64 dns=fd00::1 search=lab.example resolve=host resolve=alias,A resolve=lab.example,MX \
         resolve=lab.example,HTTPS resolve=lab.example,SOA resolve=_web._tcp,SRV resolve=long,TXT resolve=none.lab.example,A \
         resolve=host,MX resolve=www.elsewhere.,A connect=host:53",
        address(2)
    ))?;
    for text in [
        "host AAAA by fd00::1, ",
        "     300 AAAA   fd00::1\n",
        "     300 A      10.0.0.1\n",
        "     300 CNAME  other.lab.example.\n     300 CNAME  host.lab.example.\n     300 A      10.0.0.1\n",
        "MX     10 host.lab.example.\n",
        "SRV    1 2 80 host.lab.example.\n",
        "HTTPS  1 . alpn=\"h2,h3\" port=8443 ipv4hint=10.0.0.1\n",
        "SOA    ns.lab.example. host.lab.example. 1 3600 900 86400 60\n",
        "none.lab.example A: there is no such name, ",
        "host MX: the name has nothing of this kind, ",
        "www.elsewhere. A: the servers refuse to answer, ",
        "host: connected to [fd00::1]:53 from [fd00::2]:",
        "FAILURE: 3 of 11 had no answer\n",
    ] {
        ensure!(said.contains(text), "it does not say {text:?}, but:\n{said}");
    }
    long_text(&said)?;
    names.dom0.sh("kill $(cat /tmp/nsd.pid)").map(drop)
}

/// It came whole, which takes a stream.
fn long_text(said: &str) -> Result<()> {
    let text = format!("TXT    {}\n", vec![format!("\"{}\"", "x".repeat(200)); LONG / 200].join(" "));
    ensure!(said.contains(&text), "it does not say the long text, but:\n{said}");
    Ok(())
}

struct Names<'a> {
    ctx: &'a Context<'a>,
    dom0: &'a Dom0,
}

impl Names<'_> {
    fn push(&self, program: &str) -> Result<()> {
        let tools = self.ctx.lab.tools(On::Dom0, &Progress::quiet())?;
        self.dom0.push_tools(&tools, &[program])
    }

    /// What the guest says until its end.
    fn ask(&self, args: &str) -> Result<String> {
        let domu = XlDomU {
            args: args.to_owned(),
            vifs: vec![VifWish::new(2).spec()],
            ..XlDomU::new(GUEST, self.ctx.built.image.clone(), MEMORY_MIB)
        };
        let guest = self.dom0.create(&domu)?;
        let end = guest.wait(self.ctx.left());
        self.dom0.drain(GUEST, &guest)?;
        let said = guest.console.output.text().replace('\r', "");
        ensure!(end == Some(End::PowerOff), "it ended with {end:?} after:\n{said}");
        self.dom0.destroy(GUEST)?;
        Ok(said)
    }
}
