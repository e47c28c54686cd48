//! Boot media as boards use them: U-Boot reads the script, loads what it says, and starts Xen, which starts our domains.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fata_boards::find;
use fata_deploy::Deployment;
use fata_facts::Board;

use super::{Case, Context, MIR_CONSOLE_FILES, READY, must_say, plain};
use crate::console::{Console, Transcript};
use crate::machine::Folder;
use crate::media::{Media, MediaWish};
use crate::progress::Progress;
use crate::qemu::{Invocation, Process, option_value};
use crate::start;

/// What U-Boot says before it waits for somebody who wants to stop it.
const STOP: &str = "Hit any key to stop autoboot";
const UBOOT_PROMPT: &str = "=> ";

pub(super) fn add(cases: &mut Vec<Case>) {
    for board in ["qemu-virt", "raspberry-pi-4"] {
        let case = Case::media(&format!("{board}/uboot-medium"), |_| Ok(()));
        cases.push(Case { run: Box::new(move |ctx| from_medium(ctx, board)), ..case });
    }
    cases.push(Case::media("qemu-virt/uboot-other-file", other_file));
    cases.push(Case::media("qemu-virt/uboot-tftp", from_tftp));
    cases.push(Case::media("qemu-virt/same-bytes", same_bytes));
    // They are compiled before it starts.
    let beside = &["logger", "sensor"];
    cases.push(Case { image: "log-console", beside, ..Case::media("qemu-virt/uboot-three", three) });
    cases.push(Case { image: MIR_CONSOLE_FILES, ..Case::media("qemu-virt/uboot-dom0", dom0) });
}

impl Case {
    fn media(name: &str, run: fn(&Context<'_>) -> Result<()>) -> Self {
        Self::named(format!("media/{name}"), Box::new(run)).limit(120)
    }
}

fn board(name: &str) -> Result<&'static Board> {
    find(name).with_context(|| format!("there is no {name}"))
}

/// The board of most cases.
const VIRT: &str = "qemu-virt";

/// One mir-console, as images/hello.toml has it.
fn hello(ctx: &Context<'_>, name: &str, out: &str) -> Result<(MediaWish, Media)> {
    let image = ctx.built.image.display();
    let text = format!("[[domain]]\nname = \"hello\"\nimage = {image:?}\nargs = \"from U-Boot\"\n");
    let deployment = Deployment::parse("hello.toml", &text)?;
    let mut wish = MediaWish::new(ctx.lab, "hello", deployment, &PathBuf::new(), board(name)?);
    wish.out = ctx.lab.dir().join("media").join(ctx.name.replace('/', "-")).join(out);
    let media = ctx.lab.media(&wish, &Progress::quiet())?;
    Ok((wish, media))
}

/// A board's model with U-Boot.
struct Machine {
    console: Console,
    _folder: Folder,
    _qemu: Process,
}

impl Machine {
    fn start(ctx: &Context<'_>, wish: &MediaWish, media: &Media, more: &[String]) -> Result<Self> {
        let model = wish.board.qemu().context("there is no model")?;
        let folder = Folder::take(ctx.lab, &ctx.folder_name())?;
        let qemu = ctx.lab.qemu(&Progress::quiet())?;
        let mut run = Invocation::new(qemu.argv_prefix, &folder.path);
        run.args(start::machine(model));
        for _ in 0..model.serial {
            run.args(["-serial", "null"]);
        }
        run.socket("serial").args(["-serial", "chardev:serial"]);
        let uboot = media.uboot.as_ref().context("Debian has no U-Boot for it")?;
        let [uboot, tree] = [uboot, &media.tree].map(|path| path.to_string_lossy());
        run.args(start::uboot(wish.board, &uboot, &tree)).args(more.to_vec());
        let (process, streams) = run.start(ctx.limit)?;
        let serial = streams.into_iter().next().context("QEMU has no serial line")?;
        let input = std::sync::Arc::new(std::sync::Mutex::new(serial.try_clone()?));
        let output = Transcript::create(&folder.file("serial.log"))?;
        let console = Console::new(output.clone(), input, None);
        Transcript::follow(serial, move |bytes| match bytes {
            Some(bytes) => output.push(bytes),
            None => output.end(),
        });
        ctx.begin();
        Ok(Self { console, _folder: folder, _qemu: process })
    }

    /// Waits for U-Boot's own prompt.
    fn stop(&self, left: Duration) -> Result<()> {
        self.console.expect(STOP, left)?;
        self.console.send(" ")?;
        self.console.expect(UBOOT_PROMPT, left).map(drop)
    }
}

