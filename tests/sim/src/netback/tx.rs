//! Packets of the guest, from the ring to whoever gets them (`xen-netback/netback.c`).

use super::queue::Queue;
use super::wire::{
    ERROR, EXTRA_GSO, EXTRA_MAX, EXTRA_MCAST_ADD, EXTRA_MCAST_DEL, EXTRA_MORE, GSO_TCPV4, GSO_TCPV6, OKAY,
    TX_SLOT, TXF_CSUM_BLANK, TXF_DATA_VALIDATED, TXF_EXTRA_INFO, TXF_MORE_DATA, TxRequest, u16_at,
};
use super::{Inner, Netback};
use crate::blkback::Order;
use crate::frame::{Csum, ETHERNET, Frame};
use crate::grants::MappedPage;
use std::rc::Rc;
use xen_hyp::{GrantRef, PAGE_SIZE, SharedMem};

/// Addresses that a guest may have in its list (`XEN_NETBK_MCAST_MAX`).
const MCAST_MAX: usize = 64;
/// Following slots from which on the guest is taken for hostile, and not merely dropped (`fatal_skb_slots`).
const FATAL_SLOTS: usize = 20;

/// A packet that has been taken and not answered in full.
pub(super) struct Packet {
    queue: usize,
    nth: u64,
    /// What was copied.
    head: Vec<u8>,
    /// The rest, and whom to answer for it.
    parts: Vec<Part>,
    csum: Csum,
    gso: Option<Gso>,
    due_ns: u64,
    /// It has gone out.
    delivered: bool,
    /// Others have it as well, as long as it has not been copied or dropped.
    ticket: Option<Ticket>,
    /// What the test says of it.
    status: i16,
}

/// What whoever has a packet on its way keeps: its pages stay mapped until nobody does.
pub(crate) type Ticket = Rc<()>;

struct Part {
    request: TxRequest,
    extras: usize,
    page: Rc<MappedPage>,
}

#[derive(Clone, Copy)]
struct Gso {
    kind: u8,
    mss: u16,
}

/// A packet as its slots say, for those who decide whether it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// Which it is, counted from 0 over all that this backend has seen.
    pub nth: u64,
    /// In which ring it was.
    pub queue: usize,
    /// The bytes in each of its slots.
    pub slots: Vec<usize>,
    /// Slots with extra information.
    pub extras: usize,
    /// `NETTXF_*` of the first.
    pub flags: u16,
    /// The segments' size of one that is to be cut.
    pub gso: Option<u16>,
}

/// Why no more is taken out of a ring.
enum Stop {
    Empty,
    /// The guest broke the protocol (`xenvif_fatal_tx_err`).
    Fatal(String),
}

impl Netback {
    /// Takes packets out of a ring (`xenvif_tx_build_gops`).
    pub(super) fn take_packets(&self, inner: &mut Inner, queue: usize) {
        while !inner.disabled {
            match self.take_packet(inner, queue) {
                Ok(()) => {}
                Err(Stop::Empty) => return,
                Err(Stop::Fatal(why)) => {
                    inner.complaints.push(why);
                    inner.disabled = true;
                }
            }
        }
    }

