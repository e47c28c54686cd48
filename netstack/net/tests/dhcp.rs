//! Addresses from a DHCP server, which the test plays on another stack.

mod net;

use fata_link::wire;
use fata_netstack::udp::Options;
use fata_netstack::{IpAddress, IpEndpoint, Random, Stack};
use fata_rt::Rt;
use net::{address, config, run};
use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr};
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
    heard: RefCell<Vec<DhcpMessageType>>,
}

async fn serve(stack: Stack, server: Rc<Server>) {
    let socket = stack.udp(67, Options::default()).unwrap();
    loop {
        let bytes = socket.receive_with(|bytes, _| bytes.to_vec()).await;
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
            additional_options: &[],
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
        heard: RefCell::default(),
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
