//! The addresses of the interface: given, leased by a DHCP server, or made of what routers advertise. Here they come
//! together, are told to smoltcp and to the neighbours, and go again.

use crate::config::{Config, MAX_ROUTES, MAX_V6, Route, V4};
use crate::duplicates::{self, Conflict, Meaning, Own};
use crate::engine::Engine;
use crate::gate::{LARGEST_PACKET, Model};
use crate::headers::{self, Address};
use crate::lease::Lease;
use crate::slaac::{ATTEMPTS, Slaac, identified};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::num::NonZeroUsize;
use fata_link::{Link, Status, neighbor};
use smoltcp::iface::{Config as InterfaceConfig, Interface};
use smoltcp::phy::{DeviceCapabilities, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, IpVersion, Ipv6Cidr};

/// The smallest packets that IP can do with (RFC 791).
const SMALLEST_MTU: usize = 68;
/// Frames of ours that may wait for room; and conflicts that are remembered.
const TO_SEND: usize = 32;
const CONFLICTS: usize = 16;

const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);

/// What the interface is to have, and what has become of it.
pub(crate) struct Addresses {
    pub(crate) config: Config,
    pub(crate) lease: Option<Lease>,
    /// Who is told if the lease is of no use.
    pub(crate) server_identifier: Ipv4Addr,
    /// When to look for a DHCP server again.
    pub(crate) dhcp_again: Option<Instant>,
    slaac: Slaac,
    /// Link-local addresses that were somebody else's.
    local_attempts: u8,
    own: Vec<Own>,
    conflicts: VecDeque<Conflict>,
    to_send: VecDeque<Vec<u8>>,
    /// When something is to be done next, unless that has to be looked for again.
    next: Option<Instant>,
    is_stale: bool,
}

