//! Waiting for peers.

use crate::error::Error;
#[cfg(feature = "tls")]
use crate::handshakes::Handshakes;
use crate::memory::MemoryListener;
use crate::outside::{Accept, Nothing, Outside};
use crate::stream::Stream;
#[cfg(feature = "tls")]
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};
#[cfg(feature = "tls")]
use core::time::Duration;
use fata_netstack::TcpListener;
#[cfg(feature = "tls")]
use fata_netstack::TcpStream;
use fata_rt::Rt;

/// Where peers come to us. Only one task can wait for them.
pub struct Listener<O: Outside = Nothing>(pub(crate) Place<O>);

pub(crate) enum Place<O: Outside> {
    Tcp(TcpListener),
    #[cfg(feature = "tls")]
    Tls(TcpListener, fata_tls::Server),
    Memory(MemoryListener),
    Outside(O::Listener),
}

/// Somebody who has come. With TLS there is something to be done still, for which the peer may take its time.
enum Arrival<O: Outside> {
    Open(Stream<O>),
    #[cfg(feature = "tls")]
    Tls(TcpStream, fata_tls::Server),
}

impl<O: Outside> Arrival<O> {
    async fn open(self) -> Result<Stream<O>, Error<O::Error>> {
        match self {
            Self::Open(stream) => Ok(stream),
            #[cfg(feature = "tls")]
            Self::Tls(stream, server) => {
                match stream.stack().rt().clone().timeout(PATIENCE, server.accept(stream)).await {
                    Ok(opened) => Ok(Stream::Tls(Box::new(opened?))),
                    Err(_) => Err(Error::Late),
                }
            }
        }
    }
}

/// How long TLS may take.
#[cfg(feature = "tls")]
const PATIENCE: Duration = Duration::from_secs(10);

impl<O: Outside> Listener<O> {
    /// Waits for the next one. With TLS the next but one waits as long as its handshake takes, ten seconds at most, and an
    /// error is that of one peer: see [`serve`](Self::serve). Another error is that there will be none any more.
    pub async fn accept(&self) -> Result<Stream<O>, Error<O::Error>> {
        self.arrival().await?.open().await
    }

    async fn arrival(&self) -> Result<Arrival<O>, Error<O::Error>> {
        Ok(match &self.0 {
            Place::Tcp(listener) => Arrival::Open(Stream::Tcp(listener.accept().await)),
            #[cfg(feature = "tls")]
            Place::Tls(listener, server) => Arrival::Tls(listener.accept().await, server.clone()),
            Place::Memory(listener) => Arrival::Open(Stream::Memory(listener.accept().await)),
            Place::Outside(listener) => {
                Arrival::Open(Stream::Outside(listener.accept().await.map_err(Error::Outside)?))
            }
        })
    }

    /// Serves whoever comes, each in a task of its own and at most so many at a time: the next ones wait. An error is that of one
    /// with whom TLS did not come about. Ends when no more can come, with the reason.
    ///
    /// With TLS those count whose handshake is done. While it lasts they are counted apart, 64 at most, and who has taken
    /// longest of those makes room for who comes.
    pub async fn serve<F: Future<Output = ()> + 'static>(
        &self,
        rt: &Rt,
        most: usize,
        serve: impl Fn(Result<Stream<O>, Error<O::Error>>) -> F + 'static,
    ) -> Error<O::Error> {
        let places = Rc::new(Places { free: Cell::new(most.max(1)), waiting: RefCell::default() });
        #[cfg(feature = "tls")]
        let handshakes = Rc::new(Handshakes::default());
        let serve = Rc::new(serve);
        loop {
            let place = if self.is_tls() { None } else { Some(Places::take(&places).await) };
            let arrival = match self.arrival().await {
                Ok(arrival) => arrival,
                Err(error) => return error,
            };
            #[cfg(feature = "tls")]
            let begun = match &arrival {
                Arrival::Tls(..) => Some(Handshakes::begin(&handshakes, rt).await),
                Arrival::Open(_) => None,
            };
            let (serve, places) = (serve.clone(), places.clone());
            drop(rt.spawn(async move {
                #[cfg(feature = "tls")]
                let opened = match &begun {
                    Some(begun) => begun.unless_crowded(arrival.open()).await.unwrap_or(Err(Error::Late)),
                    None => arrival.open().await,
                };
                #[cfg(not(feature = "tls"))]
                let opened = arrival.open().await;
                let place = match place {
                    None if opened.is_ok() => Some(Places::take(&places).await),
                    place => place,
                };
                #[cfg(feature = "tls")]
                drop(begun);
                serve(opened).await;
                drop(place);
            }));
        }
    }

    /// Whether there is something to be done with those who come before they can be served.
    fn is_tls(&self) -> bool {
        match &self.0 {
            #[cfg(feature = "tls")]
            Place::Tls(..) => true,
            _ => false,
        }
    }
}

/// For how many more there is room.
struct Places {
    free: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

/// One of them, until it is dropped.
struct Taken(Rc<Places>);

impl Places {
    async fn take(this: &Rc<Self>) -> Taken {
        poll_fn(|cx| match this.free.get() {
            0 => {
                this.waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
            free => {
                this.free.set(free - 1);
                Poll::Ready(Taken(this.clone()))
            }
        })
        .await
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.free.set(self.0.free.get() + 1);
        for waker in self.0.waiting.take() {
            waker.wake();
        }
    }
}
