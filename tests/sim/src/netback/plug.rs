//! What a toolstack, an administrator or a mishap does to the device.

use super::control::Hash;
use super::{Features, Inner, Netback, Packet, Queue};
use crate::world::World;

impl Netback {
    /// Plugs the device in, as `xl network-attach` does (`libxl__set_xenstore_nic`).
    pub fn plug(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.disconnect(&self.world);
        inner.detach();
        let Features { mac, mtu, trusted, carrier, .. } = inner.features;
        let (id, mac) = (self.id.to_string(), mac.map(|byte| format!("{byte:02x}")).join(":"));
        let mtu = mtu.map(|mtu| mtu.to_string());
        let mut front = vec![("handle", &id[..]), ("mac", &mac)];
        front.extend(mtu.as_ref().map(|mtu| ("mtu", &mtu[..])));
        front.extend(trusted.map(|trusted| ("trusted", if trusted { "1" } else { "0" })));
        let mut back = vec![
            ("script", "/etc/xen/scripts/vif-bridge"),
            ("mac", &mac),
            ("bridge", "xenbr0"),
            ("handle", &id),
            ("type", "vif"),
            ("hotplug-status", ""),
        ];
        back.extend(carrier.map(|carrier| ("carrier", if carrier { "1" } else { "0" })));
        inner.carrier = carrier;
        self.vdev.plug(&front, &back);
        inner.pulling = false;
        let set: Vec<String> = inner.nodes.keys().cloned().collect();
        set.iter().for_each(|name| self.write(&inner, name, ""));
    }

    /// Asks for the device to be let go, as `xl network-detach` does, and removes it when it has been.
    pub fn unplug(&self) {
        self.vdev.ask_to_close();
        self.inner.borrow_mut().pulling = true;
    }

    /// Removes the device, whatever state it is in, as `xl network-detach --force` does.
    pub fn pull(&self) {
        self.vdev.pull();
        self.inner.borrow_mut().pulling = false;
    }

    /// Whether there is a driver, for devices plugged in from now on and the one there is.
    pub fn set_driver(&self, driver: bool) {
        let mut inner = self.inner.borrow_mut();
        (inner.driver, inner.news) = (driver, true);
    }

    /// Whether the script that adds the interface to the bridge comes to an end. Until then it does not say that it is
    /// connected.
    pub fn set_script(&self, script: bool) {
        let mut inner = self.inner.borrow_mut();
        (inner.script, inner.news) = (script, true);
        if script && inner.watch.is_some() {
            self.write(&inner, "hotplug-status", "connected");
        }
    }

    /// Unbinds the driver, as through sysfs: what it has begun ends first, and it says that it is closed.
    pub fn unbind(&self) {
        let mut inner = self.inner.borrow_mut();
        self.remove(&mut inner);
        inner.driver = false;
    }

    /// Binds it again.
    pub fn bind(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.driver = true;
        if inner.watch.is_none() && self.vdev.has_back() {
            self.probe(&mut inner);
        }
    }

    /// The backend is no more: what it has begun it has, and the rest it has not. The nodes stay as they are. Its
    /// mappings go with it, or stay until [`let_go`](Self::let_go).
    pub fn crash(&self, keeps: bool) {
        let mut inner = self.inner.borrow_mut();
        if keeps {
            let pages: Vec<_> = inner.pending.iter().flat_map(Packet::pages).cloned().collect();
            inner.kept.extend(pages);
            let rings: Vec<_> = inner.queues.iter().flat_map(Queue::memory).collect();
            inner.kept_rings.extend(rings);
        }
        inner.disconnect(&self.world);
        inner.detach();
        inner.driver = false;
    }

    /// Says whether there is a link (`carrier`), and has frames pass or be lost.
    pub fn set_carrier(&self, carrier: bool) {
        let mut inner = self.inner.borrow_mut();
        inner.carrier = Some(carrier);
        inner.features.carrier = Some(carrier);
        if !carrier {
            let lost = inner.queues.iter_mut().map(|queue| queue.waiting.drain(..).count() as u64);
            let lost: u64 = lost.sum();
            inner.stats.dropped_down += lost;
        }
        if self.vdev.has_back() {
            self.write(&inner, "carrier", if carrier { "1" } else { "0" });
        }
    }

    /// Says another MTU, as the toolstack's script does.
    pub fn set_mtu(&self, mtu: u32) {
        self.inner.borrow_mut().features.mtu = Some(mtu);
        if self.vdev.is_plugged() {
            self.vdev.write_front("mtu", mtu.to_string());
        }
    }
}

impl Inner {
    /// `xenvif_disconnect_data`, without waiting for what is under way.
    pub(super) fn disconnect(&mut self, world: &World) {
        self.pending.clear();
        self.filter.clear();
        self.hash = Hash::default();
        if let Some(control) = self.control.take() {
            control.close(world);
        }
        for queue in self.queues.drain(..) {
            queue.close(world);
            self.stats.dropped_down += queue.waiting.len() as u64;
        }
    }

    /// Lets the device go.
    pub(super) fn detach(&mut self) {
        (self.watch, self.state) = (None, 0);
        (self.connecting, self.missed, self.deferred, self.disabled) = (0, false, false, false);
    }
}
