//! Xen alone with the domains it starts itself: the quickest way to run an image.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fata_boot::info::Region;
use fata_deploy::PartialTree;

use crate::console::{Console, Gate, Line, Pace, Transcript, contains};
use crate::dtb::{DomUNode, Enhanced, Module, StaticEvent};
use crate::gdb::Stub;
use crate::guest::{End, Ends, Guest};
use crate::lab::Lab;
use crate::machine::{Config, FOCUS_KEY, Folder, XEN_STOPPED, file_size};
use crate::parts::XenVersion;
use crate::progress::Progress;
use crate::qemu::{Killer, Process};
use crate::qmp::Monitor;
use crate::symbols::xen_function;
use crate::trace::Trace;
use crate::xenlog::{Source, Splitter};

/// Xen wants modules on page boundaries; 2 MiB keeps addresses readable.
const MODULE_ALIGNMENT: u64 = 2 << 20;
/// What Xen and the loaded modules need besides the guests' own memory.
const XEN_MEMORY_KIB: u64 = 448 << 10;
/// Xen's vpl011 holds 32 bytes of input and drops what does not fit.
const PACE: Pace = Pace { bytes: 16, pause: Duration::from_millis(2) };

/// A domain for Xen to start.
#[derive(Clone, Debug)]
pub struct DomU {
    /// The image.
    pub kernel: PathBuf,
    /// An initial RAM disk.
    pub ramdisk: Option<PathBuf>,
    /// Its memory.
    pub memory_kib: u64,
    /// Its vCPUs.
    pub vcpus: u32,
    /// Its command line.
    pub bootargs: String,
    /// Whether it has a vpl011.
    pub vpl011: bool,
    /// What Xen offers it.
    pub enhanced: Enhanced,
    /// Its ends of static event channels.
    pub events: Vec<StaticEvent>,
    /// Devices of the host that it is given.
    pub devices: PartialTree,
}

impl DomU {
    /// An image with a vpl011 and those of Xen's interfaces that need no dom0: Xen panics when it is to
    /// offer Xenstore without one.
    pub fn new(kernel: PathBuf, memory_mib: u32) -> Self {
        Self {
            kernel,
            ramdisk: None,
            memory_kib: u64::from(memory_mib) << 10,
            vcpus: 1,
            bootargs: String::new(),
            vpl011: true,
            enhanced: Enhanced::NoXenstore,
            events: Vec::new(),
            devices: PartialTree::default(),
        }
    }
}

impl DomU {
    /// What is to stand about it in the device tree, its files being among `modules`.
    pub(crate) fn node(&self, modules: &mut Modules) -> Result<DomUNode> {
        let devices = match self.devices.nodes.is_empty() {
            true => None,
            false => Some(self.devices.to_dtb()?),
        };
        Ok(DomUNode {
            memory_kib: self.memory_kib,
            vcpus: self.vcpus,
            vpl011: self.vpl011,
            enhanced: self.enhanced,
            events: self.events.clone(),
            bootargs: self.bootargs.clone(),
            kernel: modules.place(&self.kernel)?,
            ramdisk: self.ramdisk.as_ref().map(|file| modules.place(file)).transpose()?,
            devices: devices.map(|blob| modules.place_made(blob)).transpose()?,
        })
    }
}

/// Files that are loaded into memory for Xen to find, one after the other.
pub(crate) struct Modules {
    /// Where there is room for them.
    room: Region,
    all: Vec<(Content, Module)>,
}

enum Content {
    File(PathBuf),
    Made(Vec<u8>),
}

impl Modules {
    /// None yet, and this much room.
    pub(crate) const fn within(room: Region) -> Self {
        Self { room, all: Vec::new() }
    }

    fn place(&mut self, file: &Path) -> Result<Module> {
        self.add(Content::File(file.to_owned()), file_size(file)?)
    }

    fn place_made(&mut self, blob: Vec<u8>) -> Result<Module> {
        let bytes = blob.len() as u64;
        self.add(Content::Made(blob), bytes)
    }

    fn add(&mut self, content: Content, bytes: u64) -> Result<Module> {
        let end =
            |(_, last): &(Content, Module)| (last.address + last.bytes).next_multiple_of(MODULE_ALIGNMENT);
        let module = Module { address: self.all.last().map_or(self.room.base, end), bytes };
        ensure!(
            module.address + bytes <= self.room.end(),
            "images and other modules take more than the {} MiB that the board has for them",
            self.room.size >> 20
        );
        self.all.push((content, module));
        Ok(module)
    }

