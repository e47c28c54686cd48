//! Echoes, and counts.

use crate::options::Wish;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use core::cell::Cell;
use core::fmt;
use embedded_io_async::{Read, Write};
use fata_netstack::{IpListenEndpoint, Stack, TcpStream, tcp, udp};
use fata_rt::Rt;

/// Connections that may wait to be served.
const BACKLOG: u32 = 64;

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections that are open,
    pub open: u32,
    /// were at a time, at most,
    pub most: u32,
    /// and were served in all.
    pub served: u64,
    /// Connections that were closed at once, since there were as many as there may be.
    pub refused: u64,
    /// Bytes sent back over TCP.
    pub bytes: u64,
    /// Datagrams sent back.
    pub datagrams: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { open, most, served, refused, bytes, datagrams } = self;
        write!(f, "{open} open, at most {most}, {served} served, {refused} refused, {bytes} bytes, ")?;
        write!(f, "{datagrams} datagrams")
    }
}

/// Changes the totals.
fn count(totals: &Cell<Totals>, change: impl FnOnce(&mut Totals)) {
    let mut all = totals.get();
    change(&mut all);
    totals.set(all);
}

/// Serves from now on. An error says what there is no room for.
pub fn serve(rt: &Rt, stack: &Stack, wish: Wish) -> Result<Rc<Cell<Totals>>, String> {
    let totals = Rc::new(Cell::new(Totals::default()));
    let options =
        tcp::Options { receive: wish.buffer, send: wish.buffer, nagle: false, ..tcp::Options::default() };
    let place = IpListenEndpoint { addr: None, port: wish.port };
    let failed = |error| format!("port {}: {error}", wish.port);
    let listener = stack.listen(place, BACKLOG, options).map_err(failed)?;
    let socket = stack.udp(place, udp::Options::default()).map_err(failed)?;
    let counted = totals.clone();
    drop(rt.spawn(async move {
        loop {
            let (bytes, from) = socket.receive_with(|bytes, from| (bytes.to_vec(), from.endpoint)).await;
            if socket.send(&bytes, from).await.is_ok() {
                count(&counted, |totals| totals.datagrams += 1);
            }
        }
    }));
    let (counted, rt2) = (totals.clone(), rt.clone());
    drop(rt.spawn(async move {
        loop {
            let stream = listener.accept().await;
            if counted.get().open >= wish.most {
                count(&counted, |totals| totals.refused += 1);
                stream.abort();
                continue;
            }
            count(&counted, |totals| {
                totals.open += 1;
                totals.most = totals.most.max(totals.open);
            });
            let (counted, rt3) = (counted.clone(), rt2.clone());
            drop(rt2.spawn(async move {
                echo(&rt3, stream, wish, &counted).await;
                count(&counted, |totals| (totals.open, totals.served) = (totals.open - 1, totals.served + 1));
            }));
        }
    }));
    Ok(totals)
}

/// The most that is taken up at a time.
const CHUNK: usize = 4096;

/// Until the peer says that it is done, or for too long nothing; then what was not sent is not sent any more.
async fn echo(rt: &Rt, mut stream: TcpStream, wish: Wish, totals: &Cell<Totals>) {
    let mut buffer = vec![0; wish.buffer.min(CHUNK)];
    loop {
        let len = match rt.timeout(wish.idle, stream.read(&mut buffer)).await {
            Ok(Ok(len)) if len > 0 => len,
            Ok(_) => return,
            Err(_) => return stream.abort(),
        };
        match rt.timeout(wish.idle, stream.write_all(&buffer[..len])).await {
            Ok(Ok(())) => count(totals, |totals| totals.bytes += len as u64),
            Ok(Err(_)) => return,
            Err(_) => return stream.abort(),
        }
    }
}
