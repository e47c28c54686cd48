//! Watches: what changed below a path, as it happens.

use crate::client::Client;
use crate::error::{Errno, Error};
use crate::path::levels_below;
use crate::wire::{Decimal, number};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use fata_ring::Corrupt;
use xen_hyp::Signal;

/// What is kept for a slow reader: so many paths, and so many bytes of them.
const KEPT: usize = 16;
const KEPT_BYTES: usize = 4096;

/// What a watch reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This node, the watched one or one below it, was written, created, removed or got other permissions. It
    /// is relative if the watched path is.
    Changed(String),
    /// More changed than is kept for a slow reader, or the server does not say what: look everywhere.
    Everything,
}

/// A watch. It fires when it is new, when a node at or below its path changes, and when the connection to the
/// server was lost and is back; it may fire for nothing. Dropping it ends it.
pub struct Watch {
    client: Rc<Client>,
    entry: Rc<Entry>,
}

impl Watch {
    pub(crate) fn new(client: &Rc<Client>, path: &str, depth: Option<u32>) -> Self {
        Self { client: client.clone(), entry: client.add_watch(path, depth) }
    }

    /// What is watched.
    pub fn path(&self) -> &str {
        &self.entry.path
    }

    /// Waits for the next event. Several of the same node are one. An error says that the server refuses this
    /// watch, or is gone; after a reconnect the watch is tried again.
    pub async fn next(&mut self) -> Result<Event, Error> {
        self.entry.signal.until(|| self.entry.next()).await
    }

    /// Waits until something has happened, never mind what: takes all events there are.
    pub async fn changed(&mut self) -> Result<(), Error> {
        let taken = self.entry.signal.until(|| {
            let next = self.entry.next();
            self.entry.pending.borrow_mut().clear();
            next
        });
        taken.await.map(|_| ())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.client.end_watch(&self.entry);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("path", &self.entry.path).finish_non_exhaustive()
    }
}

/// How far a watch is known to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registered {
    /// It has to be told.
    No,
    /// It is being told.
    Asked,
    Yes,
    Refused(Error),
}

pub(crate) struct Entry {
    pub(crate) token: u32,
    pub(crate) path: Box<str>,
    pub(crate) depth: Option<u32>,
    pub(crate) registered: Cell<Registered>,
    pending: RefCell<Pending>,
    signal: Signal,
}

impl Entry {
    fn next(&self) -> Option<Result<Event, Error>> {
        if let Some(event) = self.pending.borrow_mut().take() {
            return Some(Ok(event));
        }
        match self.registered.get() {
            Registered::Refused(error) => Some(Err(error)),
            _ => None,
        }
    }

    pub(crate) fn set(&self, registered: Registered) {
        self.registered.set(registered);
        if matches!(registered, Registered::Refused(_)) {
            self.signal.fire();
        }
    }

    fn happened(&self, path: &[u8]) {
        let path = core::str::from_utf8(path).ok();
        match path.and_then(|path| Some((path, levels_below(path, &self.path)?))) {
            // A server that does not know of depths reports more.
            Some((_, levels)) if self.depth.is_some_and(|depth| levels > depth as usize) => return,
            Some((path, _)) => self.pending.borrow_mut().add(path),
            None => self.pending.borrow_mut().overflow(),
        }
        self.signal.fire();
    }

    /// The payload that starts the watch, or without the depth, the one that ends it.
    pub(crate) fn with_payload<T>(&self, depth: bool, f: impl FnOnce(&[&[u8]]) -> T) -> T {
        let token = Decimal::new(self.token);
        let parts = [self.path.as_bytes(), b"\0", token.bytes(), b"\0"];
        match self.depth {
            Some(levels) if depth => {
                let levels = Decimal::new(levels);
                f(&[parts[0], parts[1], parts[2], parts[3], levels.bytes(), b"\0"])
            }
            _ => f(&parts),
        }
    }
}

/// What has happened and not been taken.
#[derive(Default)]
struct Pending {
    paths: VecDeque<String>,
    bytes: usize,
    everything: bool,
}

impl Pending {
    fn add(&mut self, path: &str) {
        if self.everything || self.paths.iter().any(|known| known == path) {
            return;
        }
        if self.paths.len() == KEPT || self.bytes + path.len() > KEPT_BYTES {
            return self.overflow();
        }
        self.bytes += path.len();
        self.paths.push_back(path.into());
    }

    fn overflow(&mut self) {
        self.clear();
        self.everything = true;
    }

    fn clear(&mut self) {
        *self = Self { paths: core::mem::take(&mut self.paths), ..Self::default() };
        self.paths.clear();
    }

    fn take(&mut self) -> Option<Event> {
        if core::mem::take(&mut self.everything) {
            return Some(Event::Everything);
        }
        let path = self.paths.pop_front()?;
        self.bytes -= path.len();
        Some(Event::Changed(path))
    }
}

/// All watches there are.
#[derive(Default)]
pub(crate) struct Watches {
    list: RefCell<Vec<Rc<Entry>>>,
    next_token: Cell<u32>,
    /// The server may have to be told of some.
    news: Cell<bool>,
}

