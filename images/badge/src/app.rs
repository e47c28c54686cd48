//! Brings the network up, shows itself, and says where it is.

use crate::card::build;
use crate::options::Options;
use crate::serve::{Shown, announce, serve};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use embedded_io_async::{Read, Write};
use fata_boot::info::BootInfo;
use fata_conduit::Conduit;
use fata_devices::conduit::Vchans;
use fata_kit::{Gone, Terminal};
use fata_resolve::{Config, Resolver};
use fata_rt::Rt;
use fata_tls::{Client, ClientOptions, Server, ServerOptions};
use xen_hyp::{Platform, Xen};

type Peers<P> = Rc<Conduit<Vchans<P>>>;

/// Does as the command line says, without end.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    info: &BootInfo<'static>,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    let (conduit, shown) = match begin(&rt, &xen, info).await {
        Ok(begun) => begun,
        Err(reason) => return terminal.print(&|out| writeln!(out, "FAILURE: {reason}")).await,
    };
    let listen = &shown.options.listen;
    let print = |out: &mut dyn core::fmt::Write| {
        write!(out, "badge of {} at", shown.options.name)?;
        listen.iter().try_for_each(|address| write!(out, " {address}"))?;
        writeln!(out)
    };
    terminal.print(&print).await?;
    let (rt2, shown2) = (rt.clone(), shown.clone());
    drop(rt.spawn(async move {
        announce(&rt2, &conduit, &shown2, |took| match took {
            Ok(status) => fata_log::info!("the registry answers {}", status.code()),
            Err(reason) => fata_log::warn!("the registry: {}", &reason[..]),
        })
        .await;
    }));
    loop {
        let count = terminal.read().await?.len();
        terminal.used(count);
        terminal.say(&shown.card(&rt).text()).await?;
    }
}

async fn begin<P: Platform>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    info: &BootInfo<'static>,
) -> Result<(Peers<P>, Rc<Shown>), String> {
    let options = Options::parse(info.cmdline)?;
    let store = fata_devices::needed_store(rt, xen).map_err(|error| format!("{error}"))?;
    let network = fata_devices::network(rt, xen, &store, info, options.nic, None).await;
    let resolver = Resolver::new(&network.stack, &network.random, Config::default());
    let clock = fata_devices::clock(rt, xen);
    let said = |error: fata_devices::tls::Error| format!("{error}");
    let identities = fata_devices::tls::identities(rt, &store, info.payload).await.map_err(said)?;
    let server = Server::new(ServerOptions::new(identities), &network.random, &clock);
    let mut conduit = Conduit::new()
        .with_stack(&network.stack)
        .with_names(&resolver)
        .with_outside(Vchans::new(rt, xen, Some(&store)))
        .with_tls_server(&server);
    if let Some(trust) = fata_devices::tls::trust(info.payload).map_err(said)? {
        conduit = conduit.with_tls_client(&Client::new(ClientOptions::new(trust), &network.random, &clock));
    }
    network.stack.up().await;
    let shown = Rc::new(Shown {
        options,
        build: build("badge", env!("CARGO_PKG_VERSION")),
        boot_us: rt.now_ns() / 1000,
        memory: || {
            let usage = fata_boot::MEMORY.usage();
            [usage.total as u64, (usage.total - usage.free()) as u64]
        },
    });
    let conduit = Rc::new(conduit);
    serve(rt, &conduit, &shown)?;
    Ok((conduit, shown))
}
