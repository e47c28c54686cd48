//! Xen with a Linux dom0, which creates domains with `xl` as on a real host.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::console::{Transcript, contains};
use crate::control::{Control, Output};
use crate::dom0;
use crate::dom0less::{DomU, Modules};
use crate::dtb::Module;
use crate::guest::{End, Ends, Guest};
use crate::lab::{Lab, short_hash};
use crate::machine::{Config, Folder, XEN_STOPPED, file_size};
use crate::parts::{Qemu, XenParts};
use crate::ports::{self, Ports};
use crate::progress::Progress;
use crate::qemu::{Invocation, Process};
use crate::qmp::Monitor;
use crate::trace::Trace;

/// The board's memory, unless the configuration says otherwise.
const MEMORY_MIB: u32 = 1024;
/// dom0's share, unless the configuration says otherwise; Xen's own and the guests' is the rest.
const DOM0_MEMORY_MIB: u32 = 256;
/// Low in memory, or Xen finds no room for dom0 beside them.
const KERNEL_ADDRESS: u64 = 0x4200_0000;
/// QEMU's device tree lies at 0x4800_0000.
const RAMDISK_ADDRESS: u64 = 0x4400_0000;
/// What makes dom0 quick: no self-tests, no needless clearing, no waiting for quiet CPUs, no certificates.
pub(crate) const LINUX_ARGS: &str = "console=hvc0 quiet rdinit=/init cryptomgr.notests init_on_alloc=0 \
    rcupdate.rcu_expedited=1 nokaslr mitigations=off 8250.nr_uarts=0 \
    initcall_blacklist=init_encrypted,load_system_certificate_list,crypto_kdf108_init,jent_mod_init";
/// Booting takes 4 to 8 s on a quiet host.
const BOOT_TIMEOUT: Duration = Duration::from_secs(90);
/// `xl create` takes about a second; not so on a busy host, where many guests are busy too or instructions are counted.
/// Whoever has less time has a machine that ends by then.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);
/// A guest's last bytes are on their way when its end is known.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A domain for `xl` to create.
#[derive(Clone, Debug)]
pub struct XlDomU {
    /// Its name, which nothing else on this host may have.
    pub name: String,
    /// The image, on this machine.
    pub kernel: PathBuf,
    /// An initial RAM disk, on this machine.
    pub ramdisk: Option<PathBuf>,
    /// Its memory.
    pub memory_mib: u32,
    /// Its vCPUs.
    pub vcpus: u32,
    /// Its command line.
    pub args: String,
    /// Its disks, as [`Disk::spec`](crate::Disk::spec) gives them.
    pub disks: Vec<String>,
    /// Its network cards, as [`VifWish::spec`](crate::VifWish::spec) gives them.
    pub vifs: Vec<String>,
    /// More lines of xl.cfg(5).
    pub more: String,
    /// Leaves it paused, for `xl unpause`.
    pub paused: bool,
}

impl XlDomU {
    /// An image with one vCPU and no devices.
    pub fn new(name: &str, kernel: PathBuf, memory_mib: u32) -> Self {
        Self {
            name: name.to_owned(),
            kernel,
            ramdisk: None,
            memory_mib,
            vcpus: 1,
            args: String::new(),
            disks: Vec::new(),
            vifs: Vec::new(),
            more: String::new(),
            paused: false,
        }
    }

    pub(crate) fn config(&self, kernel: &str, ramdisk: Option<&str>) -> String {
        let ramdisk = ramdisk.map(|path| format!("ramdisk = {}\n", quoted(path))).unwrap_or_default();
        let list = |items: &[String]| items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", ");
        format!(
            "name = {}\nkernel = {}\n{ramdisk}cmdline = {}\nmemory = {}\nvcpus = {}\ndisk = [{}]\nvif = [{}]\n{}\n",
            quoted(&self.name),
            quoted(kernel),
            quoted(&self.args),
            self.memory_mib,
            self.vcpus,
            list(&self.disks),
            list(&self.vifs),
            self.more
        )
    }
}

