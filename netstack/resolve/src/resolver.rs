//! The resolver as applications see it.

use crate::cache::{Cache, Known};
use crate::config::Config;
use crate::error::Error;
use crate::flight::Flight;
use crate::kind::Kind;
use crate::message::Question;
use crate::name::{Name, literal};
use crate::record::{Data, Record};
use crate::servers::{Server, Servers};
use crate::sort::sort;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::net::{Ipv4Addr, Ipv6Addr};
use core::pin::pin;
use core::task::{Poll, Waker};
use fata_netstack::{IpAddress, IpEndpoint, Stack};
use fata_random::Random;

/// The TTL of what nobody was asked for.
const OWN_S: u32 = 0;

/// Finds what names have. Clones are the same one.
///
/// What was asked for is remembered; who gives up waiting leaves nothing behind.
#[derive(Clone)]
pub struct Resolver {
    pub(crate) inner: Rc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) stack: Stack,
    pub(crate) config: Config,
    pub(crate) random: Random,
    pub(crate) cache: RefCell<Cache>,
    servers: RefCell<Servers>,
    pub(crate) flights: RefCell<Vec<Weak<Flight>>>,
    /// Questions on their way, and those who wait for their turn or for servers.
    pub(crate) active: Cell<usize>,
    pub(crate) queue: RefCell<Vec<Waker>>,
    counts: Cell<Counts>,
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lookups that were answered from memory.
    pub remembered: u64,
    /// Lookups that waited for a question which was on its way already.
    pub shared: u64,
    /// Messages that were sent.
    pub questions: u64,
    /// Those of them that were sent by a stream.
    pub streams: u64,
    /// Times that a server did not answer, or not well.
    pub failures: u64,
    /// Answers that there was no room for in a datagram.
    pub truncated: u64,
    /// Datagrams that came in place of an answer: from elsewhere, with another number or to another question.
    pub spoofed: u64,
}

/// What a name has.
#[derive(Clone, Debug)]
pub struct Answer {
    records: Rc<[Record]>,
    /// Where it comes from.
    pub source: Source,
    /// For how many seconds it has been known.
    pub age_s: u32,
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It was known without asking: an address, a special name, or one of [`Config::hosts`].
    Own,
    /// A server was asked.
    Server(IpAddress),
    /// It was remembered from this server.
    Memory(IpAddress),
}

impl Answer {
    fn own(records: Vec<Record>) -> Self {
        Self { records: records.into(), source: Source::Own, age_s: 0 }
    }

    /// The names on the way first, then what was asked for.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// For how many seconds a record may be kept from now on.
    pub fn ttl_s(&self, record: &Record) -> u32 {
        record.ttl_s.saturating_sub(self.age_s)
    }

    /// Addresses among them.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddress> {
        self.records.iter().filter_map(|record| record.data.address())
    }
}

impl Resolver {
    /// A resolver on a stack. Answers can be forged by whoever foresees what is drawn from `random`.
    pub fn new(stack: &Stack, random: &Random, config: Config) -> Self {
        let inner = Inner {
            stack: stack.clone(),
            random: random.clone(),
            cache: RefCell::new(Cache::new(config.cache_entries, config.cache_bytes)),
            servers: RefCell::new(Servers::new(config.servers.clone())),
            flights: RefCell::default(),
            active: Cell::new(0),
            queue: RefCell::default(),
            counts: Cell::default(),
            config,
        };
        Self { inner: Rc::new(inner) }
    }

    /// Asks these servers from now on; those that the stack knows of, if there are none.
    pub fn set_servers(&self, servers: &[IpEndpoint]) {
        self.inner.servers.borrow_mut().set(servers);
        self.inner.call();
    }

    /// Those who would be asked now.
    pub fn servers(&self) -> Vec<IpEndpoint> {
        self.inner.refresh();
        self.inner.servers.borrow().in_order(self.inner.now_ns())
    }

    /// What happened since the start.
    pub fn counts(&self) -> Counts {
        self.inner.counts.get()
    }

