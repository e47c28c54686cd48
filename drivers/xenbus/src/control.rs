//! What the toolstack tells this domain to do (`docs/misc/xenstore-paths.pandoc`, "Domain Controlled Paths").

use crate::Error;
use crate::join::either;
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
    shutdown: Watch,
    sysrq: Watch,
    /// An order to suspend stands, and has been passed on.
    suspend: bool,
}

impl<P: Platform> Control<P> {
    /// Says which orders are followed, and listens for them.
    pub async fn open(store: &Xenstore<P>) -> Result<Self, Error> {
        for (path, value) in FEATURES {
            match store.write(path, value).await {
                // A toolstack that does not want to know.
                Err(Error::Store(_)) => {}
                written => written?,
            }
        }
        let (shutdown, sysrq) = (store.watch(SHUTDOWN)?, store.watch(SYSRQ)?);
        Ok(Self { store: store.clone(), shutdown, sysrq, suspend: false })
    }

    /// Waits for the next order and acknowledges it. What is no order is ignored, and acknowledged all the same.
    pub async fn next(&mut self) -> Result<Order, Error> {
        loop {
            let word = self.take(SHUTDOWN).await?;
            let stood = core::mem::replace(&mut self.suspend, word.as_deref() == Some(SUSPEND));
            match word.as_deref() {
                Some("poweroff") => return Ok(Order::Poweroff),
                Some("reboot") => return Ok(Order::Reboot),
                Some("halt") => return Ok(Order::Halt),
                Some("crash") => return Ok(Order::Crash),
                Some(SUSPEND) if !stood => return Ok(Order::Suspend),
                _ => {}
            }
            if let Some(key) = self.take(SYSRQ).await?.and_then(|keys| keys.chars().next()) {
                return Ok(Order::Sysrq(key));
            }
            self.either_changed().await?;
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

    async fn either_changed(&mut self) -> Result<(), Error> {
        either(self.shutdown.changed(), self.sysrq.changed()).await
    }
}
