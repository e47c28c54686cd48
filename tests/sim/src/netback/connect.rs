//! States, and what each half tells the other (`xen-netback/xenbus.c`).

use super::queue::Queue;
use super::rx::Taken;
use super::{Inner, Netback};
use crate::vdev::state::{
    CLOSED, CLOSING, CONNECTED, INIT_WAIT, INITIALISED, INITIALISING, RECONFIGURED, RECONFIGURING, UNKNOWN,
};

impl Netback {
    /// Does what the nodes ask for; gives whether there was anything.
    pub(super) fn follow_states(&self, inner: &mut Inner) -> bool {
        let news = !self.nodes.take().is_empty() | core::mem::take(&mut inner.news);
        let mut any = false;
        if news && inner.watch.is_none() && inner.driver && self.is_new() {
            self.probe(inner);
            any = true;
        }
        if inner.connecting > 0 {
            inner.connecting -= 1;
            if inner.connecting == 0 {
                self.switch(inner, CONNECTED);
            }
            return true;
        }
        let events = inner.watch.as_ref().map_or(0, |watch| watch.take().len());
        let events = events + usize::from(core::mem::take(&mut inner.missed));
        for _ in 0..events {
            any = true;
            if inner.connecting > 0 {
                // The rest has to wait. Each says no more than that there is something to see.
                inner.missed = true;
            } else if inner.watch.is_some() {
                self.front_changed(inner, self.vdev.front_state());
            }
        }
        if news && inner.watch.is_some() && !self.vdev.has_back() {
            self.remove(inner);
            any = true;
        }
        // `hotplug_status_changed`.
        if inner.deferred && self.vdev.read("hotplug-status") == "connected" {
            (inner.deferred, any) = (false, true);
            self.write_state(inner);
        }
        // Where no driver will ever close it the toolstack loses patience.
        if inner.pulling && (self.vdev.state() == CLOSED || inner.watch.is_none()) {
            self.vdev.pull();
            (inner.pulling, any) = (false, true);
        }
        any
    }

    /// Whether there is a device to take on (`xenbus_probe_node`, `talk_to_otherend`).
    fn is_new(&self) -> bool {
        self.vdev.state() == INITIALISING && !self.vdev.read("frontend").is_empty()
    }

    /// `netback_probe`.
    pub(super) fn probe(&self, inner: &mut Inner) {
        inner.state = INITIALISING;
        (inner.disabled, inner.deferred) = (false, false);
        self.write_state(inner);
        self.write_features(inner);
        // Creating the interface starts the script that adds it to the bridge.
        if inner.script {
            self.write(inner, "hotplug-status", "connected");
        }
        inner.watch = Some(self.vdev.watch_front());
    }

    /// What it can do, in the order in which `netback_probe` says it.
    fn write_features(&self, inner: &Inner) {
        let features = &inner.features;
        for (name, offered) in [
            ("feature-sg", features.sg),
            ("feature-gso-tcpv4", features.gso_tcpv4),
            ("feature-gso-tcpv6", features.gso_tcpv6),
            ("feature-ipv6-csum-offload", features.csum_ipv6),
            ("feature-rx-copy", features.rx_copy),
            ("feature-rx-flip", false),
            ("feature-multicast-control", features.multicast_control),
            ("feature-dynamic-multicast-control", features.dynamic_multicast_control),
            ("feature-split-event-channels", features.split_event_channels),
            ("feature-ctrl-ring", features.ctrl_ring),
        ] {
            self.write(inner, name, if offered { "1" } else { "0" });
        }
        match features.queues {
            0 => self.vdev.remove("multi-queue-max-queues"),
            queues => self.write(inner, "multi-queue-max-queues", &queues.to_string()),
        }
    }

    /// `frontend_changed`.
    fn front_changed(&self, inner: &mut Inner, theirs: u32) {
        match theirs {
            INITIALISING => self.set_state(inner, INIT_WAIT),
            INITIALISED | RECONFIGURING | RECONFIGURED => {}
            CONNECTED => self.set_state(inner, CONNECTED),
            CLOSING => self.set_state(inner, CLOSING),
            CLOSED => {
                self.set_state(inner, CLOSED);
                if self.vdev.read("online") != "1" {
                    self.remove(inner);
                }
            }
            UNKNOWN => {
                self.set_state(inner, CLOSED);
                self.remove(inner);
            }
            other => self.give_up(inner, format!("saw state {other} at frontend")),
        }
    }

