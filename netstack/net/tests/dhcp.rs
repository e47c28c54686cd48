//! Addresses from a DHCP server, which the test plays on another stack.

mod net;

use fata_link::wire;
use fata_netstack::udp::Options;
use fata_netstack::{IpAddress, IpEndpoint, Lease, Random, Stack};
use fata_rt::Rt;
use net::{address, config, run};
use smoltcp::wire::{DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr};
use std::cell::{Cell, RefCell};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// What the server does.
struct Server {
    offers: Cell<Ipv4Addr>,
    mask: Cell<Ipv4Addr>,
    router: Cell<Ipv4Addr>,
    lease_s: Cell<u32>,
    /// Requests that it ignores.
    deaf: Cell<u32>,
    refuses: Cell<bool>,
    options: RefCell<Vec<(u8, Vec<u8>)>>,
    heard: RefCell<Vec<DhcpMessageType>>,
    /// When, and whether it was for everybody.
    when: RefCell<Vec<(u64, bool)>>,
}

async fn serve(stack: Stack, server: Rc<Server>) {
    let socket = stack.udp(67, Options::default()).unwrap();
    loop {
        let (bytes, to) = socket.receive_with(|bytes, from| (bytes.to_vec(), from.local_address)).await;
        let for_all = to == Some(IpAddress::v4(255, 255, 255, 255));
        server.when.borrow_mut().push((stack.rt().now_ns() / 1_000_000_000, for_all));
        let question = DhcpPacket::new_checked(&bytes[..]).unwrap();
        let question = DhcpRepr::parse(&question).unwrap();
        server.heard.borrow_mut().push(question.message_type);
        if server.deaf.get() > 0 {
            server.deaf.set(server.deaf.get() - 1);
            continue;
        }
        let message_type = match question.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request if server.refuses.get() => DhcpMessageType::Nak,
            _ => DhcpMessageType::Ack,
        };
        if question.message_type == DhcpMessageType::Decline {
            assert_eq!(question.requested_ip, Some(server.offers.get()));
            assert_eq!(question.server_identifier, Some(SERVER));
            continue;
        }
        let options = server.options.borrow().clone();
        let options: Vec<_> = options.iter().map(|(kind, data)| DhcpOption { kind: *kind, data }).collect();
        let answer = DhcpRepr {
            message_type,
            your_ip: server.offers.get(),
            server_ip: SERVER,
            router: Some(server.router.get()),
            subnet_mask: Some(server.mask.get()),
            server_identifier: Some(SERVER),
            dns_servers: Some([Ipv4Addr::new(9, 9, 9, 9)].into_iter().collect()),
            lease_duration: Some(server.lease_s.get()),
            requested_ip: None,
            client_identifier: None,
            parameter_request_list: None,
            max_size: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &options,
            ..question
        };
        let mut out = vec![0; answer.buffer_len()];
        answer.emit(&mut DhcpPacket::new_unchecked(&mut out[..])).unwrap();
        socket.send(&out, IpEndpoint::new(IpAddress::v4(255, 255, 255, 255), 68)).await.unwrap();
    }
}

fn start(rt: &Rt) -> (Stack, Stack, Rc<Server>, wire::Cable) {
    let (a, b, cable) = wire::pair(wire::Options::default());
    let there = Stack::start(rt, b, config("ip=10.0.0.1/24"), &Random::known(2));
    let server = Rc::new(Server {
        offers: Cell::new(Ipv4Addr::new(10, 0, 0, 50)),
        mask: Cell::new(Ipv4Addr::new(255, 255, 255, 0)),
        router: Cell::new(SERVER),
        lease_s: Cell::new(3600),
        deaf: Cell::new(0),
        refuses: Cell::new(false),
        options: RefCell::default(),
        heard: RefCell::default(),
        when: RefCell::default(),
    });
    drop(rt.spawn(serve(there.clone(), server.clone())));
    (Stack::start(rt, a, config("ip=dhcp"), &Random::known(1)), there, server, cable)
}

fn v4(stack: &Stack) -> Vec<String> {
    let all = stack.addresses();
    all.iter()
        .filter(|cidr| matches!(cidr.address(), IpAddress::Ipv4(_)))
        .map(|cidr| cidr.to_string())
        .collect()
}