impl Addresses {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            lease: None,
            server_identifier: Ipv4Addr::UNSPECIFIED,
            dhcp_again: None,
            slaac: Slaac::default(),
            local_attempts: 0,
            own: Vec::new(),
            conflicts: VecDeque::new(),
            to_send: VecDeque::new(),
            next: None,
            is_stale: true,
        }
    }

    /// Whether there are, or may be yet, addresses of this family.
    pub(crate) fn can_have(&self, version: IpVersion) -> bool {
        match version {
            IpVersion::Ipv4 => {
                self.config.v4 == V4::Dhcp
                    || self.config.static_v4().any(|cidr| !self.is_lost(cidr.address().into()))
            }
            IpVersion::Ipv6 => !self.config.v6_off,
        }
    }

    pub(crate) fn gateway_v4(&self) -> Option<Ipv4Addr> {
        self.config.gateway_v4.or_else(|| self.lease.as_ref().and_then(|lease| lease.gateway))
    }

    pub(crate) fn gateway_v6(&self) -> Option<Ipv6Addr> {
        self.config.gateway_v6.or_else(|| self.slaac.router())
    }

    /// Ways to networks: those that were given, and those that were leased.
    fn routes(&self) -> impl Iterator<Item = &Route> {
        let leased = self.lease.iter().flat_map(|lease| &lease.routes);
        self.config.routes.iter().chain(leased).take(MAX_ROUTES)
    }

    pub(crate) fn name_servers(&self) -> Vec<IpAddress> {
        if !self.config.dns.is_empty() {
            return self.config.dns.clone();
        }
        let leased = self.lease.iter().flat_map(|lease| &lease.dns);
        leased.map(|address| IpAddress::Ipv4(*address)).chain(self.slaac.name_servers()).collect()
    }

    pub(crate) fn search(&self) -> Vec<String> {
        if !self.config.search.is_empty() {
            return self.config.search.clone();
        }
        let mut all = Vec::new();
        let leased = self.lease.iter().flat_map(|lease| lease.search.iter().cloned());
        for name in leased.chain(self.slaac.search()) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        all
    }

    pub(crate) fn time_servers(&self) -> Vec<IpAddress> {
        if !self.config.ntp.is_empty() {
            return self.config.ntp.clone();
        }
        self.lease.iter().flat_map(|lease| &lease.ntp).map(|address| IpAddress::Ipv4(*address)).collect()
    }

    pub(crate) fn host_name(&self) -> Option<String> {
        self.config.host_name.clone().or_else(|| self.lease.as_ref()?.host_name.clone())
    }

    pub(crate) fn conflicts(&self) -> Vec<Conflict> {
        self.conflicts.iter().copied().collect()
    }

    /// The largest packet that anybody wants of us.
    fn mtu(&self) -> Option<u16> {
        let leased = self.lease.as_ref().and_then(|lease| lease.mtu);
        [self.config.mtu, leased, self.slaac.mtu].into_iter().flatten().min()
    }

    /// Somebody else has it, and it was given to us, so that there is no other in its place.
    fn is_lost(&self, address: IpAddress) -> bool {
        self.conflicts.iter().any(|conflict| conflict.address == address)
    }

    /// It was given to us, and is ours whatever others say, once nobody has objected.
    fn is_fixed(config: &Config, address: &IpAddress) -> bool {
        match address {
            IpAddress::Ipv4(_) => config.v4 != V4::Dhcp,
            IpAddress::Ipv6(_) => true,
        }
    }

    /// All that the interface is to have, the link-local one last.
    fn wanted(&self, mac: EthernetAddress) -> Vec<IpCidr> {
        let is_there = |cidr: &IpCidr| !self.is_lost(cidr.address());
        let given_v4 = self.config.static_v4().map(IpCidr::Ipv4).filter(is_there);
        let leased = self.lease.as_ref().map(|lease| IpCidr::Ipv4(lease.address));
        let given_v6 = self.config.v6.iter().map(|cidr| IpCidr::Ipv6(*cidr)).filter(is_there);
        let v6 = given_v6.chain(self.slaac.addresses().map(IpCidr::Ipv6)).take(MAX_V6);
        let wants_local = !self.config.v6_off && self.local_attempts < ATTEMPTS;
        let local = wants_local.then(|| Ipv6Cidr::new(identified(LINK_LOCAL, mac, self.local_attempts), 64));
        let mut all: Vec<IpCidr> = Vec::new();
        for cidr in given_v4.chain(leased).chain(v6).chain(local.map(IpCidr::Ipv6)) {
            if all.iter().all(|other| other.address() != cidr.address()) {
                all.push(cidr);
            }
        }
        all
    }

    /// Has what is wanted be ours, and gives what is ours no more.
    fn renew(&mut self, mac: EthernetAddress, now: Instant) -> Vec<IpAddress> {
        let mode = self.config.duplicates;
        let mut old = core::mem::take(&mut self.own);
        for cidr in self.wanted(mac) {
            let known = old.iter().position(|own| own.cidr.address() == cidr.address());
            let mut own = match known {
                Some(at) => old.swap_remove(at),
                None => Own::new(cidr, mode, now),
            };
            own.cidr = cidr;
            self.own.push(own);
        }
        old.iter().map(|own| own.cidr.address()).collect()
    }

    /// The groups in which neighbours ask for our IPv6 addresses, those among them that are not used yet.
    pub(crate) fn solicited(&self) -> impl Iterator<Item = EthernetAddress> + '_ {
        self.own.iter().filter_map(|own| match own.cidr.address() {
            IpAddress::Ipv6(address) => {
                let [.., a, b, c] = address.octets();
                Some(EthernetAddress([0x33, 0x33, 0xff, a, b, c]))
            }
            IpAddress::Ipv4(_) => None,
        })
    }

    /// Those that are in use.
    fn used(&self) -> impl Iterator<Item = IpCidr> + '_ {
        let mode = self.config.duplicates;
        self.own.iter().filter(move |own| own.is_used(mode)).map(|own| own.cidr)
    }

    /// Our link-local address, if it is in use.
    fn local(&self) -> Option<Ipv6Addr> {
        self.used().find_map(|cidr| match cidr.address() {
            IpAddress::Ipv6(address) if address.is_unicast_link_local() => Some(address),
            _ => None,
        })
    }

    /// Has a frame sent when there is room for it.
    pub(crate) fn send(&mut self, frame: Vec<u8>) {
        if self.to_send.len() < TO_SEND {
            self.to_send.push_back(frame);
        }
    }

    /// When something is to be done although nothing comes.
    #[inline]
    pub(crate) fn due(&mut self) -> Option<Instant> {
        if self.is_stale {
            self.is_stale = false;
            self.next = self.look();
        }
        self.next
    }

    #[inline(never)]
    fn look(&self) -> Option<Instant> {
        let own = self.own.iter().filter_map(Own::due).min();
        [own, self.dhcp_again, self.slaac.due()].into_iter().flatten().min()
    }
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
        let old = core::mem::replace(&mut self.status, status);
        if status.up {
            self.counts.ups += 1;
            self.make_interface(link.capabilities(), link.cuts_v6());
            self.arrive(old);
            self.begin_anew();
        }
        self.tell();
    }

    /// smoltcp reads the capabilities only when an interface is made. It is told of a link for packets of any size.
    fn make_interface(&mut self, mut capabilities: DeviceCapabilities, cuts_v6: Option<NonZeroUsize>) {
        self.link_mtu = capabilities.ip_mtu().clamp(SMALLEST_MTU, LARGEST_PACKET);
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
    }

    /// Asks on this link what is to be asked.
    fn arrive(&mut self, old: Status) {
        let (now, addresses) = (self.now, &mut self.addresses);
        if old.mac != self.status.mac {
            // Whatever was made of the old one.
            addresses.local_attempts = 0;
            addresses.slaac = Slaac::default();
            addresses.own.clear();
        }
        let mode = addresses.config.duplicates;
        addresses.to_send.clear();
        addresses.own.iter_mut().for_each(|own| own.link_up(mode, now));
        if addresses.config.slaac {
            addresses.slaac.begin(now);
        }
        self.groups.forget();
        self.refresh();
    }

    /// Takes other addresses from now on, as if it had been started with them. `config` must have been checked. What
    /// stays is in use throughout.
    pub(crate) fn configure(&mut self, config: Config) {
        let old = core::mem::replace(&mut self.addresses.config, config);
        let addresses = &mut self.addresses;
        addresses.conflicts.clear();
        addresses.local_attempts = 0;
        match (old.slaac, addresses.config.slaac) {
            (false, true) => addresses.slaac.begin(self.now),
            (true, false) => addresses.slaac = Slaac::default(),
            _ => {}
        }
        if addresses.config.v4 == V4::Dhcp {
            self.begin_dhcp();
        } else {
            self.end_dhcp();
        }
        self.refresh();
    }

    /// Tells smoltcp, sockets and whoever waits what has become of the addresses, and of what goes with them.
    pub(crate) fn refresh(&mut self) {
        let mtu = self.addresses.mtu().map_or(usize::MAX, usize::from);
        self.out.mtu = self.link_mtu.min(mtu);
        self.addresses.is_stale = true;
        let Some(interface) = &mut self.interface else { return };
        let addresses = &mut self.addresses;
        let gone = addresses.renew(self.status.mac, self.now);
        let differs = !addresses.used().eq(interface.ip_addrs().iter().copied());
        if differs {
            interface.update_ip_addrs(|list| {
                list.clear();
                // There is room: MAX_V4, MAX_V6 and one link-local.
                list.extend(addresses.used().take(list.capacity()));
            });
        }
        let routes = interface.routes_mut();
        routes.update(|routes| {
            routes.clear();
            // There is room for MAX_ROUTES and the two below.
            routes.extend(addresses.routes().map(smoltcp_route));
        });
        if let Some(gateway) = addresses.gateway_v4() {
            let _ = routes.add_default_ipv4_route(gateway);
        }
        if let Some(gateway) = addresses.gateway_v6() {
            let _ = routes.add_default_ipv6_route(gateway);
        }
        if differs {
            self.bereave(&gone);
            self.groups.changed = true;
            // Who waits for an address may have it now.
            self.queue_all();
        }
        self.tell();
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Does what is due for addresses.
    #[inline]
    pub(crate) fn tend(&mut self) {
        if self.addresses.due().is_some_and(|due| due <= self.now) {
            self.step();
        }
    }

    #[inline(never)]
    fn step(&mut self) {
        let (now, mac, addresses) = (self.now, self.status.mac, &mut self.addresses);
        addresses.is_stale = true;
        let Addresses { own, to_send, .. } = addresses;
        let mut send = |frame: neighbor::Frame| {
            if to_send.len() < TO_SEND {
                to_send.push_back(frame.bytes().to_vec());
            }
        };
        let mut changed = false;
        for one in own {
            changed |= one.step(mac, now, &self.random, &mut send);
        }
        if addresses.slaac.asks(now, &self.random) {
            let from = addresses.local().unwrap_or(Ipv6Addr::UNSPECIFIED);
            addresses.send(neighbor::solicit(mac, from).bytes().to_vec());
        }
        changed |= addresses.slaac.expire(now);
        if addresses.dhcp_again.take_if(|at| *at <= now).is_some() {
            self.begin_dhcp();
        }
        if changed {
            self.refresh();
        }
    }

    /// Hears what a frame says of neighbours, before smoltcp does.
    pub(crate) fn hear_neighbor(&mut self, frame: &[u8]) {
        let (mac, now) = (self.status.mac, self.now);
        self.addresses.is_stale = true;
        let Addresses { config, own, to_send, .. } = &mut self.addresses;
        let mut send = |frame: neighbor::Frame| {
            if to_send.len() < TO_SEND {
                to_send.push_back(frame.bytes().to_vec());
            }
        };
        let is_fixed = |address: &IpAddress| Addresses::is_fixed(config, address);
        match duplicates::hear(own, frame, mac, now, config.duplicates, is_fixed, &mut send) {
            Meaning::Nothing => {}
            Meaning::Defended => self.counts.claims += 1,
            Meaning::Taken(conflict) => self.give_up(conflict),
        }
    }

    /// Somebody else has this address.
    fn give_up(&mut self, conflict: Conflict) {
        self.counts.conflicts += 1;
        let (mac, addresses) = (self.status.mac, &mut self.addresses);
        if addresses.conflicts.len() >= CONFLICTS {
            addresses.conflicts.pop_front();
        }
        addresses.conflicts.push_back(conflict);
        match conflict.address {
            IpAddress::Ipv4(_) if addresses.config.v4 == V4::Dhcp => self.decline(),
            IpAddress::Ipv4(_) => {}
            IpAddress::Ipv6(address) if address.is_unicast_link_local() => addresses.local_attempts += 1,
            IpAddress::Ipv6(address) => drop(addresses.slaac.is_taken(address, mac)),
        }
        self.refresh();
    }

    /// Hears what a router advertises.
    pub(crate) fn hear_router(&mut self, frame: &[u8]) {
        self.addresses.is_stale = true;
        if self.addresses.config.slaac && self.addresses.slaac.hear(frame, self.status.mac, self.now) {
            self.counts.adverts += 1;
            self.refresh();
        }
    }

    /// Sends what is to be said of addresses, as far as there is room.
    #[inline]
    pub(crate) fn announce<L: Link>(&mut self, link: &mut L) {
        if !self.addresses.to_send.is_empty() {
            self.say(link);
        }
    }

    #[inline(never)]
    fn say<L: Link>(&mut self, link: &mut L) {
        while let Some(frame) = self.addresses.to_send.front() {
            let Some(token) = link.transmit(self.now) else { return };
            token.consume(frame.len(), |room| room.copy_from_slice(frame));
            self.addresses.to_send.pop_front();
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
            IpAddress::Ipv6(_) => self.addresses.gateway_v6().map(IpAddress::Ipv6),
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
}

fn smoltcp_route(route: &Route) -> smoltcp::iface::Route {
    smoltcp::iface::Route { cidr: route.to, via_router: route.via, preferred_until: None, expires_at: None }
}

/// What smoltcp makes at once if it is cut here: enough for what it costs to make one to be little.
const LARGEST_CUT: NonZeroUsize = NonZeroUsize::new(32 << 10).unwrap();
const LARGEST_FRAME: NonZeroUsize = NonZeroUsize::new(LARGEST_PACKET + 14).unwrap();