    /// Goes to a state by way of those between (`set_backend_state`).
    pub(super) fn set_state(&self, inner: &mut Inner, target: u32) {
        while inner.state != target {
            let next = match (inner.state, target) {
                (INITIALISING, CLOSED) => CLOSED,
                (INITIALISING, _) => INIT_WAIT,
                (CLOSED, CLOSING) => CLOSING,
                (CLOSED, _) => INIT_WAIT,
                (INIT_WAIT, CONNECTED) => {
                    self.connect(inner);
                    if inner.connect_turns > 0 {
                        inner.connecting = inner.connect_turns;
                        return;
                    }
                    CONNECTED
                }
                (INIT_WAIT, _) => CLOSING,
                (CONNECTED, _) => {
                    self.finish_pending(inner);
                    inner.disconnect(&self.world);
                    CLOSING
                }
                _ => CLOSED,
            };
            self.switch(inner, next);
        }
    }

    /// `connect`. Where it fails it says so, and yet goes on to be connected.
    fn connect(&self, inner: &mut Inner) {
        inner.taken = self.read_taken();
        inner.filtered = self.vdev.number("request-multicast-control").is_some_and(|n| n > 0);
        match self.connect_queues(inner) {
            Ok(queues) => {
                inner.queues = queues;
                inner.deferred = self.vdev.read("hotplug-status") != "connected";
            }
            Err(why) => {
                inner.disconnect(&self.world);
                self.give_up(inner, why);
            }
        }
    }

    fn connect_queues(&self, inner: &mut Inner) -> Result<Vec<Queue>, String> {
        let vdev = &self.vdev;
        let count = vdev.number("multi-queue-num-queues").unwrap_or(1);
        if !(1..=inner.features.queues.max(1)).contains(&count) {
            return Err(format!("guest requested {count} queues"));
        }
        if !inner.taken.copy {
            inner.complaints.push("no request-rx-copy".into());
        }
        inner.control = self.connect_control()?;
        let prefix = |n| if count > 1 { format!("queue-{n}/") } else { String::new() };
        let mut queues = Vec::new();
        for n in 0..count {
            match Queue::map(&self.world, &self.home, &self.guest, vdev, &prefix(n)) {
                Ok(queue) => queues.push(queue),
                Err(why) => {
                    queues.iter().for_each(|queue| queue.close(&self.world));
                    return Err(why);
                }
            }
        }
        Ok(queues)
    }

    /// `read_xenbus_vif_flags`.
    fn read_taken(&self) -> Taken {
        let yes = |name: &str| self.vdev.number(name).is_some_and(|n| n > 0);
        Taken {
            copy: yes("request-rx-copy"),
            notify: yes("feature-rx-notify"),
            sg: yes("feature-sg"),
            gso_tcpv4: yes("feature-gso-tcpv4"),
            gso_tcpv6: yes("feature-gso-tcpv6"),
            csum: !yes("feature-no-csum-offload"),
            csum_ipv6: yes("feature-ipv6-csum-offload"),
        }
    }

    /// `xenbus_dev_fatal`.
    fn give_up(&self, inner: &mut Inner, why: String) {
        inner.complaints.push(why.clone());
        if self.vdev.has_back() {
            self.vdev.write("error", &why);
            self.write(inner, "state", &CLOSING.to_string());
        }
    }

    /// `netback_remove`.
    pub(super) fn remove(&self, inner: &mut Inner) {
        if inner.watch.is_none() {
            return;
        }
        self.finish_pending(inner);
        inner.disconnect(&self.world);
        self.set_state(inner, CLOSED);
        self.vdev.remove("hotplug-status");
        inner.detach();
        // What it has written itself is no device to take on, whatever a test has in the node instead.
        self.nodes.take();
    }

    /// `backend_switch_state`: what is said waits for the script, if it is not done.
    fn switch(&self, inner: &mut Inner, state: u32) {
        inner.state = state;
        if !inner.deferred {
            self.write_state(inner);
        }
    }

    fn write_state(&self, inner: &Inner) {
        if self.vdev.has_back() {
            self.write(inner, "state", &inner.state.to_string());
        }
    }
}
