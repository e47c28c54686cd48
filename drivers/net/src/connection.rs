//! A connection to one backend: its rings, and which of them a frame takes.

use crate::checksum::Transport;
use crate::features::{Agreed, ETHERNET};
use crate::nic::{Error, Totals};
use crate::rx::{Frame, Rx};
use crate::tx::Tx;
use crate::wire::{Extra, TX_MAX, tx_flag};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use fata_ring::Corrupt;
use xen_hyp::{Channel, DomId, PAGE_SIZE, Platform, PortStatus, Xen};

pub(crate) struct Connection<P: Platform> {
    pub(crate) agreed: Agreed,
    pub(crate) mtu: usize,
    queues: Vec<Queue<P>>,
    /// The queue that is looked at first for frames.
    next: usize,
    /// Multicast addresses that the backend has yet to hear of, and whether their frames are wanted.
    news: Vec<([u8; 6], bool)>,
    /// Something was sent.
    pub(crate) has_sent: bool,
}

struct Queue<P: Platform> {
    tx: Tx<P>,
    rx: Rx<P>,
    tx_channel: Rc<Channel<P>>,
    /// The same unless they are split.
    rx_channel: Rc<Channel<P>>,
}

impl<P: Platform> Connection<P> {
    /// Lays out rings for `peer`, and gives the nodes that tell it where they are.
    pub(crate) fn new(
        xen: &Rc<Xen<P>>,
        peer: DomId,
        agreed: Agreed,
        mtu: usize,
    ) -> Result<(Self, Vec<(String, String)>), Error> {
        let mut nodes = Vec::new();
        // A node without a value is removed: it may be of an earlier connection.
        let mut node = |name: String, value: String| nodes.push((name, value));
        let if_so = |is: bool| if is { "1".to_string() } else { String::new() };
        let takes = agreed.takes;
        node("request-rx-copy".into(), if_so(true));
        node("feature-rx-notify".into(), if_so(true));
        node("feature-sg".into(), if_so(takes.sg));
        node("feature-gso-tcpv4".into(), if_so(takes.gso));
        node("feature-gso-tcpv6".into(), if_so(takes.gso));
        node("feature-no-csum-offload".into(), if_so(!takes.checksum));
        node("feature-ipv6-csum-offload".into(), if_so(takes.checksum));
        node("request-multicast-control".into(), if_so(agreed.multicast));
        let several = agreed.queues > 1;
        node(
            "multi-queue-num-queues".into(),
            if several { agreed.queues.to_string() } else { String::new() },
        );
        let mut queues = Vec::new();
        for number in 0..agreed.queues {
            let queue = Queue::new(xen, peer, &agreed)?;
            let prefix = if several { format!("queue-{number}/") } else { String::new() };
            let (tx, rx) = (queue.tx_channel.port().0.to_string(), queue.rx_channel.port().0.to_string());
            node(format!("{prefix}tx-ring-ref"), queue.tx.gref().0.to_string());
            node(format!("{prefix}rx-ring-ref"), queue.rx.gref().0.to_string());
            let (one, tx, rx) =
                if agreed.split { (String::new(), tx, rx) } else { (tx, String::new(), String::new()) };
            node(format!("{prefix}event-channel"), one);
            node(format!("{prefix}event-channel-tx"), tx);
            node(format!("{prefix}event-channel-rx"), rx);
            queues.push(queue);
        }
        if several {
            for name in
                ["tx-ring-ref", "rx-ring-ref", "event-channel", "event-channel-tx", "event-channel-rx"]
            {
                node(name.into(), String::new());
            }
        }
        Ok((Self { agreed, mtu, queues, next: 0, news: Vec::new(), has_sent: false }, nodes))
    }

    /// All event channels.
    pub(crate) fn channels(&self) -> impl Iterator<Item = &Rc<Channel<P>>> {
        self.queues.iter().flat_map(|queue| {
            let split = Some(&queue.rx_channel).filter(|_| self.agreed.split);
            core::iter::once(&queue.tx_channel).chain(split)
        })
    }

    /// Whether there is somebody at the other end of all event channels. A backend that was started again and failed with
    /// our rings, or failed at first, may say that it is connected all the same, as Linux's does.
    pub(crate) fn is_heard(&self, xen: &Xen<P>) -> bool {
        !self.channels().any(|channel| {
            matches!(xen.status(channel.port()), Ok(PortStatus::Unbound(_) | PortStatus::Closed))
        })
    }

    /// Whether something was sent by one of the queues of which the backend has never answered anything.
    pub(crate) fn is_unheard(&self) -> bool {
        self.queues.iter().any(|queue| queue.tx.is_unheard())
    }

    /// The next frame that is in order. `None` means that there is none, and that an event will come when there is.
    pub(crate) fn take(&mut self, totals: &mut Totals) -> Result<Option<(usize, Frame)>, Corrupt> {
        let count = self.queues.len();
        for _ in 0..count {
            let queue = self.next;
            // Each has its turn, however many frames another has.
            self.next = if queue + 1 < count { queue + 1 } else { 0 };
            let rx = &mut self.queues[queue].rx;
            while let Some(frame) = rx.take(totals, self.agreed.takes.checksum)? {
                let bytes = &frame.bytes[..frame.len];
                if frame.trusted || Transport::of(bytes).is_none_or(|transport| transport.holds(bytes)) {
                    totals.rx_frames += 1;
                    totals.rx_bytes += frame.len as u64;
                    totals.rx_large += u64::from(frame.large);
                    totals.rx_blank += u64::from(frame.blank);
                    totals.rx_queues |= 1 << queue;
                    return Ok(Some((queue, frame)));
                }
                totals.rx_bad_sum += 1;
                rx.give_back(frame.bytes);
            }
        }
        // All were empty, and have armed their events.
        Ok(None)
    }

