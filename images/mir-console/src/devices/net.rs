//! `net`, `host`, `ping` and `pcap`: the network, its addresses, and what goes over it.

mod capture;
mod names;

use super::{Devices, Out, Trouble};
use crate::table::{Bytes, Table};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use capture::Capture;
use core::cell::RefCell;
use core::fmt;
use core::time::Duration;
use fata_addresses::{Origin, Source};
use fata_devices::Addresses;
use fata_kit::words;
use fata_link::{Parked, Pcap, PcapOptions};
use fata_net::{Nic, State};
use fata_netstack::{Config, ConfigError, Random, SocketInfo, Stack};
use fata_resolve::Resolver;
use fata_xenbus::Bus;
use fata_xenstore::Xenstore;
use xen_hyp::Platform;

/// How long an interface, or an address, may take before we say that we wait for it.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the answer to a ping may take, and the time from one to the next.
const SECOND: Duration = Duration::from_secs(1);
/// Pings, and bytes in each, unless told otherwise.
const PINGS: u64 = 4;
const PAYLOAD: usize = 56;
const NS_PER_US: u128 = 1000;

/// An interface that is in use.
pub(super) struct Net<P: Platform> {
    nic: Nic<P>,
    pub(super) stack: Stack,
    resolver: Resolver,
    capture: Rc<RefCell<Capture>>,
}

impl<P: Platform> Devices<P> {
    /// The interfaces, which are used from then on; or with words, the first one with these addresses.
    pub(super) async fn net(&self, argument: &str, out: &Out) -> Result<(), Trouble> {
        let store = self.connected(out).await?;
        if argument == "sockets" {
            let net = self.first_net(out).await?;
            out.say(&|w| sockets(&mut Table::new(w, out.ink), &net.stack));
            return Ok(());
        }
        let ids = Bus::new(store).ids("vif").await?;
        if !argument.is_empty() {
            let Some(&id) = ids.first() else { return Err(Trouble::NoNet) };
            let config = config(argument).map_err(Trouble::Words)?;
            match self.in_use(id) {
                Some(net) => net.stack.configure(config),
                None => drop(self.use_net(store, id, config, None, &self.seeded(out).await)),
            }
        }
        if ids.is_empty() {
            out.say(&|w| w.write_str("There are no network interfaces.\n"));
        }
        for id in ids {
            let net = self.known_net(store, id, out).await;
            // If it is dead, its rows say so; and a server of addresses gets a moment.
            if self.net_ready(&net, out).await.is_ok() {
                let _ = self.rt.timeout(PATIENCE, net.stack.up()).await;
            }
            out.say(&|w| rows(&mut Table::new(w, out.ink), &net));
            out.room().await;
        }
        Ok(())
    }

    /// Pings somebody.
    pub(super) async fn ping(&self, argument: &str, out: &Out) -> Result<(), Trouble> {
        let mut words = argument.split_ascii_whitespace();
        let host = words.next().ok_or(Trouble::Usage)?;
        let count = words.next().map_or(Ok(PINGS), str::parse).map_err(|_| Trouble::Usage)?;
        let size = words.next().map_or(Ok(PAYLOAD), str::parse).map_err(|_| Trouble::Usage)?;
        let net = self.first_net(out).await?;
        self.net_up(&net, out).await;
        let to = self.address(&net, host).await?;
        let failed = |error: fata_netstack::Error| Trouble::Words(format!("{error}"));
        let mut pinger = net.stack.pinger(to, size).await.map_err(failed)?;
        let payload: Vec<u8> = (0..size).map(|n| n as u8).collect();
        let mut answered = 0;
        for n in 1..=count {
            let begin_ns = self.rt.now_ns();
            match self.rt.timeout(SECOND, pinger.ping(&payload)).await {
                Ok(Ok(time)) => {
                    answered += 1;
                    let us = time.as_nanos() / NS_PER_US;
                    let (ms, us) = (us / 1000, us % 1000);
                    out.say(&|w| writeln!(w, "{size} bytes from {to}: number {n}, {ms}.{us:03} ms"));
                }
                Ok(Err(error)) => return Err(failed(error)),
                Err(_) => out.say(&|w| writeln!(w, "number {n}: no answer within a second")),
            }
            if n < count {
                self.rt.sleep_until(begin_ns + SECOND.as_nanos() as u64).await;
            }
        }
        out.say(&|w| writeln!(w, "{answered} of {count} answered"));
        Ok(())
    }

