//! What sockets there are, for people to look at.

use crate::engine::Engine;
use crate::headers;
use crate::stack::Stack;
use crate::table::{Kind, Owner};
use smoltcp::socket::tcp::State;
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

/// A socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketInfo {
    /// Waits for connections; so many wait to be accepted, those among them that are half-open.
    Listens {
        /// Where.
        local: IpListenEndpoint,
        /// How many wait,
        pending: u32,
        /// and may wait.
        backlog: u32,
    },
    /// A connection.
    Tcp {
        /// Our end.
        local: IpEndpoint,
        /// The other.
        remote: IpEndpoint,
        /// As RFC 9293 calls it.
        state: State,
        /// Bytes that wait for the application,
        receive: usize,
        /// and for the peer.
        send: usize,
        /// The application has let go of it.
        is_orphan: bool,
    },
    /// Datagrams.
    Udp {
        /// Where.
        local: IpListenEndpoint,
    },
}

impl Stack {
    /// Tells `each` of every socket, those of DHCP and of pings apart.
    pub fn for_each_socket(&self, mut each: impl FnMut(SocketInfo)) {
        self.with(|engine| {
            engine.listeners.iter().flatten().for_each(|listener| each(listener.info()));
            (0..engine.table.ids().end).filter_map(|id| engine.info(id)).for_each(&mut each);
        });
    }
}

impl Engine {
    fn info(&mut self, id: u32) -> Option<SocketInfo> {
        let slot = self.table.slot(id)?;
        let (flow, is_orphan) = (slot.flow, matches!(slot.owner, Owner::Orphan { .. }));
        match slot.kind {
            Kind::Tcp => {
                let socket = slot.tcp();
                let (state, receive, send) = (socket.state(), socket.recv_queue(), socket.send_queue());
                let local = IpEndpoint::new(headers::ip_address(flow.local), flow.local_port);
                let remote = IpEndpoint::new(headers::ip_address(flow.remote), flow.remote_port);
                Some(SocketInfo::Tcp { local, remote, state, receive, send, is_orphan })
            }
            Kind::Udp => {
                let local = headers::listen_endpoint(flow.local, flow.local_port);
                Some(SocketInfo::Udp { local })
            }
            Kind::Dhcp | Kind::Ping => None,
        }
    }
}
