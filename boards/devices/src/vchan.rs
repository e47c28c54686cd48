//! Where a vchan is, in words of a command line, and watching over one with a clock.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use fata_rt::Rt;
use fata_vchan::{Error, Fixed, Meeting, Offer, Orders, StorePath, Vchan};
use fata_xenstore::Xenstore;
use xen_hyp::{Channel, DomId, GrantRef, Platform, Port, Signal, Xen, XenError};

/// What words say of a vchan:
///
/// | word | meaning |
/// |---|---|
/// | `serve=DOM`, `connect=DOM` | which end we are, and which domain has the other |
/// | `name=NAME` | a named service, at Qubes' `data/vchan/CLIENT/NAME` of the server |
/// | `path=PATH` | any path in Xenstore; a relative one is below our own domain's |
/// | `port=N gref=N` | numbers instead of Xenstore: our port of a static event channel, and the server's grant |
/// | `orders=L,R`, `orders=N` | sizes of the rings: that which the client writes, and that which the server writes |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Whether we are the server.
    pub serve: bool,
    /// The other domain.
    pub peer: DomId,
    /// The service's name.
    pub name: String,
    /// A path instead.
    pub path: Option<String>,
    /// A port instead.
    pub port: Option<Port>,
    /// The grant that goes with it.
    pub gref: GrantRef,
    /// What the rings are like. The client need not know.
    pub orders: Option<Orders>,
}

impl Wish {
    /// Rings where nobody asks for others.
    pub const ORDERS: Orders = Orders::both(12);

    /// To serve dom0 by this name, unless words say otherwise.
    pub fn new(name: &str) -> Self {
        Self {
            serve: true,
            peer: DomId::DOM0,
            name: name.to_string(),
            path: None,
            port: None,
            gref: GrantRef(Self::GREF),
            orders: None,
        }
    }

    /// Where static meetings are, unless they agreed on another: the first entry that is not reserved, which is the last
    /// of its frame to be used for anything else.
    pub const GREF: u32 = 8;

    /// Takes in a word, if it is one of ours and makes sense.
    pub fn word(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "serve" | "connect" => {
                self.serve = name == "serve";
                self.peer = DomId(value.parse().ok()?);
            }
            "name" => self.name = value.to_string(),
            "path" => self.path = Some(value.to_string()),
            "port" => self.port = Some(Port(value.parse().ok()?)),
            "gref" => self.gref = GrantRef(value.parse().ok()?),
            "orders" => {
                let (left, right) = value.split_once(',').unwrap_or((value, value));
                self.orders = Some(Orders { left: left.parse().ok()?, right: right.parse().ok()? });
            }
            _ => return None,
        }
        Some(())
    }

    /// Where that is. `None` if it takes Xenstore and there is none.
    pub fn place<P: Platform>(
        &self,
        xen: &Rc<Xen<P>>,
        store: Option<&Xenstore<P>>,
    ) -> Result<Option<Place<P>>, XenError> {
        if let Some(port) = self.port {
            return Ok(Some(Place::Fixed(Fixed { peer: self.peer, port, gref: self.gref })));
        }
        let Some(store) = store else { return Ok(None) };
        Ok(Some(Place::Store(match &self.path {
            Some(path) => StorePath::new(xen, store, self.peer, path.clone()),
            None if self.serve => StorePath::serving(xen, store, self.peer, &self.name),
            None => StorePath::seeking(xen, store, self.peer, &self.name)?,
        })))
    }
}

/// Either way to meet.
pub enum Place<P: Platform> {
    /// In Xenstore.
    Store(StorePath<P>),
    /// By numbers.
    Fixed(Fixed),
}

impl<P: Platform> Meeting<P> for Place<P> {
    fn peer(&self) -> DomId {
        match self {
            Self::Store(place) => Meeting::<P>::peer(place),
            Self::Fixed(place) => Meeting::<P>::peer(place),
        }
    }

    fn is_fixed(&self) -> bool {
        matches!(self, Self::Fixed(_))
    }

    fn gref(&self) -> Option<GrantRef> {
        match self {
            Self::Store(_) => None,
            Self::Fixed(place) => Some(place.gref),
        }
    }

    fn listen(&self, xen: &Rc<Xen<P>>) -> Result<Channel<P>, XenError> {
        match self {
            Self::Store(place) => place.listen(xen),
            Self::Fixed(place) => place.listen(xen),
        }
    }

    fn join(&self, xen: &Rc<Xen<P>>, offer: Offer) -> Result<Channel<P>, XenError> {
        match self {
            Self::Store(place) => place.join(xen, offer),
            Self::Fixed(place) => place.join(xen, offer),
        }
    }

