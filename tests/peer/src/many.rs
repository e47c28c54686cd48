//! Many connections to somebody who sends back what he gets (RFC 862), at a time and one after the other.

use core::fmt::Write as _;
use core::net::IpAddr;

use fata_peer::net;

use crate::fail;
use crate::socket::{Address, Socket};
use crate::sys::{self, Failed, Out};

const ECHO: u16 = 7;
/// An answer that takes so long was lost.
const LOST_MS: u64 = 20_000;
/// The most that are held at a time.
const MOST: usize = 4096;
/// Connections of a conversation, and requests on each.
const AT_A_TIME: u64 = 50;
const EACH: u64 = 20;
/// Rounds in which each connection that is held is spoken to.
const ROUNDS: u64 = 3;

/// Opens `held` connections, speaks to each of them in turn, tries `more`, of which none may be served, speaks to all again,
/// and lets go.
pub(crate) fn hold(target: IpAddr, held: u64, more: u64) -> Result<(), Failed> {
    let mut sockets: [Option<Socket>; MOST] = [const { None }; MOST];
    let Some(sockets) = sockets.get_mut(..held as usize) else { fail(format_args!("at most {MOST}")) };
    for (place, n) in sockets.iter_mut().zip(0..) {
        let socket = open(target, ECHO)?;
        speak(&socket, n, 0)?;
        *place = Some(socket);
    }
    let refused = (0..more).filter(|n| is_refused(target, *n)).count();
    for round in 1..ROUNDS {
        for (socket, n) in sockets.iter().flatten().zip(0..) {
            speak(socket, n, round)?;
        }
    }
    let _ = writeln!(Out, "SUCCESS: held {held}, {refused} of {more} were refused");
    Ok(())
}

/// Makes so many requests, each of some connections at a time so many, one on each before any answer is taken; then come
/// other connections.
pub(crate) fn converse(target: IpAddr, count: u64) -> Result<(), Failed> {
    let mut done = 0;
    while done < count {
        let mut sockets: [Option<Socket>; AT_A_TIME as usize] = [const { None }; AT_A_TIME as usize];
        for place in &mut sockets {
            *place = Some(open(target, ECHO)?);
        }
        for round in 0..EACH {
            for (socket, n) in sockets.iter().flatten().zip(done..) {
                ask(socket, n, round)?;
            }
            for (socket, n) in sockets.iter().flatten().zip(done..) {
                answered(socket, n, round)?;
            }
        }
        for socket in sockets.iter().flatten() {
            socket.finish()?;
        }
        for socket in sockets.iter().flatten() {
            if !matches!(socket.receive(&mut [0; 1]), Ok(Some(0))) {
                fail(format_args!("after {done} requests, a connection does not end"));
            }
        }
        done += AT_A_TIME * EACH;
    }
    let _ = writeln!(Out, "SUCCESS: {done} requests");
    Ok(())
}

/// Opens so many connections to a machine under test (tests/peer/src/net.rs), which says nothing to any, and keeps them.
pub(crate) fn idle(target: IpAddr, count: u64) -> Result<(), Failed> {
    let mut sockets: [Option<Socket>; MOST] = [const { None }; MOST];
    let Some(sockets) = sockets.get_mut(..count as usize) else { fail(format_args!("at most {MOST}")) };
    for place in sockets {
        *place = Some(open(target, net::TCP)?);
    }
    let _ = writeln!(Out, "SUCCESS: holding {count}");
    loop {
        sys::sleep_ms(1_000_000)?;
    }
}

/// Opens a connection for each of `count` requests.
pub(crate) fn request(target: IpAddr, count: u64) -> Result<(), Failed> {
    for n in 0..count {
        let socket = open(target, ECHO)?;
        speak(&socket, n, 0)?;
        socket.finish()?;
        if !matches!(socket.receive(&mut [0; 1]), Ok(Some(0))) {
            fail(format_args!("connection {n} does not end"));
        }
    }
    let _ = writeln!(Out, "SUCCESS: {count} requests in {} ms", sys::now_ns()? / 1_000_000);
    Ok(())
}

fn open(target: IpAddr, port: u16) -> Result<Socket, Failed> {
    let socket = Socket::tcp(target)?;
    socket.patience(LOST_MS)?;
    socket.no_delay()?;
    socket.connect(&Address::new(target, port))?;
    Ok(socket)
}

/// Whether there is an end of it instead of an answer.
fn is_refused(target: IpAddr, n: u64) -> bool {
    let Ok(socket) = open(target, ECHO) else { return true };
    let mut back = [0; 16];
    socket.send_all(&n.to_be_bytes()).is_err() || !matches!(socket.receive(&mut back), Ok(Some(1..)))
}

fn speak(socket: &Socket, n: u64, round: u64) -> Result<(), Failed> {
    ask(socket, n, round)?;
    answered(socket, n, round)
}

fn words(n: u64, round: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    bytes[8..].copy_from_slice(&round.to_be_bytes());
    bytes
}

fn ask(socket: &Socket, n: u64, round: u64) -> Result<(), Failed> {
    socket.send_all(&words(n, round))
}

fn answered(socket: &Socket, n: u64, round: u64) -> Result<(), Failed> {
    let (mut back, mut had) = ([0; 16], 0);
    while had < back.len() {
        match socket.receive(&mut back[had..])? {
            Some(more @ 1..) => had += more,
            _ => fail(format_args!("connection {n}: no answer in round {round}")),
        }
    }
    if back != words(n, round) {
        fail(format_args!("connection {n}: another answer in round {round}"));
    }
    Ok(())
}
