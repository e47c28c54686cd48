//! Guests on a network, and what dom0 and a Linux guest beside them can say of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::bench::{Neighbour, Worker};
use crate::footprint::Footprint;
use crate::guest::Guest;
use crate::host::{Dom0, XlDomU};
use crate::lab::Lab;
use crate::net::{Vif, VifWish, address};
use crate::parts::XenParts;
use crate::pcap::{self, Frame};
use crate::record::PEER;

/// A guest with a network.
const MEMORY_MIB: u32 = 32;
const LINUX_MIB: u32 = 128;
/// The last bytes of addresses: the guest under test, and Linux beside it.
pub(crate) const SUBJECT: u8 = 2;
pub(crate) const NEIGHBOUR: u8 = 3;
/// What is written down of packets that have gone by takes but a moment.
const CAPTURE_MS: u32 = 200;

/// A dom0 with a bridge, guests on it, and the lab's program for Linux.
pub(crate) struct Network<'a> {
    pub(crate) dom0: &'a Dom0,
    image: PathBuf,
    linux: Neighbour,
    left: &'a dyn Fn() -> Duration,
    before: Footprint,
}

impl<'a> Network<'a> {
    /// `image` is the guest under test, `peer` the lab's program for Linux, and `left` says how long it may still take.
    pub(crate) fn new(
        dom0: &'a Dom0,
        lab: &Lab,
        parts: &XenParts,
        image: PathBuf,
        peer: &Path,
        left: &'a dyn Fn() -> Duration,
    ) -> Result<Self> {
        dom0.push_peer(peer)?;
        let linux = Neighbour::new(lab, parts, peer)?;
        Ok(Self { dom0, image, linux, left, before: dom0.footprint()? })
    }

    pub(crate) fn left(&self) -> Duration {
        (self.left)()
    }

    /// The guest under test, with one card and the address that goes with [`SUBJECT`]; `more` goes to the end of its
    /// command line.
    pub(crate) fn subject(&self, more: &str) -> XlDomU {
        self.domu("subject", format!("{} {more}", address(SUBJECT)).trim())
    }

    /// The same with all of its command line.
    pub(crate) fn domu(&self, name: &str, args: &str) -> XlDomU {
        XlDomU {
            args: args.to_owned(),
            vifs: vec![VifWish::new(SUBJECT).spec()],
            ..XlDomU::new(name, self.image.clone(), MEMORY_MIB)
        }
    }

    /// Linux on the same bridge, at the address that goes with [`NEIGHBOUR`], as soon as it serves.
    pub(crate) fn neighbour(&self, words: &str) -> Result<()> {
        let name = "neighbour";
        let domu = XlDomU {
            args: Worker::server(&format!("{} {words}", address(NEIGHBOUR))),
            ramdisk: Some(self.linux.ramdisk.clone()),
            vifs: vec![VifWish::new(NEIGHBOUR).spec()],
            ..XlDomU::new(name, self.linux.kernel.clone(), LINUX_MIB)
        };
        self.dom0.create_alone(&domu)?;
        self.dom0.console_of(name, Worker::SERVES, self.left()).map(drop)
    }

    /// Waits until an address answers dom0's pings; gives after how many nanoseconds it did.
    pub(crate) fn await_answer(&self, number: u8) -> Result<u64> {
        let ms = self.left().as_millis();
        let said = self.peer(&format!("await 10.0.0.{number} {ms}"))?;
        let ns = said.trim().rsplit(' ').next().and_then(|ns| ns.parse().ok());
        ns.with_context(|| format!("the wait ended with {said:?}"))
    }

    /// Fails unless each of so many pings from dom0, with so many bytes, is answered with the same bytes.
    pub(crate) fn ping(&self, to: &str, bytes: usize, count: u64) -> Result<()> {
        let through = self.load(to, &format!("ping,{bytes},{count}"))?;
        ensure!(through == count, "of {count} pings with {bytes} bytes, {to} answered {through}");
        Ok(())
    }

    /// Has dom0 do a job of the measurement protocol (tests/peer/src/net.rs); gives how much came through.
    pub(crate) fn load(&self, to: &str, job: &str) -> Result<u64> {
        let said = self.peer(&format!("load {to} '{job}'"))?;
        let mut words = said.split(' ').skip_while(|word| *word != "through").skip(1);
        let through = words.next().and_then(|word| word.parse().ok());
        through.with_context(|| format!("{job} ended with {said:?}"))
    }

