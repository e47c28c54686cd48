//! The addresses of the interface: given, or leased by a DHCP server; told to smoltcp and announced to the neighbours.

use crate::config::{Config, MAX_ROUTES, Route, V4, check_gateway, v4_cidr};
use crate::engine::Engine;
use crate::gate::{LARGEST_PACKET, Model};
use crate::headers::{self, Address, Flow};
use crate::table::{Kind, Owner};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::num::NonZeroUsize;
use fata_link::{Link, neighbor};
use smoltcp::iface::{Config as InterfaceConfig, Interface};
use smoltcp::phy::{DeviceCapabilities, TxToken};
use smoltcp::socket::dhcpv4;
use smoltcp::time::Duration;
use smoltcp::wire::{DHCP_CLIENT_PORT, EthernetAddress, IpAddress, IpCidr, IpVersion, Ipv4Cidr, Ipv6Cidr};

/// The smallest packets that IP can do with (RFC 791).
const SMALLEST_MTU: usize = 68;
/// How long a DHCP server may take to answer, at first. Switches and bridges that have just come up lose the first
/// questions.
const DHCP_PATIENCE: Duration = Duration::from_secs(2);

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
}

/// What the interface is to have, and what is yet to be announced.
pub(crate) struct Addresses {
    pub(crate) config: Config,
    pub(crate) lease: Option<Lease>,
    to_announce: Vec<IpAddress>,
}

impl Addresses {
    pub(crate) fn new(config: Config) -> Self {
        Self { config, lease: None, to_announce: Vec::new() }
    }

    fn v4(&self) -> Option<Ipv4Cidr> {
        match self.config.v4 {
            V4::Off => None,
            V4::Static(cidr) => Some(cidr),
            V4::Dhcp => self.lease.as_ref().map(|lease| lease.address),
        }
    }

    /// Whether there are, or may be yet, addresses of this family.
    pub(crate) fn can_have(&self, version: IpVersion) -> bool {
        match version {
            IpVersion::Ipv4 => self.config.v4 != V4::Off,
            IpVersion::Ipv6 => !self.config.v6_off,
        }
    }

    pub(crate) fn gateway_v4(&self) -> Option<Ipv4Addr> {
        self.config.gateway_v4.or_else(|| self.lease.as_ref().and_then(|lease| lease.gateway))
    }

    pub(crate) fn name_servers(&self) -> Vec<IpAddress> {
        if !self.config.dns.is_empty() {
            return self.config.dns.clone();
        }
        self.lease.iter().flat_map(|lease| &lease.dns).map(|address| IpAddress::Ipv4(*address)).collect()
    }

    pub(crate) fn search(&self) -> Vec<String> {
        self.config.search.clone()
    }

    pub(crate) fn time_servers(&self) -> Vec<IpAddress> {
        self.config.ntp.clone()
    }

    pub(crate) fn host_name(&self) -> Option<String> {
        self.config.host_name.clone()
    }

    /// All of them, the link-local one last.
    pub(crate) fn cidrs(&self, mac: EthernetAddress) -> impl Iterator<Item = IpCidr> + '_ {
        let v6 = self.config.v6.iter().map(|cidr| IpCidr::Ipv6(*cidr));
        let local = (!self.config.v6_off).then(|| IpCidr::Ipv6(link_local(mac)));
        let more_v4 = self.config.more_v4.iter().copied();
        self.v4().into_iter().chain(more_v4).map(IpCidr::Ipv4).chain(v6).chain(local)
    }
}

fn smoltcp_route(route: &Route) -> smoltcp::iface::Route {
    smoltcp::iface::Route { cidr: route.to, via_router: route.via, preferred_until: None, expires_at: None }
}

/// RFC 4291 appendix A.
fn link_local(mac: EthernetAddress) -> Ipv6Cidr {
    let [a, b, c, d, e, f] = mac.0;
    let word = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    let address = Ipv6Addr::new(0xfe80, 0, 0, 0, word(a ^ 2, b), word(c, 0xff), word(0xfe, d), word(e, f));
    Ipv6Cidr::new(address, 64)
}

