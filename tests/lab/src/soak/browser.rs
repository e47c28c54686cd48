//! The website as people see it: pages that Jekyll made, over HTTPS, in a browser, and what they have to look like.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::browser::Browser;
use crate::host::{Dom0, XlDomU};
use crate::lab::Lab;
use crate::machine::{Config, Folder};
use crate::net::{Forward, VifWish};
use crate::picture::Picture;
use crate::progress::Progress;
use crate::site::{Certificate, SiteWish};
use crate::soak::{Effort, Soaked};
use crate::tools::{On, Tools};

const PAGES: &str = "tests/lab/pages/castle";
/// What they looked like.
const GOLDEN: &str = "tests/golden/website";
const HOST: &str = "castle.example";
/// Pages, with names for their pictures.
const SHOWN: [(&str, &str); 4] =
    [("home", "/"), ("about", "/about/"), ("post", "/2026/a-castle-in-the-air"), ("nowhere", "/not/there")];
/// Tiles of a thousand that may look different.
const TOLERATED: u64 = 20;
const CHANGED: u64 = 1_795_600_000;
const PATIENCE: Duration = Duration::from_secs(60);
/// The last byte of the card's hardware address.
const VIF: u8 = 2;

/// Loads the pages again and again.
pub fn soak(lab: &Lab, effort: Effort, tell: &dyn Fn(u64), ui: &Progress) -> Result<Soaked> {
    let name = "soak/website-browser";
    let folder = Folder::take(lab, &format!("{name}-pictures"))?;
    let browser = lab.browser(ui)?;
    let tools = lab.tools(On::Host, ui)?;
    let site = lab.dir().join("sites/browser");
    let certificate = Certificate::make(&tools, &site, HOST)?;
    let mut wish = SiteWish::new(lab, "castle", &lab.workspace().join(PAGES))?;
    (wish.out, wish.changed) = (site.join("made"), Some(CHANGED));
    wish.tls = Some((certificate.cert.clone(), certificate.key.clone()));
    let made = lab.site(&wish, ui)?;
    let config = Config {
        name: name.to_owned(),
        timeout: effort.time.unwrap_or_default() + Duration::from_secs(24 * 3600),
        ..Config::default()
    };
    let dom0 = Dom0::start(lab, &config, ui)?;
    let domu = XlDomU {
        vifs: vec![VifWish::outside(VIF).spec()],
        ..XlDomU::new("castle", made.image, made.memory_mib)
    };
    let guest = dom0.create(&domu)?;
    guest.console.expect("website at ", PATIENCE)?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    dom0.forward(format!("{port}:443").parse::<Forward>().map_err(anyhow::Error::msg)?)?;
    let seen = Seen { lab, browser, folder: &folder, port, key: certificate.key_hash(&tools)? };
    let began = Instant::now();
    let result = seen.answers(&tools).and_then(|()| {
        let (mut rounds, mut worst) = (0, 0);
        loop {
            for (name, path) in SHOWN {
                worst = seen.page(name, path)?.max(worst);
            }
            rounds += 1;
            tell(rounds);
            let late = effort.time.is_some_and(|time| began.elapsed() >= time);
            if late || effort.count.is_some_and(|count| rounds >= count) {
                return Ok(vec![("pages", rounds * SHOWN.len() as u64), ("worst_of_1000", worst)]);
            }
        }
    });
    Ok(Soaked { result, folder: folder.path.clone(), seed: 0 })
}

struct Seen<'a> {
    lab: &'a Lab,
    browser: Browser,
    folder: &'a Folder,
    port: u16,
    /// Of the certificate's key.
    key: String,
}

impl Seen<'_> {
    /// Waits until there is an address to forward to.
    fn answers(&self, tools: &Tools) -> Result<()> {
        let url = format!("https://127.0.0.1:{}/", self.port);
        let mut curl = tools.command("curl")?;
        curl.args(["-skf", "-o", "/dev/null", "--retry", "20", "--retry-all-errors", "--max-time", "5"]);
        ensure!(curl.args(["--retry-delay", "1"]).arg(url).status()?.success(), "nobody answers");
        Ok(())
    }

    /// Loads a page; gives how many tiles in a thousand look different from what they should.
    fn page(&self, name: &str, path: &str) -> Result<u64> {
        let words = [
            format!("--host-resolver-rules=MAP {HOST} 127.0.0.1:{}", self.port),
            // This certificate, and no other.
            format!("--ignore-certificate-errors-spki-list={}", self.key),
        ];
        let png = self.browser.picture(&format!("https://{HOST}{path}"), &words, &self.folder.path)?;
        fs::write(self.folder.file(&format!("{name}.png")), &png)?;
        let golden = self.lab.workspace().join(GOLDEN).join(format!("{name}.png"));
        if std::env::var("FATA_GOLDEN").is_ok_and(|value| value == "write") {
            fs::create_dir_all(self.lab.workspace().join(GOLDEN))?;
            fs::write(&golden, &png)?;
        }
        let should = fs::read(&golden).with_context(|| format!("reading {}", golden.display()))?;
        let different = Picture::read(&png)?.difference(&Picture::read(&should)?);
        ensure!(different <= TOLERATED, "{different} of 1000 tiles of {path} look different: see {name}.png");
        Ok(different)
    }
}
