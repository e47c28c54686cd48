//! Says what it is at `/.well-known/unikernel`, to people as text, to machines as JSON, and as a badge to be shown on pages; and
//! announces itself to a registry.
//!
//! `name=NAME` (fata) is its name, `url=URL` where people find it, `listen=ADDRESS` (`tcp://*:80`) where it listens
//! ([`fata_conduit::Address`]). With `registry=URL` it sends its card there as JSON by `POST` once it serves, and again `every=SECONDS`
//! (3600). Who proves to be the registry is up to `tls/trust` behind the image, and who we are in TLS to what
//! [`fata_devices::tls`] finds. Other words are those of a network card and its addresses.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod app;
mod card;
mod options;
mod serve;

pub use app::app;
pub use card::{Card, PLACE, build};
pub use options::Options;
pub use serve::{Shown, announce, serve};
