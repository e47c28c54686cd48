//! Which devices there are.

use crate::Error;
use crate::device::state;
use crate::state::State;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use fata_xenstore::{Watch, Xenstore};
use xen_hyp::Platform;

/// The most devices that are looked at: what is more is the toolstack's mistake or somebody's mischief.
const DEVICES_MAX: usize = 256;

/// All devices of this domain.
pub struct Bus<P: Platform> {
    store: Xenstore<P>,
    /// Once somebody waits for a change.
    watch: Option<Watch>,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `vbd`, `vif` and so on.
    pub kind: String,
    /// Its number.
    pub id: u32,
    /// The state of our half.
    pub ours: State,
    /// The backend's state.
    pub theirs: State,
    /// The backend's directory; empty if there is none.
    pub backend: String,
}

impl<P: Platform> Bus<P> {
    /// The bus.
    pub fn new(store: &Xenstore<P>) -> Self {
        Self { store: store.clone(), watch: None }
    }

    /// The devices there are at this moment.
    pub async fn devices(&self) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        for kind in self.names("device").await? {
            for id in self.ids(&kind).await? {
                if entries.len() == DEVICES_MAX {
                    return Ok(entries);
                }
                let path = format!("device/{kind}/{id}");
                let ours = state(&self.store, &format!("{path}/state")).await?;
                let backend = self.store.try_read_string(&format!("{path}/backend")).await;
                let backend = backend.ok().flatten().unwrap_or_default();
                let theirs = if backend.is_empty() {
                    State::Unknown
                } else {
                    state(&self.store, &format!("{backend}/state")).await?
                };
                entries.push(Entry { kind: kind.clone(), id, ours, theirs, backend });
            }
        }
        Ok(entries)
    }

    /// The numbers of all devices of a kind, in ascending order.
    pub async fn ids(&self, kind: &str) -> Result<Vec<u32>, Error> {
        let names = self.names(&format!("device/{kind}")).await?;
        let mut ids: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).take(DEVICES_MAX).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Waits until devices may have come or gone. True at once, the first time.
    pub async fn changed(&mut self) -> Result<(), Error> {
        let watch = match &mut self.watch {
            Some(watch) => watch,
            none => none.insert(self.store.watch("device")?),
        };
        watch.changed().await
    }

    async fn names(&self, path: &str) -> Result<Vec<String>, Error> {
        match self.store.directory(path).await {
            Err(Error::ENOENT | Error::BadPath) => Ok(Vec::new()),
            names => names,
        }
    }
}
