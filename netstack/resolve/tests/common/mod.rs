//! A host that resolves names and one that has them, with a wire between them, on a clock that goes on when nobody has
//! anything to do.
#![allow(dead_code, unreachable_pub)]

pub mod message;

use embedded_io_async::{Read, Write};
use fata_link::Parked;
use fata_link::wire::{self, Cable};
use fata_netstack::{Config as Addresses, IpAddress, IpEndpoint, Stack, TcpStream, tcp, udp};
use fata_random::Random;
use fata_resolve::{Config, Name, Resolver};
use fata_rt::Rt;
use fata_sim::{Rng, alone};
use message::{Query, Reply};
use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr};
use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;

/// Runs a test from the first second on.
pub fn run<T>(main: impl AsyncFnOnce(Rt) -> T) -> T {
    alone(main)
}

pub fn address(text: &str) -> IpAddress {
    text.parse().unwrap()
}

pub fn at(text: &str, port: u16) -> IpEndpoint {
    IpEndpoint::new(address(text), port)
}

pub fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub fn addresses(text: &str) -> Addresses {
    let mut config = Addresses::default();
    for word in text.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap();
        assert!(config.word(name, value).unwrap(), "{word}");
    }
    config.check().unwrap();
    config
}

/// The two hosts.
pub struct World {
    pub rt: Rt,
    pub ours: Stack,
    pub theirs: Stack,
    pub cable: Cable,
    /// What their server was asked, as it came.
    pub asked: Rc<RefCell<Vec<Query>>>,
}

pub const SERVER: &str = "10.0.0.2";

impl World {
    pub fn new(rt: &Rt) -> Self {
        let (a, b, cable) = wire::pair(wire::Options::default());
        let start = |link, words| Stack::start(rt, Parked::new(link), addresses(words), &Random::known(1));
        let ours = start(a, "ip=10.0.0.1/24 ip6=fd00::1/64");
        let theirs = start(b, "ip=10.0.0.2/24 ip6=fd00::2/64 ip6=fd00::3/64");
        Self { rt: rt.clone(), ours, theirs, cable, asked: Rc::default() }
    }

    /// A resolver that asks these servers.
    pub fn resolver(&self, servers: &[IpEndpoint], config: Config) -> Resolver {
        let random = Random::known(Rng::new().number());
        let config = Config { servers: servers.to_vec(), ..config };
        Resolver::new(&self.ours, &random, config)
    }

    /// One that asks the usual server.
    pub fn usual(&self) -> Resolver {
        self.resolver(&[at(SERVER, 53)], Config::default())
    }

    /// Serves as `answer` says, which gives what is sent for each question, with how long that takes.
    pub fn serve(&self, port: u16, answer: impl FnMut(&Query) -> Vec<Reply> + 'static) {
        let answer = Rc::new(RefCell::new(answer));
        self.serve_datagrams(port, answer.clone());
        let listener = self.theirs.listen(port, 8, tcp::Options::default()).unwrap();
        let (rt, asked) = (self.rt.clone(), self.asked.clone());
        drop(self.rt.spawn(async move {
            loop {
                let (stream, answer, asked, rt2) =
                    (listener.accept().await, answer.clone(), asked.clone(), rt.clone());
                drop(rt.spawn(async move {
                    let _ = serve_stream(stream, rt2, answer, asked, port).await;
                }));
            }
        }));
    }

    /// The same without streams.
    pub fn serve_datagrams<F: FnMut(&Query) -> Vec<Reply> + 'static>(
        &self,
        port: u16,
        answer: Rc<RefCell<F>>,
    ) {
        let socket = Rc::new(self.theirs.udp(port, udp::Options::default()).unwrap());
        let other = Rc::new(self.theirs.udp(port + 1000, udp::Options::default()).unwrap());
        let (rt, asked) = (self.rt.clone(), self.asked.clone());
        drop(self.rt.spawn(async move {
            loop {
                let (bytes, from) = socket.receive_with(|bytes, from| (bytes.to_vec(), from.endpoint)).await;
                let query = Query::read(&bytes, false, from, port);
                asked.borrow_mut().push(query.clone());
                for reply in answer.borrow_mut()(&query) {
                    let socket = if reply.elsewhere { other.clone() } else { socket.clone() };
                    let rt2 = rt.clone();
                    drop(rt.spawn(async move {
                        rt2.sleep(reply.after).await;
                        let _ = socket.send(&reply.bytes, from).await;
                    }));
                }
            }
        }));
    }

    /// Waits until nothing of earlier questions is left.
    pub async fn settled(&self) {
        self.rt.sleep(std::time::Duration::from_secs(70)).await;
        assert_eq!(self.ours.sockets(), (0, 0));
    }

    /// How often they were asked.
    pub fn questions(&self) -> usize {
        self.asked.borrow().len()
    }
}

async fn serve_stream<F: FnMut(&Query) -> Vec<Reply>>(
    mut stream: TcpStream,
    rt: Rt,
    answer: Rc<RefCell<F>>,
    asked: Rc<RefCell<Vec<Query>>>,
    port: u16,
) -> Result<(), fata_netstack::Error> {
    let from = stream.remote().unwrap();
    let mut len = [0; 2];
    stream.read_exact(&mut len).await.map_err(|_| fata_netstack::Error::Reset)?;
    let mut bytes = vec![0; u16::from_be_bytes(len).into()];
    stream.read_exact(&mut bytes).await.map_err(|_| fata_netstack::Error::Reset)?;
    let query = Query::read(&bytes, true, from, port);
    asked.borrow_mut().push(query.clone());
    let replies = answer.borrow_mut()(&query);
    for reply in replies {
        rt.sleep(reply.after).await;
        let len = reply.len.unwrap_or(reply.bytes.len() as u16).to_be_bytes();
        let all = [&len[..], &reply.bytes].concat();
        for piece in all.chunks(reply.piece) {
            stream.write_all(piece).await?;
            rt.sleep(reply.between).await;
        }
    }
    stream.shutdown();
    stream.settled().await
}

/// Leases 10.0.0.50 with us as the server of names.
pub fn lease(rt: &Rt, stack: &Stack) {
    const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    let socket = stack.udp(67, udp::Options::default()).unwrap();
    drop(rt.spawn(async move {
        loop {
            let bytes = socket.receive_with(|bytes, _| bytes.to_vec()).await;
            let question = DhcpPacket::new_checked(&bytes[..]).unwrap();
            let question = DhcpRepr::parse(&question).unwrap();
            let message_type = match question.message_type {
                DhcpMessageType::Discover => DhcpMessageType::Offer,
                _ => DhcpMessageType::Ack,
            };
            let answer = DhcpRepr {
                message_type,
                your_ip: Ipv4Addr::new(10, 0, 0, 50),
                server_ip: OURS,
                router: None,
                subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
                server_identifier: Some(OURS),
                dns_servers: Some([OURS].into_iter().collect()),
                lease_duration: Some(3600),
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
    }));
}
