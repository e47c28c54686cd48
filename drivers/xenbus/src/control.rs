//! What the toolstack tells this domain to do (`docs/misc/xenstore-paths.pandoc`, "Domain Controlled Paths").

use crate::Error;
use crate::join::{Part, all, either};
use alloc::boxed::Box;
use alloc::string::String;
use fata_xenstore::{Errno, Watch, Xenstore};
use xen_hyp::Platform;

const SHUTDOWN: &str = "control/shutdown";
const SUSPEND: &str = "suspend";
const SYSRQ: &str = "control/sysrq";

/// The orders that this domain follows, as it says in its nodes.
const FEATURES: [(&str, &str); 3] = [
    ("control/feature-poweroff", "1"),
    ("control/feature-reboot", "1"),
    // Nothing can suspend a domain on ARM before Xen 4.22, and nothing here could resume it yet.
    ("control/feature-suspend", "0"),
];

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `xl shutdown`.
    Poweroff,
    /// `xl reboot`.
    Reboot,
    /// Stop without the toolstack starting anything else.
    Halt,
    /// `xl trigger`-like: fail on purpose.
    Crash,
    /// `xl save`; cannot be followed. It is left standing, so that the toolstack takes it back.
    Suspend,
    /// `xl sysrq`, with this key.
    Sysrq(char),
}

/// Where orders come from.
pub struct Control<P: Platform> {
    store: Xenstore<P>,
    shutdown: Node,
    sysrq: Node,
    /// An order to suspend stands, and has been passed on.
    suspend: bool,
}

/// A node that orders are written to.
struct Node {
    watch: Watch,
    /// It was written, and has not been read since.
    news: bool,
    /// What was read in it and not passed on yet.
    order: Option<Order>,
}

impl<P: Platform> Control<P> {
    /// Says which orders are followed, and listens for them.
    pub async fn open(store: &Xenstore<P>) -> Result<Self, Error> {
        let node = |path| store.watch(path).map(|watch| Node { watch, news: false, order: None });
        let (shutdown, sysrq) = (node(SHUTDOWN)?, node(SYSRQ)?);
        let write = |(path, value): (&'static str, &'static str)| -> Part<'_, Result<(), Error>> {
            Box::pin(store.write(path, value))
        };
        for written in all(FEATURES.into_iter().map(write).collect()).await {
            match written {
                // A toolstack that does not want to know.
                Err(Error::Store(_)) => {}
                written => written?,
            }
        }
        Ok(Self { store: store.clone(), shutdown, sysrq, suspend: false })
    }

    /// Waits for the next order and acknowledges it. What is no order is ignored, and acknowledged all the same.
    pub async fn next(&mut self) -> Result<Order, Error> {
        loop {
            // True at once for a new watch, so that orders from before are found.
            either(self.shutdown.changed(), self.sysrq.changed()).await?;
            // If this future is dropped before an order is acknowledged, the next one finds it here or in its node.
            if self.shutdown.news {
                let word = self.read(SHUTDOWN).await?;
                let stood = core::mem::replace(&mut self.suspend, word.as_deref() == Some(SUSPEND));
                self.shutdown.order = match word.as_deref() {
                    Some("poweroff") => Some(Order::Poweroff),
                    Some("reboot") => Some(Order::Reboot),
                    Some("halt") => Some(Order::Halt),
                    Some("crash") => Some(Order::Crash),
                    Some(SUSPEND) if !stood => Some(Order::Suspend),
                    _ => self.shutdown.order,
                };
                if word.is_some_and(|word| word != SUSPEND) {
                    self.acknowledge(SHUTDOWN).await?;
                }
                self.shutdown.news = false;
                if let Some(order) = self.shutdown.order.take() {
                    return Ok(order);
                }
            }
            if self.sysrq.news {
                let keys = self.read(SYSRQ).await?;
                if let Some(keys) = keys {
                    self.sysrq.order = keys.chars().next().map(Order::Sysrq);
                    self.acknowledge(SYSRQ).await?;
                }
                self.sysrq.news = false;
                if let Some(order) = self.sysrq.order.take() {
                    return Ok(order);
                }
            }
        }
    }

    /// What is in a node, if there is anything.
    async fn read(&self, path: &str) -> Result<Option<String>, Error> {
        match self.store.try_read_string(path).await {
            // No text, so no order; it is acknowledged like any.
            Err(Error::BadValue) => Ok(Some(String::from("?"))),
            Err(Error::Store(Errno::EACCES)) => Ok(None),
            word => Ok(word?.filter(|word| !word.is_empty())),
        }
    }

    /// Empties a node.
    async fn acknowledge(&self, path: &str) -> Result<(), Error> {
        match self.store.write(path, "").await {
            // Not ours to acknowledge, but an order.
            Err(Error::Store(Errno::EACCES)) => Ok(()),
            written => written,
        }
    }
}

impl Node {
    async fn changed(&mut self) -> Result<(), Error> {
        if !self.news {
            self.watch.changed().await?;
            self.news = true;
        }
        Ok(())
    }
}
