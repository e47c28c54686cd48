//! Boots a guest on a machine that counts, as often as asked.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fata_lab::{Config, Counter, Counts, Dom0, Dom0less, DomU, Event, Folder, Gic, Lab, Peer, Progress};

/// Enough for Linux on a busy host; the guests under test take a second.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How long an idle guest is watched, in its own time.
pub(crate) const IDLE_SECONDS: u32 = 10;
/// The name of the domain under xl.
const NAME: &str = "bench";

/// What boots.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) kernel: PathBuf,
    pub(crate) ramdisk: Option<PathBuf>,
    /// Its command line with the given console.
    pub(crate) args: fn(console: &str) -> String,
    /// What it writes when it has nothing more to do.
    pub(crate) ready: &'static str,
    /// The event after which its first WFI counts as idle; without one, the last WFI does.
    up: Option<&'static str>,
    /// Where its main function is, if it has one.
    pub(crate) main: Option<u64>,
    pub(crate) memory_mib: u32,
}

impl Subject {
    pub(crate) fn fata(image: PathBuf, main: u64) -> Self {
        let args = |_: &str| String::new();
        Self {
            kernel: image,
            ramdisk: None,
            args,
            ready: "fata> ",
            up: None,
            main: Some(main),
            memory_mib: 64,
        }
    }

    pub(crate) fn linux(peer: &Peer) -> Self {
        Self {
            kernel: peer.kernel.clone(),
            ramdisk: Some(peer.ramdisk.clone()),
            args: Peer::command_line,
            ready: Peer::GREETING,
            up: Some(Peer::UP),
            main: None,
            memory_mib: 256,
        }
    }

    /// When it was up and idle.
    pub(crate) fn idle<'a>(&self, counts: &'a Counts) -> Option<&'a Event> {
        match self.up {
            Some(event) => counts.wait_after(event),
            None => counts.idle(),
        }
    }

    pub(crate) fn with_memory(&self, memory_mib: u32) -> Self {
        Self { memory_mib, ..self.clone() }
    }
}

/// A boot under xl.
pub(crate) struct XlBoot {
    pub(crate) counts: Counts,
    /// What `xl create` cost dom0, with Xen's work for it.
    pub(crate) create: u64,
    /// How often the idle guest woke in [`IDLE_SECONDS`].
    pub(crate) wakeups: u64,
}

/// Makes machines.
pub(crate) struct Bench<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) ui: &'a Progress,
    pub(crate) counter: Counter,
}

