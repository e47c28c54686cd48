//! `blk`: what is on disks, sector by sector.

use super::dump::{Dump, WIDTH};
use super::list::disk_rows;
use super::{Devices, Out, Trouble};
use crate::table::{Bytes, Table};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use fata_block::{Disk, Name};
use fata_disk::{BlockDevice, Buffer, Error, Failed, SECTOR};
use fata_kit::bench::{Job, measure};
use fata_xenbus::Bus;
use xen_hyp::Platform;

/// Sectors read at once.
const CHUNK: u64 = 128;
/// How often each measurement of `blk bench` asks, unless told otherwise, and at most.
const OPS: u64 = 1000;
const OPS_MAX: u64 = 1_000_000;
/// What `blk bench` measures, reads all: bytes, in any order, at the same time.
const JOBS: [(usize, bool, usize); 4] =
    [(4096, true, 1), (4096, true, 32), (128 << 10, false, 1), (1 << 20, false, 4)];

impl<P: Platform> Devices<P> {
    pub(super) async fn blk(&self, argument: &str, out: &Out) -> Result<(), Trouble> {
        let mut words = argument.split_ascii_whitespace();
        let (verb, name) = (words.next(), words.next());
        match (verb, name) {
            (None, _) => self.disks(out).await,
            (Some("read"), Some(name)) => {
                let sector = number(words.next())?;
                let count = words.next().map_or(Ok(1), |word| number(Some(word)))?;
                let disk = self.disk(name, out).await?;
                read(&disk, sector..sector.saturating_add(count), out).await
            }
            (Some("write"), Some(name)) => {
                let sector = number(words.next())?;
                // All that follows, blanks included.
                let text = rest(argument, 3);
                match text.strip_prefix("really ") {
                    Some(text) => {
                        let disk = self.disk(name, out).await?;
                        write(&disk, sector, text, out).await
                    }
                    None if text.is_empty() => Err(Trouble::Usage),
                    None => Err(Trouble::Words(format!(
                        "This overwrites what is there. If you mean it: blk write {name} {sector} really {text}"
                    ))),
                }
            }
            (Some("bench"), Some(name)) => {
                let ops = words.next().map_or(Ok(OPS), |word| number(Some(word)))?;
                let disk = self.disk(name, out).await?;
                self.bench(&disk, ops.clamp(1, OPS_MAX), out).await
            }
            _ => Err(Trouble::Usage),
        }
    }

    /// All disks, which are used from then on.
    async fn disks(&self, out: &Out) -> Result<(), Trouble> {
        let store = self.connected(out).await?;
        let ids = Bus::new(store).ids("vbd").await?;
        if ids.is_empty() {
            out.say(&|w| w.write_str("There are no disks.\n"));
        }
        for id in ids {
            let disk = self.use_disk(store, id);
            // If it is dead, its rows say so.
            let _ = self.ready(&disk, out).await;
            out.say(&|w| disk_rows(&mut Table::new(w, out.ink), &disk));
            out.room().await;
        }
        Ok(())
    }

    async fn bench(&self, disk: &Disk<P>, ops: u64, out: &Out) -> Result<(), Trouble> {
        for (block, random, depth) in JOBS {
            let job = Job { write: false, random, block, total: block as u64 * ops, depth };
            let ns = measure(&self.rt, disk, job, &mut Vec::new())
                .await
                .map_err(|error| failed(disk, error))?
                .max(1);
            let per_second = ops * NS_PER_S / ns;
            let (order, size) =
                (if random { "random" } else { "in order" }, format!("{}", Bytes(block as u64)));
            let (ms, rate) = (ns / 1_000_000, Bytes(per_second.saturating_mul(block as u64)));
            out.say(&|w| {
                writeln!(
                    w,
                    "  {size:>7} {order:8} depth {depth:2}: {ops} reads in {ms} ms, {per_second}/s, {rate}/s"
                )
            });
        }
        Ok(())
    }
}

const NS_PER_S: u64 = 1_000_000_000;

/// What follows so many words.
fn rest(mut text: &str, words: usize) -> &str {
    for _ in 0..words {
        text = text.trim_ascii_start();
        text = text.find(' ').and_then(|at| text.get(at..)).unwrap_or_default();
    }
    text.trim_ascii_start()
}

fn number(word: Option<&str>) -> Result<u64, Trouble> {
    word.and_then(|word| word.parse().ok()).ok_or(Trouble::Usage)
}

fn failed<P: Platform>(disk: &Disk<P>, error: Error) -> Trouble {
    Trouble::Disk(Name(disk.id()), error)
}

/// Shows sectors. The disk's own may be longer; then those around them are read, too.
async fn read<P: Platform>(disk: &Disk<P>, sectors: Range<u64>, out: &Out) -> Result<(), Trouble> {
    let geometry = disk.geometry();
    if sectors.end > geometry.sectors || sectors.is_empty() {
        return Err(failed(disk, Error::OutOfRange));
    }
    let unit = geometry.logical_sectors();
    let mut dump = Dump::default();
    let mut at = sectors.start / unit * unit;
    while at < sectors.end {
        let end = (at + CHUNK).min(sectors.end.next_multiple_of(unit));
        let buffer =
            Buffer::new((end - at) as usize * SECTOR).ok_or_else(|| failed(disk, Error::NoMemory))?;
        let buffer = disk.read(at, buffer).await.map_err(|Failed { error, .. }| failed(disk, error))?;
        let from = sectors.start.saturating_sub(at) as usize * SECTOR;
        let to = (sectors.end.min(end) - at) as usize * SECTOR;
        let first = at * SECTOR as u64;
        for (row, bytes) in (first + from as u64..).step_by(WIDTH).zip(buffer[from..to].chunks(WIDTH)) {
            if let Some(row) = dump.row(row, bytes) {
                out.say(&|w| row.show(w));
                out.room().await;
            }
        }
        at = end;
    }
    let end = sectors.end * SECTOR as u64;
    out.say(&|w| writeln!(w, "{end:08x}"));
    Ok(())
}

/// Writes `text` and zeroes to the one of the disk's own sectors that begins there.
async fn write<P: Platform>(disk: &Disk<P>, sector: u64, text: &str, out: &Out) -> Result<(), Trouble> {
    let bytes = disk.geometry().logical_sectors() as usize * SECTOR;
    let mut buffer = Buffer::new(bytes).ok_or_else(|| failed(disk, Error::NoMemory))?;
    match buffer.get_mut(..text.len()) {
        Some(room) => room.copy_from_slice(text.as_bytes()),
        None => return Err(Trouble::Words(String::from("That is more than a sector."))),
    }
    disk.write(sector, buffer).await.map_err(|Failed { error, .. }| failed(disk, error))?;
    disk.flush().await.map_err(|error| failed(disk, error))?;
    let name = Name(disk.id());
    out.say(&|w| writeln!(w, "{bytes} bytes written to {name} at sector {sector}, and flushed"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::rest;

    #[test]
    fn what_follows_some_words() {
        assert_eq!(rest("write xvda  8 really  a b", 3), "really  a b");
        assert_eq!(rest(" a b", 1), "b");
        assert_eq!(rest("a b", 2), "");
        assert_eq!(rest("", 2), "");
    }
}
