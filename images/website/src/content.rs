//! Where the pages are.

use crate::options::Wanted;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use embedded_io_async::Read;
use fata_block::{Disk, Name};
use fata_disk::{BlockDevice, SECTOR, Stream};
use fata_payload::Payload;
use fata_rt::Rt;
use fata_site::Site;
use fata_xenstore::Xenstore;
use xen_hyp::{Platform, Xen};

/// The member of a payload that has pages.
pub(crate) const MEMBER: &str = "site";
/// How long a disk may take to be there.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pages that are built in.
static BUILT_IN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/site.blob"));

/// Where pages came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From behind the image.
    Image,
    /// From this disk.
    Disk(u32),
    /// They were built in.
    BuiltIn,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image => f.write_str("behind the image"),
            Self::Disk(id) => write!(f, "on {}", Name(*id)),
            Self::BuiltIn => f.write_str("built in"),
        }
    }
}

/// The pages there are.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    /// Where they came from.
    pub origin: Origin,
    /// They themselves.
    pub site: Site<'static>,
}

/// The pages that are built in.
pub fn built_in() -> Result<Content, String> {
    Content::open(Origin::BuiltIn, BUILT_IN)
}

impl Content {
    fn open(origin: Origin, blob: &'static [u8]) -> Result<Self, String> {
        let site = Site::open(blob).map_err(|error| format!("the pages {origin}: {error}"))?;
        Ok(Self { origin, site })
    }

    /// Those behind the image. `None` if there are none.
    pub(crate) fn of_payload(payload: &'static [u8]) -> Result<Option<Self>, String> {
        if payload.is_empty() {
            return Ok(None);
        }
        let payload = Payload::open(payload).map_err(|error| format!("{error}"))?;
        let member = payload.member(MEMBER).filter(|member| !member.secret);
        member.map(|member| Self::open(Origin::Image, member.bytes)).transpose()
    }

    /// Those that can be had without a store. `None` if it takes one to know.
    pub(crate) fn at_hand(wanted: Wanted, payload: &'static [u8]) -> Result<Option<Self>, String> {
        match wanted {
            Wanted::BuiltIn => built_in().map(Some),
            Wanted::Any => Self::of_payload(payload),
            Wanted::Image => match Self::of_payload(payload)? {
                Some(content) => Ok(Some(content)),
                None => Err("there are no pages behind the image".into()),
            },
            Wanted::Disk(_) => Ok(None),
        }
    }

    /// Those on a disk, or else those built in.
    pub(crate) async fn on_disks<P: Platform>(
        rt: &Rt,
        xen: &Rc<Xen<P>>,
        store: &Xenstore<P>,
        wanted: Wanted,
    ) -> Result<Self, String> {
        let open = |id| fata_devices::disk(rt, xen, store, id, fata_block::Options::default());
        if let Wanted::Disk(id) = wanted {
            let content = read(rt, &open(id)).await?;
            return content.ok_or_else(|| format!("there are no pages on {}", Name(id)));
        }
        // Without a list there are no disks.
        let names = store.directory("device/vbd").await.unwrap_or_default();
        let mut ids: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(content) = read(rt, &open(id)).await? {
                return Ok(content);
            }
        }
        built_in()
    }
}

/// Reads the pages of a disk into memory, where they stay. `None` if it does not begin with any.
async fn read<P: Platform>(rt: &Rt, disk: &Disk<P>) -> Result<Option<Content>, String> {
    let name = Name(disk.id());
    match rt.timeout(PATIENCE, disk.ready()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(format!("{name}: {error}")),
        Err(_) => return Err(format!("{name} is not there")),
    }
    let failed = |error: &dyn fmt::Display| format!("the pages on {name}: {error}");
    let bytes = disk.geometry().sectors.saturating_mul(SECTOR as u64);
    let mut stream = Stream::new(disk);
    let mut begin = [0; Site::BEGIN];
    if bytes < begin.len() as u64 {
        return Ok(None);
    }
    stream.read_exact(&mut begin).await.map_err(|error| failed(&error))?;
    let Some(length) = Site::length(&begin) else { return Ok(None) };
    if length > bytes || length < begin.len() as u64 {
        return Err(failed(&"the disk is shorter than they are"));
    }
    let mut blob = Vec::new();
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    blob.try_reserve_exact(length).map_err(|_| failed(&"there is not enough memory for them"))?;
    blob.extend_from_slice(&begin);
    blob.resize(length, 0);
    stream.read_exact(&mut blob[begin.len()..]).await.map_err(|error| failed(&error))?;
    Content::open(Origin::Disk(disk.id()), Vec::leak(blob)).map(Some)
}