impl Bench<'_> {
    /// Boots without dom0 until the guest is idle.
    pub(crate) fn dom0less(&self, subject: &Subject, gic: Gic) -> Result<Counts> {
        let machine = self.start(subject, self.config(subject, gic, true), (subject.args)("ttyAMA0"))?;
        machine.guests[0].console.expect(subject.ready, TIMEOUT)?;
        settled(subject, &machine.folder)
    }

    /// Boots without dom0 until Linux says its first word, which it needs an option for.
    pub(crate) fn linux_first_byte(&self, linux: &Subject, gic: Gic) -> Result<Event> {
        let args = "earlycon=pl011,0x22000000 console=ttyAMA0".to_owned();
        let machine = self.start(linux, self.config(linux, gic, true), args)?;
        machine.guests[0].console.expect("Booting Linux", TIMEOUT)?;
        let counts = Counts::of(&machine.folder)?;
        counts.first("uart").cloned().context("Linux wrote, but nothing was counted")
    }

    /// Boots without dom0, by the clock of this host, and watches the idle guest.
    pub(crate) fn wakeups(&self, subject: &Subject) -> Result<u64> {
        let machine = self.start(subject, self.config(subject, Gic::V3, false), (subject.args)("ttyAMA0"))?;
        machine.guests[0].console.expect(subject.ready, TIMEOUT)?;
        // What it does right after its last word is not idling.
        thread::sleep(Duration::from_secs(1));
        let before = Counts::of(&machine.folder)?.waits();
        thread::sleep(Duration::from_secs(IDLE_SECONDS.into()));
        Ok(Counts::of(&machine.folder)?.waits() - before)
    }

    /// Whether it comes up in so much memory.
    pub(crate) fn boots_in(&self, subject: &Subject) -> Result<bool> {
        let machine = self.start(subject, self.config(subject, Gic::V3, true), (subject.args)("ttyAMA0"))?;
        Ok(machine.guests[0].console.expect(subject.ready, Duration::from_secs(30)).is_ok())
    }

    /// A host with dom0.
    pub(crate) fn dom0(&self, subject: &Subject, gic: Gic) -> Result<Dom0> {
        Dom0::start(self.lab, &self.config(subject, gic, true), self.ui)
    }

    /// Creates a domain with xl, and watches it until it has been idle for a while.
    pub(crate) fn xl(&self, dom0: &Dom0, subject: &Subject) -> Result<XlBoot> {
        // Nothing else may go on in dom0, and the guest must have settled, before a mark is set.
        let script = format!(
            "sleep 1; {}; {}; sleep 2; {}; sleep {IDLE_SECONDS}; {}",
            mark(1),
            create_and_wait(subject),
            mark(3),
            mark(4)
        );
        self.prepare(dom0, subject)?;
        let output = dom0.run(&script, TIMEOUT)?;
        let counts = Counts::of(&dom0.folder)?;
        dom0.sh(&format!("xl destroy {NAME}"))?;
        let missing = || format!("{}; the counts are in {}", output.text(), dom0.folder.path.display());
        let account = |number| counts.at_mark(number).with_context(missing);
        let dom0s = |number| counts.mark(number).with_context(missing);
        Ok(XlBoot {
            create: dom0s(2)?.total() - dom0s(1)?.total(),
            wakeups: account(4)?.waits - account(3)?.waits,
            counts,
        })
    }

    /// Whether xl makes a domain with so much memory, and it comes up.
    pub(crate) fn boots_under_xl(&self, dom0: &Dom0, subject: &Subject) -> Result<bool> {
        self.prepare(dom0, subject)?;
        let output = dom0.run(&create_and_wait(subject), TIMEOUT)?;
        // Fails when there is none.
        dom0.run(&format!("xl destroy {NAME}"), TIMEOUT)?;
        Ok(output.code == 0)
    }

    fn prepare(&self, dom0: &Dom0, subject: &Subject) -> Result<()> {
        let read =
            |file: &PathBuf| std::fs::read(file).with_context(|| format!("reading {}", file.display()));
        dom0.push("/tmp/kernel", &read(&subject.kernel)?)?;
        let mut config = format!(
            "name = '{NAME}'\nkernel = '/tmp/kernel'\nmemory = {}\nvcpus = 1\ncmdline = '{}'\n",
            subject.memory_mib,
            (subject.args)("hvc0")
        );
        if let Some(ramdisk) = &subject.ramdisk {
            dom0.push("/tmp/ramdisk", &read(ramdisk)?)?;
            config += "ramdisk = '/tmp/ramdisk'\n";
        }
        dom0.push("/tmp/config", config.as_bytes())
    }

    fn config(&self, subject: &Subject, gic: Gic, icount: bool) -> Config {
        let mut config =
            Config { name: "bench-boot".to_owned(), gic, icount, timeout: TIMEOUT, ..Config::default() };
        self.counter.attach(&mut config, subject.main);
        config
    }

    fn start(&self, subject: &Subject, config: Config, bootargs: String) -> Result<Dom0less> {
        let mut domu = DomU::new(subject.kernel.clone(), subject.memory_mib);
        domu.ramdisk.clone_from(&subject.ramdisk);
        domu.bootargs = bootargs;
        Dom0less::boot(self.lab, &config, &[domu], self.ui)
    }
}

/// A command of dom0's shell that sets a mark (tests/lab/plugin/count.c); no such process exists, so it fails.
fn mark(number: u32) -> String {
    format!("kill -0 {} 2>/dev/null", 7_000_000 + number)
}

/// Creates the domain, sets mark 2 and waits until the guest is ready. Fails when it is not in 20 s of its time.
fn create_and_wait(subject: &Subject) -> String {
    let log = format!("/var/log/xen/console/guest-{NAME}.log");
    format!(
        "rm -f {log}; xl create -q -e /tmp/config || exit 1; {}; \
         n=0; until grep -q '{}' {log} 2>/dev/null; do n=$((n + 1)); [ $n -lt 200 ] || exit 1; sleep 0.1; done",
        mark(2),
        subject.ready
    )
}

/// Waits until the guest does nothing more. Virtual time is far ahead of this host's while nothing runs, so two
/// looks that find the same are enough.
fn settled(subject: &Subject, folder: &Folder) -> Result<Counts> {
    let mut before = None;
    for _ in 0..600 {
        let counts = Counts::of(folder)?;
        let now = subject.idle(&counts).cloned();
        if now.is_some() && now == before {
            return Ok(counts);
        }
        before = now;
        thread::sleep(Duration::from_millis(100));
    }
    bail!("the guest does not become idle; the counts are in {}", folder.path.display())
}