/// Catches: domains that Xen connects to others than the file says, or that do not find each other.
fn three(ctx: &Context<'_>) -> Result<()> {
    let base = ctx.lab.workspace().join("images");
    let deployment = Deployment::parse("three.toml", &fs::read_to_string(base.join("three.toml"))?)?;
    let mut wish = MediaWish::new(ctx.lab, "three", deployment, &base, board(VIRT)?);
    wish.out = ctx.lab.dir().join("media").join(ctx.name.replace('/', "-"));
    let media = ctx.lab.media(&wish, &Progress::quiet())?;
    let drive = start::drive(wish.board, &option_value(&media.medium));
    let machine = Machine::start(ctx, &wish, &media, &drive)?;
    let said = machine.console.expect("reading 3,", ctx.left())?;
    must_say(&said, "logger: a sensor has come")?;
    must_say(&said, "logger: a reader has come")?;
    // The console is the one that is typed at.
    machine.console.send("crash sensor\r")?;
    machine.console.expect("  the sensor has fallen silent: nothing for 3000 ms", ctx.left())?;
    machine.console.send("stats\r")?;
    let said = machine.console.expect("a sensor came 1 times", ctx.left())?;
    must_say(&said, " lines, 0 missing")
}

/// Catches: a dom0 that finds no room beside our modules, and domains of xl that do not start or have no disk.
fn dom0(ctx: &Context<'_>) -> Result<()> {
    let image = ctx.built.image.display();
    let text = format!(
        "dom0 = \"debian\"\n[[domain]]\nname = \"files\"\nimage = {image:?}\nmemory_mib = 32\n\
         disks = [\"format=raw,vdev=xvda,access=ro,target=/dev/vda1\"]\n"
    );
    let deployment = Deployment::parse("disk.toml", &text)?;
    let mut wish = MediaWish::new(ctx.lab, "disk", deployment, &PathBuf::new(), board(VIRT)?);
    wish.out = ctx.lab.dir().join("media").join(ctx.name.replace('/', "-"));
    let media = ctx.lab.media(&wish, &Progress::quiet())?;
    let drive = start::drive(wish.board, &option_value(&media.medium));
    let machine = Machine::start(ctx, &wish, &media, &drive)?;
    machine.console.expect("dom0: /deploy/files.cfg has started", ctx.left())?;
    machine.console.expect("~ # ", ctx.left())?;
    machine.console.send("xl console files\r")?;
    machine.console.expect(READY, ctx.left())?;
    machine.console.send("blk\r")?;
    // The first partition of the medium that all this came from.
    machine.console.expect("xvda", ctx.left()).map(drop)
}

fn greets(ctx: &Context<'_>, machine: &Machine) -> Result<()> {
    let before = machine.console.expect("Fata Morgana: a castle in the air", ctx.left())?;
    must_say(&before, "hello on ")?;
    must_say(&before, "(XEN) *** LOADING DOMU cpus=1 memory=0x4000KB ***")?;
    let found = plain(&machine.console.expect(READY, ctx.left())?);
    must_say(&found, "Hello, world.")?;
    must_say(&found, "from U-Boot")
}

/// Catches: a medium that U-Boot cannot read, a script that it does not understand, a tree that it or Xen refuses.
fn from_medium(ctx: &Context<'_>, name: &str) -> Result<()> {
    let (wish, media) = hello(ctx, name, "out")?;
    let drive = start::drive(wish.board, &option_value(&media.medium));
    greets(ctx, &Machine::start(ctx, &wish, &media, &drive)?)
}

/// Catches: an image that somebody has put onto the medium without making it anew, of which Xen would see a part.
fn other_file(ctx: &Context<'_>) -> Result<()> {
    let (wish, media) = hello(ctx, VIRT, "out")?;
    let mut bytes = fs::read(&media.medium)?;
    // U-Boot sees another size in the folder: the entry's last four bytes.
    let entry = bytes.windows(11).position(|it| it == b"HELLO   IMG").context("no folder entry")?;
    bytes[entry + 28] ^= 1;
    fs::write(&media.medium, bytes)?;
    let drive = start::drive(wish.board, &option_value(&media.medium));
    let machine = Machine::start(ctx, &wish, &media, &drive)?;
    machine.console.expect("hello.img is not the one that boot.scr was made for", ctx.left())?;
    machine.console.expect(UBOOT_PROMPT, ctx.left()).map(drop)
}

fn from_tftp(ctx: &Context<'_>) -> Result<()> {
    let (wish, media) = hello(ctx, VIRT, "out")?;
    let net = format!("user,id=net,tftp={},bootfile=boot.scr", option_value(&media.tftp));
    let more = ["-netdev".to_owned(), net, "-device".to_owned(), "virtio-net-device,netdev=net".to_owned()];
    let machine = Machine::start(ctx, &wish, &media, &more)?;
    machine.stop(ctx.left())?;
    machine.console.send("dhcp ${scriptaddr} && source ${scriptaddr}\n")?;
    greets(ctx, &machine)
}

/// Catches: times, folders or chance that get into boot media.
fn same_bytes(ctx: &Context<'_>) -> Result<()> {
    ctx.begin();
    let (one, first) = hello(ctx, VIRT, "one")?;
    let (two, second) = hello(ctx, VIRT, "two/deeper")?;
    ensure!(fs::read(&first.medium)? == fs::read(&second.medium)?, "two media of one deployment differ");
    for name in
        ["tftp/boot.scr", "tftp/board.dtb", "xl/hello.cfg", "run-qemu.sh", "memory.svg", "memory.json"]
    {
        ensure!(fs::read(one.out.join(name))? == fs::read(two.out.join(name))?, "two of {name} differ");
    }
    Ok(())
}
