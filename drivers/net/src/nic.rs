//! A network interface as its users see it.

use crate::connection::Connection;
use crate::features::Options;
use crate::phy::Phy;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::task::Waker;
use fata_ring::Corrupt;
use smoltcp::wire::EthernetAddress;
use xen_hyp::{Platform, Signal, Xen};

/// How it stands with an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no backend at the moment.
    Paused,
    /// The backend is there, and says that its cable is out.
    NoCarrier,
    /// Frames get through.
    Ready,
    /// It cannot be used before it has been exchanged.
    Dead(Error),
}

/// Why an interface cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The backend broke the protocol.
    Corrupt,
    /// The toolstack gave it no address, or none that an interface can have.
    NoAddress,
    /// The backend cannot copy frames into our pages, the only way there is nowadays.
    NoCopy,
    /// There is no memory, or nothing left to lend it with.
    NoMemory,
    /// There is no event channel left.
    NoChannel,
    /// Nobody serves it any more: the store is gone.
    Gone,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Corrupt => "the backend broke the protocol",
            Self::NoAddress => "it has no valid MAC address in Xenstore",
            Self::NoCopy => "the backend does not copy frames (feature-rx-copy)",
            Self::NoMemory => "no memory to share with the backend",
            Self::NoChannel => "no event channel left",
            Self::Gone => "Xenstore is gone",
        })
    }
}

impl core::error::Error for Error {}

/// What an interface did so far, and what it dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Frames received.
    pub rx_frames: u64,
    /// Bytes in them.
    pub rx_bytes: u64,
    /// Frames sent. Whether they left the backend is not known.
    pub tx_frames: u64,
    /// Bytes in them.
    pub tx_bytes: u64,
    /// Times it was connected to a backend.
    pub connects: u64,
    /// Connections that were [given up](Nic::start_over).
    pub given_up: u64,
    /// Frames received that were longer than the MTU, as the other end did not cut them into segments.
    pub rx_large: u64,
    /// Frames received without a checksum, as the other end left it to whoever would send them on.
    pub rx_blank: u64,
    /// Frames sent for the backend to cut into segments.
    pub tx_large: u64,
    /// Frames sent whose checksum was left to the backend.
    pub tx_blank: u64,
    /// Multicast groups told of, and that they are not wanted any more.
    pub tx_told: u64,
    /// Queues by which frames have come, a bit each.
    pub rx_queues: u32,
    /// Queues by which frames were sent, a bit each.
    pub tx_queues: u32,
    /// Frames that the backend failed to deliver.
    pub rx_failed: u64,
    /// Frames longer than any may be.
    pub rx_too_long: u64,
    /// Frames without an Ethernet header.
    pub rx_too_short: u64,
    /// Frames with an extra info of a kind that does not exist.
    pub rx_unknown: u64,
    /// Frames with a wrong checksum of TCP or UDP.
    pub rx_bad_sum: u64,
    /// Frames sent that the backend had no use for.
    pub tx_dropped: u64,
    /// Frames sent that the backend found fault with.
    pub tx_failed: u64,
    /// Frames that a stack wrote and that cannot be sent: too short, too long, to be cut where nobody does, or more
    /// than there was room for.
    pub tx_unfit: u64,
}

