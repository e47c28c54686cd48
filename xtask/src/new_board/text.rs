//! A board's crate as text, from what its device tree says.

use std::fmt::Write as _;

use fata_boot::info::Region;
use fata_deploy::{DeviceFound, Survey};

use super::chips::Chip;

/// Columns of a line, as in rustfmt.toml.
const WIDTH: usize = 110;

/// What a board's crate is made of.
pub(super) struct Port<'a> {
    pub name: &'a str,
    pub survey: &'a Survey,
    pub chip: Option<&'a Chip>,
    /// As Xen is to name its serial port: an alias or a path.
    pub serial: &'a str,
    pub ram: &'a [Region],
    pub modules: Region,
    /// `Tree::…`
    pub tree: &'a str,
}

impl Port<'_> {
    /// `src/lib.rs`.
    pub(super) fn source(&self) -> String {
        let uses: Vec<_> = [
            ("Board", true),
            ("Cells", self.moved_gic().is_some()),
            ("Device", true),
            ("Expectations", true),
            ("Medium", true),
            ("Model", true),
            ("Qemu", self.chip.is_some_and(|chip| chip.model.is_some())),
            ("Table", true),
            ("Tree", true),
            ("UBoot", true),
            ("XenFacts", true),
        ]
        .into_iter()
        .filter_map(|(name, used)| used.then_some(name))
        .collect();
        format!(
            "{}#![no_std]\n#![forbid(unsafe_code)]\n\nuse fata_boot::info::Region;\nuse fata_facts::{{{}}};\n\n\
             /// The board.\npub const BOARD: Board = Board {{\n{}}};\n",
            self.docs(),
            uses.join(", "),
            self.fields()
        )
    }

    /// `Cargo.toml`.
    pub(super) fn manifest(&self) -> String {
        let mut text = format!(
            "[package]\nname = \"fata-{}\"\ndescription = \"{}, as a board\"\n",
            self.name,
            self.title()
        );
        for field in ["version", "edition", "rust-version", "license", "authors", "publish"] {
            let _ = writeln!(text, "{field}.workspace = true");
        }
        text + "\n[lints]\nworkspace = true\n\n[dependencies]\nfata-boot.workspace = true\nfata-facts.workspace = true\n"
    }

    fn title(&self) -> String {
        let known = self.survey.model.as_ref().or_else(|| self.survey.compatible.first());
        known.map_or_else(|| self.name.to_owned(), |title| title.replace(['"', '\\'], "'"))
    }

    fn docs(&self) -> String {
        let mut text =
            format!("//! {}, as its device tree has it (`cargo xtask new-board`).\n//!\n", self.title());
        let mut paragraph = |title: &str, words: &str| {
            let _ = writeln!(text, "{}//!", wrapped(&format!("**{title}.** {words}")));
        };
        paragraph(
            "Boot chain",
            "Not known: say here what the board runs before U-Boot, and where that comes from.",
        );
        let ports: Vec<_> = self.survey.ports.iter().filter(|port| port.device.enabled).collect();
        let mut words = String::new();
        for port in &ports {
            let name = port.alias.as_ref().map_or(String::new(), |alias| format!("{alias}, "));
            let driver =
                port.driver.map_or_else(|| "no driver in Xen".to_owned(), |driver| format!("Xen's {driver}"));
            let separator = if words.is_empty() { "" } else { "; " };
            let _ = write!(words, "{separator}{name}{}: {driver}", port.device.path);
        }
        paragraph("Serial", &format!("Ports in use: {words}. Say here which pins, and at what speed."));
        let cpus = &self.survey.cpus;
        // The first runs already.
        let silent = cpus.iter().skip(1).filter(|method| method.is_none()).count();
        let psci = self.survey.psci.as_ref();
        let start = match (psci, silent) {
            (Some(method), 0) => format!("started through PSCI by {method}"),
            (Some(method), _) => {
                format!("of which {silent} have no enable-method and stay off; PSCI by {method}")
            }
            (None, _) => {
                "no PSCI: Xen cannot turn the board off, and needs another way to start them".to_owned()
            }
        };
        paragraph("CPUs", &format!("{}, {start}.", cpus.len()));
        let said = if self.survey.memory.is_empty() {
            "given to `new-board`: the firmware fills it in"
        } else {
            "in the device tree"
        };
        let words = format!("As {said}. {}", self.chip.map_or("", |chip| chip.remark));
        paragraph("RAM", words.trim_end());
        text.truncate(text.trim_end().trim_end_matches("//!").len());
        text
    }

    fn fields(&self) -> String {
        let survey = self.survey;
        let mut text = String::new();
        let mut line = |words: String| {
            let _ = writeln!(text, "    {words}");
        };
        line(format!("name: {:?},", self.name));
        line(format!("title: {:?},", self.title()));
        line(format!("compatible: {:?},", survey.compatible.first().map_or("", String::as_str)));
        line(format!("tree: {},", self.tree));
        line(format!(
            "ram: &[{}],",
            self.ram.iter().map(|bank| region(*bank)).collect::<Vec<_>>().join(", ")
        ));
        let gic = survey.controller.as_ref().map_or(0, |(_, version)| *version);
        if survey.timer_hz.is_none() {
            line(
                "// The rate of the counter is not in the device tree: mir-console says what it is."
                    .to_owned(),
            );
        }
        let model = self.chip.and_then(|chip| chip.model.as_ref());
        let hz =
            survey.timer_hz.map(u64::from).or_else(|| model.map(|model| model.timer_hz)).unwrap_or_default();
        line(format!(
            "guest: Expectations {{ gic: {gic}, timer: 27, event: 31, timer_hz: {}, memory_mib: None }},",
            decimal(hz)
        ));
        line(format!(
            "xen: XenFacts {{ serial: {:?}, args: &[], cpus: {}, modules: {}, remove: &[],",
            self.serial,
            survey.startable_cpus(),
            region(self.modules)
        ));
        match self.moved_gic() {
            None => line("set: &[] },".to_owned()),
            Some((path, cells)) => {
                line(
                    "// Both pages of the CPU interface side by side, 60 KiB further up (see boards/zcu102)."
                        .to_owned(),
                );
                line(format!("set: &[Cells {{ path: {path:?}, property: \"reg\", cells: &[{cells}] }}] }},"));
            }
        }
        let [xen, tree, _] = self.uboot();
        match self.chip.and_then(|chip| chip.uboot) {
            Some((_, _, _, cite)) => {
                line(format!("// {cite}: kernel_addr_r, up to a multiple of 2 MiB, and fdt_addr_r."))
            }
            None => line(
                "// Guesses: `printenv kernel_addr_r fdt_addr_r` at U-Boot's prompt says what they are."
                    .to_owned(),
            ),
        }
        line(format!(
            "uboot: UBoot {{ xen: {}, tree: {}, from: \"mmc 0:1\", packaged: None }},",
            hex(xen),
            hex(tree)
        ));
        line("// What comes before the first partition is the firmware's: not known.".to_owned());
        line("medium: Medium { table: Table::Mbr, first_partition_mib: 16 },".to_owned());
        line("firmware: &[],".to_owned());
        line(format!("devices: &[{}],", self.devices().join(", ")));
        match model {
            None => line("model: Model::None(\"QEMU has none of this board\"),".to_owned()),
            Some(model) => {
                let at = survey.resolve(self.serial).and_then(|path| survey.device(&path));
                let base = at.and_then(|device| device.registers.first().map(|it| it.base));
                let serial = model.ports.iter().position(|port| Some(*port) == base).unwrap_or_default();
                line(format!(
                    "model: Model::Qemu(Qemu {{ machine: {:?}, cpus: {}, memory_mib: {:?}, args: &{:?}, one_cpu: &{:?}, \
                     serial: {serial}, timer_hz: {} }}),",
                    model.machine,
                    model.cpus,
                    model.memory_mib,
                    model.args,
                    model.one_cpu,
                    decimal(model.timer_hz)
                ));
            }
        }
        text
    }

    /// Where U-Boot loads Xen, the device tree and its script; without knowledge, guesses. Xen stands at a multiple of 2 MiB:
    /// U-Boot would move it there otherwise, over whatever that is in.
    pub(super) fn uboot(&self) -> [u64; 3] {
        let start = self.ram.first().map_or(0, |bank| bank.base);
        let guess = [0x20_0000, 0x400_0000, 0x500_0000].map(|at| start + at);
        let places = self.chip.and_then(|chip| chip.uboot).map(|(xen, tree, script, _)| [xen, tree, script]);
        let [xen, tree, script] = places.unwrap_or(guess);
        [xen.next_multiple_of(2 << 20), tree, script]
    }

    /// The path of the interrupt controller whose CPU interface has to be shown elsewhere, and its registers then.
    fn moved_gic(&self) -> Option<(&str, String)> {
        const ALIASED: u64 = 0x2_0000;
        self.chip.filter(|chip| chip.hidden_aliases)?;
        let (path, _) = self.survey.controller.as_ref()?;
        let registers = self.survey.device(path)?.registers;
        let [dist, cpu, hyp, guest] = registers[..] else { return None };
        if cpu.size != ALIASED || guest.size != ALIASED {
            return None;
        }
        let moved = |it: Region| Region { base: it.base + 0xf000, size: 0x2000 };
        let cells = |it: Region| {
            [it.base, it.size].map(|it| format!("{}, {}", it >> 32, hex(it & 0xffff_ffff))).join(", ")
        };
        Some((path, [dist, moved(cpu), hyp, moved(guest)].map(cells).join(", ")))
    }

    /// Blocks of pins, and serial ports that are not Xen's.
    fn devices(&self) -> Vec<String> {
        let xens = self.survey.resolve(self.serial);
        let ports = self
            .survey
            .ports
            .iter()
            .map(|port| &port.device)
            .filter(|it| it.enabled && Some(&it.path) != xens.as_ref());
        let pins = self.survey.pins();
        let named = |devices: Vec<&DeviceFound>, name: &str| {
            let usable =
                devices.into_iter().filter(|it| it.registers.len() == 1 && !it.interrupts.is_empty());
            let name = |n: usize| if n == 0 { name.to_owned() } else { format!("{name}{}", n + 1) };
            usable.enumerate().map(|(n, it)| self.device(&name(n), it)).collect::<Vec<_>>()
        };
        [named(pins.iter().collect(), "gpio"), named(ports.collect(), "uart")].concat()
    }

    fn device(&self, name: &str, found: &DeviceFound) -> String {
        let cells: Vec<_> = ["reg-shift", "reg-io-width"]
            .iter()
            .filter_map(|cell| Some(format!("({cell:?}, &{:?})", self.survey.cells(&found.path, cell)?)))
            .collect();
        // What is generic comes last.
        let compatible = found.compatible.iter().rev().find(|it| !it.contains("primecell"));
        format!(
            "Device {{ name: {name:?}, path: {:?}, compatible: {:?}, registers: {}, interrupts: &{:?}, cells: &[{}] }}",
            found.path,
            compatible.map_or("", String::as_str),
            region(found.registers[0].pages_touched()),
            found.interrupts,
            cells.join(", ")
        )
    }
}

/// Doc comments of lines that fit.
fn wrapped(words: &str) -> String {
    let mut text = String::from("//!");
    let mut column = 3;
    for word in words.split_whitespace() {
        if column + 1 + word.len() > WIDTH {
            text += "\n//!";
            column = 3;
        }
        let _ = write!(text, " {word}");
        column += 1 + word.len();
    }
    text + "\n"
}

fn region(it: Region) -> String {
    format!("Region {{ base: {}, size: {} }}", hex(it.base), hex(it.size))
}

/// As `0x1000_0000`.
fn hex(number: u64) -> String {
    if number < 10 {
        return number.to_string();
    }
    format!("0x{}", grouped(&format!("{number:x}"), 4))
}

fn decimal(number: u64) -> String {
    grouped(&number.to_string(), 3)
}

fn grouped(digits: &str, group: usize) -> String {
    let first = digits.len() % group;
    let (head, tail) = digits.split_at(first);
    let tail = tail.as_bytes().chunks(group).map(|it| String::from_utf8_lossy(it).into_owned());
    let head = (!head.is_empty()).then(|| head.to_owned());
    head.into_iter().chain(tail).collect::<Vec<_>>().join("_")
}
