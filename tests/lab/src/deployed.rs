//! dom0 as part of a deployment: the lab's, with the domains that `xl` is to start, and without the lab's agents.

use std::fs;

use anyhow::{Context, Result};
use fata_deploy::{Deployment, Start, xl};

use crate::cpio::Archive;
use crate::dom0::locate;
use crate::modules;
use crate::parts::XenParts;

/// Where the domains are in dom0.
const PLACE: &str = "deploy";
/// What starts them, in place of the lab's agent.
const AGENT: &str = include_str!("../dom0/deployed");
/// Besides what the lab's dom0 loads: the boot medium of QEMU's `virt`.
const MODULES: [&str; 1] = ["virtio_blk"];

/// Goes behind the lab's archive; Linux unpacks one after the other, and the last file of a name counts.
pub(crate) fn archive(deployment: &Deployment, images: &[Vec<u8>], parts: &XenParts) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    archive.directory(PLACE);
    let domains = deployment.domains.iter().zip(images);
    for (domain, image) in domains.filter(|(domain, _)| domain.start == Start::Xl) {
        let path = |ending: &str| format!("{PLACE}/{}.{ending}", domain.name.value);
        archive.file(&path("img"), 0o644, image);
        archive.file(&path("cfg"), 0o644, xl::config(domain, &format!("/{PLACE}/")).as_bytes());
    }
    let mut order = String::new();
    let known = locate(&parts.root, &format!("usr/lib/modules/{}", parts.kernel_release))?;
    for module in modules::closure(&known, &MODULES)? {
        archive.file(&format!("{PLACE}/{}.ko", module.name), 0o644, &module.object);
        order += &format!("{}\n", module.name);
    }
    archive.file(&format!("{PLACE}/order"), 0o644, order.as_bytes());
    let console = format!("usr/lib/xen-{}/bin/xenconsole", parts.version);
    let program = locate(&parts.root, &console)?;
    archive.file(
        &console,
        0o755,
        &fs::read(&program).with_context(|| format!("reading {}", program.display()))?,
    );
    archive.file("lab/agent", 0o755, AGENT.as_bytes());
    archive.file("lab/watch", 0o755, b"#!/bin/sh\n");
    Ok(archive.finish())
}
