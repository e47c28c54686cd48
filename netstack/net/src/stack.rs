//! The stack as applications see it, and the task that keeps it going.

use crate::config::Config;
use crate::deadlines::sooner;
use crate::duplicates::Conflict;
use crate::engine::{Counts, Engine};
use crate::error::Error;
use crate::lease::Lease;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use fata_link::{Link, Status};
use fata_random::Random;
use fata_rt::{Rt, Sleep};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

/// A TCP/IP stack on one link. Clones are the same one.
#[derive(Clone)]
pub struct Stack {
    engine: Rc<RefCell<Engine>>,
    rt: Rt,
}

impl Stack {
    /// Starts a stack, which runs as long as the run loop. `config` must have been [checked](Config::check). What
    /// others should not foresee is drawn from `random`.
    pub fn start<L: Link + 'static>(rt: &Rt, link: L, config: Config, random: &Random) -> Self {
        let engine = Rc::new(RefCell::new(Engine::new(config, random.clone())));
        let mut task = Task {
            rt: rt.clone(),
            link,
            engine: engine.clone(),
            news: None,
            more: false,
            link_due: None,
            sleep: None,
        };
        drop(rt.spawn(poll_fn::<(), _>(move |cx| task.poll(cx))));
        Self { engine, rt: rt.clone() }
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Engine) -> R) -> R {
        f(&mut self.engine.borrow_mut())
    }

    /// The run loop that the stack is on.
    pub fn rt(&self) -> &Rt {
        &self.rt
    }

    /// How it stands with the link.
    pub fn link(&self) -> Status {
        self.with(|engine| engine.status)
    }

    /// The addresses that the interface has now.
    pub fn addresses(&self) -> Vec<IpCidr> {
        self.with(|engine| match &engine.interface {
            Some(interface) => interface.ip_addrs().to_vec(),
            None => Vec::new(),
        })
    }

    /// Multicast groups whose frames we need, as a link that filters has to know: those of all nodes, and those in which
    /// neighbours ask for our addresses (RFC 4291).
    pub fn groups(&self) -> Vec<EthernetAddress> {
        let mut groups = alloc::vec![EthernetAddress([0x01, 0x00, 0x5e, 0, 0, 1])];
        for cidr in self.addresses() {
            if let IpAddress::Ipv6(address) = cidr.address() {
                let [.., a, b, c] = address.octets();
                for group in [[0x33, 0x33, 0, 0, 0, 1], [0x33, 0x33, 0xff, a, b, c]] {
                    if !groups.contains(&EthernetAddress(group)) {
                        groups.push(EthernetAddress(group));
                    }
                }
            }
        }
        groups
    }

    /// Tells of each of these [groups](Self::groups), and of each that is not needed any more; never ends.
    pub async fn tell_groups(&self, mut tell: impl FnMut(EthernetAddress, bool)) {
        let mut told = Vec::new();
        loop {
            let now = self.when(|stack| Some(stack.groups()).filter(|now| *now != told)).await;
            now.iter().filter(|group| !told.contains(*group)).for_each(|group| tell(*group, true));
            told.iter().filter(|group| !now.contains(*group)).for_each(|group| tell(*group, false));
            told = now;
        }
    }

    /// What a DHCP server has given us.
    pub fn lease(&self) -> Option<Lease> {
        self.with(|engine| engine.addresses.lease.clone())
    }

    /// Takes other addresses, which must have been [checked](Config::check), as if it had been started with them. Sockets
    /// whose addresses stay go on; connections whose address is gone fail with [`Error::AddressGone`], and so does sending
    /// from it.
    pub fn configure(&self, config: Config) {
        self.with(|engine| engine.configure(config));
    }

    /// What it was configured with.
    pub fn config(&self) -> Config {
        self.with(|engine| engine.addresses.config.clone())
    }

    /// Addresses that turned out to be somebody else's since it was configured, the last ones. They are not used; those
    /// that we made ourselves have others in their place.
    pub fn conflicts(&self) -> Vec<Conflict> {
        self.with(|engine| engine.addresses.conflicts())
    }

    /// Who resolves names: those who were given, else those whom others named.
    pub fn name_servers(&self) -> Vec<IpAddress> {
        self.with(|engine| engine.addresses.name_servers())
    }

    /// The domains in which names without dots are looked for: those that were given, else those that others named.
    pub fn search(&self) -> Vec<String> {
        self.with(|engine| engine.addresses.search())
    }

    /// Who knows what time it is, in the same order.
    pub fn time_servers(&self) -> Vec<IpAddress> {
        self.with(|engine| engine.addresses.time_servers())
    }

    /// What we are called, if anybody said so.
    pub fn host_name(&self) -> Option<String> {
        self.with(|engine| engine.addresses.host_name())
    }

    /// What happened so far that no socket tells of.
    pub fn counts(&self) -> Counts {
        self.with(|engine| engine.counts)
    }

    /// Sockets, those among them that are ending without an owner.
    pub fn sockets(&self) -> (usize, usize) {
        self.with(|engine| (engine.table.len(), engine.orphans.len()))
    }

    /// Connections that have ended and of which so much is kept that late segments are answered.
    pub fn ended(&self) -> usize {
        self.with(|engine| engine.ended.len())
    }

    /// Waits until `ready` gives something. It is asked again whenever the link or the addresses have changed.
    pub async fn when<T>(&self, mut ready: impl FnMut(&Self) -> Option<T>) -> T {
        poll_fn(|cx| match ready(self) {
            Some(value) => Poll::Ready(value),
            None => {
                self.with(|engine| {
                    if !engine.watchers.iter().any(|waker| waker.will_wake(cx.waker())) {
                        engine.watchers.push(cx.waker().clone());
                    }
                });
                Poll::Pending
            }
        })
        .await
    }

    /// Waits until packets get through and there is an address that others can reach from beyond the link.
    pub async fn up(&self) -> Vec<IpCidr> {
        self.when(|stack| {
            let addresses = stack.addresses();
            let routable = |cidr: &IpCidr| !is_link_local(&cidr.address());
            (stack.with(|engine| engine.is_up()) && addresses.iter().any(routable)).then_some(addresses)
        })
        .await
    }

    /// Waits until packets to there would have a source, if there ever can be one.
    pub(crate) async fn source_for(&self, remote: IpAddress) -> Result<(), Error> {
        if remote.is_unspecified() {
            return Err(Error::Unaddressable);
        }
        self.when(|stack| stack.with(|engine| engine.has_source_for(&remote))).await
    }
}

