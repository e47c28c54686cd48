//! Frames from somebody who means ill. Nothing they do may stop the stack, or take more memory than it was to have.

mod net;

use embedded_io_async::{Read, Write};
use fata_link::{Link, Parked, neighbor, wire};
use fata_netstack::tcp::Options;
use fata_netstack::{IpEndpoint, Random, Stack, udp};
use fata_rt::{Rt, yield_now};
use fata_sim::Rng;
use net::peer::{Peer, frame};
use net::{A, B, address, config, run};
use smoltcp::phy::{ChecksumCapabilities, Device, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{
    IpAddress, IpProtocol, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
};
use std::time::Duration;

fn segment(from: IpAddress, to: IpAddress, port: u16, control: TcpControl, random: &mut Rng) -> Vec<u8> {
    let data = random.bytes(60);
    let repr = TcpRepr {
        src_port: random.within(1..2000) as u16,
        dst_port: port,
        control,
        seq_number: TcpSeqNumber(random.number() as i32),
        ack_number: (control != TcpControl::Syn).then_some(TcpSeqNumber(random.number() as i32)),
        window_len: random.number() as u16,
        window_scale: (random.within(0..2) == 0).then_some(random.number() as u8),
        max_seg_size: (random.within(0..2) == 0).then_some(random.number() as u16),
        sack_permitted: true,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: if control == TcpControl::Syn { &[] } else { &data },
    };
    let mut payload = vec![0; repr.buffer_len()];
    repr.emit(&mut TcpPacket::new_unchecked(&mut payload), &from, &to, &ChecksumCapabilities::default());
    frame(from, to, IpProtocol::Tcp, &payload)
}

fn datagram(from: IpAddress, to: IpAddress, port: u16, data: &[u8]) -> Vec<u8> {
    let repr = UdpRepr { src_port: 67, dst_port: port };
    let mut payload = vec![0; 8 + data.len()];
    let fill = |room: &mut [u8]| room.copy_from_slice(data);
    let packet = &mut UdpPacket::new_unchecked(&mut payload);
    repr.emit(packet, &from, &to, data.len(), fill, &ChecksumCapabilities::default());
    frame(from, to, IpProtocol::Udp, &payload)
}

/// Makes the checksum of an IPv4 header right again, so that what was spoilt behind it is looked at.
fn mend(frame: &mut [u8]) {
    if frame.len() >= 34 && frame[12..14] == [8, 0] {
        smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[14..34]).set_checksum(0);
        let mut sum: u32 =
            frame[14..34].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
        sum = (sum & 0xffff) + (sum >> 16);
        frame[24..26].copy_from_slice(&(!((sum + (sum >> 16)) as u16)).to_be_bytes());
    }
}

fn any_frame(random: &mut Rng) -> Vec<u8> {
    let v6 = random.within(0..2);
    // Now and then to everybody, or to nobody.
    let to = match random.within(0..10) {
        0 => address(
            [["224.0.0.1", "ff02::1"], ["255.255.255.255", "::"], ["0.0.0.0", "::1"]][random.within(0..3)]
                [v6],
        ),
        _ => address(A[v6]),
    };
    let number = random.within(2..250);
    let from = address(&if v6 == 0 { format!("10.0.0.{number}") } else { format!("fd00::{number:x}") });
    let len = random.within(0..300);
    let data = random.bytes(len);
    let port = [7, 80, 68, 9, 81][random.within(0..5)];
    let mac = smoltcp::wire::EthernetAddress([2, 0, 0, 0, 0, number as u8]);
    let mut frame = match random.within(0..8) {
        0 => segment(from, to, port, TcpControl::Syn, random),
        1 => segment(from, to, port, TcpControl::None, random),
        2 => segment(from, to, port, TcpControl::Fin, random),
        3 => datagram(from, to, port, &data),
        4 => frame(from, to, if v6 == 0 { IpProtocol::Icmp } else { IpProtocol::Icmpv6 }, &data),
        5 => neighbor::ask(mac, from, to).unwrap().bytes().to_vec(),
        6 => neighbor::announce(mac, from).bytes().to_vec(),
        _ => frame(from, to, IpProtocol::from(random.number() as u8), &data),
    };
    frame[6..12].copy_from_slice(mac.as_bytes());
    // A fragment of something.
    if random.within(0..4) == 0 && frame[12] == 8 && frame.len() >= 34 {
        frame[20..22].copy_from_slice(&(random.number() as u16 & 0x20ff).to_be_bytes());
    }
    for _ in 0..random.within(0..3) {
        let at = random.within(0..frame.len().min(90));
        frame[at] = random.number() as u8;
    }
    if random.within(0..8) == 0 {
        frame.truncate(random.within(0..frame.len()));
    }
    mend(&mut frame);
    frame
}

