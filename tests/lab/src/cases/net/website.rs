//! The image `website`, with pages as they are and asked by the program that everybody asks with.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use fata_site::escape::Escaped;
use fata_site::pack::{Entry, HEADERS, REDIRECTS, read};

use super::super::{Case, Context, Place, Spot};
use super::case_with;
use crate::disk::{Contents, DiskWish};
use crate::dom0less::DomU;
use crate::guest::Guest;
use crate::network::{Network, SUBJECT};
use crate::progress::Progress;
use crate::site::{Certificate, MadeSite, SiteWish};
use crate::tools::On;

const IMAGE: &str = "website";
/// What Jekyll made (tests/lab/pages/README.md).
const PAGES: &str = "tests/lab/pages/castle";
/// When they were changed, as far as clients are told.
const CHANGED: u64 = 1_795_600_000;
const LAST_MODIFIED: &str = "Last-Modified: Wed, 25 Nov 2026 09:46:40 GMT";
/// Connections that ask for nothing.
const IDLE: u32 = 1000;
/// A second address for those, which is where the lab's program for Linux goes.
const IDLE_ADDRESS: &str = "tcp://*:5000";

pub(super) fn add(cases: &mut Vec<Case>) {
    type Run = fn(&Web<'_>) -> Result<()>;
    for (name, run) in [
        ("website-pages", pages as Run),
        ("website-talks", talks),
        ("website-disk", disk),
        ("website-redirects", redirects),
        ("website-https", https),
        ("website-many", many),
    ] {
        cases.push(case_with(IMAGE, name, 300, move |ctx, network| {
            let tools = ctx.lab.tools(On::Dom0, &Progress::quiet())?;
            network.dom0.push_tools(&tools, &["curl", "socat", "wrk"])?;
            run(&Web { ctx, network })
        }));
    }
    let case = Case::bare("website-same-bytes", same_bytes);
    cases.push(Case { image: IMAGE, ..case });
    for place in [Place::Dom0less, Place::Xl] {
        let spot = Spot { place, ..Spot::XL };
        let case = Case::new(spot, "website-payload", move |ctx| payload(ctx, spot));
        cases.push(Case { image: IMAGE, ..case });
    }
}

/// Catches: files that differ, though the pages do not, by where they lie, when they were written, or in which order.
fn same_bytes(ctx: &Context<'_>) -> Result<()> {
    let pages = read(&ctx.lab.workspace().join(PAGES))?;
    let mut made = Vec::new();
    for (place, disk) in [("here", false), ("elsewhere/and/longer", false), ("here", true), ("there", true)] {
        let copy = folder(ctx).join(place).join("pages");
        // The last first, and written again each time.
        for file in pages.iter().rev() {
            let path = copy.join(&file.path[1..]);
            std::fs::create_dir_all(path.parent().context("a page lies in a directory")?)?;
            std::fs::write(path, &file.bytes)?;
        }
        let mut wish = SiteWish::new(ctx.lab, "castle", &copy)?;
        (wish.out, wish.disk, wish.changed) = (folder(ctx).join(place).join("made"), disk, Some(CHANGED));
        let site = ctx.lab.site(&wish, &Progress::quiet())?;
        let files = [Some(site.image), site.disk, Some(site.xl), Some(site.dom0less)];
        let bytes = files.into_iter().flatten().map(std::fs::read).collect::<Result<Vec<_>, _>>()?;
        made.push(bytes);
    }
    ensure!(made[0] == made[1], "the image, or what is said of it, is another in another directory");
    ensure!(made[2] == made[3], "the disk, or what is said of it, is another in another directory");
    Ok(())
}

/// The pages in an image, or on a disk.
fn make(ctx: &Context<'_>, disk: bool) -> Result<MadeSite> {
    let mut wish = SiteWish::new(ctx.lab, "castle", &ctx.lab.workspace().join(PAGES))?;
    (wish.out, wish.disk, wish.changed) = (folder(ctx), disk, Some(CHANGED));
    ctx.lab.site(&wish, &Progress::quiet())
}

/// Where what is made for a case goes.
fn folder(ctx: &Context<'_>) -> PathBuf {
    ctx.lab.dir().join("sites").join(ctx.name.replace('/', "-"))
}

/// Those that can be asked for.
fn files(ctx: &Context<'_>) -> Result<Vec<Entry>> {
    let files = read(&ctx.lab.workspace().join(PAGES))?.into_iter();
    Ok(files.filter(|file| file.path != REDIRECTS && file.path != HEADERS).collect())
}

struct Web<'a> {
    ctx: &'a Context<'a>,
    network: &'a Network<'a>,
}

