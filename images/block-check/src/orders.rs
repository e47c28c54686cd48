//! What the toolstack orders this domain to do.

use alloc::rc::Rc;
use core::cell::Cell;
use fata_rt::Rt;
use fata_xenbus::{Control, Error, Order};
use fata_xenstore::Xenstore;
use xen_hyp::{Platform, Reason, Signal};

/// The orders that have come.
#[derive(Default)]
pub(crate) struct Orders {
    enough: Cell<bool>,
    end: Cell<Option<Reason>>,
    came: Signal,
}

impl Orders {
    /// Listens from now on.
    pub(crate) fn hear<P: Platform>(rt: &Rt, store: &Xenstore<P>) -> Rc<Self> {
        let orders = Rc::new(Self::default());
        let (heard, store) = (orders.clone(), store.clone());
        drop(rt.spawn(async move {
            if let Err(error) = heard.listen(&store).await {
                fata_log::error!("the toolstack's orders cannot be heard: {}", error);
            }
        }));
        orders
    }

    async fn listen<P: Platform>(&self, store: &Xenstore<P>) -> Result<(), Error> {
        let mut control = Control::open(store).await?;
        loop {
            let end = match control.next().await? {
                Order::Poweroff => {
                    self.enough.set(true);
                    self.came.fire();
                    continue;
                }
                Order::Halt => Reason::Poweroff,
                Order::Reboot => Reason::Reboot,
                Order::Crash => Reason::Crash,
                Order::Suspend | Order::Sysrq(_) => continue,
            };
            self.end.set(Some(end));
            self.came.fire();
        }
    }

    /// Whether this domain is to end once its round is done.
    pub(crate) fn enough(&self) -> bool {
        self.enough.get()
    }

    /// Waits until that is so.
    pub(crate) async fn told(&self) {
        self.came.until(|| self.enough().then_some(())).await;
    }

    /// Waits until this domain is to end at once, and says how.
    pub(crate) async fn end(&self) -> Reason {
        self.came.until(|| self.end.get()).await
    }
}
