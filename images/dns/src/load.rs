//! Reads zones from wherever they are, while queries go on to be answered.

use crate::ZONE;
use crate::options::Source;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use fata_dns::{Limits, Name, Reader, Warning, Zone};
use fata_rt::yield_now;
use fata_xenstore::Xenstore;
use xen_hyp::Platform;

/// Where zones are in Xenstore.
pub(crate) const STORE: &str = "data/zone";
/// Bytes of a zone file that are read before others have their turn.
const STEP: usize = 4096;
/// Zones in Xenstore, and pieces of each.
const MOST: usize = 256;

/// What is needed to read zones.
pub(crate) struct Loader<P: Platform> {
    pub(crate) store: Xenstore<P>,
    #[cfg(feature = "disk")]
    pub(crate) disks: crate::files::Disks<P>,
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
                #[cfg(feature = "disk")]
                Source::File(place) => {
                    let text = self.disks.text(&place).await?;
                    self.take(&mut zones, &format!("{place}"), &text).await?;
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
                // There are few, and a sort is a kilobyte.
                let number = |piece: &String| piece.parse().unwrap_or(u32::MAX);
                for index in 1..pieces.len() {
                    let place =
                        pieces[..index].iter().position(|other| number(other) > number(&pieces[index]));
                    place.iter().for_each(|place| pieces[*place..=index].rotate_right(1));
                }
                for piece in pieces.iter().take(MOST) {
                    text.extend_from_slice(&view.read(&format!("{path}/{piece}")).await?);
                }
                zones.push((name, text));
            }
            Ok(zones)
        });
        read.await.map_err(|error| format!("{STORE}: {error}"))
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