    /// Takes the memory of a frame from this queue back.
    pub(crate) fn give_back(&mut self, queue: usize, bytes: Vec<u8>) {
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.rx.give_back(bytes);
        }
    }

    /// Whether the longest frame can be sent, whichever queue it takes. If not, an event will come when it can.
    pub(crate) fn has_room(&mut self, totals: &mut Totals) -> Result<bool, Corrupt> {
        for queue in &mut self.queues {
            if !queue.tx.has_room(totals)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends a frame, in which checksums of TCP and UDP have to be seen to. There has to be [room](Self::has_room).
    /// `segment` is the payload of the packets that it is to be cut into, if it is longer than the MTU.
    pub(crate) fn send(
        &mut self,
        frame: &mut [u8],
        segment: Option<u16>,
        totals: &mut Totals,
    ) -> Result<(), Corrupt> {
        let transport = Transport::of(frame);
        let segment = segment.filter(|_| frame.len() > self.mtu + ETHERNET);
        let is_v6 = transport.is_some_and(|transport| transport.is_v6);
        let most = if self.agreed.sg { TX_MAX } else { PAGE_SIZE };
        // A stack may have made it for the backend before this one.
        let is_cut = || {
            transport.is_some_and(|transport| !transport.is_udp)
                && if is_v6 { self.agreed.gso_v6 } else { self.agreed.gso_v4 }
        };
        let fits = (ETHERNET..=most).contains(&frame.len()) && (segment.is_none() || is_cut());
        let queue = if self.queues.len() > 1 { flow(frame) % self.queues.len() } else { 0 };
        let tx = &mut self.queues[queue].tx;
        // What there was room for may have been used otherwise since.
        if !fits || !tx.has_room(totals)? {
            totals.tx_unfit += 1;
            return Ok(());
        }
        let mut flags = 0;
        if let Some(transport) = transport {
            if if is_v6 { self.agreed.csum_v6 } else { self.agreed.csum_v4 } {
                transport.blank(frame);
                flags = tx_flag::CSUM_BLANK | tx_flag::DATA_VALIDATED;
                totals.tx_blank += 1;
            } else {
                transport.fill(frame);
            }
        }
        tx.send(frame, flags, segment.map(|size| Extra::segments(size, is_v6)));
        totals.tx_frames += 1;
        totals.tx_bytes += frame.len() as u64;
        totals.tx_large += u64::from(segment.is_some());
        totals.tx_queues |= 1 << queue;
        Ok(())
    }

    /// Asks for frames to a multicast address, or not any more, with the next [flush](Self::flush).
    pub(crate) fn multicast(&mut self, address: [u8; 6], wanted: bool) {
        if self.agreed.multicast {
            self.news.retain(|(known, _)| *known != address);
            self.news.push((address, wanted));
        }
    }

    /// Publishes what was sent and which buffers are free, and notifies the backend if it waits for either.
    pub(crate) fn flush(&mut self, totals: &mut Totals) -> Result<(), Corrupt> {
        while let Some((address, wanted)) = self.news.last() {
            let tx = &mut self.queues[0].tx;
            // If there is no room for it now, an event will come, and another flush.
            if !tx.has_room(totals)? {
                break;
            }
            tx.tell(&Extra::multicast(*address, *wanted));
            totals.tx_told += 1;
            self.news.pop();
        }
        for queue in &mut self.queues {
            let (sent, posted) = (queue.tx.publish(), queue.rx.post());
            // The first time, the backend waits for it.
            self.has_sent |= sent;
            let one = Rc::ptr_eq(&queue.tx_channel, &queue.rx_channel);
            if sent || (posted && one) {
                queue.tx_channel.notify();
            }
            if posted && !one {
                queue.rx_channel.notify();
            }
        }
        Ok(())
    }
}

impl<P: Platform> Queue<P> {
    fn new(xen: &Rc<Xen<P>>, peer: DomId, agreed: &Agreed) -> Result<Self, Error> {
        let tx = Tx::new(xen, peer, agreed.sg).map_err(|_| Error::NoMemory)?;
        let rx = Rx::new(xen, peer, agreed.takes.sg).map_err(|_| Error::NoMemory)?;
        let channel = || xen.listen(peer).map(Rc::new).map_err(|_| Error::NoChannel);
        let tx_channel = channel()?;
        let rx_channel = if agreed.split { channel()? } else { tx_channel.clone() };
        Ok(Self { tx, rx, tx_channel, rx_channel })
    }
}

/// A number that is the same for all frames of a flow: from addresses, and ports where they usually are.
fn flow(frame: &[u8]) -> usize {
    let addresses = match (frame.get(12), frame.get(13)) {
        (Some(0x08), Some(0x00)) => frame.get(26..38),
        (Some(0x86), Some(0xdd)) => frame.get(22..58),
        _ => frame.get(..12),
    };
    let mix = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    // FNV-1a.
    let hash = addresses.unwrap_or_default().iter().fold(0x811c_9dc5, mix);
    (hash ^ hash >> 16) as usize
}
