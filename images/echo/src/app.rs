//! Brings the network up, and serves.

use crate::options::Options;
use crate::serve::serve;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use embedded_io_async::{Read, Write};
use fata_kit::{Gone, Terminal};
use fata_link::Parked;
use fata_netstack::{Random, Stack};
use fata_rt::Rt;
use fata_xenstore::Xenstore;
use xen_hyp::{Platform, Xen};

/// Does as the command line says, without end.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    cmdline: &str,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    let served = match begin(&rt, &xen, cmdline).await {
        Ok((stack, options)) => serve(&rt, &stack, options.wish).map(|totals| (stack, options, totals)),
        Err(reason) => Err(reason),
    };
    let (stack, options, totals) = match served {
        Ok(served) => served,
        Err(reason) => return terminal.print(&|out| writeln!(out, "FAILURE: {reason}")).await,
    };
    stack.up().await;
    let addresses = stack.addresses();
    let print = |out: &mut dyn core::fmt::Write| {
        write!(out, "echo on port {} of", options.wish.port)?;
        addresses.iter().try_for_each(|cidr| write!(out, " {}", cidr.address()))?;
        writeln!(out)
    };
    terminal.print(&print).await?;
    loop {
        let count = terminal.read().await?.len();
        terminal.used(count);
        let (all, counts, heap) = (totals.get(), stack.counts(), fata_boot::MEMORY.usage().heap_used);
        let ((sockets, _), ended) = (stack.sockets(), stack.ended());
        terminal.print(&|out| writeln!(out, "echo: {all}")).await?;
        terminal
            .print(&|out| writeln!(out, "{sockets} sockets, {ended} ended, {heap} bytes of heap"))
            .await?;
        terminal.print(&|out| writeln!(out, "{counts:?}")).await?;
    }
}

async fn begin<P: Platform>(rt: &Rt, xen: &Rc<Xen<P>>, cmdline: &str) -> Result<(Stack, Options), String> {
    let mut options = Options::parse(cmdline)?;
    let store = match fata_devices::store(rt, xen) {
        Ok(Some(store)) => store,
        Ok(None) => return Err("this domain has no Xenstore".into()),
        Err(error) => return Err(format!("{error}")),
    };
    let (ip, gw) = (read(&store, "data/ip").await?, read(&store, "data/gw").await?);
    options.xenstore(ip.as_deref(), gw.as_deref())?;
    options.config.check().map_err(|error| format!("{error}"))?;
    let nic = fata_devices::nic(rt, xen, &store, 0, options.nic);
    // As good as it gets without entropy.
    let random = Random::known(rt.now_ns());
    let stack = Stack::start(rt, Parked::new(nic.phy()), options.config.clone(), &random);
    Ok((stack, options))
}

async fn read<P: Platform>(store: &Xenstore<P>, path: &str) -> Result<Option<String>, String> {
    store.try_read_string(path).await.map_err(|error| format!("{path}: {error}"))
}
