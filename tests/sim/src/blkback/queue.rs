//! One ring of a connected disk, and what of the guest's memory is mapped for it.

use super::request::{Request, SEGMENTS_A_PAGE, SLOT, Segment, Segments, response};
use crate::domain::Domain;
use crate::grants::{MappedPage, MappedPages};
use crate::vdev::Vdev;
use crate::world::World;
use fata_ring::Back;
use std::collections::BTreeMap;
use std::rc::Rc;
use xen_hyp::{GrantRef, Port, SharedMem};

pub(super) struct Queue {
    pub(super) back: Back<Rc<MappedPages>>,
    pub(super) memory: Rc<MappedPages>,
    /// Our end of its channel.
    pub(super) port: Port,
    home: Rc<Domain>,
    /// There may be requests.
    pub(super) awake: bool,
    /// The guest broke the protocol in it.
    pub(super) dead: bool,
    /// Pages that stay mapped, by their grants; `None` if none do.
    pub(super) persistent: Option<BTreeMap<u32, Rc<MappedPage>>>,
    persistent_max: usize,
}

impl Queue {
    /// Maps a ring whose nodes have this prefix, and binds its port (`read_per_ring_refs`).
    pub(super) fn map(
        world: &World,
        home: &Rc<Domain>,
        guest: &Rc<Domain>,
        vdev: &Vdev,
        prefix: &str,
        ring_order: u32,
        persistent_max: Option<usize>,
    ) -> Result<Self, String> {
        let number = |name: &str| vdev.number(name).ok_or_else(|| format!("reading {}/{name}", vdev.front()));
        let remote = Port(number(&format!("{prefix}event-channel"))?);
        let grefs = match vdev.number("ring-page-order") {
            None => vec![number(&format!("{prefix}ring-ref"))?],
            Some(order) if order > ring_order => return Err(format!("ring page order {order} exceeds max")),
            Some(order) => {
                (0..1 << order).map(|n| number(&format!("{prefix}ring-ref{n}"))).collect::<Result<_, _>>()?
            }
        };
        let map = |gref| {
            world
                .map_grant(home.id(), guest, GrantRef(gref), true)
                .map_err(|status| format!("mapping ring-ref {gref}: status {status}"))
        };
        let pages: Vec<MappedPage> = grefs.into_iter().map(map).collect::<Result<_, _>>()?;
        let memory = Rc::new(MappedPages(pages));
        let back = Back::attach(memory.clone(), SLOT).map_err(|_| "bogus ring indices".to_string())?;
        let port = world
            .bind(home, guest.id(), remote)
            .map_err(|error| format!("binding port {}: {error}", remote.0))?;
        let persistent = persistent_max.map(|_| BTreeMap::new());
        let persistent_max = persistent_max.unwrap_or(0);
        Ok(Self {
            back,
            memory,
            port,
            home: home.clone(),
            awake: true,
            dead: false,
            persistent,
            persistent_max,
        })
    }

    /// Maps a page of a request (`xen_blkbk_map`): persistent ones for writing, whatever for.
    pub(super) fn page(
        &mut self,
        world: &World,
        guest: &Rc<Domain>,
        gref: u32,
        write: bool,
    ) -> Result<Rc<MappedPage>, String> {
        let home = self.home.clone();
        let map = |write| {
            let page = world.map_grant(home.id(), guest, GrantRef(gref), write);
            page.map(Rc::new).map_err(|status| format!("mapping grant {gref}: status {status}"))
        };
        match &mut self.persistent {
            None => map(write),
            Some(known) => {
                if let Some(page) = known.get(&gref) {
                    return Ok(page.clone());
                }
                let page = map(true)?;
                if known.len() < self.persistent_max {
                    known.insert(gref, page.clone());
                }
                Ok(page)
            }
        }
    }

    /// The segments of a request, with the pages that they were found in.
    pub(super) fn segments(
        &mut self,
        world: &World,
        guest: &Rc<Domain>,
        request: &Request,
        most: usize,
    ) -> Result<(Vec<Segment>, Vec<Rc<MappedPage>>), String> {
        let (pages, count) = match &request.segments {
            Segments::Direct(segments) => return Ok((segments.clone(), Vec::new())),
            Segments::Indirect(pages, count) => (pages, *count),
        };
        if count == 0 || count > most {
            return Err(format!("{count} indirect segments"));
        }
        let tables =
            pages.iter().map(|&gref| self.page(world, guest, gref, false)).collect::<Result<Vec<_>, _>>()?;
        let segment = |n: usize| {
            let mut bytes = [0; 8];
            tables[n / SEGMENTS_A_PAGE].copy_in(n % SEGMENTS_A_PAGE * 8, &mut bytes);
            Segment::parse(&bytes)
        };
        Ok(((0..count).map(segment).collect(), tables))
    }

    /// Writes an answer into the ring; it is published with all others of this turn.
    pub(super) fn respond(&mut self, request: &Request, status: i16) {
        self.back.push(&response(request.id, request.op, status));
    }

    /// Publishes what was answered, and notifies the guest if it waits for that.
    pub(super) fn publish(&mut self, world: &World) {
        if self.back.publish() {
            self.notify(world);
        }
    }

    /// Whether there was an event since the last time.
    pub(super) fn take_event(&self) -> bool {
        self.home.take_event(self.port)
    }

    /// Lets go of its port, as its pages are.
    pub(super) fn close(&self, world: &World) {
        let _ = world.close(&self.home, self.port);
    }

    pub(super) fn notify(&self, world: &World) {
        let _ = world.send(&self.home, self.port);
    }
}
