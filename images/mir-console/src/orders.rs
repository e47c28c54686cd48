//! What the toolstack orders this domain to do.

use crate::app::Exit;
use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};
use fata_xenbus::{Control, Error, Order};
use fata_xenstore::Xenstore;
use xen_hyp::{Platform, Signal};

/// So many keys are kept for a console that is busy.
const KEYS: usize = 16;

/// Orders that have come and not been followed.
#[derive(Debug, Default)]
pub struct Orders {
    exit: Cell<Option<Exit>>,
    keys: RefCell<VecDeque<char>>,
    came: Signal,
}

impl Orders {
    /// Takes orders as long as there is a store. To be spawned once.
    pub async fn hear<P: Platform>(&self, store: &Xenstore<P>) {
        let Err(error) = self.listen(store).await;
        fata_log::error!("the toolstack's orders cannot be heard: {}", error);
    }

    async fn listen<P: Platform>(&self, store: &Xenstore<P>) -> Result<core::convert::Infallible, Error> {
        let mut control = Control::open(store).await?;
        loop {
            match control.next().await? {
                Order::Poweroff | Order::Halt => self.end(Exit::Poweroff),
                Order::Reboot => self.end(Exit::Reboot),
                Order::Crash => self.end(Exit::Crash),
                Order::Suspend => {
                    fata_log::warn!("the toolstack wants to suspend us, which we cannot do yet")
                }
                Order::Sysrq(key) => {
                    let mut keys = self.keys.borrow_mut();
                    if keys.len() < KEYS {
                        keys.push_back(key);
                        self.came.fire();
                    }
                }
            }
        }
    }

    fn end(&self, exit: Exit) {
        fata_log::info!("the toolstack orders: {}", exit);
        self.exit.set(Some(exit));
        self.came.fire();
    }

    /// Waits until this domain is to end.
    pub async fn exit(&self) -> Exit {
        self.came.until(|| self.exit.get()).await
    }

    /// Waits for the next key of `xl sysrq`.
    pub async fn key(&self) -> char {
        self.came.until(|| self.keys.borrow_mut().pop_front()).await
    }
}
