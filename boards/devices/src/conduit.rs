//! vchan by address: what follows `vchan://` in [`fata_conduit`]'s addresses.
//!
//! `DOMAIN/NAME` is the other domain and the service's name, as in [`Wish`]; behind a `?` there may be
//! its words with `&` between them, and `streams=N`. A vchan is one stream between two domains, and for N of them at a time
//! there are N vchans, `NAME-0` and so on. Both ends must be told the same number.
//!
//! A name alone, as in `vchan://logger`, is that of a vchan that was laid out before the domains started
//! (`Vchans::with_statics`, feature `statics`); so is any other that one of these has.
//!
//! The other domain is a number, or a name whose number is, or will be, at `data/peers/` of our own domain in Xenstore. Numbers
//! are known when domains have been created, which is too late for their command lines. A listener follows that node when a
//! peer is created anew.

use crate::vchan::{Place, Wish, close, guard};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::future::{Future, pending, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use embedded_io_async::ErrorKind;
use fata_conduit::{Accept, Duplex, Outside};
use fata_rt::Rt;
use fata_vchan::{Meeting, Vchan, connect, listen};
#[cfg(feature = "statics")]
use fata_vchan::{StaticPlace, StaticVchan};
use fata_xenstore::{Watch, Xenstore};
use xen_hyp::{DomId, Platform, Signal, Xen};

#[cfg(feature = "statics")]
mod statics;

/// Streams of one service at a time, at most: each has two rings and a grant for each of their pages.
const MOST: usize = 64;
/// How long a server may take to close what its client has finished with, before the client just goes.
const PARTING: Duration = Duration::from_secs(5);

/// How long it is waited before what was refused is tried again: twice as long each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// Where the numbers of domains are that addresses name, below our own domain's path.
const PEERS: &str = "data/peers";

/// Why there is no stream by vchan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// What follows `vchan://` makes no sense here.
    Word(String),
    /// This domain has no Xenstore, and the address no port.
    NoStore,
    /// The vchan itself.
    Vchan(fata_vchan::Error),
}

impl Error {
    /// Whether there is no use in trying again.
    fn is_for_good(&self) -> bool {
        use fata_vchan::Error::{Forbidden, Orders};
        matches!(self, Self::Word(_) | Self::NoStore | Self::Vchan(Forbidden(_) | Orders(_)))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "vchan makes no sense at {word}"),
            Self::NoStore => f.write_str("this domain has no Xenstore, and the address no port"),
            Self::Vchan(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Word(_) => ErrorKind::InvalidInput,
            Self::NoStore => ErrorKind::Unsupported,
            Self::Vchan(error) => error.kind(),
        }
    }
}

impl From<fata_vchan::Error> for Error {
    fn from(error: fata_vchan::Error) -> Self {
        Self::Vchan(error)
    }
}

/// A service, as an address names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Service {
    wish: Wish,
    /// Who has the other end, if that is to be looked up.
    peer: Option<String>,
    streams: usize,
}

impl Service {
    /// Reads one for the server or the client.
    fn parse(text: &str, serve: bool) -> Result<Self, Error> {
        let (place, words) = text.split_once('?').unwrap_or((text, ""));
        let (domain, name) = place.split_once('/').ok_or_else(|| Error::Word(place.into()))?;
        let is_name = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if !is_name(domain) || !is_name(name) {
            return Err(Error::Word(place.into()));
        }
        let mut wish = Wish::new(name);
        wish.serve = serve;
        let is_number = domain.bytes().all(|byte| byte.is_ascii_digit());
        if is_number {
            wish.peer = DomId(domain.parse().map_err(|_| Error::Word(place.into()))?);
        }
        let peer = (!is_number).then(|| domain.into());
        let mut streams = 1;
        for word in words.split('&').filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let taken = match name {
                "streams" => value.parse().ok().filter(|n| (1..=MOST).contains(n)).map(|n| streams = n),
                "orders" | "path" | "port" | "gref" => wish.word(name, value),
                _ => None,
            };
            taken.ok_or_else(|| Error::Word(word.into()))?;
        }
        // Numbers and paths are of one vchan.
        if streams > 1 && (wish.port.is_some() || wish.path.is_some()) {
            return Err(Error::Word(format!("streams={streams}")));
        }
        Ok(Self { wish, peer, streams })
    }

    /// The peer, if it has to be looked up.
    fn peer<P: Platform>(&self, store: Option<&Xenstore<P>>) -> Result<Option<Peer<P>>, Error> {
        let Some(name) = &self.peer else { return Ok(None) };
        let store = store.ok_or(Error::NoStore)?;
        let path = format!("{PEERS}/{name}");
        let watch = store.watch(&path).map_err(fata_vchan::Error::Store)?;
        Ok(Some(Peer { store: store.clone(), path, watch }))
    }

    /// Where one of its streams is, with its peer once that is known.
    fn place<P: Platform>(
        &self,
        number: usize,
        peer: Option<DomId>,
        xen: &Rc<Xen<P>>,
        store: Option<&Xenstore<P>>,
    ) -> Result<Place<P>, Error> {
        let mut wish = self.wish.clone();
        wish.peer = peer.unwrap_or(wish.peer);
        if self.streams > 1 {
            wish.name = format!("{}-{number}", wish.name);
        }
        let place = wish.place(xen, store).map_err(|error| Error::Vchan(fata_vchan::Error::Xen(error)))?;
        place.ok_or(Error::NoStore)
    }
}