    /// Waits for an address.
    pub(super) async fn net_up(&self, net: &Net<P>, out: &Out) {
        if self.rt.timeout(PATIENCE, net.stack.up()).await.is_err() {
            out.say(&|w| w.write_str("waiting for an address; Ctrl-C gives up\n"));
            net.stack.up().await;
        }
    }

    /// Shows frames that come and go until the user has seen enough, or so many.
    pub(super) async fn pcap(&self, argument: &str, out: &Out) -> Result<(), Trouble> {
        let most = match argument {
            "" => u64::MAX,
            count => count.parse().map_err(|_| Trouble::Usage)?,
        };
        let net = self.first_net(out).await?;
        let _shown = capture::Shown::of(&net.capture);
        let news = net.capture.borrow().news.clone();
        for _ in 0..most {
            let line = news.until(|| net.capture.borrow_mut().take(net.nic.mac())).await;
            out.say(&|w| writeln!(w, "{line}"));
            out.room().await;
        }
        Ok(())
    }

    /// The interface with the lowest number.
    pub(super) async fn first_net(&self, out: &Out) -> Result<Rc<Net<P>>, Trouble> {
        let store = self.connected(out).await?;
        let id = Bus::new(store).ids("vif").await?.into_iter().min().ok_or(Trouble::NoNet)?;
        let net = self.known_net(store, id, out).await;
        self.net_ready(&net, out).await?;
        Ok(net)
    }

    /// This interface, with the addresses that somebody says it has unless it is in use already.
    async fn known_net(&self, store: &Xenstore<P>, id: u32, out: &Out) -> Rc<Net<P>> {
        if let Some(known) = self.in_use(id) {
            return known;
        }
        // Words of the command line and of the device tree are about one interface.
        let mut told = Vec::new();
        if self.nets.borrow().is_empty() {
            told.push(Source::words(Origin::CommandLine, words(&self.cmdline)));
            told.push(Source::words(Origin::DeviceTree, words(&self.chosen)));
        }
        let random = self.seeded(out).await;
        let addresses = fata_devices::addresses(store, id, told).await;
        self.in_use(id)
            .unwrap_or_else(|| self.use_net(store, id, addresses.config(), Some(addresses), &random))
    }

    fn in_use(&self, id: u32) -> Option<Rc<Net<P>>> {
        self.nets.borrow().iter().find(|net| net.nic.id() == id).cloned()
    }

    fn use_net(
        &self,
        store: &Xenstore<P>,
        id: u32,
        config: Config,
        addresses: Option<Addresses<P>>,
        random: &Random,
    ) -> Rc<Net<P>> {
        let nic = fata_devices::nic(&self.rt, &self.xen, store, id, fata_net::Options::default());
        let capture = Rc::new(RefCell::new(Capture::default()));
        let link = Pcap::new(Parked::new(nic.phy()), capture.clone(), PcapOptions::default());
        let stack = Stack::start(&self.rt, link, config, random);
        let resolver = Resolver::new(&stack, random, fata_resolve::Config::default());
        if let Some(addresses) = addresses {
            addresses.follow(&self.rt, &stack);
        }
        let net = Rc::new(Net { nic, stack, resolver, capture });
        self.nets.borrow_mut().push(net.clone());
        net
    }

    /// Waits until an interface works.
    async fn net_ready(&self, net: &Net<P>, out: &Out) -> Result<(), Trouble> {
        let id = net.nic.id();
        if self.rt.timeout(PATIENCE, net.nic.ready()).await.is_err() {
            out.say(&|w| writeln!(w, "waiting for the backend of interface {id}; Ctrl-C gives up"));
        }
        net.nic.ready().await.map_err(|error| Trouble::Net(id, error))
    }
}

