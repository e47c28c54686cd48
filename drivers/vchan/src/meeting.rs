//! How two ends find each other.

use crate::error::Error;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::cell::{Cell, RefCell};
use core::future::{Future, pending, poll_fn};
use core::pin::pin;
use core::task::Poll;
use fata_xenstore::{Access, Errno, Error as StoreError, Perms, Watch, Xenstore};
use xen_hyp::{Channel, DomId, GrantRef, Platform, Port, Xen, XenError};

/// Where a vchan is: what its client has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The control page, lent by the server.
    pub gref: GrantRef,
    /// The server's port.
    pub port: Port,
}

/// How a server and a client find each other.
pub trait Meeting<P: Platform> {
    /// The domain at the other end.
    fn peer(&self) -> DomId;

    /// Whether all numbers were given beforehand, so that there is never another offer.
    fn is_fixed(&self) -> bool {
        false
    }

    /// The reference by which the server has to lend its control page, if that is agreed on.
    fn gref(&self) -> Option<GrantRef> {
        None
    }

    /// The server's event channel.
    fn listen(&self, xen: &Rc<Xen<P>>) -> Result<Channel<P>, XenError> {
        xen.listen(self.peer())
    }

    /// The client's.
    fn join(&self, xen: &Rc<Xen<P>>, offer: Offer) -> Result<Channel<P>, XenError> {
        xen.connect(self.peer(), offer.port)
    }

    /// Lets the client know.
    fn offer(&self, offer: Offer) -> impl Future<Output = Result<(), Error>>;

    /// Sees to it that the client can take the offer, however late it comes; never ends.
    fn attend(&self) -> impl Future<Output = ()>;

    /// Takes the offer back, when the vchan has ended.
    fn withdraw(&self) -> impl Future<Output = Result<(), Error>>;

    /// Calls `look` whenever something has happened from which the other end may have vanished, until it gives false. It
    /// gets whether the other end has no place here any more: a toolstack takes that away first, and then the domain.
    /// Waits for ever where nothing tells.
    fn stirs(&self, look: impl FnMut(bool) -> bool) -> impl Future<Output = ()>;

    /// Waits for an offer; if one is known to be stale, for another, or for the same made anew.
    fn seek(&self, stale: Option<Offer>) -> impl Future<Output = Result<Offer, Error>>;
}

/// A path in Xenstore under which the server writes `ring-ref` and `event-channel`, as libxenvchan does.
///
/// The client also writes a node, `data/vchan-seeks/SERVER` below its own, which no other implementation knows. The server
/// watches it, for two reasons. Xenstore takes no notice of permissions for a domain that did not exist when they were
/// given (XSA-322), so a client that was made after them has to ask for them anew. And it goes with its domain, which the
/// server has no other way to hear of.
pub struct StorePath<P: Platform> {
    store: Xenstore<P>,
    xen: Rc<Xen<P>>,
    peer: DomId,
    path: String,
    serves: Cell<bool>,
    /// Kept, so that no change is missed between two looks.
    watches: RefCell<Option<[Watch; 2]>>,
}

/// What is watched are these and not the node above, which goes without a word to those who may not read it.
const RING_REF: &str = "ring-ref";
const EVENT_CHANNEL: &str = "event-channel";

impl<P: Platform> StorePath<P> {
    /// This path; relative ones are below our own domain's, as in `data/vchan`. Both ends have to name the same node.
    pub fn new(xen: &Rc<Xen<P>>, store: &Xenstore<P>, peer: DomId, path: impl Into<String>) -> Self {
        let (serves, watches) = (Cell::new(false), RefCell::default());
        Self { store: store.clone(), xen: xen.clone(), peer, path: path.into(), serves, watches }
    }

    /// For the server of a named service, Qubes' `data/vchan/DOM/PORT`.
    pub fn serving(xen: &Rc<Xen<P>>, store: &Xenstore<P>, client: DomId, name: &str) -> Self {
        Self::new(xen, store, client, format!("data/vchan/{}/{name}", client.0))
    }

    /// For the client of a named service.
    pub fn seeking(
        xen: &Rc<Xen<P>>,
        store: &Xenstore<P>,
        server: DomId,
        name: &str,
    ) -> Result<Self, XenError> {
        let path = format!("/local/domain/{}/data/vchan/{}/{name}", server.0, xen.domid()?.0);
        Ok(Self::new(xen, store, server, path))
    }

