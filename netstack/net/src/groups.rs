//! Groups that are listened to. smoltcp 0.14 reports them (IGMPv2, MLDv2) when it polls a socket, so there are polls for it
//! here; and in MLD it says "leave" for "join" and the other way round, which is set right on the way out.

use crate::engine::Engine;
use crate::error::Error;
use crate::gate::Gate;
use crate::stack::Stack;
use alloc::vec::Vec;
use fata_link::Link;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, IpAddress};

/// The most groups. With those of our IPv6 addresses they fit into smoltcp's table.
const MOST: usize = 8;
/// So often, and so far apart, smoltcp is asked after a query: it waits up to ten seconds with its answers.
const ASKS: u8 = 12;
const APART: Duration = Duration::from_secs(1);

/// What everybody listens to (RFC 1112, RFC 4291 section 2.8).
const ALL_SYSTEMS: EthernetAddress = EthernetAddress([1, 0, 0x5e, 0, 0, 1]);
const ALL_NODES: EthernetAddress = EthernetAddress([0x33, 0x33, 0, 0, 0, 1]);

#[derive(Default)]
pub(crate) struct Groups {
    all: Vec<Group>,
    /// What the link was told to listen to.
    told: Vec<EthernetAddress>,
    /// There is something to tell to smoltcp or to the link.
    pub(crate) changed: bool,
    /// When to ask smoltcp next, and how often yet.
    asks: Option<(Instant, u8)>,
}

struct Group {
    address: IpAddress,
    members: usize,
    /// smoltcp knows.
    joined: bool,
}

impl Groups {
    /// A new interface knows of none.
    pub(crate) fn forget(&mut self) {
        self.all.iter_mut().for_each(|group| group.joined = false);
        self.changed = true;
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.asks.map(|(at, _)| at)
    }
}

/// A group that is listened to, until this is dropped. Datagrams to it come to sockets with their port that are bound to no
/// address, or to the group's.
pub struct Membership {
    stack: Stack,
    group: IpAddress,
}

impl Stack {
    /// Listens to a group.
    pub fn join(&self, group: IpAddress) -> Result<Membership, Error> {
        self.with(|engine| engine.join(group))?;
        Ok(Membership { stack: self.clone(), group })
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.leave(self.group));
    }
}

impl Engine {
    fn join(&mut self, address: IpAddress) -> Result<(), Error> {
        if !address.is_multicast() {
            return Err(Error::Unaddressable);
        }
        let all = &mut self.groups.all;
        match all.iter().position(|group| group.address == address) {
            Some(at) => all[at].members += 1,
            None if all.len() >= MOST => return Err(Error::TooManyGroups),
            None => all.push(Group { address, members: 1, joined: false }),
        }
        self.regroup();
        Ok(())
    }

    fn leave(&mut self, address: IpAddress) {
        let all = &mut self.groups.all;
        let Some(at) = all.iter().position(|group| group.address == address) else { return };
        all[at].members -= 1;
        if all[at].members == 0 {
            let group = all.swap_remove(at);
            if let Some(interface) = self.interface.as_mut().filter(|_| group.joined) {
                let _ = interface.leave_multicast_group(address);
            }
            self.regroup();
        }
    }

    fn regroup(&mut self) {
        self.groups.changed = true;
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Somebody asks who listens to what.
    pub(crate) fn hear_query(&mut self) {
        if self.groups.asks.is_none() {
            self.groups.asks = Some((self.now, ASKS));
        } else if let Some((_, left)) = &mut self.groups.asks {
            *left = ASKS;
        }
    }

    /// Tells what is to be told of groups.
    #[inline]
    pub(crate) fn tend_groups<L: Link>(&mut self, link: &mut L) {
        if self.groups.changed || self.groups.due().is_some_and(|due| due <= self.now) {
            self.report(link);
        }
    }

    #[inline(never)]
    fn report<L: Link>(&mut self, link: &mut L) {
        let now = self.now;
        if core::mem::take(&mut self.groups.changed) {
            self.introduce(link);
        }
        if let Some((at, left)) = self.groups.asks.filter(|(at, _)| *at <= now) {
            self.groups.asks = (left > 0).then(|| (at.max(now) + APART, left.saturating_sub(1)));
        }
        let Some(interface) = &mut self.interface else { return };
        self.out.begin(false, None, None);
        let mut gate = Gate { link, out: &mut self.out };
        interface.poll_egress(now, &mut gate, &mut self.nobody);
        // Without room it is tried again when there is some.
        self.groups.changed |= self.out.refused;
    }

    fn introduce<L: Link>(&mut self, link: &mut L) {
        let Some(interface) = &mut self.interface else { return };
        for group in &mut self.groups.all {
            // A report needs an address to come from; smoltcp forgets it without.
            let same = |cidr: &smoltcp::wire::IpCidr| cidr.address().version() == group.address.version();
            if !group.joined && interface.ip_addrs().iter().any(same) {
                group.joined = interface.join_multicast_group(group.address).is_ok();
            }
        }
        let mut wanted = alloc::vec![ALL_SYSTEMS, ALL_NODES];
        wanted.extend(self.addresses.solicited());
        wanted.extend(self.groups.all.iter().map(|group| of_group(group.address)));
        // Several may have the same Ethernet address.
        wanted.sort_unstable_by_key(|group| group.0);
        wanted.dedup();
        for group in self.groups.told.iter().filter(|group| !wanted.contains(group)) {
            link.listen(*group, false);
        }
        for group in wanted.iter().filter(|group| !self.groups.told.contains(group)) {
            link.listen(*group, true);
        }
        self.groups.told = wanted;
    }
}

/// RFC 1112 section 6.4, RFC 2464 section 7.
pub(crate) fn of_group(address: IpAddress) -> EthernetAddress {
    match address {
        IpAddress::Ipv4(address) => {
            let [_, b, c, d] = address.octets();
            EthernetAddress([1, 0, 0x5e, b & 0x7f, c, d])
        }
        IpAddress::Ipv6(address) => {
            let [.., a, b, c, d] = address.octets();
            EthernetAddress([0x33, 0x33, a, b, c, d])
        }
    }
}

/// Whether a frame that goes to a group is a report of groups. In one of MLDv2 (RFC 3810 section 5.2) joins and leaves are
/// exchanged.
#[inline(never)]
pub(crate) fn is_report(frame: &mut [u8]) -> bool {
    match frame.get(12..14) {
        Some([0x08, 0x00]) => frame.get(23) == Some(&2),
        // Options for every hop, then ICMP.
        Some([0x86, 0xdd]) if frame.get(20) == Some(&0) && frame.get(62) == Some(&143) => {
            let records = frame.get(70..).map_or(0, <[u8]>::len) / 20;
            for at in (0..records).map(|number| 70 + number * 20) {
                // CHANGE_TO_INCLUDE_MODE of nothing is to leave, CHANGE_TO_EXCLUDE_MODE of nothing is to join.
                let (old, new) = match frame[at] {
                    3 => (3, 4),
                    4 => (4, 3),
                    _ => continue,
                };
                frame[at] = new;
                // RFC 1624. The type is the upper half of its word.
                let sum = u16::from_be_bytes([frame[64], frame[65]]);
                let mut sum = u32::from(!sum) + u32::from(!(old as u16) << 8 | 0xff) + (u32::from(new) << 8);
                sum = (sum & 0xffff) + (sum >> 16);
                sum = (sum & 0xffff) + (sum >> 16);
                frame[64..66].copy_from_slice(&(!(sum as u16)).to_be_bytes());
            }
            true
        }
        _ => false,
    }
}
