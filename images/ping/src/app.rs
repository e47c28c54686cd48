//! Brings the network up.

use crate::options::Options;
use crate::work::work;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
#[cfg(feature = "cidata")]
use alloc::vec::Vec;
use embedded_io_async::{Read, Write};
#[cfg(feature = "cidata")]
use fata_addresses::Source;
use fata_boot::info::BootInfo;
use fata_kit::{Gone, Terminal};
use fata_netstack::Stack;
use fata_rt::Rt;
use xen_hyp::{Platform, Xen};

/// Does as the command line says.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    info: &BootInfo<'_>,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    let result = match begin(&rt, &xen, info).await {
        Ok((stack, options)) => work(&rt, &stack, &options.wish, &mut terminal).await?,
        Err(reason) => Err(reason),
    };
    match result {
        Ok(()) => terminal.say("SUCCESS\n").await,
        Err(reason) => terminal.print(&|out| writeln!(out, "FAILURE: {reason}")).await,
    }
}

async fn begin<P: Platform>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    info: &BootInfo<'_>,
) -> Result<(Stack, Options), String> {
    let options = Options::parse(info.cmdline)?;
    let store = fata_devices::needed_store(rt, xen).map_err(|error| format!("{error}"))?;
    #[cfg(feature = "cidata")]
    let more = if options.cidata { disk(rt, xen, &store).await } else { None };
    #[cfg(not(feature = "cidata"))]
    let more = None;
    let network = fata_devices::network(rt, xen, &store, info, options.nic, more).await;
    Ok((network.stack, options))
}

/// What a disk labelled `cidata` says. All disks are looked at, since nobody else uses them here.
#[cfg(feature = "cidata")]
async fn disk<P: Platform>(rt: &Rt, xen: &Rc<Xen<P>>, store: &fata_xenstore::Xenstore<P>) -> Option<Source> {
    let ids = fata_xenbus::Bus::new(store).ids("vbd").await.ok()?;
    let disks: Vec<_> = ids
        .into_iter()
        .map(|id| fata_devices::disk(rt, xen, store, id, fata_block::Options::default()))
        .collect();
    fata_devices::cidata(rt, &disks).await
}
