//! Serves a directory of pages, which `cargo xtask site DIR` puts behind this image or on a disk.
//!
//! The pages are those behind the image; else those on the first disk that begins with some; else a few that are built in.
//! `content=image`, `content=xvdb` and `content=none` say which of them it is to be, and no other.
//!
//! `listen=ADDRESS` (`tcp://*:80`) is where it serves, as often as there are addresses, of any transport that
//! [`fata_conduit`] knows: behind a terminator of TLS it is `vchan://…`. `redirect=URL` has everything answered with a
//! redirect: to that URL, or if it ends with a slash, to what was asked for below it. `to-https` (or `to-https=PORT`) sends
//! everybody to HTTPS at the same host, but for `/.well-known/acme-challenge/`.
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
