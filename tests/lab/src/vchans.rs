//! Guests with vchans, and libxenvchan in dom0 at their other ends.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::control::Output;
use crate::footprint::Footprint;
use crate::host::{Dom0, XlDomU};

/// The program of tests/peer that speaks libxenvchan, in dom0.
const PEER: &str = "/tmp/fata-vchan-peer";
const MEMORY_MIB: u32 = 16;
/// No guest and no program takes as long for one thing, on however slow a host.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often it is looked whether what a domain held is gone. Xen takes its time to free one.
const LOOKS: u32 = 20;

/// A dom0 whose guests may share with each other, and the lab's program.
pub(crate) struct Vchans<'a> {
    pub(crate) dom0: &'a Dom0,
    image: PathBuf,
    before: Footprint,
    /// The number of the domain that was made last.
    last: Cell<u16>,
}

impl<'a> Vchans<'a> {
    /// `image` is vchan-echo, `peer` the lab's program that speaks libxenvchan.
    pub(crate) fn new(dom0: &'a Dom0, image: PathBuf, peer: &Path) -> Result<Self> {
        let program = std::fs::read(peer).with_context(|| format!("reading {}", peer.display()))?;
        dom0.push(PEER, &program)?;
        dom0.sh(&format!("chmod +x {PEER}"))?;
        let vchans = Self { dom0, image, before: dom0.footprint()?, last: Cell::new(0) };
        vchans.guest("probe", "none")?;
        dom0.destroy("probe")?;
        Ok(vchans)
    }

    /// A guest; gives its number.
    pub(crate) fn guest(&self, name: &str, args: &str) -> Result<u16> {
        let domu = XlDomU { args: args.to_owned(), ..XlDomU::new(name, self.image.clone(), MEMORY_MIB) };
        let domain = self.dom0.create_alone(&domu)?;
        self.last.set(domain);
        Ok(domain)
    }

    /// Two guests that know each other's numbers, the first of which is to be made first.
    pub(crate) fn pair(
        &self,
        [one, two]: [&str; 2],
        args: impl FnOnce([u16; 2]) -> [String; 2],
    ) -> Result<[u16; 2]> {
        let numbers = [self.last.get() + 1, self.last.get() + 2];
        let [args_one, args_two] = args(numbers);
        let made = [self.guest(one, &args_one)?, self.guest(two, &args_two)?];
        ensure!(made == numbers, "domains are numbered otherwise: {made:?} for {numbers:?}");
        Ok(made)
    }

    /// Runs the program in dom0 to its end.
    pub(crate) fn peer(&self, arguments: &str, patience: Duration) -> Result<String> {
        let Output { code, bytes } = self.dom0.run(&format!("{PEER} {arguments}"), patience)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        ensure!(code == 0 && text.contains("SUCCESS"), "{arguments} ended with {code}: {text}");
        Ok(text)
    }

    /// Has it run meanwhile; what it says goes to a file.
    pub(crate) fn start_peer(&self, arguments: &str) -> Result<()> {
        self.dom0.sh(&format!(
            "setsid {PEER} {arguments} </dev/null >/tmp/vchan-peer.log 2>&1 & echo $! >/tmp/vchan-peer.pid"
        ))?;
        Ok(())
    }

    /// Kills it, and the processes it has made.
    pub(crate) fn kill_peer(&self) -> Result<()> {
        self.dom0.sh("kill -9 -- -$(cat /tmp/vchan-peer.pid) 2>/dev/null; true").map(drop)
    }

    /// What it has said so far.
    pub(crate) fn peer_said(&self) -> Result<String> {
        self.dom0.sh("cat /tmp/vchan-peer.log")
    }

    /// Waits until what a guest has said last has this in it, and gives all it said.
    pub(crate) fn rests(&self, name: &str, words: &str) -> Result<String> {
        let log = log(name);
        let output = self.dom0.run(
            &format!(
                "n={}; until tail -n 1 {log} | grep -qF '{words}'; do\n\
                 n=$((n - 1)); [ $n -gt 0 ] || {{ tail -n 20 {log}; exit 1; }}; usleep 20000; done; cat {log}",
                PATIENCE.as_millis() / 20
            ),
            PATIENCE * 4,
        )?;
        ensure!(output.code == 0, "{name} does not come to {words:?}:\n{}", output.text());
        Ok(output.text())
    }

    /// What a guest has said so far.
    pub(crate) fn said(&self, name: &str) -> Result<String> {
        self.dom0.sh(&format!("cat {} 2>/dev/null || true", log(name)))
    }

    /// What a guest that is gone said last.
    pub(crate) fn last_words(&self, name: &str) -> Result<String> {
        self.dom0.sh(&format!("tail -n 1 {} 2>/dev/null || true", log(name)))
    }

    /// Fails unless dom0 and Xen come to be as they were at the beginning.
    pub(crate) fn nothing_left(&self) -> Result<()> {
        self.nothing_since(&self.before)
    }

    /// Or at any other time.
    pub(crate) fn nothing_since(&self, before: &Footprint) -> Result<()> {
        let mut left = Vec::new();
        for _ in 0..LOOKS {
            left = self.dom0.footprint()?.since(before);
            if left.is_empty() {
                return Ok(());
            }
            self.dom0.sh("usleep 200000")?;
        }
        anyhow::bail!("left behind: {left:#?}")
    }
}

/// Where dom0 keeps what a guest writes.
fn log(name: &str) -> String {
    format!("/var/log/xen/console/guest-{name}.log")
}
