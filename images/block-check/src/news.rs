//! What becomes of the disks while they are worked on.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use fata_block::{Disk, Link, Name};
use fata_disk::{BlockDevice, Geometry};
use fata_rt::Rt;
use xen_hyp::{Platform, Signal};

/// Disks, and what was said of them.
pub(crate) struct News<P: Platform> {
    told: RefCell<Vec<Told<P>>>,
    changed: Signal,
}

struct Told<P: Platform> {
    disk: Disk<P>,
    away: bool,
    connects: u64,
    geometry: Option<Geometry>,
}

impl<P: Platform> News<P> {
    /// Watches disks that were there at least once.
    pub(crate) fn watch(rt: &Rt, disks: &[Disk<P>]) -> Rc<Self> {
        let told = |disk: &Disk<P>| Told { disk: disk.clone(), away: false, connects: 1, geometry: None };
        let told = RefCell::new(disks.iter().map(told).collect());
        let news = Rc::new(Self { told, changed: Signal::new() });
        for disk in disks {
            let (link, geometry) = (news.clone(), news.clone());
            let (first, second) = (disk.clone(), disk.clone());
            drop(rt.spawn(async move {
                let mut known = first.link();
                loop {
                    known = first.link_after(known).await;
                    link.changed.fire();
                }
            }));
            drop(rt.spawn(async move {
                let mut known = second.geometry();
                loop {
                    known = second.geometry_after(Some(known)).await;
                    geometry.changed.fire();
                }
            }));
        }
        news
    }

    /// Waits for something to be told. What lasted shorter than the line before took to write is left out.
    pub(crate) async fn next(&self) -> String {
        self.changed.until(|| self.told.borrow_mut().iter_mut().find_map(Told::next)).await
    }
}

impl<P: Platform> Told<P> {
    fn next(&mut self) -> Option<String> {
        let name = Name(self.disk.id());
        let (away, connects) = (self.disk.link() == Link::Paused, self.disk.totals().connects);
        if connects != self.connects {
            (self.connects, self.away) = (connects, false);
            return Some(format!("{name}: back, connects {connects}"));
        }
        if away != self.away {
            self.away = away;
            return Some(format!("{name}: {}", if away { "away" } else { "there" }));
        }
        let geometry = self.disk.geometry();
        if self.geometry != Some(geometry) {
            self.geometry = Some(geometry);
            let Geometry { sectors, logical_bytes, physical_bytes, read_only, .. } = geometry;
            let read_only = if read_only { ", read-only" } else { "" };
            return Some(format!(
                "{name}: {sectors} sectors of 512 bytes, logical {logical_bytes}, physical {physical_bytes}{read_only}"
            ));
        }
        None
    }
}
