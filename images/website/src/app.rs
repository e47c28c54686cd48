//! Finds the pages, brings the network up, and serves.

use crate::content::Content;
use crate::options::Options;
use crate::pages::Pages;
use crate::serve::{Served, serve};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::future::{pending, poll_fn};
use core::pin::pin;
use core::task::Poll;
use embedded_io_async::{Read, Write};
use fata_boot::info::BootInfo;
use fata_conduit::Conduit;
use fata_devices::conduit::Vchans;
use fata_kit::{Gone, Terminal};
use fata_netstack::{Stack, tcp};
use fata_rt::Rt;
#[cfg(feature = "tls")]
use fata_tls::{Server, ServerOptions};
use xen_hyp::{Platform, Xen};

/// TCP connections that may wait to be accepted.
const BACKLOG: u32 = 64;
/// What a client may send ahead: heads of requests are short.
const RECEIVE: usize = 4096;

/// Does as the command line says, without end.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    info: &BootInfo<'static>,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    let (stack, served) = match begin(&rt, &xen, info, &mut terminal).await? {
        Ok(begun) => begun,
        Err(reason) => return terminal.print(&|out| writeln!(out, "FAILURE: {reason}")).await,
    };
    stack.up().await;
    let addresses = stack.addresses();
    let print = |out: &mut dyn core::fmt::Write| {
        write!(out, "website at")?;
        served.wish.listen.iter().try_for_each(|address| write!(out, " {address}"))?;
        write!(out, " of")?;
        addresses.iter().try_for_each(|cidr| write!(out, " {}", cidr.address()))?;
        writeln!(out)
    };
    terminal.print(&print).await?;
    loop {
        match next(&mut terminal, &served).await? {
            Next::Line(line) => terminal.print(&|out| writeln!(out, "{line}")).await?,
            Next::Typed => {
                let (all, heap) = (served.totals(), fata_boot::MEMORY.usage().heap_used);
                let ((sockets, _), ended, counts) = (stack.sockets(), stack.ended(), stack.counts());
                terminal.print(&|out| writeln!(out, "website: {all}")).await?;
                terminal
                    .print(&|out| writeln!(out, "{sockets} sockets, {ended} ended, {heap} bytes of heap"))
                    .await?;
                terminal.print(&|out| writeln!(out, "{counts:?}")).await?;
            }
        }
    }
}

enum Next {
    /// One to be shown.
    Line(String),
    /// Somebody wants to know.
    Typed,
}

/// What happens first.
async fn next<C: Read + Write>(terminal: &mut Terminal<C>, served: &Served) -> Result<Next, Gone> {
    let typed = async {
        let count = terminal.read().await?.len();
        terminal.used(count);
        Ok(Next::Typed)
    };
    let line = async {
        match &served.journal {
            Some(journal) => journal.next().await,
            None => pending().await,
        }
    };
    let (mut typed, mut line) = (pin!(typed), pin!(line));
    poll_fn(|cx| match typed.as_mut().poll(cx) {
        Poll::Ready(typed) => Poll::Ready(typed),
        Poll::Pending => line.as_mut().poll(cx).map(|line| Ok(Next::Line(line))),
    })
    .await
}

/// Gets as far as that clients can come.
async fn begin<P: Platform, C: Read + Write>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    info: &BootInfo<'static>,
    terminal: &mut Terminal<C>,
) -> Result<Result<(Stack, Rc<Served>), String>, Gone> {
    let found = Options::parse(info.cmdline)
        .and_then(|options| Ok((Content::at_hand(options.wanted, info.payload)?, options)));
    let (content, mut options) = match found {
        Ok(found) => found,
        Err(reason) => return Ok(Err(reason)),
    };
    // What is at hand is told of whatever else may be missing.
    if let Some(content) = &content {
        tell(content, terminal).await?;
    }
    let store = match fata_devices::needed_store(rt, xen) {
        Ok(store) => store,
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    let content = match content {
        Some(content) => content,
        None => match Content::on_disks(rt, xen, &store, options.wanted).await {
            Ok(content) => {
                tell(&content, terminal).await?;
                content
            }
            Err(reason) => return Ok(Err(reason)),
        },
    };
    #[cfg(feature = "tls")]
    let identities = match fata_devices::tls::identities(rt, &store, info.payload).await {
        Ok(identities) => identities,
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    #[cfg(feature = "tls")]
    options.settle(!identities.all().is_empty());
    #[cfg(not(feature = "tls"))]
    options.settle(false);
    let network = fata_devices::network(rt, xen, &store, info, options.nic, None).await;
    let wall_clock = fata_devices::clock(rt, xen);
    let clock = wall_clock.clone();
    let clock = Rc::new(move || clock.now().ok().map(|now| now.as_secs()));
    let tcp =
        tcp::Options { receive: RECEIVE, send: options.wish.buffer, nagle: false, ..tcp::Options::default() };
    let conduit = Conduit::new()
        .with_stack(&network.stack)
        .with_outside(Vchans::new(rt, xen, Some(&store)))
        .with_options(tcp, BACKLOG);
    #[cfg(feature = "tls")]
    let conduit = {
        let mut tls = ServerOptions::new(identities);
        tls.protocols.push(b"http/1.1".to_vec());
        conduit.with_tls_server(&Server::new(tls, &network.random, &wall_clock))
    };
    let served = Rc::new(Served::new(rt, Pages::new(content.site), options.wish, clock));
    Ok(serve(rt, &conduit, &served, &served.wish.listen).map(|()| (network.stack, served)))
}

async fn tell<C: Read + Write>(content: &Content, terminal: &mut Terminal<C>) -> Result<(), Gone> {
    let Content { origin, site } = content;
    let (files, bytes) = (site.len(), site.bytes());
    terminal.print(&|out| writeln!(out, "{files} files {origin}, {bytes} bytes")).await
}