/// A domain whose number is in Xenstore.
struct Peer<P: Platform> {
    store: Xenstore<P>,
    path: String,
    watch: Watch,
}

impl<P: Platform> Peer<P> {
    /// Waits for its number.
    async fn id(&mut self) -> Result<DomId, fata_vchan::Error> {
        loop {
            match self.store.try_read_number(&self.path).await {
                Ok(Some(id)) => return Ok(DomId(id)),
                // What is no number yet will be one.
                Ok(None) | Err(fata_xenstore::Error::BadValue) => self.watch.changed().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until it has another number than this, or none.
    async fn leaves(&mut self, id: DomId) -> Result<(), fata_vchan::Error> {
        while self.store.try_read_number(&self.path).await == Ok(Some(id.0)) {
            self.watch.changed().await?;
        }
        Ok(())
    }
}

/// Opens and accepts vchans by address. Clones know of each other's.
pub struct Vchans<P: Platform> {
    rt: Rt,
    xen: Rc<Xen<P>>,
    store: Option<Xenstore<P>>,
    /// Which streams of which services we are a client of.
    used: Rc<RefCell<BTreeMap<String, Vec<bool>>>>,
    freed: Rc<Signal>,
    #[cfg(feature = "statics")]
    statics: Rc<[(String, StaticPlace)]>,
}

impl<P: Platform> Clone for Vchans<P> {
    fn clone(&self) -> Self {
        Self {
            rt: self.rt.clone(),
            xen: self.xen.clone(),
            store: self.store.clone(),
            used: self.used.clone(),
            freed: self.freed.clone(),
            #[cfg(feature = "statics")]
            statics: self.statics.clone(),
        }
    }
}

impl<P: Platform> Vchans<P> {
    /// Without a store there are only vchans by numbers.
    pub fn new(rt: &Rt, xen: &Rc<Xen<P>>, store: Option<&Xenstore<P>>) -> Self {
        let (used, freed) = (Rc::default(), Rc::new(Signal::new()));
        Self {
            rt: rt.clone(),
            xen: xen.clone(),
            store: store.cloned(),
            used,
            freed,
            #[cfg(feature = "statics")]
            statics: Rc::default(),
        }
    }

    /// With these that were laid out before this domain started, by name. Whose the server's block is, and who listens, need
    /// not be the same.
    #[cfg(feature = "statics")]
    pub fn with_statics(self, statics: impl IntoIterator<Item = (String, StaticPlace)>) -> Self {
        Self { statics: statics.into_iter().collect(), ..self }
    }

    /// Waits until one of a service's streams is not in use.
    async fn take(&self, name: &str, streams: usize) -> Taken {
        let number = self
            .freed
            .until(|| {
                let mut used = self.used.borrow_mut();
                let used = used.entry(name.into()).or_insert_with(|| vec![false; streams]);
                let number = used.iter().position(|used| !used)?;
                used[number] = true;
                Some(number)
            })
            .await;
        Taken { used: self.used.clone(), freed: self.freed.clone(), name: name.into(), number }
    }
}

/// A stream of a service that is ours, until this is dropped.
struct Taken {
    used: Rc<RefCell<BTreeMap<String, Vec<bool>>>>,
    freed: Rc<Signal>,
    name: String,
    number: usize,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut used = self.used.borrow_mut();
        if let Some(numbers) = used.get_mut(&self.name) {
            numbers[self.number] = false;
            if !numbers.contains(&true) {
                used.remove(&self.name);
            }
        }
        drop(used);
        self.freed.fire();
    }
}

impl<P: Platform> Outside for Vchans<P> {
    type Error = Error;
    type Stream = VchanStream<P>;
    type Listener = VchanListener<P>;

    async fn connect(&self, to: &str) -> Result<VchanStream<P>, Error> {
        #[cfg(feature = "statics")]
        if let Some(place) = self.statics(to) {
            return self.connect_static(to, place).await;
        }
        let service = Service::parse(to, false)?;
        let taken = self.take(to, service.streams).await;
        let peer = match service.peer(self.store.as_ref())? {
            Some(mut peer) => Some(peer.id().await?),
            None => None,
        };
        let place = service.place(taken.number, peer, &self.xen, self.store.as_ref())?;
        let vchan = Rc::new(connect(&self.xen, &place, service.wish.orders).await?);
        let stream = VchanStream::new(Carrier::Lent(vchan.clone()));
        let (rt, xen, dropped) = (self.rt.clone(), self.xen.clone(), stream.dropped.clone());
        drop(self.rt.spawn(async move {
            in_use(&rt, &vchan, &place, &dropped).await;
            // The server closes when it has read the end, and takes what it offered back first: whoever comes next must
            // not find this vchan again.
            vchan.finish();
            let _ = rt.timeout(PARTING, vchan.ended()).await;
            if let Some(vchan) = Rc::into_inner(vchan) {
                close(&rt, &xen, vchan).await;
            }
            drop(taken);
        }));
        Ok(stream)
    }

    fn listen(&self, at: &str) -> Result<VchanListener<P>, Error> {
        #[cfg(feature = "statics")]
        if let Some(place) = self.statics(at) {
            return Ok(self.listen_static(place));
        }
        let service = Service::parse(at, true)?;
        let arrivals = Rc::new(Arrivals::default());
        // What cannot be is refused at once.
        service.peer(self.store.as_ref())?;
        service.place(0, None, &self.xen, self.store.as_ref())?;
        for number in 0..service.streams {
            let (vchans, service, arrivals) = (self.clone(), service.clone(), arrivals.clone());
            drop(self.rt.spawn(async move {
                if let Err(error) = vchans.serve(&service, number, &arrivals).await {
                    arrivals.fail(error);
                }
            }));
        }
        Ok(VchanListener { arrivals })
    }
}

impl<P: Platform> Vchans<P> {
    /// Has one client after the other come to one place, until nobody waits for them any more. What is refused today may be
    /// had tomorrow: it is tried again, after longer and longer pauses.
    async fn serve(&self, service: &Service, number: usize, arrivals: &Arrivals<P>) -> Result<(), Error> {
        let mut peer = service.peer(self.store.as_ref())?;
        let mut pause = FIRST_PAUSE;
        while !arrivals.is_unwanted() {
            match self.serve_one(service, number, &mut peer, arrivals).await {
                Ok(()) => pause = FIRST_PAUSE,
                Err(error) if error.is_for_good() => return Err(error),
                Err(error) => {
                    fata_log::warn!("vchan {}: {}, which is tried again", &service.wish.name[..], error);
                    let _: Option<()> = either(arrivals.unwanted(), self.rt.sleep(pause)).await;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
            }
        }
        Ok(())
    }

    /// Waits for a client, and until it has gone again.
    async fn serve_one(
        &self,
        service: &Service,
        number: usize,
        peer: &mut Option<Peer<P>>,
        arrivals: &Arrivals<P>,
    ) -> Result<(), Error> {
        let Self { rt, xen, store, .. } = self;
        let id = match peer {
            Some(peer) => match either(arrivals.unwanted(), peer.id()).await {
                Some(id) => Some(id?),
                None => return Ok(()),
            },
            None => None,
        };
        let place = service.place(number, id, xen, store.as_ref())?;
        let listener = listen(xen, &place, service.wish.orders.unwrap_or(Wish::ORDERS)).await?;
        let left = async {
            match peer.as_mut().zip(id) {
                Some((peer, id)) => peer.leaves(id).await,
                None => pending().await,
            }
        };
        let vchan = match either(arrivals.unwanted(), either(left, listener.accept())).await {
            Some(Some(vchan)) => Rc::new(vchan),
            _ => return Ok(place.withdraw().await?),
        };
        let dropped = arrivals.push(Carrier::Lent(vchan.clone()));
        in_use(rt, &vchan, &place, &dropped).await;
        let withdrawn = place.withdraw().await;
        if let Some(vchan) = Rc::into_inner(vchan) {
            close(rt, xen, vchan).await;
        }
        Ok(withdrawn?)
    }
}

/// What the second gives, unless the first ends before.
async fn either<U, T>(until: impl Future<Output = U>, wanted: impl Future<Output = T>) -> Option<T> {
    let (mut until, mut wanted) = (pin!(until), pin!(wanted));
    poll_fn(|cx| match until.as_mut().poll(cx) {
        Poll::Ready(_) => Poll::Ready(None),
        Poll::Pending => wanted.as_mut().poll(cx).map(Some),
    })
    .await
}

/// Waits until a stream is dropped, and looks after it meanwhile.
async fn in_use<P: Platform>(rt: &Rt, vchan: &Vchan<P>, place: &Place<P>, dropped: &Signal) {
    let mut guarded = pin!(guard(rt, vchan, place, None));
    let mut is_over = false;
    let mut dropped = pin!(has_fired(dropped));
    poll_fn(|cx| {
        // Who reads or writes it hears of its end.
        is_over = is_over || guarded.as_mut().poll(cx).is_ready();
        dropped.as_mut().poll(cx)
    })
    .await;
}

async fn has_fired(signal: &Signal) {
    signal.until(|| (signal.count() > 0).then_some(())).await
}

/// What carries a stream: a vchan whose memory one domain lends the other, or one whose memory both were given.
enum Carrier<P: Platform> {
    Lent(Rc<Vchan<P>>),
    #[cfg(feature = "statics")]
    Static(Rc<StaticVchan<P>>),
}

/// A stream by vchan.
pub struct VchanStream<P: Platform> {
    carrier: Option<Carrier<P>>,
    dropped: Rc<Signal>,
}

impl<P: Platform> VchanStream<P> {
    fn new(carrier: Carrier<P>) -> Self {
        Self { carrier: Some(carrier), dropped: Rc::new(Signal::new()) }
    }

    fn carrier(&self) -> &Carrier<P> {
        self.carrier.as_ref().expect("it has its vchan until it is dropped")
    }
}

impl<P: Platform> Duplex for VchanStream<P> {
    type Error = Error;

    async fn read(&self, into: &mut [u8]) -> Result<usize, Error> {
        Ok(match self.carrier() {
            Carrier::Lent(vchan) => vchan.read(into).await?,
            #[cfg(feature = "statics")]
            Carrier::Static(vchan) => vchan.read(into).await?,
        })
    }

    async fn write(&self, from: &[u8]) -> Result<usize, Error> {
        Ok(match self.carrier() {
            Carrier::Lent(vchan) => vchan.write(from).await?,
            #[cfg(feature = "statics")]
            Carrier::Static(vchan) => vchan.write(from).await?,
        })
    }

    fn finish(&self) {
        match self.carrier() {
            Carrier::Lent(vchan) => vchan.finish(),
            #[cfg(feature = "statics")]
            Carrier::Static(vchan) => vchan.finish(),
        }
    }
}

impl<P: Platform> Drop for VchanStream<P> {
    fn drop(&mut self) {
        // First, so that who waits for this is the only one to have it.
        self.carrier = None;
        self.dropped.fire();
    }
}

/// Waits for clients of a service, as many at a time as it has streams.
pub struct VchanListener<P: Platform> {
    arrivals: Rc<Arrivals<P>>,
}

impl<P: Platform> Drop for VchanListener<P> {
    /// Those that are open stay so.
    fn drop(&mut self) {
        self.arrivals.waiting.take();
        self.arrivals.unwanted.fire();
    }
}

struct Arrivals<P: Platform> {
    waiting: RefCell<VecDeque<VchanStream<P>>>,
    failed: RefCell<Option<Error>>,
    news: Signal,
    /// Fires when nobody waits any more.
    unwanted: Signal,
}

impl<P: Platform> Default for Arrivals<P> {
    fn default() -> Self {
        Self {
            waiting: RefCell::default(),
            failed: RefCell::default(),
            news: Signal::new(),
            unwanted: Signal::new(),
        }
    }
}

impl<P: Platform> Arrivals<P> {
    /// Gives what fires when the stream is dropped.
    fn push(&self, carrier: Carrier<P>) -> Rc<Signal> {
        let stream = VchanStream::new(carrier);
        let dropped = stream.dropped.clone();
        self.waiting.borrow_mut().push_back(stream);
        self.news.fire();
        dropped
    }

    fn is_unwanted(&self) -> bool {
        self.unwanted.count() > 0
    }

    async fn unwanted(&self) {
        has_fired(&self.unwanted).await
    }

    fn fail(&self, error: Error) {
        self.failed.replace(Some(error));
        self.news.fire();
    }
}

impl<P: Platform> Accept for VchanListener<P> {
    type Error = Error;
    type Stream = VchanStream<P>;

    async fn accept(&self) -> Result<VchanStream<P>, Error> {
        let arrivals = &self.arrivals;
        let next = || match arrivals.waiting.borrow_mut().pop_front() {
            Some(stream) => Some(Ok(stream)),
            None => arrivals.failed.borrow().clone().map(Err),
        };
        arrivals.news.until(next).await
    }
}
