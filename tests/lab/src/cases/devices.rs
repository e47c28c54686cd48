//! Disks and what is on them, as the console's commands show them.

use anyhow::{Result, ensure};

use super::{Case, Context, GUEST, MIR_CONSOLE_FILES, PROMPT, Place, Spot, Wish, must_say};
use crate::disk::{Contents, Disk, DiskWish, Vbd};
use crate::guest::Guest;
use crate::host::Dom0;
use crate::parts::XenVersion;
use crate::store::state;

pub(super) fn add(cases: &mut Vec<Case>) {
    for xen in XenVersion::ALL {
        let spot = Spot { place: Place::Xl, xen, ..Spot::XL };
        cases.push(Case::new(spot, "devices", move |ctx| devices(ctx, spot)));
        cases.push(Case {
            image: MIR_CONSOLE_FILES,
            ..Case::new(spot, "devices-files", move |ctx| files(ctx, spot))
        });
    }
    cases.push(Case::new(Spot::XL, "devices-plugged", plugged));
}

/// Catches: a list that is not what dom0 has; sectors that are read or written elsewhere than where they should be.
fn devices(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let dom0 = ctx.dom0(spot)?;
    let before = dom0.footprint()?;
    let mut contents = vec![0; 8 << 10];
    contents[4096..4096 + 22].copy_from_slice(b"written before it runs");
    let disk =
        dom0.make_disk(&DiskWish { contents: Contents::Bytes(contents), ..DiskWish::new("disk", 8) })?;
    let large = dom0.make_disk(&DiskWish {
        sector_bytes: 4096,
        read_only: true,
        contents: Contents::Random,
        ..DiskWish::new("large", 4)
    })?;
    let guest = start(ctx, &dom0, &[(&disk, "xvda"), (&large, "xvdb")])?;
    let ask = |command: &str| ctx.ask(&guest, command);

    let seen = ask("devices")?;
    for vdev in ["xvda", "xvdb"] {
        let vbd = Vbd::new(&guest, vdev)?;
        must_say(&seen, &format!("  {vdev}          vbd {}: ours Initialising, the backend's", vbd.device))?;
        must_say(&seen, &vbd.backend())?;
    }
    let seen = ask("blk")?;
    must_say(&seen, "  xvda          ready: 8 MiB, sectors of 512 bytes")?;
    must_say(&seen, "  xvdb          ready: 4 MiB, sectors of 4096 bytes, read-only")?;
    must_say(&ask("devices")?, "ours Connected, the backend's Connected")?;

    must_say(&ask("blk read xvda 8")?, "  written before i\n00001010")?;
    must_say(&ask("blk write xvda 9 hello")?, "If you mean it: blk write xvda 9 really hello")?;
    ensure!(
        ask("blk write xvda 9 really hello dom0")?
            == format!("512 bytes written to xvda at sector 9, and flushed\n{PROMPT}")
    );
    let sector = dom0.read_disk(&disk, 9 * 512, 512)?;
    ensure!(sector.starts_with(b"hello dom0\0") && sector[10..].iter().all(|&byte| byte == 0));
    must_say(&ask("blk write xvdb 0 really x")?, "xvdb: the disk is read-only")?;
    must_say(&ask("blk read xvda 16384")?, "xvda: beyond the end of the disk")?;

    // A sector within one of the disk's own.
    let sector = dom0.read_disk(&large, 3 * 512, 16)?;
    let hex: Vec<_> = sector.iter().map(|byte| format!("{byte:02x}")).collect();
    must_say(&ask("blk read xvdb 3")?, &format!("00000600  {}  {}", hex[..8].join(" "), hex[8..].join(" ")))?;

    let bench = ask("blk bench xvda 100")?;
    ensure!(bench.matches(": 100 reads in ").count() == 4, "{bench}");

    dom0.destroy(GUEST)?;
    dom0.remove_disk(&disk)?;
    dom0.remove_disk(&large)?;
    let left = dom0.footprint()?.since(&before);
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(())
}

