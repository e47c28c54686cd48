//! A booted dom0 on disk: made once for all that goes in, loaded in a fraction of a second.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::host::Plan;
use crate::lab::Lab;
use crate::machine::{Config, Folder};
use crate::progress::Progress;

/// Where files appear with RAM at fixed places (`mapped-ram`): the first QEMU that has it.
const FIRST_QEMU: [u32; 2] = [9, 0];

impl Plan {
    /// The snapshot's file. One made of anything else under the same name is replaced.
    pub(crate) fn snapshot(&self, lab: &Lab, config: &Config, ui: &Progress) -> Result<PathBuf> {
        if self.qemu_version()[..2] < FIRST_QEMU[..] {
            bail!("QEMU is older than {}.{}", FIRST_QEMU[0], FIRST_QEMU[1]);
        }
        let name = format!("snapshots/{}", family(config));
        let dir = lab.part(&name, &self.recipe, ui, |into, _, step| {
            step.busy("booting dom0 once, to start it quickly from then on");
            let file = into.join("machine");
            self.save(config, Folder::take(lab, &format!("{}-snapshot", config.name))?, &file)?;
            Ok(vec!["machine".to_owned()])
        })?;
        Ok(dir.join("machine"))
    }
}

/// A folder name for the settings; what the settings do not say (packages, scripts) is in the recipe.
fn family(config: &Config) -> String {
    let mut words = vec![format!("xen-{}-gic{}", config.xen, config.gic)];
    words.extend(config.memory_mib.map(|mib| format!("{mib}MiB")));
    words.extend(config.dom0_memory_mib.map(|mib| format!("dom0-{mib}MiB")));
    words.extend((config.cpus != 1).then(|| format!("{}cpus", config.cpus)));
    words.extend(config.icount.then(|| "icount".to_owned()));
    words.extend(config.xen_args.iter().chain(&config.qemu_args).cloned());
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_=.".contains(c) { c } else { '_' };
    words.join("-").chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_folders_of_their_own() {
        let plain = Config::default();
        let other = Config {
            icount: true,
            xen_args: vec!["xsm=dummy".to_owned(), "a/b".to_owned()],
            ..plain.clone()
        };
        assert_eq!(family(&plain), "xen-4.20-gic3");
        assert_eq!(family(&other), "xen-4.20-gic3-icount-xsm=dummy-a_b");
    }
}
