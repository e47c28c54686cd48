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
}

impl<P: Platform> Control<P> {
    /// Says which orders are followed, and listens for them.
    pub async fn open(store: &Xenstore<P>) -> Result<Self, Error> {
        let node = |path| store.watch(path).map(|watch| Node { watch, news: false });
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
            if self.shutdown.news {
                let word = self.take(SHUTDOWN).await?;
                self.shutdown.news = false;
                let stood = core::mem::replace(&mut self.suspend, word.as_deref() == Some(SUSPEND));
                match word.as_deref() {
                    Some("poweroff") => return Ok(Order::Poweroff),
                    Some("reboot") => return Ok(Order::Reboot),
                    Some("halt") => return Ok(Order::Halt),
                    Some("crash") => return Ok(Order::Crash),
                    Some(SUSPEND) if !stood => return Ok(Order::Suspend),
                    _ => {}
                }
            }
            if self.sysrq.news {
                let keys = self.take(SYSRQ).await?;
                self.sysrq.news = false;
                if let Some(key) = keys.and_then(|keys| keys.chars().next()) {
                    return Ok(Order::Sysrq(key));
                }
            }
        }
    }

    /// Takes an order from its node, which is then empty: that is the acknowledgement.
    async fn take(&self, path: &str) -> Result<Option<String>, Error> {
        let word = match self.store.try_read_string(path).await {
            // No text, so no order; it is acknowledged like any.
            Err(Error::BadValue) => Some(String::from("?")),
            Err(Error::Store(Errno::EACCES)) => None,
            word => word?.filter(|word| !word.is_empty()),
        };
        if let Some(word) = &word
            && word != SUSPEND
        {
            match self.store.write(path, "").await {
                // Not ours to acknowledge, but an order.
                Err(Error::Store(Errno::EACCES)) => {}
                written => written?,
            }
        }
        Ok(word)
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