#[test]
fn an_address_is_leased_used_and_kept() {
    run(async |rt| {
        let (stack, there, server, cable) = start(&rt);
        stack.up().await;
        assert_eq!(v4(&stack), ["10.0.0.50/24"]);
        let lease = stack.lease().unwrap();
        assert_eq!((lease.gateway, lease.server), (Some(SERVER), SERVER));
        assert_eq!(lease.dns, [Ipv4Addr::new(9, 9, 9, 9)]);
        assert_eq!(stack.name_servers(), [IpAddress::v4(9, 9, 9, 9)]);
        // Also beyond the network, by way of the gateway, which does not forward.
        for (to, answers) in [("10.0.0.1", true), ("192.0.2.1", false)] {
            let mut pinger = stack.pinger(address(to), 64).await.unwrap();
            let answer = rt.timeout(Duration::from_secs(1), pinger.ping(&[1; 64])).await;
            assert_eq!(answer.is_ok(), answers, "{to}");
        }
        let mut pinger = there.pinger(address("10.0.0.50"), 64).await.unwrap();
        rt.timeout(Duration::from_secs(2), pinger.ping(&[1; 64])).await.unwrap().unwrap();
        // It is renewed, and a cable that is pulled out changes nothing.
        cable.unplug();
        rt.sleep(Duration::from_secs(60)).await;
        cable.plug(cable.options());
        rt.sleep(Duration::from_secs(36_000)).await;
        assert_eq!((v4(&stack), stack.counts().leases), (vec!["10.0.0.50/24".to_string()], 1));
        let heard = server.heard.borrow();
        assert_eq!(heard[..2], [DhcpMessageType::Discover, DhcpMessageType::Request]);
        assert!(heard.len() > 15 && heard[2..].iter().all(|kind| *kind == DhcpMessageType::Request));
    });
}

#[test]
fn a_server_that_is_late_is_asked_again() {
    run(async |rt| {
        let (stack, _there, server, _) = start(&rt);
        server.deaf.set(3);
        let start_ns = rt.now_ns();
        stack.up().await;
        assert_eq!(rt.now_ns() - start_ns, 6_000_000_000);
    });
}

#[test]
fn an_address_that_ran_out_is_gone_and_the_next_one_may_be_another() {
    run(async |rt| {
        let (stack, _there, server, _) = start(&rt);
        stack.up().await;
        server.deaf.set(u32::MAX);
        let gone = stack.when(|stack| stack.lease().is_none().then_some(()));
        rt.timeout(Duration::from_secs(3700), gone).await.unwrap();
        assert_eq!(v4(&stack), [""; 0]);
        server.deaf.set(0);
        server.offers.set(Ipv4Addr::new(10, 0, 0, 51));
        stack.up().await;
        assert_eq!((v4(&stack), stack.counts().leases), (vec!["10.0.0.51/24".to_string()], 2));
        // And one that is taken away is gone at once.
        server.refuses.set(true);
        let gone = stack.when(|stack| stack.lease().is_none().then_some(()));
        rt.timeout(Duration::from_secs(1900), gone).await.unwrap();
    });
}

#[test]
fn leases_that_make_no_sense_are_refused() {
    for (offers, mask) in [
        ([10, 0, 0, 255], [255, 255, 255, 0]),
        ([127, 0, 0, 1], [255, 0, 0, 0]),
        ([10, 0, 0, 50], [0, 0, 0, 0]),
    ] {
        run(async |rt| {
            let (stack, _there, server, _) = start(&rt);
            server.offers.set(offers.into());
            server.mask.set(mask.into());
            assert!(rt.timeout(Duration::from_secs(60), stack.up()).await.is_err());
            assert_eq!((v4(&stack), stack.counts().leases), (Vec::new(), 0));
        });
    }
    run(async |rt| {
        let (stack, _there, server, _) = start(&rt);
        server.router.set(Ipv4Addr::new(10, 9, 9, 9));
        stack.up().await;
        assert_eq!(stack.lease().unwrap().gateway, None, "a gateway that cannot be reached is left out");
    });
}