/// The running host. Dropping it ends it.
pub struct Dom0 {
    /// What Xen and dom0's kernel said.
    pub serial: Transcript,
    /// The run's folder.
    pub folder: Folder,
    control: Mutex<Control>,
    monitor: Mutex<Monitor>,
    ports: Mutex<Ports>,
    ends: Ends,
    /// Last: the streams above end with it.
    _qemu: Process,
}

impl Dom0 {
    /// A host that is ready for commands: from a snapshot where there is one or can be made, else booted.
    pub fn start(lab: &Lab, config: &Config, ui: &Progress) -> Result<Self> {
        let plan = Plan::new(lab, config, &[], ui)?;
        if config.gdb_port.is_some() {
            return plan.boot(config, Folder::take(lab, &config.name)?);
        }
        let restored = plan
            .snapshot(lab, config, ui)
            .and_then(|file| plan.restore(config, Folder::take(lab, &config.name)?, &file));
        restored.or_else(|error| {
            ui.note(&format!("dom0 cannot be taken from a snapshot, so it boots: {error:#}"));
            plan.boot(config, Folder::take(lab, &config.name)?)
        })
    }

    /// The same, always booted.
    pub fn boot(lab: &Lab, config: &Config, ui: &Progress) -> Result<Self> {
        Self::boot_beside(lab, config, &[], ui)
    }

    /// The same with domains that Xen starts beside dom0, the first of them domain 1. What they write to their vpl011
    /// is in `serial`: each line that is whole, after `(XEN) DOM1: `.
    pub fn boot_beside(lab: &Lab, config: &Config, domus: &[DomU], ui: &Progress) -> Result<Self> {
        Plan::new(lab, config, domus, ui)?.boot(config, Folder::take(lab, &config.name)?)
    }

    /// Waits for the end of a domain that Xen started.
    pub fn wait_for_end(&self, domain: u16, timeout: Duration) -> Option<End> {
        self.ends.wait(domain, timeout)
    }

    /// Runs a shell script in dom0.
    pub fn run(&self, script: &str, timeout: Duration) -> Result<Output> {
        self.control().run(script, timeout).with_context(|| self.logs())
    }

    /// Runs a shell script that must succeed, and returns what it wrote.
    pub fn sh(&self, script: &str) -> Result<String> {
        let output = self.run(script, COMMAND_TIMEOUT)?;
        if output.code != 0 {
            bail!("in dom0, `{script}` failed with {}:\n{}{}", output.code, output.text(), self.logs());
        }
        Ok(output.text())
    }

    /// Writes a file in dom0.
    pub fn push(&self, path: &str, contents: &[u8]) -> Result<()> {
        self.control().put(path, contents, COMMAND_TIMEOUT).with_context(|| self.logs())
    }

    /// Reads a file of dom0.
    pub fn pull(&self, path: &str) -> Result<Vec<u8>> {
        let output = self.run(&format!("cat {path}"), COMMAND_TIMEOUT)?;
        if output.code != 0 {
            bail!("dom0 has no {path}: {}", output.text());
        }
        Ok(output.bytes)
    }

    /// Runs a line of QEMU's monitor (`hostfwd_add tcp::8080-10.0.2.15:80`).
    pub fn monitor(&self, line: &str) -> Result<String> {
        self.monitor.lock().unwrap_or_else(PoisonError::into_inner).human(line)
    }

    /// What the run times of all guests have kept. The machine stands still meanwhile.
    pub fn traces(&self) -> Result<Vec<Trace>> {
        self.monitor.lock().unwrap_or_else(PoisonError::into_inner).traces(&self.folder.path)
    }