    fn take_packet(&self, inner: &mut Inner, queue: usize) -> Result<(), Stop> {
        let first = next(&mut inner.queues[queue])?.ok_or(Stop::Empty)?;
        let mut first = TxRequest::parse(&first);
        let (mut gso, mut mcast, mut extras) = (None, None, 0);
        let mut more = first.has(TXF_EXTRA_INFO);
        while more {
            let extra = next(&mut inner.queues[queue])?.ok_or_else(|| fatal("missing extra info"))?;
            extras += 1;
            more = extra[1] & EXTRA_MORE != 0;
            match extra[0] {
                EXTRA_GSO => gso = Some(Gso { kind: extra[4], mss: u16_at(&extra, 2) }),
                EXTRA_MCAST_ADD | EXTRA_MCAST_DEL => {
                    mcast =
                        Some((extra[0] == EXTRA_MCAST_ADD, *extra[2..].first_chunk().expect("an address")));
                }
                kind if kind == 0 || kind >= EXTRA_MAX => {
                    return Err(fatal(&format!("invalid extra type {kind}")));
                }
                _ => {}
            }
        }
        if let Some((add, address)) = mcast {
            let status = inner.change_filter(add, address);
            inner.queues[queue].respond(&first, extras, status);
            return Ok(());
        }
        let (slots, dropped) = self.count_slots(inner, queue, &mut first)?;
        let why = match dropped {
            None if usize::from(first.size) < ETHERNET => Some(format!("bad packet size {}", first.size)),
            dropped => dropped,
        };
        if let Some(why) = why {
            inner.complaints.push(why);
            inner.stats.tx_errors += 1;
            inner.queues[queue].respond(&first, extras, ERROR);
            slots.iter().for_each(|slot| inner.queues[queue].respond(slot, 0, ERROR));
            return Ok(());
        }
        if usize::from(first.offset) + usize::from(first.size) > PAGE_SIZE {
            return Err(fatal(&format!("offset {} and size {} in one page", first.offset, first.size)));
        }
        if let Some(Gso { kind, mss }) = gso {
            if mss == 0 {
                return Err(fatal("GSO size must not be zero"));
            }
            if !matches!(kind, GSO_TCPV4 | GSO_TCPV6) {
                return Err(fatal(&format!("bad GSO type {kind}")));
            }
        }
        let slots: Vec<TxRequest> = [first].into_iter().chain(slots).collect();
        self.accept(inner, queue, &slots, extras, gso);
        Ok(())
    }

    /// The slots that follow the first, and why the packet is dropped if it is (`xenvif_count_requests`). The first's size
    /// becomes its own.
    fn count_slots(
        &self,
        inner: &mut Inner,
        queue: usize,
        first: &mut TxRequest,
    ) -> Result<(Vec<TxRequest>, Option<String>), Stop> {
        let mut slots: Vec<TxRequest> = Vec::new();
        let mut dropped = None;
        let mut more = first.has(TXF_MORE_DATA);
        while more {
            if slots.len() >= FATAL_SLOTS {
                return Err(fatal(&format!("malicious frontend using {} slots", slots.len())));
            }
            let slot = next(&mut inner.queues[queue])?;
            let slot = TxRequest::parse(&slot.ok_or_else(|| fatal("a packet that does not end"))?);
            if slots.len() + 1 >= inner.features.slots {
                dropped
                    .get_or_insert_with(|| format!("a packet of more than {} slots", inner.features.slots));
            }
            if slot.size > first.size {
                dropped.get_or_insert_with(|| {
                    format!("slot size {} > remaining size {}", slot.size, first.size)
                });
            }
            first.size = first.size.wrapping_sub(slot.size);
            if usize::from(slot.offset) + usize::from(slot.size) > PAGE_SIZE {
                return Err(fatal(&format!("offset {} and size {} in one page", slot.offset, slot.size)));
            }
            more = slot.has(TXF_MORE_DATA);
            slots.push(slot);
        }
        Ok((slots, dropped))
    }

