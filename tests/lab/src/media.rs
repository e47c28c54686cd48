//! Boot media: what a deployment takes, from the lab's parts, and where it all goes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail};
use fata_deploy::{Deployment, Dom0Files, Domain, MediumFile, Plan, Sources, medium, script, xl};
use fata_facts::{Board, Firmware, Place, Source};

use crate::apt::{Apt, Host};
use crate::deployed;
use crate::image::{BuildRequest, replace};
use crate::lab::Lab;
use crate::machine::Config;
use crate::parts::{XenParts, XenVersion};
use crate::progress::Progress;
use crate::start;

/// Where Debian's firmware comes from; some of it is not free.
const FIRMWARE_SUITE: &str = "trixie main non-free-firmware";

/// Boot media to be made.
#[derive(Clone, Debug)]
pub struct MediaWish {
    /// What is to run.
    pub deployment: Deployment,
    /// Its name, and that of its folder.
    pub name: String,
    /// What the paths of images in it start from.
    pub base: PathBuf,
    /// On which board.
    pub board: &'static Board,
    /// Where the files go.
    pub out: PathBuf,
}

/// What came of it.
#[derive(Debug)]
pub struct Media {
    /// What lies where.
    pub plan: Plan,
    /// The whole boot medium.
    pub medium: PathBuf,
    /// The folder for a TFTP server.
    pub tftp: PathBuf,
    /// What `xl create` reads.
    pub xl: Vec<PathBuf>,
    /// Starts it in QEMU, where there is a model of the board.
    pub qemu: Option<PathBuf>,
    /// The picture of the board's memory.
    pub picture: PathBuf,
    /// U-Boot, where Debian packs it.
    pub uboot: Option<PathBuf>,
    /// The board's own device tree.
    pub tree: PathBuf,
    /// Firmware that is not on the medium: what it is, and where to get it.
    pub missing: Vec<String>,
}

impl MediaWish {
    /// A deployment for a board, below `target/image`.
    pub fn new(lab: &Lab, name: &str, deployment: Deployment, base: &Path, board: &'static Board) -> Self {
        Self {
            deployment,
            name: name.to_owned(),
            base: base.to_owned(),
            board,
            out: lab.workspace().join("target/image").join(board.name).join(name),
        }
    }
}

impl Lab {
    /// Makes boot media. Images are compiled as needed.
    pub fn media(&self, wish: &MediaWish, ui: &Progress) -> Result<Media> {
        let MediaWish { deployment, board, .. } = wish;
        let version = xen_version(deployment)?;
        let images = self.images_of(wish, ui)?;
        let parts = self.xen(version, ui)?;
        let tree = self.tree_of(&Config { board, ..Config::default() }, ui)?;
        let xen = read(&parts.hypervisor)?;
        let dom0 = self.dom0_files(deployment, &images, &parts, ui)?;
        let dom0 = dom0.as_ref().map(|(kernel, ramdisk)| Dom0Files {
            kernel,
            ramdisk,
            args: crate::host::LINUX_ARGS,
            memory_mib: DOM0_MIB,
        });
        let plan = Plan::make(deployment, board, &Sources { xen: &xen, tree: &tree, images: &images, dom0 })?;
        self.write(wish, plan, &images, &tree, ui)
    }

    fn images_of(&self, wish: &MediaWish, ui: &Progress) -> Result<Vec<Vec<u8>>> {
        let packages = self.images()?;
        let mut images = Vec::new();
        for Domain { image, .. } in &wish.deployment.domains {
            let (name, line) = (&image.value, image.line);
            let path = match name.contains(['/', '.']) {
                true => wish.base.join(name),
                false => {
                    let request = BuildRequest::new(name);
                    if !packages.contains(&request.name) {
                        let what = format!("there is no image {}", request.name);
                        let cure = format!("there are {}; a file's name has a / in it", packages.join(", "));
                        return Err(wish.deployment.refusal(line, what, cure).into());
                    }
                    self.build(&request, ui)?.image
                }
            };
            images.push(fs::read(&path).map_err(|error| {
                let what = format!("{} cannot be read: {error}", path.display());
                wish.deployment.refusal(line, what, "paths start from the deployment file's folder")
            })?);
        }
        Ok(images)
    }