    /// What is remembered: entries and bytes.
    pub fn remembered(&self) -> (usize, usize) {
        self.inner.cache.borrow().size()
    }

    /// Forgets what was learnt.
    pub fn forget(&self) {
        self.inner.cache.borrow_mut().clear();
    }

    /// Finds what a name has of one kind.
    ///
    /// The name may be an address; its [`PTR`](Kind::PTR) is then that of its reverse name. With a dot at its end it is
    /// the whole name; if not, the search list is gone through.
    pub async fn lookup(&self, name: &str, kind: Kind) -> Result<Answer, Error> {
        if let Some(address) = literal(name) {
            return match kind {
                Kind::PTR => self.lookup_name(&Name::reverse(address), kind).await,
                _ => own_address(&Name::root(), kind, &[address]),
            };
        }
        let whole = Name::parse(name).map_err(|_| Error::BadName)?;
        let is_known = special(&whole, kind).is_some() || self.inner.own(&whole, kind).is_some();
        let is_whole = name.ends_with('.') || is_known;
        if !is_whole {
            // Who says which servers there are says what to complete names with.
            self.inner.servers().await?;
        }
        let mut worst = None;
        let candidates = self.inner.candidates(&whole, is_whole);
        for candidate in candidates {
            let error = match self.lookup_name(&candidate, kind).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match error {
                Error::Refused | Error::ServerFailed => worst = Some(error),
                Error::NoSuchName => worst = worst.or(Some(error)),
                // The name exists, or the next one would fare no better.
                _ => return Err(error),
            }
        }
        Err(worst.unwrap_or(Error::BadName))
    }

    /// Finds what a name has of one kind, without the search list.
    pub async fn lookup_name(&self, name: &Name, kind: Kind) -> Result<Answer, Error> {
        if let Some(answer) = special(name, kind).or_else(|| self.inner.own(name, kind)) {
            return answer;
        }
        self.inner.refresh();
        let now_ns = self.inner.now_ns();
        let known = self.inner.cache.borrow_mut().look(name, kind, now_ns);
        if let Some(known) = known {
            self.inner.count(|counts| counts.remembered += 1);
            return answer(&known, Source::Memory(known.server), now_ns);
        }
        let flight = self.inner.fly(Question { name: name.clone(), kind });
        let known = flight.land().await?;
        answer(&known, Source::Server(known.server), known.since_ns)
    }

    /// Finds the addresses of a host, those that are best tried first in front.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddress>, Error> {
        let (v6, v4) = both(self.lookup(host, Kind::AAAA), self.lookup(host, Kind::A)).await;
        let mut all: Vec<_> = [&v6, &v4].into_iter().flatten().flat_map(Answer::addresses).collect();
        match (v6, v4) {
            (Err(v6), Err(v4)) => return Err(both_failed(v6, v4)),
            _ => sort(&mut all, &self.inner.stack.addresses()),
        }
        Ok(all)
    }
}

/// That there is nothing of one family says little if the other could not be asked for.
pub(crate) fn both_failed(v6: Error, v4: Error) -> Error {
    if v4 == Error::NoData || !v6.is_answer() { v6 } else { v4 }
}

fn answer(known: &Known, source: Source, now_ns: u64) -> Result<Answer, Error> {
    let records = known.outcome.clone()?;
    let age_s = ((now_ns - known.since_ns) / 1_000_000_000) as u32;
    Ok(Answer { records, source, age_s })
}

