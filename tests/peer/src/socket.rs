//! Sockets. Numbers and structures: Linux include/uapi/asm-generic/{socket,unistd}.h, include/uapi/linux/{in,in6,
//! if_packet,ethtool,sockios}.h.

use core::net::IpAddr;

use crate::sys::{Control, Failed, call};

mod nr {
    pub(super) const CLOSE: usize = 57;
    pub(super) const SOCKET: usize = 198;
    pub(super) const BIND: usize = 200;
    pub(super) const LISTEN: usize = 201;
    pub(super) const ACCEPT: usize = 202;
    pub(super) const CONNECT: usize = 203;
    pub(super) const SENDTO: usize = 206;
    pub(super) const RECVFROM: usize = 207;
    pub(super) const SETSOCKOPT: usize = 208;
    pub(super) const SHUTDOWN: usize = 210;
}

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const AF_PACKET: u8 = 17;
const SOCK_STREAM: usize = 1;
const SOCK_DGRAM: usize = 2;
const SOCK_RAW: usize = 3;
const IPPROTO_ICMP: usize = 1;
const IPPROTO_TCP: usize = 6;
const IPPROTO_IPV6: usize = 41;
const IPPROTO_ICMPV6: usize = 58;
const ETH_P_ALL: u16 = 3;
const SOL_SOCKET: usize = 1;
const SO_REUSEADDR: usize = 2;
const SO_SNDBUF: usize = 7;
const SO_RCVTIMEO: usize = 20;
const SO_SNDTIMEO: usize = 21;
const SO_RCVBUFFORCE: usize = 33;
const TCP_NODELAY: usize = 1;
const IPV6_V6ONLY: usize = 26;
const MSG_NOSIGNAL: usize = 0x4000;
const SHUT_WR: usize = 1;
/// A call that waited as long as it was to.
const EAGAIN: isize = -11;
const EOPNOTSUPP: isize = -95;

/// `struct sockaddr_in`, `sockaddr_in6` or `sockaddr_ll`.
#[repr(C, align(4))]
#[derive(Clone, Copy)]
pub(crate) struct Address {
    bytes: [u8; 28],
    len: u32,
}

impl Address {
    const NONE: Self = Self { bytes: [0; 28], len: 28 };

    pub(crate) fn new(ip: IpAddr, port: u16) -> Self {
        let mut address = Self::NONE;
        address.bytes[0] = family(ip);
        address.bytes[2..4].copy_from_slice(&port.to_be_bytes());
        match ip {
            IpAddr::V4(ip) => address.bytes[4..8].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => address.bytes[8..24].copy_from_slice(&ip.octets()),
        }
        address.len = if ip.is_ipv4() { 16 } else { 28 };
        address
    }

    /// All that an interface sends and receives.
    fn interface(index: u32) -> Self {
        let mut address = Self { len: 20, ..Self::NONE };
        address.bytes[0] = AF_PACKET;
        address.bytes[2..4].copy_from_slice(&ETH_P_ALL.to_be_bytes());
        address.bytes[4..8].copy_from_slice(&index.to_le_bytes());
        address
    }
}

fn family(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { AF_INET } else { AF_INET6 }
}

/// A socket, closed when it is dropped.
pub(crate) struct Socket(usize);

impl Socket {
    pub(crate) fn udp(ip: IpAddr) -> Result<Self, Failed> {
        Self::new(family(ip), SOCK_DGRAM, 0)
    }

    pub(crate) fn tcp(ip: IpAddr) -> Result<Self, Failed> {
        Self::new(family(ip), SOCK_STREAM, 0)
    }

    /// For echo requests and their replies. Linux fills in identifiers and checksums.
    pub(crate) fn ping(ip: IpAddr) -> Result<Self, Failed> {
        Self::new(family(ip), SOCK_DGRAM, if ip.is_ipv4() { IPPROTO_ICMP } else { IPPROTO_ICMPV6 })
    }

    /// For all frames of an interface.
    pub(crate) fn frames(interface: u32) -> Result<Self, Failed> {
        let socket = Self::new(AF_PACKET, SOCK_RAW, 0)?;
        socket.bind(&Address::interface(interface))?;
        Ok(socket)
    }

    fn new(family: u8, kind: usize, protocol: usize) -> Result<Self, Failed> {
        // SAFETY: touches no memory.
        unsafe { call("socket", nr::SOCKET, [family.into(), kind, protocol, 0, 0, 0]) }.map(Self)
    }

    /// Has it be at this port, of all addresses of this family.
    pub(crate) fn serve(&self, any: IpAddr, port: u16) -> Result<(), Failed> {
        self.set(SOL_SOCKET, SO_REUSEADDR, &1u32)?;
        if any.is_ipv6() {
            self.set(IPPROTO_IPV6, IPV6_V6ONLY, &1u32)?;
        }
        self.bind(&Address::new(any, port))
    }

    fn bind(&self, address: &Address) -> Result<(), Failed> {
        let arguments = [self.0, address.bytes.as_ptr() as usize, address.len as usize, 0, 0, 0];
        // SAFETY: reads the address.
        unsafe { call("bind", nr::BIND, arguments) }.map(drop)
    }

    pub(crate) fn listen(&self) -> Result<(), Failed> {
        // SAFETY: touches no memory.
        unsafe { call("listen", nr::LISTEN, [self.0, 16, 0, 0, 0, 0]) }.map(drop)
    }

    /// Waits for a connection.
    pub(crate) fn accept(&self) -> Result<Self, Failed> {
        // SAFETY: touches no memory.
        unsafe { call("accept", nr::ACCEPT, [self.0, 0, 0, 0, 0, 0]) }.map(Self)
    }