impl Engine {
    /// Follows the link: when it has come up, perhaps as another, so does the interface.
    pub(crate) fn follow<L: Link>(&mut self, link: &L) {
        let mut status = link.status();
        // Who has no address of its own cannot be spoken to.
        status.up &= status.mac.is_unicast() && status.mac != EthernetAddress([0; 6]);
        if status == self.status {
            return;
        }
        self.status = status;
        if status.up {
            self.counts.ups += 1;
            self.make_interface(link.capabilities(), link.cuts_v6());
            self.begin_anew();
        }
        self.tell();
    }

    /// smoltcp reads the capabilities only when an interface is made. It is told of a link for packets of any size.
    fn make_interface(&mut self, mut capabilities: DeviceCapabilities, cuts_v6: Option<NonZeroUsize>) {
        self.link_mtu = capabilities.ip_mtu().clamp(SMALLEST_MTU, LARGEST_PACKET);
        self.set_mtu();
        self.out.sums = capabilities.checksum.clone();
        let segmentation = &mut capabilities.segmentation;
        segmentation.tcpv6 = cuts_v6;
        let sizes = [&mut segmentation.tcpv4, &mut segmentation.tcpv6];
        for ((size, by_device), is_cut) in
            sizes.into_iter().zip(&mut self.out.segments).zip(&mut self.out.is_cut)
        {
            // Smaller ones are no use, and larger ones have lengths that IP cannot say.
            *size = size.filter(|size| size.get() >= 2048).map(|size| size.min(LARGEST_FRAME));
            *by_device = size.is_some();
            // What the device does not cut we do, unless smoltcp is to make the checksums.
            *size = (*size).or(Some(LARGEST_CUT)).filter(|_| !capabilities.checksum.tcp.tx());
            *is_cut = size.is_some();
        }
        capabilities.max_transmission_unit = LARGEST_FRAME.get();
        let mut config = InterfaceConfig::new(self.status.mac.into());
        config.random_seed = self.random.number();
        self.interface = Some(Interface::new(config, &mut Model(capabilities), self.now));
        self.set_addresses();
        self.announce_all();
    }

    /// The link's, if none was given that is smaller.
    fn set_mtu(&mut self) {
        let given = self.addresses.config.mtu.map_or(usize::MAX, usize::from);
        self.out.mtu = self.link_mtu.min(given);
    }

    /// Tells smoltcp.
    fn set_addresses(&mut self) {
        let Some(interface) = &mut self.interface else { return };
        let addresses = &self.addresses;
        interface.update_ip_addrs(|list| {
            list.clear();
            // There is room: one of IPv4, MAX_V6 and one link-local.
            list.extend(addresses.cidrs(self.status.mac).take(list.capacity()));
        });
        let routes = interface.routes_mut();
        routes.update(|routes| {
            routes.clear();
            // There is room for MAX_ROUTES and these two.
            routes.extend(addresses.config.routes.iter().map(smoltcp_route).take(MAX_ROUTES));
        });
        if let Some(gateway) = addresses.gateway_v4() {
            let _ = routes.add_default_ipv4_route(gateway);
        }
        if let Some(gateway) = addresses.config.gateway_v6 {
            let _ = routes.add_default_ipv6_route(gateway);
        }
    }

    fn announce_all(&mut self) {
        let all = self.addresses.cidrs(self.status.mac).map(|cidr| cidr.address()).collect();
        self.addresses.to_announce = all;
    }

    /// Tells the neighbours where our addresses are now, as soon as there is room.
    pub(crate) fn announce<L: Link>(&mut self, link: &mut L) {
        while let Some(address) = self.addresses.to_announce.last() {
            let Some(token) = link.transmit(self.now) else { return };
            let frame = neighbor::announce(self.status.mac, *address);
            let bytes = frame.bytes();
            token.consume(bytes.len(), |room| room.copy_from_slice(bytes));
            self.addresses.to_announce.pop();
        }
    }

