//! Xenstore client.
//!
//! Xenstore is the tree of small values through which a domain and its toolstack, and the two halves of a device,
//! tell each other what they need to know. [`Xenstore`] is this domain's connection to it. Any number of tasks
//! may use it at once: each waits for its own reply. Somebody has to run [`Xenstore::serve`] meanwhile, which
//! moves the bytes; nothing here knows an executor.
//!
//! The server may be late, slow, or restarted: requests wait, what was asked and not answered is asked again,
//! watches are set again, and transactions start over. A server that breaks its protocol is asked to start over,
//! if it offers that; if not, everything fails with [`Error::Corrupt`].
//!
//! ```
//! # use fata_xenstore::{Error, Xenstore};
//! # use xen_hyp::Platform;
//! # async fn example<P: Platform>(store: &Xenstore<P>) -> Result<(), Error> {
//! let backend = store.read_string("device/vbd/51712/backend").await?;
//! store
//!     .transaction(async |tx| {
//!         tx.write("device/vbd/51712/ring-ref", "8").await?;
//!         tx.write("device/vbd/51712/event-channel", "3").await
//!     })
//!     .await?;
//! let mut state = store.watch(&format!("{backend}/state"))?;
//! while store.try_read_number(&format!("{backend}/state")).await? != Some(4) {
//!     state.changed().await?;
//! }
//! # Ok(()) }
//! ```
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod admin;
mod client;
mod error;
mod link;
mod path;
mod perms;
mod requests;
mod state;
mod transaction;
mod view;
mod watch;
mod wire;

pub use error::{Errno, Error, UnknownErrno};
pub use perms::{Access, Perms};
pub use state::{Features, State};
pub use transaction::Transaction;
pub use view::View;
pub use watch::{Event, Watch};

use alloc::rc::Rc;
use client::Tx;
use core::fmt;
use core::future::{Future, poll_fn};
use core::ops::Deref;
use core::pin::pin;
use core::task::Poll;
use link::Link;
use wire::Op;
use xen_hyp::{Platform, Xen};

/// This domain's connection to Xenstore; clones are the same one. Outside of transactions its nodes are those of
/// the [`View`] to which it derefs.
pub struct Xenstore<P: Platform>(View<P>);

impl<P: Platform> Xenstore<P> {
    /// Opens the store that the toolstack set up for this domain; `None` if it did not. The server need not be
    /// there yet, see [`state`](Self::state).
    pub fn open(xen: &Rc<Xen<P>>) -> Result<Option<Self>, Error> {
        let link = Link::open(xen)?;
        Ok(link.map(|link| Self(View { link: Rc::new(link), tx: Tx::NONE })))
    }

    /// Moves requests to the server and replies from it; never ends. To be spawned once.
    pub async fn serve(&self) {
        let link = &self.0.link;
        loop {
            let work = link.client.work.seen();
            let more = link.turn();
            let worked = link.client.work.after(work);
            // The channel must not be kept: the next turn may open it again.
            match link.events() {
                _ if more => yield_now().await,
                Some((channel, seen)) => either(channel.after(seen), worked).await,
                None => _ = worked.await,
            }
        }
    }

    /// How it stands with the server.
    pub fn state(&self) -> State {
        self.client().state()
    }

    /// Waits until the server answers, or has been given up.
    pub async fn connected(&self) -> Result<(), Error> {
        let connected = self.client().changed.until(|| match self.state() {
            State::Connected => Some(Ok(())),
            State::Dead(error) => Some(Err(error)),
            State::Late | State::Connecting => None,
        });
        connected.await
    }

    /// Waits until [`state`](Self::state) is another than this, and gives it.
    pub async fn state_after(&self, state: State) -> State {
        self.client().changed.until(|| Some(self.state()).filter(|&now| now != state)).await
    }

    /// Connects anew, as after a suspend, when port, page and server may be others than before. Also the way back
    /// from [`State::Dead`].
    pub fn reconnect(&self) {
        self.0.link.reopen();
    }

    /// What the server can do, as far as it has said.
    pub fn features(&self) -> Features {
        self.client().features.get()
    }

    /// Watches a node and all below it, or one of the special watches, `@introduceDomain` and `@releaseDomain`.
    pub fn watch(&self, path: &str) -> Result<Watch, Error> {
        self.add_watch(path, None)
    }

    /// The same down to so many levels below it. Of a special watch a depth of 1 is where it says which domain it
    /// was, if the server can do that.
    pub fn watch_depth(&self, path: &str, depth: u32) -> Result<Watch, Error> {
        self.add_watch(path, Some(depth))
    }

    fn add_watch(&self, path: &str, depth: Option<u32>) -> Result<Watch, Error> {
        path::check_special(path)?;
        let watch = Watch::new(self.client(), path, depth);
        self.0.link.send();
        Ok(watch)
    }

    /// Makes the server forget what watches and transactions this domain has. Watches that are in use are set
    /// again, and transactions under way start over.
    pub async fn reset_watches(&self) -> Result<(), Error> {
        self.tell(Op::ResetWatches, &[b"\0"]).await
    }
}

impl<P: Platform> Clone for Xenstore<P> {
    fn clone(&self) -> Self {
        Self(View { link: self.0.link.clone(), tx: Tx::NONE })
    }
}

impl<P: Platform> Deref for Xenstore<P> {
    type Target = View<P>;
    fn deref(&self) -> &View<P> {
        &self.0
    }
}

impl<P: Platform> fmt::Debug for Xenstore<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Xenstore").field(&self.state()).finish()
    }
}

/// Waits until one of the two is ready.
async fn either<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| match a.as_mut().poll(cx).is_ready() || b.as_mut().poll(cx).is_ready() {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Lets the other tasks have their turn.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if core::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
