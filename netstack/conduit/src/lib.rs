//! Peers by name, whatever lies between.
//!
//! An [`Address`] says how a peer is reached and where it is:
//!
//! | address | |
//! |---|---|
//! | `tcp://HOST:PORT` | a name, or an address; to listen, `tcp://*:PORT` or `tcp://ADDRESS:PORT` |
//! | `tls://HOST:PORT` | the same with TLS over it, with the feature `tls` |
//! | `vchan://DOMAIN/NAME` | a service of another domain of this machine, or one for it |
//! | `memory://NAME` | another part of this program |
//!
//! A [`Conduit`] opens and accepts [`Stream`]s by such addresses, so that an application is told by its command line who
//! it speaks to and how. What a program was not given is refused by name: no address makes it wait for what is not there.
//!
//! vchan comes from outside, by the trait [`Outside`], since the stack does not know Xen; `fata_devices::conduit` has it.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod address;
mod conduit;
mod error;
#[cfg(feature = "tls")]
mod handshakes;
mod listener;
mod memory;
mod outside;
mod relay;
mod stream;

pub use address::{ANY, Address, BadAddress};
pub use conduit::Conduit;
pub use error::Error;
pub use listener::Listener;
pub use memory::{Memory, MemoryListener, Pipe};
pub use outside::{Accept, Duplex, Nothing, Outside};
pub use relay::{Relayed, relay};
pub use stream::{Peer, Stream};