    /// Creates a domain with `xl create` and joins its console. It stays when it ends, until [`Self::destroy`].
    pub fn create(&self, domu: &XlDomU) -> Result<Guest> {
        let name = &domu.name;
        let (port, console) = self.ports().take(name, &self.folder)?;
        let attach = format!(
            "setsid /lab/attach $id /dev/lab/{port} </dev/null >/dev/null 2>&1 &\necho $! >/tmp/{name}.attach"
        );
        let domain = self.xl_create(domu, "", &attach).inspect_err(|_| self.ports().give_back(name))?;
        Ok(Guest { domain, console, ends: self.ends.clone() })
    }

    /// The same without a console, of which there are only a few, and gives its number. What it writes is kept in
    /// dom0; [`Self::console_of`] reads it.
    pub fn create_alone(&self, domu: &XlDomU) -> Result<u16> {
        self.xl_create(domu, "", "")
    }

    /// The same, with this run by dom0's shell right before `xl create`.
    pub fn create_after(&self, domu: &XlDomU, first: &str) -> Result<u16> {
        self.create_between(domu, first, "")
    }

    /// The same, and with this right after it; neither may write anything.
    pub fn create_between(&self, domu: &XlDomU, first: &str, then: &str) -> Result<u16> {
        self.xl_create(domu, first, then)
    }

    /// Waits for the end of a domain, and says how it ended.
    pub fn ended(&self, domain: u16, timeout: Duration) -> Option<End> {
        self.ends.wait(domain, timeout)
    }

    /// Waits until the latest guest of that name has written `text`, which is within a line and has no quotes; gives
    /// all that it wrote so far.
    pub fn console_of(&self, name: &str, text: &str, timeout: Duration) -> Result<String> {
        let log = console_log(name);
        let script = format!(
            "n={}\nuntil grep -qF '{text}' {log} 2>/dev/null; do\n\
             n=$((n - 1)); [ $n -gt 0 ] || {{ cat {log}; exit 1; }}; usleep 20000\ndone\ncat {log}",
            timeout.as_millis() / 20 + 1
        );
        let output = self.run(&script, timeout * 4 + COMMAND_TIMEOUT)?;
        if output.code != 0 {
            bail!("{name} does not say {text:?}, but:\n{}", output.text());
        }
        Ok(output.text())
    }

    fn xl_create(&self, domu: &XlDomU, first: &str, then: &str) -> Result<u16> {
        let name = &domu.name;
        // One copy serves all guests of an image.
        let push = |path: &Path| -> Result<String> {
            let context = || format!("reading {}", path.display());
            let written = fs::metadata(path).and_then(|meta| meta.modified()).with_context(context)?;
            let remote = format!("/tmp/file-{}", short_hash(&format!("{} {written:?}", path.display())));
            if self.run(&format!("[ -e {remote} ]"), COMMAND_TIMEOUT)?.code != 0 {
                self.push(&remote, &fs::read(path).with_context(context)?)?;
            }
            Ok(remote)
        };
        let kernel = push(&domu.kernel)?;
        let ramdisk = domu.ramdisk.as_deref().map(push).transpose()?;
        self.push(&format!("/tmp/{name}.cfg"), domu.config(&kernel, ramdisk.as_deref()).as_bytes())?;
        // xenconsoled would go on with the log of an earlier guest of that name.
        let log = console_log(name);
        let paused = if domu.paused { "p" } else { "" };
        // Nobody needs to watch the domain for xl: it is not restarted.
        let id = self.sh(&format!(
            "rm -f {log} /tmp/{name}.attach\n{first}\n\
             xl create -q -e{paused} /tmp/{name}.cfg >/tmp/{name}.xl 2>&1 || {{ cat /tmp/{name}.xl; exit 1; }}\n\
             id=$(xl domid {name})\n{then}\necho $id"
        ))?;
        id.trim().parse().with_context(|| format!("xl gives {id:?} as a domain's number"))
    }

