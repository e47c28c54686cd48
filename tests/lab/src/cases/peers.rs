//! TLS between images and others: fetch, badge and tls-terminator, with curl and openssl in dom0.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use fata_site::escape::Escaped;
use fata_site::pack::{Entry, HEADERS, REDIRECTS, read};

use super::vchan::anybody;
use super::{Case, Context, Spot, must_say};
use crate::guest::{End, Guest};
use crate::host::{Dom0, XlDomU};
use crate::net::{VifWish, address};
use crate::payload::put_behind;
use crate::progress::Progress;
use crate::site::SiteWish;
use crate::tools::On;

/// What Jekyll made (tests/lab/pages/README.md).
const PAGES: &str = "tests/lab/pages/castle";
/// The guest's address, and its card's.
const NUMBER: u8 = 2;
const MEMORY_MIB: u32 = 16;
/// What dom0 is told that it is, and tells Xen.
const NOW: &str = "date -s @1795600000";

pub(super) fn add(cases: &mut Vec<Case>) {
    let case = |image, name: &str, run: fn(&Context<'_>) -> Result<()>| Case {
        image,
        ..Case::new(Spot::XL, name, run).limit(240)
    };
    cases.push(case("fetch", "fetch-https", fetch));
    cases.push(case("badge", "badge-shown", badge));
    // Its machine is not the others'.
    cases.push(Case { dom0: None, ..case("tls-terminator", "terminator-vchan", terminator) });
}

/// A certificate that vouches for itself, and its key.
struct Pair {
    cert: PathBuf,
    key: PathBuf,
}

/// For hosts as in `DNS:castle.example` or `IP:10.0.0.1`, whatever time it is in the machine.
fn certificate(ctx: &Context<'_>, file: &str, hosts: &str) -> Result<Pair> {
    let folder = folder(ctx);
    fs::create_dir_all(&folder)?;
    let config = folder.join("openssl.cnf");
    let pair = Pair { cert: folder.join(format!("{file}.pem")), key: folder.join(format!("{file}-key.pem")) };
    fs::write(&config, "[req]\ndistinguished_name = name\n[name]\n")?;
    let mut openssl = ctx.lab.tools(On::Host, &Progress::quiet())?.command("openssl")?;
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl.args(["-subj", &format!("/CN={file}"), "-addext", &format!("subjectAltName={hosts}")]);
    openssl.args(["-not_before", "19700101000000Z", "-not_after", "20491231000000Z"]);
    openssl.arg("-config").arg(&config).arg("-out").arg(&pair.cert).arg("-keyout").arg(&pair.key);
    let output = openssl.output()?;
    ensure!(output.status.success(), "openssl says {}", String::from_utf8_lossy(&output.stderr));
    Ok(pair)
}

impl Pair {
    /// Puts both into dom0's `/tmp`.
    fn push(&self, dom0: &Dom0) -> Result<()> {
        for file in [&self.cert, &self.key] {
            let name = file.file_name().context("it has a name")?.to_string_lossy();
            dom0.push(&format!("/tmp/{name}"), &fs::read(file)?)?;
        }
        Ok(())
    }
}

/// Where what is made for a case goes.
fn folder(ctx: &Context<'_>) -> PathBuf {
    ctx.lab.dir().join("sites").join(ctx.name.replace('/', "-"))
}

/// The case's image with these behind it.
fn image(ctx: &Context<'_>, file: &str, members: &[(&str, &PathBuf)]) -> Result<PathBuf> {
    let members: Vec<_> =
        members.iter().map(|(name, path)| ((*name).to_owned(), (*path).to_owned())).collect();
    let out = folder(ctx).join(file);
    put_behind(&ctx.built.image, &members, &out)?;
    Ok(out)
}

/// A guest on the bridge.
fn start(dom0: &Dom0, name: &str, kernel: PathBuf, words: &str) -> Result<Guest> {
    dom0.create(&XlDomU {
        args: format!("{} {words}", address(NUMBER)),
        vifs: vec![VifWish::new(NUMBER).spec()],
        ..XlDomU::new(name, kernel, MEMORY_MIB)
    })
}

/// Debian's programs in dom0.
fn with_tools(ctx: &Context<'_>, dom0: &Dom0, programs: &[&str]) -> Result<()> {
    dom0.push_tools(&ctx.lab.tools(On::Dom0, &Progress::quiet())?, programs)
}

