//! `ls` and `cat`: files on disks.

use super::escape::{Bare, Lines, Quoted, whole};
use super::{Devices, Out, Trouble};
use crate::table::Bytes;
use alloc::format;
use core::fmt;
use embedded_io_async::Read;
use fata_block::{Disk, Name, number};
use fata_disk::{BlockDevice, FileError, Kind, Part, PartKind, Partition, SECTOR, Volume, mount, partitions};
use fata_xenbus::Bus;
use xen_hyp::Platform;

/// Bytes of a file printed at once.
const CHUNK: usize = 1024;

/// A place on a disk, as in `xvdap2:/etc/motd`.
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    /// The first one if it is not named.
    disk: Option<&'a str>,
    /// All of the disk if it is not named.
    partition: Option<u32>,
    path: &'a str,
}

impl<'a> Place<'a> {
    fn parse(text: &'a str) -> Self {
        let Some((disk, path)) = text.split_once(':').filter(|(disk, _)| !disk.contains('/')) else {
            return Self { disk: None, partition: None, path: or_root(text) };
        };
        // `xvdp1` is no partition of a table, since `xvd` is no disk.
        let parts = disk.rsplit_once('p').filter(|(name, _)| number(name).is_some());
        let partition = parts.and_then(|(name, digits)| Some((name, digits.parse().ok()?)));
        let (disk, partition) = partition.map_or((disk, None), |(name, number)| (name, Some(number)));
        Self { disk: Some(disk), partition, path: or_root(path) }
    }
}

fn or_root(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

/// Files are found in a part of a disk, even if that is all of it.
type Files<P> = Volume<Partition<Disk<P>>>;

impl<P: Platform> Devices<P> {
    pub(super) async fn ls(&self, argument: &str, out: &Out) -> Result<(), Trouble> {
        let place = Place::parse(argument);
        let disk = self.place(&place, out).await?;
        let volume = match volume(&disk, place.partition).await {
            Err(FileError::NoFileSystem) if place.partition.is_none() => {
                return self.parts(&disk, out).await;
            }
            volume => volume.map_err(|error| failed(&disk, error))?,
        };
        list(&volume, place.path, out).await.map_err(|error| failed(&disk, error))
    }

    pub(super) async fn cat(&self, argument: &str, out: &Out) -> Result<(), Trouble> {
        if argument.is_empty() {
            return Err(Trouble::Usage);
        }
        let place = Place::parse(argument);
        let disk = self.place(&place, out).await?;
        let volume = volume(&disk, place.partition).await.map_err(|error| failed(&disk, error))?;
        print(&volume, place.path, out).await.map_err(|error| failed(&disk, error))
    }

    async fn place(&self, place: &Place<'_>, out: &Out) -> Result<Disk<P>, Trouble> {
        if let Some(name) = place.disk {
            return self.disk(name, out).await;
        }
        let store = self.connected(out).await?;
        match Bus::new(store).ids("vbd").await?.first() {
            Some(&id) => self.disk(&format!("{id}"), out).await,
            None => Err(Trouble::Words("there is no disk".into())),
        }
    }

    /// What a disk without a file system of its own is divided into.
    async fn parts(&self, disk: &Disk<P>, out: &Out) -> Result<(), Trouble> {
        let name = Name(disk.id());
        let table = partitions(disk).await.map_err(|error| Trouble::Words(format!("{name}: {error}")))?;
        if table.parts.is_empty() && table.flaws.is_empty() {
            return Err(failed(disk, FileError::NoFileSystem));
        }
        for Part { number, sectors, kind, name: title, .. } in &table.parts {
            let bytes = Bytes(sectors.end.saturating_sub(sectors.start).saturating_mul(SECTOR as u64));
            out.say(&|w| {
                write!(w, "  {name}p{number}:  {bytes}, {}", Type(kind))?;
                if title.is_empty() {
                    w.write_char('\n')
                } else {
                    writeln!(w, ", {}", Quoted(title.as_bytes()))
                }
            });
        }
        for flaw in &table.flaws {
            out.say(&|w| writeln!(w, "  {flaw}"));
        }
        Ok(())
    }
}

/// What a partition is for.
struct Type<'a>(&'a PartKind);

