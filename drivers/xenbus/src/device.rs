//! Our half of a device, from being plugged in to being pulled.

use crate::Error;
use crate::join::{Part, all, either, once};
use crate::state::State;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use fata_xenstore::{Errno, Watch, Xenstore};
use xen_hyp::{DomId, Platform};

/// Times that nodes are written before it is believed that they cannot be.
const WRITE_TRIES: u32 = 3;

/// We have not told the backend anything yet.
#[derive(Debug)]
pub enum Initialising {}
/// We have told it where to find us.
#[derive(Debug)]
pub enum Initialised {}
/// The device works.
#[derive(Debug)]
pub enum Connected {}

/// Our half of a device whose backend is there.
///
/// Dropping it leaves the nodes as they are; [`plug`](Self::plug) then cleans up after it.
pub struct Device<P: Platform, S = Initialising> {
    half: Half<P>,
    _state: PhantomData<S>,
}

/// What happened to a device that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It still works, but may have other properties.
    Properties,
    /// The backend stopped, was started again, or the device is being pulled: close it.
    Ended,
}

struct Half<P: Platform> {
    store: Xenstore<P>,
    /// `device/KIND/ID`.
    path: String,
    /// The other half's directory.
    backend: String,
    peer: DomId,
    /// Our state, as we found or wrote it. If the node says something else, it is another device's, and there is none.
    ours: Cell<Option<State>>,
    /// The backend's state.
    state: Watch,
    /// The node that names the backend.
    plugged: Watch,
}

impl<P: Platform> Device<P, Initialising> {
    /// Waits until there is a device of this kind (`vbd`, `vif`) and number, and its backend is ready to negotiate.
    /// What an earlier session left is cleaned up first, as far as the backend goes along.
    pub async fn plug(store: &Xenstore<P>, kind: &str, id: u32) -> Result<Self, Error> {
        let path = format!("device/{kind}/{id}");
        // Of all of our half, as long as something is missing in it.
        let mut half = None;
        loop {
            let nodes = ["backend", "backend-id", "state"].map(|name| format!("{path}/{name}"));
            let mut found = texts(store, nodes.into()).await?;
            let (ours, peer, backend) = (take(&mut found), take(&mut found), take(&mut found));
            let watch = |backend: &String| store.watch(&format!("{backend}/state")).ok();
            // What is no path cannot be a backend's.
            let watch = backend.as_ref().filter(|backend| !backend.is_empty()).and_then(watch);
            let peer = peer.and_then(|id| id.parse().ok());
            let (Some(backend), Some(state), Some(peer), Some(ours)) = (backend, watch, peer, ours) else {
                match &mut half {
                    None => half = Some(store.watch(&path)?),
                    Some(half) => half.changed().await?,
                }
                continue;
            };
            half = None;
            let plugged = store.watch(&format!("{path}/backend"))?;
            let (store, path, ours) = (store.clone(), path.clone(), Cell::new(Some(of_text(Some(ours)))));
            let mut half = Half { store, path, backend, peer: DomId(peer), ours, state, plugged };
            if half.ready().await? {
                return Ok(Self { half, _state: PhantomData });
            }
        }
    }

    /// Looks whether the device is still the one that it was, and its backend ready to negotiate. If what was just read
    /// makes no sense, it may have been another's.
    pub async fn settled(&mut self) -> Result<bool, Error> {
        // What happened before that look is known.
        once(self.half.state.changed()).await;
        once(self.half.plugged.changed()).await;
        Ok(matches!(self.half.look().await?, Some(State::InitWait | State::Initialised)))
    }

    /// Waits until something about the backend has changed since it was found [settled](Self::settled), or the device was
    /// pulled.
    pub async fn unsettled(mut self) -> Result<(), Error> {
        self.half.changed().await
    }

    /// Tells the backend where to find us: writes these nodes of our half and the state, all at once. A node without a
    /// value is removed, since an earlier session may have left it. The state is [`State::Initialised`], or
    /// [`State::Connected`] for a device whose backend expects that (net).
    pub async fn initialise(
        self,
        nodes: &[(String, String)],
        state: State,
    ) -> Result<Device<P, Initialised>, Error> {
        self.half.write(nodes, state).await?;
        Ok(Device { half: self.half, _state: PhantomData })
    }
}

impl<P: Platform> Device<P, Initialised> {
    /// Waits until the backend works. If it does not come to that, since it closed or the device was pulled, our half
    /// is closed too and given back.
    pub async fn connect(mut self) -> Result<Result<Device<P, Connected>, Self>, Error> {
        loop {
            match self.half.look().await? {
                Some(theirs) if theirs.works() => {
                    return Ok(Ok(Device { half: self.half, _state: PhantomData }));
                }
                // It has yet to see what we wrote; so does one that was restarted meanwhile.
                Some(State::Initialising | State::InitWait | State::Initialised) => {}
                _ => break,
            }
            self.half.changed().await?;
        }
        self.half.close().await?;
        Ok(Err(self))
    }
}

