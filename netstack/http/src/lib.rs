//! HTTP/1.1 (RFC 9110 and 9112): a server and a client, over any stream of bytes.
//!
//! A server in ten lines, on a port of a network stack:
//!
//! ```
//! # use fata_http::{Client, Limits, Method, Options, Server, Status, Url, serve_port};
//! # use fata_netstack::{Stack, tcp};
//! # use fata_rt::Rt;
//! async fn app(rt: &Rt, stack: &Stack) -> Result<(), fata_netstack::Error> {
//!     let server = Server::new(rt, Options::default());
//!     let listener = stack.listen(80, 64, tcp::Options::default())?;
//!     serve_port(&server, &listener, 1000, async |request, exchange| match (request.method, request.path) {
//!         (Method::Get | Method::Head, "/") => exchange.reply(Status::OK).body(b"Hello, world.\n").await,
//!         _ => Err(Status::NOT_FOUND.into()),
//!     })
//!     .await;
//!     Ok(())
//! }
//! # fata_sim::alone(async |rt| {
//! #     let (a, b, _) = fata_link::wire::pair(Default::default());
//! #     let start = |link, address, seed| {
//! #         let mut config = fata_netstack::Config::default();
//! #         config.word("ip", address).unwrap();
//! #         Stack::start(&rt, link, config, &fata_netstack::Random::known(seed))
//! #     };
//! #     let (here, there) = (start(a, "10.0.0.1/24", 1), start(b, "10.0.0.2/24", 2));
//! #     let rt2 = rt.clone();
//! #     drop(rt.spawn(async move { app(&rt2, &there).await.unwrap() }));
//! #     let place = fata_netstack::IpEndpoint::new(fata_netstack::IpAddress::v4(10, 0, 0, 2), 80);
//! #     let stream = here.connect(place, tcp::Options::default()).await.unwrap();
//! #     let mut client = Client::new(&rt, stream, Limits::default());
//! #     let mut answer = client.request(Method::Get, &Url::parse("http://a").unwrap()).send().await.unwrap();
//! #     assert_eq!(answer.read_all(99).await.unwrap(), b"Hello, world.\n");
//! # });
//! ```
//!
//! [`serve`] serves a connection by any other stream. [`Client`] asks by one.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod accept;
mod chunks;
mod client;
mod close;
mod conditions;
mod date;
mod encoding;
mod error;
mod exchange;
mod fields;
mod head;
mod limits;
mod link;
mod method;
mod path;
mod patience;
mod range;
mod redirect;
mod request;
mod response;
mod route;
mod server;
mod status;
mod stored;
mod url;
mod words;

pub use accept::accept;
pub use client::{Answer, Asking, Client, Upload};
pub use close::{close, linger, serve_port};
pub use conditions::{Validators, Verdict, preconditions};
pub use date::{date, parse_date};
pub use encoding::encoding;
pub use error::{At, Error, Excess, Misuse, Rule};
pub use exchange::{Exchange, Reply, Writer};
pub use fields::{Block, Fields};
pub use limits::Limits;
pub use method::Method;
pub use path::query_value;
pub use range::{Range, Ranges, Selection, select};
pub use redirect::{BadRedirect, Redirect, Redirects};
pub use request::Request;
pub use route::{NoRoute, Routes, matches};
pub use server::{Clock, End, Ended, Log, Manner, Options, Record, Server, serve};
pub use status::Status;
pub use stored::Stored;
pub use url::{BadUrl, Url};