impl Web<'_> {
    /// Starts the pages behind an image, and waits until they are served.
    fn start(&self, words: &str) -> Result<Guest> {
        let made = make(self.ctx, false)?;
        let mut domu = self.network.subject(words);
        (domu.kernel, domu.memory_mib) = (made.image, made.memory_mib);
        let guest = self.network.dom0.create(&domu)?;
        self.ctx.expect(&guest, &format!("{} files behind the image", files(self.ctx)?.len()))?;
        self.ready(guest)
    }

    fn ready(&self, guest: Guest) -> Result<Guest> {
        self.ctx.expect(&guest, "website at ")?;
        self.network.await_answer(SUBJECT)?;
        Ok(guest)
    }

    /// What curl says; paths are put behind the guest's address.
    fn curl(&self, options: &str, paths: &[&str]) -> Result<String> {
        let urls: Vec<_> = paths.iter().map(|path| format!("'http://10.0.0.{SUBJECT}{path}'")).collect();
        self.network.dom0.sh(&format!("/tools/curl -sS --max-time 30 {options} {} 2>&1", urls.join(" ")))
    }

    /// The head of an answer. Its body is in a file of dom0.
    fn head(&self, options: &str, path: &str) -> Result<String> {
        let head = self.curl(&format!("-D - -o {BODY} {options}"), &[path])?;
        Ok(head.replace('\r', ""))
    }

    fn body(&self) -> Result<Vec<u8>> {
        self.network.dom0.pull(BODY)
    }

    /// Fails unless the head of the answer has these lines.
    fn says(&self, options: &str, path: &str, lines: &[&str]) -> Result<()> {
        let head = self.head(options, path)?;
        for line in lines {
            ensure!(
                head.lines().any(|said| said == *line),
                "curl {options} {path}: {line:?} is missing in:\n{head}"
            );
        }
        Ok(())
    }

    /// Says this over one connection, and gives all that comes back.
    fn raw(&self, bytes: &str) -> Result<String> {
        self.network.dom0.push("/tmp/said", bytes.as_bytes())?;
        let said =
            self.network.dom0.sh(&format!("/tools/socat -t 10 - TCP:10.0.0.{SUBJECT}:80 </tmp/said 2>&1"))?;
        Ok(said.replace('\r', ""))
    }

    /// Has wrk ask for one page for two seconds, on so many connections at once. Nothing may go wrong; how many it gets is said.
    /// The address has a port: dom0 has no list of services.
    fn wrk(&self, connections: u32, url: &str) -> Result<u64> {
        let said = self
            .network
            .dom0
            .sh(&format!("/tools/wrk -t 1 -c {connections} -d 2s --timeout 20s '{url}' 2>&1"))?;
        let wrong = ["Socket errors", "Non-2xx", "unable"].into_iter().find(|word| said.contains(word));
        ensure!(wrong.is_none(), "wrk is not content: {said}");
        let asked = said.lines().find_map(|line| line.trim().split_once(" requests in "));
        let asked = asked.with_context(|| format!("wrk says {said:?}"))?.0.parse()?;
        ensure!(asked > u64::from(connections), "wrk got {asked} pages in two seconds: {said}");
        Ok(asked)
    }

    /// A number that the guest says before a word, when it is asked how it is.
    fn number(&self, guest: &Guest, word: &str) -> Result<u64> {
        let text = guest.console.ask("", "bytes of heap", self.ctx.left())?;
        let before = text.rsplit_once(word).map_or("", |(before, _)| before);
        let number = before.trim_end().rsplit([' ', ',', '\n']).next().and_then(|number| number.parse().ok());
        number.with_context(|| format!("no number before {word:?} in {text:?}"))
    }
}

const BODY: &str = "/tmp/body";