impl<P: Platform> Device<P, Connected> {
    /// Says that we are ready too, once the backend's properties have been read.
    pub async fn announce(&self) -> Result<(), Error> {
        self.half.write(&[], State::Connected).await
    }

    /// Waits until something about the backend has changed.
    pub async fn changed(&mut self) -> Result<Change, Error> {
        self.half.changed().await?;
        self.look().await
    }

    /// Looks what has changed: if what was just read makes no sense, the device may be another by now.
    pub async fn look(&self) -> Result<Change, Error> {
        match self.half.look().await? {
            Some(theirs) if theirs.works() => Ok(Change::Properties),
            _ => Ok(Change::Ended),
        }
    }

    /// Waits until the backend does nothing any more. One that is closing still answers what it was asked.
    pub async fn stopped(&mut self) -> Result<(), Error> {
        while self.half.look().await?.is_some_and(|theirs| theirs.works() || theirs == State::Closing) {
            self.half.changed().await?;
        }
        Ok(())
    }
}

impl<P: Platform, S> Device<P, S> {
    /// The domain in which the backend runs.
    pub fn peer(&self) -> DomId {
        self.half.peer
    }

    /// The numbers in these nodes of the backend's directory. What is absent, or no number, is `None`.
    pub async fn numbers<const N: usize>(&self, names: &[&str; N]) -> Result<[Option<u64>; N], Error> {
        let paths = names.iter().map(|name| format!("{}/{name}", self.half.backend)).collect();
        let texts = texts(&self.half.store, paths).await?;
        let mut numbers = [None; N];
        for (number, text) in numbers.iter_mut().zip(texts) {
            *number = text.and_then(|text| text.parse().ok());
        }
        Ok(numbers)
    }

    /// The text in a node of the backend's directory, if there is any.
    pub async fn text(&self, name: &str) -> Result<Option<String>, Error> {
        readable(self.half.store.read_string(&format!("{}/{name}", self.half.backend)).await)
    }

    /// A watch on a node of the backend's directory.
    pub fn watch(&self, name: &str) -> Result<Watch, Error> {
        self.half.store.watch(&format!("{}/{name}", self.half.backend))
    }

    /// Closes our half, and waits until the backend has let go of what we shared with it, or is no more.
    pub async fn close(&mut self) -> Result<(), Error> {
        self.half.close().await
    }

    /// Waits until a device that we closed has been pulled, even if another is in its place by then.
    pub async fn pulled(self) -> Result<(), Error> {
        let path = format!("{}/state", self.half.path);
        let mut ours = self.half.store.watch(&path)?;
        // The toolstack begins a new one with another state.
        while state(&self.half.store, &path).await? == State::Closed {
            ours.changed().await?;
        }
        Ok(())
    }

    /// Waits until the backend of a device that we closed stirs of its own accord, as when it is started again, or until
    /// the device has been pulled.
    pub async fn stirred(mut self) -> Result<(), Error> {
        if self.half.look().await?.is_none() {
            return Ok(());
        }
        // What happened before that look is known. A backend that is started again while our half is closed closes at
        // once, so it is not its state that tells.
        once(self.half.state.changed()).await;
        once(self.half.plugged.changed()).await;
        self.half.changed().await
    }

    /// The text in a node of our own directory, such as `mac`, which the toolstack writes.
    pub async fn own_text(&self, name: &str) -> Result<Option<String>, Error> {
        readable(self.half.store.read_string(&format!("{}/{name}", self.half.path)).await)
    }

    /// The number in a node of our own directory, such as `trusted`, which the toolstack writes.
    pub async fn own_number(&self, name: &str) -> Result<Option<u64>, Error> {
        readable(self.half.store.read_number(&format!("{}/{name}", self.half.path)).await)
    }
}

impl<P: Platform> Half<P> {
    /// Waits until the backend is ready to negotiate. `false` if the device was pulled.
    async fn ready(&mut self) -> Result<bool, Error> {
        loop {
            let Some(theirs) = self.look().await? else { return Ok(false) };
            match theirs {
                State::InitWait | State::Initialised if self.is_new() => {
                    self.begin().await?;
                    return Ok(true);
                }
                State::InitWait
                | State::Initialised
                | State::Connected
                | State::Reconfiguring
                | State::Reconfigured => {
                    // With whoever had this half before us, or about to be.
                    self.close().await?;
                    continue;
                }
                // It waits for what had this half before us, or is being pulled before we began.
                State::Closing if self.ours.get() != Some(State::Closed) => {
                    self.close().await?;
                    continue;
                }
                // It begins anew when we do, unless it is being pulled.
                State::Closed if self.online().await? => self.begin().await?,
                _ => {}
            }
            self.changed().await?;
        }
    }

    /// Whether our half says nothing of anything shared.
    fn is_new(&self) -> bool {
        !matches!(self.ours.get(), Some(State::Initialised | State::Connected | State::Closing))
    }

    /// Makes our state `Initialising`.
    async fn begin(&self) -> Result<(), Error> {
        match self.ours.get() {
            Some(State::Initialising) => Ok(()),
            _ => self.write(&[], State::Initialising).await,
        }
    }

