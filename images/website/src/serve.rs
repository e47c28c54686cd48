//! Serves, and counts.

use crate::journal::{self, Journal};
use crate::options::{Elsewhere, Wish};
use crate::pages::Pages;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::Cell;
use core::fmt;
use embedded_io_async::{Read, Write};
use fata_conduit::{Address, Conduit, Outside, Peer, Stream};
use fata_http::{Error, Exchange, Limits, Method, Request, Server, Status, close};
use fata_rt::Rt;

/// What those who prove that a name is theirs are asked for, which goes without TLS (RFC 8555 section 8.3).
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections that are open,
    pub open: u32,
    /// were at a time, at most,
    pub most: u32,
    /// came in all,
    pub connections: u64,
    /// and did not get as far as a request, since TLS did not come about.
    pub refused: u64,
    /// Requests that were answered,
    pub requests: u64,
    /// of them with nothing new,
    pub unchanged: u64,
    /// with another place,
    pub elsewhere: u64,
    /// as mistakes of the client,
    pub mistakes: u64,
    /// and as ours.
    pub failures: u64,
    /// Bytes of answers, without their heads.
    pub bytes: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { open, most, connections, refused, .. } = self;
        write!(f, "{open} open, at most {most}, {connections} connections, {refused} without TLS, ")?;
        let Self { requests, unchanged, elsewhere, mistakes, failures, bytes, .. } = self;
        write!(f, "{requests} requests, {unchanged} unchanged, {elsewhere} sent elsewhere, ")?;
        write!(f, "{mistakes} mistaken, {failures} failed, {bytes} bytes")
    }
}

/// What is served, to whom, and what came of it.
pub struct Served {
    /// The pages.
    pub pages: Pages,
    /// The requests, if they are listed.
    pub journal: Option<Journal>,
    /// How.
    pub wish: Wish,
    server: Server,
    clock: fata_http::Clock,
    totals: Cell<Totals>,
}

impl Served {
    /// Nothing was asked for yet.
    pub fn new(rt: &Rt, pages: Pages, wish: Wish, clock: fata_http::Clock) -> Self {
        let limits = Limits {
            idle: wish.idle,
            first: wish.idle,
            // Nobody has anything to upload.
            body: 0,
            ..Limits::default()
        };
        let options = fata_http::Options { limits, clock: Some(clock.clone()), ..Default::default() };
        let journal = wish.log.then(|| Journal::new(rt));
        Self { pages, journal, wish, server: Server::new(rt, options), clock, totals: Cell::default() }
    }

    /// What was done so far.
    pub fn totals(&self) -> Totals {
        self.totals.get()
    }

    fn count(&self, change: impl FnOnce(&mut Totals)) {
        let mut all = self.totals.get();
        change(&mut all);
        self.totals.set(all);
    }

    /// Serves a connection until it ends.
    async fn connection<O: Outside>(&self, stream: Stream<O>) {
        self.count(|totals| {
            totals.open += 1;
            totals.connections += 1;
            totals.most = totals.most.max(totals.open);
        });
        let peer = stream.peer();
        // What comes by other ways than TCP has TLS, or somebody before us has.
        let open = matches!(stream, Stream::Tcp(_));
        let ended = fata_http::serve(&self.server, &stream, async |request, exchange| {
            let result = match self.respond(open, request, exchange).await {
                // Here, so that it is noted what the answer was.
                Err(Error::Status(status)) => exchange.answer(status).await,
                result => result,
            };
            let failed = result.err().and_then(Error::status);
            self.note(peer, Some(request), exchange.status().or(failed), exchange.body_bytes());
            result
        })
        .await;
        if let Err(error) = ended.why
            && let Some(status @ Status { .. }) = error.status()
            && is_unread(error)
        {
            self.note(peer, None, Some(status), 0);
        }
        close(&self.server, stream, ended).await;
        self.count(|totals| totals.open -= 1);
    }

    /// Answers, or says with which status to.
    async fn respond<T: Read + Write>(
        &self,
        open: bool,
        request: &Request<'_>,
        exchange: &mut Exchange<'_, T>,
    ) -> Result<(), Error> {
        let place = match &self.wish.elsewhere {
            Elsewhere::Any | Elsewhere::No => None,
            Elsewhere::Https(_) if !open || request.path.starts_with(CHALLENGES) => None,
            Elsewhere::Https(port) => Some(https(request, *port).ok_or(Status::BAD_REQUEST)?),
            Elsewhere::Url(url) if url.ends_with('/') => {
                Some(format!("{url}{}", request.target.trim_start_matches(['/', '\\', '*'])))
            }
            Elsewhere::Url(url) => Some(url.clone()),
        };
        let Some(place) = place else { return self.pages.answer(request, exchange).await };
        // So that a form that is sent is sent there.
        let status = match request.method {
            Method::Get | Method::Head => Status::MOVED_PERMANENTLY,
            _ => Status::PERMANENT_REDIRECT,
        };
        exchange.reply(status).header("Location", &place).empty().await
    }

    fn note(&self, peer: Peer, request: Option<&Request<'_>>, status: Option<Status>, bytes: u64) {
        let code = status.map(Status::code);
        self.count(|totals| {
            totals.requests += 1;
            totals.bytes += bytes;
            match code {
                Some(304) => totals.unchanged += 1,
                Some(300..400) => totals.elsewhere += 1,
                // What is not known here is not for us to know.
                Some(400..500 | 501 | 505) => totals.mistakes += 1,
                Some(500..) => totals.failures += 1,
                _ => {}
            }
        });
        if let Some(journal) = &self.journal {
            let time = (self.clock)();
            journal.note(&journal::Exchange { peer: &peer, time, request, status: code, bytes });
        }
    }
}

/// Whether the request was not even understood, so that no handler has seen it.
fn is_unread(error: Error) -> bool {
    use fata_http::{At, Excess};
    match error {
        Error::Invalid(_) => true,
        Error::TooMuch(excess) => matches!(excess, Excess::Line | Excess::Head | Excess::Fields),
        Error::Truncated(at) | Error::Late(at) => at == At::Head,
        _ => false,
    }
}

/// The same at HTTPS. `None` if the client does not say at which host.
fn https(request: &Request<'_>, port: Option<u16>) -> Option<String> {
    let host = request.host;
    // A colon in brackets is part of an address.
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let target = if request.target == "*" { "/" } else { request.target };
    (!name.is_empty()).then(|| match port {
        None | Some(443) => format!("https://{name}{target}"),
        Some(port) => format!("https://{name}:{port}{target}"),
    })
}

/// Serves from now on at all addresses. An error says which of them cannot be listened at.
pub fn serve<O: Outside>(
    rt: &Rt,
    conduit: &Conduit<O>,
    served: &Rc<Served>,
    addresses: &[Address],
) -> Result<(), String> {
    for address in addresses {
        let listener = conduit.listen(address).map_err(|error| format!("{address}: {error}"))?;
        let (rt2, served) = (rt.clone(), served.clone());
        drop(rt.spawn(async move {
            let most = served.wish.most;
            let for_one = served.clone();
            let one = move |stream| {
                let served = for_one.clone();
                async move {
                    match stream {
                        Ok(stream) => served.connection(stream).await,
                        Err(_) => served.count(|totals| totals.refused += 1),
                    }
                }
            };
            // One that fails has said so in its way, and there is nobody else to tell.
            let _ = listener.serve(&rt2, most, one).await;
        }));
    }
    Ok(())
}