    /// Asks for the neighbour by way of whom packets get there.
    pub(crate) fn ask_for<L: Link>(&mut self, remote: Address, link: &mut L) {
        let Some(interface) = &self.interface else { return };
        let remote = headers::ip_address(remote);
        let near = interface.ip_addrs().iter().any(|cidr| cidr.contains_addr(&remote));
        let hop = match remote {
            _ if near => Some(remote),
            IpAddress::Ipv4(_) => self.addresses.gateway_v4().map(IpAddress::Ipv4),
            IpAddress::Ipv6(_) => self.addresses.config.gateway_v6.map(IpAddress::Ipv6),
        };
        let Some(hop) = hop.filter(IpAddress::is_unicast) else { return };
        let frame =
            interface.get_source_address(&hop).and_then(|source| neighbor::ask(self.status.mac, source, hop));
        if let Some(frame) = frame
            && let Some(token) = link.transmit(self.now)
        {
            token.consume(frame.bytes().len(), |room| room.copy_from_slice(frame.bytes()));
        }
    }

    /// Begins to look for a DHCP server, if one is to be asked.
    pub(crate) fn begin_dhcp(&mut self) {
        if self.addresses.config.v4 != V4::Dhcp {
            return;
        }
        let mut socket = dhcpv4::Socket::new();
        let mut retry = socket.get_retry_config();
        (retry.discover_timeout, retry.initial_request_timeout) = (DHCP_PATIENCE, DHCP_PATIENCE);
        socket.set_retry_config(retry);
        let flow = Flow { local_port: DHCP_CLIENT_PORT, ..Flow::default() };
        let id = self.table.insert(socket, Kind::Dhcp, flow, Owner::Handle);
        self.queue(id);
    }

    /// Does as the DHCP server says.
    pub(crate) fn follow_dhcp(&mut self, id: u32) {
        let Some(slot) = self.table.slot(id) else { return };
        let lease = match slot.socket::<dhcpv4::Socket<'static>>().poll() {
            None => return,
            Some(dhcpv4::Event::Deconfigured) => None,
            Some(dhcpv4::Event::Configured(config)) => Some(Lease {
                address: config.address,
                gateway: config.router,
                dns: config.dns_servers.iter().copied().collect(),
                server: config.server.address,
            }),
        };
        let lease = match lease.map(check_lease) {
            None => None,
            Some(Ok(lease)) => Some(lease),
            Some(Err(())) => {
                self.counts.leases_refused += 1;
                None
            }
        };
        if lease == self.addresses.lease {
            return;
        }
        let moved = lease.as_ref().map(|lease| lease.address) != self.addresses.v4();
        self.counts.leases += u64::from(lease.is_some());
        self.addresses.lease = lease;
        self.set_addresses();
        if moved {
            self.addresses
                .to_announce
                .extend(self.addresses.v4().map(|cidr| IpAddress::Ipv4(cidr.address())));
            // Who has an address that is gone is to hear of it, and who waits for one may have it now.
            self.queue_all();
        }
        self.tell();
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// What smoltcp makes at once if it is cut here: enough for what it costs to make one to be little.
const LARGEST_CUT: NonZeroUsize = NonZeroUsize::new(32 << 10).unwrap();
const LARGEST_FRAME: NonZeroUsize = NonZeroUsize::new(LARGEST_PACKET + 14).unwrap();

/// An address that no host can have is refused; a gateway that cannot be reached is left out.
fn check_lease(mut lease: Lease) -> Result<Lease, ()> {
    let address = lease.address;
    v4_cidr(address.address(), address.prefix_len()).map_err(|_| ())?;
    lease.gateway = lease.gateway.filter(|gateway| check_gateway(address, *gateway).is_ok());
    Ok(lease)
}