/// Catches: a page that does not come as it is in the directory, whole, compressed or with another type.
fn pages(web: &Web<'_>) -> Result<()> {
    let guest = web.start("")?;
    for file in files(web.ctx)? {
        let path = Escaped(&file.path).to_string();
        let kind = format!("Content-Type: {}", file.mime());
        let length = format!("Content-Length: {}", file.bytes.len());
        let lines = ["HTTP/1.1 200 OK", &kind, &length, LAST_MODIFIED, "X-Content-Type-Options: nosniff"];
        web.says("", &path, &lines)?;
        ensure!(web.body()? == file.bytes, "{path} came with other bytes");
        web.says("--compressed", &path, &["HTTP/1.1 200 OK", &kind])?;
        ensure!(web.body()? == file.bytes, "{path} came compressed with other bytes");
    }
    for (accepted, line) in [("gzip", "Content-Encoding: gzip"), ("gzip, br", "Content-Encoding: br")] {
        let asks = format!("-H 'Accept-Encoding: {accepted}'");
        web.says(
            &asks,
            "/assets/main.css",
            &[line, "Vary: Accept-Encoding", "Cache-Control: public, max-age=86400"],
        )?;
    }
    // One line of the log, as others have it.
    guest.console.send("\r")?;
    web.ctx.expect(&guest, "10.0.0.1 - - [")?;
    web.ctx.expect(&guest, "\"GET /404.html HTTP/1.1\" 200 ")?;
    web.network.remove("subject", &guest)
}