/// A stack that offers everything.
fn start(rt: &Rt, link: impl Link + 'static) -> Stack {
    let words = format!("ip={}/24 ip6={}/64 gw=10.0.0.254", A[0], A[1]);
    let stack = Stack::start(rt, Parked::new(link), config(&words), &Random::known(1));
    let small = Options { receive: 4096, send: 4096, ..Options::default() };
    let listener = stack.listen(80, 16, small).unwrap();
    let rt2 = rt.clone();
    drop(rt.spawn(async move {
        loop {
            let mut stream = listener.accept().await;
            let rt3 = rt2.clone();
            drop(rt2.spawn(async move {
                let mut buffer = [0; 100];
                let reading = async {
                    while let Ok(len @ 1..) = stream.read(&mut buffer).await {
                        let _ = stream.write_all(&buffer[..len]).await;
                    }
                };
                let _ = rt3.timeout(Duration::from_secs(10), reading).await;
            }));
        }
    }));
    let echo = stack.udp(7, udp::Options::default()).unwrap();
    drop(rt.spawn(async move {
        loop {
            let (bytes, from) = echo.receive_with(|bytes, from| (bytes.to_vec(), from.endpoint)).await;
            let _ = echo.send(&bytes, from).await;
        }
    }));
    stack
}

async fn works(rt: &Rt, stack: &Stack) {
    let second = Duration::from_secs(5);
    for there in A {
        let mut pinger = stack.pinger(address(there), 5000).await.unwrap();
        rt.timeout(second, pinger.ping(&[1; 5000])).await.unwrap().unwrap();
        let endpoint = IpEndpoint::new(address(there), 80);
        let mut stream =
            rt.timeout(second, stack.connect(endpoint, Options::default())).await.unwrap().unwrap();
        stream.write_all(b"still there?").await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
    }
}

#[test]
fn no_frame_stops_the_stack() {
    let mut random = Rng::new();
    for offload in [false, true] {
        run(async |rt| {
            let options =
                wire::Options { room: 10_000, checksum_offload: offload, ..wire::Options::default() };
            let (near, mut far, _) = wire::pair(options);
            let stack = start(&rt, near);
            stack.up().await;
            for round in 0..600 {
                for _ in 0..100 {
                    let bytes = any_frame(&mut random);
                    let token = far.transmit(Instant::ZERO).unwrap();
                    token.consume(bytes.len(), |room| room.copy_from_slice(&bytes));
                }
                far.flush();
                // What the stack says is heard by nobody, but makes room.
                for _ in 0..5 {
                    yield_now().await;
                    while let Some((rx, _)) = far.receive(Instant::ZERO) {
                        rx.consume(|_| ());
                    }
                }
                rt.sleep(Duration::from_millis(random.within(0..100) as u64)).await;
                let sockets = stack.sockets().0;
                assert!(sockets <= 1 + 16 + 256, "{sockets} sockets after {round} rounds");
            }
            assert!(stack.counts().frames > 50_000, "{:?}", stack.counts());
            let other = net::start(&rt, far, B);
            rt.sleep(Duration::from_secs(70)).await;
            works(&rt, &other).await;
            rt.sleep(Duration::from_secs(140)).await;
            assert_eq!(stack.sockets().0, 1, "the echo socket is left");
        });
    }
}

/// RFC 9293 section 3.10.7: what opens nothing and acknowledges nothing is answered by nothing where somebody listens, and
/// by a reset where nobody does; a reset is never answered.
#[test]
fn what_scanners_send_is_answered_by_the_book() {
    run(async |rt| {
        let (near, far, _) = wire::pair(wire::Options::default());
        let stack = start(&rt, near);
        stack.up().await;
        let mut peer = Peer::new(far, B[0], 0, 0);
        let reset = Some(TcpControl::Rst);
        for (flags, open, closed) in [
            // Nothing, FIN, FIN with PSH and URG.
            (0x00, None, reset),
            (0x01, None, reset),
            (0x29, None, reset),
            // SYN, ACK, and either reset.
            (0x02, Some(TcpControl::Syn), reset),
            (0x10, reset, reset),
            (0x04, None, None),
            (0x14, None, None),
        ] {
            for (port, expected) in [(80, open), (81, closed)] {
                (peer.from.1, peer.to) = (1000 + u16::from(flags), port);
                peer.put(&bare_segment(&peer, flags));
                let heard: Vec<_> = peer.heard().await.iter().map(|segment| segment.control).collect();
                assert_eq!(heard, Vec::from_iter(expected), "{flags:#x} to port {port}");
            }
        }
    });
}

