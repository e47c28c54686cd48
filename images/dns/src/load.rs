//! Reads zones from wherever they are, while queries go on to be answered.

use crate::ZONE;
use crate::options::{Place, Source};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use embedded_io_async::Read;
use fata_block::{Disk, Name as DiskName};
use fata_disk::{BlockDevice, FileError, Partition, Volume, mount, partitions};
use fata_dns::{Limits, Name, Reader, Warning, Zone};
use fata_rt::{Rt, yield_now};
use fata_xenstore::Xenstore;
use xen_hyp::{Platform, Xen};

/// Where zones are in Xenstore.
pub(crate) const STORE: &str = "data/zone";
/// Bytes of a zone file that are read before others have their turn.
const STEP: usize = 4096;
/// Zones in Xenstore, and pieces of each.
const MOST: usize = 1024;

/// What is needed to read zones.
pub(crate) struct Loader<P: Platform> {
    pub(crate) rt: Rt,
    pub(crate) xen: Rc<Xen<P>>,
    pub(crate) store: Xenstore<P>,
    pub(crate) disks: BTreeMap<u32, Disk<P>>,
    pub(crate) sources: Vec<Source>,
    pub(crate) origin: Option<Name>,
}

/// A zone, and what is odd about it.
pub(crate) type Loaded = (Rc<Zone>, Vec<Warning>);

impl<P: Platform> Loader<P> {
    /// Reads all zones. An error says of which one what is wrong.
    pub(crate) async fn load(&mut self) -> Result<Vec<Loaded>, String> {
        let mut zones: Vec<Loaded> = Vec::new();
        for source in self.sources.clone() {
            match source {
                Source::Image => self.take(&mut zones, "image", ZONE).await?,
                Source::Store => {
                    for (name, text) in self.stored().await? {
                        self.take(&mut zones, &format!("{STORE}/{name}"), &text).await?;
                    }
                }
                Source::File(place) => {
                    let name = format!("{}:{}", DiskName(place.disk), place.path);
                    let text = self.file(&place).await.map_err(|error| format!("{name}: {error}"))?;
                    self.take(&mut zones, &name, &text).await?;
                }
            }
        }
        Ok(zones)
    }

    async fn take(&self, zones: &mut Vec<Loaded>, name: &str, text: &[u8]) -> Result<(), String> {
        let (zone, warnings) =
            parse(text, self.origin.clone()).await.map_err(|error| format!("{name}: {error}"))?;
        if zones.iter().any(|(other, _)| other.name() == zone.name()) {
            return Err(format!("{name}: the zone {} is there twice", zone.name()));
        }
        zones.push((Rc::new(zone), warnings));
        Ok(())
    }

    /// Texts of zones in Xenstore, all of one moment.
    async fn stored(&self) -> Result<Vec<(String, Vec<u8>)>, String> {
        let read = self.store.transaction(async |view| {
            let mut zones = Vec::new();
            for name in view.directory(STORE).await?.into_iter().take(MOST) {
                let path = format!("{STORE}/{name}");
                let mut text = view.read(&path).await?;
                let mut pieces = view.directory(&path).await?;
                pieces.sort_by_key(|piece| piece.parse().unwrap_or(u32::MAX));
                for piece in pieces.iter().take(MOST) {
                    text.extend_from_slice(&view.read(&format!("{path}/{piece}")).await?);
                }
                zones.push((name, text));
            }
            Ok(zones)
        });
        read.await.map_err(|error| format!("{STORE}: {error}"))
    }

    async fn file(&mut self, place: &Place) -> Result<Vec<u8>, FileError> {
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
        text.try_reserve_exact(len).map_err(|_| FileError::TooMany)?;
        text.resize(len, 0);
        let mut have = 0;
        while have < len {
            match file.read(&mut text[have..]).await? {
                0 => break,
                read => have += read,
            }
        }
        text.truncate(have);
        Ok(text)
    }

    async fn disk(&mut self, id: u32) -> Result<Disk<P>, FileError> {
        let Self { rt, xen, store, disks, .. } = self;
        let new = || fata_devices::disk(rt, xen, store, id, fata_block::Options::default());
        let disk = disks.entry(id).or_insert_with(new).clone();
        disk.ready().await?;
        Ok(disk)
    }
}

/// Makes a zone of a text, in steps.
pub async fn parse(text: &[u8], origin: Option<Name>) -> Result<(Zone, Vec<Warning>), fata_dns::ZoneError> {
    let mut reader = Reader::new(text, origin, Limits::default())?;
    while !reader.read(STEP)? {
        yield_now().await;
    }
    reader.finish()
}
