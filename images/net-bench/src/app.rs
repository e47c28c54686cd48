//! What the command line asks for.

use crate::{raw, serve};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use embedded_io_async::{Read, Write};
use fata_addresses::{Origin, Source, Topic};
use fata_boot::info::BootInfo;
use fata_devices::Network;
use fata_kit::{Gone, Terminal, words};
use fata_net::{Nic, Options};
use fata_netstack::V4;
use fata_rt::Rt;
use xen_hyp::{Platform, Xen};

/// Does the command line's work; that of a server has no end.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    info: &BootInfo<'_>,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    match run(&rt, &xen, &mut terminal, info).await? {
        Ok(()) => terminal.say("SUCCESS\n").await,
        Err(reason) => terminal.print(&|out| writeln!(out, "FAILURE: {reason}")).await,
    }
}

async fn run<P: Platform, C: Read + Write>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    terminal: &mut Terminal<C>,
    info: &BootInfo<'_>,
) -> Result<Result<(), String>, Gone> {
    let mut options = Options::default();
    let (mut is_raw, mut room) = (false, serve::ROOM);
    for (name, value) in words(info.cmdline) {
        if Topic::of(name, value).is_some() {
            continue;
        }
        let understood = match (name, value) {
            ("seed", _) => Some(()),
            ("raw", "") => {
                is_raw = true;
                Some(())
            }
            ("room", _) => value.parse().ok().map(|bytes| room = bytes),
            ("offloads", "off") => {
                (options.gso, options.checksum) = (false, false);
                Some(())
            }
            _ => options.word(name, value),
        };
        if understood.is_none() {
            return Ok(Err(format!("the command line makes no sense at {name:?}")));
        }
    }
    let store = match fata_devices::needed_store(rt, xen) {
        Ok(store) => store,
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    if is_raw {
        let nic = fata_devices::nic(rt, xen, &store, 0, options);
        let told = vec![Source::words(Origin::CommandLine, words(info.cmdline))];
        let addresses = fata_devices::addresses(&store, 0, told).await;
        if let Some(error) = connected(rt, &nic, terminal).await? {
            return Ok(Err(error));
        }
        return match addresses.config().v4 {
            V4::Static(address) => raw::serve(rt, nic.phy(), address.address()).await,
            _ => Ok(Err("without a stack it wants an address: ip=A.B.C.D/N".into())),
        };
    }
    let Network { nic, stack, .. } = fata_devices::network(rt, xen, &store, info, options, None).await;
    if let Some(error) = connected(rt, &nic, terminal).await? {
        return Ok(Err(error));
    }
    if let Err(error) = serve::start(rt, &stack, room) {
        return Ok(Err(format!("{error}")));
    }
    loop {
        let count = terminal.read().await?.len();
        terminal.used(count);
        let totals = nic.totals();
        terminal.print(&|out| writeln!(out, "net totals {totals}")).await?;
    }
}

/// Waits for the card, and says since when it is there. Gives what is wrong with it.
async fn connected<P: Platform, C: Read + Write>(
    rt: &Rt,
    nic: &Nic<P>,
    terminal: &mut Terminal<C>,
) -> Result<Option<String>, Gone> {
    if let Err(error) = nic.ready().await {
        return Ok(Some(format!("{error}")));
    }
    let (mac, connected_ns) = (nic.mac(), rt.now_ns());
    terminal.print(&|out| writeln!(out, "net connected ns {connected_ns} mac {mac}")).await?;
    Ok(None)
}
