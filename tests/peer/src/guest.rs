//! Measures events by `/dev/xen/evtchn` and Xenstore by `/dev/xen/xenbus`.

use core::fmt::Write as _;

use fata_peer::base::{Job, Kind};

use crate::store::{Message, Op, Store};
use crate::sys::{BindUnboundPort, Failed, File, Notify, Out};
use crate::{each_job, fail};

/// What base-bench has in its node.
const VALUE: &[u8] = b"12345678";
const READ: &[u8] = b"data/bench\0";
const WRITE: &[u8] = b"data/bench\x0012345678";
const WATCH: &[u8] = b"data/bench\0token\0";
/// Reads under way at once.
const READERS: u64 = 16;

pub(crate) fn run(jobs: &str) -> Result<(), Failed> {
    let mut store = Store::open()?;
    store.ask(Op::Write, 0, WRITE)?;
    let needs_channel = jobs.split(';').any(|job| job.starts_with("event"));
    let channel = if needs_channel { Some(Channel::open(&mut store)?) } else { None };
    let _ = writeln!(Out, "base ready");
    each_job(jobs, Job::parse, |job| match (job.kind, &channel) {
        (Kind::Event, Some(channel)) => (0..job.count).try_for_each(|_| channel.round_trip()),
        (Kind::Event, None) => Ok(()),
        (Kind::Read, _) => (0..job.count).try_for_each(|_| store.ask(Op::Read, 0, READ).map(check)),
        (Kind::Read16, _) => many_reads(&mut store, job.count),
        (Kind::Write, _) => (0..job.count).try_for_each(|_| store.ask(Op::Write, 0, WRITE).map(drop)),
        (Kind::Transaction, _) => (0..job.count).try_for_each(|_| transaction(&mut store)),
        (Kind::Watch, _) => watched(&mut store, job.count),
    })
}

/// A port that somebody in domain 0 has connected to.
struct Channel {
    device: File,
    port: u32,
}

impl Channel {
    fn open(store: &mut Store) -> Result<Self, Failed> {
        let device = File::open(c"/dev/xen/evtchn", 0)?;
        let port = device.control(&mut BindUnboundPort { remote_domain: 0 })? as u32;
        let mut node = Message::new(Op::Write, 0);
        node.push(b"data/port\0");
        let _ = write!(node, "{port}");
        store.send(&node)?;
        store.reply()?;
        let channel = Self { device, port };
        channel.wait()?;
        Ok(channel)
    }

    fn round_trip(&self) -> Result<(), Failed> {
        self.device.control(&mut Notify { port: self.port })?;
        self.wait()
    }

    /// Waits for an event, and has the next one come.
    fn wait(&self) -> Result<(), Failed> {
        let mut port = [0; 4];
        self.device.read(&mut port)?;
        self.device.write(&port)?;
        Ok(())
    }
}

fn many_reads(store: &mut Store, count: u64) -> Result<(), Failed> {
    let mut request = Message::new(Op::Read, 0);
    request.push(READ);
    let at_first = count.min(READERS);
    for _ in 0..at_first {
        store.send(&request)?;
    }
    for n in 0..count {
        check(store.reply()?);
        if n + at_first < count {
            store.send(&request)?;
        }
    }
    Ok(())
}

fn transaction(store: &mut Store) -> Result<(), Failed> {
    let number = store.ask(Op::TransactionStart, 0, b"\0")?;
    let digits = number.split(|&byte| byte == 0).next().unwrap_or_default();
    let id = core::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    let id = id.unwrap_or_else(|| fail(format_args!("a transaction without a number")));
    check(store.ask(Op::Read, id, READ)?);
    store.ask(Op::Write, id, WRITE)?;
    store.ask(Op::TransactionEnd, id, b"T\0").map(drop)
}

fn watched(store: &mut Store, count: u64) -> Result<(), Failed> {
    store.ask(Op::Watch, 0, WATCH)?;
    // A new watch fires at once.
    store.event()?;
    for _ in 0..count {
        store.ask(Op::Write, 0, WRITE)?;
        store.event()?;
    }
    store.ask(Op::Unwatch, 0, WATCH).map(drop)
}

fn check(value: &[u8]) {
    if value != VALUE {
        fail(format_args!("the node has another value"));
    }
}
