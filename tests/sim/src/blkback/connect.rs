//! States, and what each half tells the other (`xen-blkback/xenbus.c`).

use super::queue::Queue;
use super::{Blkback, Inner};
use crate::vdev::state::{CLOSED, CLOSING, CONNECTED, INIT_WAIT, INITIALISED, INITIALISING, UNKNOWN};

/// `VDISK_*`.
const CDROM: u32 = 1;
const REMOVABLE: u32 = 2;
const READONLY: u32 = 4;

impl Blkback {
    /// Does what the nodes ask for; gives whether there was anything.
    pub(super) fn follow_states(&self, inner: &mut Inner) -> bool {
        let news = !self.nodes.take().is_empty() | core::mem::take(&mut inner.news);
        let mut any = false;
        if news && inner.watch.is_none() && inner.driver && self.vdev.state() == INITIALISING {
            self.probe(inner);
            any = true;
        }
        if inner.connecting > 0 {
            inner.connecting -= 1;
            if inner.connecting == 0 && self.vdev.has_back() {
                self.update(inner);
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
            inner.detach(&self.world);
            any = true;
        }
        // Where no driver will ever close it the toolstack loses patience.
        if inner.pulling && (self.vdev.state() == CLOSED || inner.watch.is_none()) {
            self.vdev.pull();
            (inner.pulling, any) = (false, true);
        }
        any
    }

    /// `xen_blkbk_probe`.
    pub(super) fn probe(&self, inner: &mut Inner) {
        inner.state = INITIALISING;
        let features = &inner.features;
        for (name, number) in [
            ("feature-max-indirect-segments", features.segments),
            ("multi-queue-max-queues", features.queues),
            ("max-ring-page-order", features.ring_order),
        ] {
            if number > 0 {
                self.write(inner, name, &number.to_string());
            } else {
                self.vdev.remove(name);
            }
        }
        if features.early {
            self.write_features(inner);
        }
        self.switch(inner, INIT_WAIT);
        inner.watch = Some(self.vdev.watch_front());
    }

    /// `frontend_changed`.
    fn front_changed(&self, inner: &mut Inner, theirs: u32) {
        match theirs {
            INITIALISING if inner.state == CLOSED => self.switch(inner, INIT_WAIT),
            INITIALISING => {}
            INITIALISED | CONNECTED if inner.state == CONNECTED => {}
            INITIALISED | CONNECTED => {
                self.finish_pending(inner);
                inner.disconnect(&self.world);
                match self.connect_queues(inner) {
                    Ok(queues) => inner.queues = queues,
                    Err(why) => return self.give_up(inner, why),
                }
                match inner.connect_turns {
                    0 => self.update(inner),
                    turns => inner.connecting = turns,
                }
            }
            CLOSING => self.switch(inner, CLOSING),
            CLOSED => {
                self.finish_pending(inner);
                inner.disconnect(&self.world);
                self.switch(inner, CLOSED);
                if self.vdev.read("online") != "1" {
                    inner.detach(&self.world);
                }
            }
            UNKNOWN => {
                self.finish_pending(inner);
                inner.detach(&self.world);
                if self.vdev.state() == CLOSING {
                    self.vdev.write("state", CLOSED.to_string());
                }
            }
            other => self.give_up(inner, format!("saw state {other} at frontend")),
        }
    }

    /// `connect_ring`.
    fn connect_queues(&self, inner: &Inner) -> Result<Vec<Queue>, String> {
        let vdev = &self.vdev;
        if !["", "arm-abi", "x86_64-abi"].contains(&&vdev.read_front("protocol")[..]) {
            return Err(format!("unknown fe protocol {}", vdev.read_front("protocol")));
        }
        let features = &inner.features;
        let persistent = features.persistent && vdev.number("feature-persistent") == Some(1);
        let persistent_max = persistent.then_some(features.persistent_max);
        let count = vdev.number("multi-queue-num-queues");
        let prefix = |n| if count.is_some_and(|n| n > 1) { format!("queue-{n}/") } else { String::new() };
        match count.unwrap_or(1) {
            count if (1..=features.queues.max(1)).contains(&count) => (0..count)
                .map(|n| {
                    let order = features.ring_order;
                    Queue::map(&self.world, &self.home, &self.guest, vdev, &prefix(n), order, persistent_max)
                })
                .collect(),
            count => Err(format!("guest requested {count} queues")),
        }
    }

    /// `xen_update_blkif_status` and `connect`: there are rings and a disk.
    pub(super) fn update(&self, inner: &mut Inner) {
        if inner.queues.is_empty() || !inner.inserted || inner.state == CONNECTED {
            return;
        }
        self.write_features(inner);
        let features = &inner.features;
        let of = |set: bool, flag: u32| if set { flag } else { 0 };
        let info =
            of(features.cdrom, CDROM) | of(features.removable, REMOVABLE) | of(features.read_only, READONLY);
        for (name, value) in [
            ("sectors", self.medium().sectors()),
            ("info", info.into()),
            ("sector-size", features.sector_bytes.into()),
            ("physical-sector-size", features.physical_bytes.into()),
        ] {
            self.write(inner, name, &value.to_string());
        }
        self.switch(inner, CONNECTED);
    }

    /// What it can do, in the order in which `connect` says it.
    fn write_features(&self, inner: &Inner) {
        let features = &inner.features;
        let digit = |yes: bool| if yes { "1" } else { "0" };
        self.write(inner, "feature-flush-cache", digit(features.flush));
        if features.discard {
            self.write(inner, "discard-granularity", &features.physical_bytes.to_string());
            self.write(inner, "discard-alignment", "0");
            self.write(inner, "discard-secure", digit(features.secure));
        }
        self.write(inner, "feature-discard", digit(features.discard));
        self.write(inner, "feature-barrier", digit(features.barrier));
        self.write(inner, "feature-persistent", digit(features.persistent));
    }

    /// `xenbus_dev_fatal`.
    fn give_up(&self, inner: &mut Inner, why: String) {
        inner.complaints.push(why);
        inner.disconnect(&self.world);
        self.switch(inner, CLOSING);
    }

    /// `xenbus_switch_state`.
    fn switch(&self, inner: &mut Inner, state: u32) {
        if inner.state != state && self.vdev.has_back() {
            inner.state = state;
            self.write(inner, "state", &state.to_string());
        }
    }
}