impl fmt::Display for Type<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.name(), self.0) {
            (Some(name), _) => f.write_str(name),
            (None, PartKind::Mbr(kind)) => write!(f, "type {kind:#04x}"),
            (None, PartKind::Gpt(_)) => f.write_str("some type"),
        }
    }
}

fn failed<P: Platform>(disk: &Disk<P>, error: FileError) -> Trouble {
    Trouble::Words(format!("{}: {error}", Name(disk.id())))
}

async fn volume<P: Platform>(disk: &Disk<P>, partition: Option<u32>) -> Result<Files<P>, FileError> {
    let all = 0..disk.geometry().sectors;
    let sectors = match partition {
        None => all,
        Some(wanted) => {
            let table = partitions(disk).await.map_err(|_| FileError::NoFileSystem)?;
            let part = table.parts.into_iter().find(|part| part.number == wanted);
            part.ok_or(FileError::NotFound)?.sectors
        }
    };
    mount(Partition::new(disk.clone(), sectors)?).await
}

async fn list<P: Platform>(volume: &Files<P>, path: &str, out: &Out) -> Result<(), FileError> {
    let found = volume.metadata(path).await?;
    if found.kind != Kind::Directory {
        out.say(&|w| entry(w, out, found.kind, found.bytes, path));
        return Ok(());
    }
    let mut directory = volume.open_dir(path).await?;
    while let Some(found) = directory.next().await? {
        out.say(&|w| entry(w, out, found.kind, found.bytes, &found.name));
        out.room().await;
    }
    Ok(())
}

fn entry(w: &mut dyn fmt::Write, out: &Out, kind: Kind, bytes: u64, name: &str) -> fmt::Result {
    let (on, off) = (out.ink.cyan(), out.ink.off());
    let name = Bare(name);
    match kind {
        Kind::File => writeln!(w, "{:>12}  {name}", format!("{}", Bytes(bytes))),
        Kind::Directory => writeln!(w, "{:>12}  {on}{name}/{off}", ""),
        Kind::Link => writeln!(w, "{:>12}  {name}", "link"),
        Kind::Other => writeln!(w, "{:>12}  {name}", "special"),
    }
}

async fn print<P: Platform>(volume: &Files<P>, path: &str, out: &Out) -> Result<(), FileError> {
    let mut file = volume.open(path).await?;
    let mut bytes = [0; CHUNK];
    let (mut have, mut last) = (0, b'\n');
    loop {
        let read = file.read(&mut bytes[have..]).await?;
        have += read;
        // At the end, what seems to be a part of a character is none.
        let shown = if read == 0 { have } else { whole(&bytes[..have]) };
        let text = &bytes[..shown];
        last = text.last().copied().unwrap_or(last);
        out.say(&|w| write!(w, "{}", Lines(text)));
        out.room().await;
        bytes.copy_within(shown..have, 0);
        have -= shown;
        if read == 0 {
            break;
        }
    }
    if last != b'\n' {
        out.say(&|w| w.write_char('\n'));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_apart() {
        for (text, disk, partition, path) in [
            ("", None, None, "/"),
            ("/etc", None, None, "/etc"),
            ("xvda:/etc", Some("xvda"), None, "/etc"),
            ("xvda:", Some("xvda"), None, "/"),
            ("xvdap12:/a:b", Some("xvda"), Some(12), "/a:b"),
            ("xvdp:/x", Some("xvdp"), None, "/x"),
            ("xvdpp1:/x", Some("xvdp"), Some(1), "/x"),
            ("xvda1:/x", Some("xvda1"), None, "/x"),
            ("xvdap:/x", Some("xvdap"), None, "/x"),
            ("xvdp1:/x", Some("xvdp1"), None, "/x"),
            ("d0p1:/x", Some("d0"), Some(1), "/x"),
            ("/a:b", None, None, "/a:b"),
        ] {
            assert_eq!(Place::parse(text), Place { disk, partition, path }, "{text}");
        }
    }
}
