//! `xtask new-board`: makes a board's crate of its device tree.

mod chips;
mod register;
mod text;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use fata_boot::info::Region;
use fata_deploy::Survey;
use fata_lab::{Lab, Progress};

use chips::{CHIPS, Chip};
use text::Port;

/// Make a board's crate below boards/ of its device tree
#[derive(Args)]
pub(crate) struct Options {
    /// What the board is to be called: small letters, digits and hyphens
    name: String,
    /// Its device tree, a .dtb file; or where Debian has one, as rockchip/rk3399-rockpro64.dtb
    #[arg(long, value_name = "FILE")]
    dtb: PathBuf,
    /// RAM, where the device tree leaves that to the firmware; may be repeated: 0x0:0x80000000
    #[arg(long, value_name = "BASE:SIZE", value_parser = bank)]
    ram: Vec<Region>,
    /// Xen's serial port, a path or an alias, instead of the one the device tree has for messages
    #[arg(long, value_name = "NODE")]
    serial: Option<String>,
}

/// How much room is tried for modules, most first.
const ROOM: [u64; 3] = [256 << 20, 128 << 20, 64 << 20];
/// What Xen's image and QEMU's device tree need at the start of RAM.
const START: u64 = 0x1000_0000;
/// What U-Boot loads from each of its addresses on.
const LOADED: u64 = 2 << 20;

pub(crate) fn run(options: &Options) -> Result<()> {
    let lab = Lab::open()?;
    let (blob, debian) = options.blob(&lab)?;
    let survey = Survey::read(&blob).with_context(|| format!("{}", options.dtb.display()))?;
    let chip = CHIPS.iter().find(|chip| survey.compatible.iter().any(|name| name == chip.compatible));
    let tree = match debian {
        Some(path) => format!("Tree::Debian({path:?})"),
        None if chip.and_then(|chip| chip.model.as_ref()).is_some_and(|it| it.writes_tree) => {
            "Tree::Qemu".to_owned()
        }
        None => format!("Tree::File(\"boards/{}/board.dtb\")", options.name),
    };
    let board =
        make(lab.workspace(), &options.name, &survey, chip, options.serial.as_deref(), &options.ram, &tree)?;
    if tree.starts_with("Tree::File") {
        fs::write(board.join("board.dtb"), &blob)?;
    }
    // As people write it. Without rustfmt it is only less pretty.
    let _ = Command::new("rustfmt").args(["--edition", "2024"]).arg(board.join("src/lib.rs")).status();
    println!("made boards/{}; read and complete src/lib.rs there, then:", options.name);
    println!("  cargo test -p fata-boards");
    println!("  cargo xtask test --lab-only --filter boards/{}/", options.name);
    if chip.is_some_and(|chip| chip.model.is_some()) {
        println!("  cargo xtask run mir-console --board {}", options.name);
    }
    Ok(())
}

impl Options {
    /// The device tree, and where Debian has it if it is from there.
    fn blob(&self, lab: &Lab) -> Result<(Vec<u8>, Option<String>)> {
        let given = &self.dtb;
        if given.exists() {
            return Ok((fs::read(given).with_context(|| format!("cannot read {}", given.display()))?, None));
        }
        let trees = lab.device_trees(&Progress::new())?;
        let file = trees.join(given);
        let blob = fs::read(&file).with_context(|| {
            format!("there is no file {}, and none of this name in {}", given.display(), trees.display())
        })?;
        Ok((blob, Some(given.to_string_lossy().into_owned())))
    }
}

/// Writes the crate below `root` and makes it part of the workspace there; gives its directory.
fn make(
    root: &Path,
    name: &str,
    survey: &Survey,
    chip: Option<&Chip>,
    serial: Option<&str>,
    ram: &[Region],
    tree: &str,
) -> Result<PathBuf> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure!(
        name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(good) && !name.ends_with('-'),
        "{name:?} is no name for a board: take small letters, digits and hyphens, a letter first"
    );
    let dir = root.join("boards").join(name);
    ensure!(!dir.exists(), "{} is there already: take another name, or remove it", dir.display());
    let serial = serial_port(survey, serial)?;
    ensure!(
        survey.controller.is_some(),
        "the device tree has no interrupt controller that Xen knows (GICv2 or GICv3): Xen does not run on this board"
    );
    ensure!(
        survey.timer.len() >= 3,
        "the device tree has no timer (arm,armv8-timer) at the interrupt controller: is this the tree of a 64-bit board?"
    );
    ensure!(!survey.compatible.is_empty(), "the device tree does not say what board it is of (/compatible)");
    let ram = if ram.is_empty() { &survey.memory[..] } else { ram };
    ensure!(
        !ram.is_empty(),
        "the device tree has no RAM, which the board's firmware fills in: give it with --ram BASE:SIZE, as `bdinfo` at \
         U-Boot's prompt tells"
    );
    let mut port =
        Port { name, survey, chip, serial: &serial, ram, modules: Region { base: 0, size: 0 }, tree };
    port.modules = room(&port)?;
    fs::create_dir_all(dir.join("src")).with_context(|| format!("cannot create {}", dir.display()))?;
    fs::write(dir.join("Cargo.toml"), port.manifest())?;
    fs::write(dir.join("src/lib.rs"), port.source())?;
    register::register(root, name)?;
    Ok(dir)
}

