//! Streams between two parts of one program, for tests and for applications that are put together.

use crate::error::Error;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};

/// Bytes that wait each way at most.
const CAPACITY: usize = 16 << 10;
/// Streams that wait to be accepted.
const BACKLOG: usize = 64;

/// Places to meet in, by name. Clones are the same ones.
#[derive(Clone, Default)]
pub struct Memory {
    queues: Rc<RefCell<BTreeMap<String, Rc<Queue>>>>,
}

#[derive(Default)]
struct Queue {
    waiting: RefCell<VecDeque<Pipe>>,
    waker: Sleeper,
}

/// Somebody who waits.
#[derive(Default)]
struct Sleeper(Cell<Option<Waker>>);

impl Sleeper {
    fn wake(&self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }

    fn wait<T>(&self, cx: &Context<'_>) -> Poll<T> {
        self.0.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Memory {
    /// No places yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A stream to whoever listens there.
    pub fn connect(&self, name: &str) -> Result<Pipe, Error> {
        let queue = self.queues.borrow().get(name).cloned().ok_or(Error::Refused)?;
        if queue.waiting.borrow().len() == BACKLOG {
            return Err(Error::Refused);
        }
        let (ours, theirs) = Pipe::pair();
        queue.waiting.borrow_mut().push_back(theirs);
        queue.waker.wake();
        Ok(ours)
    }

    /// Has others of this program come to us.
    pub fn listen(&self, name: &str) -> Result<MemoryListener, Error> {
        let mut queues = self.queues.borrow_mut();
        if queues.contains_key(name) {
            return Err(Error::Taken);
        }
        let queue = Rc::new(Queue::default());
        queues.insert(name.to_string(), queue.clone());
        Ok(MemoryListener { memory: self.clone(), name: name.to_string(), queue })
    }
}

/// Waits for streams. Only one task can.
pub struct MemoryListener {
    memory: Memory,
    name: String,
    queue: Rc<Queue>,
}

impl MemoryListener {
    pub(crate) async fn accept(&self) -> Pipe {
        let next = |cx: &mut Context<'_>| match self.queue.waiting.borrow_mut().pop_front() {
            Some(pipe) => Poll::Ready(pipe),
            None => self.queue.waker.wait(cx),
        };
        poll_fn(next).await
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        self.memory.queues.borrow_mut().remove(&self.name);
    }
}

/// One end of a stream. One task may read while another writes.
pub struct Pipe {
    out: Rc<Lane>,
    into: Rc<Lane>,
}

/// One way.
#[derive(Default)]
struct Lane {
    bytes: RefCell<VecDeque<u8>>,
    /// Nothing more is written.
    has_ended: Cell<bool>,
    /// Nothing more is read.
    is_unread: Cell<bool>,
    reader: Sleeper,
    writer: Sleeper,
}

impl Pipe {
    /// Both ends of one.
    pub fn pair() -> (Self, Self) {
        let (there, back) = (Rc::new(Lane::default()), Rc::new(Lane::default()));
        (Self { out: there.clone(), into: back.clone() }, Self { out: back, into: there })
    }

    /// Reads what there is, at least a byte. Waits if there is nothing; at the end gives none.
    pub async fn read(&self, into: &mut [u8]) -> Result<usize, Error> {
        let lane = &self.into;
        let take = |cx: &mut Context<'_>| {
            let mut bytes = lane.bytes.borrow_mut();
            if bytes.is_empty() && !lane.has_ended.get() && !into.is_empty() {
                return lane.reader.wait(cx);
            }
            let len = bytes.len().min(into.len());
            for (to, from) in into.iter_mut().zip(bytes.drain(..len)) {
                *to = from;
            }
            lane.writer.wake();
            Poll::Ready(Ok(len))
        };
        poll_fn(take).await
    }

    /// Writes as much as there is room for, at least a byte. Waits if there is none.
    pub async fn write(&self, from: &[u8]) -> Result<usize, Error> {
        let lane = &self.out;
        let put = |cx: &mut Context<'_>| {
            if lane.is_unread.get() || lane.has_ended.get() {
                return Poll::Ready(Err(Error::Gone));
            }
            let mut bytes = lane.bytes.borrow_mut();
            let len = from.len().min(CAPACITY - bytes.len());
            if len == 0 && !from.is_empty() {
                return lane.writer.wait(cx);
            }
            bytes.extend(&from[..len]);
            lane.reader.wake();
            Poll::Ready(Ok(len))
        };
        poll_fn(put).await
    }

    /// Says that nothing more will be written.
    pub fn finish(&self) {
        self.out.has_ended.set(true);
        self.out.reader.wake();
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.finish();
        self.into.is_unread.set(true);
        self.into.writer.wake();
    }
}
