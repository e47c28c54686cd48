//! Brings the network up, and serves.

use crate::load::{Loader, STORE};
use crate::options::Options;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::future::{pending, poll_fn};
use core::pin::pin;
use core::task::Poll;
use embedded_io_async::{Read, Write};
use fata_boot::info::BootInfo;
use fata_dns::Server;
use fata_kit::{Gone, Terminal};
use fata_netstack::Stack;
use fata_rt::Rt;
use fata_xenstore::{Watch, Xenstore};
use xen_hyp::{Platform, Xen};

/// Whoever writes here has all zones read again.
const RELOAD: &str = "data/reload";

/// Does as the command line says, without end.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    info: &BootInfo<'_>,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    let begun = match begin(&rt, &xen, info).await {
        Ok(begun) => begun,
        Err(reason) => return terminal.print(&|out| writeln!(out, "FAILURE: {reason}")).await,
    };
    let Begun { stack, store, server, mut loader, port } = begun;
    let mut ears = Ears::open(&store).await;
    // Queries that come before there is a zone wait for it.
    load(&mut loader, &server, &mut terminal).await?;
    if let Err(error) = server.start(&stack, port) {
        return terminal.print(&|out| writeln!(out, "FAILURE: port {port}: {error}")).await;
    }
    stack.up().await;
    let addresses = stack.addresses();
    let print = |out: &mut dyn core::fmt::Write| {
        write!(out, "dns on port {port} of")?;
        addresses.iter().try_for_each(|cidr| write!(out, " {}", cidr.address()))?;
        writeln!(out)
    };
    terminal.print(&print).await?;
    loop {
        match ears.next(&mut terminal).await? {
            Next::Changed | Next::Typed(true) => load(&mut loader, &server, &mut terminal).await?,
            Next::Typed(false) => {
                let all = server.counts();
                terminal.print(&|out| writeln!(out, "{all}")).await?;
            }
        }
    }
}

struct Begun<P: Platform> {
    stack: Stack,
    store: Xenstore<P>,
    server: Rc<Server>,
    loader: Loader<P>,
    port: u16,
}

async fn begin<P: Platform>(rt: &Rt, xen: &Rc<Xen<P>>, info: &BootInfo<'_>) -> Result<Begun<P>, String> {
    let options = Options::parse(info.cmdline)?;
    let store = fata_devices::needed_store(rt, xen).map_err(|error| format!("{error}"))?;
    let network = fata_devices::network(rt, xen, &store, info, options.nic, None).await;
    let server = Server::new(options.serve, network.random.number());
    let loader = Loader {
        store: store.clone(),
        #[cfg(feature = "disk")]
        disks: crate::files::Disks {
            rt: rt.clone(),
            xen: xen.clone(),
            store: store.clone(),
            open: Vec::new(),
        },
        sources: options.sources,
        origin: options.origin,
    };
    Ok(Begun { stack: network.stack, store, server, loader, port: options.port })
}

/// Reads all zones, and serves them from then on. If one is bad, those that there were stay.
async fn load<P: Platform, C: Read + Write>(
    loader: &mut Loader<P>,
    server: &Server,
    terminal: &mut Terminal<C>,
) -> Result<(), Gone> {
    let loaded = match loader.load().await {
        Ok(loaded) => loaded,
        Err(reason) => {
            let kept = server.zones().len();
            return terminal.print(&|out| writeln!(out, "refused, {kept} zones as before: {reason}")).await;
        }
    };
    server.set_zones(loaded.iter().map(|(zone, _)| zone.clone()).collect());
    for (zone, warnings) in &loaded {
        let bytes = zone.bytes();
        terminal.print(&|out| writeln!(out, "{zone:?}, {bytes} bytes")).await?;
        for warning in warnings {
            terminal.print(&|out| writeln!(out, "  {warning}")).await?;
        }
    }
    Ok(())
}

/// Who says that zones have changed, and what was typed so far.
struct Ears {
    zones: Option<Watch>,
    reload: Option<Watch>,
    line: Vec<u8>,
}

/// More than any line that means something.
const LINE_MAX: usize = 16;

enum Next {
    Changed,
    /// A line, and whether it is `reload`.
    Typed(bool),
}

impl Ears {
    /// What changes from now on is heard.
    async fn open<P: Platform>(store: &Xenstore<P>) -> Self {
        // A path that cannot be watched is not one of these.
        let mut ears =
            Self { zones: store.watch(STORE).ok(), reload: store.watch(RELOAD).ok(), line: Vec::new() };
        for watch in [&mut ears.zones, &mut ears.reload] {
            // One that is new fires.
            if let Some(heard) = watch
                && heard.changed().await.is_err()
            {
                *watch = None;
            }
        }
        ears
    }

    /// What happens first.
    async fn next<C: Read + Write>(&mut self, terminal: &mut Terminal<C>) -> Result<Next, Gone> {
        let (mut zones, mut reload) = (pin!(changed(&mut self.zones)), pin!(changed(&mut self.reload)));
        let mut typed = pin!(typed(terminal, &mut self.line));
        poll_fn(|cx| {
            if let Poll::Ready(typed) = typed.as_mut().poll(cx) {
                return Poll::Ready(typed);
            }
            let fired = zones.as_mut().poll(cx).is_ready() | reload.as_mut().poll(cx).is_ready();
            if fired { Poll::Ready(Ok(Next::Changed)) } else { Poll::Pending }
        })
        .await
    }
}

/// Waits for a change; for ever if the store does not tell of any.
async fn changed(watch: &mut Option<Watch>) {
    while let Some(heard) = watch {
        match heard.changed().await {
            Ok(()) => return,
            Err(_) => *watch = None,
        }
    }
    pending().await
}

/// Waits for the end of a line.
async fn typed<C: Read + Write>(terminal: &mut Terminal<C>, line: &mut Vec<u8>) -> Result<Next, Gone> {
    loop {
        let bytes = terminal.read().await?;
        let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
        let used = end.map_or(bytes.len(), |end| end + 1);
        terminal.used(used);
        if end.is_some() {
            let reload = line.trim_ascii() == b"reload";
            line.clear();
            return Ok(Next::Typed(reload));
        }
        line.truncate(LINE_MAX);
    }
}
