//! What the command line asks for.

use crate::{raw, serve};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use embedded_io_async::{Read, Write};
use fata_addresses::{Origin, Source, Topic};
use fata_kit::{Gone, Terminal, words};
use fata_link::Parked;
use fata_net::Options;
use fata_netstack::{Random, Stack, V4};
use fata_rt::Rt;
use xen_hyp::{Platform, Xen};

/// Does the command line's work; that of a server has no end.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    cmdline: &str,
    chosen: &str,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    match run(&rt, &xen, &mut terminal, cmdline, chosen).await? {
        Ok(()) => terminal.say("SUCCESS\n").await,
        Err(reason) => terminal.print(&|out| writeln!(out, "FAILURE: {reason}")).await,
    }
}

async fn run<P: Platform, C: Read + Write>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    terminal: &mut Terminal<C>,
    cmdline: &str,
    chosen: &str,
) -> Result<Result<(), String>, Gone> {
    let mut options = Options::default();
    let (mut is_raw, mut room) = (false, serve::ROOM);
    for (name, value) in words(cmdline) {
        if Topic::of(name, value).is_some() {
            continue;
        }
        let understood = match (name, value) {
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
    let store = match fata_devices::store(rt, xen) {
        Ok(Some(store)) => store,
        Ok(None) => return Ok(Err("this domain has no Xenstore".into())),
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    let nic = fata_devices::nic(rt, xen, &store, 0, options);
    let told = vec![
        Source::words(Origin::CommandLine, words(cmdline)),
        Source::words(Origin::DeviceTree, words(chosen)),
    ];
    // While the interface connects.
    let addresses = fata_devices::addresses(&store, 0, told).await;
    if let Err(error) = nic.ready().await {
        return Ok(Err(format!("{error}")));
    }
    let (mac, connected_ns) = (nic.mac(), rt.now_ns());
    terminal.print(&|out| writeln!(out, "net connected ns {connected_ns} mac {mac}")).await?;
    match addresses.config().v4 {
        V4::Static(address) if is_raw => raw::serve(rt, nic.phy(), address.address()).await,
        _ if is_raw => Ok(Err("without a stack it wants an address: ip=A.B.C.D/N".into())),
        _ => {
            // As good as it gets without entropy.
            let seed = mac.0.iter().fold(rt.now_ns(), |seed, byte| seed.rotate_left(8) ^ u64::from(*byte));
            let stack = Stack::start(rt, Parked::new(nic.phy()), addresses.config(), &Random::known(seed));
            addresses.follow(rt, &stack);
            if options.multicast {
                let (stack, nic) = (stack.clone(), nic.clone());
                drop(rt.spawn(async move {
                    let tell = |group, wanted| if wanted { nic.join(group) } else { nic.leave(group) };
                    stack.tell_groups(tell).await;
                }));
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
    }
}
