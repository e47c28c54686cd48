//! vchan with libxenvchan in dom0, between two images, and between two that Xen starts alone.

use anyhow::{Result, ensure};

use super::{Case, Context, MIR_CONSOLE_FILES, PROMPT, Spot, must_say};
use crate::dom0less::{Dom0less, DomU};
use crate::dtb::StaticEvent;
use crate::guest::{End, Guest};
use crate::host::{Dom0, XlDomU};
use crate::machine::Config;
use crate::parts::XenVersion;
use crate::progress::Progress;

const VCHAN_ECHO: &str = "vchan-echo";
/// libxenvchan's own program.
const PROXY: &str = "/usr/lib/xen/bin/vchan-socket-proxy";
/// Debian's Xen lets a domain share with dom0 alone (SILO). This lets any two.
const ANYBODY: &str = "xsm=dummy";
/// The port of either end of the static channel.
const PORT: u32 = 10;

pub(super) fn add(cases: &mut Vec<Case>) {
    for xen in XenVersion::ALL {
        let spot = Spot { xen, ..Spot::XL };
        let mut add = |name: &str, run: fn(&Context<'_>, Spot) -> Result<()>| {
            cases.push(
                Case { image: VCHAN_ECHO, ..Case::new(spot, name, move |ctx| run(ctx, spot)) }.limit(120),
            );
        };
        add("vchan-libxenvchan-client", libxenvchan_client);
        add("vchan-libxenvchan-server", libxenvchan_server);
        add("vchan-silo", silo);
    }
    let own = |name: &str, run: fn(&Context<'_>) -> Result<()>| Case {
        image: VCHAN_ECHO,
        // Its machine is not the others'.
        dom0: None,
        ..Case::new(Spot::XL, name, run).limit(180)
    };
    cases.push(own("vchan-pair", pair));
    cases.push(own("vchan-destroyed", destroyed));
    cases.push(Case { image: MIR_CONSOLE_FILES, ..own("vchan-chat", chat) });
    for xen in XenVersion::ALL {
        let spot = Spot { xen, ..Spot::DOM0LESS };
        cases
            .push(Case { image: VCHAN_ECHO, ..Case::new(spot, "vchan-static", move |ctx| alone(ctx, spot)) });
    }
}

fn guest(ctx: &Context<'_>, dom0: &Dom0, name: &str, args: &str) -> Result<Guest> {
    dom0.create(&XlDomU { args: args.to_owned(), ..XlDomU::new(name, ctx.built.image.clone(), 32) })
}

fn succeeds(ctx: &Context<'_>, guest: &Guest) -> Result<()> {
    ctx.expect(guest, "SUCCESS")?;
    ctx.end(guest, End::PowerOff)
}

/// What dom0 sends comes back, through rings of each kind; and when its program is killed, that is noticed.
fn libxenvchan_client(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let dom0 = ctx.dom0(spot)?;
    for orders in ["10,11", "12", "16,11", "20"] {
        let guest = guest(ctx, &dom0, "server", &format!("serve=0 name=test orders={orders}"))?;
        ctx.expect(&guest, "vchan waits for d0")?;
        let path = format!("/local/domain/{0}/data/vchan/0/test", guest.domain);
        let client = format!("{PROXY} -m client {} {path} -", guest.domain);
        for _ in 0..2 {
            dom0.sh(&format!(
                "cd /tmp; head -c 300000 /dev/urandom >in; : >out\n\
                 (cat in; n=1000; until [ $(stat -c %s out) -ge 300000 ]; do\n\
                 n=$((n - 1)); [ $n -gt 0 ] || exit; usleep 20000; done) | {client} >out\n\
                 cmp in out"
            ))?;
            let said = ctx.expect(&guest, "kept pages 0")?;
            must_say(&said, "vchan connected")?;
            must_say(&said, "vchan ended: 300000 bytes")?;
        }
        dom0.sh(&format!("cd /tmp; sleep 1000 | {client} >out & echo $! >pid"))?;
        ctx.expect(&guest, "vchan connected")?;
        dom0.sh("kill -9 $(pidof vchan-socket-proxy); kill -9 $(pidof sleep) || true")?;
        ctx.expect(&guest, "vchan ended: 0 bytes, kept pages 0")?;
        ctx.expect(&guest, "vchan waits for d0")?;
        dom0.destroy("server")?;
    }
    Ok(())
}