/// Xen's serial port: the one that is asked for, or the one that messages go to.
fn serial_port(survey: &Survey, asked: Option<&str>) -> Result<String> {
    let usable: Vec<_> = survey
        .ports
        .iter()
        .filter(|port| port.device.enabled && port.driver.is_some())
        .map(|port| port.alias.as_ref().unwrap_or(&port.device.path).clone())
        .collect();
    let Some(path) = asked.map_or_else(|| survey.stdout.clone(), |name| survey.resolve(name)) else {
        let what = asked.map_or_else(
            || "no port for messages (/chosen/stdout-path)".to_owned(),
            |name| format!("no {name}"),
        );
        bail!("the device tree has {what}: give --serial with one of [{}]", usable.join(", "));
    };
    let port = survey.ports.iter().find(|port| port.device.path == path);
    let port = port.with_context(|| {
        format!("{path} is no serial port: give --serial with one of [{}]", usable.join(", "))
    })?;
    let name = port.alias.as_ref().unwrap_or(&path);
    if port.driver.is_none() {
        bail!(
            "Xen has no driver for {name} ({}): give --serial with one of [{}], or write a driver for Xen \
             (xen/drivers/char)",
            port.device.compatible.join(", "),
            usable.join(", ")
        );
    }
    Ok(name.clone())
}

/// Room for modules that nobody else is in, above what Xen and QEMU want at the start of RAM.
fn room(port: &Port<'_>) -> Result<Region> {
    let loaded = port.uboot().map(|base| Region { base, size: LOADED });
    let taken: Vec<_> = port.survey.reserved.iter().copied().chain(loaded).collect();
    for size in ROOM {
        for bank in port.ram {
            let mut base = bank.base + START;
            while base + size <= bank.end() {
                let room = Region { base, size };
                match taken.iter().find(|it| it.base < room.end() && room.base < it.end()) {
                    None => return Ok(room),
                    Some(taken) => base = taken.end().max(base + 1).next_multiple_of(32 << 20),
                }
            }
        }
    }
    bail!("there is no room of 64 MiB for images from 256 MiB into RAM on; is all RAM given (--ram)?")
}