    /// Sends so many bytes to a guest and compares what comes back.
    pub(crate) fn verify(&self, to: &str, bytes: u64) -> Result<()> {
        let said = self.peer(&format!("verify {to} {bytes}"))?;
        ensure!(said.contains("SUCCESS"), "a stream of {bytes} bytes: {said}");
        Ok(())
    }

    /// The same, meanwhile and without an end; [`Stream::verified`] waits for it.
    pub(crate) fn stream(&self, to: &str) -> Result<Stream<'_>> {
        self.dom0.sh(&format!(
            "rm -f /tmp/stream /tmp/enough; ({PEER} verify {to} 0; echo ended with $?) </dev/null \
             >/tmp/stream 2>&1 &"
        ))?;
        Ok(Stream { network: self })
    }

    /// Has all that goes through an interface of dom0 written down from now on.
    pub(crate) fn capture(&self, vif: Vif) -> Result<Capture<'_>> {
        let interface = vif.interface();
        self.dom0.sh(&format!(
            "setsid {PEER} capture {interface} </dev/null >/tmp/{interface}.pcap 2>/tmp/{interface}.err &\n\
             echo $! >/tmp/{interface}.pid\n\
             until [ -s /tmp/{interface}.pcap ]; do usleep 1000; done"
        ))?;
        Ok(Capture { dom0: self.dom0, interface })
    }

    fn peer(&self, arguments: &str) -> Result<String> {
        let output = self.dom0.run(&format!("{PEER} {arguments}"), self.left() + Duration::from_secs(5))?;
        ensure!(output.code == 0, "{arguments}: {}", output.text().trim());
        Ok(output.text())
    }

    /// The same with more files open than usual.
    pub(crate) fn peer_with_files(&self, arguments: &str, files: u32) -> Result<String> {
        let script = format!("ulimit -n {files}; {PEER} {arguments}");
        let output = self.dom0.run(&script, self.left() + Duration::from_secs(5))?;
        ensure!(output.code == 0, "{arguments}: {}", output.text().trim());
        Ok(output.text())
    }

    /// Has Linux in dom0 leave sums and segmentation to the guest, or not.
    pub(crate) fn offloads(&self, vif: Vif, on: bool) -> Result<()> {
        let on = if on { "on" } else { "off" };
        self.peer(&format!("offloads {} {on}", vif.interface())).map(drop)
    }

    /// Gives the bridge, and so all cards made from now on, another MTU.
    pub(crate) fn set_mtu(&self, mtu: u32) -> Result<()> {
        self.dom0.sh(&format!("ip link set xenbr0 mtu {mtu}")).map(drop)
    }

    /// Removes the guest under test, which must not have ended by itself.
    pub(crate) fn remove(&self, name: &str, guest: &Guest) -> Result<()> {
        let said = || guest.console.output.text();
        if let Some(end) = guest.ended() {
            bail!("the domain {end} after:\n{}", said());
        }
        ensure!(!said().contains("FAILURE"), "the guest failed:\n{}", said());
        self.dom0.destroy(name)
    }

    /// What the card of a guest, which is net-bench, has done so far (`net totals rx_frames 1 rx_bytes 60 …`).
    pub(crate) fn totals(&self, guest: &Guest) -> Result<Totals> {
        guest.console.send("\r")?;
        guest.console.expect("net totals ", self.left())?;
        let line = guest.console.expect("\n", self.left())?;
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let pairs = words
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[name, number]| Some(((*name).to_owned(), number.parse().ok()?)));
        pairs.collect::<Option<_>>().with_context(|| format!("{line:?} is no line of totals"))
    }

    /// A number that a guest says before `word`, when it is asked how it is. It is the image `echo`.
    pub(crate) fn number(&self, guest: &Guest, word: &str) -> Result<u64> {
        let text = guest.console.ask("", "backlog_full", self.left())?;
        let before = text.split(word).next().unwrap_or_default();
        let number = before.trim_end().rsplit([' ', ',', '\n']).next().and_then(|number| number.parse().ok());
        number.with_context(|| format!("no number before {word:?} in {text:?}"))
    }

    /// Looks again and again until what is seen is as it should be.
    pub(crate) fn until<T: Copy + std::fmt::Debug>(
        &self,
        what: &str,
        is_so: &dyn Fn(T) -> bool,
        look: &dyn Fn() -> Result<T>,
    ) -> Result<()> {
        loop {
            let seen = look()?;
            if is_so(seen) {
                return Ok(());
            }
            ensure!(!self.left().is_zero(), "{what}: not so after all this time, but {seen:?}");
            self.dom0.sh("usleep 100000")?;
        }
    }

    /// How it stands with a card, for whoever wonders why it does not work: Xenstore, ports, and what Linux's driver says.
    pub(crate) fn state_of(&self, vif: Vif) -> String {
        let (backend, frontend, interface) = (vif.backend(), vif.frontend(), vif.interface());
        let said = self.dom0.sh(&format!(
            "xenstore-ls -f {frontend}; xenstore-ls -f {backend}\n\
             cd /sys/class/net/{interface}; grep . carrier operstate flags statistics/*\n\
             mount -t debugfs debug /sys/kernel/debug 2>/dev/null; cat /sys/kernel/debug/xen-netback/{interface}/*\n\
             grep xen /proc/interrupts; dmesg | tail -n 40\n\
             xl dmesg -c >/dev/null; xl debug-keys e; xl debug-keys g; xl dmesg\n\
             echo as if there had been an event:; echo kick >/sys/kernel/debug/xen-netback/{interface}/io_ring_q0\n\
             sleep 1; cat /sys/kernel/debug/xen-netback/{interface}/io_ring_q0; grep vif /proc/interrupts; dmesg | tail -n 40"
        ));
        said.unwrap_or_else(|error| format!("{error:#}"))
    }

    /// Removes Linux.
    pub(crate) fn remove_neighbour(&self) -> Result<()> {
        self.dom0.destroy("neighbour")
    }

    /// Fails unless dom0 and Xen are as they were before.
    pub(crate) fn nothing_left(&self) -> Result<()> {
        let left = self.dom0.footprint()?.since(&self.before);
        ensure!(left.is_empty(), "left behind: {left:#?}");
        Ok(())
    }
}