/// Catches: clients of other kinds that are not understood, or not answered as RFC 9110 and 9112 say.
fn talks(web: &Web<'_>) -> Result<()> {
    let guest = web.start("log=off")?;
    web.says("-0", "/", &["HTTP/1.1 200 OK", "Connection: close"])?;
    web.says("-0 -H 'Connection: keep-alive'", "/", &["HTTP/1.1 200 OK", "Connection: keep-alive"])?;
    web.says("-I", "/about/", &["HTTP/1.1 200 OK", "Accept-Ranges: bytes"])?;
    web.says("-X POST -d x=y", "/", &["HTTP/1.1 405 Method Not Allowed", "Allow: GET, HEAD"])?;
    web.says("", "/2026/none", &["HTTP/1.1 404 Not Found", "Content-Type: text/html; charset=utf-8"])?;
    ensure!(String::from_utf8_lossy(&web.body()?).contains("It was a mirage."), "404 has another page");
    // As Jekyll's own server has it: without .html, and directories with a slash.
    web.says("", "/2026/a-castle-in-the-air", &["HTTP/1.1 200 OK"])?;
    web.says("", "/about", &["HTTP/1.1 301 Moved Permanently", "Location: /about/"])?;
    web.says("", "/blog/2026/x?y=z", &["HTTP/1.1 301 Moved Permanently", "Location: /2026/x?y=z"])?;
    let followed =
        web.curl("-L -o /dev/null -w '%{http_code} %{num_redirects} %{url_effective}'", &["/feed"])?;
    ensure!(followed.starts_with("200 1 http://10.0.0.2/feed.xml"), "curl says {followed}");

    let css = web.ctx.lab.workspace().join(PAGES).join("assets/main.css");
    let css = std::fs::read(css)?;
    for (range, line, wanted) in [
        ("0-9", format!("Content-Range: bytes 0-9/{}", css.len()), &css[..10]),
        ("100-", format!("Content-Range: bytes 100-{}/{}", css.len() - 1, css.len()), &css[100..]),
        (
            "-7",
            format!("Content-Range: bytes {}-{}/{}", css.len() - 7, css.len() - 1, css.len()),
            &css[css.len() - 7..],
        ),
    ] {
        web.says(&format!("-r {range}"), "/assets/main.css", &["HTTP/1.1 206 Partial Content", &line])?;
        ensure!(web.body()? == wanted, "bytes {range} are others");
    }
    web.says("-r 0-1,5-6", "/assets/main.css", &["HTTP/1.1 206 Partial Content"])?;
    ensure!(web.body()?.starts_with(b"\r\n--"), "several ranges come in one piece");
    web.says("-r 999999-", "/assets/main.css", &["HTTP/1.1 416 Range Not Satisfiable"])?;

    let dom0 = web.network.dom0;
    web.head("--etag-save /tmp/etag", "/")?;
    let tag = dom0.sh("cat /tmp/etag")?.trim().to_owned();
    ensure!(tag.starts_with('"') && tag.len() == 24, "the tag is {tag}");
    web.says("--etag-compare /tmp/etag", "/", &["HTTP/1.1 304 Not Modified", &format!("ETag: {tag}")])?;
    web.says("-z 'Wed, 25 Nov 2026 09:46:40 GMT'", "/", &["HTTP/1.1 304 Not Modified"])?;
    web.says("-z 'Wed, 25 Nov 2026 09:46:39 GMT'", "/", &["HTTP/1.1 200 OK"])?;

    // Many over one connection, one after the other and all at once.
    let reused =
        web.curl("-w '%{num_connects}' -o /dev/null -o /dev/null -o /dev/null", &["/", "/about/", "/"])?;
    ensure!(reused == "100", "curl opened connections: {reused}");
    let last = "GET /about/ HTTP/1.1\r\nHost: castle\r\nConnection: close\r\n\r\n";
    let said = web.raw(&("GET / HTTP/1.1\r\nHost: castle\r\n\r\n".repeat(49) + last))?;
    let answers = said.matches("HTTP/1.1 200 OK").count();
    ensure!(
        answers == 50 && said.trim_end().ends_with("</html>"),
        "of 50 requests at once, {answers} were answered"
    );
    for (bad, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"),
        ("GET /%2e%2e%2f HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
    ] {
        let said = web.raw(bad)?;
        ensure!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{bad:?} is answered {said:?}");
    }
    ensure!(web.number(&guest, "failed")? == 0, "the server takes the blame for something");
    web.network.remove("subject", &guest)
}

/// Catches: pages on a disk that are not found among other disks, or that come otherwise than those behind an image.
fn disk(web: &Web<'_>) -> Result<()> {
    let made = make(web.ctx, true)?;
    let contents = std::fs::read(made.disk.context("there is no disk")?)?;
    let (bytes, contents) = (contents.len() as u64, Contents::Bytes(contents));
    let other = web.network.dom0.make_disk(&DiskWish::new("other", 1))?;
    let pages = web.network.dom0.make_disk(&DiskWish { contents, bytes, ..DiskWish::new("pages", 0) })?;
    let mut domu = web.network.subject("log=off");
    (domu.kernel, domu.memory_mib) = (made.image, made.memory_mib);
    domu.disks = vec![other.spec("xvda"), pages.spec("xvdb")];
    let guest = web.network.dom0.create(&domu)?;
    web.ctx.expect(&guest, &format!("{} files on xvdb", files(web.ctx)?.len()))?;
    let guest = web.ready(guest)?;
    for file in files(web.ctx)? {
        web.says("--compressed", &Escaped(&file.path).to_string(), &["HTTP/1.1 200 OK"])?;
        ensure!(web.body()? == file.bytes, "{} came with other bytes", file.path);
    }
    web.network.remove("subject", &guest)?;
    web.network.dom0.remove_disk(&pages)?;
    web.network.dom0.remove_disk(&other)
}

/// Catches: clients that are sent elsewhere than the command line says, or served all the same.
fn redirects(web: &Web<'_>) -> Result<()> {
    let guest = web.start("redirect=https://castle.example/new/ log=off")?;
    let moved = "HTTP/1.1 301 Moved Permanently";
    web.says("", "/about/?x=y", &[moved, "Location: https://castle.example/new/about/?x=y"])?;
    web.says("-X PUT -d x", "/a", &["HTTP/1.1 308 Permanent Redirect"])?;
    web.network.remove("subject", &guest)?;
    let guest = web.start("to-https log=off")?;
    web.says("-H 'Host: castle.example:80'", "/a?b", &[moved, "Location: https://castle.example/a?b"])?;
    web.says("", "/.well-known/acme-challenge/x", &["HTTP/1.1 404 Not Found"])?;
    web.network.remove("subject", &guest)?;
    // Without pages of anybody's there are those of the image itself.
    let guest = web.network.dom0.create(&web.network.subject("log=off"))?;
    web.ctx.expect(&guest, " files built in")?;
    let guest = web.ready(guest)?;
    web.says("", "/how", &["HTTP/1.1 200 OK"])?;
    web.network.remove("subject", &guest)
}

const CASTLE: &str = "castle.example";

/// Catches: pages that come otherwise with TLS, a certificate that is not the one behind the image, or not the one that took
/// its place, and clients without TLS that are served.
fn https(web: &Web<'_>) -> Result<()> {
    let tools = web.ctx.lab.tools(On::Host, &Progress::quiet())?;
    let Certificate { cert, key } = Certificate::make(&tools, &folder(web.ctx), CASTLE)?;
    let dom0 = web.network.dom0;
    dom0.push("/tmp/ca.pem", &std::fs::read(&cert)?)?;
    let mut wish = SiteWish::new(web.ctx.lab, "castle", &web.ctx.lab.workspace().join(PAGES))?;
    (wish.out, wish.changed, wish.tls) = (folder(web.ctx).join("made"), Some(CHANGED), Some((cert, key)));
    let made = web.ctx.lab.site(&wish, &Progress::quiet())?;
    let mut domu = web.network.subject("");
    (domu.kernel, domu.memory_mib) = (made.image, 16);
    let guest = web.network.dom0.create(&domu)?;
    web.ctx.expect(&guest, "website at tcp://*:80 tls://*:443")?;
    web.network.await_answer(SUBJECT)?;
    let place = format!("Location: https://{CASTLE}/about/");
    web.says(&format!("-H 'Host: {CASTLE}'"), "/about/", &["HTTP/1.1 301 Moved Permanently", &place])?;
    let curl = |options: &str, path: &str| {
        let output = dom0.run(
            &format!(
                "/tools/curl -sS --max-time 30 --cacert /tmp/ca.pem --resolve '*:443:10.0.0.{SUBJECT}' {options} \
                 'https://{path}' 2>&1"
            ),
            web.ctx.left(),
        )?;
        Ok::<_, anyhow::Error>((output.code, output.text()))
    };
    for version in ["--tlsv1.3", "--tls-max 1.2"] {
        for file in files(web.ctx)? {
            let path = Escaped(&file.path).to_string();
            let options = format!("{version} --compressed -o {BODY} -w '%{{http_code}} %{{http_version}}'");
            let (code, said) = curl(&options, &format!("{CASTLE}{path}"))?;
            ensure!(
                (code, said.as_str()) == (0, "200 1.1"),
                "{version} {path}: curl ends with {code}: {said}"
            );
            ensure!(web.body()? == file.bytes, "{path} came with other bytes");
        }
    }
    web.wrk(4, &format!("https://10.0.0.{SUBJECT}:443/about/"))?;
    // Several over one connection.
    let urls = format!("{CASTLE}/ https://{CASTLE}/about/").replace(' ', "' '");
    let (_, reused) = curl("-o /dev/null -o /dev/null -w '%{num_connects}'", &urls)?;
    ensure!(reused == "10", "curl opened connections: {reused}");
    let (code, said) = curl("-o /dev/null", "other.example/")?;
    ensure!(code == 60, "as other.example it is believed: {code}: {said}");
    // Who does not know how to is refused, and the next is served.
    let (code, said) = curl("--tls-max 1.1 -o /dev/null", &format!("{CASTLE}/"))?;
    ensure!(code == 35, "TLS 1.1 ends with {code}: {said}");
    ensure!(web.number(&guest, "without TLS")? >= 1, "nobody was refused");
    // Another certificate, while it serves.
    let other = Certificate::make(&tools, &folder(web.ctx).join("other"), CASTLE)?;
    dom0.push("/tmp/cert.pem", &std::fs::read(&other.cert)?)?;
    dom0.push("/tmp/key.pem", &std::fs::read(&other.key)?)?;
    let nodes = format!("/local/domain/{}/data/tls/castle", guest.domain);
    dom0.sh(&format!(
        "xenstore-write -- {nodes}/cert \"$(cat /tmp/cert.pem)\" {nodes}/key \"$(cat /tmp/key.pem)\""
    ))?;
    let left = std::time::Instant::now() + web.ctx.left();
    while curl("-o /dev/null", &format!("{CASTLE}/"))?.0 != 60 {
        ensure!(std::time::Instant::now() < left, "the certificate is not replaced");
    }
    dom0.sh("cp /tmp/cert.pem /tmp/ca.pem")?;
    let (code, said) = curl("-o /dev/null -w '%{http_code}'", &format!("{CASTLE}/"))?;
    ensure!((code, said.as_str()) == (0, "200"), "with the other certificate curl ends with {code}: {said}");
    web.network.remove("subject", &guest)
}

/// Catches: those who do nothing, or little, in the way of others, and memory that requests leave behind.
fn many(web: &Web<'_>) -> Result<()> {
    let made = make(web.ctx, false)?;
    let words =
        format!("most={} buffer=4096 idle=600 log=off listen=tcp://*:80 listen={IDLE_ADDRESS}", IDLE + 100);
    let mut domu = web.network.subject(&words);
    (domu.kernel, domu.memory_mib) = (made.image, 48);
    let guest = web.ready(web.network.dom0.create(&domu)?)?;
    let dom0 = web.network.dom0;
    // What wrk has asked for has been answered.
    let before = web.number(&guest, "requests")?;
    let asked = web.wrk(16, &format!("http://10.0.0.{SUBJECT}:80/about/"))?;
    ensure!(web.number(&guest, "requests")? >= before + asked, "wrk got more than was asked for");
    let left = web.ctx.left().as_secs();
    dom0.sh(&format!(
        "ulimit -n {}; /tmp/fata-peer idle 10.0.0.{SUBJECT} {IDLE} >/tmp/idle 2>&1 & echo $! >/tmp/idle.pid",
        IDLE + 100
    ))?;
    let said = dom0.sh(&format!(
        "for i in $(seq {left}); do grep -q holding /tmp/idle && break; sleep 1; done; cat /tmp/idle"
    ))?;
    ensure!(said.contains(&format!("holding {IDLE}")), "{said}");
    ensure!(web.number(&guest, "open")? >= u64::from(IDLE), "they are not open");
    // One says a byte a second.
    dom0.sh(&format!(
        "(printf 'GET / HTTP/1.1\\r\\nX: '; for i in $(seq 30); do printf x; sleep 1; done) | \
         /tools/socat -t 10 - TCP:10.0.0.{SUBJECT}:80 >/tmp/slow 2>&1 &"
    ))?;
    let mut heap = Vec::new();
    for _ in 0..3 {
        // Ten connections for five hundred requests each time.
        for _ in 0..10 {
            let codes = web.curl("-o /dev/null -w '%{http_code} '", &["/about/?[1-50]"])?;
            ensure!(codes == "200 ".repeat(50), "curl says {codes}");
        }
        heap.push(web.number(&guest, "bytes of heap")?);
    }
    ensure!(heap[2] <= heap[1] + 8192, "the heap grows: {heap:?}");
    let slow =
        dom0.sh("for i in $(seq 40); do grep -q HTTP /tmp/slow && break; sleep 1; done; cat /tmp/slow")?;
    ensure!(slow.starts_with("HTTP/1.1 408 Request Timeout"), "who is slow is told {slow:?}");
    dom0.sh("kill $(cat /tmp/idle.pid)")?;
    web.network.remove("subject", &guest)
}

/// Catches: a payload that is not found where Xen, or libxl, has loaded it.
fn payload(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    // Longer than a table of pages spans, so that it takes several.
    let folder = folder(ctx);
    let pages = folder.join("pages");
    std::fs::create_dir_all(&pages)?;
    let mut state = 1u32;
    let noise: Vec<u8> = (0..5 << 20)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    std::fs::write(pages.join("noise.bin"), noise)?;
    std::fs::write(pages.join("index.html"), "<h1>noise</h1>")?;
    let mut wish = SiteWish::new(ctx.lab, "noise", &pages)?;
    (wish.out, wish.changed) = (folder.join("made"), Some(CHANGED));
    let made = ctx.lab.site(&wish, &Progress::quiet())?;
    let said = format!(
        "2 files behind the image, {} bytes",
        made.sizes.iter().find(|(what, _)| what == "pages, packed").map_or(0, |(_, bytes)| *bytes)
    );
    match spot.place {
        Place::Dom0less => {
            let domu = DomU::new(made.image, made.memory_mib);
            let machine = ctx.dom0less(&ctx.config(spot), &[domu])?;
            ctx.expect(&machine.guests[0], &said)?;
            // It is a check of the payload: there is no store, hence no card.
            ctx.expect(&machine.guests[0], "FAILURE: this domain has no Xenstore").map(drop)
        }
        Place::Xl => {
            let dom0 = ctx.dom0(spot)?;
            let mut domu = ctx.xl_domu(&super::super::Wish::default());
            (domu.kernel, domu.memory_mib) = (made.image, made.memory_mib);
            let guest = dom0.create(&domu)?;
            ctx.expect(&guest, &said)?;
            dom0.destroy(super::super::GUEST)
        }
    }
}