    pub(crate) fn connect(&self, address: &Address) -> Result<(), Failed> {
        let arguments = [self.0, address.bytes.as_ptr() as usize, address.len as usize, 0, 0, 0];
        // SAFETY: reads the address.
        unsafe { call("connect", nr::CONNECT, arguments) }.map(drop)
    }

    /// Sends to whom it is connected; gives how much.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<usize, Failed> {
        let arguments = [self.0, bytes.as_ptr() as usize, bytes.len(), MSG_NOSIGNAL, 0, 0];
        // SAFETY: reads `bytes`.
        unsafe { call("send", nr::SENDTO, arguments) }
    }

    /// The same, all of it.
    pub(crate) fn send_all(&self, mut bytes: &[u8]) -> Result<(), Failed> {
        while !bytes.is_empty() {
            bytes = &bytes[self.send(bytes)?..];
        }
        Ok(())
    }

    pub(crate) fn send_to(&self, bytes: &[u8], to: &Address) -> Result<usize, Failed> {
        let (data, address) = (bytes.as_ptr() as usize, to.bytes.as_ptr() as usize);
        let arguments = [self.0, data, bytes.len(), MSG_NOSIGNAL, address, to.len as usize];
        // SAFETY: reads `bytes` and the address.
        unsafe { call("sendto", nr::SENDTO, arguments) }
    }

    /// Waits for something; gives how much, or none if it waited as long as it was to.
    pub(crate) fn receive(&self, into: &mut [u8]) -> Result<Option<usize>, Failed> {
        let arguments = [self.0, into.as_mut_ptr() as usize, into.len(), 0, 0, 0];
        // SAFETY: writes no more than there is room for.
        match unsafe { call("recv", nr::RECVFROM, arguments) } {
            Err(Failed(_, EAGAIN)) => Ok(None),
            result => result.map(Some),
        }
    }

    /// Waits for something, and gives how much, and from whom.
    pub(crate) fn receive_from(&self, into: &mut [u8]) -> Result<(usize, Address), Failed> {
        let mut from = Address::NONE;
        let (address, len) = (from.bytes.as_mut_ptr() as usize, &raw mut from.len as usize);
        let arguments = [self.0, into.as_mut_ptr() as usize, into.len(), 0, address, len];
        // SAFETY: writes no more than there is room for, nor to the address, whose length is there as well.
        let length = unsafe { call("recvfrom", nr::RECVFROM, arguments) }?;
        from.len = from.len.min(28);
        Ok((length, from))
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&self) -> Result<(), Failed> {
        // SAFETY: touches no memory.
        unsafe { call("shutdown", nr::SHUTDOWN, [self.0, SHUT_WR, 0, 0, 0, 0]) }.map(drop)
    }

    /// How long to wait for something.
    pub(crate) fn patience(&self, ms: u64) -> Result<(), Failed> {
        self.set(SOL_SOCKET, SO_RCVTIMEO, &[ms / 1000, ms % 1000 * 1000])
    }

    /// How long to wait for a connection, and for room to send.
    pub(crate) fn patience_to_send(&self, ms: u64) -> Result<(), Failed> {
        self.set(SOL_SOCKET, SO_SNDTIMEO, &[ms / 1000, ms % 1000 * 1000])
    }

    /// Makes room for what is not fetched at once; only root may have so much.
    pub(crate) fn room(&self, bytes: u32) -> Result<(), Failed> {
        self.set(SOL_SOCKET, SO_RCVBUFFORCE, &bytes)
    }

    /// Keeps no more than that under way.
    pub(crate) fn little(&self, bytes: u32) -> Result<(), Failed> {
        self.set(SOL_SOCKET, SO_SNDBUF, &bytes)
    }

    /// Has each write be sent at once.
    pub(crate) fn no_delay(&self) -> Result<(), Failed> {
        self.set(IPPROTO_TCP, TCP_NODELAY, &1u32)
    }

    fn set<T>(&self, level: usize, option: usize, value: &T) -> Result<(), Failed> {
        let arguments = [self.0, level, option, &raw const *value as usize, size_of::<T>(), 0];
        // SAFETY: reads `value`.
        unsafe { call("setsockopt", nr::SETSOCKOPT, arguments) }.map(drop)
    }

    /// Turns a feature of an interface, a number of linux/ethtool.h, on or off, if it can be.
    pub(crate) fn set_feature(&self, interface: &str, feature: u32, on: bool) -> Result<(), Failed> {
        let mut value = [feature, on.into()];
        let mut request =
            InterfaceRequest { name: [0; 16], data: value.as_mut_ptr() as usize, rest: [0; 16] };
        for (to, from) in request.name[..15].iter_mut().zip(interface.bytes()) {
            *to = from;
        }
        let arguments = [self.0, InterfaceRequest::REQUEST, &raw mut request as usize, 0, 0, 0];
        // SAFETY: promised below; the address in it is of `value`.
        match unsafe { call("ethtool", crate::sys::IOCTL, arguments) } {
            // Not all can be changed of every interface.
            Err(Failed(_, EOPNOTSUPP)) => Ok(()),
            result => result.map(drop),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: touches no memory.
        let _ = unsafe { call("close", nr::CLOSE, [self.0, 0, 0, 0, 0, 0]) };
    }
}

/// `struct ifreq` with `ifr_data`.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    data: usize,
    rest: [u8; 16],
}

// SAFETY: SIOCETHTOOL. Only `Socket::set_feature` makes one, whose address is of a `struct ethtool_value`.
unsafe impl Control for InterfaceRequest {
    const REQUEST: usize = 0x8946;
}
