//! Groups that are joined, listened to and left.

mod net;

use fata_link::wire::{self, Wire};
use fata_link::{Link, Status};
use fata_netstack::{Error, IpAddress, IpEndpoint, Random, Stack, udp};
use fata_rt::Rt;
use net::{Far, address, config, run};
use smoltcp::phy::{Device, DeviceCapabilities};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, Icmpv6Packet, Ipv6Packet};
use std::cell::RefCell;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

const V4: &str = "239.1.2.3";
const V6: &str = "ff15::1:2";

/// A link that is told which groups to listen to.
struct Told(Wire, Rc<RefCell<Vec<EthernetAddress>>>);

impl Device for Told {
    type RxToken<'a> = <Wire as Device>::RxToken<'a>;
    type TxToken<'a> = <Wire as Device>::TxToken<'a>;
    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.0.receive(now)
    }
    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        self.0.transmit(now)
    }
    fn capabilities(&self) -> DeviceCapabilities {
        self.0.capabilities()
    }
}

impl Link for Told {
    fn status(&self) -> Status {
        self.0.status()
    }
    fn flush(&mut self) {
        self.0.flush();
    }
    fn register(&mut self, waker: &Waker) {
        self.0.register(waker);
    }
    fn listen(&mut self, group: EthernetAddress, wanted: bool) {
        let mut told = self.1.borrow_mut();
        assert_ne!(told.contains(&group), wanted, "once is enough");
        if wanted {
            told.push(group);
        } else {
            told.retain(|known| *known != group);
        }
    }
}

fn start(rt: &Rt, words: &str) -> (Stack, Far, Rc<RefCell<Vec<EthernetAddress>>>) {
    let (a, b, _) = wire::pair(wire::Options::default());
    let told = Rc::default();
    let link = Told(a, Rc::clone(&told));
    (Stack::start(rt, link, config(words), &Random::known(1)), Far::new(rt, b), told)
}

/// What is reported: IGMP's type or MLD's record type, and the group.
fn reports(frames: &[Vec<u8>]) -> Vec<(u8, IpAddress)> {
    let mut all = Vec::new();
    for frame in frames {
        if frame[12..14] == [8, 0] && frame[23] == 2 {
            let group = IpAddress::v4(frame[38], frame[39], frame[40], frame[41]);
            all.push((frame[34], group));
        } else if frame[12..14] == [0x86, 0xdd] && frame[20] == 0 && frame[62] == 143 {
            let packet = Ipv6Packet::new_checked(&frame[14..]).unwrap();
            let message = Icmpv6Packet::new_checked(&packet.payload()[8..]).unwrap();
            assert!(message.verify_checksum(&packet.src_addr(), &packet.dst_addr()));
            for record in frame[70..].chunks(20) {
                let group: [u8; 16] = record[4..20].try_into().unwrap();
                all.push((record[0], IpAddress::Ipv6(group.into())));
            }
        }
    }
    all
}

#[test]
fn groups_are_reported_listened_to_and_left() {
    run(async |rt| {
        let (stack, mut far, told) = start(&rt, "ip=10.0.0.2/24 ip6=fd00::2/64");
        let ours = reports(&far.heard().await);
        assert!(
            ours.contains(&(4, address("ff02::1:ff00:2"))),
            "MLDv2's join is CHANGE_TO_EXCLUDE: {ours:?}"
        );
        let members = [V4, V6].map(|group| stack.join(address(group)).unwrap());
        let again = stack.join(address(V4)).unwrap();
        assert_eq!(reports(&far.heard().await), [(22, address(V4)), (4, address(V6))]);
        let mac = |text: &str| text.parse::<EthernetAddress>().unwrap();
        for group in ["01-00-5e-01-02-03", "33-33-00-01-00-02", "33-33-ff-00-00-02", "33-33-00-00-00-01"] {
            assert!(told.borrow().contains(&mac(group)), "{group}");
        }
        // A router asks for all of IPv4's.
        let mut query = vec![1, 0, 0x5e, 0, 0, 1, 2, 0, 0, 0, 0, 1, 8, 0];
        query.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 1, 2, 0, 0, 10, 0, 0, 1, 224, 0, 0, 1]);
        let sum: u32 = query[14..34].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        query[24..26].copy_from_slice(&sum.to_be_bytes());
        query.extend([0x11, 100, 0xee, 0x9b, 0, 0, 0, 0]);
        far.send(&query);
        assert_eq!(reports(&far.heard_in(Duration::from_secs(11)).await), [(22, address(V4))]);
        rt.sleep(Duration::from_secs(20)).await;
        drop(again);
        assert_eq!(reports(&far.heard().await), []);
        drop(members);
        assert_eq!(reports(&far.heard().await), [(23, address(V4)), (3, address(V6))]);
        assert!(!told.borrow().contains(&mac("01-00-5e-01-02-03")));
    });
}

#[test]
fn datagrams_to_a_group_come_to_its_members() {
    run(async |rt| {
        let (a, b, cable) = net::pair(&rt, wire::Options::default());
        let socket = a.udp(5353, udp::Options::default()).unwrap();
        let sender = b.udp(9, udp::Options::default()).unwrap();
        let hears = async |group: &str| {
            sender.send(b"hello", IpEndpoint::new(address(group), 5353)).await.unwrap();
            let mut buffer = [0; 10];
            let heard = rt.timeout(Duration::from_secs(1), socket.receive(&mut buffer)).await;
            heard.is_ok_and(|(len, from)| len == 5 && from.local_address == Some(address(group)))
        };
        for group in [V4, V6] {
            assert!(!hears(group).await, "{group}");
            let member = a.join(address(group)).unwrap();
            assert!(hears(group).await, "{group}");
            // Another link is told anew, and other addresses change nothing.
            cable.unplug();
            rt.sleep(Duration::from_secs(1)).await;
            cable.plug(cable.options());
            rt.sleep(Duration::from_secs(1)).await;
            assert!(hears(group).await, "{group}");
            a.configure(config("ip=10.0.0.7/24 ip6=fd00::7/64"));
            assert!(hears(group).await, "{group}");
            drop(member);
            rt.sleep(Duration::from_secs(1)).await;
            assert!(!hears(group).await, "{group}");
        }
    });
}

#[test]
fn a_group_is_joined_when_there_is_an_address_and_there_is_room_for_eight() {
    run(async |rt| {
        let (stack, mut far, _) = start(&rt, "");
        let members: Vec<_> = (1..=8).map(|n| stack.join(IpAddress::v4(239, 0, 0, n)).unwrap()).collect();
        assert_eq!(stack.join(address(V4)).err(), Some(Error::TooManyGroups));
        assert_eq!(stack.join(address("10.0.0.1")).err(), Some(Error::Unaddressable));
        let is_v4 = |frames: Vec<Vec<u8>>| reports(&frames).iter().filter(|(kind, _)| *kind == 22).count();
        assert_eq!(is_v4(far.heard().await), 0);
        stack.configure(config("ip=10.0.0.2/24"));
        assert_eq!(is_v4(far.heard().await), 8);
        drop(members);
    });
}
