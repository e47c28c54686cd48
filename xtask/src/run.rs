//! `xtask run`: boots an image under real Xen and joins the terminal to its console.

use std::env;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::time::{Duration, Instant};

use crate::far_end;
use anyhow::{Context, Result, bail};
use clap::Args;
use fata_facts::{Board, Model};
use fata_lab::{
    ATTACH, Annotator, BuildRequest, Config, Contents, Cpu, DeviceNode, DiskWish, Dom0, Dom0less, DomU, End,
    Forward, Gic, Guest, Hidden, Lab, Left, Optimise, Progress, Recording, Symboliser, Terminal, Trace,
    Transcript, Vif, VifWish, XenVersion, XlDomU, gdb_script,
};

/// Without a time limit the machine still ends some day.
const NO_LIMIT: Duration = Duration::from_secs(10 * 365 * 86_400);
/// What the machine gets on top of the time limit, to be stopped in good order.
const GRACE: Duration = Duration::from_secs(10);

/// Boot an image under real Xen and attach the terminal; Ctrl-] leaves
#[derive(Args)]
pub(crate) struct Options {
    /// The package below images/, with all that it can do, or the path of a finished image
    pub(crate) name: String,
    /// Create the domain with xl on a Linux dom0, instead of having Xen start it alone
    #[arg(long)]
    dom0: bool,
    /// Give it a disk of so many MiB, or with a file's contents, xvda, the next xvdb; they are dom0's, and gone when it
    /// ends
    #[arg(long = "disk", value_name = "MiB|FILE", requires = "dom0")]
    disks: Vec<String>,
    /// Give it a network card, on a bridge with dom0, which is 10.0.0.1 and knows DHCP; implies --dom0
    #[arg(long)]
    net: bool,
    /// Give it a network card on QEMU's network, which knows DHCP, and have a port of this machine lead to one of it:
    /// 8080:80, or udp:5300:53; may be repeated; implies --dom0
    #[arg(long, value_name = "HOST:GUEST", conflicts_with = "net")]
    forward: Vec<Forward>,
    /// Write all that its network card sends and receives to this file, for Wireshark, as it happens; implies --net,
    /// unless there is --forward
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Start a second domain beside it, without a card: the path of its image, and its command line. Each has the other's
    /// number in Xenstore, at data/peers/ and the name of its image's file up to the dot, and may share memory with it
    #[arg(long, num_args = 2, value_names = ["IMAGE", "STR"], allow_hyphen_values = true)]
    beside: Vec<String>,
    /// The board, of which QEMU must have a model; all but qemu-virt without dom0
    #[arg(long, value_name = "BOARD", default_value = "qemu-virt", value_parser = board,
          conflicts_with_all = ["dom0", "net", "forward", "pcap", "beside"])]
    board: &'static Board,
    /// Give it a device of the board, as its crate calls it, such as gpio; may be repeated
    #[arg(long = "device", value_name = "NAME",
          conflicts_with_all = ["dom0", "net", "forward", "pcap", "beside"])]
    devices: Vec<String>,
    /// Have the far end of the board's other serial port, which --device uart may be, on this TCP port of this machine
    #[arg(long, value_name = "PORT", conflicts_with_all = ["dom0", "net", "forward", "pcap", "beside"])]
    serial: Option<u16>,
    /// Interrupt controller of the board qemu-virt
    #[arg(long, default_value = "3", value_parser = ["2", "3"], conflicts_with = "board")]
    gic: String,
    /// Version of Xen
    #[arg(long, default_value = "4.20", value_parser = ["4.17", "4.20"])]
    xen: String,
    /// Memory of the domain
    #[arg(long, value_name = "MiB", default_value_t = 32)]
    memory: u32,
    /// Command line of the domain
    #[arg(long, value_name = "STR", default_value = "", allow_hyphen_values = true)]
    args: String,
    /// Compile it to be small, fast or both, whatever it asks for itself
    #[arg(long, value_name = "size|balance|speed")]
    optimise: Option<Optimise>,
    /// Count on the CPU's instructions for AES and SHA, or not, whatever it asks for itself
    #[arg(long, value_name = "portable|crypto")]
    cpu: Option<Cpu>,
    /// Log with defmt frames, and decode them
    #[arg(long)]
    defmt: bool,
    /// Keep what the run time and drivers do, for `cargo xtask trace NAME --attach`
    #[arg(long)]
    pub(crate) trace: bool,
    /// Wait for GDB on this port before Xen starts; writes a script for it, and implies --trace
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "1234")]
    gdb: Option<u16>,
    /// One more argument for QEMU; may be repeated
    #[arg(long = "qemu-arg", value_name = "ARG", allow_hyphen_values = true)]
    qemu_args: Vec<String>,
    /// Give up after so many seconds
    #[arg(long, value_name = "S")]
    pub(crate) timeout: Option<u64>,
}