/// All of it in a line: names, each with its number.
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = [
            ("rx_frames", self.rx_frames),
            ("rx_bytes", self.rx_bytes),
            ("rx_large", self.rx_large),
            ("rx_blank", self.rx_blank),
            ("rx_queues", self.rx_queues.into()),
            ("tx_frames", self.tx_frames),
            ("tx_bytes", self.tx_bytes),
            ("tx_large", self.tx_large),
            ("tx_blank", self.tx_blank),
            ("tx_told", self.tx_told),
            ("tx_queues", self.tx_queues.into()),
            ("connects", self.connects),
            ("given_up", self.given_up),
            ("rx_failed", self.rx_failed),
            ("rx_too_long", self.rx_too_long),
            ("rx_too_short", self.rx_too_short),
            ("rx_unknown", self.rx_unknown),
            ("rx_bad_sum", self.rx_bad_sum),
            ("tx_dropped", self.tx_dropped),
            ("tx_failed", self.tx_failed),
            ("tx_unfit", self.tx_unfit),
        ];
        for (n, (name, number)) in numbers.iter().enumerate() {
            write!(f, "{}{name} {number}", if n > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

/// The place of a network interface. Clones are the same.
pub struct Nic<P: Platform>(pub(crate) Rc<Inner<P>>);

pub(crate) struct Inner<P: Platform> {
    pub(crate) xen: Rc<Xen<P>>,
    pub(crate) id: u32,
    pub(crate) options: Options,
    pub(crate) line: RefCell<Line<P>>,
    state: Cell<State>,
    pub(crate) mac: Cell<EthernetAddress>,
    epoch: Cell<u32>,
    /// Whom to wake when there is something new.
    waker: RefCell<Option<Waker>>,
    /// Fires when the state is another.
    changed: Signal,
    /// Fires when the backend has broken the protocol.
    pub(crate) broken: Signal,
    is_broken: Cell<bool>,
    /// The connection is to be made anew.
    is_given_up: Cell<bool>,
    /// Multicast addresses whose frames are wanted.
    groups: RefCell<Vec<EthernetAddress>>,
}

pub(crate) struct Line<P: Platform> {
    pub(crate) connection: Option<Connection<P>>,
    /// Where a frame is written that is to be sent.
    pub(crate) scratch: Vec<u8>,
    pub(crate) totals: Totals,
}

impl<P: Platform> Nic<P> {
    /// The interface with this number, which in Xenstore is the name of its directory (`device/vif/0`).
    pub fn new(xen: &Rc<Xen<P>>, id: u32, options: Options) -> Self {
        Self(Rc::new(Inner {
            xen: xen.clone(),
            id,
            options,
            line: RefCell::new(Line { connection: None, scratch: Vec::new(), totals: Totals::default() }),
            state: Cell::new(State::Paused),
            mac: Cell::default(),
            epoch: Cell::new(0),
            waker: RefCell::default(),
            changed: Signal::new(),
            broken: Signal::new(),
            is_broken: Cell::new(false),
            is_given_up: Cell::new(false),
            groups: RefCell::default(),
        }))
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.0.id
    }

    /// How it stands with it.
    pub fn state(&self) -> State {
        self.0.state.get()
    }

    /// Waits until [`state`](Self::state) is another than this, and gives it.
    pub async fn state_after(&self, state: State) -> State {
        self.0.changed.until(|| Some(self.state()).filter(|&now| now != state)).await
    }

    /// Waits until it works, or is known not to.
    pub async fn ready(&self) -> Result<(), Error> {
        let settled = self.0.changed.until(|| match self.state() {
            State::Paused | State::NoCarrier => None,
            State::Ready => Some(Ok(())),
            State::Dead(error) => Some(Err(error)),
        });
        settled.await
    }

    /// Its address. All zeroes until it is known.
    pub fn mac(&self) -> EthernetAddress {
        self.0.mac.get()
    }

    /// Bytes in an IP packet, as of the last connection.
    pub fn mtu(&self) -> Option<usize> {
        self.0.line.borrow().connection.as_ref().map(|connection| connection.mtu)
    }

    /// What it did so far.
    pub fn totals(&self) -> Totals {
        self.0.line.borrow().totals
    }

    /// The device for a stack. There should be one user: frames go to whoever takes them.
    pub fn phy(&self) -> Phy<P> {
        Phy(self.0.clone())
    }

    /// Waits until something was sent over another connection than `last`, and gives that one's number. With what follows
    /// this is for whoever has a clock, and can tell a backend that takes its time from one that hears nothing: Linux's
    /// netback may lose the events of a connection for good when it makes it (`xenvif_connect_data` in
    /// drivers/net/xen-netback/interface.c: its thread may end the first interrupt before it knows which one that is).
    pub async fn sent_over(&self, last: u64) -> u64 {
        let sent = || {
            let line = self.0.line.borrow();
            let has_sent = line.connection.as_ref().is_some_and(|connection| connection.has_sent);
            Some(line.totals.connects).filter(|&now| has_sent && now != last)
        };
        self.0.changed.until(sent).await
    }

    /// Whether the backend has not answered anything that was sent over this connection, by one of its queues at least,
    /// and there still is that connection.
    pub fn is_unheard(&self, connection: u64) -> bool {
        let line = self.0.line.borrow();
        line.totals.connects == connection && line.connection.as_ref().is_some_and(Connection::is_unheard)
    }

    /// Gives the connection up, if there is one, and makes another.
    pub fn start_over(&self) {
        self.0.is_given_up.set(true);
        self.0.line.borrow_mut().totals.given_up += 1;
        self.0.broken.fire();
    }

    /// Asks for frames to a multicast address. Without [`Options::multicast`], or where the backend does not filter,
    /// all come.
    pub fn join(&self, group: EthernetAddress) {
        self.0.join(group);
    }

    /// Frames to a multicast address are not wanted any more.
    pub fn leave(&self, group: EthernetAddress) {
        self.0.leave(group);
    }
}

impl<P: Platform> Inner<P> {
    pub(crate) fn join(&self, group: EthernetAddress) {
        let mut groups = self.groups.borrow_mut();
        if group.is_multicast() && !groups.contains(&group) {
            groups.push(group);
            drop(groups);
            self.tell(group, true);
        }
    }

    pub(crate) fn leave(&self, group: EthernetAddress) {
        let mut groups = self.groups.borrow_mut();
        if let Some(at) = groups.iter().position(|known| *known == group) {
            groups.swap_remove(at);
            drop(groups);
            self.tell(group, false);
        }
    }

    /// Does something with the connection, if there is one that works. A backend that breaks the protocol meanwhile is
    /// not heard any more.
    pub(crate) fn with<T>(
        &self,
        act: impl FnOnce(&mut Connection<P>, &mut Totals) -> Result<Option<T>, Corrupt>,
    ) -> Option<T> {
        if self.state.get() != State::Ready || self.is_broken.get() {
            return None;
        }
        let mut line = self.line.borrow_mut();
        let Line { connection: Some(connection), totals, .. } = &mut *line else { return None };
        act(connection, totals).unwrap_or_else(|Corrupt| {
            self.is_broken.set(true);
            self.broken.fire();
            None
        })
    }

    /// Publishes what was written, and tells what the backend has yet to hear.
    pub(crate) fn flush(&self) {
        let began = self.with(|connection, totals| {
            let before = connection.has_sent;
            connection.flush(totals)?;
            Ok(Some(connection.has_sent && !before))
        });
        if began == Some(true) {
            self.changed.fire();
        }
    }

    fn tell(&self, group: EthernetAddress, wanted: bool) {
        if let Some(connection) = &mut self.line.borrow_mut().connection {
            connection.multicast(group.0, wanted);
        }
        self.flush();
    }

    /// Whether the backend really is connected, if it says so.
    pub(crate) fn is_heard(&self) -> bool {
        self.line.borrow().connection.as_ref().is_none_or(|connection| connection.is_heard(&self.xen))
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.get()
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.is_given_up.get()
    }

    /// The backend works.
    pub(crate) fn connect(self: &Rc<Self>, mut connection: Connection<P>, state: State) {
        for channel in connection.channels() {
            let nic = Rc::downgrade(self);
            channel.on_event(Rc::new(move || nic.upgrade().iter().for_each(|nic| nic.wake())));
        }
        self.groups.borrow().iter().for_each(|group| connection.multicast(group.0, true));
        self.is_broken.set(false);
        self.is_given_up.set(false);
        {
            let mut line = self.line.borrow_mut();
            line.connection = Some(connection);
            line.totals.connects += 1;
        }
        self.set_state(state);
        // It has not been told of the buffers, and of nothing that happened before anybody listened.
        for channel in self.line.borrow().connection.iter().flat_map(Connection::channels) {
            channel.notify();
        }
        self.wake();
    }

    /// The backend has let go, or is given up. What was under way is lost, as frames may be.
    pub(crate) fn disconnect(&self) {
        let connection = self.line.borrow_mut().connection.take();
        drop(connection);
    }

    pub(crate) fn set_state(&self, state: State) {
        if self.state.replace(state) != state {
            if state == State::Ready {
                self.epoch.set(self.epoch.get().wrapping_add(1));
                self.flush();
            }
            self.changed.fire();
            self.wake();
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state.get()
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.get()
    }

    pub(crate) fn register(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    fn wake(&self) {
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<P: Platform> Clone for Nic<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P: Platform> fmt::Debug for Nic<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nic").field("id", &self.0.id).field("state", &self.state()).finish()
    }
}
