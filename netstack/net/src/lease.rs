//! What a DHCP server gives: smoltcp asks, renews and gives up; here is what it does not read, and what becomes of it.

use crate::config::{MAX_ROUTES, MAX_SEARCH, MAX_SERVERS, Route, V4, check_gateway, is_server, v4_cidr};
use crate::engine::Engine;
use crate::headers::Flow;
use crate::names;
use crate::table::{Kind, Owner};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::dhcpv4;
use smoltcp::time::Duration;
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress,
    EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpCidr, IpProtocol, Ipv4Cidr, Ipv4Packet,
    Ipv4Repr, UdpPacket, UdpRepr,
};

/// How long a DHCP server may take to answer, at first. Switches and bridges that have just come up lose the first
/// questions.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long to leave a server in peace that gave us what somebody else has (RFC 2131 section 3.1).
const AFTER_DECLINE: Duration = Duration::from_secs(10);

/// Options by their numbers (RFC 2132, 3397, 3442).
const HOST_NAME: u8 = 12;
const DOMAIN_NAME: u8 = 15;
const INTERFACE_MTU: u8 = 26;
const NTP_SERVERS: u8 = 42;
const DOMAIN_SEARCH: u8 = 119;
const CLASSLESS_ROUTES: u8 = 121;
/// What we ask for: routes before the router, as RFC 3442 wants it.
const WANTED: &[u8] =
    &[1, CLASSLESS_ROUTES, 3, 6, HOST_NAME, DOMAIN_NAME, INTERFACE_MTU, NTP_SERVERS, DOMAIN_SEARCH];

/// What a DHCP server has given us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Our address.
    pub address: Ipv4Cidr,
    /// The way out, if there is one.
    pub gateway: Option<Ipv4Addr>,
    /// Who resolves names.
    pub dns: Vec<Ipv4Addr>,
    /// Who gave it.
    pub server: Ipv4Addr,
    /// Ways to networks that are not by way of the gateway.
    pub routes: Vec<Route>,
    /// The domains in which names are looked for.
    pub search: Vec<String>,
    /// Who knows what time it is.
    pub ntp: Vec<Ipv4Addr>,
    /// What we are called.
    pub host_name: Option<String>,
    /// The largest packet.
    pub mtu: Option<u16>,
}

impl Engine {
    /// Begins to look for a DHCP server, if one is to be asked.
    pub(crate) fn begin_dhcp(&mut self) {
        if self.addresses.config.v4 != V4::Dhcp || self.table.only(Kind::Dhcp, DHCP_CLIENT_PORT).is_some() {
            return;
        }
        let mut socket = dhcpv4::Socket::new();
        let mut retry = socket.get_retry_config();
        (retry.discover_timeout, retry.initial_request_timeout) = (PATIENCE, PATIENCE);
        socket.set_retry_config(retry);
        socket.set_parameter_request_list(WANTED);
        // With a buffer, if only an empty one, it tells of every renewal, which may bring other options.
        socket.set_receive_packet_buffer(&mut []);
        let flow = Flow { local_port: DHCP_CLIENT_PORT, ..Flow::default() };
        let id = self.table.insert(socket, Kind::Dhcp, flow, Owner::Handle);
        self.queue(id);
    }

    /// Asks no more, and lets go of what was given.
    pub(crate) fn end_dhcp(&mut self) {
        if let Some(id) = self.table.only(Kind::Dhcp, DHCP_CLIENT_PORT) {
            self.remove(id);
        }
        self.addresses.lease = None;
        self.addresses.dhcp_again = None;
    }

    /// Does as the DHCP server says, in `frame` if that is why we ask.
    pub(crate) fn follow_dhcp(&mut self, id: u32, frame: Option<&[u8]>) {
        let Some(slot) = self.table.slot(id) else { return };
        let lease = match slot.socket::<dhcpv4::Socket<'static>>().poll() {
            None => return,
            Some(dhcpv4::Event::Deconfigured) => None,
            Some(dhcpv4::Event::Configured(config)) => Some((
                Lease {
                    address: config.address,
                    gateway: config.router,
                    dns: config.dns_servers.iter().copied().collect(),
                    server: config.server.address,
                    routes: Vec::new(),
                    search: Vec::new(),
                    ntp: Vec::new(),
                    host_name: None,
                    mtu: None,
                },
                config.server.identifier,
            )),
        };
        let lease = match lease {
            None => None,
            Some((mut lease, identifier)) => {
                self.addresses.server_identifier = identifier;
                frame.and_then(dhcp_packet).into_iter().for_each(|packet| lease.read(&packet));
                let lease = lease.checked();
                self.counts.leases_refused += u64::from(lease.is_none());
                lease
            }
        };
        if lease == self.addresses.lease {
            return;
        }
        let moved =
            lease.as_ref().map(|lease| lease.address) != self.addresses.lease.as_ref().map(|old| old.address);
        self.counts.leases += u64::from(moved && lease.is_some());
        self.addresses.lease = lease;
        self.refresh();
    }

    /// Somebody else has what was leased: says so to the server, and asks again after a while.
    pub(crate) fn decline(&mut self) {
        let Some(lease) = self.addresses.lease.take() else { return };
        let number = self.random.number() as u32;
        let identifier = self.addresses.server_identifier;
        let frame = decline(self.status.mac, lease.address.address(), identifier, number);
        self.addresses.send(frame);
        self.end_dhcp();
        self.addresses.dhcp_again = Some(self.now + AFTER_DECLINE);
    }
}