/// The board that can have a dom0, and either interrupt controller.
const QEMU_VIRT: &str = "qemu-virt";

/// The board of this name.
fn board(name: &str) -> Result<&'static Board, String> {
    let names = || fata_boards::BOARDS.iter().map(|board| board.name).collect::<Vec<_>>().join(", ");
    fata_boards::find(name).ok_or_else(|| format!("there is none of this name, but {}", names()))
}

/// The last byte of the card's hardware address.
const VIF: u8 = 2;

/// What is to be run.
pub(crate) struct Image {
    pub(crate) name: String,
    file: PathBuf,
    pub(crate) elf: Option<PathBuf>,
}

/// The machine under the guest.
enum Machine {
    Dom0less(Dom0less),
    Dom0(Box<Dom0>, Option<Recording>),
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if let Model::Mute(_, why) = options.board.model {
        let (title, name) = (options.board.title, options.board.name);
        bail!(
            "{title}: Xen and its guests run, and print nothing: {why}.\n\
             `cargo xtask test --lab-only --filter boards/{name}` reads what they would print from memory"
        );
    }
    if options.defmt && !cfg!(feature = "defmt") {
        return run_with_decoder();
    }
    let lab = Lab::open()?;
    let progress = Progress::new();
    let image = options.image(&lab, &progress)?;
    if let (Some(port), Some(elf)) = (options.gdb, &image.elf) {
        wait_for_gdb(&lab, &image.name, elf, port, &progress)?;
    }
    if let Some(signal) = session(options, &lab, &image, &progress, None)? {
        // As a shell reports it.
        process::exit(128 + signal);
    }
    Ok(())
}

/// Writes what GDB is to read, and says how to start it.
fn wait_for_gdb(lab: &Lab, name: &str, elf: &Path, port: u16, progress: &Progress) -> Result<()> {
    let folder = lab.dir().join("runs").join(format!("run-{name}-gdb"));
    let write = |file: &str, text: String| -> Result<PathBuf> {
        let path = folder.join(file);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    };
    let script = write("gdb-script", gdb_script(elf, &format!(":{port}"))?)?;
    let is_installed = Command::new("gdb-multiarch").arg("--version").output().is_ok();
    let gdb = match is_installed {
        true => "gdb-multiarch".to_owned(),
        false => {
            let line = lab.gdb(progress)?.shell_line()?;
            format!("sh {}", write("gdb", format!("{line} \"$@\"\n"))?.display())
        }
    };
    eprintln!("[waiting for {gdb} -x {}; then continue, and fata-help]", script.display());
    Ok(())
}

/// The decoder is some fifty crates that nobody else needs, so this program is built again with it.
fn run_with_decoder() -> Result<()> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["run", "--quiet", "--package", "xtask", "--features", "defmt", "--"])
        .args(env::args_os().skip(1));
    Err(cargo.exec()).context("cannot start cargo to build the decoder")
}

