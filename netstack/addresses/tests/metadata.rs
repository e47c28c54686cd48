//! The server that clouds have, played on another stack.

use embedded_io_async::{Read, Write};
use fata_addresses::{Source, metadata};
use fata_link::wire;
use fata_netstack::{Config, Random, Stack, tcp};
use fata_rt::Rt;
use fata_sim::alone;
use std::time::Duration;

async fn serve(stack: Stack, answer: &'static [u8]) {
    let listener = stack.listen(80, 4, tcp::Options::default()).unwrap();
    loop {
        let mut stream = listener.accept().await;
        let mut question = vec![0; 200];
        let len = stream.read(&mut question).await.unwrap();
        assert!(question[..len].starts_with(b"GET /latest/meta-data/local-hostname HTTP/1.0\r\n"));
        let _ = stream.write_all(answer).await;
    }
}

fn ask(answer: &'static [u8]) -> Option<Source> {
    alone(async |rt: Rt| {
        let (a, b, _) = wire::pair(wire::Options::default());
        let start = |link, address: &str, seed| {
            let mut config = Config::default();
            config.word("ip", address).unwrap();
            Stack::start(&rt, link, config, &Random::known(seed))
        };
        let there = start(b, "169.254.169.254/16", 2);
        drop(rt.spawn(serve(there, answer)));
        let stack = start(a, "169.254.0.2/16", 1);
        rt.timeout(Duration::from_secs(10), metadata::read(&stack)).await.ok()
    })
}

#[test]
fn the_host_name_is_taken_and_nonsense_is_not() {
    let good = ask(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nweb-1\n").unwrap();
    assert_eq!((good.config.host_name.as_deref(), good.flaws.len()), (Some("web-1"), 0));
    let none = ask(b"HTTP/1.0 404 Not Found\r\n\r\nweb-1").unwrap();
    assert_eq!((none.config.host_name, none.flaws.len()), (None, 0));
    let long = Box::leak([&b"HTTP/1.0 200 OK\r\n\r\n"[..], &[b'a'; 10_000]].concat().into_boxed_slice());
    for wrong in [
        b"HTTP/1.0 500 No\r\n\r\n",
        &b"220 ready\r\n"[..],
        b"",
        b"\xff\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\na/b",
        long,
    ] {
        let source = ask(wrong).unwrap();
        assert_eq!((source.config.host_name, source.flaws.len()), (None, 1), "{}", wrong.escape_ascii());
    }
}
