//! The page and the port, and who is at the other end of them.

use crate::client::Client;
use crate::error::Error;
use crate::state::{Features, State};
use crate::wire::{
    CONNECTED, CONNECTION, ERROR, Incoming, RECONNECT, REQ, RING, RSP, SERVER_FEATURES, Taken,
};
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use fata_ring::{Consumer, Corrupt, Producer};
use fata_trace::{Device, Layout};
use xen_hyp::{
    Channel, DomId, Gfn, HvmParam, Platform, Port, PortStatus, Reserved, Seen, SharedMem, SharedPage, Xen,
};

/// Looks at the ring in one turn, after which others have theirs; a peer could fill it forever.
const LOOKS: usize = 64;

/// How often it is worth a hypercall to see whether the server is still the same process. None restarts in less.
const SAME_NS: u64 = 10_000_000;

/// The connection to the server, whichever it is at the moment.
pub(crate) struct Link<P: Platform> {
    xen: Rc<Xen<P>>,
    pub(crate) client: Rc<Client>,
    reopen: Cell<bool>,
    wire: RefCell<Wire<P>>,
}

struct Wire<P: Platform> {
    /// `None` if the toolstack's port cannot be used.
    channel: Option<Rc<Channel<P>>>,
    /// Events seen at the last turn.
    seen: Option<Seen>,
    page: Option<Rc<SharedPage<P>>>,
    /// While connected.
    rings: Option<Rings<P>>,
    incoming: Incoming,
    /// The server's end of the port, which a restarted server has not.
    server: Option<(DomId, Port)>,
    /// When it was last looked at.
    looked_ns: u64,
}

struct Rings<P: Platform> {
    requests: Producer<Rc<SharedPage<P>>>,
    replies: Consumer<Rc<SharedPage<P>>>,
}

impl<P: Platform> Rings<P> {
    /// Takes the rings over. Gives also whether they have been used before, and whether to notify the server.
    fn new(page: &Rc<SharedPage<P>>) -> Result<(Self, bool, bool), Corrupt> {
        let used = [REQ.prod, RSP.prod].iter().any(|&index| page.load(index) != 0);
        let requests = Producer::new(page.clone(), REQ)?;
        let replies = Consumer::new(page.clone(), RSP)?;
        // Replies to whoever was here before us, maybe not even whole.
        let (_, notify) = replies.read(&mut [0; RING])?;
        Ok((Self { requests, replies }, used, notify))
    }
}

impl<P: Platform> Link<P> {
    /// `None` if the toolstack gave this domain no store.
    pub(crate) fn open(xen: &Rc<Xen<P>>) -> Result<Option<Self>, Error> {
        let Some(channel) = adopt(xen)? else { return Ok(None) };
        if xen.reserved(HvmParam::StorePfn)? == Reserved::Absent {
            return Ok(None);
        }
        let wire = Wire {
            channel: Some(Rc::new(channel)),
            seen: None,
            page: None,
            rings: None,
            incoming: Incoming::default(),
            server: None,
            looked_ns: 0,
        };
        let link = Self {
            xen: xen.clone(),
            client: Client::new(),
            reopen: Cell::new(false),
            wire: RefCell::new(wire),
        };
        link.turn();
        match link.client.state() {
            State::Dead(error) => Err(error),
            _ => Ok(Some(link)),
        }
    }

    /// Asks for a turn in which everything is looked up anew.
    pub(crate) fn reopen(&self) {
        self.reopen.set(true);
        self.client.set_state(State::Late);
        self.client.work.fire();
    }

    /// What fires at the next event, and the events that the last turn knew of.
    pub(crate) fn events(&self) -> Option<(Rc<Channel<P>>, Seen)> {
        let wire = self.wire.borrow();
        wire.channel.clone().zip(wire.seen)
    }

    /// Does what events and tasks ask for. Gives whether there is more to do at once.
    pub(crate) fn turn(&self) -> bool {
        let wire = &mut *self.wire.borrow_mut();
        match self.advance(wire) {
            Ok(more) => more,
            Err(error) => {
                self.give_up(wire, error);
                false
            }
        }
    }

    /// Sends what there is room for: all that a new request needs.
    pub(crate) fn send(&self) {
        if self.reopen.get() {
            // Who knows whose page that is by now.
            return;
        }
        let wire = &mut *self.wire.borrow_mut();
        if let (Some(channel), Some(rings)) = (&wire.channel, &wire.rings)
            && let Err(error) = self.send_on(channel, rings, false)
        {
            self.give_up(wire, error.into());
        }
    }

    fn send_on(&self, channel: &Channel<P>, rings: &Rings<P>, notify: bool) -> Result<(), Corrupt> {
        self.client.send(&rings.requests)?;
        // Asked after each event, whether something was written or not: see `must_notify`.
        if rings.requests.must_notify()? | notify {
            channel.notify();
        }
        Ok(())
    }