/// Runs the image, again for each reboot. Gives the signal that ended it, if one did. With `traces`, what it kept is added
/// to them, and however it ends is fine.
pub(crate) fn session(
    options: &Options,
    lab: &Lab,
    image: &Image,
    progress: &Progress,
    mut traces: Option<&mut Vec<Trace>>,
) -> Result<Option<i32>> {
    if let Some(file) = &options.pcap {
        File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let symbols = image.elf.as_deref().map(Symboliser::open).transpose()?;
    let limit = options.timeout.map(Duration::from_secs);
    let deadline = limit.map(|limit| Instant::now() + limit);
    let mut terminal: Option<Terminal> = None;
    loop {
        let (mut machine, guest) = options.start(lab, image, limit, progress)?;
        let logs =
            format!("its output is in {}, Xen's in {}", guest.console.output.log().display(), machine.log());
        let terminal = match &mut terminal {
            Some(terminal) => terminal,
            none => {
                eprintln!("[Xen {} on {}; Ctrl-] leaves]", options.xen, options.machine());
                none.insert(Terminal::take()?)
            }
        };
        let mut decoder = Decoder::new(image.elf.as_deref().filter(|_| options.defmt))?;
        let mut names = Annotator::new(|at| symbols.as_ref().map(|s| s.names(at)).unwrap_or_default());
        let mut hidden = Hidden::default();
        let show = |bytes: &[u8]| hidden.feed(&names.feed(&decoder.text(bytes)));
        let ended = || guest.ended().is_some() && machine.drain(&image.name, &guest);
        let left = terminal.attach(&guest.console, deadline, show, ended)?;
        machine.finish_recording();
        if let Some(traces) = &mut traces {
            traces.extend(machine.traces(&guest, left)?);
            match (left, guest.ended()) {
                (Left::Guest, Some(End::Reboot)) => continue,
                (Left::Signal(signal), _) => return Ok(Some(signal)),
                _ => return Ok(None),
            }
        }
        let name = &image.name;
        match (left, guest.ended()) {
            (Left::Guest, Some(End::Reboot)) => {}
            (Left::Guest, Some(End::PowerOff)) | (Left::User, _) => return Ok(None),
            (Left::Guest, Some(end)) => bail!("{name} {end}; {logs}"),
            (Left::Guest, None) => match machine.panic() {
                Some(reason) => bail!("Xen stopped: {reason}; {logs}"),
                None => bail!("the machine ended, but {name} had not; {logs}"),
            },
            (Left::Timeout, _) => bail!("{name} did not end in time; {logs}"),
            (Left::Signal(signal), _) => return Ok(Some(signal)),
        }
    }
}

impl Options {
    /// What the guest runs on, in words.
    fn machine(&self) -> String {
        match self.is_virt() {
            true => format!("QEMU's virt, GICv{}", self.gic),
            false => self.board.title.to_owned(),
        }
    }

    fn is_virt(&self) -> bool {
        self.board.name == QEMU_VIRT
    }

    /// The guest's command line; mir-console is told as well what it is expected to find.
    fn command_line(&self) -> Result<String> {
        let console = BuildRequest::new(&self.name).name == "mir-console";
        if !console || self.args.contains("expect=") {
            return Ok(self.args.clone());
        }
        let mut expected = self.board.guest_on_model().with_memory(u64::from(self.memory));
        if self.is_virt() {
            expected.gic = self.gic.parse()?;
        }
        Ok(format!("{} expect={expected}", self.args).trim_start().to_owned())
    }

    /// What the guest's device tree says of the devices it is given.
    fn passed(&self) -> Result<Vec<DeviceNode>> {
        let node = |name: &String| {
            let device = self.board.device(name).with_context(|| {
                let names: Vec<_> = self.board.devices.iter().map(|device| device.name).collect();
                format!("{} has no device {name}; it has {}", self.board.title, names.join(", "))
            })?;
            Ok(DeviceNode::from(device))
        };
        self.devices.iter().map(node).collect()
    }

    fn xen(&self) -> Result<XenVersion> {
        self.xen.parse().map_err(anyhow::Error::msg)
    }

    pub(crate) fn image(&self, lab: &Lab, progress: &Progress) -> Result<Image> {
        if let Some((_, name)) = self.name.rsplit_once('/') {
            return Ok(Image { name: name.to_owned(), file: self.name.clone().into(), elf: None });
        }
        let mut request = BuildRequest::new(&self.name);
        request.optimise = self.optimise;
        request.cpu = self.cpu;
        request.features.push("default".to_owned());
        request.features.extend(self.defmt.then(|| "defmt".to_owned()));
        // What GDB's commands read.
        let is_traced = self.trace || self.gdb.is_some();
        request.features.extend(is_traced.then(|| "trace".to_owned()));
        lab.fetch(&[self.xen()?], progress)?;
        let built = lab.build(&request, progress)?;
        Ok(Image { name: request.name, file: built.image, elf: Some(built.elf) })
    }

    fn start(
        &self,
        lab: &Lab,
        image: &Image,
        limit: Option<Duration>,
        progress: &Progress,
    ) -> Result<(Machine, Guest)> {
        let config = Config {
            name: format!("run-{}", image.name),
            xen: self.xen()?,
            board: self.board,
            gic: self.gic.parse::<Gic>().map_err(anyhow::Error::msg)?,
            qemu_args: self.qemu_args.clone(),
            gdb_port: self.gdb,
            watch_args: ATTACH.map(str::to_owned).into(),
            // Xen has one of the two that QEMU's boards have.
            second_serial: self.serial.and_then(|_| self.board.qemu()).map(|model| 1 - model.serial.min(1)),
            // Debian's Xen lets a domain share with dom0 alone.
            xen_args: if self.beside.is_empty() { Vec::new() } else { vec!["xsm=dummy".to_owned()] },
            timeout: limit.map_or(NO_LIMIT, |limit| limit + GRACE),
            ..Config::default()
        };
        let wants_card = self.net || self.pcap.is_some() || !self.forward.is_empty();
        if self.dom0 || wants_card || !self.beside.is_empty() {
            let host = Dom0::start(lab, &config, progress)?;
            let mut domu = XlDomU::new(&image.name, image.file.clone(), self.memory);
            domu.args = self.command_line()?;
            for (letter, what) in ('a'..='z').zip(&self.disks) {
                let name = format!("xvd{letter}");
                domu.disks.push(host.make_disk(&wish(&name, what)?)?.spec(&name));
            }
            if wants_card {
                let inside = self.forward.is_empty();
                let vif = if inside { VifWish::new(VIF) } else { VifWish::outside(VIF) };
                domu.vifs.push(vif.spec());
            }
            for forward in &self.forward {
                host.forward(*forward)?;
                eprintln!("[{forward}]");
            }
            domu.paused = self.pcap.is_some();
            let guest = host.create(&domu)?;
            if let [file, args] = &self.beside[..] {
                beside(&host, (&image.file, guest.domain), Path::new(file), args, self.memory)?;
            }
            let recording = self.pcap.as_deref().map(|file| record(lab, &host, &guest, file, progress));
            let recording = recording.transpose()?;
            if domu.paused {
                host.sh(&format!("xl unpause {}", guest.domain))?;
            }
            return Ok((Machine::Dom0(Box::new(host), recording), guest));
        }
        let mut domu = DomU::new(image.file.clone(), self.memory);
        domu.bootargs = self.command_line()?;
        domu.devices.nodes = self.passed()?;
        let mut machine = Dom0less::boot(lab, &config, &[domu], progress)?;
        if let (Some(port), Some(line)) = (self.serial, machine.serial.take()) {
            far_end::offer(line, port)?;
        }
        let guest = machine.guests.first().context("Xen has no domain to start")?.clone();
        Ok((Machine::Dom0less(machine), guest))
    }
}

impl Machine {
    /// What the guest kept: it has written that if it has ended, and else it is in its memory.
    fn traces(&mut self, guest: &Guest, left: Left) -> Result<Vec<Trace>> {
        match (left, self) {
            (Left::Guest, _) => Ok(Trace::of_console(&guest.console.output.bytes())),
            (_, Self::Dom0less(machine)) => machine.traces(),
            (_, Self::Dom0(host, _)) => host.traces(),
        }
    }

    /// Has all that the ended guest wrote arrive.
    fn drain(&self, name: &str, guest: &Guest) -> bool {
        match self {
            // Its serial line ends with the machine, which ends with the guest.
            Self::Dom0less(_) => false,
            Self::Dom0(host, _) => {
                if let Err(error) = host.drain(name, guest) {
                    eprintln!("[{error:#}]");
                }
                true
            }
        }
    }

    /// Has all that was recorded arrive.
    fn finish_recording(&self) {
        if let Self::Dom0(host, Some(recording)) = self
            && let Err(error) = host.finish(recording)
        {
            eprintln!("[{error:#}]");
        }
    }

    fn log(&self) -> String {
        self.transcript().log().display().to_string()
    }

    /// Xen's own last words, if it panicked.
    fn panic(&self) -> Option<String> {
        let text = self.transcript().text();
        let (_, after) = text.split_once("Panic on CPU")?;
        after.lines().nth(1).map(|line| line.trim_start_matches("(XEN) ").to_owned())
    }

    fn transcript(&self) -> &Transcript {
        match self {
            Self::Dom0less(machine) => &machine.xen,
            Self::Dom0(host, _) => &host.serial,
        }
    }
}

/// Starts a second domain, and has both find each other's numbers.
fn beside(host: &Dom0, (one, number): (&Path, u16), other: &Path, args: &str, memory: u32) -> Result<()> {
    let stem = |file: &Path| file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let stem = |file: &Path| stem(file).with_context(|| format!("{} has no name", file.display()));
    let (one, name) = (stem(one)?, stem(other)?);
    let domu = XlDomU { args: args.to_owned(), ..XlDomU::new(&name, other.to_owned(), memory) };
    let domain = host.create_alone(&domu)?;
    for (of, name, number) in [(domain, one, number), (number, name, domain)] {
        host.store_write(&format!("/local/domain/{of}/data/peers/{name}"), &number.to_string())?;
    }
    Ok(())
}

/// Records the card of a guest that does not run yet, after what is in the file of an earlier boot.
fn record(lab: &Lab, host: &Dom0, guest: &Guest, file: &Path, progress: &Progress) -> Result<Recording> {
    let open = File::options().append(true).create(true).open(file);
    let open = open.with_context(|| format!("cannot write {}", file.display()))?;
    host.record(Vif::new(guest), &lab.build_peer(progress)?, open)
}

/// A disk of so many MiB, or with the contents of this file.
fn wish(name: &str, what: &str) -> Result<DiskWish> {
    if let Ok(mib) = what.parse() {
        return Ok(DiskWish::new(name, mib));
    }
    let contents = fs::read(what).with_context(|| format!("cannot read {what} for a disk"))?;
    let bytes = (contents.len() as u64).next_multiple_of(512);
    Ok(DiskWish { bytes, contents: Contents::Bytes(contents), ..DiskWish::new(name, 0) })
}

/// Makes text of defmt frames, where there are any.
#[cfg(feature = "defmt")]
struct Decoder(Option<fata_lab::Decoder>);

#[cfg(feature = "defmt")]
impl Decoder {
    fn new(elf: Option<&Path>) -> Result<Self> {
        let Some(elf) = elf else { return Ok(Self(None)) };
        let file = std::fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
        fata_lab::Decoder::new(&file).map(Self)
    }

    fn text(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(decoder) = &mut self.0 else { return bytes.to_vec() };
        let mut text = Vec::new();
        decoder.push(bytes, &mut text);
        text
    }
}

/// This program was built without the decoder, and is only run so for images without frames.
#[cfg(not(feature = "defmt"))]
struct Decoder;

#[cfg(not(feature = "defmt"))]
impl Decoder {
    fn new(_: Option<&Path>) -> Result<Self> {
        Ok(Self)
    }

    fn text(&mut self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }
}
