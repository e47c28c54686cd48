//! Recordings of what goes through a guest's network card, written on this machine while it happens.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::host::Dom0;
use crate::net::Vif;
use crate::pcap;

/// The program of tests/peer, in dom0.
pub(crate) const PEER: &str = "/tmp/fata-peer";
/// What dom0 has sent is on its way for as long at most.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(20);
/// A frame that has gone by is written down so soon.
const CAPTURE_US: u32 = 200_000;

/// What is being recorded.
#[must_use]
pub struct Recording {
    interface: String,
    arrived: Arc<AtomicU64>,
}

impl Dom0 {
    /// Puts the lab's program for Linux where [`PEER`] says.
    pub(crate) fn push_peer(&self, program: &Path) -> Result<()> {
        let bytes = fs::read(program).with_context(|| format!("reading {}", program.display()))?;
        self.push(PEER, &bytes)?;
        self.sh(&format!("chmod +x {PEER}")).map(drop)
    }

    /// Writes all frames of a card to a file, as a capture that Wireshark opens, from now on. `program` is the lab's for
    /// Linux. If the file has frames already, those follow.
    pub fn record(&self, vif: Vif, program: &Path, file: File) -> Result<Recording> {
        self.push_peer(program)?;
        let skip = if file.metadata()?.len() == 0 { 0 } else { pcap::HEADER };
        let interface = vif.interface();
        let (port, arrived) = self.ports().take_for(&interface, file, skip)?;
        // wc says at its end how much it was.
        self.sh(&format!(
            "[ -e /sys/class/net/{interface} ] || exit 1\n\
             cd /tmp; mkfifo {interface}.fifo; wc -c <{interface}.fifo >{interface}.count 2>/dev/null &\n\
             (({PEER} capture {interface} & echo $! >{interface}.pid; wait) |\n\
             tee {interface}.fifo >/dev/lab/{port}) </dev/null 2>/dev/null &"
        ))?;
        let recording = Recording { interface, arrived };
        // Once its header is here, it records.
        recording.wait_for(pcap::HEADER as u64)?;
        Ok(recording)
    }

    /// Ends it when all that has gone by so far is in the file.
    pub fn finish(&self, recording: &Recording) -> Result<()> {
        let interface = &recording.interface;
        let said = self.sh(&format!(
            "usleep {CAPTURE_US}; kill $(cat /tmp/{interface}.pid) 2>/dev/null\n\
             n=500; until [ -s /tmp/{interface}.count ]; do\n\
             n=$((n - 1)); [ $n -gt 0 ] || exit 1; usleep 10000; done\n\
             cat /tmp/{interface}.count; rm /tmp/{interface}.*"
        ))?;
        let count = said.trim().parse();
        recording.wait_for(count.with_context(|| format!("dom0 counted {said:?} bytes"))?)?;
        self.ports().give_back(interface);
        Ok(())
    }
}

impl Recording {
    fn wait_for(&self, bytes: u64) -> Result<()> {
        let start = Instant::now();
        while self.arrived.load(Ordering::Acquire) < bytes {
            ensure!(start.elapsed() < ARRIVAL_TIMEOUT, "the recording of {} does not come", self.interface);
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}
