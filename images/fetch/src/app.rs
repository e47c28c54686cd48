//! Brings the network up, and gets what was asked for.

use crate::get::get;
use crate::options::Options;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use embedded_io_async::{Read, Write};
use fata_boot::info::BootInfo;
use fata_conduit::Conduit;
use fata_devices::conduit::Vchans;
use fata_kit::{Gone, Terminal};
use fata_resolve::{Config, Resolver};
use fata_rt::Rt;
use fata_tls::{Client, ClientOptions, Trust};
use xen_hyp::{Platform, Xen};

/// What is shown of one thing, at most.
const SHOWN: usize = 64 << 10;

/// Does as the command line says.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    info: &BootInfo<'static>,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    let (conduit, options) = match begin(&rt, &xen, info).await {
        Ok(begun) => begun,
        Err(reason) => return terminal.print(&|out| writeln!(out, "FAILURE: {reason}")).await,
    };
    for url in &options.urls {
        let mut shown = Vec::new();
        let take = |bytes: &[u8]| {
            let room = if options.wish.show { SHOWN - shown.len() } else { 0 };
            shown.extend_from_slice(&bytes[..bytes.len().min(room)]);
        };
        match get(&rt, &conduit, url, &options.wish, take).await {
            Ok(got) => {
                terminal.say(&printable(&shown)).await?;
                let print = |out: &mut dyn core::fmt::Write| {
                    write!(out, "{}: {}, {} bytes, SHA-256 ", got.url, got.status, got.len)?;
                    got.sha256.iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
                    writeln!(out)
                };
                terminal.print(&print).await?;
            }
            Err(error) => {
                return terminal.print(&|out| writeln!(out, "FAILURE: {url}: {error}")).await;
            }
        }
    }
    terminal.say("SUCCESS\n").await
}

/// Text that a terminal does not act on.
fn printable(bytes: &[u8]) -> String {
    let is_plain = |c: char| c == '\n' || c == '\t' || !c.is_control();
    let text = String::from_utf8_lossy(bytes);
    let mut text: String =
        text.chars().filter(|c| *c != '\r').map(|c| if is_plain(c) { c } else { '.' }).collect();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

async fn begin<P: Platform>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    info: &BootInfo<'static>,
) -> Result<(Conduit<Vchans<P>>, Options), String> {
    let options = Options::parse(info.cmdline)?;
    let store = fata_devices::needed_store(rt, xen).map_err(|error| format!("{error}"))?;
    let network = fata_devices::network(rt, xen, &store, info, options.nic, None).await;
    let resolver = Resolver::new(&network.stack, &network.random, Config::default());
    let clock = fata_devices::clock(rt, xen);
    let trust = fata_devices::tls::trust(info.payload).map_err(|error| format!("{error}"))?;
    let trust = trust.or_else(everybody);
    let conduit = Conduit::new().with_stack(&network.stack).with_names(&resolver).with_outside(Vchans::new(
        rt,
        xen,
        Some(&store),
    ));
    let conduit = match trust {
        Some(trust) => {
            conduit.with_tls_client(&Client::new(ClientOptions::new(trust), &network.random, &clock))
        }
        None => conduit,
    };
    Ok((conduit, options))
}

/// Those whom browsers trust.
fn everybody() -> Option<Trust> {
    #[cfg(feature = "mozilla")]
    return Some(Trust::mozilla());
    #[cfg(not(feature = "mozilla"))]
    None
}