    /// Waits until all that an ended guest wrote is in its transcript.
    ///
    /// xenconsoled logs each byte before it passes it on, so its log says how many to wait for.
    pub fn drain(&self, name: &str, guest: &Guest) -> Result<()> {
        let size = self.sh(&format!("stat -c %s {} 2>/dev/null || echo 0", console_log(name)))?;
        let size = size.trim().parse().with_context(|| format!("dom0 gave {size:?} as a file's size"))?;
        if !guest.console.output.wait_for_length(size, DRAIN_TIMEOUT) {
            let had = guest.console.output.bytes().len();
            bail!(
                "{name} wrote {size} bytes, but only {had} came through; see {}",
                guest.console.output.log().display()
            );
        }
        Ok(())
    }

    /// Removes a domain.
    pub fn destroy(&self, name: &str) -> Result<()> {
        let done = self.sh(&format!("kill -- -$(cat /tmp/{name}.attach) 2>/dev/null; xl destroy {name}"));
        self.ports().give_back(name);
        done.map(|_| ())
    }

    pub(crate) fn ports(&self) -> MutexGuard<'_, Ports> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn logs(&self) -> String {
        format!("see {}", self.serial.log().display())
    }
}

/// dom0's initial RAM disk.
pub(crate) fn initramfs(lab: &Lab, parts: &XenParts, ui: &Progress) -> Result<PathBuf> {
    let dir = lab.part(&format!("dom0-{}", parts.version), &dom0::recipe(parts), ui, |into, _, step| {
        step.busy("packing dom0's files");
        fs::write(into.join("dom0.cpio"), dom0::initramfs(parts)?)?;
        Ok(vec!["dom0.cpio".to_owned()])
    })?;
    Ok(dir.join("dom0.cpio"))
}

/// All that decides what a host will be: the same for booting and for restoring it.
pub(crate) struct Plan {
    qemu: Qemu,
    parts: XenParts,
    initramfs: PathBuf,
    /// Files of the domains that Xen starts, and where they go.
    modules: Modules,
    dtb: Vec<u8>,
    memory_mib: u32,
    /// Names everything that went in.
    pub(crate) recipe: String,
}

impl Plan {
    fn new(lab: &Lab, config: &Config, domus: &[DomU], ui: &Progress) -> Result<Self> {
        let qemu = lab.qemu(ui)?;
        let parts = lab.xen(config.xen, ui)?;
        let contents = dom0::recipe(&parts);
        let initramfs = initramfs(lab, &parts, ui)?;
        let dom0_mib = config.dom0_memory_mib.unwrap_or(DOM0_MEMORY_MIB);
        let memory_mib = config.memory_mib.unwrap_or(MEMORY_MIB - DOM0_MEMORY_MIB + dom0_mib);
        let mut tree = config.host_tree(lab, &qemu, memory_mib, domus, ui)?;
        let xen_args = config.xen_command_line(&format!("dom0_mem={dom0_mib}M dom0_max_vcpus=1"));
        tree.xen_bootargs(&xen_args)?;
        tree.dom0(
            Module { address: KERNEL_ADDRESS, bytes: file_size(&parts.kernel)? },
            LINUX_ARGS,
            Module { address: RAMDISK_ADDRESS, bytes: file_size(&initramfs)? },
        )?;
        let mut modules = Modules::within(config.board.xen.modules);
        for domu in domus {
            tree.domu(&domu.node(&mut modules)?)?;
        }
        let recipe = format!(
            "QEMU {:?} {} {:?} {xen_args:?} {LINUX_ARGS:?} {contents}",
            qemu.version,
            config.machine_args(memory_mib)?.join(" "),
            config.qemu_args
        );
        let dtb = tree.to_dtb();
        Ok(Self { qemu, parts, initramfs, modules, dtb, memory_mib, recipe })
    }

    pub(crate) fn qemu_version(&self) -> [u32; 3] {
        self.qemu.version
    }

