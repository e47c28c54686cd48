//! The name server, asked by the programs that everybody asks with.

use std::fs::OpenOptions;
use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};

use super::super::{Case, Context, Spot};
use crate::disk::{Contents, DiskWish};
use crate::guest::Guest;
use crate::host::{Dom0, XlDomU};
use crate::net::{VifWish, address};
use crate::progress::Progress;
use crate::tools::On;

const IMAGE: &str = "dns";
/// The same with readers for files.
const IMAGE_FILES: &str = "dns+default";
const GUEST: &str = "guest";
/// The least that it is to do with.
const MEMORY_MIB: u32 = 8;
const SERVER: &str = "10.0.0.2";

pub(super) fn add(cases: &mut Vec<Case>) {
    for (name, package, run) in [
        ("net-dns-image", IMAGE, image as fn(&Names<'_>) -> Result<()>),
        ("net-dns-store", IMAGE, store),
        ("net-dns-disk", IMAGE_FILES, disk),
    ] {
        let run = move |ctx: &Context<'_>| {
            let dom0 = ctx.dom0(Spot::XL)?;
            let tools = ctx.lab.tools(On::Dom0, &Progress::quiet())?;
            dom0.push_tools(&tools, &["dig", "kdig", "dnsperf"])?;
            let before = dom0.footprint()?;
            run(&Names { ctx, dom0: &dom0 })?;
            dom0.destroy(GUEST)?;
            let left = dom0.footprint()?.since(&before);
            ensure!(left.is_empty(), "left behind: {left:#?}");
            Ok(())
        };
        cases.push(Case { image: package, ..Case::new(Spot::XL, name, run) }.limit(180));
    }
}

struct Names<'a> {
    ctx: &'a Context<'a>,
    dom0: &'a Dom0,
}

impl Names<'_> {
    /// Starts the server, and waits until it serves.
    fn serve(&self, args: &str, disks: Vec<String>) -> Result<Guest> {
        let domu = XlDomU {
            args: format!("{} {args}", address(2)),
            vifs: vec![VifWish::new(2).spec()],
            disks,
            ..XlDomU::new(GUEST, self.ctx.built.image.clone(), MEMORY_MIB)
        };
        let guest = self.dom0.create(&domu)?;
        self.ctx.expect(&guest, "dns on port 53 of 10.0.0.2")?;
        Ok(guest)
    }

    /// What a program in dom0 says.
    fn say(&self, command: &str) -> Result<String> {
        let said = self.dom0.sh(&format!("/tools/{command} 2>&1"))?;
        let mut file = OpenOptions::new().create(true).append(true).open(self.dom0.folder.file("said"))?;
        write!(file, "# {command}\n{said}\n")?;
        Ok(said)
    }

    /// `dig` must say all of these.
    fn dig(&self, question: &str, words: &[&str]) -> Result<()> {
        let said = self.say(&format!("dig @{SERVER} +tries=3 +time=2 {question}"))?;
        // It lines its columns up with tabs.
        let flat: Vec<_> =
            said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let flat = flat.join("\n");
        for word in words {
            ensure!(flat.contains(word), "dig {question} does not say {word:?}, but:\n{said}");
        }
        Ok(())
    }

    /// Asks as fast as `dnsperf` does, meanwhile; none may be lost. Gives answers a second.
    fn load(&self, questions: &str, seconds: u32, meanwhile: impl FnOnce() -> Result<()>) -> Result<u64> {
        self.dom0.push("/tmp/questions", questions.as_bytes())?;
        self.dom0.sh(&format!(
            "/tools/dnsperf -s {SERVER} -d /tmp/questions -l {seconds} -q 20 -t 5 >/tmp/perf 2>&1 &"
        ))?;
        meanwhile()?;
        let said = self.dom0.sh(&format!(
            "for i in $(seq {}); do grep -q 'Queries per second' /tmp/perf && break; sleep 1; done; cat /tmp/perf",
            seconds + 20
        ))?;
        ensure!(said.contains("Queries lost:         0 "), "dnsperf says:\n{said}");
        let rate = said.lines().find_map(|line| line.trim().strip_prefix("Queries per second:"));
        let rate = rate.and_then(|rate| rate.trim().split('.').next()?.parse().ok());
        rate.with_context(|| format!("dnsperf says no rate:\n{said}"))
    }
}

