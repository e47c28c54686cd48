//! Listeners: connections that come, as many as there is room for.
//!
//! smoltcp's listening socket becomes the connection, and until there is another, a SYN is answered with a reset. Here a
//! SYN makes a socket, if the listener may have one more. If not since too many are half-open, it is answered
//! [without keeping anything of it](crate::opening); if too many are open and not accepted, not at all, and the peer
//! tries again.

use crate::census::SocketInfo;
use crate::engine::{Engine, Full};
use crate::headers::{self, Address, Flow};
use crate::table::{Kind, Owner};
use crate::tcp::Options;
use alloc::collections::VecDeque;
use core::task::Waker;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::IpListenEndpoint;

/// How long a peer may take to answer our SYN-ACK.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// Where connections are waited for.
pub(crate) struct Listener {
    port: u16,
    /// Any, if it is all zeroes.
    address: Address,
    backlog: u32,
    options: Options,
    /// Connections that the application does not have yet, open ones among them.
    pending: u32,
    /// Open connections.
    open: VecDeque<u32>,
    waker: Option<Waker>,
    /// Until when acknowledgements may come for SYNs of which nothing was kept.
    pub(crate) cookies_until: Instant,
}

impl Listener {
    pub(crate) fn has_port(&self, port: u16) -> bool {
        self.port == port
    }

    pub(crate) fn info(&self) -> SocketInfo {
        let local = headers::listen_endpoint(self.address, self.port);
        SocketInfo::Listens { local, pending: self.pending, backlog: self.backlog }
    }

    /// The scale of its connections' windows, as smoltcp has it.
    pub(crate) fn scale(&self) -> u8 {
        (usize::BITS - self.options.receive().leading_zeros()).saturating_sub(16) as u8
    }

    /// The window that its SYN-ACKs say.
    pub(crate) fn window(&self) -> u16 {
        u16::try_from(self.options.receive()).unwrap_or(u16::MAX)
    }
}

impl Engine {
    /// Begins to listen. `None` if somebody does so already.
    pub(crate) fn listen(
        &mut self,
        port: u16,
        address: Address,
        backlog: u32,
        options: Options,
    ) -> Option<u32> {
        let any = Address::default();
        let taken = |listener: &Listener| {
            listener.port == port && [listener.address, address].contains(&any)
                || (listener.port, listener.address) == (port, address)
        };
        if port == 0 || self.listeners.iter().flatten().any(taken) {
            return None;
        }
        let listener = Listener {
            port,
            address,
            backlog,
            options,
            pending: 0,
            open: VecDeque::new(),
            waker: None,
            cookies_until: Instant::ZERO,
        };
        let free = self.listeners.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.listeners.push(None);
            self.listeners.len() - 1
        });
        self.listeners[index] = Some(listener);
        Some(index as u32)
    }

    fn listener(&mut self, index: u32) -> Option<&mut Listener> {
        self.listeners.get_mut(index as usize)?.as_mut()
    }

    fn index_for(&self, flow: &Flow) -> Option<usize> {
        let any = Address::default();
        self.listeners.iter().position(|listener| {
            listener.as_ref().is_some_and(|listener| {
                listener.port == flow.local_port && [any, flow.local].contains(&listener.address)
            })
        })
    }

    /// Who listens where this goes.
    pub(crate) fn listening(&mut self, flow: &Flow) -> Option<&mut Listener> {
        let index = self.index_for(flow)?;
        self.listeners[index].as_mut()
    }

    /// A socket for a connection that somebody wants to open. `None` if nobody listens there.
    pub(crate) fn open(&mut self, flow: &Flow) -> Result<Option<u32>, Full> {
        let Some(index) = self.index_for(flow) else { return Ok(None) };
        let Some(listener) = &self.listeners[index] else { return Ok(None) };
        if listener.open.len() as u32 >= listener.backlog {
            return Err(Full::Open);
        }
        if listener.pending >= listener.backlog {
            return Err(Full::HalfOpen);
        }
        self.open_at(index, flow).map(Some).ok_or(Full::Open)
    }

    /// The same for one that its peer thinks is open, though no room was taken for it. So there is twice as much.
    pub(crate) fn open_remembered(&mut self, flow: &Flow) -> Result<Option<u32>, Full> {
        let Some(index) = self.index_for(flow) else { return Ok(None) };
        let Some(listener) = &self.listeners[index] else { return Ok(None) };
        if listener.open.len() as u32 / 2 >= listener.backlog {
            return Err(Full::Open);
        }
        self.open_at(index, flow).map(Some).ok_or(Full::Open)
    }

    /// `None` without memory for it.
    fn open_at(&mut self, index: usize, flow: &Flow) -> Option<u32> {
        let listener = self.listeners[index].as_mut()?;
        let mut socket = listener.options.socket()?;
        socket.set_timeout(Some(HANDSHAKE));
        socket.listen(IpListenEndpoint::from(flow.local_port)).ok()?;
        listener.pending += 1;
        Some(self.table.insert(socket, Kind::Tcp, *flow, Owner::Opening(index as u32)))
    }

    /// A connection is open, and the application's to take.
    pub(crate) fn opened(&mut self, index: u32, id: u32) {
        if let Some(listener) = self.listener(index) {
            listener.open.push_back(id);
            if let Some(waker) = listener.waker.take() {
                waker.wake();
            }
        }
    }

    /// A connection has ended before the application took it.
    pub(crate) fn forget(&mut self, index: u32, id: u32) {
        if let Some(listener) = self.listener(index) {
            listener.pending -= 1;
            listener.open.retain(|other| *other != id);
        }
    }

    /// Takes an open connection, or has `waker` woken when there is one.
    pub(crate) fn accept(&mut self, index: u32, waker: &Waker) -> Option<u32> {
        let listener = self.listener(index)?;
        let Some(id) = listener.open.pop_front() else {
            listener.waker = Some(waker.clone());
            return None;
        };
        listener.pending -= 1;
        let timeout = listener.options.timeout;
        if let Some(slot) = self.table.slot(id) {
            slot.owner = Owner::Handle;
            slot.tcp().set_timeout(timeout);
        }
        Some(id)
    }

    /// Listens no more. Connections that the application has not taken are reset.
    pub(crate) fn hang_up(&mut self, index: u32) {
        self.listeners[index as usize] = None;
        for id in self.table.ids() {
            let Some(slot) = self.table.slot(id) else { continue };
            if slot.owner == Owner::Opening(index) || slot.owner == Owner::Waiting(index) {
                slot.tcp().abort();
                self.orphan(id);
            }
        }
    }
}
