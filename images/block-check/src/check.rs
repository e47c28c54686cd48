//! The work.

use crate::job::{Deed, Job};
use crate::news::News;
use crate::options::{Mode, Options};
use crate::orders::Orders;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use embedded_io_async::{Read, Write};
use fata_block::{Disk, Link, Name};
use fata_disk::BlockDevice;
use fata_kit::{Gone, Terminal};
use fata_rt::Rt;
use fata_xenstore::Xenstore;
use xen_hyp::{Platform, Reason, Xen};

/// After so long the console says that a disk is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Checks the disks that the command line names, and says `SUCCESS` or `FAILURE` and why. Gives how this domain is to
/// end: told to power off it finishes its round, told to halt, reboot or crash it ends in the middle.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    cmdline: &str,
) -> Result<Reason, Gone> {
    let mut terminal = Terminal::new(console);
    let (options, store) = match begin(&rt, &xen, cmdline) {
        Ok(both) => both,
        Err(reason) => return verdict(&mut terminal, Err(reason)).await,
    };
    let orders = Orders::hear(&rt, &store);
    let checked = {
        let mut check = Check { rt: &rt, options: &options, terminal: &mut terminal };
        first(check.run(&xen, &store, &orders), orders.end()).await
    };
    match checked {
        First::One(result) => {
            let result = result?;
            verdict(&mut terminal, result).await
        }
        First::Other(reason) => {
            terminal.say("\ntold to end\n").await?;
            Ok(reason)
        }
    }
}

fn begin<P: Platform>(rt: &Rt, xen: &Rc<Xen<P>>, cmdline: &str) -> Result<(Options, Xenstore<P>), String> {
    let options =
        Options::parse(cmdline).map_err(|word| format!("the command line makes no sense at {word:?}"))?;
    let store = fata_devices::needed_store(rt, xen).map_err(|error| error.to_string())?;
    Ok((options, store))
}

async fn verdict<C: Read + Write>(
    terminal: &mut Terminal<C>,
    result: Result<(), String>,
) -> Result<Reason, Gone> {
    match result {
        Ok(()) => terminal.say("SUCCESS\n").await?,
        Err(reason) => terminal.print(&|out| writeln!(out, "FAILURE: {reason}")).await?,
    }
    Ok(Reason::Poweroff)
}

struct Check<'a, C> {
    rt: &'a Rt,
    options: &'a Options,
    terminal: &'a mut Terminal<C>,
}

impl<C: Read + Write> Check<'_, C> {
    async fn run<P: Platform>(
        &mut self,
        xen: &Rc<Xen<P>>,
        store: &Xenstore<P>,
        orders: &Orders,
    ) -> Result<Result<(), String>, Gone> {
        let disk = |&id: &u32| fata_devices::disk(self.rt, xen, store, id, self.options.block);
        let disks: Vec<_> = self.options.disks.iter().map(disk).collect();
        for disk in &disks {
            let name = Name(disk.id());
            if disk.link() == Link::Paused && self.rt.timeout(PATIENCE, disk.ready()).await.is_err() {
                self.terminal.print(&|out| writeln!(out, "waiting for {name}")).await?;
            }
            if let Err(error) = disk.ready().await {
                return Ok(Err(format!("{name}: {error}")));
            }
        }
        let news = News::watch(self.rt, &disks);
        let deeds = match self.options.mode {
            Mode::Both => &[Deed::Write, Deed::Verify][..],
            Mode::Write => &[Deed::Write],
            Mode::Verify => &[Deed::Verify],
            Mode::Read => &[Deed::Read],
            Mode::Zero => &[Deed::Zero],
            Mode::Discard => &[Deed::Discard { secure: false }],
            Mode::Erase => &[Deed::Discard { secure: true }],
        };
        let mut round = 0;
        while (round < self.options.rounds || self.options.rounds == 0) && !orders.enough() {
            let bytes: Vec<_> = disks.iter().map(|disk| self.bytes(disk)).collect();
            for &deed in deeds {
                let seed = self.options.seed.wrapping_add(round);
                let job = |(disk, &bytes): (&Disk<P>, &u64)| {
                    Rc::new(Job::new(disk.clone(), deed, seed, bytes, self.options))
                };
                let jobs: Vec<_> = disks.iter().zip(&bytes).map(job).collect();
                if let Err(reason) = self.jobs(&jobs, &news).await? {
                    return Ok(Err(reason));
                }
            }
            round += 1;
        }
        if self.options.stay {
            orders.told().await;
        }
        Ok(Ok(()))
    }

    /// How much of a disk is worked on, as it is now.
    fn bytes<P: Platform>(&self, disk: &Disk<P>) -> u64 {
        let geometry = disk.geometry();
        let unit = u64::from(geometry.logical_bytes);
        let all = geometry.sectors * 512;
        let wanted = if self.options.bytes == 0 { all } else { self.options.bytes.min(all) };
        wanted / unit * unit
    }

    /// Does one thing with all disks, and tells what happens meanwhile.
    async fn jobs<P: Platform>(
        &mut self,
        jobs: &[Rc<Job<P>>],
        news: &News<P>,
    ) -> Result<Result<(), String>, Gone> {
        let task = |job: &Rc<Job<P>>| {
            let job = job.clone();
            self.rt.spawn(async move { job.work().await })
        };
        let tasks: Vec<_> = (0..self.options.depth).flat_map(|_| jobs.iter()).map(task).collect();
        let mut done = pin!(async {
            for task in tasks {
                let _ = task.await;
            }
        });
        // News first, so that a disk is told of before what was done with it.
        while let First::One(text) = first(news.next(), done.as_mut()).await {
            self.terminal.print(&|out| writeln!(out, "{text}")).await?;
        }
        for job in jobs {
            if let Some(reason) = job.failure() {
                return Ok(Err(format!("{}: {reason}", Name(job.disk.id()))));
            }
        }
        for job in jobs {
            let (name, text) = (Name(job.disk.id()), job.summary());
            self.terminal.print(&|out| writeln!(out, "{name}: {text}")).await?;
        }
        Ok(Ok(()))
    }
}

/// What came first.
enum First<A, B> {
    One(A),
    Other(B),
}

async fn first<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> First<A, B> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(First::One(value)),
        Poll::Pending => other.as_mut().poll(cx).map(First::Other),
    })
    .await
}