    fn write(
        &self,
        wish: &MediaWish,
        plan: Plan,
        images: &[Vec<u8>],
        tree: &[u8],
        ui: &Progress,
    ) -> Result<Media> {
        let MediaWish { deployment, board, name, out, .. } = wish;
        let (mut files, mut raw, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for firmware in board.firmware {
            match (self.firmware(firmware, tree, ui), firmware.place) {
                (Ok(contents), Place::File) => files.push(file(firmware.file, contents)),
                (Ok(contents), Place::Sector(sector)) => raw.push((sector, contents)),
                (Err(error), _) => {
                    missing.push(format!("{} ({}): {error:#}", firmware.file, firmware.purpose));
                }
            }
        }
        let step = ui.step("medium");
        step.busy("writing");
        let tftp = out.join("tftp");
        let folder = out.join("xl");
        for dir in [&tftp, &folder] {
            // What is left from another deployment would be taken for a part of this one.
            if dir.is_dir() {
                fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
            }
            fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        }

        let text = script::text(name, board, &plan, script::From::Medium);
        files.push(file("boot.scr", script::image(name, &text)));
        for loaded in &plan.files {
            files.push(file(&loaded.name, loaded.contents.clone()));
            replace(&tftp.join(&loaded.name), &loaded.contents)?;
        }
        let text = script::text(name, board, &plan, script::From::Tftp);
        replace(&tftp.join("boot.scr"), &script::image(name, &text))?;
        let whole = out.join("sd.img");
        write_sparse(&whole, &medium(&board.medium, name, &files, &raw)?)?;

        let mut configs = Vec::new();
        for (domain, image) in deployment.domains.iter().zip(images) {
            let config = folder.join(format!("{}.cfg", domain.name.value));
            replace(&config, xl::config(domain, "").as_bytes())?;
            replace(&folder.join(format!("{}.img", domain.name.value)), image)?;
            configs.push(config);
        }
        let picture = out.join("memory.svg");
        replace(&picture, plan.map.svg().as_bytes())?;
        replace(&out.join("memory.json"), format!("{:#}\n", plan.map.json()).as_bytes())?;
        let own = out.join("tree.dtb");
        replace(&own, tree)?;
        let uboot = match board.uboot.packaged {
            Some((package, path)) => {
                let uboot = out.join("u-boot.bin");
                replace(&uboot, &read(&self.firmware_package(package, ui)?.join(path))?)?;
                Some(uboot)
            }
            None => None,
        };
        let qemu = match start::script(board, &plan, uboot.is_some()) {
            Some(text) => {
                let path = out.join("run-qemu.sh");
                replace(&path, text.as_bytes())?;
                executable(&path)?;
                Some(path)
            }
            None => None,
        };
        step.done("ready");
        Ok(Media { plan, medium: whole, tftp, xl: configs, qemu, picture, uboot, tree: own, missing })
    }

    /// dom0's kernel and initial RAM disk, if the deployment has one.
    fn dom0_files(
        &self,
        deployment: &Deployment,
        images: &[Vec<u8>],
        parts: &XenParts,
        ui: &Progress,
    ) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        if deployment.dom0.value == fata_deploy::Dom0::None {
            return Ok(None);
        }
        let mut ramdisk = read(&crate::host::initramfs(self, parts, ui)?)?;
        ramdisk.resize(ramdisk.len().next_multiple_of(4), 0);
        ramdisk.extend(deployed::archive(deployment, images, parts)?);
        Ok(Some((read(&parts.kernel)?, ramdisk)))
    }

