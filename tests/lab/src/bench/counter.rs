//! The counting plugin: built with the host's C compiler, put into a machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use object::{Object, ObjectSymbol};

use crate::boards::is_virt;
use crate::lab::{Lab, short_hash};
use crate::machine::{Config, Folder};
use crate::progress::Progress;
use crate::qemu::option_value;

use super::events::Counts;

const SOURCE: &str = include_str!("../../plugin/count.c");
const FILE: &str = "counts";
pub(super) const PROFILE: &str = "profile";
/// Without libraries: all it calls is in the QEMU process, whatever C library that has.
const FLAGS: [&str; 5] = ["-shared", "-fPIC", "-O2", "-nostdlib", "-o"];
/// Where Xen puts a guest's first bank of memory, and in it the image (xen/include/public/arch-arm.h).
pub(super) const GUEST_RAM0_BASE: u64 = 0x4000_0000;
/// The PV console's page under xl (`GUEST_MAGIC_BASE`), and in it what the guest writes (xen/include/public/io/console.h).
const RING_OUT: (u64, u64) = (0x3900_0400, 0x3900_0c00);

/// Counts what each domain of a machine executes.
pub struct Counter {
    plugin: PathBuf,
}

impl Counter {
    /// Builds the plugin if this has not been done.
    pub fn build(lab: &Lab, ui: &Progress) -> Result<Self> {
        let compiler = compiler();
        let recipe = format!("{compiler} {}", short_hash(SOURCE));
        let dir = lab.part("count", &recipe, ui, |into, log, _| {
            let source = into.join("count.c");
            fs::write(&source, SOURCE)?;
            let mut cc = Command::new(&compiler);
            cc.args(FLAGS).arg(into.join("count.so")).arg(source);
            log.run(&mut cc, |_| {})
                .context("building QEMU's counting plugin needs a C compiler (package gcc)")?;
            Ok(vec!["count.so".to_owned()])
        })?;
        Ok(Self { plugin: dir.join("count.so") })
    }

    /// Has the machine count. `main` is the address of the guest's main function from the start of its image.
    pub fn attach(&self, config: &mut Config, main: Option<u64>) {
        let mut plugin = self.plugin(main);
        // The board's own number of CPUs, of which Xen uses one.
        if !is_virt(config.board)
            && let Some(model) = config.board.qemu()
        {
            plugin += &format!(",cpus={}", model.cpus);
        }
        config.watch_args.extend(["-plugin".to_owned(), plugin]);
    }

    /// Has it count, and write down how often each instruction of the latest guest is executed.
    pub fn attach_profiler(&self, config: &mut Config) {
        let plugin = format!("{},profile={PROFILE}", self.plugin(None));
        config.watch_args.extend(["-plugin".to_owned(), plugin]);
    }

    fn plugin(&self, main: Option<u64>) -> String {
        let (start, end) = RING_OUT;
        let mut plugin = format!(
            "{},out={FILE},store=ring:{start:#x}:{end:#x},lines={start:#x}:{end:#x}",
            option_value(&self.plugin)
        );
        if let Some(main) = main {
            plugin += &format!(",run=main:{:#x}", GUEST_RAM0_BASE + main);
        }
        plugin
    }
}

impl Counts {
    /// What a machine with a counter has counted so far.
    pub fn of(folder: &Folder) -> Result<Self> {
        Self::read(&folder.file(FILE))
    }
}

fn compiler() -> String {
    std::env::var("CC").unwrap_or_else(|_| "cc".to_owned())
}

/// The address of the image's main function, from the start of the image.
pub fn address_of_main(elf: &Path) -> Result<u64> {
    let name = elf.display();
    let bytes = fs::read(elf).with_context(|| format!("reading {name}"))?;
    let file = object::File::parse(bytes.as_slice()).with_context(|| format!("reading {name}"))?;
    let main = file.symbols().find(|s| s.name() == Ok("__fata_main"));
    Ok(main.with_context(|| format!("{name} has no symbol __fata_main"))?.address())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_compiles_without_a_warning() {
        let into = std::env::temp_dir().join(format!("fata-count-{}.so", std::process::id()));
        let mut cc = Command::new(compiler());
        cc.args(["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]).args(FLAGS).arg(&into);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin/count.c");
        let output = cc.arg(source).output().expect("a C compiler");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::remove_file(into).expect("the plugin");
    }
}