/// Catches: a page that comes otherwise over TLS, and servers that are believed though nobody vouches for them, for this
/// name, or nobody knows what time it is.
fn fetch(ctx: &Context<'_>) -> Result<()> {
    let dom0 = ctx.dom0(Spot::XL)?;
    with_tools(ctx, &dom0, &["openssl"])?;
    let right = certificate(ctx, "right", "IP:10.0.0.1")?;
    let wrong = certificate(ctx, "wrong", "DNS:castle.example")?;
    let mut page = String::from("A castle in the air.\n");
    (0..5000).for_each(|n| write!(page, "{n} ").unwrap_or_default());
    dom0.sh("mkdir -p /tmp/www")?;
    dom0.push("/tmp/www/page.txt", page.as_bytes())?;
    for (pair, name, port) in [(&right, "right", 443), (&wrong, "wrong", 444)] {
        pair.push(&dom0)?;
        dom0.sh(&format!(
            "cd /tmp/www; setsid /tools/openssl s_server -accept {port} -cert /tmp/{name}.pem -key /tmp/{name}-key.pem \
             -WWW </dev/null >/tmp/{name}.log 2>&1 & n=200; until grep -q ACCEPT /tmp/{name}.log; do \
             n=$((n - 1)); [ $n -gt 0 ] || {{ cat /tmp/{name}.log; exit 1; }}; usleep 50000; done"
        ))?;
    }
    let trusting = image(ctx, "trusting.img", &[("tls/trust", &right.cert)])?;
    let other = image(ctx, "other.img", &[("tls/trust", &wrong.cert)])?;
    let get = |kernel: &PathBuf, words: &str, end: &str| {
        let guest = start(&dom0, "fetch", kernel.clone(), words)?;
        let said = ctx.expect(&guest, end)?;
        ctx.end(&guest, End::PowerOff)?;
        dom0.destroy("fetch")?;
        Ok::<_, anyhow::Error>(said)
    };
    get(
        &trusting,
        "url=https://10.0.0.1/page.txt",
        "FAILURE: https://10.0.0.1/page.txt: nobody has told what time",
    )?;
    dom0.sh(NOW)?;
    let said = get(&trusting, "url=https://10.0.0.1/page.txt show", "SUCCESS")?;
    let sum = dom0.sh("sha256sum /tmp/www/page.txt")?;
    let sum = sum.split(' ').next().unwrap_or_default();
    let line = format!("https://10.0.0.1/page.txt: 200 OK, {} bytes, SHA-256 {sum}", page.len());
    ensure!(said.replace('\r', "").contains(&page), "the page is not shown as it is");
    ensure!(said.contains(&line), "{line:?} is missing");
    get(&other, "url=https://10.0.0.1/page.txt", "nobody we trust vouches for the peer's certificate")?;
    get(&other, "url=https://10.0.0.1:444/page.txt", "the peer's certificate is for another name")?;
    Ok(())
}

