//! Measures a network: serves the ports that a load generator drives, the same as under Linux.
//!
//! UDP 5001 echoes each datagram, 5002 counts them; a datagram `N SIZE` to 5003 has N datagrams of SIZE bytes sent to its
//! sender; any datagram to 5004 is answered with `COUNT NANOSECONDS`, from the first to the last counted since the last
//! such answer. TCP 5000 takes a line a connection: `R N` takes N bytes and answers `k`, `S N BLK` sends N bytes in writes
//! of BLK and takes a byte, `E` sends back what comes.
//!
//! The words of the command line are those of [`fata_netstack::Config`] and of [`fata_net::Options`], `offloads=off`, and
//! `room=BYTES` for the buffers of a stream, in each direction.
//!
//! Whatever comes from the console is answered with what the network card has done so far.
//!
//! With `raw` on the command line there is no stack: frames are answered as they lie in the ring, so that what is
//! measured is the frontend.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod app;
mod raw;
pub mod serve;

pub use app::app;
