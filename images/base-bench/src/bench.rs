//! The measurements.

use crate::copies;
use crate::job::{Job, Kind};
use crate::lent;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use embedded_io_async::{Read, Write};
use fata_kit::{Gone, Terminal, words};
use fata_rt::Rt;
use fata_xenstore::{Error, Xenstore};
use xen_hyp::{Channel, DomId, Platform, Seen, Xen};

/// The node that is read and written, and what is in it: as long as many a node of a device.
const NODE: &str = "data/bench";
const VALUE: &str = "12345678";
/// Where the peer finds our port.
const PORT: &str = "data/port";
/// Tasks that read at once.
const READERS: u64 = 16;

/// Does the command line's work and says what it took.
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
    let (mut jobs, mut peer, mut lent) = (Vec::new(), DomId::DOM0, false);
    for (name, value) in words(cmdline) {
        let understood = match name {
            "bench" => value.split(';').try_for_each(|job| Job::parse(job).map(|job| jobs.push(job))),
            "peer" => value.parse().ok().map(|id| peer = DomId(id)),
            "check" if value == "copies" => {
                return Ok(copies::check());
            }
            "lent" => (value == "1").then(|| lent = true),
            _ => None,
        };
        if understood.is_none() {
            return Ok(Err(format!("the command line makes no sense at {name:?}")));
        }
    }
    let store = match fata_devices::needed_store(rt, xen) {
        Ok(store) => store,
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    if lent {
        match lent::check(xen, &store, peer).await {
            Ok(pages) => terminal.print(&|out| writeln!(out, "base lent {pages} pages")).await?,
            Err(reason) => return Ok(Err(reason)),
        }
    }
    let channel = match prepare(xen, &store, peer, &jobs).await {
        Ok(channel) => channel,
        Err(reason) => return Ok(Err(reason)),
    };
    terminal.say("base ready\n").await?;
    for Job { kind, count } in jobs {
        let start_ns = rt.now_ns();
        let done = match kind {
            Kind::Event => {
                if let Some((channel, seen)) = &channel {
                    events(channel, seen, count).await;
                }
                Ok(())
            }
            Kind::Read => reads(&store, count).await,
            Kind::Read16 => many_reads(rt, &store, count).await,
            Kind::Write => writes(&store, count).await,
            Kind::Transaction => transactions(&store, count).await,
            Kind::Watch => watched(&store, count).await,
        };
        let ns = rt.now_ns() - start_ns;
        match done {
            Ok(()) => terminal.print(&|out| writeln!(out, "base {kind} total {count} ns {ns}")).await?,
            Err(error) => return Ok(Err(format!("{kind}: {error}"))),
        }
    }
    Ok(Ok(()))
}

/// Makes the node, and the channel if one is needed; waits for the peer's first event on it.
async fn prepare<P: Platform>(
    xen: &Rc<Xen<P>>,
    store: &Xenstore<P>,
    peer: DomId,
    jobs: &[Job],
) -> Result<Option<(Channel<P>, Cell<Seen>)>, String> {
    store.write(NODE, VALUE).await.map_err(|error| format!("{NODE}: {error}"))?;
    if jobs.iter().all(|job| job.kind != Kind::Event) {
        return Ok(None);
    }
    let channel = xen.listen(peer).map_err(|error| format!("no channel: {error}"))?;
    let none = channel.seen();
    let port = format!("{}", channel.port().0);
    store.write(PORT, &port).await.map_err(|error| format!("{PORT}: {error}"))?;
    let first = channel.after(none).await;
    Ok(Some((channel, Cell::new(first))))
}

async fn events<P: Platform>(channel: &Channel<P>, seen: &Cell<Seen>, count: u64) {
    for _ in 0..count {
        channel.notify();
        seen.set(channel.after(seen.get()).await);
    }
}

async fn reads<P: Platform>(store: &Xenstore<P>, count: u64) -> Result<(), Error> {
    for _ in 0..count {
        check(store.read(NODE).await?)?;
    }
    Ok(())
}

async fn many_reads<P: Platform>(rt: &Rt, store: &Xenstore<P>, count: u64) -> Result<(), Error> {
    let left = Rc::new(Cell::new(count));
    let read = || {
        let (store, left) = (store.clone(), left.clone());
        rt.spawn(async move {
            while left.get() > 0 {
                left.set(left.get() - 1);
                check(store.read(NODE).await?)?;
            }
            Ok::<_, Error>(())
        })
    };
    let tasks: Vec<_> = (0..READERS).map(|_| read()).collect();
    for task in tasks {
        task.await.unwrap_or(Ok(()))?;
    }
    Ok(())
}

async fn writes<P: Platform>(store: &Xenstore<P>, count: u64) -> Result<(), Error> {
    for _ in 0..count {
        store.write(NODE, VALUE).await?;
    }
    Ok(())
}

async fn transactions<P: Platform>(store: &Xenstore<P>, count: u64) -> Result<(), Error> {
    for _ in 0..count {
        store
            .transaction(async |tx| {
                check(tx.read(NODE).await?)?;
                tx.write(NODE, VALUE).await
            })
            .await?;
    }
    Ok(())
}

async fn watched<P: Platform>(store: &Xenstore<P>, count: u64) -> Result<(), Error> {
    let mut watch = store.watch(NODE)?;
    // A new watch fires at once.
    watch.next().await?;
    for _ in 0..count {
        store.write(NODE, VALUE).await?;
        watch.next().await?;
    }
    Ok(())
}

fn check(value: Vec<u8>) -> Result<(), Error> {
    if value == VALUE.as_bytes() { Ok(()) } else { Err(Error::BadValue) }
}
