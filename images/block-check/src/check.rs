//! The work.

use crate::options::{Mode, Options};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use embedded_io_async::{Read, Write};
use fata_block::{Disk, Link, Name};
use fata_disk::{BlockDevice, Buffer, Error, SECTOR};
use fata_kit::{Crc32, Gone, Terminal, pattern};
use fata_rt::Rt;
use xen_hyp::{Platform, Xen};

/// Checks the disk that the command line names, and says `SUCCESS` or `FAILURE` and why.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    cmdline: &str,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    let result = run(&rt, &xen, &mut terminal, cmdline).await?;
    match result {
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
    let options = match Options::parse(cmdline) {
        Ok(options) => options,
        Err(word) => return Ok(Err(format!("the command line makes no sense at {word:?}"))),
    };
    let store = match fata_devices::store(rt, xen) {
        Ok(Some(store)) => store,
        Ok(None) => return Ok(Err("this domain has no Xenstore".into())),
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    let disk = fata_devices::disk(rt, xen, &store, options.disk, options.block);
    let name = Name(options.disk);
    if disk.link() == Link::Paused
        && rt.timeout(core::time::Duration::from_secs(2), disk.ready()).await.is_err()
    {
        terminal.print(&|out| writeln!(out, "waiting for {name}")).await?;
    }
    if let Err(error) = disk.ready().await {
        return Ok(Err(format!("{name}: {error}")));
    }
    let geometry = disk.geometry();
    terminal
        .print(&|out| {
            writeln!(
                out,
                "{name}: {} sectors of 512 bytes, logical {}, physical {}{}",
                geometry.sectors,
                geometry.logical_bytes,
                geometry.physical_bytes,
                if geometry.read_only { ", read-only" } else { "" }
            )
        })
        .await?;
    let all = geometry.sectors * SECTOR as u64;
    let unit = u64::from(geometry.logical_bytes);
    let bytes = if options.bytes == 0 { all } else { options.bytes.min(all) } / unit * unit;
    for round in 0..options.rounds {
        let seed = options.seed + round;
        for (write, verify) in match options.mode {
            Mode::Both => &[(true, false), (false, true)][..],
            Mode::Write => &[(true, false)],
            Mode::Verify => &[(false, true)],
            Mode::Read => &[(false, false)],
        } {
            let job = Rc::new(Job::new(disk.clone(), seed, bytes, &options, *write, *verify));
            let tasks: Vec<_> = (0..options.depth).map(|_| rt.spawn(Job::work(job.clone()))).collect();
            for task in tasks {
                let _ = task.await;
            }
            if *write && let Err(error) = disk.flush().await {
                job.fail(format!("flush: {error}"));
            }
            if let Some(reason) = job.failure.take() {
                return Ok(Err(reason));
            }
            let (verb, crc, totals) = (if *write { "wrote" } else { "read" }, job.crc(), disk.totals());
            terminal
                .print(&|out| {
                    writeln!(
                        out,
                        "{verb} {bytes} bytes, seed {seed}, crc32 {crc:08x}, connects {}, resent {}",
                        totals.connects, totals.resent
                    )
                })
                .await?;
        }
    }
    Ok(Ok(()))
}

/// Chunks to be written or read, by any number of tasks.
struct Job<P: Platform> {
    disk: Disk<P>,
    seed: u64,
    bytes: u64,
    chunk: usize,
    write: bool,
    verify: bool,
    next: Cell<u64>,
    /// The checksum of each chunk, so that they may end in any order.
    crcs: RefCell<Vec<u32>>,
    failure: Cell<Option<String>>,
}

impl<P: Platform> Job<P> {
    fn new(disk: Disk<P>, seed: u64, bytes: u64, options: &Options, write: bool, verify: bool) -> Self {
        let chunks = bytes.div_ceil(options.chunk as u64) as usize;
        Self {
            disk,
            seed,
            bytes,
            chunk: options.chunk,
            write,
            verify,
            next: Cell::new(0),
            crcs: RefCell::new(alloc::vec![0; chunks]),
            failure: Cell::new(None),
        }
    }

    fn fail(&self, reason: String) {
        let first = self.failure.take().unwrap_or(reason);
        self.failure.set(Some(first));
        self.next.set(self.bytes);
    }

    async fn work(job: Rc<Self>) {
        while job.next.get() < job.bytes {
            let offset = job.next.get();
            let bytes = (job.bytes - offset).min(job.chunk as u64) as usize;
            job.next.set(offset + bytes as u64);
            if let Err(reason) = job.one(offset, bytes).await {
                job.fail(reason);
            }
        }
    }

    async fn one(&self, offset: u64, bytes: usize) -> Result<(), String> {
        let mut buffer = Buffer::new(bytes).ok_or("no memory")?;
        let sector = offset / SECTOR as u64;
        let failed = |error: Error| format!("{error} at byte {offset}");
        if self.write {
            pattern::fill(self.seed, offset, &mut buffer);
            self.sum(offset, &buffer);
            self.disk.write(sector, buffer).await.map_err(|failure| failed(failure.error))?;
        } else {
            let buffer = self.disk.read(sector, buffer).await.map_err(|failure| failed(failure.error))?;
            self.sum(offset, &buffer);
            if self.verify
                && let Some(at) = pattern::difference(self.seed, offset, &buffer)
            {
                return Err(format!("byte {at} is not what was written"));
            }
        }
        Ok(())
    }

    fn sum(&self, offset: u64, bytes: &[u8]) {
        let mut crc = Crc32::default();
        crc.update(bytes);
        self.crcs.borrow_mut()[(offset / self.chunk as u64) as usize] = crc.value();
    }

    /// The checksum of the chunks' checksums, in their order.
    fn crc(&self) -> u32 {
        let mut crc = Crc32::default();
        self.crcs.borrow().iter().for_each(|chunk| crc.update(&chunk.to_le_bytes()));
        crc.value()
    }
}
