//! A read or a write as its user waits for it.

use crate::disk::Disk;
use crate::request::{Request, Task};
use alloc::rc::Rc;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use fata_disk::{Buffer, Error, Failed};
use xen_hyp::Platform;

/// Stands in line from its first poll on, and is ready when the request is over. Dropped before that, it leaves the
/// request to end by itself.
///
/// Written by hand: as three `async fn` in each other, which move their arguments from one to the next, it takes 120
/// instructions more of some 1,400 for a small request.
pub(crate) struct Transfer<'a, P: Platform> {
    disk: &'a Disk<P>,
    task: Task,
    impatient: bool,
    state: State<P>,
}

enum State<P: Platform> {
    New { sector: u64, buffer: Buffer },
    UnderWay(Rc<Request<P>>),
    Over,
}

impl<'a, P: Platform> Transfer<'a, P> {
    pub(crate) fn new(disk: &'a Disk<P>, task: Task, sector: u64, buffer: Buffer, impatient: bool) -> Self {
        Self { disk, task, impatient, state: State::New { sector, buffer } }
    }

    /// Puts the request in line; an error if that makes no sense.
    fn begin(&self, sector: u64, buffer: Buffer) -> Result<State<P>, Failed> {
        let Self { disk, task, impatient, .. } = *self;
        let sectors = sector..sector.saturating_add(buffer.sectors());
        let fits = if sectors.end - sector == buffer.sectors() { Ok(()) } else { Err(Error::OutOfRange) };
        match fits.and_then(|()| disk.check(task, &sectors, impatient)) {
            Ok(()) => Ok(State::UnderWay(disk.0.ask(task, sectors, Some(buffer), impatient))),
            Err(error) => Err(Failed { error, buffer }),
        }
    }
}

impl<P: Platform> Future for Transfer<'_, P> {
    type Output = Result<Buffer, Failed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::New { sector, buffer } = &mut self.state {
            let (sector, buffer) = (*sector, mem::replace(buffer, Buffer::lost()));
            if buffer.is_empty() {
                self.state = State::Over;
                return Poll::Ready(Ok(buffer));
            }
            match self.begin(sector, buffer) {
                Ok(state) => self.state = state,
                Err(failed) => {
                    self.state = State::Over;
                    return Poll::Ready(Err(failed));
                }
            }
        }
        let State::UnderWay(request) = &self.state else { return Poll::Pending };
        let (buffer, result) = ready!(request.poll_end(cx));
        if let State::UnderWay(request) = mem::replace(&mut self.state, State::Over) {
            self.disk.0.reuse(request);
        }
        let buffer = buffer.unwrap_or(Buffer::lost());
        Poll::Ready(match result {
            Ok(()) => Ok(buffer),
            Err(error) => Err(Failed { error, buffer }),
        })
    }
}
