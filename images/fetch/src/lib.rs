//! Gets what URLs name, over TLS or without, and says what came.
//!
//! `url=URL`, once or several times, are got one after the other. `show` writes what comes to the console, up to 64 KiB of it;
//! without, the length and the SHA-256 of it say what it is. `follow=N` (5) redirects are followed, and `time=SECONDS` (30) is how
//! long each may take in all. `via=ADDRESS` has all connections go there ([`fata_conduit::Address`]), and not to the hosts that
//! the URLs name: to another domain by vchan, or to a proxy's port.
//!
//! Who proves to be a host is up to whom we trust: the certificates in `tls/trust` behind the image; else, with the feature
//! `mozilla`, those that Mozilla trusts. What time it is is up to Xen. Other words are those of a network card and its addresses.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod app;
mod get;
mod options;

pub use app::app;
pub use get::{Failed, Got, get};
pub use options::{Options, Wish};