/// What we send to dom0 comes back; we wait for its program, and notice when it is killed.
fn libxenvchan_server(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let dom0 = ctx.dom0(spot)?;
    let path = "/local/domain/0/data/vtest";
    // What it writes to its pipe, it reads there.
    let serve = |domain: u16| {
        format!(
            "cd /tmp; rm -f pipe; mkfifo pipe; {PROXY} -m server {domain} {path} - <>pipe >&0 2>proxy.log & sleep 0.2"
        )
    };
    let args = format!("connect=0 path={path} bytes=300000 window=2000 delay=500");
    let guest_a = guest(ctx, &dom0, "client", &args)?;
    dom0.sh(&serve(guest_a.domain))?;
    let said = ctx.expect(&guest_a, "vchan verified: 300000 bytes there and back")?;
    must_say(&said, "vchan connected")?;
    succeeds(ctx, &guest_a)?;
    dom0.destroy("client")?;
    dom0.sh(
        "n=100; while pidof vchan-socket-proxy; do n=$((n - 1)); [ $n -gt 0 ] || exit 1; usleep 20000; done",
    )?;

    let guest_b = guest(ctx, &dom0, "client", &format!("{args} hold"))?;
    dom0.sh(&serve(guest_b.domain))?;
    ctx.expect(&guest_b, "vchan verified")?;
    dom0.sh("kill -9 $(pidof vchan-socket-proxy)")?;
    ctx.expect(&guest_b, "vchan: the other end has closed")?;
    succeeds(ctx, &guest_b)
}

/// Where Xen's policy forbids it, the server says so. A client does not come so far.
fn silo(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let dom0 = ctx.dom0(spot)?;
    let second = guest(ctx, &dom0, "second", "serve=0")?;
    ctx.expect(&second, "vchan waits")?;
    let first = guest(ctx, &dom0, "first", &format!("serve={}", second.domain))?;
    ctx.expect(&first, &format!("FAILURE: Xen's policy forbids us to share with d{}", second.domain))?;
    Ok(())
}

/// A dom0 whose guests may share with each other.
pub(super) fn anybody(ctx: &Context<'_>) -> Result<Dom0> {
    let config = Config { xen_args: vec![ANYBODY.to_owned()], ..ctx.config(Spot::XL) };
    let dom0 = Dom0::start(ctx.lab, &config, &Progress::quiet())?;
    ctx.begin();
    Ok(dom0)
}

/// Two images: one comes before the other, and again and again; rings of each kind.
fn pair(ctx: &Context<'_>) -> Result<()> {
    let dom0 = anybody(ctx)?;
    let mut next = 1 + guest(ctx, &dom0, "probe", "none")?.domain;
    dom0.destroy("probe")?;
    for orders in ["10,11", "12", "11,16", "20"] {
        let (server, client) = (next, next + 1);
        next += 2;
        let server_args = format!("serve={client} orders={orders}");
        let client_args = format!("connect={server} orders={orders} bytes=3000000 window=3000000 again=3");
        let ends = [guest(ctx, &dom0, "server", &server_args)?, guest(ctx, &dom0, "client", &client_args)?];
        ensure!(
            ends.each_ref().map(|guest| guest.domain) == [server, client],
            "domains are numbered otherwise"
        );
        for _ in 0..3 {
            let said = ctx.expect(&ends[0], "kept pages 0")?;
            must_say(&said, "vchan ended: 3000000 bytes")?;
        }
        succeeds(ctx, &ends[1])?;
        dom0.destroy("client")?;
        dom0.destroy("server")?;
    }
    Ok(())
}

