//! What net-bench serves, over a wire.

use embedded_io_async::{Read, Write};
use fata_link::wire;
use fata_netstack::{Config, IpAddress, IpEndpoint, Random, Stack, tcp, udp};
use fata_rt::Rt;
use fata_sim::alone;
use net_bench::serve;
use std::time::Duration;

fn start(rt: &Rt, link: wire::Wire, address: &str) -> Stack {
    let mut config = Config::default();
    config.word("ip", address).unwrap();
    Stack::start(rt, link, config, &Random::known(1))
}

fn run(main: impl AsyncFnOnce(Rt, Stack)) {
    alone(async |rt| {
        let (a, b, _) = wire::pair(wire::Options::default());
        let server = start(&rt, b, "10.0.0.2/24");
        serve::start(&rt, &server, serve::ROOM).unwrap();
        main(rt.clone(), start(&rt, a, "10.0.0.1/24")).await;
    });
}

fn port(port: u16) -> IpEndpoint {
    IpEndpoint::new(IpAddress::v4(10, 0, 0, 2), port)
}

#[test]
fn datagrams_are_echoed_counted_and_made() {
    run(async |rt, stack| {
        let socket = stack.udp(0, udp::Options::default()).unwrap();
        socket.send(b"hello", port(5001)).await.unwrap();
        let mut bytes = [0; 100];
        assert_eq!(socket.receive(&mut bytes).await.0, 5);
        assert_eq!(bytes[..5], *b"hello");
        for _ in 0..1000 {
            socket.send(&[0; 64], port(5002)).await.unwrap();
        }
        while socket.is_sending() {
            fata_rt::yield_now().await;
        }
        rt.sleep(Duration::from_millis(1)).await;
        for count in ["1000 0", "0 0"] {
            socket.send(b"?", port(5004)).await.unwrap();
            let (len, _) = socket.receive(&mut bytes).await;
            assert_eq!(core::str::from_utf8(&bytes[..len]), Ok(count));
        }
        socket.send(b"500 50", port(5003)).await.unwrap();
        for _ in 0..500 {
            assert_eq!(socket.receive(&mut bytes).await.0, 50);
        }
    });
}

#[test]
fn streams_are_taken_sent_and_echoed() {
    run(async |_rt, stack| {
        let connect = async || stack.connect(port(5000), tcp::Options::default()).await.unwrap();
        let mut stream = connect().await;
        stream.write_all(b"R 1000000\n").await.unwrap();
        for _ in 0..100 {
            stream.write_all(&[1; 10_000]).await.unwrap();
        }
        let mut bytes = [0; 10_000];
        assert_eq!(stream.read(&mut bytes).await, Ok(1));
        assert_eq!((bytes[0], stream.read(&mut bytes).await), (b'k', Ok(0)));

        let mut stream = connect().await;
        stream.write_all(b"S 1000000 7777\n").await.unwrap();
        for _ in 0..100 {
            stream.read_exact(&mut bytes).await.unwrap();
        }
        stream.write_all(b"!").await.unwrap();
        assert_eq!(stream.read(&mut bytes).await, Ok(0));

        let mut stream = connect().await;
        stream.write_all(b"E\n").await.unwrap();
        for byte in 0..100 {
            stream.write_all(&[byte; 100]).await.unwrap();
            stream.read_exact(&mut bytes[..100]).await.unwrap();
            assert_eq!(bytes[..100], [byte; 100]);
        }
        stream.shutdown();
        assert_eq!(stream.read(&mut bytes).await, Ok(0));
    });
}
