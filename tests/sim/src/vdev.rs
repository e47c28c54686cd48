//! The nodes of a device of two halves, as the toolstack makes and removes them (`tools/libs/light/libxl_device.c`).
//!
//! A backend in the simulator builds on this: it reads the guest's half and writes its own by [`Vdev`].

use crate::xenstored::{StoreWatch, Xenstored};
use std::rc::Rc;
use xen_hyp::DomId;

/// `enum xenbus_state` (`xen/include/public/io/xenbus.h`).
pub mod state {
    /// There is no such node.
    pub const UNKNOWN: u32 = 0;
    /// As plugged in.
    pub const INITIALISING: u32 = 1;
    /// Waits for the other half.
    pub const INIT_WAIT: u32 = 2;
    /// Has said where it is.
    pub const INITIALISED: u32 = 3;
    /// Works.
    pub const CONNECTED: u32 = 4;
    /// Is going away.
    pub const CLOSING: u32 = 5;
    /// Has gone away.
    pub const CLOSED: u32 = 6;
    /// Changes.
    pub const RECONFIGURING: u32 = 7;
    /// Has changed.
    pub const RECONFIGURED: u32 = 8;
}

/// A device of a guest.
pub struct Vdev {
    store: Rc<Xenstored>,
    guest: DomId,
    /// Where its backend runs.
    home: DomId,
    front: String,
    back: String,
}

/// Nodes and their values.
pub type Nodes<'a> = &'a [(&'a str, &'a str)];

impl Vdev {
    /// The place of a device of this kind (`vbd`, `vif`) and number, with a backend in domain 0. It need not be there.
    pub fn new(store: &Rc<Xenstored>, guest: DomId, kind: &str, id: u32) -> Self {
        Self::new_in(store, DomId::DOM0, guest, kind, id)
    }

    /// The same with a backend in another domain.
    pub fn new_in(store: &Rc<Xenstored>, home: DomId, guest: DomId, kind: &str, id: u32) -> Self {
        let front = format!("/local/domain/{}/device/{kind}/{id}", guest.0);
        let back = format!("/local/domain/{}/backend/{kind}/{}/{id}", home.0, guest.0);
        Self { store: store.clone(), guest, home, front, back }
    }

    /// The directory of the guest's half.
    pub fn front(&self) -> &str {
        &self.front
    }

    /// The directory of the backend's half.
    pub fn back(&self) -> &str {
        &self.back
    }

    /// Plugs it in (`libxl__device_generic_add`), with what the kind of device needs besides.
    pub fn plug(&self, front: Nodes<'_>, back: Nodes<'_>) {
        let (guest, home, store) = (self.guest.0, self.home.0, &self.store);
        self.pull();
        store.write(&self.front, "");
        store.set_perms(&self.front, &[&format!("n{guest}"), &format!("r{home}")]);
        store.write(&self.back, "");
        store.set_perms(&self.back, &[&format!("n{home}"), &format!("r{guest}")]);
        let usual = [("frontend", &self.front[..]), ("frontend-id", &guest.to_string()), ("online", "1")];
        for (name, value) in usual.iter().chain(back).chain(&[("state", "1")]) {
            self.write(name, value);
        }
        let usual = [("backend", &self.back[..]), ("backend-id", &home.to_string())];
        for (name, value) in usual.iter().chain(front).chain(&[("state", "1")]) {
            store.write(&format!("{}/{name}", self.front), value);
        }
    }

    /// Asks both halves to close (`libxl__initiate_device_generic_remove`).
    pub fn ask_to_close(&self) {
        self.write("online", "0");
        self.write("state", "5");
    }

    /// Removes all its nodes, whatever state it is in (`libxl__device_destroy`).
    pub fn pull(&self) {
        self.store.rm(&self.front);
        self.store.rm(&self.back);
    }

    /// Whether the guest's half is there.
    pub fn is_plugged(&self) -> bool {
        self.store.read(&self.front).is_some()
    }

    /// The text in a node of the guest's half; empty if there is none.
    pub fn read_front(&self, name: &str) -> String {
        let value = self.store.read(&format!("{}/{name}", self.front)).unwrap_or_default();
        String::from_utf8_lossy(&value).into_owned()
    }

    /// The number in a node of the guest's half.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.read_front(name).parse().ok()
    }

    /// The text in a node of the backend's half; empty if there is none.
    pub fn read(&self, name: &str) -> String {
        let value = self.store.read(&format!("{}/{name}", self.back)).unwrap_or_default();
        String::from_utf8_lossy(&value).into_owned()
    }

    /// Writes a node of the backend's half.
    pub fn write(&self, name: &str, value: impl AsRef<[u8]>) {
        self.store.write(&format!("{}/{name}", self.back), value);
    }

    /// Writes a node of the guest's half.
    pub fn write_front(&self, name: &str, value: impl AsRef<[u8]>) {
        self.store.write(&format!("{}/{name}", self.front), value);
    }

    /// Removes a node of the backend's half.
    pub fn remove(&self, name: &str) {
        self.store.rm(&format!("{}/{name}", self.back));
    }

    /// Whether the backend's half is there.
    pub fn has_back(&self) -> bool {
        self.store.read(&self.back).is_some()
    }

    /// Watches the state of the guest's half.
    pub fn watch_front(&self) -> StoreWatch {
        self.store.watch(&format!("{}/state", self.front))
    }

    /// The state of the backend's half, 0 if there is none.
    pub fn state(&self) -> u32 {
        self.read("state").parse().unwrap_or(0)
    }

    /// The state of the guest's half, 0 if there is none (`xenbus_read_driver_state`).
    pub fn front_state(&self) -> u32 {
        self.number("state").unwrap_or(0)
    }
}
