//! Addresses of an interface: from whoever says something of them, now and while it runs.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use fata_addresses::{Choice, Origin, Source, Topic, choose};
use fata_netstack::{Config, Conflict, IpAddress, Stack};
use fata_rt::Rt;
use fata_xenstore::{Error, Xenstore};
use xen_hyp::Platform;

/// How long a disk may take to be there and to be read, and a server to answer.
#[cfg(feature = "cidata")]
const DISK_PATIENCE: core::time::Duration = core::time::Duration::from_secs(2);
#[cfg(feature = "metadata")]
const METADATA_PATIENCE: core::time::Duration = core::time::Duration::from_secs(5);

/// What was chosen, and where to look whether it is still right.
pub struct Addresses<P: Platform> {
    store: Xenstore<P>,
    id: u32,
    /// What was said once and for all.
    told: Vec<Source>,
    choice: Choice,
}

/// Chooses the addresses of the interface with this number, and says in the log which source counted and why the others
/// did not. `told` is what is known already, of any [`Origin`]; what Xenstore says is added to it. Origins count in their
/// order.
pub async fn addresses<P: Platform>(store: &Xenstore<P>, id: u32, told: Vec<Source>) -> Addresses<P> {
    let mut addresses = Addresses { store: store.clone(), id, told, choice: choose(Vec::new()) };
    addresses.choice = addresses.read().await;
    fata_log::info!("{}", addresses.choice);
    addresses
}

/// What the first of these disks says that is labelled `cidata`. One that is not there in time says nothing.
#[cfg(feature = "cidata")]
pub async fn cidata<P: Platform>(rt: &Rt, disks: &[fata_block::Disk<P>]) -> Option<Source> {
    for disk in disks {
        let read = async {
            disk.ready().await.ok()?;
            fata_addresses::cidata::read(disk, None).await
        };
        if let Ok(Some(source)) = rt.timeout(DISK_PATIENCE, read).await {
            return Some(source);
        }
    }
    None
}

impl<P: Platform> Addresses<P> {
    /// Has a stack that is up ask the server at 169.254.169.254, and take from it what nobody else says.
    #[cfg(feature = "metadata")]
    pub async fn ask_metadata(&mut self, rt: &Rt, stack: &Stack) {
        let read = fata_addresses::metadata::read(stack);
        let source = rt.timeout(METADATA_PATIENCE, read).await.unwrap_or_else(|_| {
            Source::unreadable(Origin::Metadata, "169.254.169.254", "it does not answer".into())
        });
        self.told.push(source);
        self.choice = self.read().await;
        fata_log::info!("{}", self.choice);
        stack.configure(self.config());
    }

    /// For [`Stack::start`].
    pub fn config(&self) -> Config {
        self.choice.config.clone()
    }

    /// What was chosen, and why.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// Has a stack follow what is said from now on: changes of `data/net/ID`, `data/ip` and `data/gw`, and addresses that
    /// turn out to be somebody else's, for which the next source counts.
    pub fn follow(self, rt: &Rt, stack: &Stack) {
        let stack = stack.clone();
        drop(rt.spawn(async move {
            let Err(error) = self.keep(&stack).await;
            fata_log::error!("addresses do not change any more: {}", error);
        }));
    }

    async fn keep(mut self, stack: &Stack) -> Result<core::convert::Infallible, Error> {
        let mut watches = Vec::new();
        for path in [format!("data/net/{}", self.id), "data/ip".into(), "data/gw".into()] {
            watches.push(self.store.watch(&path)?);
        }
        loop {
            let news = {
                let mut changes: Vec<_> = watches.iter_mut().map(|watch| Box::pin(watch.changed())).collect();
                let mut conflict = pin!(stack.when(lost));
                poll_fn(|cx| {
                    // All at once, so that what changed together is read once.
                    let mut changed = false;
                    for change in &mut changes {
                        if let Poll::Ready(result) = change.as_mut().poll(cx) {
                            result?;
                            changed = true;
                        }
                    }
                    if changed {
                        return Poll::Ready(Ok::<_, Error>(None));
                    }
                    conflict.as_mut().poll(cx).map(|conflict| Ok(Some(conflict)))
                })
                .await?
            };
            let choice = match news {
                None => self.read().await,
                Some(Conflict { address, holder }) => {
                    fata_log::warn!("{} belongs to {}", address, holder);
                    let v4 = matches!(address, IpAddress::Ipv4(_));
                    self.choice.without(if v4 { Topic::V4 } else { Topic::V6 })
                }
            };
            if choice.config != self.choice.config {
                fata_log::info!("{}", choice);
                stack.configure(choice.config.clone());
            }
            self.choice = choice;
        }
    }

    /// Asks everybody.
    async fn read(&self) -> Choice {
        let mut sources = self.told.clone();
        sources.extend(self.tree().await);
        sources.extend(self.nodes().await);
        sources.extend(self.backend().await);
        sources.sort_by_key(|source| source.origin);
        choose(sources)
    }

    async fn tree(&self) -> Option<Source> {
        let root = format!("data/net/{}", self.id);
        let names = match self.store.directory(&root).await {
            Ok(names) => names,
            Err(Error::ENOENT) => return None,
            Err(error) => return Some(Source::unreadable(Origin::StoreTree, &root, format!("{error}"))),
        };
        let mut nodes = Vec::new();
        // What is not of addresses is not read.
        for name in names.iter().filter(|name| Topic::of(name, "").is_some()) {
            let path = format!("{root}/{name}");
            match self.store.try_read_string(&path).await {
                Ok(value) => nodes.extend(value.map(|value| (&**name, value))),
                Err(error) => {
                    return Some(Source::unreadable(Origin::StoreTree, &path, format!("{error}")));
                }
            }
        }
        Some(Source::nodes(Origin::StoreTree, nodes.iter().map(|(name, value)| (*name, &**value))))
    }

    /// Those that there were before there was a tree, of the first interface.
    async fn nodes(&self) -> Option<Source> {
        if self.id != 0 {
            return None;
        }
        let mut nodes = Vec::new();
        for name in ["ip", "gw"] {
            let path = format!("data/{name}");
            match self.store.try_read_string(&path).await {
                Ok(value) => nodes.extend(value.map(|value| (name, value))),
                Err(error) => {
                    return Some(Source::unreadable(Origin::StoreNodes, &path, format!("{error}")));
                }
            }
        }
        let source = Source::nodes(Origin::StoreNodes, nodes.iter().map(|(name, value)| (*name, &**value)));
        (!nodes.is_empty()).then_some(source)
    }

    /// What xl was told with the interface. Who may not read it does without.
    async fn backend(&self) -> Option<Source> {
        let path = self.read_string(&format!("device/vif/{}/backend", self.id)).await?;
        let ip = self.read_string(&format!("{path}/ip")).await?;
        Some(Source::backend(&ip)).filter(|_| !ip.trim_ascii().is_empty())
    }

    async fn read_string(&self, path: &str) -> Option<String> {
        self.store.try_read_string(path).await.ok().flatten()
    }
}

/// An address that was given and is somebody else's.
fn lost(stack: &Stack) -> Option<Conflict> {
    let config = stack.config();
    let given = |conflict: &Conflict| match conflict.address {
        IpAddress::Ipv4(address) => config.static_v4().any(|cidr| cidr.address() == address),
        IpAddress::Ipv6(address) => config.v6.iter().any(|cidr| cidr.address() == address),
    };
    stack.conflicts().into_iter().find(given)
}
