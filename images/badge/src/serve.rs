//! Shows the card to whoever asks, and takes it to the registry.

use crate::card::{Card, PLACE};
use crate::options::Options;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use fata_conduit::{Address, Conduit, Error as StreamError, Outside, Stream};
use fata_http::{Client, Error, Limits, Method, Server, Status, Url, close};
use fata_rt::Rt;

/// Connections at a time, for each address.
const MOST: usize = 64;
/// After a registry did not take it, in seconds; then twice that time, and so on up to the usual.
const AGAIN_S: u64 = 10;

/// Who we are, and what may change of it.
pub struct Shown {
    /// The words that say so.
    pub options: Options,
    /// What it was built from.
    pub build: String,
    /// From the first instruction to now, when it is asked for the first time.
    pub boot_us: u64,
    /// Bytes of memory, and of those in use.
    pub memory: fn() -> [u64; 2],
}

impl Shown {
    /// The card as it is now.
    pub fn card(&self, rt: &Rt) -> Card<'_> {
        let [memory_bytes, used_bytes] = (self.memory)();
        Card {
            name: &self.options.name,
            build: &self.build,
            url: self.options.url.as_deref(),
            uptime_s: rt.now_ns() / 1_000_000_000,
            boot_us: self.boot_us,
            memory_bytes,
            used_bytes,
        }
    }
}

/// Serves from now on. An error says which address cannot be listened at.
pub fn serve<O: Outside>(rt: &Rt, conduit: &Conduit<O>, shown: &Rc<Shown>) -> Result<(), String> {
    let server = Server::new(rt, fata_http::Options::default());
    for address in &shown.options.listen {
        let listener = conduit.listen(address).map_err(|error| format!("{address}: {error}"))?;
        let (rt2, shown, server) = (rt.clone(), shown.clone(), server.clone());
        drop(rt.spawn(async move {
            let one = move |stream: Result<Stream<O>, _>| {
                let (shown, server) = (shown.clone(), server.clone());
                async move {
                    // With whom TLS does not come about was told so.
                    if let Ok(stream) = stream {
                        connection(&server, stream, &shown).await;
                    }
                }
            };
            let _ = listener.serve(&rt2, MOST, one).await;
        }));
    }
    Ok(())
}

async fn connection<O: Outside>(server: &Server, stream: Stream<O>, shown: &Shown) {
    let ended = fata_http::serve(server, &stream, async |request, exchange| {
        if request.path == "/" {
            return exchange.reply(Status::FOUND).header("Location", PLACE).empty().await;
        }
        match Card::is_asked(request) {
            Some(form) => shown.card(server.rt()).answer(form, request, exchange).await,
            None => Err(Status::NOT_FOUND.into()),
        }
    })
    .await;
    close(server, stream, ended).await;
}

/// Takes the card to the registry, again and again, for ever; `told` hears how that went.
pub async fn announce<O: Outside>(
    rt: &Rt,
    conduit: &Conduit<O>,
    shown: &Shown,
    mut told: impl FnMut(Result<Status, String>),
) {
    let Some(registry) = &shown.options.registry else { return };
    let mut pause_s = AGAIN_S;
    loop {
        let took = rt.timeout(Limits::default().answer, post(rt, conduit, registry, &shown.card(rt))).await;
        let took = match took {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(reason)) => Err(reason),
            Err(_) => Err("it took too long".into()),
        };
        let every_s = shown.options.every.as_secs();
        pause_s = match took {
            Ok(status) if status.code() < 300 => every_s,
            _ => (2 * pause_s).min(every_s),
        };
        told(took);
        rt.sleep(core::time::Duration::from_secs(pause_s)).await;
    }
}

async fn post<O: Outside>(
    rt: &Rt,
    conduit: &Conduit<O>,
    registry: &Url,
    card: &Card<'_>,
) -> Result<Status, String> {
    let (host, port) = (registry.host().trim_matches(['[', ']']).into(), registry.port());
    let address = if registry.is_https() { Address::Tls { host, port } } else { Address::Tcp { host, port } };
    let said = |error: StreamError<O::Error>| format!("{error}");
    let broken = |error: Error| format!("{error}");
    let stream = conduit.connect(&address).await.map_err(said)?;
    let mut client = Client::new(rt, &stream, Limits::default());
    let asking = client.request(Method::Post, registry).header("Content-Type", "application/json").close();
    let status = asking.body(card.json().as_bytes()).await.map_err(broken)?.status();
    let _ = stream.finish().await;
    Ok(status)
}
