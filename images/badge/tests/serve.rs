//! What the image serves, over a wire.

use badge::{Options, Shown, serve};
use embedded_io_async::{Read, Write};
use fata_conduit::{Conduit, Nothing};
use fata_netstack::{IpAddress, IpEndpoint, tcp};
use fata_sim::alone;
use std::rc::Rc;
use std::time::Duration;

const SERVER: IpEndpoint = IpEndpoint { addr: IpAddress::v4(10, 0, 0, 2), port: 443 };
const REQUEST: &[u8] = b"GET /.well-known/unikernel.svg HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// A client that does not read has no room for the word that this was all, which TLS has to send.
#[test]
fn who_reads_nothing_over_tls_is_let_go_of() {
    alone(async |rt| {
        let [client, server] = fata_ends::stacks(&rt, "ip=10.0.0.1/24", "ip=10.0.0.2/24");
        let (tls_client, tls_server) = fata_ends::tls(&rt, &["10.0.0.2"]);
        let small = tcp::Options { receive: 1200, send: 512, nagle: false, ..tcp::Options::default() };
        let conduit = Conduit::<Nothing>::new().with_stack(&server).with_options(small, 16);
        let conduit = conduit.with_tls_server(&tls_server);
        let shown = Shown {
            options: Options::parse("listen=tls://*:443").unwrap(),
            build: "badge".into(),
            boot_us: 1,
            memory: || [16 << 20, 1 << 20],
        };
        serve(&rt, &conduit, &Rc::new(shown)).unwrap();
        let ask = async || {
            let stream = client.connect(SERVER, small).await.unwrap();
            let mut stream = tls_client.connect(stream, "10.0.0.2").await.unwrap();
            stream.write_all(REQUEST).await.unwrap();
            stream
        };
        let deaf = ask().await;
        rt.sleep(Duration::from_secs(1)).await;
        assert_eq!(server.sockets().0, 1);
        rt.sleep(Duration::from_secs(15)).await;
        assert_eq!(server.sockets(), (0, 0));
        drop(deaf);
        let mut hearing = ask().await;
        let (mut all, mut room) = (Vec::new(), [0; 500]);
        while let count @ 1.. = hearing.read(&mut room).await.unwrap() {
            all.extend_from_slice(&room[..count]);
        }
        assert!(all.starts_with(b"HTTP/1.1 200 OK") && all.ends_with(b"</svg>\n"), "{}", all.escape_ascii());
        assert!(all.len() > 600, "too short to fill, with tickets, what may be on its way");
    });
}
