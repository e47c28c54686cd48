//! What the command line asks for.

use crate::raw;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use embedded_io_async::{Read, Write};
use fata_kit::{Gone, Terminal, words};
use fata_net::Options;
use fata_rt::Rt;
use smoltcp::wire::Ipv4Cidr;
use xen_hyp::{Platform, Xen};

/// Does the command line's work; that of a server has no end.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    cmdline: &str,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    match run(&rt, &xen, &mut terminal, cmdline).await? {
        Ok(()) => terminal.say("SUCCESS\n").await,
        Err(reason) => terminal.print(&|out| writeln!(out, "FAILURE: {reason}")).await,
    }
}

async fn run<P: Platform, C: Read + Write>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    terminal: &mut Terminal<C>,
    cmdline: &str,
) -> Result<Result<(), String>, Gone> {
    let (mut options, mut address) = (Options::default(), None);
    for (name, value) in words(cmdline) {
        let understood = match (name, value) {
            ("ip", _) => value.parse::<Ipv4Cidr>().ok().map(|ip| address = Some(ip)),
            ("gw" | "raw", _) => Some(()),
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
    let Some(address) = address else { return Ok(Err("it wants an address: ip=A.B.C.D/N".into())) };
    let store = match fata_devices::store(rt, xen) {
        Ok(Some(store)) => store,
        Ok(None) => return Ok(Err("this domain has no Xenstore".into())),
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    let nic = fata_devices::nic(rt, xen, &store, 0, options);
    if let Err(error) = nic.ready().await {
        return Ok(Err(format!("{error}")));
    }
    let (mac, connected_ns) = (nic.mac(), rt.now_ns());
    terminal.print(&|out| writeln!(out, "net connected ns {connected_ns} mac {mac}")).await?;
    raw::serve(rt, nic.phy(), address.address()).await
}