/// A packet that UDP to our port brought, whose checksums smoltcp has verified.
fn dhcp_packet(frame: &[u8]) -> Option<DhcpPacket<&[u8]>> {
    let at = 14 + usize::from(frame.get(14)? & 15) * 4 + 8;
    DhcpPacket::new_checked(frame.get(at..)?).ok()
}

impl Lease {
    /// Takes what smoltcp does not read. What makes no sense is left out.
    fn read(&mut self, packet: &DhcpPacket<&[u8]>) {
        let all = |kind: u8| {
            // In parts, if it is long (RFC 3396).
            let mut bytes = Vec::new();
            packet.options().filter(|option| option.kind == kind).for_each(|part| bytes.extend(part.data));
            bytes
        };
        let address = |bytes: &[u8; 4]| Ipv4Addr::from(*bytes);
        self.ntp = all(NTP_SERVERS).as_chunks().0.iter().map(address).collect();
        self.host_name = text(&all(HOST_NAME));
        self.mtu = all(INTERFACE_MTU).first_chunk().map(|mtu| u16::from_be_bytes(*mtu));
        self.search = names::read(&all(DOMAIN_SEARCH));
        if self.search.is_empty() {
            self.search.extend(text(&all(DOMAIN_NAME)));
        }
        let routes = all(CLASSLESS_ROUTES);
        if !routes.is_empty() {
            // Who understands these is not to look at the router (RFC 3442).
            self.gateway = None;
            self.read_routes(&routes);
        }
    }

    fn read_routes(&mut self, mut rest: &[u8]) {
        while let Some((prefix @ 0..=32, after)) = rest.split_first() {
            let len = usize::from(prefix.div_ceil(8));
            let Some((network, after)) = after.split_at_checked(len) else { return };
            let Some((via, after)) = after.split_first_chunk::<4>() else { return };
            rest = after;
            let mut octets = [0; 4];
            octets[..len].copy_from_slice(network);
            let via = Ipv4Addr::from(*via);
            if *prefix == 0 {
                self.gateway = Some(via);
            } else {
                let to = IpCidr::new(IpAddress::Ipv4(octets.into()), *prefix);
                self.routes.push(Route { to, via: IpAddress::Ipv4(via) });
            }
        }
    }

    /// An address that no host can have is refused; a router that cannot be reached is left out, and so is what else makes
    /// no sense.
    fn checked(mut self) -> Option<Self> {
        let address = self.address;
        v4_cidr(address.address(), address.prefix_len()).ok()?;
        self.gateway = self.gateway.filter(|gateway| check_gateway(address, *gateway).is_ok());
        self.routes.retain(|route| match (route.to, route.via) {
            (IpCidr::Ipv4(to), IpAddress::Ipv4(via)) => {
                v4_cidr(to.address(), 32).is_ok() && check_gateway(address, via).is_ok()
            }
            _ => false,
        });
        self.routes.truncate(MAX_ROUTES);
        self.search.truncate(MAX_SEARCH);
        for servers in [&mut self.dns, &mut self.ntp] {
            servers.retain(|server| is_server(&IpAddress::Ipv4(*server)));
            servers.truncate(MAX_SERVERS);
        }
        self.mtu = self.mtu.filter(|mtu| *mtu >= crate::config::LEAST_MTU);
        Some(self)
    }
}

/// A name in letters, which some servers end with a zero.
fn text(bytes: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(bytes).ok()?;
    crate::config::domain(text.trim_end_matches('\0')).ok()
}

/// RFC 2131 table 5.
fn decline(mac: EthernetAddress, address: Ipv4Addr, server: Ipv4Addr, number: u32) -> Vec<u8> {
    let message = DhcpRepr {
        message_type: DhcpMessageType::Decline,
        transaction_id: number,
        secs: 0,
        client_hardware_address: mac,
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: Ipv4Addr::UNSPECIFIED,
        server_ip: Ipv4Addr::UNSPECIFIED,
        router: None,
        subnet_mask: None,
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: false,
        requested_ip: Some(address),
        client_identifier: Some(mac),
        server_identifier: Some(server),
        parameter_request_list: None,
        max_size: None,
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        dns_servers: None,
        additional_options: &[],
    };
    let udp = UdpRepr { src_port: DHCP_CLIENT_PORT, dst_port: DHCP_SERVER_PORT };
    let payload_len = udp.header_len() + message.buffer_len();
    let ip = Ipv4Repr {
        src_addr: Ipv4Addr::UNSPECIFIED,
        dst_addr: Ipv4Addr::BROADCAST,
        next_header: IpProtocol::Udp,
        payload_len,
        hop_limit: 64,
    };
    let ethernet = EthernetRepr {
        src_addr: mac,
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Ipv4,
    };
    let mut frame = alloc::vec![0; 14 + ip.buffer_len() + payload_len];
    ethernet.emit(&mut EthernetFrame::new_unchecked(&mut frame[..]));
    let sums = ChecksumCapabilities::default();
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut frame[14..]), &sums);
    let (from, to) = (IpAddress::Ipv4(ip.src_addr), IpAddress::Ipv4(ip.dst_addr));
    let write = |room: &mut [u8]| {
        // There is room for all of it.
        let _ = message.emit(&mut DhcpPacket::new_unchecked(room));
    };
    let mut packet = UdpPacket::new_unchecked(&mut frame[34..]);
    udp.emit(&mut packet, &from, &to, message.buffer_len(), write, &sums);
    frame
}