/// Names, each with its number.
pub(crate) type Totals = BTreeMap<String, u64>;

/// Bytes on their way to a guest and back.
#[must_use]
pub(crate) struct Stream<'a> {
    network: &'a Network<'a>,
}

impl Stream<'_> {
    /// Fails if it has ended by itself.
    pub(crate) fn is_under_way(&self) -> Result<()> {
        let said = self.network.dom0.sh("cat /tmp/stream")?;
        ensure!(said.is_empty(), "the stream: {said}");
        Ok(())
    }

    /// Says that it is enough, and waits until all have come back as they were; gives how many.
    pub(crate) fn verified(self) -> Result<u64> {
        self.is_under_way()?;
        let left = self.network.left();
        let said = self.network.dom0.run(
            &format!(
                "touch /tmp/enough; n={}; until grep -q 'ended with' /tmp/stream; do\n\
                 n=$((n - 1)); [ $n -gt 0 ] || exit 1; usleep 20000; done; cat /tmp/stream",
                left.as_millis() / 20 + 1
            ),
            left * 4 + Duration::from_secs(20),
        )?;
        let text = said.text();
        let bytes = text.split(' ').nth(1).and_then(|word| word.parse().ok());
        bytes.filter(|_| text.contains("SUCCESS")).with_context(|| format!("the stream: {text}"))
    }
}

/// What is being written down.
#[must_use]
pub(crate) struct Capture<'a> {
    dom0: &'a Dom0,
    interface: String,
}

impl Capture<'_> {
    /// All that went by.
    pub(crate) fn finish(self) -> Result<Vec<Frame>> {
        let interface = &self.interface;
        self.dom0.sh(&format!("usleep {}; kill $(cat /tmp/{interface}.pid)", CAPTURE_MS * 1000))?;
        let frames = pcap::parse(&self.dom0.pull(&format!("/tmp/{interface}.pcap"))?)?;
        self.dom0.sh(&format!("rm /tmp/{interface}.*"))?;
        Ok(frames)
    }
}