    /// Each with its address. What is no file yet becomes one in `folder`.
    pub(crate) fn files(&self, folder: &Folder) -> Result<Vec<(PathBuf, u64)>> {
        let file = |(content, module): &(Content, Module)| match content {
            Content::File(file) => Ok((file.clone(), module.address)),
            Content::Made(blob) => {
                let file = folder.file(&format!("module-{:x}.dtb", module.address));
                fs::write(&file, blob)?;
                Ok((file, module.address))
            }
        };
        self.all.iter().map(file).collect()
    }
}

/// The running machine. Dropping it ends it.
pub struct Dom0less {
    /// Its domains, in the order they were given; the first has the input focus.
    pub guests: Vec<Guest>,
    /// What Xen itself said.
    pub xen: Transcript,
    /// QEMU's monitor.
    pub monitor: Monitor,
    /// The far end of the second serial line, if there is one.
    pub serial: Option<Console>,
    /// The run's folder.
    pub folder: Folder,
    /// When QEMU was started.
    pub started: Instant,
    /// Who has it keeps the machine from going on by itself, if something else watches it.
    hold: Option<Arc<Mutex<()>>>,
    _qemu: Process,
}

impl Dom0less {
    /// Starts Xen and the domains. When all of them have ended, the machine ends too.
    pub fn boot(lab: &Lab, config: &Config, domus: &[DomU], ui: &Progress) -> Result<Self> {
        let qemu = lab.qemu(ui)?;
        let parts = lab.xen(config.xen, ui)?;
        let folder = Folder::take(lab, &config.name)?;
        let guests_kib: u64 = domus.iter().map(|d| d.memory_kib).sum();
        let enough = u32::try_from((guests_kib + XEN_MEMORY_KIB).div_ceil(1 << 10))?.next_multiple_of(64);
        let memory_mib = config.memory_mib.or_else(|| config.model_memory_mib()).unwrap_or(enough);
        let mut tree = config.host_tree(lab, &qemu, memory_mib, domus, ui)?;
        tree.xen_bootargs(&config.xen_command_line(""))?;

        let mut run = config.invocation(&qemu, &folder, memory_mib)?;
        let mut modules = Modules::within(config.board.xen.modules);
        for domu in domus {
            tree.domu(&domu.node(&mut modules)?)?;
        }
        for (file, address) in modules.files(&folder)? {
            run.load(&file, address);
        }
        fs::write(folder.file("board.dtb"), tree.to_dtb())?;
        run.args(["-dtb", "board.dtb", "-kernel"]).args([&parts.hypervisor]);
        // Xen does not say that a domain has shut down. We stand where it does so.
        let image =
            fs::read(&parts.hypervisor).with_context(|| format!("reading {}", parts.hypervisor.display()))?;
        let shutdown = xen_function(&image, "domain_shutdown").filter(|_| config.gdb_port.is_none());
        if shutdown.is_some() {
            run.socket("gdb").args(["-S", "-gdb", "chardev:gdb"]);
        }

        let started = Instant::now();
        let (process, streams) = run.start(config.timeout)?;
        let mut streams = streams.into_iter();
        let mut next = || streams.next().context("QEMU has fewer streams than asked for");
        let (serial, qmp) = (next()?, next()?);
        let monitor = Monitor::open(qmp)?;
        let second =
            config.second_serial.map(|_| next().and_then(|line| far_end(line, &folder))).transpose()?;
        let ends = Ends::default();
        let input = Arc::new(Mutex::new(serial.try_clone()?));
        let xen = Transcript::create(&folder.file("xen.log"))?;
        // What is typed before Xen has handed the line over is lost, or a command to Xen.
        let gate = Gate::default();
        let mut guests = Vec::new();
        for domain in 1..=u16::try_from(domus.len())? {
            let output = Transcript::create(&folder.file(&format!("console-{domain}.log")))?;
            let console =
                Console::new(output, Arc::clone(&input), Some(Line { gate: gate.clone(), pace: PACE }));
            guests.push(Guest { domain, console, ends: ends.clone() });
        }
        let switch = (config.xen == XenVersion::V4_17).then(|| Arc::clone(&input));
        let router =
            Router { xen: xen.clone(), guests: guests.clone(), gate, switch, machine: process.killer() };
        router.follow(serial);
        let hold = Arc::new(Mutex::new(()));
        if let Some(address) = shutdown {
            let (stub, killer, count) = (Stub::open(next()?)?, process.killer(), guests.len());
            let held = Arc::clone(&hold);
            thread::spawn(move || {
                // An error means that the machine is gone, and with it what there was to watch.
                let _ = watch_shutdowns(stub, address, &ends, count, &held);
                killer.kill();
            });
        }
        let hold = shutdown.is_some().then_some(hold);
        Ok(Self { guests, xen, monitor, serial: second, folder, started, hold, _qemu: process })
    }
}