/// Catches: whatever `dig` and `kdig` find odd in answers, by datagrams and streams, and queries lost under load.
fn image(names: &Names<'_>) -> Result<()> {
    let guest = names.serve("axfr=10.0.0.1 rate=0", Vec::new())?;
    names.dig(
        "www.fata.example A",
        &[
            "status: NOERROR",
            "flags: qr aa rd; QUERY: 1, ANSWER: 2, AUTHORITY: 0, ADDITIONAL: 1",
            "udp: 1232",
            "www.fata.example. 3600 IN CNAME fata.example.\nfata.example. 3600 IN A 192.0.2.1",
        ],
    )?;
    names.dig(
        "fata.example MX +tcp",
        &["fata.example. 3600 IN MX 10 mail.fata.example.", "mail.fata.example. 3600 IN AAAA 2001:db8::25"],
    )?;
    names.dig(
        "fata.example TXT +noedns",
        &["\"a castle in the air\" \"above the strait\"", "ADDITIONAL: 0"],
    )?;
    names.dig(
        "www-1.fata.example HTTPS",
        &["www-1.fata.example. 3600 IN HTTPS 1 . alpn=\"h2,h3\" ipv4hint=192.0.2.80"],
    )?;
    names.dig("x.y.guests.fata.example A", &["x.y.guests.fata.example. 3600 IN A 192.0.2.99"])?;
    names.dig("nobody.fata.example A", &["status: NXDOMAIN", "fata.example. 300 IN SOA ns.fata.example."])?;
    names.dig(
        "host.castle.fata.example A",
        &[
            "flags: qr rd; QUERY: 1, ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 3",
            "castle.fata.example. 3600 IN NS ns.castle.fata.example.",
            "ns.castle.fata.example. 3600 IN AAAA 2001:db8::153",
        ],
    )?;
    names.dig("elsewhere.test A", &["status: REFUSED"])?;
    names.dig(
        "fata.example AXFR",
        &["XFR size: 22 records", "1.2.0.192.fata.example. 3600 IN PTR fata.example."],
    )?;
    names.dig("version.bind CH TXT", &["status: REFUSED"])?;
    names.dig("fata.example A +edns=1 +noednsneg", &["status: BADVERS"])?;
    let said = names.say(&format!(
        "kdig @{SERVER} +tcp +keepopen fata.example A fata.example AAAA nobody.fata.example A"
    ))?;
    ensure!(
        said.matches("status: NOERROR").count() == 2 && said.contains("status: NXDOMAIN"),
        "kdig says:\n{said}"
    );
    let rate = names.load("www.fata.example A\nfata.example MX\nnobody.fata.example A\n", 3, || Ok(()))?;
    ensure!(rate > 0, "dnsperf got no answers");
    guest.console.send("\r")?;
    names.ctx.expect(&guest, " by UDP, ").map(drop)
}

fn zone(serial: u32, more: &str) -> String {
    format!(
        "$ORIGIN lab.example.\n$TTL 60\n@ SOA ns host {serial} 3600 900 86400 60\n@ NS ns\nns A 10.0.0.2\n\
         www A 192.0.2.{serial}\n{more}"
    )
}

