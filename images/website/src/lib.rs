//! Serves a directory of pages, which `cargo xtask site DIR` puts behind this image or on a disk.
//!
//! The pages are those behind the image; else those on the first disk that begins with some; else a few that are built in.
//! `content=image`, `content=xvdb` and `content=none` say which of them it is to be, and no other.
//!
//! With the feature `tls` and a certificate when it starts, from behind the image or from Xenstore (`fata_devices::tls`), it
//! serves HTTPS at port 443, and what it answers at port 80 is that HTTPS is to be asked, but for
//! `/.well-known/acme-challenge/`; without, HTTP at port 80. `listen=ADDRESS` is where else to serve, as often as there are
//! addresses, of any transport that [`fata_conduit`] knows: `tcp://*:8080`, `tls://*:443`, and behind a terminator of TLS
//! `vchan://…`. `to-https`, `to-https=PORT` and `to-https=off` say whether who comes without TLS is sent to HTTPS.
//! `redirect=URL` has everything answered with a redirect: to that URL, or if it ends with a slash, to what was asked for
//! below it.
//!
//! `most=N` (1024) is how many connections there are at a time for each address, `idle=SECONDS` (60) how long one may ask for
//! nothing, `buffer=BYTES` (16384) how much of an answer may be on its way. `log=off` has requests not listed on the console;
//! else they are, in the combined format of other servers, as long as there are not too many. Enter has it say what it has
//! done so far. Addresses and the network card are as in `ping`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod app;
mod content;
mod journal;
mod options;
mod pages;
mod serve;

pub use app::app;
pub use content::{Content, Origin, built_in};
pub use journal::Journal;
pub use options::{Elsewhere, Options, Wanted, Wish};
pub use pages::Pages;
pub use serve::{Served, Totals, serve};