impl Dom0less {
    /// What the run times of all guests have kept. The machine stands still meanwhile.
    pub fn traces(&mut self) -> Result<Vec<Trace>> {
        let Some(hold) = &self.hold else { return self.monitor.traces(&self.folder.path) };
        let _held = hold.lock().unwrap_or_else(PoisonError::into_inner);
        // What watches it lets it go on.
        self.monitor.traces_of_stopped(&self.folder.path)
    }
}

/// What is said and heard at the end of a serial line that is a guest's.
fn far_end(line: UnixStream, folder: &Folder) -> Result<Console> {
    let output = Transcript::create(&folder.file("serial.log"))?;
    let (input, heard) = (Arc::new(Mutex::new(line.try_clone()?)), output.clone());
    Transcript::follow(line, move |bytes| match bytes {
        Some(bytes) => heard.push(bytes),
        None => heard.end(),
    });
    Ok(Console::new(output, input, None))
}

/// Sorts the serial line's bytes into transcripts.
struct Router {
    xen: Transcript,
    guests: Vec<Guest>,
    /// Opened when the first domain gets what is typed.
    gate: Gate,
    /// Where to send the keys that move the focus, until that is done.
    switch: Option<Arc<Mutex<UnixStream>>>,
    machine: Killer,
}

impl Router {
    fn follow(mut self, serial: UnixStream) {
        let mut splitter = Splitter::new(self.guests.len() > 1);
        Transcript::follow(serial, move |bytes| {
            let Some(bytes) = bytes else {
                self.xen.end();
                self.guests.iter().for_each(|guest| guest.console.output.end());
                self.gate.open();
                return;
            };
            splitter.feed(bytes, |source, piece| match source {
                Source::Xen => self.xen_says(piece),
                Source::Domain(domain) => {
                    let guest = self.guests.iter().find(|g| g.domain == domain);
                    guest.map_or(&self.xen, |g| &g.console.output).push(piece);
                }
            });
            if splitter.focus() == Some(1) {
                self.gate.open();
            }
        });
    }

    fn xen_says(&mut self, line: &[u8]) {
        self.xen.push(line);
        if XEN_STOPPED.iter().any(|words| contains(line, words.as_bytes())) {
            self.machine.kill();
        }
        // Xen 4.17 gives the focus to domain 0 even when there is none. One more turn leads to domain 1, whether
        // it comes before or after Xen's own.
        if line.starts_with(b"(XEN) *** LOADING DOMU")
            && let Some(input) = self.switch.take()
            && let Ok(mut input) = input.lock()
        {
            // If it fails the machine is gone, which its reader will notice.
            let _ = input.write_all(&[FOCUS_KEY; 3]);
        }
    }
}

/// Stops at each call of `domain_shutdown(struct domain *d, u8 reason)` until all domains have ended.
fn watch_shutdowns(
    mut stub: Stub,
    address: u64,
    ends: &Ends,
    domains: usize,
    hold: &Mutex<()>,
) -> Result<()> {
    loop {
        let stopped = stub.run_to(address, || drop(hold.lock()))?;
        let [domain, reason] = stopped.registers[..2] else { continue };
        // The address may mean something else to a guest.
        if stopped.exception_level != 2 {
            continue;
        }
        // `struct domain` begins with its domid_t.
        let id = stub.memory(domain, 2)?;
        let id = id.first_chunk().map(|b| u16::from_le_bytes(*b)).context("QEMU gave too little memory")?;
        if ends.record(id, End::from(reason as u8)) == domains {
            return Ok(());
        }
    }
}
