//! Against Linux's stack, on a TAP device. Where the host lets nobody make one, this says so and is skipped.
//! `cargo test -p fata-netstack --features tap`
#![cfg(feature = "tap")]

mod net;

use embedded_io_async::{Read as _, Write as _};
use fata_link::{Counter, Parked, Tap, TapEvents};
use fata_netstack::tcp::Options;
use fata_netstack::{IpEndpoint, Random, Stack, udp};
use fata_rt::Machine;
use net::{address, config};
use smoltcp::wire::EthernetAddress;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::process::Command;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

struct Host {
    events: TapEvents,
    start: Instant,
}

impl Machine for Host {
    fn demux(&self) {}
    fn idle(&self, deadline_ns: Option<u64>) {
        let limit_us = deadline_ns.map(|at_ns| at_ns.saturating_sub(self.now_ns()).div_ceil(1000));
        self.events.wait(limit_us).unwrap();
    }
    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

fn ip(arguments: &str) -> bool {
    Command::new("ip").args(arguments.split(' ')).status().is_ok_and(|status| status.success())
}

const HERE: [&str; 2] = ["10.97.13.2", "fd97:13::2"];
const THERE: [&str; 2] = ["10.97.13.1", "fd97:13::1"];
const MEGABYTE: usize = 1 << 20;

#[test]
fn linux_and_we_understand_each_other() {
    let name = format!("fata{}", std::process::id() % 1_000_000);
    let mac = EthernetAddress([2, 0, 0, 0, 0x13, 2]);
    let tap = match Tap::open(&name, mac) {
        Ok(tap) => tap,
        Err(error) => return println!("skipped: no TAP device: {error}"),
    };
    let ready = ip(&format!("addr add {}/24 dev {name}", THERE[0]))
        && ip(&format!("addr add {}/64 dev {name} nodad", THERE[1]))
        && ip(&format!("link set {name} up"));
    if !ready {
        return println!("skipped: {name} cannot be configured");
    }
    let host = Rc::new(Host { events: tap.events(), start: Instant::now() });
    let link = Counter::new(tap);
    let counts = link.counts();
    fata_rt::run(&host, async |rt| {
        let words = format!("ip={}/24 ip6={}/64 gw={}", HERE[0], HERE[1], THERE[0]);
        let stack = Stack::start(&rt, Parked::new(link), config(&words), &Random::known(7));
        let limit = Duration::from_secs(20);
        // We ping Linux.
        for there in THERE {
            for len in [0, 56, 1400, 9000, 65_000] {
                let mut pinger = stack.pinger(address(there), len).await.unwrap();
                let answer = rt.timeout(limit, pinger.ping(&vec![7; len])).await;
                assert!(answer.is_ok_and(|answer| answer.is_ok()), "{there}, {len} bytes");
            }
        }
        // Linux connects to us, several times at once, and gets back what it sends.
        let listener = stack.listen(80, 4, Options::default()).unwrap();
        let clients: Vec<_> = (0..10)
            .map(|number| {
                let here = HERE[number % 2];
                thread::spawn(move || {
                    let mut stream = TcpStream::connect((here, 80)).unwrap();
                    let sent: Vec<u8> = (0..MEGABYTE).map(|at| (at * 7 + at / 256 + number) as u8).collect();
                    let mut half = stream.try_clone().unwrap();
                    let copy = sent.clone();
                    let writer = thread::spawn(move || {
                        half.write_all(&copy).unwrap();
                        half.shutdown(Shutdown::Write).unwrap();
                    });
                    let mut back = Vec::new();
                    stream.read_to_end(&mut back).unwrap();
                    writer.join().unwrap();
                    assert!(back == sent, "{number}: {} bytes came back", back.len());
                })
            })
            .collect();
        let serve = async {
            let mut tasks = Vec::new();
            for _ in 0..10 {
                let mut stream = listener.accept().await;
                tasks.push(rt.spawn(async move {
                    let mut bytes = vec![0; 50_000];
                    loop {
                        match stream.read(&mut bytes).await.unwrap() {
                            0 => break,
                            len => stream.write_all(&bytes[..len]).await.unwrap(),
                        }
                    }
                    stream.shutdown();
                    stream.settled().await.unwrap();
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
        };
        rt.timeout(Duration::from_secs(60), serve).await.unwrap();
        clients.into_iter().for_each(|client| client.join().unwrap());
        // And datagrams of up to the largest size.
        let echo = stack.udp(7, udp::Options::default()).unwrap();
        let client = thread::spawn(move || {
            for (here, any) in HERE.into_iter().zip(["0.0.0.0:0", "[::]:0"]) {
                let socket = UdpSocket::bind(any).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                for len in [1, 1472, 1473, 20_000, 65_000] {
                    let sent = vec![len as u8; len];
                    socket.send_to(&sent, (here, 7)).unwrap();
                    let mut back = vec![0; 70_000];
                    let got = socket.recv(&mut back).unwrap();
                    assert!(back[..got] == sent, "{here}, {len} bytes: {got}");
                }
            }
        });
        for _ in 0..10 {
            let (bytes, from) = echo.receive_with(|bytes, from| (bytes.to_vec(), from.endpoint)).await;
            echo.send(&bytes, from).await.unwrap();
        }
        while echo.is_sending() {
            fata_rt::yield_now().await;
        }
        rt.sleep(Duration::from_millis(50)).await;
        client.join().unwrap();
        // Where nobody listens.
        let nobody = IpEndpoint::new(address(THERE[0]), 9);
        let refused = rt.timeout(limit, stack.connect(nobody, Options::default())).await.unwrap();
        assert!(refused.is_err());
    });
    println!("received {:?}, sent {:?}", counts.received(), counts.sent());
}