    /// Something that runs before Xen, where Debian packs it.
    fn firmware(&self, firmware: &Firmware, tree: &[u8], ui: &Progress) -> Result<Vec<u8>> {
        match firmware.source {
            Source::Text(text) => Ok(text.as_bytes().to_vec()),
            Source::Tree => Ok(tree.to_vec()),
            Source::Maker(whom) => bail!("nobody packs it, get it from {whom}"),
            Source::Debian { package, path } => {
                let dir = self.firmware_package(package, ui);
                let contents = dir.and_then(|dir| read(&dir.join(path)));
                contents.with_context(|| format!("it is {path} of Debian's {package}"))
            }
        }
    }

    /// A package with firmware, unpacked.
    pub(crate) fn firmware_package(&self, package: &str, ui: &Progress) -> Result<PathBuf> {
        let name = format!("firmware/{package}");
        self.part(&name, &format!("{FIRMWARE_SUITE}: {package}"), ui, |into, log, step| {
            let host = Host::detect().map_err(Error::msg)?;
            let apt = Apt::new(&host, self.apt_root("firmware"), "arm64", &[FIRMWARE_SUITE], log)?;
            apt.update(step)?;
            let debs = apt.download(&[package.to_owned()], step)?;
            apt.unpack(&debs, into, step)?;
            Ok(debs.iter().map(|deb| deb.display().to_string()).collect())
        })
    }
}

/// dom0's share of memory on a board. Linux needs room beside it, in pieces of 128 MiB, to map what domains lend it.
const DOM0_MIB: u64 = 256;

fn xen_version(deployment: &Deployment) -> Result<XenVersion> {
    let Some(version) = &deployment.xen_version else { return Ok(XenVersion::ALL[0]) };
    let known = XenVersion::ALL.map(XenVersion::number).join(" and ");
    version.value.parse().map_err(|_| {
        let what = format!("there is no Xen {} here", version.value);
        deployment.refusal(version.line, what, format!("there are {known}")).into()
    })
}

fn file(path: &str, contents: Vec<u8>) -> MediumFile {
    MediumFile { path: path.to_owned(), contents }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// Writes a file that is mostly zeros, which then take no place on the disk.
fn write_sparse(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let failed = || format!("writing {}", path.display());
    let part = path.with_extension("part");
    let file = fs::File::create(&part).with_context(failed)?;
    file.set_len(bytes.len() as u64).with_context(failed)?;
    for (n, block) in bytes.chunks(1 << 16).enumerate() {
        if block.iter().any(|&byte| byte != 0) {
            file.write_all_at(block, (n as u64) << 16).with_context(failed)?;
        }
    }
    fs::rename(&part, path).with_context(failed)
}

fn executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_deploy::Refusals;

    #[test]
    fn an_image_that_is_missing_is_named_with_its_line() {
        let lab = Lab::open().unwrap();
        let refused = |image: &str| {
            let text = format!("[[domain]]\nname = \"one\"\nimage = {image:?}\n");
            let deployment = Deployment::parse("x.toml", &text).unwrap();
            let base = Path::new("/no/such");
            let wish = MediaWish::new(&lab, "x", deployment, base, &fata_qemu_virt::BOARD);
            let error = lab.images_of(&wish, &Progress::quiet()).unwrap_err();
            error.downcast_ref::<Refusals>().expect("the file is to blame").to_string()
        };
        let text = refused("mir-konsole");
        assert!(text.starts_with("x.toml:3: there is no image mir-konsole; there are "), "{text}");
        assert!(text.contains("mir-console"), "{text}");
        let text = refused("./one.img");
        assert!(text.starts_with("x.toml:3: /no/such/./one.img cannot be read: No such file"), "{text}");
    }

    #[test]
    fn a_xen_that_is_missing_is_named_with_its_line() {
        let text = "[xen]\nversion = \"4.3\"\n[[domain]]\nname = \"one\"\nimage = \"i\"\n";
        let error = xen_version(&Deployment::parse("x.toml", text).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "x.toml:2: there is no Xen 4.3 here; there are 4.20 and 4.17");
    }
}