    /// Boots it, which takes some seconds.
    pub(crate) fn boot(&self, config: &Config, folder: Folder) -> Result<Dom0> {
        fs::write(folder.file("board.dtb"), &self.dtb)?;
        let mut run = self.invocation(config, &folder)?;
        run.args(["-dtb", "board.dtb", "-kernel"]).args([&self.parts.hypervisor]);
        run.load(&self.parts.kernel, KERNEL_ADDRESS).load(&self.initramfs, RAMDISK_ADDRESS);
        for (file, address) in self.modules.files(&folder)? {
            run.load(&file, address);
        }
        let host = self.start(config, folder, run)?;
        let timeout = if config.gdb_port.is_some() { config.timeout } else { BOOT_TIMEOUT };
        host.control().wait_until_ready(timeout).with_context(|| host.logs())?;
        Ok(host)
    }

    /// Loads it from a snapshot, which takes part of a second.
    fn restore(&self, config: &Config, folder: Folder, snapshot: &Path) -> Result<Dom0> {
        let mut run = self.invocation(config, &folder)?;
        run.args(["-incoming", "defer"]);
        let host = self.start(config, folder, run)?;
        host.monitor.lock().unwrap_or_else(PoisonError::into_inner).restore(snapshot)?;
        host.sh("true").context("dom0 does not answer after it was restored")?;
        Ok(host)
    }

    /// Writes a ready host to `file` and ends it.
    pub(crate) fn save(&self, config: &Config, folder: Folder, file: &Path) -> Result<()> {
        let host = self.boot(config, folder)?;
        host.sh("sync; echo 3 >/proc/sys/vm/drop_caches")?;
        host.monitor.lock().unwrap_or_else(PoisonError::into_inner).save(file)
    }

    fn invocation(&self, config: &Config, folder: &Folder) -> Result<Invocation> {
        let mut run = config.invocation(&self.qemu, folder, self.memory_mib)?;
        run.args(["-device", "virtio-serial-device"]);
        for name in ["control".to_owned(), "events".to_owned()].into_iter().chain(ports::names()) {
            run.socket(&name);
            run.args(["-device".to_owned(), format!("virtserialport,chardev={name},name={name}")]);
        }
        run.args(["-netdev", "user,id=net", "-device", "virtio-net-device,netdev=net"]);
        Ok(run)
    }

    fn start(&self, config: &Config, folder: Folder, run: Invocation) -> Result<Dom0> {
        let (qemu, streams) = run.start(config.timeout)?;
        let mut streams = streams.into_iter();
        let mut next = || streams.next().context("QEMU has fewer streams than asked for");
        let (serial_stream, qmp, control, events) = (next()?, next()?, next()?, next()?);
        let monitor = Monitor::open(qmp)?;
        let serial = Transcript::create(&folder.file("xen.log"))?;
        let (log, machine) = (serial.clone(), qemu.killer());
        Transcript::follow(serial_stream, move |bytes| match bytes {
            Some(bytes) => {
                log.push(bytes);
                if XEN_STOPPED.iter().any(|words| contains(bytes, words.as_bytes())) {
                    machine.kill();
                }
            }
            None => log.end(),
        });
        let ends = Ends::default();
        let recorder = ends.clone();
        thread::spawn(move || {
            for line in BufReader::new(events).lines().map_while(Result::ok) {
                let numbers =
                    line.split_once(' ').and_then(|(d, r)| Some((d.parse().ok()?, r.parse::<u8>().ok()?)));
                if let Some((domain, reason)) = numbers {
                    recorder.record(domain, End::from(reason));
                }
            }
        });
        let mut ports = Ports::default();
        for name in ports::names() {
            ports.add(name, next()?)?;
        }
        Ok(Dom0 {
            serial,
            folder,
            control: Mutex::new(Control::new(control)),
            monitor: Mutex::new(monitor),
            ports: Mutex::new(ports),
            ends,
            _qemu: qemu,
        })
    }
}

/// Where dom0's xenconsoled writes all that a guest says.
fn console_log(name: &str) -> String {
    format!("/var/log/xen/console/guest-{name}.log")
}

/// A string of xl.cfg(5), which knows no escapes: a double quote needs single ones around it.
fn quoted(text: &str) -> String {
    if text.contains('"') { format!("'{text}'") } else { format!("\"{text}\"") }
}
