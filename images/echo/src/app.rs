//! Brings the network up, and serves.

use crate::options::Options;
use crate::serve::serve;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use embedded_io_async::{Read, Write};
use fata_boot::info::BootInfo;
use fata_kit::{Gone, Terminal};
use fata_netstack::Stack;
use fata_rt::Rt;
use xen_hyp::{Platform, Xen};

/// Does as the command line says, without end.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    info: &BootInfo<'_>,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    let served = match begin(&rt, &xen, info).await {
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

async fn begin<P: Platform>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    info: &BootInfo<'_>,
) -> Result<(Stack, Options), String> {
    let options = Options::parse(info.cmdline)?;
    let store = fata_devices::needed_store(rt, xen).map_err(|error| format!("{error}"))?;
    let network = fata_devices::network(rt, xen, &store, info, options.nic, None).await;
    Ok((network.stack, options))
}