/// Waits for both.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none() {
            first = ready(a.as_mut().poll(cx));
        }
        if second.is_none() {
            second = ready(b.as_mut().poll(cx));
        }
        match (first.take(), second.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (first, second) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Names that no server is asked for (RFC 6761, RFC 7686). `test` is not among them: it is like any other to a resolver.
fn special(name: &Name, kind: Kind) -> Option<Result<Answer, Error>> {
    let is = |top: &str| name.top().eq_ignore_ascii_case(top.as_bytes());
    if is("localhost") {
        let addresses = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Some(own_address(name, kind, &addresses));
    }
    (is("invalid") || is("onion")).then_some(Err(Error::NoSuchName))
}

/// The addresses among these that are of this kind.
fn own_address(name: &Name, kind: Kind, addresses: &[IpAddress]) -> Result<Answer, Error> {
    let data = addresses.iter().filter_map(|address| match (address, kind) {
        (IpAddress::Ipv4(address), Kind::A) => Some(Data::A(*address)),
        (IpAddress::Ipv6(address), Kind::AAAA) => Some(Data::Aaaa(*address)),
        _ => None,
    });
    let records: Vec<_> = data.map(|data| Record { name: name.clone(), kind, ttl_s: OWN_S, data }).collect();
    if records.is_empty() { Err(Error::NoData) } else { Ok(Answer::own(records)) }
}

impl Inner {
    /// Names that a name may stand for, in the order in which they are tried.
    fn candidates(&self, name: &Name, is_whole: bool) -> Vec<Name> {
        if is_whole {
            return alloc::vec![name.clone()];
        }
        let suffixes = match self.config.search.is_empty() {
            true => self.stack.search().iter().filter_map(|suffix| Name::parse(suffix).ok()).collect(),
            false => self.config.search.clone(),
        };
        let mut all: Vec<_> = suffixes.iter().filter_map(|suffix| name.join(suffix)).collect();
        let dots = name.labels().count().saturating_sub(1);
        let at = if dots >= self.config.ndots { 0 } else { all.len() };
        all.insert(at, name.clone());
        all
    }

    /// What is known without asking.
    fn own(&self, name: &Name, kind: Kind) -> Option<Result<Answer, Error>> {
        let hosts = &self.config.hosts;
        let addresses: Vec<_> =
            hosts.iter().filter(|(host, _)| host == name).map(|(_, address)| *address).collect();
        if !addresses.is_empty() {
            return Some(own_address(name, kind, &addresses));
        }
        let reverse = |(_, address): &&(Name, IpAddress)| Name::reverse(*address) == *name;
        let (host, _) = hosts.iter().find(reverse).filter(|_| kind == Kind::PTR)?;
        let record = Record { name: name.clone(), kind, ttl_s: OWN_S, data: Data::Ptr(host.clone()) };
        Some(Ok(Answer::own(alloc::vec![record])))
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.stack.rt().now_ns()
    }

    /// A name with its letters in random case.
    pub(crate) fn spelled(&self, name: &Name, mixed: bool) -> Name {
        let (mut bits, mut left) = (0, 0);
        let mut bit = || {
            if left == 0 {
                (bits, left) = (self.random.number(), 64);
            }
            (bits, left) = (bits >> 1, left - 1);
            bits & 1 != 0
        };
        if mixed { name.mixed(&mut bit) } else { name.clone() }
    }

    pub(crate) fn count(&self, f: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        f(&mut counts);
        self.counts.set(counts);
    }

    /// Follows the stack's servers. Others may say other things, so that what was learnt is forgotten.
    fn refresh(&self) {
        if self.servers.borrow_mut().refresh(&self.stack) {
            self.cache.borrow_mut().clear();
        }
    }

    /// Those to ask, in order. Waits a while for there to be some.
    pub(crate) async fn servers(&self) -> Result<Vec<IpEndpoint>, Error> {
        let known = self.stack.when(|_| {
            self.refresh();
            let all = self.servers.borrow().in_order(self.now_ns());
            (!all.is_empty()).then_some(all)
        });
        let mut known = pin!(known);
        let known = poll_fn(|cx| {
            // Others may be named meanwhile.
            self.queue(cx);
            known.as_mut().poll(cx)
        });
        let limit = self.config.timeout * self.config.attempts.max(1);
        self.stack.rt().timeout(limit, known).await.map_err(|_| Error::NoServers)
    }

    pub(crate) fn with_server<R>(&self, at: IpEndpoint, f: impl FnOnce(&mut Server) -> R) -> Option<R> {
        self.servers.borrow_mut().with(at, f)
    }
}
