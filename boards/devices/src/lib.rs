//! Brings devices up on a run loop: Xenstore first, then what it knows of.
//!
//! Drivers know no executor, and the run loop knows no driver; here they meet, the same way on every board.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

use fata_block::Disk;
use fata_net::Nic;
use fata_rt::Rt;
use fata_time::Clock;
use fata_xenstore::{Error, State, Xenstore};
use xen_hyp::{Platform, Xen};

use core::fmt;
use core::time::Duration;

extern crate alloc;
use alloc::rc::Rc;

#[cfg(feature = "addresses")]
mod addresses;
#[cfg(feature = "conduit")]
pub mod conduit;
#[cfg(feature = "addresses")]
mod network;
mod random;
#[cfg(feature = "tls")]
pub mod tls;
pub mod vchan;

#[cfg(feature = "cidata")]
pub use addresses::cidata;
#[cfg(feature = "addresses")]
pub use addresses::{Addresses, addresses};
#[cfg(feature = "addresses")]
pub use network::{Network, network};
pub use random::{entropy, random};

/// How long the store may take to answer before the log says that we wait for it.
const PATIENCE: Duration = Duration::from_millis(500);

/// Connects to Xenstore, which may be late: then the log says so, and what needs it waits. `None` if this domain has
/// none.
pub fn store<P: Platform>(rt: &Rt, xen: &Rc<Xen<P>>) -> Result<Option<Xenstore<P>>, Error> {
    let Some(store) = Xenstore::open(xen)? else { return Ok(None) };
    let served = store.clone();
    drop(rt.spawn(async move { served.serve().await }));
    let (watched, rt2) = (store.clone(), rt.clone());
    drop(rt.spawn(async move { tell_of_waiting(&rt2, &watched).await }));
    Ok(Some(store))
}

/// Why there is no Xenstore for who cannot do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoStore {
    /// This domain has none.
    None,
    /// It cannot be had.
    Failed(Error),
}

impl fmt::Display for NoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("this domain has no Xenstore"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// The same for who cannot do without.
pub fn needed_store<P: Platform>(rt: &Rt, xen: &Rc<Xen<P>>) -> Result<Xenstore<P>, NoStore> {
    store(rt, xen).map_err(NoStore::Failed)?.ok_or(NoStore::None)
}

/// Says once that the store is late, and when it is there. A store that is there in time gets no words, and no timer
/// is left behind.
async fn tell_of_waiting<P: Platform>(rt: &Rt, store: &Xenstore<P>) {
    if rt.timeout(PATIENCE, store.connected()).await.is_ok() {
        return;
    }
    match store.state() {
        State::Late => fata_log::warn!("waiting for Xenstore: the toolstack has not said yet where it is"),
        _ => fata_log::warn!("waiting for Xenstore: nobody answers"),
    }
    match store.connected().await {
        Ok(()) => fata_log::warn!("Xenstore is there"),
        Err(error) => fata_log::error!("Xenstore: {}", error),
    }
}

/// The wall clock: Xen's, until somebody sets it.
pub fn clock<P: Platform>(rt: &Rt, xen: &Rc<Xen<P>>) -> Clock {
    let xen = xen.clone();
    Clock::new(rt, move || xen.wall_clock())
}

/// The disk with this number, served from now on, whether it is there already or not.
pub fn disk<P: Platform>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    store: &Xenstore<P>,
    id: u32,
    options: fata_block::Options,
) -> Disk<P> {
    let disk = Disk::new(xen, id, options);
    let (served, store) = (disk.clone(), store.clone());
    drop(rt.spawn(async move {
        let error = served.serve(&store).await;
        fata_log::error!("disk {}: {}", served.id(), error);
    }));
    disk
}

/// The network interface with this number, served from now on, whether it is there already or not.
pub fn nic<P: Platform>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    store: &Xenstore<P>,
    id: u32,
    options: fata_net::Options,
) -> Nic<P> {
    let nic = Nic::new(xen, id, options);
    let (served, store) = (nic.clone(), store.clone());
    drop(rt.spawn(async move {
        let error = served.serve(&store).await;
        fata_log::error!("network interface {}: {}", served.id(), error);
    }));
    let (doubted, clock) = (nic.clone(), rt.clone());
    drop(rt.spawn(async move { doubt(&clock, &doubted).await }));
    nic
}

/// How long the backend of a network interface may take to answer the first frame of a connection. After twice that time
/// the next connection is given up, and so on, but not more often than so.
const FIRST_ANSWER: Duration = Duration::from_secs(2);
const DOUBTS: u32 = 4;

/// Has a connection made anew that the backend does not hear anything of ([`Nic::sent_over`]); never ends. One wake-up for
/// each connection.
async fn doubt<P: Platform>(rt: &Rt, nic: &Nic<P>) {
    let (mut connection, mut doubts) = (0, 0);
    loop {
        connection = nic.sent_over(connection).await;
        rt.sleep(FIRST_ANSWER * (1 << doubts)).await;
        if !nic.is_unheard(connection) {
            doubts = 0;
        } else if doubts < DOUBTS {
            doubts += 1;
            nic.start_over();
        }
    }
}