impl Engine {
    /// Nothing while there may be one yet.
    fn has_source_for(&self, remote: &IpAddress) -> Option<Result<(), Error>> {
        if !self.addresses.can_have(remote.version()) {
            return Some(Err(Error::NoAddress));
        }
        let interface = self.interface.as_ref().filter(|_| self.is_up())?;
        let same = |cidr: &IpCidr| cidr.address().version() == remote.version();
        interface.ip_addrs().iter().any(same).then_some(Ok(()))
    }
}

fn is_link_local(address: &IpAddress) -> bool {
    match address {
        IpAddress::Ipv4(address) => address.is_link_local(),
        IpAddress::Ipv6(address) => address.is_unicast_link_local(),
    }
}

/// What keeps the stack going: polled when the link, a socket or a timer says so.
struct Task<L> {
    rt: Rt,
    link: L,
    engine: Rc<RefCell<Engine>>,
    /// Whether the link has something to say, and what it says that with.
    news: Option<(Arc<News>, Waker)>,
    /// There was more to take in than could be in the last poll.
    more: bool,
    /// When the link is to be looked at although it says nothing.
    link_due: Option<Instant>,
    /// Until when, and the timer.
    sleep: Option<(Instant, Sleep)>,
}

/// Tells the link's wake-ups from those of sockets, for which the link need not be looked at.
struct News {
    came: AtomicBool,
    task: Waker,
}

impl Wake for News {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.came.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl<L: Link> Task<L> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::from_micros((self.rt.now_ns() / 1000) as i64);
        let look = self.has_news(cx) || self.more || self.link_due.is_some_and(|due| due <= now);
        let mut engine = self.engine.borrow_mut();
        if !engine.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            engine.waker = Some(cx.waker().clone());
            self.sleep = None;
        }
        let next = engine.poll(&mut self.link, now, look);
        drop(engine);
        (self.more, self.link_due) = (next.more, next.link_due);
        if next.more || next.again {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(due) = sooner(next.due, next.link_due) else {
            self.sleep = None;
            return Poll::Pending;
        };
        // A timer that fires too early is cheaper than one that is set anew in each poll.
        let usable = |(at, _): &(Instant, Sleep)| now < *at && *at <= due;
        if self.sleep.as_ref().is_some_and(usable) {
            return Poll::Pending;
        }
        let mut sleep = self.rt.sleep_until(due.total_micros().max(0) as u64 * 1000);
        if Pin::new(&mut sleep).poll(cx).is_ready() {
            cx.waker().wake_by_ref();
            self.sleep = None;
        } else {
            self.sleep = Some((due, sleep));
        }
        Poll::Pending
    }

    /// Whether the link has woken us. Then it is asked to do so again, before it is looked at.
    fn has_news(&mut self, cx: &Context<'_>) -> bool {
        let (news, waker) = match &mut self.news {
            Some(known) if known.0.task.will_wake(cx.waker()) => known,
            place => {
                let news = Arc::new(News { came: AtomicBool::new(true), task: cx.waker().clone() });
                place.insert((news.clone(), news.into()))
            }
        };
        let came = news.came.swap(false, Ordering::Acquire);
        if came {
            self.link.register(waker);
        }
        came
    }
}