    async fn close(&mut self) -> Result<(), Error> {
        let mut asked = false;
        while let Some(theirs) = self.look().await? {
            if !theirs.works() {
                break;
            }
            if !core::mem::replace(&mut asked, true) {
                self.write(&[], State::Closing).await?;
            }
            self.changed().await?;
        }
        self.write(&[], State::Closed).await?;
        // A backend that was started again, and waits to be told of rings, may have found us connected: Linux's then goes
        // on with what we shared with the one before. So it has to say that it has seen us close.
        while let Some(theirs) = self.look().await? {
            if matches!(theirs, State::Closed | State::Initialising | State::Unknown) {
                break;
            }
            self.changed().await?;
        }
        Ok(())
    }

    /// The backend's state. `None` if the device was pulled, or is another one by now.
    async fn look(&self) -> Result<Option<State>, Error> {
        let ours = |name: &str| format!("{}/{name}", self.path);
        let theirs = format!("{}/state", self.backend);
        let nodes = alloc::vec![theirs, ours("state"), ours("backend-id"), ours("backend")];
        let mut found = texts(&self.store, nodes).await?;
        let (backend, peer, ours) = (take(&mut found), take(&mut found), take(&mut found));
        let theirs = take(&mut found);
        let same = backend.is_some_and(|backend| backend == self.backend)
            && peer.and_then(|id| id.parse().ok()) == Some(self.peer.0)
            && self.ours.get() == Some(of_text(ours));
        Ok(same.then(|| of_text(theirs)))
    }

    async fn online(&self) -> Result<bool, Error> {
        let online: Option<u32> =
            readable(self.store.read_number(&format!("{}/online", self.backend)).await)?;
        Ok(online != Some(0))
    }

    /// Waits until the backend's state was written, or the device plugged in or pulled.
    async fn changed(&mut self) -> Result<(), Error> {
        match either(self.state.changed(), self.plugged.changed()).await {
            // A backend that is no more, or does not let us see, has no state.
            Err(Error::Store(Errno::ENOENT | Errno::EACCES)) => self.plugged.changed().await,
            changed => changed,
        }
    }

    /// Writes nodes of our half, if it is there, and its state, all at once.
    async fn write(&self, nodes: &[(String, String)], state: State) -> Result<(), Error> {
        let mut tries = 0..WRITE_TRIES;
        loop {
            match self.try_write(nodes, state).await {
                Ok(true) => self.ours.set(Some(state)),
                Ok(false) | Err(Error::ENOENT | Error::BadValue) => self.ours.set(None),
                // Where the directory was removed under our hands its nodes would be somebody else's.
                Err(Error::Store(Errno::EACCES)) if tries.next().is_some() => continue,
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }

    /// Gives whether it was still ours.
    async fn try_write(&self, nodes: &[(String, String)], state: State) -> Result<bool, Error> {
        let state_path = format!("{}/state", self.path);
        let written = self.store.transaction(async |tx| {
            // A directory that the toolstack has removed must not come back as ours, nor another device get what
            // was for this one.
            if self.ours.get() != Some(of_text(Some(tx.read_string(&state_path).await?))) {
                return Ok(false);
            }
            let mut parts: Vec<Part<'_, Result<(), Error>>> = Vec::new();
            for (name, value) in nodes {
                let path = format!("{}/{name}", self.path);
                parts.push(Box::pin(async move {
                    if value.is_empty() { tx.rm(&path).await } else { tx.write(&path, value).await }
                }));
            }
            parts.push(Box::pin(tx.write(&state_path, state.text())));
            all(parts).await.into_iter().collect::<Result<(), Error>>().map(|()| true)
        });
        written.await
    }
}

/// The texts in nodes, asked for all at once.
async fn texts<P: Platform>(store: &Xenstore<P>, paths: Vec<String>) -> Result<Vec<Option<String>>, Error> {
    let read = |path: &'_ String| -> Part<'_, Result<Option<String>, Error>> {
        let path = path.clone();
        Box::pin(async move { readable(store.read_string(&path).await) })
    };
    all(paths.iter().map(read).collect()).await.into_iter().collect()
}

/// The last of these.
fn take(texts: &mut Vec<Option<String>>) -> Option<String> {
    texts.pop().flatten()
}

/// The state in a node.
pub(crate) async fn state<P: Platform>(store: &Xenstore<P>, path: &str) -> Result<State, Error> {
    Ok(of_text(readable(store.read_string(path).await)?))
}

fn of_text(text: Option<String>) -> State {
    text.and_then(|text| text.parse().ok()).map_or(State::Unknown, State::of)
}

/// What is absent, kept from us, or no sense, is the same: nothing we can use.
fn readable<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Store(Errno::ENOENT | Errno::EACCES) | Error::BadValue | Error::BadPath) => Ok(None),
        Err(Error::PathTooLong) => Ok(None),
        Err(error) => Err(error),
    }
}

impl<P: Platform, S> fmt::Debug for Device<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let half = &self.half;
        f.debug_struct("Device").field("path", &half.path).field("backend", &half.backend).finish()
    }
}
