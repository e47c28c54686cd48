//! Is what is measured: a process for each service, which waits for one packet at a time.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use fata_peer::net::{self, Command, LARGEST};

use crate::fail;
use crate::socket::Socket;
use crate::sys::{self, Failed};

/// What is not fetched at once is kept, so that what gets lost is not this machine's fault.
const ROOM: u32 = 16 << 20;
/// A line that asks for something.
const LINE: usize = 64;

/// What the sink has counted since it was asked last.
struct Counts {
    datagrams: &'static AtomicU64,
    first_ns: &'static AtomicU64,
    last_ns: &'static AtomicU64,
}

/// Until the machine ends.
pub(crate) fn run() -> Result<(), Failed> {
    let [datagrams, first_ns, last_ns, ..] = sys::shared()?;
    let counts = Counts { datagrams, first_ns, last_ns };
    for any in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
        let udp = |port| -> Result<Socket, Failed> {
            let socket = Socket::udp(any)?;
            socket.room(ROOM)?;
            socket.serve(any, port)?;
            Ok(socket)
        };
        let (echo, sink) = (udp(net::UDP_ECHO)?, udp(net::UDP_SINK)?);
        let (source, count) = (udp(net::UDP_SOURCE)?, udp(net::UDP_COUNT)?);
        let tcp = Socket::tcp(any)?;
        tcp.serve(any, net::TCP)?;
        tcp.listen()?;
        serve(|| self::echo(&echo))?;
        serve(|| self::sink(&sink, &counts))?;
        serve(|| self::source(&source))?;
        serve(|| answer(&count, &counts))?;
        serve(|| streams(&tcp))?;
    }
    Ok(())
}

/// Does this in a process of its own.
fn serve(service: impl FnOnce() -> Result<(), Failed>) -> Result<(), Failed> {
    if !sys::fork()? {
        return Ok(());
    }
    match service() {
        Ok(()) => sys::exit(0),
        Err(failed) => fail(format_args!("{failed}")),
    }
}

fn echo(socket: &Socket) -> Result<(), Failed> {
    let mut bytes = [0; LARGEST];
    loop {
        let (length, from) = socket.receive_from(&mut bytes)?;
        // Whoever is gone meanwhile does not matter.
        let _ = socket.send_to(&bytes[..length], &from);
    }
}

fn sink(socket: &Socket, counts: &Counts) -> Result<(), Failed> {
    let mut bytes = [0; LARGEST];
    loop {
        socket.receive(&mut bytes)?;
        let now_ns = sys::now_ns()?;
        if counts.datagrams.fetch_add(1, Relaxed) == 0 {
            counts.first_ns.store(now_ns, Relaxed);
        }
        counts.last_ns.store(now_ns, Relaxed);
    }
}

fn answer(socket: &Socket, counts: &Counts) -> Result<(), Failed> {
    loop {
        let (_, from) = socket.receive_from(&mut [0; LINE])?;
        let datagrams = counts.datagrams.swap(0, Relaxed);
        let ns = counts.last_ns.load(Relaxed).saturating_sub(counts.first_ns.load(Relaxed));
        let mut line = Line::new();
        line.print(format_args!("{datagrams} {}", if datagrams == 0 { 0 } else { ns }));
        let _ = socket.send_to(line.text(), &from);
    }
}

fn source(socket: &Socket) -> Result<(), Failed> {
    let bytes = [0; LARGEST];
    loop {
        let mut line = [0; LINE];
        let (length, to) = socket.receive_from(&mut line)?;
        let mut numbers = core::str::from_utf8(&line[..length]).unwrap_or("").split_ascii_whitespace();
        let mut number = || numbers.next()?.parse::<usize>().ok();
        let (Some(count), Some(size @ ..LARGEST)) = (number(), number()) else { continue };
        for _ in 0..count {
            socket.send_to(&bytes[..size], &to)?;
        }
    }
}

fn streams(listener: &Socket) -> Result<(), Failed> {
    loop {
        let stream = listener.accept()?;
        sys::bury();
        // A peer that leaves ends but its own connection.
        serve(|| connection(&stream).or(Ok(())))?;
    }
}

fn connection(stream: &Socket) -> Result<(), Failed> {
    let mut bytes = [0; LARGEST];
    let mut line = [0; LINE];
    let (mut length, mut end) = (0, None);
    while end.is_none() {
        let Some(more @ 1..) = stream.receive(&mut line[length..])? else { return Ok(()) };
        length += more;
        end = line[..length].iter().position(|&byte| byte == b'\n');
    }
    let end = end.unwrap_or(0);
    let early = &line[end + 1..length];
    match core::str::from_utf8(&line[..end]).ok().and_then(Command::parse) {
        Some(Command::Receive(count)) => {
            let mut left = count.saturating_sub(early.len() as u64);
            while left > 0 {
                let Some(more @ 1..) = stream.receive(&mut bytes)? else { return Ok(()) };
                left = left.saturating_sub(more as u64);
            }
            stream.send_all(b"k")
        }
        Some(Command::Send(count, block)) => {
            let mut left = count;
            while left > 0 {
                let now = left.min(block as u64);
                stream.send_all(&bytes[..now as usize])?;
                left -= now;
            }
            stream.receive(&mut bytes).map(drop)
        }
        Some(Command::Echo) => {
            stream.no_delay()?;
            stream.send_all(early)?;
            while let Some(more @ 1..) = stream.receive(&mut bytes)? {
                stream.send_all(&bytes[..more])?;
            }
            Ok(())
        }
        None => Ok(()),
    }
}

/// Text of a few words, without memory of its own elsewhere.
pub(crate) struct Line {
    bytes: [u8; LINE],
    len: usize,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; LINE], len: 0 }
    }

    pub(crate) fn print(&mut self, what: core::fmt::Arguments<'_>) {
        if core::fmt::write(self, what).is_err() {
            fail(format_args!("a line is too long"));
        }
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl core::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let place = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(core::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}
