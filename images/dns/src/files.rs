//! Zones in files on disks.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use embedded_io_async::Read;
use fata_block::{Disk, Name, number};
use fata_disk::{BlockDevice, FileError, Partition, Volume, mount, partitions};
use fata_dns::Limits;
use fata_rt::Rt;
use fata_xenstore::Xenstore;
use xen_hyp::{Platform, Xen};

/// A file on a disk, as in `xvdap2:/etc/zone`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the disk.
    pub disk: u32,
    /// All of the disk if it is not named.
    pub partition: Option<u32>,
    /// From the root of the file system on.
    pub path: String,
}

impl Place {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (disk, path) = text.split_once(':').unwrap_or(("xvda", text));
        let parts = disk.rsplit_once('p').filter(|(name, _)| number(name).is_some());
        let parts = parts.and_then(|(name, digits)| Some((name, digits.parse().ok()?)));
        let (disk, partition) = parts.map_or((disk, None), |(name, part)| (name, Some(part)));
        path.starts_with('/').then_some(())?;
        Some(Self { disk: number(disk)?, partition, path: path.into() })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Name(self.disk), self.path)
    }
}

/// The disks that zones are on, from when they are first asked for.
pub(crate) struct Disks<P: Platform> {
    pub(crate) rt: Rt,
    pub(crate) xen: Rc<Xen<P>>,
    pub(crate) store: Xenstore<P>,
    pub(crate) open: Vec<Disk<P>>,
}

impl<P: Platform> Disks<P> {
    /// What is in a file.
    pub(crate) async fn text(&mut self, place: &Place) -> Result<Vec<u8>, String> {
        let text = self.file(place).await.map_err(|error| format!("{place}: {error}"))?;
        text.ok_or_else(|| format!("{place}: there is not enough memory for it"))
    }

    /// The text; nothing if there is no room for it.
    async fn file(&mut self, place: &Place) -> Result<Option<Vec<u8>>, FileError> {
        let disk = self.disk(place.disk).await?;
        let all = 0..disk.geometry().sectors;
        let sectors = match place.partition {
            None => all,
            Some(wanted) => {
                let table = partitions(&disk).await.map_err(|_| FileError::NoFileSystem)?;
                let part = table.parts.into_iter().find(|part| part.number == wanted);
                part.ok_or(FileError::NotFound)?.sectors
            }
        };
        let volume: Volume<_> = mount(Partition::new(disk, sectors)?).await?;
        let mut file = volume.open(&place.path).await?;
        let len = file.bytes().min(Limits::default().text as u64 + 1) as usize;
        let mut text = Vec::new();
        if text.try_reserve_exact(len).is_err() {
            return Ok(None);
        }
        text.resize(len, 0);
        let mut have = 0;
        while have < len {
            match file.read(&mut text[have..]).await? {
                0 => break,
                read => have += read,
            }
        }
        text.truncate(have);
        Ok(Some(text))
    }

    async fn disk(&mut self, id: u32) -> Result<Disk<P>, FileError> {
        let disk = match self.open.iter().find(|disk| disk.id() == id) {
            Some(disk) => disk.clone(),
            None => {
                let options = fata_block::Options::default();
                let disk = fata_devices::disk(&self.rt, &self.xen, &self.store, id, options);
                self.open.push(disk.clone());
                disk
            }
        };
        disk.ready().await?;
        Ok(disk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_apart() {
        let place = |text| Place::parse(text).map(|place| (place.disk, place.partition, place.path));
        let disk = |name| number(name).unwrap();
        assert_eq!(place("/a/b"), Some((disk("xvda"), None, "/a/b".into())));
        assert_eq!(place("xvdbp2:/c"), Some((disk("xvdb"), Some(2), "/c".into())));
        for text in ["", "a", "xvd:/a", "xvda:a"] {
            assert_eq!(place(text), None, "{text}");
        }
    }
}
