//! HTTP/1.1 (RFC 9110 and 9112): a server and a client, over any stream of bytes.
//!
//! [`serve`] serves a connection:
//!
//! ```
//! # use fata_http::{Error, Method, Server, Status, serve};
//! # async fn connection<T: embedded_io_async::Read + embedded_io_async::Write>(server: &Server, stream: T) {
//! let ended = serve(server, stream, async |request, exchange| match (request.method, request.path) {
//!     (Method::Get | Method::Head, "/") => {
//!         exchange.reply(Status::OK).header("Content-Type", "text/plain").body(b"Hello, world.\n").await
//!     }
//!     _ => Err(Status::NOT_FOUND.into()),
//! })
//! .await;
//! # let _ = ended;
//! # }
//! ```
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
