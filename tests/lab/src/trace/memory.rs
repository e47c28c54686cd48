//! Finds what guests keep in the memory of the whole machine.
//!
//! Xen maps a guest's memory elsewhere, and which of its CPUs runs whom changes; but the ring begins with a word that
//! nothing else has, at the start of a page, and lies in one piece: Xen gives an image, which is shorter than 2 MiB and
//! loaded at a multiple of that, one block of memory. So it is searched for, and the guest need not be asked, nor be
//! alive.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result};
use fata_trace::{MAGIC, WORDS};
use serde_json::json;

use crate::lab::Lab;
use crate::qmp::Monitor;

use super::Trace;

/// QEMU's arguments for a monitor that [`traces_of_run`] finds.
pub const ATTACH: [&str; 4] = [
    "-chardev",
    "socket,id=attach,path=attach.sock,server=on,wait=off",
    "-mon",
    "chardev=attach,mode=control",
];
/// Where the board's RAM begins.
const RAM: u64 = 0x4000_0000;
/// What QEMU writes into the run's folder.
const DUMP: &str = "memory";
/// It begins with a page.
const PAGE: usize = 4096;

/// What the guests of a machine keep that another xtask has started, by the name of its run.
pub fn traces_of_run(lab: &Lab, run: &str) -> Result<Vec<Trace>> {
    let path = lab.dir().join("runs").join(run);
    let folder = File::open(&path).with_context(|| format!("there was no run {run}"))?;
    // A socket's path is limited to 108 bytes; through the folder's descriptor any folder will do.
    let socket = format!("/proc/self/fd/{}/attach.sock", folder.as_raw_fd());
    let stream =
        UnixStream::connect(socket).with_context(|| format!("{run} is not under way, or not traced"))?;
    Monitor::open(stream)?.traces(&path)
}

impl Monitor {
    /// What the guests keep. `folder` is where QEMU runs. The machine stands still meanwhile.
    pub(crate) fn traces(&mut self, folder: &Path) -> Result<Vec<Trace>> {
        let status = self.run("query-status", json!({}))?;
        let found = self.traces_of_stopped(folder);
        if status["running"] == true {
            self.run("cont", json!({}))?;
        }
        found
    }

    /// The same, and it does not go on.
    pub(crate) fn traces_of_stopped(&mut self, folder: &Path) -> Result<Vec<Trace>> {
        let size = self.run("query-memory-size-summary", json!({}))?;
        let size = size["base-memory"].as_u64().context("QEMU does not say how much memory there is")?;
        self.run("stop", json!({}))?;
        let saved = self.run("pmemsave", json!({ "val": RAM, "size": size, "filename": DUMP }));
        saved?;
        let file = folder.join(DUMP);
        let found = File::open(&file).context("QEMU wrote no memory").and_then(search);
        let _ = fs::remove_file(&file);
        found
    }
}

/// Reads all of a machine's memory.
fn search(memory: impl Read) -> Result<Vec<Trace>> {
    let mut memory = BufReader::with_capacity(1 << 20, memory);
    let mut all = Vec::new();
    let mut page = vec![0; PAGE];
    loop {
        match memory.read_exact(&mut page) {
            Ok(()) => {}
            Err(end) if end.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(all),
            Err(error) => return Err(error).context("reading the machine's memory"),
        }
        if page[..8] != MAGIC.to_le_bytes() {
            continue;
        }
        let mut bytes = page.clone();
        let rest = (WORDS * 8).next_multiple_of(PAGE) - PAGE;
        (&mut memory).take(rest as u64).read_to_end(&mut bytes)?;
        bytes.truncate(WORDS * 8);
        let words = bytes.chunks_exact(8).map(|w| u64::from_le_bytes(w.try_into().expect("eight bytes")));
        all.extend(Trace::of_memory(&words.collect::<Vec<_>>()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_keeps_is_found_and_nothing_else() {
        let mut words = vec![0u64; WORDS];
        words[..4].copy_from_slice(&[MAGIC, 1_000_000, 1, 0x4100_1000]);
        let records = WORDS - 4 * fata_trace::RECORDS;
        words[records..records + 4].copy_from_slice(&[1 << 8 | fata_trace::Kind::Turn as u64, 5, 6, 7]);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        // The word alone, at another alignment, and with other words behind it.
        let mut memory = vec![0; 4096];
        memory[8..16].copy_from_slice(&MAGIC.to_le_bytes());
        let mut wrong = bytes.clone();
        wrong[8..16].fill(0);
        let whole = bytes.len().next_multiple_of(PAGE);
        let (mut one, mut two) = (bytes, wrong);
        one.resize(whole, 0);
        two.resize(whole, 0);
        let memory = [&memory[..], &one, &memory, &two, &[1; PAGE], &one].concat();
        let found = search(&memory[..]).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].hz, found[0].count, found[0].torn), (1_000_000, 1, 0));
        assert_eq!(found[0].records[0].b, 7);
        assert_eq!(search(&memory[..5000]).unwrap_or_default(), []);
    }
}