/// Catches: a disk that comes or goes while the guest runs and is not noticed, or not let go; and one whose backend is
/// taken away that leaves the console stuck.
fn plugged(ctx: &Context<'_>) -> Result<()> {
    let dom0 = ctx.dom0(Spot::XL)?;
    let before = dom0.footprint()?;
    let disk = dom0.make_disk(&DiskWish::new("disk", 8))?;
    let guest = start(ctx, &dom0, &[])?;
    let ask = |command: &str| ctx.ask(&guest, command);
    must_say(&ask("devices")?, "There are no devices.")?;
    must_say(&ask("blk read xvdb 0")?, "there is no disk xvdb")?;
    for round in 1..=3 {
        dom0.attach_disk(GUEST, &disk.spec("xvdb"))?;
        must_say(&ask("devices")?, "xvdb          vbd 51728: ours")?;
        must_say(&ask("blk")?, &format!("connects {round}, resent 0"))?;
        dom0.detach_disk(GUEST, "xvdb")?;
        must_say(&ask("devices")?, "There are no devices.")?;
    }

    dom0.attach_disk(GUEST, &disk.spec("xvdb"))?;
    let vbd = Vbd::new(&guest, "xvdb")?;
    must_say(&ask("blk")?, "ready: 8 MiB")?;
    dom0.unbind_backend(vbd)?;
    // Reads wait, and can be given up; one that waits goes on when the backend is back.
    guest.console.send("blk read xvdb 0\r")?;
    ctx.expect(&guest, "\n")?;
    guest.console.send("\x03")?;
    ctx.expect(&guest, "^C\r\n")?;
    ctx.expect(&guest, PROMPT)?;
    guest.console.send("blk read xvdb 1\r")?;
    ctx.expect(&guest, "\n")?;
    dom0.bind_backend(vbd)?;
    ctx.expect(&guest, "00000200  00 00")?;
    ctx.expect(&guest, PROMPT)?;
    dom0.store_wait(&format!("{}/state", vbd.backend()), state::CONNECTED, ctx.left())?;

    dom0.detach_disk(GUEST, "xvdb")?;
    dom0.destroy(GUEST)?;
    dom0.remove_disk(&disk)?;
    let left = dom0.footprint()?.since(&before);
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(())
}

/// Catches: files that are not what somebody else wrote.
fn files(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let dom0 = ctx.dom0(spot)?;
    let image = |name: &str| -> Result<Disk> {
        let packed = std::fs::read(
            ctx.lab.workspace().join("drivers/disk/tests/data").join(name).with_added_extension("xz"),
        )?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut lzma_rust2::XzReader::new(&packed[..], true), &mut bytes)?;
        let size = bytes.len() as u64;
        dom0.make_disk(&DiskWish {
            bytes: size,
            read_only: true,
            contents: Contents::Bytes(bytes),
            ..DiskWish::new(name, 0)
        })
    };
    let disks = [image("ext4-4k")?, image("fat16")?, image("gpt-512")?];
    let [ext4, fat, gpt] = &disks;
    let guest = start(ctx, &dom0, &[(ext4, "xvda"), (fat, "xvdb"), (gpt, "xvdc")])?;
    let ask = |command: &str| ctx.ask(&guest, command);
    for at in ["", "xvda:", "xvdb:"] {
        must_say(&ask(&format!("ls {at}/"))?, "        14 B  hello.txt\n")?;
        ensure!(ask(&format!("cat {at}/hello.txt"))? == format!("Hello, world!\n{PROMPT}"));
        must_say(&ask(&format!("ls {at}/dir/sub"))?, "              deep/\n")?;
        let long = ask(&format!("cat {at}/long.txt"))?;
        let count = long.lines().take_while(|line| line.starts_with("long line ")).count();
        ensure!(count == 16000 && long.contains("\nlong line 016000\n"), "{count} lines of 16000");
    }
    must_say(&ask("cat xvda:/nowhere")?, "xvda: there is no such file")?;
    must_say(&ask("ls xvdc:/")?, "  xvdcp1:  1 MiB, ")?;
    Ok(())
}

/// A guest with these disks, at its prompt.
fn start(ctx: &Context<'_>, dom0: &Dom0, disks: &[(&Disk, &str)]) -> Result<Guest> {
    let mut domu = ctx.xl_domu(&Wish::args("quiet"));
    domu.disks = disks.iter().map(|(disk, vdev)| disk.spec(vdev)).collect();
    let guest = dom0.create(&domu)?;
    ctx.prompt(&guest)?;
    Ok(guest)
}