    fn advance(&self, wire: &mut Wire<P>) -> Result<bool, Error> {
        if self.reopen.take() {
            // The port may have the same number, and can be had only once.
            (wire.channel, wire.page, wire.rings, wire.seen) = (None, None, None, None);
            wire.channel = adopt(&self.xen)?.map(Rc::new);
        }
        let Some(channel) = wire.channel.clone() else { return Err(Error::Gone) };
        let seen = Some(channel.seen());
        let event = core::mem::replace(&mut wire.seen, seen) != seen;
        if event && !self.look_for_server(wire, &channel)? {
            return Ok(false);
        }
        let Some(rings) = &wire.rings else { return Ok(false) };
        let (mut notify, mut looks) = (false, LOOKS);
        loop {
            let (taken, full) = wire.incoming.take(&rings.replies)?;
            notify |= full;
            match taken {
                Taken::Nothing => break,
                Taken::Part => {}
                Taken::Message(header, payload) => self.client.receive(header, payload)?,
            }
            looks -= 1;
            if looks == 0 {
                break;
            }
        }
        self.send_on(&channel, rings, notify)?;
        Ok(looks == 0)
    }

    /// Finds out whether there is a server, and whether it still is the one we talked to. Gives whether we are
    /// connected to it.
    fn look_for_server(&self, wire: &mut Wire<P>, channel: &Rc<Channel<P>>) -> Result<bool, Error> {
        let page = match &wire.page {
            Some(page) => page.clone(),
            None => {
                let Reserved::Is(frame) = self.xen.reserved(HvmParam::StorePfn)? else { return Ok(false) };
                let page = Rc::new(self.xen.map_frame(Gfn(frame)).ok_or(Error::BadFrame)?);
                fata_trace::ring(page.address(), Layout::Store, Device::STORE);
                wire.page.insert(page).clone()
            }
        };
        if page.load(CONNECTION) != CONNECTED {
            wire.rings = None;
            self.client.set_state(State::Connecting);
            return Ok(false);
        }
        if matches!(self.client.state(), State::Dead(_)) && !self.is_new_server(wire, channel) {
            return Ok(false);
        }
        if wire.rings.is_some() && self.is_new_server(wire, channel) {
            if self.client.features.get().has(Features::RECONNECTION) {
                // It may have begun in the middle of a message.
                return Err(Error::Gone);
            }
            wire.rings = None;
        }
        // A server may offer more as time goes by.
        let features = Features(page.load(SERVER_FEATURES));
        self.client.features.set(features);
        if features.has(Features::ERROR) && page.load(ERROR) != 0 {
            return Err(Error::Gone);
        }
        if wire.rings.is_none() {
            wire.server = self.server(channel);
            wire.looked_ns = self.xen.platform().now_ns();
            let (rings, used, notify) = Rings::new(&page)?;
            wire.rings = Some(rings);
            wire.incoming = Incoming::default();
            self.client.connected(used);
            if notify {
                channel.notify();
            }
        }
        Ok(true)
    }

    /// Whether another process has bound the other end of our port: nothing else tells of a server that died and was
    /// started again. One whose port has the old number is taken for the old one.
    fn is_new_server(&self, wire: &mut Wire<P>, channel: &Channel<P>) -> bool {
        let now_ns = self.xen.platform().now_ns();
        if now_ns.saturating_sub(wire.looked_ns) < SAME_NS {
            return false;
        }
        wire.looked_ns = now_ns;
        let server = self.server(channel);
        let before = core::mem::replace(&mut wire.server, server);
        server.is_some() && server != before
    }

    fn server(&self, channel: &Channel<P>) -> Option<(DomId, Port)> {
        match self.xen.status(channel.port()) {
            Ok(PortStatus::Interdomain(dom, port)) => Some((dom, port)),
            _ => None,
        }
    }

    /// Ends the connection: asks the server to start over, if it can.
    fn give_up(&self, wire: &mut Wire<P>, error: Error) {
        wire.rings = None;
        if let (Some(page), Some(channel)) = (&wire.page, &wire.channel)
            && matches!(error, Error::Corrupt | Error::Gone)
            && Features(page.load(SERVER_FEATURES)).has(Features::RECONNECTION)
        {
            page.store(CONNECTION, RECONNECT);
            channel.notify();
            self.client.set_state(State::Connecting);
        } else {
            self.client.die(error);
        }
    }
}

fn adopt<P: Platform>(xen: &Rc<Xen<P>>) -> Result<Option<Channel<P>>, Error> {
    let Reserved::Is(port) = xen.reserved(HvmParam::StoreEvtchn)? else { return Ok(None) };
    Ok(Some(xen.adopt(Port(u32::try_from(port).unwrap_or(u32::MAX)))?))
}
