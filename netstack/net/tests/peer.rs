//! TCP with a peer that does what few do, step by step.

mod net;

use embedded_io_async::{Read, Write};
use fata_link::wire;
use fata_netstack::TcpStream;
use fata_netstack::tcp::Options;
use fata_rt::Rt;
use net::peer::{Peer, Segment, at_b};
use net::{A, B, run, start};
use smoltcp::wire::TcpControl;
use std::time::Duration;

/// An open connection, both ends of it.
async fn opened(rt: &Rt, options: Options) -> (Peer, TcpStream) {
    let (near, far, _) = wire::pair(wire::Options::default());
    let stack = start(rt, near, A);
    stack.up().await;
    let listener = stack.listen(80, 1, options).unwrap();
    let mut peer = at_b(far, 5000);
    peer.open().await;
    (peer, listener.accept().await)
}

/// RFC 9293 section 3.10.7.4: what acknowledges is heard though the window is full and the segment beyond it.
#[test]
fn an_acknowledgement_from_beyond_the_window_is_heard() {
    run(async |rt| {
        // A window of 100,001 bytes is said in units of two, and so becomes one of 100,000.
        let (mut peer, mut stream) =
            opened(&rt, Options { receive: 100_001, send: 1400, ..Options::default() }).await;
        stream.write_all(&[1; 1400]).await.unwrap();
        let sent: usize = peer.heard().await.iter().map(|segment| segment.payload.len()).sum();
        assert_eq!(sent, 1400);
        // The peer fills the window it was given, without acknowledging what came.
        for _ in 0..100 {
            peer.send(TcpControl::None, &[2; 1000]);
            peer.seq += 1000;
        }
        let last = peer.heard().await.pop().unwrap();
        assert_eq!((last.ack, last.window), (Some(peer.seq), 0));
        // It goes on from where it thinks it is: a few bytes further than we count.
        (peer.seq, peer.ack) = (peer.seq + 1, peer.ack.wrapping_add(1400));
        peer.send(TcpControl::None, &[]);
        peer.heard().await;
        let written = rt.timeout(Duration::from_millis(1), stream.write_all(&[3; 1400])).await;
        assert_eq!(written, Ok(Ok(())));
        let mut buffer = vec![0; 100_000];
        stream.read_exact(&mut buffer).await.unwrap();
        assert!(buffer.iter().all(|byte| *byte == 2));
    });
}

/// A FIN that was lost is said again, whatever the peer repeats meanwhile.
#[test]
fn a_lost_fin_is_repeated_though_the_peer_repeats_itself() {
    for (repeats, length) in [(0, 0), (2, 0), (3, 0), (5, 0), (3, 10), (9, 1000)] {
        run(async |rt| {
            let (mut peer, stream) = opened(&rt, Options::default()).await;
            (&stream).write_all(&vec![1; length]).await.unwrap();
            stream.shutdown();
            let fin = peer.heard().await.pop().unwrap();
            assert_eq!(fin.control, TcpControl::Fin);
            // It is lost, and all before it has come.
            peer.ack = peer.ack.wrapping_add(length as i32);
            for _ in 0..=repeats {
                peer.send(TcpControl::None, &[]);
                let heard = peer.heard().await;
                assert!(heard.iter().all(|segment| segment.payload.is_empty()), "{heard:?}");
            }
            rt.sleep(Duration::from_secs(3)).await;
            let again = peer.heard().await;
            let said = again.iter().find(|segment| segment.control == TcpControl::Fin);
            assert_eq!(said.map(|fin| fin.seq), Some(peer.ack), "after {repeats}: {again:?}");
            peer.ack = peer.ack.wrapping_add(1);
            peer.send(TcpControl::None, &[]);
            peer.heard().await;
            assert_eq!(rt.timeout(Duration::from_millis(1), stream.settled()).await, Ok(Ok(())));
        });
    }
}

/// RFC 9293 section 3.10.7.4: what only acknowledges has the number of what comes next, whatever is being sent again.
#[test]
fn acknowledgements_are_numbered_by_what_comes_next() {
    run(async |rt| {
        let (mut peer, mut stream) = opened(&rt, Options::default()).await;
        for _ in 0..5 {
            stream.write_all(&[1; 1000]).await.unwrap();
            assert_eq!(peer.heard().await[0].payload.len(), 1000);
            peer.ack = peer.ack.wrapping_add(1000);
            peer.send(TcpControl::None, &[]);
        }
        stream.write_all(&[1; 4000]).await.unwrap();
        let last = peer.heard().await.pop().unwrap();
        let next = last.seq.wrapping_add(last.payload.len() as i32);
        assert!(next.wrapping_sub(peer.ack) > 1460, "more than one segment");
        // None of it is acknowledged, and the first is sent again.
        rt.sleep(Duration::from_secs(3)).await;
        let again = peer.heard().await;
        assert!(again.iter().any(|segment| segment.seq == peer.ack && !segment.payload.is_empty()));
        peer.send(TcpControl::None, &[2; 100]);
        rt.sleep(Duration::from_millis(20)).await;
        let heard = peer.heard().await;
        let [ack] = &heard[..] else { panic!("{heard:?}") };
        assert_eq!((ack.seq, ack.ack), (next, Some(peer.seq + 100)));
        // So is a reset, which is not listened to otherwise.
        stream.abort();
        let reset = peer.heard().await.pop().unwrap();
        assert_eq!((reset.control, reset.seq), (TcpControl::Rst, next));
    });
}