/// A segment with these flags and nothing else.
fn bare_segment(peer: &Peer, flags: u8) -> Vec<u8> {
    let (mut bytes, (from, to)) = ([0; 20], (peer.from.0, address(A[0])));
    let mut packet = TcpPacket::new_unchecked(&mut bytes[..]);
    packet.set_src_port(peer.from.1);
    packet.set_dst_port(peer.to);
    packet.set_seq_number(TcpSeqNumber(7));
    packet.set_header_len(20);
    packet.set_window_len(1024);
    bytes[13] = flags;
    TcpPacket::new_unchecked(&mut bytes[..]).fill_checksum(&from, &to);
    frame(from, to, IpProtocol::Tcp, &bytes)
}

#[test]
fn a_syn_flood_takes_the_backlog_and_no_more() {
    let mut random = Rng::new();
    run(async |rt| {
        let (near, mut far, _) = wire::pair(wire::Options { room: 100_000, ..wire::Options::default() });
        let stack = start(&rt, near);
        stack.up().await;
        for number in 0..=20_000 {
            let from = address(&format!("10.0.0.{}", 2 + number % 250));
            let bytes = segment(from, address(A[0]), 80, TcpControl::Syn, &mut random);
            far.transmit(Instant::ZERO).unwrap().consume(bytes.len(), |room| room.copy_from_slice(&bytes));
            if number % 100 == 0 {
                far.flush();
                // It takes in 64 frames at a time.
                yield_now().await;
                yield_now().await;
                assert!(stack.sockets().0 <= 17);
            }
        }
        while let Some((rx, _)) = far.receive(Instant::ZERO) {
            rx.consume(|_| ());
        }
        assert!(stack.counts().cookies_sent > 15_000);
        // Those that were begun are given up after a while, and there is room again.
        rt.sleep(Duration::from_secs(30)).await;
        let other = net::start(&rt, far, B);
        works(&rt, &other).await;
    });
}

/// Of a datagram in fragments, too: who asks is not known yet, and says so only when asked.
#[test]
fn the_first_large_ping_of_an_unknown_neighbor_is_answered() {
    run(async |rt| {
        let (near, mut far, _) = wire::pair(wire::Options::default());
        let stack = net::start(&rt, near, A);
        stack.up().await;
        let mut echo = vec![0; 3008];
        echo[..8].copy_from_slice(&[8, 0, 0, 0, 0, 7, 0, 1]);
        let message = &mut smoltcp::wire::Icmpv4Packet::new_unchecked(&mut echo[..]);
        message.fill_checksum();
        let whole = frame(address(B[0]), address(A[0]), IpProtocol::Icmp, &echo);
        for (from, to, more) in [(0, 1480, true), (1480, 2960, true), (2960, 3008, false)] {
            let mut part = whole[..34].to_vec();
            part.extend_from_slice(&whole[34 + from..34 + to]);
            part[16..18].copy_from_slice(&((20 + to - from) as u16).to_be_bytes());
            part[20..22].copy_from_slice(&((from / 8) as u16 | u16::from(more) << 13).to_be_bytes());
            mend(&mut part);
            far.transmit(Instant::ZERO).unwrap().consume(part.len(), |room| room.copy_from_slice(&part));
        }
        far.flush();
        let (mut asked, mut bytes) = (false, 0);
        for _ in 0..10 {
            yield_now().await;
            while let Some((rx, tx)) = far.receive(Instant::ZERO) {
                let got = rx.consume(|frame| frame.to_vec());
                match neighbor::parse(&got) {
                    Some(neighbor::Message::Ask { from, target }) if target == address(B[0]) => {
                        asked = true;
                        // A question to who asks tells as well.
                        let mac = far_mac();
                        let tell = neighbor::ask(mac, target, from).unwrap();
                        tx.consume(tell.bytes().len(), |room| room.copy_from_slice(tell.bytes()));
                        far.flush();
                    }
                    None if got[12..14] == [8, 0] && got[23] == 1 => bytes += got.len() - 34,
                    _ => {}
                }
            }
        }
        assert!(asked);
        assert_eq!(bytes, 3008, "bytes of the answer's fragments");
    });
}

fn far_mac() -> smoltcp::wire::EthernetAddress {
    smoltcp::wire::EthernetAddress([2, 0, 0, 0, 0, 2])
}
