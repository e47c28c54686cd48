//! Datagrams.

mod net;

use fata_link::wire;
use fata_netstack::udp::Options;
use fata_netstack::{Error, IpEndpoint};
use fata_rt::yield_now;
use net::{A, B, address, pair, run};
use std::time::Duration;

#[test]
fn datagrams_of_all_sizes_come_back() {
    for (mtu, checksum_offload) in [(1280, false), (1500, true), (9000, false)] {
        run(async |rt| {
            let (a, b, _) = pair(&rt, wire::Options { mtu, checksum_offload, ..wire::Options::default() });
            let echo = b.udp(7, Options::default()).unwrap();
            drop(rt.spawn(async move {
                loop {
                    let (bytes, from) = echo.receive_with(|bytes, from| (bytes.to_vec(), from)).await;
                    echo.send(&bytes, from.endpoint).await.unwrap();
                }
            }));
            let socket = a.udp(0, Options::default()).unwrap();
            assert!(socket.port() >= 49_152);
            for to in B {
                for len in [0, 1, 64, 1472, 1473, 9000, 65_487] {
                    let sent: Vec<u8> = (0..len).map(|i| i as u8).collect();
                    socket.send(&sent, IpEndpoint::new(address(to), 7)).await.unwrap();
                    let answer = socket.receive_with(|bytes, from| (bytes.to_vec(), from.endpoint));
                    let (bytes, from) = rt.timeout(Duration::from_secs(1), answer).await.unwrap();
                    assert_eq!((bytes == sent, from), (true, IpEndpoint::new(address(to), 7)), "{len}");
                }
            }
        });
    }
}

#[test]
fn what_cannot_be_sent_is_refused() {
    run(async |rt| {
        let (a, _b, _) = pair(&rt, wire::Options::default());
        let socket = a.udp(9, Options::default()).unwrap();
        assert_eq!(a.udp(9, Options::default()).err(), Some(Error::PortTaken));
        let to = IpEndpoint::new(address(B[0]), 7);
        assert_eq!(socket.send(&[0; 65_508], to).await, Err(Error::TooLarge));
        let small = a.udp(10, Options { datagrams: 1, bytes: 100 }).unwrap();
        assert_eq!(small.send(&[0; 101], to).await, Err(Error::TooLarge));
        assert_eq!(socket.send(&[0; 1], IpEndpoint::new(address("::"), 7)).await, Err(Error::Unaddressable));
        assert_eq!(socket.send(&[0; 1], IpEndpoint::new(address(B[0]), 0)).await, Err(Error::Unaddressable));
        drop((socket, small));
        assert!(a.udp(9, Options::default()).is_ok());
    });
}

/// A sender waits for room and loses nothing of its own; the receiver is as fast.
#[test]
fn a_stream_of_datagrams_is_complete_and_in_order() {
    run(async |rt| {
        let (a, b, _) = pair(&rt, wire::Options { room: 20, ..wire::Options::default() });
        let sink = b.udp(7, Options::default()).unwrap();
        let sink = rt.spawn(async move {
            for number in 0..10_000u32 {
                let got = sink.receive_with(|bytes, _| u32::from_le_bytes(bytes.try_into().unwrap())).await;
                assert_eq!(got, number);
            }
        });
        let socket = a.udp(0, Options::default()).unwrap();
        for number in 0..10_000u32 {
            socket.send(&number.to_le_bytes(), IpEndpoint::new(address(B[1]), 7)).await.unwrap();
        }
        sink.await.unwrap();
    });
}

#[test]
fn sockets_are_bound_to_one_address_or_to_all() {
    run(async |rt| {
        let (a, b, _) = pair(&rt, wire::Options::default());
        let bound = b.udp((address(B[0]), 7), Options::default()).unwrap();
        let socket = a.udp(0, Options::default()).unwrap();
        socket.send(b"no", IpEndpoint::new(address(B[1]), 7)).await.unwrap();
        socket.send(b"yes", IpEndpoint::new(address(B[0]), 7)).await.unwrap();
        let mut buffer = [0; 2];
        let (len, from) = bound.receive(&mut buffer).await;
        assert_eq!((len, buffer), (3, *b"ye"));
        assert_eq!((from.endpoint.addr, from.local_address), (address(A[0]), Some(address(B[0]))));
        while socket.is_sending() {
            yield_now().await;
        }
    });
}
