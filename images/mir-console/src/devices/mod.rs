//! Xenstore and the devices that are found through it, as commands see them.

mod blk;
mod dump;
mod escape;
#[cfg(feature = "files")]
mod files;
mod list;
#[cfg(feature = "net")]
mod net;
mod out;
#[cfg(feature = "random")]
mod random;
mod store;
#[cfg(feature = "net")]
mod time;
mod trouble;

#[cfg(feature = "vchan")]
pub(crate) use escape::{Lines, whole};
pub use out::Out;
pub use trouble::Trouble;

use crate::orders::Orders;
use crate::table::Table;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::time::Duration;
use fata_block::{Disk, Link, Name};
use fata_boot::info::BootInfo;
use fata_rt::Rt;
use fata_xenbus::Bus;
use fata_xenstore::{Error, State, Xenstore};
use xen_hyp::{Platform, Xen};

/// How long a disk may take before we say that we wait for it.
const PATIENCE: Duration = Duration::from_millis(500);

/// What there is beyond the machine itself.
pub struct Devices<P: Platform> {
    rt: Rt,
    xen: Rc<Xen<P>>,
    store: Result<Option<Xenstore<P>>, Error>,
    /// Those that were used so far; each is served from then on.
    disks: RefCell<Vec<Disk<P>>>,
    /// The same.
    #[cfg(feature = "net")]
    nets: RefCell<Vec<Rc<net::Net<P>>>>,
    /// Where addresses may be.
    #[cfg(feature = "net")]
    cmdline: Rc<str>,
    #[cfg(feature = "net")]
    chosen: Rc<str>,
    #[cfg(feature = "net")]
    clock: fata_time::Clock,
    #[cfg(feature = "random")]
    entropy: fata_random::Entropy,
}

impl<P: Platform> Devices<P> {
    /// Connects to the store, if there is one, and takes the toolstack's orders from then on.
    #[cfg_attr(
        not(feature = "random"),
        allow(unused_variables, reason = "what the board found is for others")
    )]
    pub fn open(rt: &Rt, xen: &Rc<Xen<P>>, orders: &Rc<Orders>, info: &BootInfo<'_>) -> Self {
        let store = fata_devices::store(rt, xen);
        if let Ok(Some(store)) = &store {
            let (store, orders) = (store.clone(), orders.clone());
            drop(rt.spawn(async move { orders.hear(&store).await }));
        }
        #[cfg(feature = "random")]
        let entropy = {
            let store = store.as_ref().ok().and_then(Option::as_ref);
            fata_devices::entropy(rt, xen, store, info.rng_seed, info.cmdline)
        };
        Self {
            rt: rt.clone(),
            xen: xen.clone(),
            store,
            disks: RefCell::default(),
            #[cfg(feature = "net")]
            nets: RefCell::default(),
            #[cfg(feature = "net")]
            cmdline: info.cmdline.into(),
            #[cfg(feature = "net")]
            chosen: info.net.into(),
            #[cfg(feature = "net")]
            clock: fata_devices::clock(rt, xen),
            #[cfg(feature = "random")]
            entropy,
        }
    }

    /// Does what a command asks for.
    pub async fn run(&self, name: &str, argument: &str, out: &Out) -> Result<(), Trouble> {
        match name {
            "devices" => self.list(out).await,
            "store" => self.store(argument, out).await,
            "blk" => self.blk(argument, out).await,
            #[cfg(feature = "net")]
            "net" => self.net(argument, out).await,
            #[cfg(feature = "net")]
            "host" => self.host(argument, out).await,
            #[cfg(feature = "net")]
            "ping" => self.ping(argument, out).await,
            #[cfg(feature = "net")]
            "pcap" => self.pcap(argument, out).await,
            #[cfg(feature = "net")]
            "time" => self.time(argument, out).await,
            #[cfg(feature = "random")]
            "random" => self.random(argument, out).await,
            #[cfg(feature = "files")]
            "ls" => self.ls(argument, out).await,
            #[cfg(feature = "files")]
            "cat" => self.cat(argument, out).await,
            _ => Err(Trouble::Usage),
        }
    }

    /// How it stands with the store.
    pub fn store_row(&self, t: &mut Table<'_>) -> fmt::Result {
        match &self.store {
            Ok(Some(store)) => t.row("xenstore", format_args!("{}", store.state())),
            Ok(None) => t.row("xenstore", format_args!("absent")),
            Err(error) => t.row("xenstore", format_args!("{error}")),
        }
    }

    /// What is known without asking anybody.
    pub fn summary(&self, t: &mut Table<'_>) -> fmt::Result {
        self.store_row(t)?;
        self.disks.borrow().iter().try_for_each(|disk| list::disk_rows(t, disk))?;
        #[cfg(feature = "net")]
        self.nets.borrow().iter().try_for_each(|net| net::rows(t, net))?;
        Ok(())
    }

    /// The store, if there is one.
    #[cfg(feature = "vchan")]
    pub(crate) fn xenstore(&self) -> Option<&Xenstore<P>> {
        self.store.as_ref().ok()?.as_ref()
    }

    /// The store, once it answers.
    async fn connected(&self, out: &Out) -> Result<&Xenstore<P>, Trouble> {
        let store = match &self.store {
            Ok(Some(store)) => store,
            Ok(None) => return Err(Trouble::NoStore),
            Err(error) => return Err(Trouble::Store(*error)),
        };
        let state = store.state();
        if matches!(state, State::Late | State::Connecting) {
            out.say(&|w| writeln!(w, "Xenstore: {state}; Ctrl-C gives up"));
        }
        store.connected().await?;
        Ok(store)
    }

    /// The disk of this name, if there is one, once it works.
    async fn disk(&self, name: &str, out: &Out) -> Result<Disk<P>, Trouble> {
        let id = fata_block::number(name).ok_or(Trouble::Usage)?;
        let store = self.connected(out).await?;
        if !Bus::new(store).ids("vbd").await?.contains(&id) {
            return Err(Trouble::NoDisk(Name(id)));
        }
        let disk = self.use_disk(store, id);
        self.ready(&disk, out).await?;
        Ok(disk)
    }

    fn use_disk(&self, store: &Xenstore<P>, id: u32) -> Disk<P> {
        let mut disks = self.disks.borrow_mut();
        if let Some(known) = disks.iter().find(|disk| disk.id() == id) {
            return known.clone();
        }
        let disk = fata_devices::disk(&self.rt, &self.xen, store, id, fata_block::Options::default());
        disks.push(disk.clone());
        disk
    }

    /// Waits until a disk works.
    async fn ready(&self, disk: &Disk<P>, out: &Out) -> Result<(), Trouble> {
        let name = Name(disk.id());
        if disk.link() == Link::Paused && self.rt.timeout(PATIENCE, disk.ready()).await.is_err() {
            out.say(&|w| writeln!(w, "waiting for the backend of {name}; Ctrl-C gives up"));
        }
        disk.ready().await.map_err(|error| Trouble::Disk(name, error))
    }
}
