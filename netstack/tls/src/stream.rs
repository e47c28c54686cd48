//! A connection as a stream.

use crate::channel::{Channel, Progress};
use crate::error::{Error, Failure};
use crate::facts::Facts;
use core::cell::{Ref, RefCell};
use core::fmt;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll, ready};
use embedded_io_async::{ErrorType, Read, Write};

/// A connection over `IO`, to read from and write to. If a reference to an `IO` can be read and written, as with TCP and vchan,
/// so can a reference to this, from two tasks at the same time.
///
/// Reading gives nothing once the peer has said that it is finished, and [`Failure::Truncated`] if what carries it ends before.
/// Writing goes on after the peer is finished.
///
/// What is written is sent without being flushed. A read or a write that is dropped before it is done has read or written nothing;
/// the same is asked of `IO`. When a write is done, the end of it may still be here, and is sent by the next that is read,
/// written, flushed or closed; one that reads and waits does it too.
pub struct Stream<IO> {
    io: IO,
    pub(crate) channel: RefCell<Channel>,
}

impl<IO> Stream<IO> {
    /// What has been agreed upon.
    pub fn facts(&self) -> Ref<'_, Facts> {
        Ref::map(self.channel.borrow(), Channel::facts)
    }

    /// How many bytes its buffers hold: none while it waits, and less than 72 KiB at any time.
    pub fn buffered(&self) -> usize {
        self.channel.borrow().held()
    }

    /// Seals any record, to be sent when this is flushed.
    #[cfg(feature = "rude")]
    pub fn seal(&self, kind: u8, plain: &[u8]) {
        self.channel.borrow_mut().seal(kind, plain);
    }

    /// Asks for new keys, which TLS 1.3 can.
    #[cfg(feature = "rude")]
    pub fn ask_for_update(&self) {
        self.channel.borrow_mut().ask_for_update();
    }

    /// What carries it.
    pub fn io(&self) -> &IO {
        &self.io
    }

    /// Gives back what carries it. Whoever has not closed it before leaves a peer that cannot know that this was all.
    pub fn into_io(self) -> IO {
        self.io
    }
}

impl<IO: Read + Write> Stream<IO> {
    /// After a handshake. The end of that is sent as far as it goes at once.
    pub(crate) async fn begin(mut io: IO, mut channel: Channel) -> Result<Self, Error<IO::Error>> {
        poll_fn(|cx| match poll_push(&mut channel, &mut io, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        })
        .await?;
        Ok(Self { io, channel: RefCell::new(channel) })
    }

    /// Says to the peer that this was all, and sends what is left to be sent. Reading goes on. Doing it again does nothing.
    pub async fn close(&mut self) -> Result<(), Error<IO::Error>> {
        close(&self.channel, &mut self.io).await
    }
}

impl<IO: ErrorType> Stream<IO>
where
    for<'a> &'a IO: Read + Write + ErrorType<Error = IO::Error>,
{
    /// [`Self::close`] while it is shared.
    pub async fn close_shared(&self) -> Result<(), Error<IO::Error>> {
        close(&self.channel, &mut &self.io).await
    }
}

impl<IO: ErrorType> ErrorType for Stream<IO> {
    type Error = Error<IO::Error>;
}

impl<IO: ErrorType> ErrorType for &Stream<IO> {
    type Error = Error<IO::Error>;
}

impl<IO: Read + Write> Read for Stream<IO> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Self::Error> {
        read(&self.channel, &mut self.io, into).await
    }
}

impl<IO: Read + Write> Write for Stream<IO> {
    async fn write(&mut self, from: &[u8]) -> Result<usize, Self::Error> {
        write(&self.channel, &mut self.io, from).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        push_all(&self.channel, &mut self.io).await?;
        self.io.flush().await.map_err(Error::Transport)
    }
}

impl<IO: ErrorType> Read for &Stream<IO>
where
    for<'a> &'a IO: Read + Write + ErrorType<Error = IO::Error>,
{
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Self::Error> {
        read(&self.channel, &mut &self.io, into).await
    }
}

impl<IO: ErrorType> Write for &Stream<IO>
where
    for<'a> &'a IO: Read + Write + ErrorType<Error = IO::Error>,
{
    async fn write(&mut self, from: &[u8]) -> Result<usize, Self::Error> {
        write(&self.channel, &mut &self.io, from).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        push_all(&self.channel, &mut &self.io).await?;
        (&self.io).flush().await.map_err(Error::Transport)
    }
}

