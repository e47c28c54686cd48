//! Brings the network up.

use crate::options::Options;
use crate::work::work;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use embedded_io_async::{Read, Write};
use fata_boot::info::BootInfo;
use fata_devices::Network;
use fata_kit::{Gone, Terminal};
use fata_netstack::Stack;
use fata_resolve::{Config, Resolver};
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
        Ok((stack, resolver, options)) => {
            work(&rt, &stack, &resolver, &options.wishes, &mut terminal).await?
        }
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
) -> Result<(Stack, Resolver, Options), String> {
    let options = Options::parse(info.cmdline)?;
    let store = fata_devices::needed_store(rt, xen).map_err(|error| format!("{error}"))?;
    let Network { stack, random, .. } = fata_devices::network(rt, xen, &store, info, options.nic, None).await;
    let resolver = Resolver::new(&stack, &random, Config::default());
    Ok((stack, resolver, options))
}
