//! The page and port through which a guest reaches its store.

use crate::domain::{Domain, End};
use crate::page::Page;
use std::rc::Rc;
use xen_hyp::{DomId, HvmParam, SharedMem};

/// Frame of the store's rings; any that is not RAM would do.
const STORE_FRAME: u64 = 0x39001;
/// `connection` of `struct xenstore_domain_interface`.
const CONNECTION: usize = 2068;

/// How a guest is given its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// It is not.
    Absent,
    /// It is introduced to the server before it runs, as by `xl create`.
    Present,
    /// dom0less, `xen,enhanced = "legacy"`: `HVM_PARAM_STORE_PFN` is all ones until it is introduced.
    Legacy,
    /// dom0less, `xen,enhanced = "enabled"`: the page is there, and says that nobody serves it yet.
    Enhanced,
}

impl Domain {
    pub(crate) fn set_up_store(&self) {
        if self.setup.store == Store::Absent {
            return;
        }
        let page = Rc::new(Page::new());
        for offset in (2048..2064).step_by(4) {
            page.store(offset, self.setup.store_index);
        }
        if self.setup.store == Store::Enhanced {
            page.store(CONNECTION, 1);
        }
        self.frames.borrow_mut().insert(STORE_FRAME, page);
        let port = self.open(End::Unbound(DomId::DOM0), false);
        self.set_param(HvmParam::StoreEvtchn, port.0.into());
        let late = self.setup.store == Store::Legacy;
        self.set_param(HvmParam::StorePfn, if late { u64::MAX } else { STORE_FRAME });
    }

    /// The page of the store's rings, as the server sees it.
    pub fn store_page(&self) -> Rc<Page> {
        self.frames.borrow()[&STORE_FRAME].clone()
    }

    /// Gives the guest another port for its store, as when it is created anew to resume. The server must be down.
    pub fn move_store_port(&self) {
        let old = self.param(HvmParam::StoreEvtchn) as u32;
        let port = self.open(End::Unbound(DomId::DOM0), false);
        self.ports.borrow_mut().remove(&old);
        self.set_param(HvmParam::StoreEvtchn, port.0.into());
    }

    pub(crate) fn announce_store(&self) {
        self.set_param(HvmParam::StorePfn, STORE_FRAME);
    }
}
