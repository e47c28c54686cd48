//! Serves with a stack.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use core::cell::Cell;
use core::fmt::Write as _;
use embedded_io_async::{Read, Write};
use fata_netstack::tcp::Options;
use fata_netstack::{Error, Stack, TcpStream, UdpSocket, udp};
use fata_rt::Rt;

/// The ports (see the crate's description).
const TCP: u16 = 5000;
const ECHO: u16 = 5001;
const SINK: u16 = 5002;
const SOURCE: u16 = 5003;
const COUNT: u16 = 5004;
/// Bytes that may wait in a stream, in each direction.
pub const ROOM: usize = 256 << 10;
/// Connections that may wait to be served.
const BACKLOG: u32 = 64;
/// Bytes in a write, and in a datagram, at most.
const LARGEST: usize = 65_536;

/// What the sink has seen since it was asked last.
#[derive(Clone, Copy, Default)]
struct Counted {
    datagrams: u64,
    first_ns: u64,
    last_ns: u64,
}

/// Serves from now on.
pub fn start(rt: &Rt, stack: &Stack, room: usize) -> Result<(), Error> {
    let streams = Options { receive: room, send: room, ..Options::default() };
    let listener = stack.listen(TCP, BACKLOG, streams)?;
    // A burst of the smallest ones is to fit, as it does under Linux.
    let datagrams = udp::Options { datagrams: 512, bytes: 512 << 10 };
    let socket = |port| stack.udp(port, datagrams);
    let (echoes, sinks, sources, counts) = (socket(ECHO)?, socket(SINK)?, socket(SOURCE)?, socket(COUNT)?);
    let counted = Rc::new(Cell::new(Counted::default()));
    drop(rt.spawn(echo(echoes)));
    drop(rt.spawn(sink(rt.clone(), sinks, counted.clone())));
    drop(rt.spawn(source(sources)));
    drop(rt.spawn(count(counts, counted)));
    let rt2 = rt.clone();
    drop(rt.spawn(async move {
        loop {
            let stream = listener.accept().await;
            drop(rt2.spawn(async move {
                // A peer that breaks off has its reasons.
                let _ = attend(stream).await;
            }));
        }
    }));
    Ok(())
}

async fn echo(socket: UdpSocket) {
    let mut bytes = vec![0; LARGEST];
    loop {
        let (len, from) = socket.receive(&mut bytes).await;
        // A datagram from nowhere has no answer.
        let _ = socket.send(&bytes[..len.min(LARGEST)], from.endpoint).await;
    }
}

async fn sink(rt: Rt, socket: UdpSocket, counted: Rc<Cell<Counted>>) {
    loop {
        socket.receive_with(|_, _| ()).await;
        let mut now = counted.get();
        now.last_ns = rt.now_ns();
        if now.datagrams == 0 {
            now.first_ns = now.last_ns;
        }
        now.datagrams += 1;
        counted.set(now);
    }
}

async fn source(socket: UdpSocket) {
    loop {
        let asked = socket.receive_with(|bytes, from| (burst(bytes), from.endpoint)).await;
        let (Some((number, size)), to) = asked else { continue };
        for _ in 0..number {
            if socket.send_with(size, to, |room| room.fill(0)).await.is_err() {
                break;
            }
        }
    }
}

/// `N SIZE`.
fn burst(bytes: &[u8]) -> Option<(u64, usize)> {
    let (number, size) = core::str::from_utf8(bytes).ok()?.trim_ascii().split_once(' ')?;
    Some((number.parse().ok()?, size.parse().ok()?))
}

async fn count(socket: UdpSocket, counted: Rc<Cell<Counted>>) {
    loop {
        let to = socket.receive_with(|_, from| from.endpoint).await;
        let Counted { datagrams, first_ns, last_ns } = counted.take();
        let mut answer = String::new();
        // A string takes anything.
        let _ = write!(answer, "{datagrams} {}", last_ns - first_ns);
        let _ = socket.send(answer.as_bytes(), to).await;
    }
}

/// What a connection asks for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Receive(u64),
    Send(u64, usize),
    Echo,
}

impl Command {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = core::str::from_utf8(line).ok()?.split_ascii_whitespace();
        let command = match words.next()? {
            "R" => Self::Receive(words.next()?.parse().ok()?),
            "S" => Self::Send(words.next()?.parse().ok()?, words.next()?.parse().ok()?),
            "E" => Self::Echo,
            _ => return None,
        };
        let fits = !matches!(command, Self::Send(_, block) if !(1..=LARGEST).contains(&block));
        (words.next().is_none() && fits).then_some(command)
    }
}

async fn attend(mut stream: TcpStream) -> Result<(), Error> {
    let (mut line, mut len) = ([0; 64], 0);
    while len == 0 || line[len - 1] != b'\n' {
        let Some(place) = line.get_mut(len..=len) else { return Ok(()) };
        if stream.read(place).await? == 0 {
            return Ok(());
        }
        len += 1;
    }
    match Command::parse(&line[..len]) {
        Some(Command::Receive(bytes)) => {
            let mut left = bytes;
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(usize::MAX);
                let len = stream.read_with(|bytes| (bytes.len().min(most), bytes.len().min(most))).await?;
                if len == 0 {
                    return Ok(());
                }
                left -= len as u64;
            }
            stream.write_all(b"k").await?;
        }
        Some(Command::Send(bytes, block)) => {
            let (block, mut left) = (vec![0; block], bytes);
            while left > 0 {
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
                stream.write_all(&block[..len]).await?;
                left -= len as u64;
            }
            stream.read(&mut [0]).await?;
        }
        Some(Command::Echo) => {
            let mut bytes = vec![0; LARGEST];
            loop {
                let len = stream.read(&mut bytes).await?;
                if len == 0 {
                    break;
                }
                stream.write_all(&bytes[..len]).await?;
            }
        }
        None => return Ok(()),
    }
    // What was written is sent before the end of it.
    stream.shutdown();
    stream.settled().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_understood_or_refused() {
        assert_eq!(Command::parse(b"R 10\n"), Some(Command::Receive(10)));
        assert_eq!(Command::parse(b"S 1000 65536\n"), Some(Command::Send(1000, 65_536)));
        assert_eq!(Command::parse(b"E\n"), Some(Command::Echo));
        for line in
            [&b"\n"[..], b"X\n", b"R\n", b"R -1\n", b"S 1\n", b"S 1 0\n", b"S 1 65537\n", b"E 1\n", b"\xff\n"]
        {
            assert_eq!(Command::parse(line), None, "{line:?}");
        }
        assert_eq!((burst(b"10 64"), burst(b"10"), burst(b"\xff 1")), (Some((10, 64)), None, None));
    }
}