#[test]
fn it_is_renewed_by_who_gave_it_then_by_anybody_and_then_over() {
    run(async |rt| {
        let (stack, _there, server, _) = start(&rt);
        stack.up().await;
        let start_s = rt.now_ns() / 1_000_000_000;
        server.deaf.set(u32::MAX);
        server.when.borrow_mut().clear();
        let gone = stack.when(|stack| stack.lease().is_none().then_some(()));
        rt.timeout(Duration::from_secs(3700), gone).await.unwrap();
        assert_eq!(rt.now_ns() / 1_000_000_000 - start_s, 3600, "the lease was for so long");
        let when: Vec<_> = server.when.borrow().iter().map(|(at, all)| (at - start_s, *all)).collect();
        // Half of what is left until then each time, but a minute at least: RFC 2131 section 4.4.5.
        let to_one: Vec<_> = when.iter().filter(|(_, all)| !all).map(|(at, _)| *at).collect();
        let to_all: Vec<_> = when.iter().filter(|(_, all)| *all).map(|(at, _)| *at).collect();
        assert_eq!(to_one, [1800, 2475, 2812, 2981, 3065, 3125], "{when:?}");
        assert_eq!(to_all, [3150, 3375, 3487, 3547], "{when:?}");
    });
}

#[test]
fn what_else_a_server_says_is_taken_as_far_as_it_makes_sense() {
    run(async |rt| {
        let (stack, _there, server, _) = start(&rt);
        let lease = async |options: &[(u8, &[u8])]| -> Lease {
            *server.options.borrow_mut() =
                options.iter().map(|(kind, data)| (*kind, data.to_vec())).collect();
            // Renewed at half time, with other options, while the address stays.
            rt.sleep(Duration::from_secs(1801)).await;
            stack.lease().unwrap()
        };
        stack.up().await;
        assert_eq!((stack.search(), stack.time_servers(), stack.host_name()), (vec![], vec![], None));
        let all = lease(&[
            (12, b"Guest-1\0"),
            (15, b"only.if.no.119"),
            (26, &[5, 0]),
            (42, &[10, 0, 0, 7, 0, 0, 0, 0]),
            (119, b"\x07exam"),
            (119, b"ple\x03org\0\x01b\xc0\0"),
            (121, &[16, 10, 7, 10, 0, 0, 9, 0, 10, 0, 0, 8, 24, 10, 8, 1, 10, 9, 0, 1]),
        ])
        .await;
        assert_eq!(all.gateway, Some([10, 0, 0, 8].into()), "not the router's, but that of the routes");
        assert_eq!(all.routes.iter().map(|route| route.to.to_string()).collect::<Vec<_>>(), ["10.7.0.0/16"]);
        assert_eq!((all.ntp, all.mtu), (vec![[10, 0, 0, 7].into()], Some(1280)));
        assert_eq!(stack.search(), ["example.org", "b.example.org"]);
        assert_eq!(stack.time_servers(), [IpAddress::v4(10, 0, 0, 7)]);
        assert_eq!(stack.host_name().as_deref(), Some("guest-1"));
        let few =
            lease(&[(15, b"lab."), (12, b"no host"), (26, &[1]), (42, &[1, 2]), (121, &[33, 1, 2])]).await;
        assert_eq!(
            (few.search, few.host_name, few.mtu, few.ntp),
            (vec!["lab".to_string()], None, None, vec![])
        );
        assert_eq!((few.routes, few.gateway), (vec![], None));
        assert_eq!((stack.counts().leases, v4(&stack)), (1, vec!["10.0.0.50/24".to_string()]));
    });
}

#[test]
fn what_somebody_has_is_declined() {
    run(async |rt| {
        let (stack, there, server, _) = start(&rt);
        there.configure(config("ip=10.0.0.1/24 ip=10.0.0.50/24"));
        rt.sleep(Duration::from_secs(5)).await;
        assert_eq!((v4(&stack), stack.conflicts().len()), (vec![], 1));
        use DhcpMessageType::{Decline, Discover, Request};
        assert_eq!(*server.heard.borrow(), [Discover, Request, Decline]);
        server.offers.set(Ipv4Addr::new(10, 0, 0, 51));
        stack.up().await;
        assert_eq!(v4(&stack), ["10.0.0.51/24"]);
        assert_eq!(
            server.when.borrow()[3].0 - server.when.borrow()[2].0,
            10,
            "not before ten seconds are over"
        );
        rt.sleep(Duration::from_secs(10)).await;
        assert_eq!((v4(&stack).len(), stack.counts().conflicts), (1, 1));
    });
}