    /// Copies the head, maps the rest, and answers those slots of which nothing is left (`xenvif_get_requests`).
    fn accept(&self, inner: &mut Inner, queue: usize, slots: &[TxRequest], extras: usize, gso: Option<Gso>) {
        let mut copy = inner.features.copy_bytes;
        if slots.len() >= inner.features.slots {
            copy = copy.max(slots[0].size.into());
        }
        let nth = inner.packets;
        inner.packets += 1;
        let sending = Sending {
            nth,
            queue,
            slots: slots.iter().map(|slot| slot.size.into()).collect(),
            extras,
            flags: slots[0].flags,
            gso: gso.map(|gso| gso.mss),
        };
        self.world.trace(format_args!("netback {sending:?}"));
        let judged = inner.judge.as_mut().and_then(|judge| judge(&sending));
        inner.log.push(sending);
        let (mut head, mut parts, mut done) = (Vec::new(), Vec::new(), Vec::new());
        let mut failed = judged.is_some();
        for (n, slot) in slots.iter().enumerate() {
            let extras = if n == 0 { extras } else { 0 };
            let mut rest = *slot;
            let page = self.world.map_grant(self.home.id(), &self.guest, GrantRef(slot.gref), false);
            let page = match page {
                Ok(page) => Rc::new(page),
                Err(_) if slot.size == 0 => {
                    done.push((rest, extras, OKAY));
                    continue;
                }
                Err(status) => {
                    inner.complaints.push(format!("mapping grant {}: status {status}", slot.gref));
                    failed = true;
                    done.push((rest, extras, ERROR));
                    continue;
                }
            };
            let amount = (copy - head.len().min(copy)).min(slot.size.into());
            let mut bytes = vec![0; amount];
            page.copy_in(slot.offset.into(), &mut bytes);
            head.extend(bytes);
            rest.offset += amount as u16;
            rest.size -= amount as u16;
            if rest.size == 0 {
                done.push((rest, extras, OKAY));
                inner.keep(&page);
            } else {
                parts.push(Part { request: rest, extras, page });
            }
        }
        if failed {
            inner.stats.tx_errors += 1;
            let status = judged.unwrap_or(OKAY);
            done.extend(parts.drain(..).map(|part| (part.request, part.extras, OKAY)));
            for (slot, extras, own) in done {
                inner.queues[queue].respond(&slot, extras, if own == OKAY { status } else { own });
            }
            return;
        }
        for (slot, extras, status) in done {
            inner.queues[queue].respond(&slot, extras, status);
        }
        let csum = match slots[0].flags {
            flags if flags & TXF_CSUM_BLANK != 0 => Csum::Blank,
            flags if flags & TXF_DATA_VALIDATED != 0 => Csum::Validated,
            _ => Csum::Full,
        };
        let mut due_ns = 0;
        if let Order::After(ns) = inner.order {
            due_ns = self.world.now_ns() + ns;
            self.world.alarm(due_ns);
        }
        let packet = Packet {
            queue,
            nth,
            head,
            parts,
            csum,
            gso,
            due_ns,
            delivered: false,
            ticket: None,
            status: OKAY,
        };
        inner.pending.push(packet);
    }

    /// Delivers and answers packets as the order says; gives whether there was anything.
    pub(super) fn progress(&self, inner: &mut Inner) -> bool {
        let mut any = false;
        let now_ns = self.world.now_ns();
        let mut steps = match &mut inner.order {
            Order::Arrival | Order::After(_) => usize::MAX,
            Order::OneATurn => 1,
            Order::Held => inner.released,
            Order::Random(rng) => rng.within(0..9),
        };
        while steps > 0 {
            let due = inner.pending.iter().filter(|packet| packet.due_ns <= now_ns).count();
            let next = inner.pending[..due].iter().position(|packet| !packet.delivered);
            steps -= 1;
            if let Order::Random(rng) = &mut inner.order {
                // Packets do not overtake each other; that they have gone may be told in any order.
                let movable = inner.pending[..due].iter().any(Packet::is_movable);
                let which = if movable { rng.within(0..due) } else { break };
                any = true;
                match next {
                    Some(next) if next <= which => self.deliver(inner, next),
                    _ if inner.pending[which].is_done() => self.answer(inner, which),
                    _ => {}
                }
            } else {
                let Some(next) = next else { break };
                any = true;
                self.deliver(inner, next);
                inner.released = inner.released.saturating_sub(1);
            }
        }
        while !matches!(inner.order, Order::Random(_))
            && let Some(done) = inner.pending.iter().position(Packet::is_done)
        {
            any = true;
            self.answer(inner, done);
        }
        // A random number of steps may be none.
        let is_due = |packet: &Packet| packet.due_ns <= now_ns && packet.is_movable();
        any || matches!(inner.order, Order::Random(_)) && inner.pending.iter().any(is_due)
    }

    /// Ends everything that is under way.
    pub(super) fn finish_pending(&self, inner: &mut Inner) {
        while !inner.pending.is_empty() {
            self.deliver(inner, 0);
            self.answer(inner, 0);
        }
        (0..inner.queues.len()).for_each(|index| self.publish_sent(inner, index));
    }

    /// Publishes the answers of this turn.
    pub(super) fn publish_sent(&self, inner: &mut Inner, index: usize) {
        let Inner { queues, tamper_sent, .. } = inner;
        queues[index].publish_sent(&self.world, |answers| {
            if let Some(tamper) = tamper_sent {
                tamper(answers);
            }
        });
    }

