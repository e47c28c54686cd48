//! Xen, but less of it than usual: no `/hypervisor`, no serial port, dirty memory, odd addresses, broken trees.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, ensure};

use super::{Case, Context, PROMPT, Spot, Wish, must_say, plain, row};
use crate::dom0less::DomU;
use crate::dtb::Enhanced;
use crate::guest::End;
use crate::machine::{Config, Folder, Gic};
use crate::parts::XenVersion;

pub(super) fn add(cases: &mut Vec<Case>) {
    for gic in Gic::ALL {
        for xen in XenVersion::ALL {
            let spot = Spot { gic, xen, ..Spot::DOM0LESS };
            cases.push(Case::new(spot, "no-hypervisor-node", move |ctx| no_hypervisor_node(ctx, spot)));
        }
    }
    for (name, enhanced) in
        [("console-io", Enhanced::NoXenstore), ("console-io-no-hypervisor-node", Enhanced::Absent)]
    {
        cases.push(Case::new(Spot::DOM0LESS, name, move |ctx| console_io(ctx, enhanced)));
    }
    cases.push(Case::new(Spot::DOM0LESS, "dirty-memory", dirty_memory));
    for (name, offset) in [("address-6-mib", 0x60_0000), ("address-4-kib", 0x1000)] {
        cases.push(Case::new(Spot::DOM0LESS, name, move |ctx| loaded_at(ctx, Spot::DOM0LESS, offset)));
        cases.push(Case::new(Spot::XL, name, move |ctx| loaded_at(ctx, Spot::XL, offset)));
    }
    cases.push(Case::new(Spot::DOM0LESS, "address-unaligned", unaligned));
}

/// Catches: reliance on what only `xen,enhanced` gives. Without it there is no `/hypervisor` node; the vpl011 still
/// takes input, and the table says what is absent.
fn no_hypervisor_node(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let domu = DomU { enhanced: Enhanced::Absent, ..ctx.domu(&Wish::default()) };
    let config = Config { icount: true, ..ctx.config(spot) };
    let machine = ctx.dom0less(&config, &[domu])?;
    let guest = &machine.guests[0];
    ctx.expect(guest, "Hello, world.")?;
    let table = plain(&ctx.prompt(guest)?);
    must_say(row(&table, "events")?, "absent, as is all of /hypervisor")?;
    must_say(row(&table, "console")?, "SBSA UART")?;
    ensure!(ctx.ask(guest, "echo typed")? == format!("typed\n{PROMPT}"));
    guest.console.send("poweroff\r")?;
    ctx.end(guest, End::PowerOff)
}

/// Catches: silence where Xen's own console is the only one.
fn console_io(ctx: &Context<'_>, enhanced: Enhanced) -> Result<()> {
    let domu = DomU { vpl011: false, enhanced, ..ctx.domu(&Wish::args("exec=\"xen;clock\"")) };
    let config = Config { icount: true, ..ctx.config(Spot::DOM0LESS) };
    let machine = ctx.dom0less(&config, &[domu])?;
    let guest = &machine.guests[0];
    ctx.end(guest, End::PowerOff)?;
    guest.console.output.wait_for_end(ctx.left());
    let said = guest.console.output.text();
    // Xen leaves ESC out, so the rest of each colour code stands in the text.
    for part in ["Fata\n", "Hello, world.", "Xen console_io", "absent", "capabilities", "since start"] {
        must_say(&said, part)?;
    }
    Ok(())
}

/// Catches: a variable that is read before it is written. All of the machine's memory is filled before Xen starts,
/// and this Xen hands it out as it is (`bootscrub=0`).
fn dirty_memory(ctx: &Context<'_>) -> Result<()> {
    const MIB: u32 = 512;
    const PAGE: usize = 4096;
    const DIRT: [u8; PAGE] = [0xa5; PAGE];
    // In the middle of the free memory, and at no power of two, where the allocator keeps its books.
    const UNUSED: u64 = 0x90_1000;
    let dirt = Folder::take(ctx.lab, &format!("{}-ram", ctx.folder_name()))?;
    let path = dirt.file("ram");
    fs::write(&path, vec![DIRT[0]; (MIB as usize) << 20])?;
    let name = crate::qemu::option_value(&path);
    let backend = format!("memory-backend-file,id=dirty,mem-path={name},size={MIB}M,share=on");
    let config = Config {
        memory_mib: Some(MIB),
        qemu_args: ["-object", &backend, "-machine", "memory-backend=dirty"].map(str::to_owned).to_vec(),
        ..ctx.config(Spot::DOM0LESS)
    };
    let machine = ctx.dom0less(&config, &[ctx.domu(&Wish::args("greet=off"))])?;
    let guest = &machine.guests[0];
    ctx.prompt(guest)?;
    for command in ["mem", "tasks", "xen", "events"] {
        ctx.ask(guest, command)?;
    }
    // That this shows anything: what the guest has not used of its 16 MiB is dirty still. It begins where the image's
    // first page is found again, besides where QEMU loaded the file.
    let memory = File::open(&path)?;
    fs::remove_file(&path)?;
    let image = fs::read(&ctx.built.image)?;
    let page = |at: u64| -> Result<[u8; PAGE]> {
        let mut page = [0; PAGE];
        memory.read_exact_at(&mut page, at)?;
        Ok(page)
    };
    let mut dirty = 0;
    for at in (0..u64::from(MIB) << 20).step_by(PAGE) {
        if page(at)?[..] == image[..PAGE] && page(at + UNUSED).is_ok_and(|later| later == DIRT) {
            dirty += 1;
        }
    }
    ensure!(dirty > 1, "the guest's memory was not dirty at all");
    guest.console.send("poweroff\r")?;
    ctx.end(guest, End::PowerOff)
}

/// The image with another `text_offset` in its header, which is where Xen puts it in the guest's memory.
fn moved(ctx: &Context<'_>, folder: &Folder, text_offset: u64) -> Result<std::path::PathBuf> {
    let mut image = fs::read(&ctx.built.image)?;
    image.get_mut(8..16).context("the image has no header")?.copy_from_slice(&text_offset.to_le_bytes());
    let file = folder.file("Image");
    fs::write(&file, image)?;
    Ok(file)
}

/// Catches: code or data that is only right at the address where Xen usually loads an image.
fn loaded_at(ctx: &Context<'_>, spot: Spot, text_offset: u64) -> Result<()> {
    let folder = Folder::take(ctx.lab, &format!("{}-image", ctx.folder_name()))?;
    let image = Some(moved(ctx, &folder, text_offset)?);
    let running = ctx.start(spot, &Wish { image, ..Wish::args("greet=off") })?;
    ctx.prompt(&running.guest)?;
    let mem = ctx.ask(&running.guest, "mem")?;
    must_say(row(&mem, "instructions")?, &format!("{:#011x}", 0x4000_0000 + text_offset))?;
    running.guest.console.send("crash text\r")?;
    ctx.end(&running.guest, End::Crash)
}

/// Catches: an image that goes on where its pages cannot be mapped, or stops there without a word.
fn unaligned(ctx: &Context<'_>) -> Result<()> {
    let folder = Folder::take(ctx.lab, &format!("{}-image", ctx.folder_name()))?;
    let image = Some(moved(ctx, &folder, 0x20_0010)?);
    let running = ctx.start(Spot::DOM0LESS, &Wish { image, ..Wish::default() })?;
    ctx.end(&running.guest, End::Crash)?;
    must_say(&running.everything(ctx.left())?, "the image must be loaded at a multiple of 4096")
}