    /// Where the offer is.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn node(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    async fn look(&self) -> Result<Option<Offer>, Error> {
        let number = async |name: &str| {
            let number = self.store.try_read_number::<u32>(&self.node(name)).await;
            match number {
                // Until the server says that we may read it, and if it is no number, there is none.
                Err(StoreError::Store(Errno::EACCES) | StoreError::BadValue) => Ok(None),
                other => other,
            }
        };
        let (gref, port) = (number(RING_REF).await?, number(EVENT_CHANNEL).await?);
        Ok(gref.zip(port).map(|(gref, port)| Offer { gref: GrantRef(gref), port: Port(port) }))
    }

    /// Permissions for us and the other end.
    fn perms(&self) -> Result<Perms, Error> {
        Ok(Perms::shared(self.xen.domid().map_err(Error::Xen)?, self.peer, Access::Read))
    }

    /// The node by which the client makes itself known.
    fn seeks(&self) -> Result<String, XenError> {
        Ok(format!("/local/domain/{}/data/vchan-seeks/{}", self.peer.0, self.xen.domid()?.0))
    }

    /// Makes ourselves known.
    async fn knock(&self) -> Result<(), Error> {
        let perms = self.perms()?;
        let node = format!("data/vchan-seeks/{}", self.peer.0);
        let written = self.store.transaction(async |store| {
            store.write(&node, self.path.as_bytes()).await?;
            store.set_perms(&node, &perms).await
        });
        written.await.map_err(Error::Store)
    }

    /// What tells a server of its client, and a client of its server.
    fn watch_peer(&self) -> Option<Watch> {
        let node = if self.serves.get() { self.seeks().ok()? } else { self.node(RING_REF) };
        self.store.watch(&node).ok()
    }
}

impl<P: Platform> Meeting<P> for StorePath<P> {
    fn peer(&self) -> DomId {
        self.peer
    }

    async fn offer(&self, offer: Offer) -> Result<(), Error> {
        self.serves.set(true);
        let perms = self.perms()?;
        let nodes = [(RING_REF, offer.gref.0), (EVENT_CHANNEL, offer.port.0)];
        let written = self.store.transaction(async |store| {
            for (name, value) in nodes {
                let path = self.node(name);
                store.write(&path, value.to_string()).await?;
                store.set_perms(&path, &perms).await?;
            }
            Ok(())
        });
        written.await.map_err(Error::Store)
    }

    async fn attend(&self) {
        let (Some(mut watch), Ok(perms)) = (self.watch_peer(), self.perms()) else { return pending().await };
        // A new watch fires.
        while watch.changed().await.is_ok() {
            let given = self.store.transaction(async |store| {
                // In this order, for one that looks as soon as it may read the first.
                store.set_perms(&self.node(EVENT_CHANNEL), &perms).await?;
                store.set_perms(&self.node(RING_REF), &perms).await
            });
            // If they are gone, there is nothing to be seen.
            let _ = given.await;
        }
        pending().await
    }

    async fn withdraw(&self) -> Result<(), Error> {
        match self.store.rm(&self.path).await {
            Err(StoreError::ENOENT) => Ok(()),
            done => done.map_err(Error::Store),
        }
    }

    async fn stirs(&self, mut look: impl FnMut(bool) -> bool) {
        let Some(mut watch) = self.watch_peer() else { return pending().await };
        while watch.changed().await.is_ok() {
            // What cannot be read may as well be gone.
            let gone = !matches!(self.store.try_read(watch.path()).await, Ok(Some(_)));
            if !look(gone) {
                return;
            }
        }
        pending().await
    }

    async fn seek(&self, stale: Option<Offer>) -> Result<Offer, Error> {
        self.serves.set(false);
        let watch = |name: &str| self.store.watch(&self.node(name));
        let mut watches = match self.watches.take() {
            Some(watches) => watches,
            None => [watch(RING_REF)?, watch(EVENT_CHANNEL)?],
        };
        // One that may not write there is known to servers that do not need it.
        let _ = self.knock().await;
        // A server that was started again may well have the numbers of the one before.
        let mut stale = stale;
        let offer = loop {
            match self.look().await? {
                Some(offer) if Some(offer) != stale => break offer,
                _ => either(&mut watches).await?,
            }
            stale = None;
        };
        self.watches.replace(Some(watches));
        Ok(offer)
    }
}

/// Waits for a change of either.
async fn either([one, other]: &mut [Watch; 2]) -> Result<(), StoreError> {
    let (mut one, mut other) = (pin!(one.changed()), pin!(other.changed()));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Pending => other.as_mut().poll(cx),
        ready => ready,
    })
    .await
}

/// Numbers that both ends were given, for systems without Xenstore: event channels that Xen made when it started the
/// domains (`xen,evtchn-v1`, `docs/misc/arm/device-tree/booting.txt`), and a grant reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// The domain at the other end.
    pub peer: DomId,
    /// Our own port, bound to one of theirs.
    pub port: Port,
    /// The server's control page.
    pub gref: GrantRef,
}

impl<P: Platform> Meeting<P> for Fixed {
    fn peer(&self) -> DomId {
        self.peer
    }

    fn is_fixed(&self) -> bool {
        true
    }

    fn gref(&self) -> Option<GrantRef> {
        Some(self.gref)
    }

    fn listen(&self, xen: &Rc<Xen<P>>) -> Result<Channel<P>, XenError> {
        xen.adopt(self.port)
    }

    fn join(&self, xen: &Rc<Xen<P>>, _: Offer) -> Result<Channel<P>, XenError> {
        xen.adopt(self.port)
    }

    async fn offer(&self, _: Offer) -> Result<(), Error> {
        Ok(())
    }

    async fn attend(&self) {
        pending().await
    }

    async fn withdraw(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn stirs(&self, _: impl FnMut(bool) -> bool) {
        pending().await
    }

    async fn seek(&self, _: Option<Offer>) -> Result<Offer, Error> {
        Ok(Offer { gref: self.gref, port: self.port })
    }
}
