//! What `xl create` reads.

use crate::deployment::{Domain, Start};
use crate::plan::file_name;

/// A domain's configuration, its image being in `folder`.
#[must_use]
pub fn config(domain: &Domain, folder: &str) -> String {
    let mut text = format!(
        "name = {}\nkernel = {}\nmemory = {}\nvcpus = {}\n",
        quoted(&domain.name.value),
        quoted(&format!("{folder}{}", file_name(domain))),
        domain.memory_mib.value,
        domain.vcpus.value,
    );
    if !domain.args.value.is_empty() {
        text += &format!("extra = {}\n", quoted(&domain.args.value));
    }
    for (key, items) in [("disk", &domain.disks), ("vif", &domain.vifs)] {
        let items: Vec<_> = items.iter().map(|item| quoted(&item.value)).collect();
        if !items.is_empty() {
            text += &format!("{key} = [{}]\n", items.join(", "));
        }
    }
    let on_crash = domain.on_crash.value.word();
    text += &format!("on_poweroff = \"destroy\"\non_reboot = \"restart\"\non_crash = \"{on_crash}\"\n");
    if domain.start == Start::Xen {
        let what = "# The deployment has Xen start it; so xl can start one more";
        let without = match domain.devices.is_empty() {
            true => "",
            false => ", without its devices",
        };
        text = format!("{what}{without}.\n{text}");
    }
    text
}

/// A string as xl's parser reads it (tools/libs/util/libxlu_cfg_l.l).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