    async fn offer(&self, offer: Offer) -> Result<(), Error> {
        match self {
            Self::Store(place) => place.offer(offer).await,
            Self::Fixed(_) => Ok(()),
        }
    }

    async fn attend(&self) {
        match self {
            Self::Store(place) => place.attend().await,
            Self::Fixed(place) => Meeting::<P>::attend(place).await,
        }
    }

    async fn withdraw(&self) -> Result<(), Error> {
        match self {
            Self::Store(place) => place.withdraw().await,
            Self::Fixed(_) => Ok(()),
        }
    }

    async fn stirs(&self, look: impl FnMut(bool) -> bool) {
        match self {
            Self::Store(place) => place.stirs(look).await,
            Self::Fixed(place) => Meeting::<P>::stirs(place, look).await,
        }
    }

    async fn seek(&self, stale: Option<Offer>) -> Result<Offer, Error> {
        match self {
            Self::Store(place) => place.seek(stale).await,
            Self::Fixed(place) => Meeting::<P>::seek(place, stale).await,
        }
    }
}

impl<P: Platform> fmt::Display for Place<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(place) => f.write_str(place.path()),
            Self::Fixed(place) => f.write_str(&format!("port {}, grant {}", place.port.0, place.gref.0)),
        }
    }
}

/// How long after the other end has lost its place its domain is looked for, and then after twice that time again, and so
/// on: its end takes a toolstack some time.
const FIRST_LOOK: Duration = Duration::from_millis(50);
/// How often: for 25 s in all.
const LOOKS: u32 = 9;

/// Waits for the end of a vchan, and watches over the other end's existence meanwhile: by what `place` says of it, and by
/// a look `every` so often, if that is given. A look is a hypercall and a wake-up. What Xenstore says costs nothing until
/// it says something.
pub async fn guard<P: Platform>(
    rt: &Rt,
    vchan: &Vchan<P>,
    place: &Place<P>,
    every: Option<Duration>,
) -> Error {
    let gone = Signal::new();
    let mut news = pin!(place.stirs(|no_place| {
        if no_place {
            gone.fire();
        }
        vchan.probe()
    }));
    let mut looks = pin!(async {
        let Some(every) = every else { return };
        loop {
            rt.sleep(every).await;
            vchan.probe();
        }
    });
    let mut last_looks = pin!(async {
        let mut seen = gone.seen();
        loop {
            seen = gone.after(seen).await;
            for n in 0..LOOKS {
                rt.sleep(FIRST_LOOK * (1 << n)).await;
                vchan.probe();
            }
        }
    });
    let mut ended = pin!(vchan.ended());
    let mut over = [false; 2];
    poll_fn(|cx| {
        over[0] = over[0] || news.as_mut().poll(cx).is_ready();
        over[1] = over[1] || looks.as_mut().poll(cx).is_ready();
        // Never over.
        let _: Poll<()> = last_looks.as_mut().poll(cx);
        ended.as_mut().poll(cx)
    })
    .await
}

/// How often it is looked whether a client has closed, in the same way: for 6 s in all.
const LOOKS_FOR_CLOSE: u32 = 7;

/// Closes a vchan; gives whether all that was lent is back. A client has some seconds to close, and then some more to let
/// go: Linux unmaps pages that are still in use somewhere when they are not any more, and sends no event.
pub async fn close<P: Platform>(rt: &Rt, xen: &Xen<P>, vchan: Vchan<P>) -> bool {
    {
        let mut closed = pin!(vchan.close());
        for n in 0..LOOKS_FOR_CLOSE {
            match rt.timeout(FIRST_LOOK * (1 << n), closed.as_mut()).await {
                Ok(true) => return true,
                Ok(false) => break,
                Err(_) => {}
            }
        }
    }
    for n in 0..LOOKS {
        if xen.reclaim_grants() == 0 {
            return true;
        }
        rt.sleep(FIRST_LOOK * (1 << n)).await;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_where_it_is() {
        let mut wish = Wish::new("echo");
        for (name, value) in [("connect", "3"), ("orders", "10,11"), ("port", "7"), ("gref", "9")] {
            wish.word(name, value).unwrap();
        }
        assert_eq!((wish.serve, wish.peer), (false, DomId(3)));
        assert_eq!(wish.orders, Some(Orders { left: 10, right: 11 }));
        assert_eq!((wish.port, wish.gref), (Some(Port(7)), GrantRef(9)));
        for (name, value) in
            [("serve", "dom0"), ("orders", "1,"), ("orders", ""), ("port", "-1"), ("other", "1")]
        {
            assert_eq!(wish.word(name, value), None, "{name}={value}");
        }
        wish.word("orders", "16").unwrap();
        assert_eq!(wish.orders, Some(Orders::both(16)));
    }
}