/// Catches: a change in Xenstore that is not seen, a bad zone that is served or that ends the good one, and queries that are
/// lost meanwhile.
fn store(names: &Names<'_>) -> Result<()> {
    let guest = names.serve("zone=store rate=0", Vec::new())?;
    names.dig("www.lab.example A", &["status: REFUSED"])?;
    let write = |node: &str, text: &str| {
        names.dom0.push("/tmp/piece", text.as_bytes())?;
        let path = format!("/local/domain/{}/data/zone/{node}", guest.domain);
        names.dom0.sh(&format!("xenstore-write {path} \"$(cat /tmp/piece)\n\"")).map(drop)
    };
    write("lab", &zone(1, ""))?;
    names.ctx.expect(&guest, "lab.example. serial 1, ")?;
    names.dig("www.lab.example A", &["www.lab.example. 60 IN A 192.0.2.1"])?;
    names.load("www.lab.example A\n", 6, || {
        for serial in 2..20 {
            write("lab", &zone(serial, "bad A 192.0.2.300"))?;
            names.ctx.expect(&guest, "refused, 1 zones as before: data/zone/lab: line 7: 192.0.2.300: ")?;
            write("lab", &zone(serial, "new A 192.0.2.200"))?;
            names.ctx.expect(&guest, &format!("lab.example. serial {serial}, "))?;
        }
        Ok(())
    })?;
    names.dig("www.lab.example A", &["www.lab.example. 60 IN A 192.0.2.19"])?;
    names.dig("new.lab.example A", &["new.lab.example. 60 IN A 192.0.2.200"])?;
    // More than a node of Xenstore holds.
    for piece in 0..5 {
        let hosts =
            (40 * piece..40 * (piece + 1)).map(|n| format!("host{n} TXT \"{}\"\n", "long text ".repeat(8)));
        write(&format!("lab/{piece}"), &hosts.collect::<String>())?;
    }
    names.ctx.expect(&guest, "lab.example. serial 19, 204 names, 205 records, ").map(drop)
}

/// Names of the large zone.
const MANY: usize = 10_000;

/// Catches: a zone of 10,000 names that does not fit, once and once more while it is read again, and queries that are lost
/// meanwhile.
fn disk(names: &Names<'_>) -> Result<()> {
    let many: String = (0..MANY).map(|n| format!("host{n} A 10.1.{}.{}\n", n / 250, n % 250)).collect();
    let contents = Contents::Bytes(fat16("LAB     ZON", zone(1, &many).as_bytes()));
    let disk = names.dom0.make_disk(&DiskWish { contents, ..DiskWish::new("zones", 8) })?;
    let guest = names.serve("zone=/lab.zon rate=0", vec![disk.spec("xvda")])?;
    names.dig("host9999.lab.example A", &["host9999.lab.example. 60 IN A 10.1.39.249"])?;
    names.load("host1.lab.example A\nhost7777.lab.example A\nnobody.lab.example A\n", 6, || {
        for _ in 0..3 {
            guest.console.send("reload\r")?;
            names.ctx.expect(&guest, "lab.example. serial 1, 10003 names, 10004 records, ")?;
        }
        Ok(())
    })?;
    names.dom0.destroy(GUEST)?;
    names.dom0.remove_disk(&disk)?;
    // For who destroys it after this.
    names.serve("", Vec::new()).map(drop)
}

/// A file system of 8 MiB with one file in it (Microsoft's FAT specification 1.03).
fn fat16(name: &str, file: &[u8]) -> Vec<u8> {
    const SECTORS: u16 = 16_384;
    const CLUSTER: usize = 1024;
    const FAT_SECTORS: usize = 33;
    let mut boot = vec![0; 512];
    boot[..3].copy_from_slice(&[0xeb, 0x3c, 0x90]);
    boot[3..11].copy_from_slice(b"FATA    ");
    boot[11..13].copy_from_slice(&512u16.to_le_bytes());
    // Sectors of a cluster, those in front, tables, entries of the root directory.
    (boot[13], boot[14], boot[16], boot[18]) = (2, 1, 1, 2);
    boot[19..21].copy_from_slice(&SECTORS.to_le_bytes());
    (boot[21], boot[22], boot[38]) = (0xf8, FAT_SECTORS as u8, 0x29);
    boot[43..54].copy_from_slice(b"ZONES      ");
    boot[54..62].copy_from_slice(b"FAT16   ");
    boot[510..].copy_from_slice(&[0x55, 0xaa]);
    let clusters = file.len().div_ceil(CLUSTER);
    let mut table = vec![0xfff8u16, 0xffff];
    table.extend((1..clusters).map(|n| 2 + n as u16));
    table.push(0xffff);
    let mut table: Vec<u8> = table.into_iter().flat_map(u16::to_le_bytes).collect();
    table.resize(FAT_SECTORS * 512, 0);
    let mut root = vec![0; 512 * 32];
    root[..11].copy_from_slice(name.as_bytes());
    root[11] = 0x20;
    root[26] = 2;
    root[28..32].copy_from_slice(&(file.len() as u32).to_le_bytes());
    [boot, table, root, file.to_vec()].concat()
}