impl<IO> fmt::Debug for Stream<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("facts", &*self.facts()).finish_non_exhaustive()
    }
}

async fn read<T: Read + Write>(
    channel: &RefCell<Channel>,
    io: &mut T,
    into: &mut [u8],
) -> Result<usize, Error<T::Error>> {
    if into.is_empty() {
        return Ok(0);
    }
    poll_fn(|cx| poll_read(&mut channel.borrow_mut(), io, into, cx)).await
}

/// One try, without waiting: futures of `io` are polled once and dropped.
fn poll_read<T: Read + Write>(
    channel: &mut Channel,
    io: &mut T,
    into: &mut [u8],
    cx: &mut Context<'_>,
) -> Poll<Result<usize, Error<T::Error>>> {
    loop {
        let progress = channel.advance();
        let pushed = match &channel.writer {
            // They do it.
            Some(_) => Poll::Pending,
            None => poll_push(channel, io, cx),
        };
        match progress {
            Ok(Progress::Data) => return Poll::Ready(Ok(channel.take(into))),
            Ok(Progress::End) => return Poll::Ready(Ok(0)),
            Ok(Progress::More) => {}
            Err(failure) => return Poll::Ready(Err(failure.into())),
        }
        if let Poll::Ready(Err(error)) = pushed {
            return Poll::Ready(Err(error));
        }
        let read = pin!(io.read(channel.room())).poll(cx);
        match read {
            Poll::Pending => {
                channel.rest();
                channel.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(channel.cut_off().into())),
            Poll::Ready(Ok(len)) => channel.filled(len),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(Error::Transport(error))),
        }
    }
}

/// Sends as much as goes.
fn poll_push<T: Write>(
    channel: &mut Channel,
    io: &mut T,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error<T::Error>>> {
    while !channel.to_send().is_empty() {
        let sent = ready!(pin!(io.write(channel.to_send())).poll(cx)).map_err(Error::Transport)?;
        if sent == 0 {
            return Poll::Ready(Err(channel.cut_off().into()));
        }
        channel.sent(sent);
    }
    Poll::Ready(Ok(()))
}

/// Writing, for as long as it takes: what is to be sent is left to it, and to reading again afterwards.
struct Writing<'a>(&'a RefCell<Channel>);

impl Writing<'_> {
    fn poll<T: Write, R>(
        &self,
        io: &mut T,
        cx: &mut Context<'_>,
        then: impl FnOnce(&mut Channel) -> Result<R, Failure>,
    ) -> Poll<Result<R, Error<T::Error>>> {
        let channel = &mut *self.0.borrow_mut();
        if poll_push(channel, io, cx)?.is_pending() {
            channel.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(then(channel).map_err(Error::Tls))
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut channel = self.0.borrow_mut();
        channel.writer = None;
        if !channel.to_send().is_empty()
            && let Some(reader) = channel.reader.take()
        {
            reader.wake();
        }
    }
}

async fn write<T: Write>(
    channel: &RefCell<Channel>,
    io: &mut T,
    from: &[u8],
) -> Result<usize, Error<T::Error>> {
    let writing = Writing(channel);
    poll_fn(|cx| {
        let len = ready!(writing.poll(io, cx, |channel| {
            channel.writable()?;
            if from.is_empty() { Ok(0) } else { channel.write(from) }
        }))?;
        // It is in our hands: what does not go now goes later.
        if let Poll::Ready(Err(error)) = poll_push(&mut channel.borrow_mut(), io, cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(len))
    })
    .await
}

async fn push_all<T: Write>(channel: &RefCell<Channel>, io: &mut T) -> Result<(), Error<T::Error>> {
    let writing = Writing(channel);
    poll_fn(|cx| writing.poll(io, cx, |channel| channel.failure().map_or(Ok(()), Err))).await
}

async fn close<T: Write>(channel: &RefCell<Channel>, io: &mut T) -> Result<(), Error<T::Error>> {
    channel.borrow_mut().close();
    let writing = Writing(channel);
    poll_fn(|cx| writing.poll(io, cx, |_| Ok(()))).await
}