/// Who comes in the middle of a flood of SYNs gets his connection, and its options.
#[test]
fn a_flood_of_openings_keeps_nobody_out() {
    for there in B {
        run(async |rt| {
            let (near, far, _) = wire::pair(wire::Options { room: 10_000, ..wire::Options::default() });
            let stack = start(&rt, near, A);
            stack.up().await;
            let options = Options { receive: 200_000, send: 9000, ..Options::default() };
            let listener = stack.listen(80, 8, options).unwrap();
            let mut peer = Peer::new(far, there, 1, 80);
            let mut usual = None;
            for port in 1..500 {
                (peer.from.1, peer.seq) = (port, i32::from(port).wrapping_mul(77_777_777));
                peer.send(TcpControl::Syn, &[]);
                let heard = peer.heard().await;
                let [answer] = &heard[..] else { panic!("{heard:?}") };
                assert_eq!(answer.ack, Some(peer.seq.wrapping_add(1)));
                // What a listener with room says, one without room says too.
                let says = (answer.control, answer.window, answer.max_seg_size, answer.window_scale);
                assert_eq!(says, *usual.get_or_insert(says), "at {port}");
            }
            assert_eq!(stack.sockets().0, 8);
            assert_eq!(stack.counts().cookies_sent, 499 - 8);
            // Who guesses gets nothing but a reset.
            for guess in 0..100 {
                (peer.from.1, peer.ack) = (1000 + guess, i32::from(guess) << 24 | 1);
                peer.send(TcpControl::None, b"guess");
                let heard = peer.heard().await;
                assert!(matches!(&heard[..], [Segment { control: TcpControl::Rst, .. }]), "{heard:?}");
            }
            peer.from.1 = 7000;
            peer.open().await;
            peer.send(TcpControl::None, b"honest");
            peer.seq += 6;
            peer.heard().await;
            let mut stream = rt.timeout(Duration::from_millis(1), listener.accept()).await.unwrap();
            let mut buffer = [0; 6];
            stream.read_exact(&mut buffer).await.unwrap();
            assert_eq!(&buffer, b"honest");
            stream.write_all(&[3; 9000]).await.unwrap();
            let mut got = 0;
            while got < 9000 {
                for segment in peer.heard().await {
                    // The peer said so in its SYN.
                    assert!(segment.payload.len() <= 1440, "{}", segment.payload.len());
                    got += segment.payload.len();
                    peer.ack = peer.ack.wrapping_add(segment.payload.len() as i32);
                }
                peer.send(TcpControl::None, &[]);
            }
            assert_eq!((stack.counts().cookies_taken, stack.sockets().0), (1, 9));
            // Another time the same number opens nothing.
            stream.abort();
            peer.heard().await;
            rt.sleep(Duration::from_secs(200)).await;
            peer.heard().await;
            peer.from.1 = 7000;
            peer.send(TcpControl::None, &[]);
            let heard = peer.heard().await;
            assert!(matches!(&heard[..], [Segment { control: TcpControl::Rst, .. }]), "{heard:?}");
        });
    }
}

/// TIME-WAIT: what the peer says again is acknowledged for a minute, in little memory.
#[test]
fn late_segments_of_an_ended_connection_are_acknowledged() {
    run(async |rt| {
        let (mut peer, stream) = opened(&rt, Options::default()).await;
        let stack = stream.stack().clone();
        drop(stream);
        let fin = peer.heard().await.pop().unwrap();
        assert_eq!(fin.control, TcpControl::Fin);
        peer.ack = peer.ack.wrapping_add(1);
        peer.send(TcpControl::Fin, b"and on");
        rt.sleep(Duration::from_millis(20)).await;
        assert_eq!(peer.heard().await.last().unwrap().ack, Some(peer.seq + 7));
        assert_eq!((stack.sockets(), stack.ended()), ((0, 0), 1));
        for seconds in [1, 16, 40] {
            rt.sleep(Duration::from_secs(seconds)).await;
            peer.send(TcpControl::Fin, b"and on");
            let heard = peer.heard().await;
            let [ack] = &heard[..] else { panic!("{heard:?}") };
            let says = (ack.control, ack.seq, ack.ack);
            assert_eq!(says, (TcpControl::None, peer.ack, Some(peer.seq + 7)));
        }
        // What wants no answer gets none, and a reset ends nothing.
        peer.send(TcpControl::Rst, &[]);
        peer.seq += 7;
        peer.send(TcpControl::None, &[]);
        assert_eq!((peer.heard().await, stack.ended()), (vec![], 1));
        // The same ends can have another connection, with numbers that were not there yet.
        let listener = stack.listen(80, 1, Options::default()).unwrap();
        peer.seq -= 100;
        peer.send(TcpControl::Syn, &[]);
        assert_eq!(peer.heard().await[0].control, TcpControl::None);
        peer.seq += 200;
        peer.open().await;
        drop(listener.accept().await);
    });
}

#[test]
fn ended_connections_take_bounded_memory_and_time() {
    run(async |rt| {
        let (near, far, _) = wire::pair(wire::Options::default());
        let stack = start(&rt, near, A);
        stack.up().await;
        let listener = stack.listen(80, 4, Options::default()).unwrap();
        let mut peer = at_b(far, 1);
        for port in 1..6000 {
            peer.from.1 = port;
            peer.open().await;
            drop(listener.accept().await);
            peer.heard().await;
            peer.ack = peer.ack.wrapping_add(1);
            peer.send(TcpControl::Fin, &[]);
            peer.heard().await;
            assert!(stack.sockets().0 <= 1 && stack.ended() < 4097);
        }
        assert!(stack.ended() > 4000);
        rt.sleep(Duration::from_secs(61)).await;
        peer.send(TcpControl::Fin, &[]);
        peer.heard().await;
        assert_eq!(stack.ended(), 0);
    });
}
