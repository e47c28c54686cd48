//! The end of a connection, and a loop that serves those of a port.

use crate::error::Error;
use crate::exchange::Exchange;
use crate::limits::Limits;
use crate::patience::Patience;
use crate::request::Request;
use crate::server::{Ended, Manner, Server, serve};
use alloc::rc::Rc;
use core::cell::Cell;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use embedded_io_async::Read;
use fata_netstack::{TcpListener, TcpStream};
use fata_rt::Rt;
use fata_stream::Part;

/// What is read in vain.
const MOST: usize = 1 << 20;

/// Reads and throws away what still comes, until its end, but not for long: for the end of a connection that the client does
/// not expect. Before it, the caller says that nothing more will be written ([`Part::finish`]). True if the client has
/// ended it; if not, it has had the time to read what was said, and a reset is due to what it sends yet.
pub async fn linger<T: Read>(rt: &Rt, stream: &mut T, limits: &Limits) -> bool {
    let mut patience = Patience::new(rt);
    let until_ns = patience.after(limits.linger);
    let (mut room, mut all) = ([0; 256], 0);
    loop {
        match patience.until(until_ns, stream.read(&mut room)).await {
            Ok(Ok(count @ 1..)) if all < MOST => all += count,
            Ok(Ok(1..)) | Err(_) => return false,
            Ok(Ok(0) | Err(_)) => return true,
        }
    }
}

/// Serves connections to a port for ever, at most so many at a time; those that are too many wait to be accepted. Each is closed
/// as is due to it.
pub async fn serve_port<F>(server: &Server, listener: &TcpListener, most: u32, handler: F)
where
    F: AsyncFn(&Request<'_>, &mut Exchange<'_, &TcpStream>) -> Result<(), Error> + 'static,
{
    let handler = Rc::new(handler);
    let open = Rc::new(Open::default());
    loop {
        open.below(most).await;
        let stream = listener.accept().await;
        open.count.set(open.count.get() + 1);
        let (server, handler, open) = (server.clone(), handler.clone(), open.clone());
        drop(server.rt().clone().spawn(async move {
            let ended = serve(&server, &stream, &*handler).await;
            close(&server, stream, ended).await;
            open.count.set(open.count.get() - 1);
            open.wake();
        }));
    }
}

/// Closes a connection as is due to it, within the limits.
pub async fn close<T: Part + Read>(server: &Server, mut stream: T, ended: Ended) {
    match ended.manner {
        Manner::Drop => {}
        Manner::Linger => {
            let (rt, limits) = (server.rt(), server.limits());
            // With TLS there is something to be sent, for which a client that reads nothing has no room.
            let finished = rt.timeout(limits.linger, stream.finish()).await;
            if !matches!(finished, Ok(Ok(()))) || !linger(rt, &mut stream, limits).await {
                stream.abort();
            }
        }
        Manner::Abort => stream.abort(),
    }
}

/// How many connections there are, and who waits for fewer.
#[derive(Default)]
struct Open {
    count: Cell<u32>,
    waits: Cell<Option<Waker>>,
}

impl Open {
    async fn below(&self, most: u32) {
        poll_fn(|cx| match self.count.get() < most {
            true => Poll::Ready(()),
            false => {
                self.waits.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await;
    }

    fn wake(&self) {
        if let Some(waker) = self.waits.take() {
            waker.wake();
        }
    }
}
