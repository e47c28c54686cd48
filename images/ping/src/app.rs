//! Brings the network up.

use crate::options::Options;
use crate::work::work;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
#[cfg(feature = "cidata")]
use alloc::vec::Vec;
use embedded_io_async::{Read, Write};
use fata_addresses::{Origin, Source};
use fata_kit::{Gone, Terminal, words};
use fata_link::Parked;
use fata_netstack::{Random, Stack};
use fata_rt::Rt;
use xen_hyp::{Platform, Xen};

/// Does as the command line says. `chosen` are words about addresses from the device tree.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    cmdline: &str,
    chosen: &str,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    let result = match begin(&rt, &xen, cmdline, chosen).await {
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
    cmdline: &str,
    chosen: &str,
) -> Result<(Stack, Options), String> {
    let options = Options::parse(cmdline)?;
    let store = match fata_devices::store(rt, xen) {
        Ok(Some(store)) => store,
        Ok(None) => return Err("this domain has no Xenstore".into()),
        Err(error) => return Err(format!("{error}")),
    };
    let nic = fata_devices::nic(rt, xen, &store, 0, options.nic);
    #[cfg_attr(not(feature = "cidata"), allow(unused_mut, reason = "a disk may say more"))]
    let mut told = vec![
        Source::words(Origin::CommandLine, words(cmdline)),
        Source::words(Origin::DeviceTree, words(chosen)),
    ];
    #[cfg(feature = "cidata")]
    if options.cidata {
        told.extend(disk(rt, xen, &store).await);
    }
    // While the interface connects.
    let addresses = fata_devices::addresses(&store, 0, told).await;
    // As good as it gets without entropy.
    let random = Random::known(rt.now_ns());
    let stack = Stack::start(rt, Parked::new(nic.phy()), addresses.config(), &random);
    addresses.follow(rt, &stack);
    if options.nic.multicast {
        let stack = stack.clone();
        drop(rt.spawn(async move {
            stack.tell_groups(|group, wanted| if wanted { nic.join(group) } else { nic.leave(group) }).await;
        }));
    }
    Ok((stack, options))
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
