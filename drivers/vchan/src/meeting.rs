//! How two ends find each other.

use crate::error::Error;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::cell::RefCell;
use core::future::{Future, pending, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll};
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

    /// Takes the offer back, when the vchan has ended.
    fn withdraw(&self) -> impl Future<Output = Result<(), Error>>;

    /// Calls `look` whenever something has happened from which the other end may have vanished, until it gives false.
    /// Waits for ever where nothing tells.
    fn stirs(&self, look: impl FnMut() -> bool) -> impl Future<Output = ()>;

    /// Waits for an offer; if one is known to be stale, for another, or for the same made anew.
    fn seek(&self, stale: Option<Offer>) -> impl Future<Output = Result<Offer, Error>>;
}

/// A path in Xenstore under which the server writes `ring-ref` and `event-channel`, as libxenvchan does.
pub struct StorePath<P: Platform> {
    store: Xenstore<P>,
    xen: Rc<Xen<P>>,
    peer: DomId,
    path: String,
    /// Kept, so that no change is missed between two looks.
    watch: RefCell<Option<Watch>>,
}

impl<P: Platform> StorePath<P> {
    /// This path; relative ones are below our own domain's, as in `data/vchan`. Both ends have to name the same node.
    pub fn new(xen: &Rc<Xen<P>>, store: &Xenstore<P>, peer: DomId, path: impl Into<String>) -> Self {
        Self { store: store.clone(), xen: xen.clone(), peer, path: path.into(), watch: RefCell::default() }
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

    async fn look(&self) -> Result<Option<Offer>, Error> {
        let number = async |name: &str| {
            let number = self.store.try_read_number::<u32>(&format!("{}/{name}", self.path)).await;
            match number {
                // Until the server says that we may read it, and if it is no number, there is none.
                Err(StoreError::Store(Errno::EACCES) | StoreError::BadValue) => Ok(None),
                other => other,
            }
        };
        let (gref, port) = (number("ring-ref").await?, number("event-channel").await?);
        Ok(gref.zip(port).map(|(gref, port)| Offer { gref: GrantRef(gref), port: Port(port) }))
    }
}

impl<P: Platform> Meeting<P> for StorePath<P> {
    fn peer(&self) -> DomId {
        self.peer
    }

    async fn offer(&self, offer: Offer) -> Result<(), Error> {
        let perms = Perms::shared(self.xen.domid().map_err(Error::Xen)?, self.peer, Access::Read);
        let nodes = [("ring-ref", offer.gref.0), ("event-channel", offer.port.0)];
        let written = self.store.transaction(async |store| {
            for (name, value) in nodes {
                let path = format!("{}/{name}", self.path);
                store.write(&path, value.to_string()).await?;
                store.set_perms(&path, &perms).await?;
            }
            Ok(())
        });
        written.await.map_err(Error::Store)
    }

    async fn withdraw(&self) -> Result<(), Error> {
        match self.store.rm(&self.path).await {
            Err(StoreError::ENOENT) => Ok(()),
            done => done.map_err(Error::Store),
        }
    }

    async fn stirs(&self, mut look: impl FnMut() -> bool) {
        // A client sees the server's node go with its domain; a server needs to be told of domains.
        let (here, there) = (self.store.watch(&self.path), self.store.watch("@releaseDomain"));
        let (Ok(mut here), Ok(mut there)) = (here, there) else { return pending().await };
        loop {
            let mut changed = pin!(here.changed());
            let mut released = pin!(there.changed());
            let mut deaf = [false; 2];
            let stir = poll_fn(|cx| {
                // One that the server refuses tells nothing, and the other may yet.
                let mut hear =
                    |n: usize, poll: &mut dyn FnMut(&mut Context<'_>) -> Poll<Result<(), StoreError>>| {
                        let heard = if deaf[n] { Poll::Pending } else { poll(cx) };
                        deaf[n] |= matches!(heard, Poll::Ready(Err(_)));
                        matches!(heard, Poll::Ready(Ok(())))
                    };
                let first = hear(0, &mut |cx| changed.as_mut().poll(cx));
                let other = hear(1, &mut |cx| released.as_mut().poll(cx));
                if first || other { Poll::Ready(()) } else { Poll::Pending }
            });
            stir.await;
            if !look() {
                return;
            }
        }
    }

    async fn seek(&self, stale: Option<Offer>) -> Result<Offer, Error> {
        let known = self.watch.take();
        let mut watch = known.map_or_else(|| self.store.watch(&self.path), Ok)?;
        // A server that was started again may well have the numbers of the one before.
        let mut stale = stale;
        let offer = loop {
            match self.look().await? {
                Some(offer) if Some(offer) != stale => break offer,
                _ => watch.changed().await?,
            }
            stale = None;
        };
        self.watch.replace(Some(watch));
        Ok(offer)
    }
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

    async fn withdraw(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn stirs(&self, _: impl FnMut() -> bool) {
        pending().await
    }

    async fn seek(&self, _: Option<Offer>) -> Result<Offer, Error> {
        Ok(Offer { gref: self.gref, port: self.port })
    }
}
