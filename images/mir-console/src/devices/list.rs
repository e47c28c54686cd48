//! `devices`: what is on the bus.

use super::{Devices, Out, Trouble};
use crate::table::{Bytes, Table};
use core::fmt;
use fata_block::{Disk, Link, Name};
use fata_disk::{BlockDevice, Geometry, SECTOR};
use fata_xenbus::{Bus, Entry};
use xen_hyp::Platform;

impl<P: Platform> Devices<P> {
    pub(super) async fn list(&self, out: &Out) -> Result<(), Trouble> {
        let store = self.connected(out).await?;
        let devices = Bus::new(store).devices().await?;
        if devices.is_empty() {
            out.say(&|w| w.write_str("There are no devices.\n"));
        }
        for device in &devices {
            let disk = match &*device.kind {
                "vbd" => self.disks.borrow().iter().find(|disk| disk.id() == device.id).cloned(),
                _ => None,
            };
            out.say(&|w| {
                let t = &mut Table::new(w, out.ink);
                rows(t, device)?;
                match &disk {
                    Some(disk) => disk_rows_below(t, "", disk),
                    None => Ok(()),
                }
            });
            out.room().await;
        }
        Ok(())
    }
}

fn rows(t: &mut Table<'_>, device: &Entry) -> fmt::Result {
    let Entry { kind, id, ours, theirs, backend } = device;
    let states = format_args!("{kind} {id}: ours {ours}, the backend's {theirs}");
    match &**kind {
        "vbd" => t.row(&alloc::format!("{}", Name(*id)), states)?,
        _ => t.row("", states)?,
    }
    if backend.is_empty() { Ok(()) } else { t.row("", format_args!("{backend}")) }
}

/// A disk that is in use.
pub(super) fn disk_rows<P: Platform>(t: &mut Table<'_>, disk: &Disk<P>) -> fmt::Result {
    disk_rows_below(t, &alloc::format!("{}", Name(disk.id())), disk)
}

fn disk_rows_below<P: Platform>(t: &mut Table<'_>, label: &str, disk: &Disk<P>) -> fmt::Result {
    let (link, totals) = (disk.link(), disk.totals());
    let (in_flight, waiting) = disk.outstanding();
    match link {
        Link::Paused => t.row(label, format_args!("paused: nothing there, or its backend is away"))?,
        Link::Ready => t.row(label, format_args!("ready: {}", Properties(disk.geometry())))?,
        Link::Dead(error) => t.row(label, format_args!("dead: {error}"))?,
    }
    let bytes = |sectors: u64| Bytes(sectors.saturating_mul(SECTOR as u64));
    t.row(
        "",
        format_args!(
            "{} requests, {} errors, {in_flight} in the rings, {waiting} waiting",
            totals.requests, totals.errors
        ),
    )?;
    t.row(
        "",
        format_args!(
            "{} read, {} written; connects {}, resent {}",
            bytes(totals.sectors_read),
            bytes(totals.sectors_written),
            totals.connects,
            totals.resent
        ),
    )
}

/// A disk's size, and what it can do.
struct Properties(Geometry);

impl fmt::Display for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let g = &self.0;
        write!(
            f,
            "{}, sectors of {} bytes",
            Bytes(g.sectors.saturating_mul(SECTOR as u64)),
            g.logical_bytes
        )?;
        if g.physical_bytes != g.logical_bytes {
            write!(f, " ({} physical)", g.physical_bytes)?;
        }
        let has = [(g.read_only, ", read-only"), (g.removable, ", removable"), (g.flush, ", flush")];
        for (_, text) in has.iter().filter(|(has, _)| *has) {
            f.write_str(text)?;
        }
        if let Some(bytes) = g.discard_bytes {
            write!(f, ", discard in units of {}", Bytes(bytes.into()))?;
        }
        write!(f, ", requests of up to {}", Bytes(g.request_bytes.into()))
    }
}
