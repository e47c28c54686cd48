//! `xtask bench https`: what TLS costs, beside nginx with OpenSSL on a Linux guest that has the same pages and the same
//! certificate, on the same bridge in the same run.
//!
//! Debian's curl in dom0 is the client of both, and so its instructions are in no figure but that of the whole machine.

use anyhow::{Result, ensure};
use clap::Args;
use fata_lab::{Certificate, Counts, Cpu, Folder, Lab, On, Pages, Progress, VifWish, XlDomU, address};

use super::http::IMAGE;
use super::load::{Common, Load, NUMBER, PATIENCE_MS, TIMEOUT, target};
use super::work::{FIRST_MARK, Guest, IN_ALL, OWN, WITH_XEN, Wish, mark};

/// Measure HTTPS, beside nginx on a Linux guest with the same pages and certificate
#[derive(Args)]
pub(crate) struct Options {
    /// For which CPUs the image is compiled: those of QEMU have AES and SHA instructions, which OpenSSL uses
    #[arg(long, default_value = "crypto")]
    cpu: Cpu,
    /// The cipher suite of TLS 1.3
    #[arg(long, default_value = "TLS_AES_128_GCM_SHA256")]
    suite: String,
    #[command(flatten)]
    common: Common,
}

/// What curl is asked for, and how many requests that is.
struct Job {
    name: &'static str,
    options: &'static str,
    page: &'static str,
    count: u64,
}

const JOBS: [Job; 4] = [
    Job { name: "612 bytes, 1 connection", options: "", page: "index.html", count: 400 },
    Job {
        name: "612 bytes, a full handshake each",
        options: "--no-sessionid -H 'Connection: close'",
        page: "index.html",
        count: 40,
    },
    Job {
        name: "612 bytes, a resumed handshake each",
        options: "-H 'Connection: close'",
        page: "index.html",
        count: 80,
    },
    Job { name: "1 MiB, 1 connection", options: "", page: "1m.bin", count: 8 },
];

/// What the image is to do with.
const MEMORY_MIB: u32 = 16;
/// curl and its libraries are in there too.
const DOM0_MIB: u32 = 768;

pub(crate) fn run(options: &Options) -> Result<()> {
    let lab = Lab::open()?;
    let (ui, pages) = (Progress::new(), Pages::new());
    let (folder, secret) = (Folder::take(&lab, "bench-https-pages")?, Folder::take(&lab, "bench-https-tls")?);
    pages.write(&folder.path)?;
    let certificate = Certificate::make(&lab.tools(On::Host, &ui)?, &secret.path, "bench.example")?;
    let tools = lab.tools(On::Dom0, &ui)?;
    let wish = Wish {
        image: IMAGE,
        pages: Some(&folder.path),
        certificate: Some(&certificate),
        cpu: Some(options.cpu),
        memory_mib: Some(MEMORY_MIB),
        dom0_mib: Some(DOM0_MIB),
        more_of_linux: &pages.nginx(&tools, Some(&certificate))?,
        ..Wish::default()
    };
    let unit = format!(
        "a page, over TLS 1.3 with {}, ECDSA P-256, compiled for CPUs: {}",
        options.suite, options.cpu
    );
    let load = Load::new(&lab, &options.common, &wish, &unit)?;
    load.shop.dom0.push_tools(&tools, &["curl"])?;
    load.shop.dom0.sh(&format!("arp -s {} {}", target(), VifWish::new(NUMBER).mac()))?;
    let mut run = Run { load, suite: &options.suite };
    for guest in run.load.guests() {
        run.jobs(guest)?;
    }
    run.load.finish("Instructions for a page over TLS, nginx on Linux = 100 %")
}

struct Run<'a> {
    load: Load<'a>,
    suite: &'a str,
}

impl Run<'_> {
    fn jobs(&mut self, guest: Guest) -> Result<()> {
        let step = self.load.ui.step(&format!("{guest:?}"));
        step.busy("at work");
        let domu = self.domu(guest);
        self.load.shop.dom0.create_after(&domu, &mark(1))?;
        // Both serve without TLS too, if only to send clients there; nginx may be there a little earlier.
        self.load.peer(&format!("await {} {PATIENCE_MS}", target()))?;
        self.load.shop.dom0.sh("sleep 5")?;
        let mut number = FIRST_MARK;
        let jobs: Vec<_> = JOBS.iter().filter(|job| job.name.contains(&self.load.common.filter)).collect();
        for round in 0..=self.load.common.repeat {
            for job in &jobs {
                self.curl(job, number)?;
                let span = Counts::of(&self.load.shop.dom0.folder)?.span_of_marks(number, number + 1);
                let span = span.ok_or_else(|| anyhow::anyhow!("{} was not counted", job.name))?;
                number += 2;
                // Once more than is counted.
                if round > 0 {
                    for (unit, sample) in [(OWN, span.own), (WITH_XEN, span.total()), (IN_ALL, span.all)] {
                        self.load.report.add(guest, job.name, unit, None, sample / job.count);
                    }
                }
            }
        }
        self.load.shop.dom0.destroy(&domu.name)?;
        step.done("measured");
        Ok(())
    }

    /// Has all pages of a job fetched between two marks, and looks whether they came.
    fn curl(&self, job: &Job, number: u32) -> Result<()> {
        let Job { options, page, count, name } = job;
        let script = format!(
            "{}; /tools/curl -sk --tls13-ciphers {} {options} --resolve bench.example:443:{} -o /dev/null \
             -w '%{{http_code}}\\n' 'https://bench.example/{page}?[1-{count}]' >/tmp/codes; code=$?; {}; \
             sort /tmp/codes | uniq -c; exit $code",
            mark(number),
            self.suite,
            target(),
            mark(number + 1),
        );
        let output = self.load.shop.dom0.run(&script, TIMEOUT)?;
        let text = output.text();
        ensure!(
            output.code == 0 && text.split_whitespace().eq([count.to_string().as_str(), "200"]),
            "{name}: curl ends with {} and these codes: {text}",
            output.code
        );
        Ok(())
    }

    fn domu(&self, guest: Guest) -> XlDomU {
        let words = format!("{} {}", address(NUMBER), self.load.common.args);
        XlDomU { vifs: vec![VifWish::new(NUMBER).spec()], ..self.load.shop.web_server(guest, words.trim()) }
    }
}
