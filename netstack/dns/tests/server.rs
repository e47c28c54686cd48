//! The server on a stack, over a wire.

mod common;

use common::ask::{query, said};
use common::{HEAD, with_head, zone};
use embedded_io_async::{Read, Write};
use fata_dns::{Options, PORT, Server};
use fata_link::{Parked, wire};
use fata_netstack::{Config, IpAddress, IpEndpoint, Random, Stack, TcpStream, tcp, udp};
use fata_rt::Rt;
use fata_sim::alone;
use std::rc::Rc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

struct World {
    rt: Rt,
    client: Stack,
    server: Rc<Server>,
}

fn world(options: Options, zone_text: &str, test: impl AsyncFnOnce(World)) {
    alone(async |rt| {
        let (a, b, _) = wire::pair(wire::Options::default());
        let stack = |link, ip, seed| {
            let mut config = Config::default();
            config.word("ip", ip).unwrap();
            Stack::start(&rt, Parked::new(link), config, &Random::known(seed))
        };
        let (client, there) = (stack(a, "10.0.0.2/24", 1), stack(b, "10.0.0.1/24", 2));
        let server = Server::new(options, 3);
        if !zone_text.is_empty() {
            server.set_zones(vec![Rc::new(zone(zone_text))]);
        }
        server.start(&there, PORT).unwrap();
        test(World { rt: rt.clone(), client, server }).await;
    });
}

fn here() -> IpEndpoint {
    IpEndpoint::new("10.0.0.1".parse::<IpAddress>().unwrap(), PORT)
}

impl World {
    async fn ask(&self, query: &[u8]) -> Option<Vec<u8>> {
        let socket = self.client.udp(0, udp::Options::default()).unwrap();
        socket.send(query, here()).await.unwrap();
        let answer = socket.receive_with(|bytes, _| bytes.to_vec());
        self.rt.timeout(SECOND, answer).await.ok()
    }

    async fn connect(&self) -> TcpStream {
        let connect = self.client.connect(here(), tcp::Options::default());
        self.rt.timeout(100 * SECOND, connect).await.unwrap().unwrap()
    }

    async fn send(&self, stream: &mut TcpStream, query: &[u8]) {
        stream.write_all(&[&(query.len() as u16).to_be_bytes()[..], query].concat()).await.unwrap();
    }

    async fn receive(&self, stream: &mut TcpStream) -> Option<Vec<u8>> {
        let mut len = [0; 2];
        let receive = async {
            stream.read_exact(&mut len).await.ok()?;
            let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut answer).await.ok()?;
            Some(answer)
        };
        self.rt.timeout(100 * SECOND, receive).await.expect("an answer, or an end")
    }
}

#[test]
fn datagrams_are_answered() {
    world(Options::default(), HEAD, async |world| {
        let answer = world.ask(&query("ns.example.com", "A")).await.unwrap();
        assert_eq!(said(&answer).answer, ["ns.example.com 3600 A 192.0.2.1"]);
        let answer = world.ask(&query("no.example.com", "A")).await.unwrap();
        assert_eq!(said(&answer).rcode, "NXDOMAIN");
        assert_eq!(world.ask(&answer).await, None);
        let counts = world.server.counts();
        assert_eq!((counts.udp, counts.found, counts.absent, counts.ignored), (3, 1, 1, 1));
    });
}

/// RFC 7766: many queries on one connection, sent ahead and in pieces.
#[test]
fn streams_take_many_queries() {
    world(Options::default(), &with_head("big TXT \"0123456789\"\n"), async |world| {
        let mut stream = world.connect().await;
        for _ in 0..200 {
            world.send(&mut stream, &query("big.example.com", "TXT")).await;
        }
        for _ in 0..200 {
            let answer = world.receive(&mut stream).await.unwrap();
            assert_eq!(said(&answer).answer, ["big.example.com 3600 TXT \"0123456789\""]);
        }
        let query = query("ns.example.com", "A");
        for byte in [&(query.len() as u16).to_be_bytes()[..], &query].concat() {
            stream.write_all(&[byte]).await.unwrap();
            world.rt.sleep(SECOND / 100).await;
        }
        assert_eq!(said(&world.receive(&mut stream).await.unwrap()).answer.len(), 1);
        assert_eq!((world.server.counts().tcp, world.server.counts().connections), (201, 1));
    });
}

