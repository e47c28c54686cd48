//! Kernel modules: which ones a list needs, in the order to load them, unpacked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One module, ready for `insmod`.
pub(crate) struct KernelModule {
    /// Its name with underscores, as `modinfo` gives it.
    pub name: String,
    /// The uncompressed object.
    pub object: Vec<u8>,
}

/// The modules named in `wanted` and all they depend on, dependencies first.
///
/// A name without a file is taken to be built into the kernel.
pub(crate) fn closure(modules_dir: &Path, wanted: &[&str]) -> Result<Vec<KernelModule>> {
    let mut search = Search { files: BTreeMap::new(), seen: BTreeSet::new(), order: Vec::new() };
    index(modules_dir, &mut search.files)?;
    for name in wanted {
        search.visit(name)?;
    }
    Ok(search.order)
}

struct Search {
    files: BTreeMap<String, PathBuf>,
    seen: BTreeSet<String>,
    order: Vec<KernelModule>,
}

impl Search {
    fn visit(&mut self, name: &str) -> Result<()> {
        let name = name.replace('-', "_");
        if !self.seen.insert(name.clone()) {
            return Ok(());
        }
        let Some(path) = self.files.get(&name) else { return Ok(()) };
        let object = unpack(path)?;
        for dependency in dependencies(&object) {
            self.visit(&dependency)?;
        }
        self.order.push(KernelModule { name, object });
        Ok(())
    }
}

fn index(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(dir).with_context(|| format!("reading kernel modules in {}", dir.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            index(&entry.path(), files)?;
        } else if let Some(stem) = name.strip_suffix(".xz").unwrap_or(&name).strip_suffix(".ko") {
            files.insert(stem.replace('-', "_"), entry.path());
        }
    }
    Ok(())
}

fn unpack(path: &Path) -> Result<Vec<u8>> {
    let packed = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    if path.extension().is_none_or(|e| e != "xz") {
        return Ok(packed);
    }
    let mut object = Vec::new();
    lzma_rust2::XzReader::new(packed.as_slice(), false)
        .read_to_end(&mut object)
        .with_context(|| format!("unpacking {}", path.display()))?;
    Ok(object)
}

/// The `depends=` line of the module's `.modinfo` section.
fn dependencies(object: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = object.windows(KEY.len()).position(|w| w == KEY) else { return Vec::new() };
    let value = object[at + KEY.len()..].split(|&b| b == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value).split(',').filter(|d| !d.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_dependencies_of_a_module() {
        assert_eq!(dependencies(b"ELF\0license=GPL\0depends=llc,stp\0name=bridge\0"), ["llc", "stp"]);
        assert!(dependencies(b"license=GPL\0depends=\0name=loop\0").is_empty());
        assert!(dependencies(b"no such section").is_empty());
    }

    #[test]
    fn loads_dependencies_first_and_each_once() {
        let dir = std::env::temp_dir().join(format!("fata-modules-{}", std::process::id()));
        fs::create_dir_all(dir.join("net")).unwrap();
        fs::write(dir.join("net/stp.ko"), b"\0depends=llc\0").unwrap();
        fs::write(dir.join("net/llc.ko"), b"\0depends=\0").unwrap();
        fs::write(dir.join("xen-netback.ko"), b"\0depends=stp,llc,built_in\0").unwrap();
        let order = closure(&dir, &["xen_netback", "llc"]);
        fs::remove_dir_all(&dir).unwrap();
        let names: Vec<_> = order.unwrap().into_iter().map(|m| m.name).collect();
        assert_eq!(names, ["llc", "stp", "xen_netback"]);
    }
}
