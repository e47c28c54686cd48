//! Brings the network up.

use crate::options::Options;
use crate::work::work;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use embedded_io_async::{Read, Write};
use fata_kit::{Gone, Terminal};
use fata_link::Parked;
use fata_netstack::Stack;
use fata_random::Random;
use fata_resolve::{Config, Resolver};
use fata_rt::Rt;
use fata_xenstore::Xenstore;
use xen_hyp::{Platform, Xen};

/// Does as the command line says.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    cmdline: &str,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    let result = match begin(&rt, &xen, cmdline).await {
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
    cmdline: &str,
) -> Result<(Stack, Resolver, Options), String> {
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
    let resolver = Resolver::new(&stack, &random, Config::default());
    Ok((stack, resolver, options))
}

async fn read<P: Platform>(store: &Xenstore<P>, path: &str) -> Result<Option<String>, String> {
    store.try_read_string(path).await.map_err(|error| format!("{path}: {error}"))
}
