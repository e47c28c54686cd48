//! Looks names up, connects, and says what comes of it.

use crate::options::Wish;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::slice;
use core::time::Duration;
use embedded_io_async::{Read, Write};
use fata_kit::{Gone, Terminal};
use fata_netstack::{IpAddress, IpEndpoint, Stack, tcp};
use fata_resolve::{Answer, Error, Kind, Resolver, Source};
use fata_rt::Rt;

/// How long the network may take before names are looked up all the same, which says what is missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Does what is wished. Ends well if all of it had an answer.
pub async fn work<C: Read + Write>(
    rt: &Rt,
    stack: &Stack,
    resolver: &Resolver,
    wishes: &[Wish],
    terminal: &mut Terminal<C>,
) -> Result<Result<(), String>, Gone> {
    let addresses = rt.timeout(PATIENCE, stack.up()).await.unwrap_or_default();
    let servers = resolver.servers();
    terminal
        .print(&|out| {
            addresses.iter().try_for_each(|address| writeln!(out, "address {address}"))?;
            servers.iter().try_for_each(|server| writeln!(out, "server {}", server.addr))
        })
        .await?;
    let mut failed = 0;
    for wish in wishes {
        let begin_ns = rt.now_ns();
        match wish {
            Wish::Resolve(name, kind) => {
                let kinds = kind.as_ref().map_or(&[Kind::AAAA, Kind::A][..], slice::from_ref);
                let (mut any, mut why) = (false, Error::NoData);
                for kind in kinds {
                    let begin_ns = rt.now_ns();
                    let answer = resolver.lookup(name, *kind).await;
                    let time = Time(rt.now_ns() - begin_ns);
                    match answer {
                        Ok(answer) => {
                            any = true;
                            terminal.print(&|out| table(out, name, *kind, &answer, time)).await?;
                        }
                        Err(error) => why = if why == Error::NoData { error } else { why },
                    }
                }
                if !any {
                    let time = Time(rt.now_ns() - begin_ns);
                    terminal.print(&|out| nothing(out, name, *kind, why, time)).await?;
                }
                failed += u32::from(!any);
            }
            Wish::Connect(host, port) => {
                let stream = resolver.connect(host, *port, tcp::Options::default()).await;
                let time = Time(rt.now_ns() - begin_ns);
                failed += u32::from(stream.is_err());
                match stream {
                    Ok(stream) => {
                        let (there, here) = (stream.remote(), stream.local());
                        terminal.print(&|out| connected(out, host, there, here, time)).await?;
                    }
                    Err(error) => {
                        terminal.print(&|out| writeln!(out, "{host}:{port}: {error}, {time}")).await?;
                    }
                }
            }
        }
    }
    let all = wishes.len();
    Ok(if failed == 0 { Ok(()) } else { Err(format!("{failed} of {all} had no answer")) })
}

/// A time in nanoseconds, as milliseconds.
#[derive(Clone, Copy)]
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0 / 1000;
        write!(f, "{}.{:03} ms", us / 1000, us % 1000)
    }
}

/// What a name has: how many seconds it may be kept, of what kind it is, and what it says.
fn table(out: &mut dyn fmt::Write, name: &str, kind: Kind, answer: &Answer, time: Time) -> fmt::Result {
    write!(out, "{name} {kind}")?;
    match answer.source {
        Source::Own => write!(out, ", known without asking")?,
        Source::Server(server) => write!(out, " by {server}")?,
        Source::Memory(server) => write!(out, " by {server}, remembered")?,
    }
    writeln!(out, ", {time}")?;
    for record in answer.records() {
        writeln!(out, "{:>8} {:6} {}", answer.ttl_s(record), record.kind, record.data)?;
    }
    Ok(())
}

fn nothing(out: &mut dyn fmt::Write, name: &str, kind: Option<Kind>, why: Error, time: Time) -> fmt::Result {
    write!(out, "{name}")?;
    if let Some(kind) = kind {
        write!(out, " {kind}")?;
    }
    writeln!(out, ": {why}, {time}")
}

fn connected(
    out: &mut dyn fmt::Write,
    host: &str,
    there: Option<IpEndpoint>,
    here: Option<IpEndpoint>,
    time: Time,
) -> fmt::Result {
    write!(out, "{host}: connected")?;
    if let (Some(there), Some(here)) = (there, here) {
        for (word, end) in [("to", there), ("from", here)] {
            match end.addr {
                IpAddress::Ipv4(address) => write!(out, " {word} {address}:{}", end.port)?,
                IpAddress::Ipv6(address) => write!(out, " {word} [{address}]:{}", end.port)?,
            }
        }
    }
    writeln!(out, ", {time}")
}