/// Either domain is destroyed. Xenstore tells the other, and the server serves the next.
fn destroyed(ctx: &Context<'_>) -> Result<()> {
    let dom0 = anybody(ctx)?;
    let next = 1 + guest(ctx, &dom0, "probe", "none")?.domain;
    dom0.destroy("probe")?;
    let (server, client) = (next, next + 1);
    let a = guest(ctx, &dom0, "server", &format!("serve={client}"))?;
    let b = guest(ctx, &dom0, "client", &format!("connect={server} hold bytes=100000"))?;
    ensure!([a.domain, b.domain] == [server, client], "domains are numbered otherwise");
    ctx.expect(&b, "vchan verified")?;
    dom0.destroy("client")?;
    ctx.expect(&a, "vchan failed: the other end is gone: 100000 bytes, kept pages 0")?;
    ctx.expect(&a, "vchan waits")?;
    dom0.destroy("server")?;

    let (server, client) = (next + 2, next + 3);
    let a = guest(ctx, &dom0, "server", &format!("serve={client}"))?;
    let b = guest(ctx, &dom0, "client", &format!("connect={server} hold bytes=100000"))?;
    ensure!([a.domain, b.domain] == [server, client], "domains are numbered otherwise");
    ctx.expect(&b, "vchan verified")?;
    dom0.destroy("server")?;
    ctx.expect(&b, "vchan: the other end is gone")?;
    succeeds(ctx, &b)
}

/// What is typed at either console is read at the other.
fn chat(ctx: &Context<'_>) -> Result<()> {
    let dom0 = anybody(ctx)?;
    let [a, b] = [guest(ctx, &dom0, "one", "quiet")?, guest(ctx, &dom0, "two", "quiet")?];
    for guest in [&a, &b] {
        ctx.prompt(guest)?;
    }
    b.console.send(format!("vchan connect {}\r", a.domain))?;
    ctx.expect(&b, "Waiting for")?;
    a.console.send(format!("vchan serve {}\r", b.domain))?;
    for guest in [&a, &b] {
        ctx.expect(guest, "Connected.")?;
    }
    a.console.send("hello, two\r")?;
    ctx.expect(&b, "hello, two\r\n")?;
    b.console.send("hallo\x7f\x7f\x7f\x7fello, one\r")?;
    ctx.expect(&a, "hello, one\r\n")?;
    a.console.send("\x03")?;
    ctx.expect(&b, "The other end has closed.")?;
    for guest in [&a, &b] {
        ctx.expect(guest, PROMPT)?;
    }
    Ok(())
}

/// No dom0 and no Xenstore: what both ends need to know is on their command lines.
fn alone(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let domu = |args: &str| DomU {
        bootargs: format!("{args} port={PORT} orders=13 bytes=1000000 window=1000000 once"),
        events: vec![StaticEvent { port: PORT, channel: 0 }],
        ..DomU::new(ctx.built.image.clone(), 32)
    };
    for (one, two) in [("serve=2", "connect=1"), ("connect=2", "serve=1")] {
        let config = Config { xen_args: vec![ANYBODY.to_owned()], ..ctx.config(spot) };
        let machine = ctx.dom0less(&config, &[domu(one), domu(two)])?;
        for guest in &machine.guests {
            ctx.end(guest, End::PowerOff)?;
        }
        let said = apart(&machine);
        for words in
            ["vchan verified: 1000000 bytes there and back", "vchan ended: 1000000 bytes, kept pages 0"]
        {
            must_say(&said, words)?;
        }
        ensure!(said.matches("SUCCESS").count() == 2, "one of them failed:\n{said}");
    }
    // Under Debian's own policy a domain may not map what another lends.
    let machine = ctx.dom0less(&ctx.config(spot), &[domu("serve=2"), domu("connect=1")])?;
    ctx.end(&machine.guests[1], End::PowerOff)?;
    must_say(&apart(&machine), "FAILURE: Xen's policy forbids us to share with d1")?;
    Ok(())
}

/// What both domains said. Xen writes the first one's bytes as they come, and amid them whole lines of the other.
fn apart(machine: &Dom0less) -> String {
    let (mut first, mut second) = (String::new(), machine.guests[1].console.output.text());
    let text = machine.guests[0].console.output.text();
    let mut rest = text.as_str();
    while let Some((before, line)) = rest.split_once("DOM2: ") {
        first += before;
        let (line, after) = line.split_once('\n').unwrap_or((line, ""));
        second += &format!("{line}\n");
        rest = after;
    }
    format!("{first}{rest}\n{second}")
}