/// Catches: a card that is not shown as clients want it, or not brought to the registry.
fn badge(ctx: &Context<'_>) -> Result<()> {
    let dom0 = ctx.dom0(Spot::XL)?;
    with_tools(ctx, &dom0, &["curl", "openssl"])?;
    dom0.sh(NOW)?;
    let own = certificate(ctx, "own", "DNS:castle.example")?;
    let registry = certificate(ctx, "registry", "IP:10.0.0.1")?;
    own.push(&dom0)?;
    registry.push(&dom0)?;
    // It answers each the same, and keeps what they say.
    dom0.sh(
        "(printf 'HTTP/1.1 201 Created\\r\\nContent-Length: 0\\r\\n\\r\\n'; sleep 1000) | setsid /tools/openssl s_server \
         -quiet -accept 8443 -cert /tmp/registry.pem -key /tmp/registry-key.pem >/tmp/registry 2>&1 & \
         n=200; until netstat -ltn | grep -q :8443; do n=$((n - 1)); [ $n -gt 0 ] || exit 1; usleep 50000; done",
    )?;
    let members = [("tls/cert", &own.cert), ("tls/key", &own.key), ("tls/trust", &registry.cert)];
    let kernel = image(ctx, "badge.img", &members)?;
    let words = "name=castle url=https://castle.example/ listen=tcp://*:80 listen=tls://*:443 \
                 registry=https://10.0.0.1:8443/add?by=castle";
    let guest = start(&dom0, "badge", kernel, words)?;
    ctx.expect(&guest, "badge of castle at tcp://*:80 tls://*:443")?;
    ctx.expect(&guest, "the registry answers 201")?;
    let posted = dom0.sh("cat /tmp/registry")?;
    must_say(&posted, "POST /add?by=castle HTTP/1.1")?;
    must_say(&posted, "{\"name\":\"castle\",\"build\":\"badge ")?;
    let curl = |options: &str, url: &str| {
        dom0.sh(&format!(
            "/tools/curl -sS --max-time 60 --cacert /tmp/own.pem --resolve '*:443:10.0.0.{NUMBER}' {options} '{url}' 2>&1"
        ))
    };
    let place = format!("http://10.0.0.{NUMBER}/.well-known/unikernel");
    must_say(&curl("", &place)?, "name    castle\n")?;
    let card = curl("-H 'Accept: application/json'", "https://castle.example/.well-known/unikernel")?;
    let card: serde_json::Value = serde_json::from_str(&card).with_context(|| format!("in {card}"))?;
    ensure!(card["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 8 << 20), "the card is {card}");
    ensure!(card["boot_us"].as_u64().is_some_and(|us| us > 0), "the card is {card}");
    must_say(&curl("-L", "https://castle.example/.well-known/unikernel.svg")?, "<title>castle: up ")?;
    guest.console.send("\r")?;
    ctx.expect(&guest, "url     https://castle.example/")?;
    dom0.destroy("badge")
}

/// Those that can be asked for.
fn files(ctx: &Context<'_>) -> Result<Vec<Entry>> {
    let files = read(&ctx.lab.workspace().join(PAGES))?.into_iter();
    Ok(files.filter(|file| file.path != REDIRECTS && file.path != HEADERS).collect())
}

/// The terminator, and those behind it.
struct Front<'a> {
    ctx: &'a Context<'a>,
    dom0: &'a Dom0,
    guest: Guest,
    site: PathBuf,
}

/// Catches: pages that come otherwise through TLS and a vchan, one or several at a time; a certificate that is not replaced; and
/// a domain inside that is not found again when it is made anew.
fn terminator(ctx: &Context<'_>) -> Result<()> {
    let dom0 = anybody(ctx)?;
    with_tools(ctx, &dom0, &["curl"])?;
    let [one, other] =
        [certificate(ctx, "one", "DNS:castle.example")?, certificate(ctx, "other", "DNS:castle.example")?];
    one.push(&dom0)?;
    other.push(&dom0)?;
    let mut wish = SiteWish::new(ctx.lab, "castle", &ctx.lab.workspace().join(PAGES))?;
    wish.out = folder(ctx).join("made");
    let site = ctx.lab.site(&wish, &Progress::quiet())?.image;
    let kernel = image(ctx, "front.img", &[("tls/cert", &one.cert), ("tls/key", &one.key)])?;
    let words = "listen=tls://*:443 to=vchan://web/web?streams=4";
    let guest = start(&dom0, "front", kernel, words)?;
    let front = Front { ctx, dom0: &dom0, guest, site };
    let web = front.inside()?;
    ctx.expect(&front.guest, "carrying from tls://*:443 to vchan://web/web?streams=4")?;
    front.all_pages("one")?;

    // Somebody else from the next connection on.
    let node = format!("/local/domain/{}/data/tls/castle", front.guest.domain);
    let read = |path: &PathBuf| fs::read_to_string(path).context("reading a certificate");
    // Both in one transaction. What begins with a dash would be taken for an option.
    dom0.sh(&format!(
        "xenstore-write -- {node}/cert '{}' {node}/key '{}'",
        read(&other.cert)?,
        read(&other.key)?
    ))?;
    ctx.expect(&front.guest, "certificates from now on")?;
    for (trusted, wanted) in [("other", 0), ("one", 60)] {
        let (code, said) = front.curl(trusted, "--retry 0 -o /dev/null", "/")?;
        ensure!(code == wanted, "believing {trusted}, curl ends with {code}: {said}");
    }

    dom0.destroy("web")?;
    ensure!(front.inside()?.domain != web.domain, "domains are numbered otherwise");
    front.all_pages("other")?;
    front.guest.console.send("\r")?;
    let said = ctx.expect(&front.guest, "bytes of heap")?;
    must_say(&said, "carried, ")?;
    dom0.destroy("front")?;
    dom0.destroy("web")
}

impl Front<'_> {
    /// A website that only the terminator can reach; both are told of each other.
    fn inside(&self) -> Result<Guest> {
        let args = "listen=vchan://front/web?streams=4 log=off".to_owned();
        let guest =
            self.dom0.create(&XlDomU { args, ..XlDomU::new("web", self.site.clone(), MEMORY_MIB) })?;
        for (of, name, number) in [(&guest, "front", self.guest.domain), (&self.guest, "web", guest.domain)] {
            let node = format!("/local/domain/{}/data/peers/{name}", of.domain);
            self.dom0.store_write(&node, &number.to_string())?;
        }
        Ok(guest)
    }

    /// What curl ends with and says, believing one of the certificates.
    fn curl(&self, trusted: &str, options: &str, path: &str) -> Result<(i32, String)> {
        let output = self.dom0.run(&format!("{}'{path}' 2>&1", curl(trusted, options)), self.ctx.left())?;
        Ok((output.code, output.text()))
    }

    /// Gets every page, all at the same time.
    fn all_pages(&self, trusted: &str) -> Result<()> {
        let files = files(self.ctx)?;
        let mut script = String::from("rm -rf /tmp/got; mkdir /tmp/got\n");
        for (number, file) in files.iter().enumerate() {
            let options = format!("-o /tmp/got/{number} -w '%{{http_code}} '");
            writeln!(script, "{}'{}' 2>&1 &", curl(trusted, &options), Escaped(&file.path))?;
        }
        script.push_str("wait");
        let said = self.dom0.run(&script, self.ctx.left())?.text();
        ensure!(said == "200 ".repeat(files.len()), "curl says {said}");
        for (number, file) in files.iter().enumerate() {
            let got = self.dom0.pull(&format!("/tmp/got/{number}"))?;
            ensure!(got == file.bytes, "{} came with other bytes", file.path);
        }
        Ok(())
    }
}

/// The command up to the path.
fn curl(trusted: &str, options: &str) -> String {
    format!(
        "/tools/curl -sS --max-time 100 --retry 20 --retry-delay 1 --retry-all-errors --cacert /tmp/{trusted}.pem \
         --resolve '*:443:10.0.0.{NUMBER}' {options} https://castle.example"
    )
}
