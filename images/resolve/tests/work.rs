//! The image's work, over a wire.

use fata_kit::Terminal;
use fata_link::wire;
use fata_netstack::{Config, Random, Stack, tcp, udp};
use fata_resolve::Resolver;
use fata_rt::Rt;
use fata_sim::{Paper, alone};
use resolve::{Options, work};
use std::time::Duration;

/// What the image says and how it ends.
fn say(cmdline: &str) -> (String, Result<(), String>) {
    alone(async |rt| {
        let (a, b, _) = wire::pair(wire::Options::default());
        let mut there = Config::default();
        there.word("ip", "10.0.0.1/24").unwrap();
        serve(&rt, &Stack::start(&rt, b, there, &Random::known(2)));
        let options = Options::parse(cmdline).unwrap();
        let random = Random::known(1);
        let mut config = Config::default();
        for (name, value) in fata_kit::words(cmdline) {
            config.word(name, value).unwrap();
        }
        let stack = Stack::start(&rt, a, config, &random);
        let resolver = Resolver::new(&stack, &random, fata_resolve::Config::default());
        let console = Paper::default();
        let mut terminal = Terminal::new(console.clone());
        let end = work(&rt, &stack, &resolver, &options.wishes, &mut terminal).await.unwrap();
        (console.take(), end)
    })
}

/// Says after a while that a name with a `w` in front has one other name and two addresses, and others nothing.
fn serve(rt: &Rt, stack: &Stack) {
    let socket = stack.udp(53, udp::Options::default()).unwrap();
    let listener = stack.listen(80, 4, tcp::Options::default()).unwrap();
    let rt2 = rt.clone();
    drop(rt.spawn(async move {
        loop {
            let (mut bytes, from) = socket.receive_with(|bytes, from| (bytes.to_vec(), from.endpoint)).await;
            rt2.sleep(Duration::from_millis(1)).await;
            let end = bytes.len() - 11;
            bytes.truncate(end);
            bytes[11] = 0;
            bytes[2..4].copy_from_slice(&[0x81, 0x80]);
            match (bytes[13] | 32, bytes[end - 3]) {
                (b'w', 1) => {
                    bytes[7] = 3;
                    bytes.extend_from_slice(b"\xc0\x0c\0\x05\0\x01\0\0\x0e\x10\0\x06\x04host\0");
                    for last in [1, 2] {
                        bytes.extend_from_slice(b"\x04host\0\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0");
                        bytes.push(last);
                    }
                }
                (b'w', _) => {}
                _ => bytes[3] |= 3,
            }
            socket.send(&bytes, from).await.unwrap();
        }
    }));
    drop(rt.spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    }));
}

#[test]
fn it_says_what_names_have() {
    let (said, end) = say("ip=10.0.0.2/24 ip6=off dns=10.0.0.1 search=example resolve=www,A resolve=www,A \
         resolve=localhost,AAAA resolve=w connect=www:80");
    let (head, last) = said.rsplit_once("www: ").unwrap();
    let expected = "address 10.0.0.2/24\n\
         server 10.0.0.1\n\
         www A by 10.0.0.1, 1.000 ms\n    \
             3600 CNAME  host.\n      \
               60 A      10.0.0.1\n      \
               60 A      10.0.0.2\n\
         www A by 10.0.0.1, remembered, 0.000 ms\n    \
             3600 CNAME  host.\n      \
               60 A      10.0.0.1\n      \
               60 A      10.0.0.2\n\
         localhost AAAA, known without asking, 0.000 ms\n       \
                0 AAAA   ::1\n\
         w A by 10.0.0.1, 1.000 ms\n    \
             3600 CNAME  host.\n      \
               60 A      10.0.0.1\n      \
               60 A      10.0.0.2\n";
    assert_eq!((head, end), (expected, Ok(())));
    assert!(last.starts_with("connected to 10.0.0.1:80 from 10.0.0.2:"), "{last}");
}

#[test]
fn it_says_what_there_is_not() {
    let (said, end) = say(
        "ip=10.0.0.2/24 ip6=off dns=10.0.0.1 resolve=not.there,TXT resolve=w,MX connect=www:81 resolve=w,A resolve=not",
    );
    let lines: Vec<_> = said.lines().skip(2).collect();
    assert_eq!(lines[0], "not.there TXT: there is no such name, 1.000 ms");
    assert_eq!(lines[1], "w MX: the name has nothing of this kind, 1.000 ms");
    assert!(lines[2].starts_with("www:81: 10.0.0.1: the connection was refused; 10.0.0.2: no answer, "));
    assert_eq!(lines.last(), Some(&"not: there is no such name, 2.000 ms"));
    assert_eq!(end, Err("4 of 5 had no answer".into()));
}