    /// Sends a packet on, if it is what it says it is (`xenvif_tx_submit`).
    fn deliver(&self, inner: &mut Inner, index: usize) {
        let packet = &mut inner.pending[index];
        if core::mem::replace(&mut packet.delivered, true) {
            return;
        }
        let mut bytes = packet.head.clone();
        for part in &packet.parts {
            let (start, at) = (bytes.len(), usize::from(part.request.offset));
            bytes.resize(start + usize::from(part.request.size), 0);
            part.page.copy_in(at, &mut bytes[start..]);
        }
        let (nth, gso, csum) = (packet.nth, packet.gso, packet.csum);
        let mut frame = Frame { bytes, gso: gso.map(|gso| gso.mss), csum };
        if gso.is_some() && csum != Csum::Blank {
            inner.stats.gso_fixups += 1;
            if frame.set_blank().is_none() {
                return inner.complain(nth, "GSO of what is no TCP");
            }
        }
        if csum == Csum::Blank && frame.headers().is_none() {
            return inner.complain(nth, "a blank checksum where there is none");
        }
        let version = |gso: Gso| if gso.kind == GSO_TCPV4 { 4 } else { 6 };
        if gso.is_some_and(|gso| frame.headers().is_none_or(|headers| headers.version != version(gso))) {
            return inner.complain(nth, "GSO of another version of IP");
        }
        // A wire would get it all the same, so this is where a wrong checksum is found out.
        match frame.on_the_wire().map(|frames| frames.iter().try_for_each(Frame::check)) {
            None => return inner.complain(nth, "it cannot be cut"),
            Some(Err(why)) if csum == Csum::Full => {
                self.world.trace(format_args!("netback packet {nth}: {why}"));
                inner.stats.tx_checksums += 1;
            }
            Some(Err(why)) => inner.complain(nth, why),
            Some(Ok(())) => {}
        }
        if inner.carrier == Some(false) {
            inner.stats.tx_dropped += 1;
            return;
        }
        inner.stats.tx_packets += 1;
        inner.stats.tx_bytes += frame.bytes.len() as u64;
        let ticket = inner.attached.then(Ticket::default);
        inner.pending[index].ticket.clone_from(&ticket);
        inner.sent.push((frame, ticket));
    }

    /// Lets go of a packet's pages and answers what of it has not been.
    fn answer(&self, inner: &mut Inner, index: usize) {
        let packet = inner.pending.remove(index);
        for part in packet.parts {
            inner.keep(&part.page);
            drop(part.page);
            inner.queues[packet.queue].respond(&part.request, part.extras, packet.status);
        }
    }
}

impl Inner {
    /// `xenvif_mcast_add`, `xenvif_mcast_del`.
    fn change_filter(&mut self, add: bool, address: [u8; 6]) -> i16 {
        match self.filter.iter().position(|known| *known == address) {
            Some(at) if !add => _ = self.filter.remove(at),
            _ if !add => {}
            _ if self.filter.len() == MCAST_MAX => return ERROR,
            _ => self.filter.push(address),
        }
        OKAY
    }

    fn complain(&mut self, nth: u64, why: &str) {
        self.complaints.push(format!("packet {nth}: {why}"));
    }
}

impl Packet {
    /// It has gone out, and nobody has it any more.
    fn is_done(&self) -> bool {
        self.delivered && self.ticket.as_ref().is_none_or(|ticket| Rc::strong_count(ticket) == 1)
    }

    /// Something can be done about it without time passing.
    fn is_movable(&self) -> bool {
        !self.delivered || self.is_done()
    }

    /// The pages of it that are mapped.
    pub(super) fn pages(&self) -> impl Iterator<Item = &Rc<MappedPage>> {
        self.parts.iter().map(|part| &part.page)
    }

    /// The ids of its slots that are not answered.
    pub(super) fn ids(&self) -> impl Iterator<Item = u16> {
        self.parts.iter().map(|part| part.request.id)
    }
}

fn fatal(why: &str) -> Stop {
    Stop::Fatal(why.into())
}

/// The next slot.
fn next(queue: &mut Queue) -> Result<Option<[u8; TX_SLOT]>, Stop> {
    queue.tx.back.take().map_err(|_| fatal("impossible number of requests"))
}
