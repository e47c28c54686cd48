//! Our half of a device, from being plugged in to being pulled.

use crate::Error;
use crate::join::{Part, all, either};
use crate::state::State;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use fata_xenstore::{Errno, Watch, Xenstore};
use xen_hyp::{DomId, Platform};

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
        let mut plugged = store.watch(&format!("{path}/backend"))?;
        loop {
            let Some((backend, peer)) = peer(store, &path).await? else {
                plugged.changed().await?;
                continue;
            };
            let state = store.watch(&format!("{backend}/state"))?;
            let mut half = Half { store: store.clone(), path: path.clone(), backend, peer, state, plugged };
            if half.ready().await? {
                return Ok(Self { half, _state: PhantomData });
            }
            plugged = half.plugged;
        }
    }

    /// Tells the backend where to find us: writes these nodes of our half and the state, all at once. The state is
    /// [`State::Initialised`], or [`State::Connected`] for a device whose backend expects that (net).
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
    /// Waits until the backend works. `None` if it does not come to that: it closed, or the device was pulled.
    pub async fn connect(mut self) -> Result<Option<Device<P, Connected>>, Error> {
        loop {
            match self.half.look().await? {
                Some(theirs) if theirs.works() => {
                    return Ok(Some(Device { half: self.half, _state: PhantomData }));
                }
                // It has yet to see what we wrote; so does one that was restarted meanwhile.
                Some(State::Initialising | State::InitWait | State::Initialised) => {}
                _ => break,
            }
            self.half.changed().await?;
        }
        self.half.close().await?;
        Ok(None)
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
        let half = &self.half;
        let read = |name: &&str| -> Part<'_, Result<Option<u64>, Error>> {
            let path = format!("{}/{name}", half.backend);
            Box::pin(async move { readable(half.store.read_number(&path).await) })
        };
        let values = all(names.iter().map(read).collect()).await;
        let mut numbers = [None; N];
        for (number, value) in numbers.iter_mut().zip(values) {
            *number = value?;
        }
        Ok(numbers)
    }

    /// The text in a node of the backend's directory, if there is any.
    pub async fn text(&self, name: &str) -> Result<Option<String>, Error> {
        readable(self.half.store.read_string(&format!("{}/{name}", self.half.backend)).await)
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
                State::InitWait | State::Initialised => {
                    self.begin().await?;
                    return Ok(true);
                }
                State::Connected | State::Reconfiguring | State::Reconfigured => {
                    // With whoever had this half before us.
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

    /// Makes our state `Initialising`.
    async fn begin(&self) -> Result<(), Error> {
        let ours = state(&self.store, &format!("{}/state", self.path)).await?;
        if ours == State::Initialising { Ok(()) } else { self.write(&[], State::Initialising).await }
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
        while let Some(theirs) = self.look().await? {
            if !theirs.works() && theirs != State::Closing {
                break;
            }
            self.changed().await?;
        }
        Ok(())
    }

    /// The backend's state. `None` if the device was pulled, or has another backend.
    async fn look(&self) -> Result<Option<State>, Error> {
        match peer(&self.store, &self.path).await? {
            Some((backend, peer)) if backend == self.backend && peer == self.peer => {
                state(&self.store, &format!("{backend}/state")).await.map(Some)
            }
            _ => Ok(None),
        }
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
        let state_path = format!("{}/state", self.path);
        let written = self.store.transaction(async |tx| {
            // A directory that the toolstack has removed must not come back as ours.
            tx.read(&state_path).await?;
            let mut parts: Vec<Part<'_, Result<(), Error>>> = Vec::new();
            for (name, value) in nodes {
                let path = format!("{}/{name}", self.path);
                parts.push(Box::pin(async move { tx.write(&path, value).await }));
            }
            parts.push(Box::pin(tx.write(&state_path, state.text())));
            all(parts).await.into_iter().collect()
        });
        match written.await {
            Err(Error::ENOENT) => Ok(()),
            written => written,
        }
    }
}

/// The backend's directory and domain, as our half's names them; `None` unless both are there.
async fn peer<P: Platform>(store: &Xenstore<P>, path: &str) -> Result<Option<(String, DomId)>, Error> {
    let Some(backend) = readable(store.read_string(&format!("{path}/backend")).await)? else {
        return Ok(None);
    };
    let id: Option<u16> = readable(store.read_number(&format!("{path}/backend-id")).await)?;
    Ok(id.filter(|_| !backend.is_empty()).map(|id| (backend, DomId(id))))
}

/// The state in a node.
pub(crate) async fn state<P: Platform>(store: &Xenstore<P>, path: &str) -> Result<State, Error> {
    let number: Option<u32> = readable(store.read_number(path).await)?;
    Ok(number.map_or(State::Unknown, State::of))
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