#[test]
fn streams_that_are_silent_or_make_no_sense_end() {
    world(Options::default(), HEAD, async |world| {
        let mut silent = world.connect().await;
        let mut slow = world.connect().await;
        slow.write_all(&[0]).await.unwrap();
        let began = world.rt.now_ns();
        assert_eq!(world.receive(&mut silent).await, None);
        assert_eq!(world.receive(&mut slow).await, None);
        assert!((9..12).contains(&((world.rt.now_ns() - began) / 1_000_000_000)));
        for bytes in [&[0xff, 0xff][..], &[0, 0], &[0, 3, 1, 2, 3]] {
            let mut stream = world.connect().await;
            stream.write_all(bytes).await.unwrap();
            assert_eq!(world.receive(&mut stream).await, None, "{bytes:?}");
        }
    });
}

/// However many come, who asks gets an answer in the end.
#[test]
fn streams_are_bounded() {
    let options = Options { connections: 4, ..Options::default() };
    world(options, HEAD, async |world| {
        let mut idle = Vec::new();
        for _ in 0..4 {
            idle.push(world.connect().await);
        }
        let mut stream = world.connect().await;
        world.send(&mut stream, &query("ns.example.com", "A")).await;
        assert!(world.receive(&mut stream).await.is_some());
        assert_eq!(world.receive(&mut idle[3]).await, None);
    });
}

#[test]
fn zones_are_for_those_on_the_list() {
    let many: String = (0..3000).map(|n| format!("host{n} A 10.0.0.1\n")).collect();
    for listed in [true, false] {
        let peers =
            if listed { vec!["10.0.0.2".parse().unwrap()] } else { vec!["10.0.0.3".parse().unwrap()] };
        world(Options { peers, ..Options::default() }, &with_head(&many), async |world| {
            let mut stream = world.connect().await;
            world.send(&mut stream, &query("example.com", "AXFR")).await;
            if !listed {
                let answer = world.receive(&mut stream).await.unwrap();
                assert_eq!(said(&answer).rcode, "REFUSED");
                return;
            }
            let (mut records, mut soas, mut messages) = (0, 0, 0);
            while soas < 2 {
                let said = said(&world.receive(&mut stream).await.unwrap());
                records += said.answer.len();
                soas += said.answer.iter().filter(|line| line.contains(" SOA ")).count();
                messages += 1;
            }
            assert_eq!((records, soas), (3004, 2));
            assert!(messages > 2);
            // And the connection goes on.
            world.send(&mut stream, &query("ns.example.com", "A")).await;
            assert!(world.receive(&mut stream).await.is_some());
            assert_eq!(world.server.counts().transfers, 1);
        });
    }
}

#[test]
fn floods_are_not_answered_in_full() {
    world(Options { rate: 10, ..Options::default() }, HEAD, async |world| {
        let socket = world.client.udp(0, udp::Options::default()).unwrap();
        for _ in 0..50 {
            socket.send(&query("ns.example.com", "A"), here()).await.unwrap();
        }
        world.rt.sleep(SECOND / 10).await;
        let (mut whole, mut slipped) = (0, 0);
        while let Ok(answer) =
            world.rt.timeout(SECOND / 10, socket.receive_with(|bytes, _| bytes.to_vec())).await
        {
            match said(&answer).flags.contains("tc") {
                true => slipped += 1,
                false => whole += 1,
            }
        }
        assert!((10..13).contains(&whole) && (18..21).contains(&slipped), "{whole} {slipped}");
        // A stream is not limited.
        let mut stream = world.connect().await;
        world.send(&mut stream, &query("ns.example.com", "A")).await;
        assert_eq!(said(&world.receive(&mut stream).await.unwrap()).answer.len(), 1);
    });
}

/// Each query is answered from one zone or the other.
#[test]
fn zones_are_replaced_between_two_queries() {
    world(Options { rate: 0, ..Options::default() }, "", async |world| {
        let asked = query("ns.example.com", "A");
        assert_eq!(said(&world.ask(&asked).await.unwrap()).rcode, "REFUSED");
        let zones =
            [HEAD.to_owned(), HEAD.replace("192.0.2.1", "192.0.2.2")].map(|text| Rc::new(zone(&text)));
        for round in 0..100 {
            world.server.set_zones(vec![zones[round % 2].clone()]);
            let answer = said(&world.ask(&asked).await.unwrap()).answer;
            assert_eq!(answer, [format!("ns.example.com 3600 A 192.0.2.{}", 1 + round % 2)]);
        }
    });
}
