//! Waiting for peers.

use crate::error::Error;
use crate::memory::MemoryListener;
use crate::outside::{Accept, Nothing, Outside};
use crate::stream::Stream;
use alloc::rc::Rc;
use core::cell::Cell;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use fata_netstack::TcpListener;
use fata_rt::Rt;

/// Where peers come to us. Only one task can wait for them.
pub struct Listener<O: Outside = Nothing>(pub(crate) Place<O>);

pub(crate) enum Place<O: Outside> {
    Tcp(TcpListener),
    Memory(MemoryListener),
    Outside(O::Listener),
}

impl<O: Outside> Listener<O> {
    /// Waits for the next one. After an error there will be none.
    pub async fn accept(&self) -> Result<Stream<O>, Error<O::Error>> {
        match &self.0 {
            Place::Tcp(listener) => Ok(Stream::Tcp(listener.accept().await)),
            Place::Memory(listener) => Ok(Stream::Memory(listener.accept().await)),
            Place::Outside(listener) => listener.accept().await.map(Stream::Outside).map_err(Error::Outside),
        }
    }

    /// Serves whoever comes, each in a task of its own and at most so many at a time: the next ones wait. Ends when no
    /// more can come, with the reason.
    pub async fn serve<F: Future<Output = ()> + 'static>(
        &self,
        rt: &Rt,
        most: usize,
        serve: impl Fn(Stream<O>) -> F,
    ) -> Error<O::Error> {
        let places = Rc::new(Places { free: Cell::new(most.max(1)), waiting: Cell::new(None) });
        loop {
            let place = Places::take(&places).await;
            match self.accept().await {
                Ok(stream) => {
                    let served = serve(stream);
                    drop(rt.spawn(async move {
                        served.await;
                        drop(place);
                    }));
                }
                Err(error) => return error,
            }
        }
    }
}

/// For how many more there is room.
struct Places {
    free: Cell<usize>,
    waiting: Cell<Option<Waker>>,
}

/// One of them, until it is dropped.
struct Taken(Rc<Places>);

impl Places {
    async fn take(this: &Rc<Self>) -> Taken {
        poll_fn(|cx| match this.free.get() {
            0 => {
                this.waiting.set(Some(cx.waker().clone()));
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
        if let Some(waker) = self.0.waiting.take() {
            waker.wake();
        }
    }
}