/// Addresses in the words of a command, all of which must make sense.
fn config(argument: &str) -> Result<Config, String> {
    let mut config = Config::default();
    for (name, value) in words(argument) {
        match config.word(name, value) {
            Ok(true) => {}
            Ok(false) => return Err(format!("{name} is no word of `net`; see `help net`")),
            Err(error) => return Err(said(name, value, error)),
        }
    }
    config.check().map_err(|error| error.to_string())?;
    Ok(config)
}

fn said(name: &str, value: &str, error: ConfigError) -> String {
    format!("{name}={value}: {error}")
}

/// The first so many sockets, since a table is made in one piece.
const SOCKETS: usize = 100;

/// Sockets, and what the stack has counted.
fn sockets(t: &mut Table<'_>, stack: &Stack) -> fmt::Result {
    let (mut number, mut result) = (0, Ok(()));
    stack.for_each_socket(|socket| {
        number += 1;
        if number <= SOCKETS && result.is_ok() {
            result = socket_row(t, socket);
        }
    });
    result?;
    let (ended, counts) = (stack.ended(), stack.counts());
    t.row("in all", format_args!("{number}, and {ended} that have ended"))?;
    let counts = [
        (counts.frames, "frames"),
        (counts.joined, "datagrams put together"),
        (counts.fragments_refused, "fragments refused"),
        (counts.backlog_full, "connections not heard, since too many waited"),
        (counts.cookies_sent, "SYNs answered with cookies"),
        (counts.cookies_taken, "connections by cookies"),
        (counts.orphans_reset, "connections reset, since too many were ending"),
        (counts.answers_dropped, "large answers dropped"),
    ];
    for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
        t.row("", format_args!("{count} {what}"))?;
    }
    Ok(())
}

fn socket_row(t: &mut Table<'_>, socket: SocketInfo) -> fmt::Result {
    match socket {
        SocketInfo::Listens { local, pending, backlog } => {
            t.row("listens", format_args!("{local}, {pending} of {backlog} wait"))
        }
        SocketInfo::Tcp { local, remote, state, receive, send, is_orphan } => {
            let orphan = if is_orphan { ", let go of" } else { "" };
            t.row("tcp", format_args!("{local} {remote} {state}, {receive} in, {send} out{orphan}"))
        }
        SocketInfo::Udp { local } => t.row("udp", format_args!("{local}")),
    }
}

/// An interface that is in use.
pub(super) fn rows<P: Platform>(t: &mut Table<'_>, net: &Net<P>) -> fmt::Result {
    let Net { nic, stack, .. } = net;
    let label = format!("interface {}", nic.id());
    match (nic.state(), nic.mtu()) {
        (State::Ready, Some(mtu)) => t.row(&label, format_args!("up: {}, MTU {mtu}", nic.mac()))?,
        (State::Ready | State::NoCarrier, _) => t.row(&label, format_args!("down: its cable is out"))?,
        (State::Paused, _) => t.row(&label, format_args!("down: nothing there, or its backend is away"))?,
        (State::Dead(error), _) => t.row(&label, format_args!("dead: {error}"))?,
    }
    for address in stack.addresses() {
        t.row("", format_args!("{address}"))?;
    }
    if let Some(gateway) = stack.lease().and_then(|lease| lease.gateway) {
        t.row("", format_args!("by DHCP; gateway {gateway}"))?;
    }
    let totals = nic.totals();
    t.row(
        "",
        format_args!(
            "received {} frames, {}; sent {}, {}; connects {}",
            totals.rx_frames,
            Bytes(totals.rx_bytes),
            totals.tx_frames,
            Bytes(totals.tx_bytes),
            totals.connects
        ),
    )?;
    let drops = [
        (totals.rx_failed, "failed to come"),
        (totals.rx_too_long, "too long"),
        (totals.rx_too_short, "too short"),
        (totals.rx_unknown, "of an unknown kind"),
        (totals.rx_bad_sum, "with a wrong checksum"),
        (totals.tx_dropped, "dropped by the backend"),
        (totals.tx_failed, "refused by the backend"),
        (totals.tx_unfit, "too long to send"),
    ];
    for (count, why) in drops.iter().filter(|(count, _)| *count > 0) {
        t.row("", format_args!("{count} frames {why}"))?;
    }
    Ok(())
}