/// `BASE:SIZE`, in hexadecimal or decimal.
fn bank(text: &str) -> Result<Region, String> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let both = text.split_once(':').and_then(|(base, size)| Some((number(base)?, number(size)?)));
    let region = both.map(|(base, size)| Region { base, size });
    region
        .filter(|it| it.size > 0 && it.base.checked_add(it.size).is_some_and(|end| end < 1 << 48))
        .ok_or_else(|| "not like 0x40000000:0x80000000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIRT: &[u8] = include_bytes!("qemu-virt.dtb");

    /// A workspace with nothing but what boards are listed in.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(test: &str) -> Self {
            let root = std::env::temp_dir().join(format!("fata-new-board-{test}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            fs::create_dir_all(root.join("boards/all/src")).unwrap();
            for file in ["Cargo.toml", "boards/all/Cargo.toml", "boards/all/src/lib.rs"] {
                fs::copy(workspace().join(file), root.join(file)).unwrap();
            }
            Self(root)
        }

        fn make(&self, name: &str, survey: &Survey, serial: Option<&str>, ram: &[Region]) -> Result<PathBuf> {
            let chip = CHIPS.iter().find(|chip| survey.compatible.iter().any(|it| it == chip.compatible));
            make(&self.0, name, survey, chip, serial, ram, "Tree::Qemu")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn workspace() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    /// As rustfmt does not care: without white space, and without commas before brackets.
    fn bare(text: &str) -> String {
        let mut text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        for bracket in [")", "]", "}"] {
            text = text.replace(&format!(",{bracket}"), bracket);
        }
        text
    }

    #[test]
    fn the_template_is_what_is_made_of_qemus_board() {
        let scratch = Scratch::new("template");
        let dir = scratch.make("template", &Survey::read(VIRT).unwrap(), None, &[]).unwrap();
        for file in ["Cargo.toml", "src/lib.rs"] {
            let made = fs::read_to_string(dir.join(file)).unwrap();
            let kept = fs::read_to_string(workspace().join("boards/template").join(file)).unwrap();
            assert_eq!(bare(&made), bare(&kept), "boards/template/{file}");
            assert!(
                made.lines().filter(|line| line.starts_with("//!")).all(|line| line.len() <= 110),
                "{made}"
            );
        }
    }

    #[test]
    fn a_board_is_listed_in_order_wherever_boards_are() {
        let scratch = Scratch::new("lists");
        scratch.make("mine", &Survey::read(VIRT).unwrap(), None, &[]).unwrap();
        let read = |file: &str| fs::read_to_string(scratch.0.join(file)).unwrap();
        let between = |file: &str, [before, new, after]: [&str; 3]| {
            let text = read(file);
            let lines: Vec<_> = text.lines().collect();
            let at =
                lines.iter().position(|line| *line == new).unwrap_or_else(|| panic!("{file} lacks {new}"));
            assert!(lines[at - 1].starts_with(before), "{file}: {}", lines[at - 1]);
            assert!(lines[at + 1].starts_with(after), "{file}: {}", lines[at + 1]);
        };
        let members = ["    \"boards/kria", "    \"boards/mine\",", "    \"boards/qemu"];
        between("Cargo.toml", members);
        between("Cargo.toml", ["fata-kria", "fata-mine = { path = \"boards/mine\" }", "fata-qemu"]);
        between("boards/all/Cargo.toml", ["fata-kria", "fata-mine.workspace = true", "fata-qemu"]);
        between("boards/all/src/lib.rs", ["    &fata_kria", "    &fata_mine::BOARD,", "    &fata_qemu"]);
    }

    #[test]
    fn refusals_say_what_is_missing_and_leave_nothing() {
        let scratch = Scratch::new("refusals");
        let before = fs::read_to_string(scratch.0.join("Cargo.toml")).unwrap();
        let virt = || Survey::read(VIRT).unwrap();
        let but = |change: fn(&mut Survey)| {
            let mut survey = virt();
            change(&mut survey);
            survey
        };
        let refused = |survey: Survey, name: &str, serial: Option<&str>, words: &str| {
            let error = scratch.make(name, &survey, serial, &[]).unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
        };
        refused(virt(), "Mine", None, "small letters");
        refused(virt(), "../mine", None, "small letters");
        refused(virt(), "all", None, "take another name");
        refused(virt(), "mine", Some("serial9"), "no serial9: give --serial with one of [serial0]");
        refused(virt(), "mine", Some("/psci"), "/psci is no serial port");
        refused(but(|survey| survey.memory = Vec::new()), "mine", None, "--ram BASE:SIZE");
        refused(but(|survey| survey.controller = None), "mine", None, "GICv2 or GICv3");
        refused(but(|survey| survey.timer = Vec::new()), "mine", None, "arm,armv8-timer");
        refused(but(|survey| survey.compatible = Vec::new()), "mine", None, "/compatible");
        refused(but(|survey| survey.stdout = None), "mine", None, "/chosen/stdout-path");
        let deaf = |survey: &mut Survey| survey.ports.iter_mut().for_each(|port| port.driver = None);
        refused(but(deaf), "mine", None, "Xen has no driver for serial0 (arm,pl011");
        let full = |survey: &mut Survey| survey.reserved = survey.memory.clone();
        refused(but(full), "mine", None, "no room of 64 MiB");
        assert_eq!(fs::read_to_string(scratch.0.join("Cargo.toml")).unwrap(), before);
        assert!(!scratch.0.join("boards/mine").exists());
    }

    #[test]
    fn trees_that_are_cut_or_broken_make_a_board_or_a_refusal() {
        let scratch = Scratch::new("broken");
        let mut state: u64 = 20_261_125;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut made = 0;
        for _ in 0..2000 {
            let mut broken = VIRT.to_vec();
            for _ in 0..=random(6) {
                let at = random(broken.len());
                broken[at] = random(256) as u8;
            }
            let Ok(survey) = Survey::read(&broken) else { continue };
            if let Ok(dir) = scratch.make("mine", &survey, None, &[]) {
                made += 1;
                fs::remove_dir_all(dir).unwrap();
            }
        }
        assert!(made > 100, "{made}");
    }

    #[test]
    fn ram_is_given_as_a_base_and_a_size() {
        assert_eq!(bank("0x200000:0x7fe00000"), Ok(Region { base: 0x20_0000, size: 0x7fe0_0000 }));
        assert_eq!(bank("0:1024"), Ok(Region { base: 0, size: 1024 }));
        for wrong in ["", "0x0", "0x0:", "x:1", "0:0", "0xffffffffffffffff:2", "0:18446744073709551616"] {
            assert!(bank(wrong).is_err(), "{wrong}");
        }
    }
}
