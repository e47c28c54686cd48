//! Brings the network up, and carries.

use crate::carry::{Totals, carry};
use crate::options::Options;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::Cell;
use embedded_io_async::{Read, Write};
use fata_boot::info::BootInfo;
use fata_conduit::Conduit;
use fata_devices::conduit::Vchans;
use fata_kit::{Gone, Terminal};
use fata_netstack::{Stack, tcp};
use fata_resolve::{Config, Resolver};
use fata_rt::Rt;
use fata_tls::{Client, ClientOptions, Server, ServerOptions};
use xen_hyp::{Platform, Xen};

/// TCP connections that may wait to be accepted.
const BACKLOG: u32 = 64;

/// Does as the command line says, without end.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    info: &BootInfo<'static>,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    let totals = Rc::new(Cell::new(Totals::default()));
    let (stack, options) = match begin(&rt, &xen, info, &totals).await {
        Ok(begun) => begun,
        Err(reason) => return terminal.print(&|out| writeln!(out, "FAILURE: {reason}")).await,
    };
    stack.up().await;
    for way in &options.ways {
        terminal.print(&|out| writeln!(out, "carrying from {} to {}", way.listen, way.to)).await?;
    }
    loop {
        let count = terminal.read().await?.len();
        terminal.used(count);
        let (all, heap) = (totals.get(), fata_boot::MEMORY.usage().heap_used);
        terminal.print(&|out| writeln!(out, "{all}, {heap} bytes of heap")).await?;
    }
}

async fn begin<P: Platform>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    info: &BootInfo<'static>,
    totals: &Rc<Cell<Totals>>,
) -> Result<(Stack, Options), String> {
    let options = Options::parse(info.cmdline)?;
    let store = fata_devices::needed_store(rt, xen).map_err(|error| format!("{error}"))?;
    let network = fata_devices::network(rt, xen, &store, info, options.nic, None).await;
    let resolver = Resolver::new(&network.stack, &network.random, Config::default());
    let buffer = options.wish.buffer;
    let tcp = tcp::Options { receive: buffer, send: buffer, nagle: false, ..tcp::Options::default() };
    let clock = fata_devices::clock(rt, xen);
    let said = |error: fata_devices::tls::Error| format!("{error}");
    let identities = fata_devices::tls::identities(rt, &store, info.payload).await.map_err(said)?;
    let server = Server::new(ServerOptions::new(identities), &network.random, &clock);
    let mut conduit = Conduit::new()
        .with_stack(&network.stack)
        .with_names(&resolver)
        .with_outside(Vchans::new(rt, xen, Some(&store)))
        .with_tls_server(&server)
        .with_options(tcp, BACKLOG);
    if let Some(trust) = fata_devices::tls::trust(info.payload).map_err(said)? {
        conduit = conduit.with_tls_client(&Client::new(ClientOptions::new(trust), &network.random, &clock));
    }
    let conduit = Rc::new(conduit);
    for way in &options.ways {
        carry(rt, &conduit, way, options.wish, totals)?;
    }
    Ok((network.stack, options))
}