impl Watches {
    pub(crate) fn add(&self, path: &str, depth: Option<u32>) -> Rc<Entry> {
        let token = self.next_token.get();
        self.next_token.set(token.wrapping_add(1));
        let entry = Rc::new(Entry {
            token,
            path: path.into(),
            depth,
            registered: Cell::new(Registered::No),
            pending: RefCell::default(),
            signal: Signal::new(),
        });
        self.list.borrow_mut().push(entry.clone());
        self.news.set(true);
        entry
    }

    pub(crate) fn remove(&self, entry: &Rc<Entry>) {
        self.list.borrow_mut().retain(|known| !Rc::ptr_eq(known, entry));
    }

    /// Takes the answer to the registration of a watch. Gives whether it has to be ended, since nobody wants it.
    pub(crate) fn settle(&self, token: u32, outcome: Result<Vec<u8>, Error>) -> bool {
        let Some(watch) = self.find(token) else { return outcome.is_ok() };
        match outcome {
            Ok(_) => watch.set(Registered::Yes),
            // Ours from before, so what happened meanwhile is not known.
            Err(Error::Store(Errno::EEXIST)) => {
                watch.set(Registered::Yes);
                watch.pending.borrow_mut().overflow();
                watch.signal.fire();
            }
            Err(error) => watch.set(Registered::Refused(error)),
        }
        false
    }

    /// Whether there may be some that the server has to be told of.
    pub(crate) fn has_news(&self) -> bool {
        self.news.get()
    }

    fn find(&self, token: u32) -> Option<Rc<Entry>> {
        self.list.borrow().iter().find(|entry| entry.token == token).cloned()
    }

    /// One that the server has to be told of.
    pub(crate) fn unregistered(&self) -> Option<Rc<Entry>> {
        if !self.news.get() {
            return None;
        }
        let found = self.list.borrow().iter().find(|entry| entry.registered.get() == Registered::No).cloned();
        self.news.set(found.is_some());
        found
    }

    pub(crate) fn set_all(&self, registered: Registered) {
        self.list.borrow().iter().for_each(|entry| entry.set(registered));
        self.news.set(true);
    }

    /// Takes a watch event. One for a watch that has ended meanwhile is nobody's.
    pub(crate) fn event(&self, payload: &[u8]) -> Result<(), Corrupt> {
        let mut parts = payload.split_inclusive(|&byte| byte == 0).map(|part| part.strip_suffix(b"\0"));
        let (Some(Some(path)), Some(Some(token)), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Corrupt);
        };
        if let Some(entry) = number(token).and_then(|token| self.find(token)) {
            entry.happened(path);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(watches: &Watches, path: &str, token: u32) {
        watches.event(format!("{path}\0{token}\0").as_bytes()).unwrap();
    }

    fn changed(path: &str) -> Option<Result<Event, Error>> {
        Some(Ok(Event::Changed(path.into())))
    }

    #[test]
    fn events_reach_their_watch_once_each_and_in_order() {
        let watches = Watches::default();
        let (a, b) = (watches.add("/a", None), watches.add("/a/b", Some(0)));
        for path in ["/a", "/a/x", "/a", "/a/y"] {
            event(&watches, path, a.token);
        }
        for path in ["/a/b", "/a/b/c"] {
            event(&watches, path, b.token);
        }
        event(&watches, "/a/none", 77);
        for path in ["/a", "/a/x", "/a/y"] {
            assert_eq!(a.next(), changed(path));
        }
        assert_eq!(a.next(), None);
        assert_eq!(b.next(), changed("/a/b"));
        assert_eq!(b.next(), None);
        // Not at or below its path, or no text: it happened, but who knows where.
        for payload in [&b"/ab\x001\0"[..], b"/a/b\xff\x001\0", b"\x001\0"] {
            watches.event(payload).unwrap();
            assert_eq!(b.next(), Some(Ok(Event::Everything)));
        }
    }

    #[test]
    fn a_slow_reader_is_told_to_look_everywhere() {
        let watches = Watches::default();
        let a = watches.add("/a", None);
        for i in 0..KEPT {
            event(&watches, &format!("/a/{i}"), a.token);
        }
        assert_eq!(a.next(), changed("/a/0"));
        event(&watches, "/a/16", a.token);
        assert_eq!(a.next(), changed("/a/1"));
        for i in 0..2 * KEPT {
            event(&watches, &format!("/a/{i}"), a.token);
        }
        assert_eq!(a.next(), Some(Ok(Event::Everything)));
        assert_eq!(a.next(), None);
        for i in 0..3 {
            event(&watches, &format!("/a/{i}{}", "x".repeat(2000)), a.token);
        }
        assert_eq!(a.next(), Some(Ok(Event::Everything)));
        event(&watches, &format!("/a/{}", "x".repeat(4000)), a.token);
        assert!(matches!(a.next(), Some(Ok(Event::Changed(_)))));
        assert_eq!(a.pending.borrow().bytes, 0);
    }

    #[test]
    fn a_malformed_event_is_corrupt() {
        let watches = Watches::default();
        for payload in [&b""[..], b"\0", b"/a", b"/a\0", b"/a\x000", b"/a\x000\0x", b"/a\x000\0\0"] {
            assert_eq!(watches.event(payload), Err(Corrupt), "{payload:?}");
        }
        assert_eq!(watches.event(b"\0\0"), Ok(()));
    }
}
