//! What domains that are gone may have left behind in dom0 and in Xen.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use crate::host::Dom0;

/// Nodes of Xenstore that stay for good once the first domain was made.
const LASTING: [&str; 3] = ["/vm", "/libxl", "/local/domain/0/backend"];

/// All that a domain holds in dom0 and in Xen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint(BTreeSet<String>);

impl Footprint {
    /// What has come since `before`, a line each. Empty if nothing was left behind.
    #[must_use]
    pub fn since(&self, before: &Self) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }
}

impl Dom0 {
    /// Takes stock: domains (also those that are dead but held by somebody), loop devices, interfaces of
    /// backends, Xenstore, grants and event channels.
    pub fn footprint(&self) -> Result<Footprint> {
        let mut found = BTreeSet::new();
        let domains = self.sh("xl list | awk 'NR > 1 { print $1, $2 }'")?;
        found.extend(domains.lines().map(|line| format!("domain {line}")));
        let loops = self.sh("cd /sys/block; for d in loop*; do [ -d $d/loop ] && \
                             echo $d $(cat $d/loop/backing_file); done; true")?;
        found.extend(loops.lines().map(|line| format!("loop device {line}")));
        let vifs = self.sh("cd /sys/class/net; for i in vif*; do [ ! -e $i ] || echo $i; done")?;
        found.extend(vifs.lines().map(|line| format!("interface {line}")));
        let nodes = self.store_tree("/")?.into_keys();
        found.extend(nodes.filter(|path| !lasts(path)).map(|path| format!("Xenstore node {path}")));
        // Both answer on Xen's console, of which `xl dmesg` shows what has come since it was cleared.
        let log = self.sh("xl dmesg -c >/dev/null; xl debug-keys g; xl debug-keys e; xl dmesg")?;
        found.extend(grants_and_events(&log).context("Xen does not say what is granted")?);
        Ok(Footprint(found))
    }
}

fn lasts(path: &str) -> bool {
    // The directory of a kind of backend stays as well; a domain's is one further down.
    let kind = path.strip_prefix("/local/domain/0/backend/").is_some_and(|rest| !rest.contains('/'));
    kind || LASTING.contains(&path)
}

/// From what Xen says to the keys `g` and `e`: grants that are in use, and ports that are.
fn grants_and_events(log: &str) -> Option<BTreeSet<String>> {
    const GRANTS: &str = "grant-table for remote d";
    const EVENTS: &str = "Event channel information for domain ";
    let mut found = BTreeSet::new();
    let mut domain = None;
    for line in log.lines().map(|line| line.trim_start_matches("(XEN)").trim()) {
        if let Some(rest) = line.strip_prefix(GRANTS) {
            domain = rest.split(' ').next().map(|id| format!("grant of domain {id}"));
        } else if let Some(rest) = line.strip_prefix(EVENTS) {
            domain = Some(format!("port of domain {}", rest.trim_end_matches(':')));
        } else if let Some(domain) = &domain {
            let is_grant = domain.starts_with("grant") && line.starts_with("[0x");
            let is_port = domain.starts_with("port") && line.contains("]: s=");
            // Pending and masked bits come and go; and a virtual interrupt may get another port.
            let virq = line.split(' ').find(|word| is_port && word.starts_with("v="));
            let name = virq.or_else(|| line.split([']', '[']).find(|part| !part.trim().is_empty()));
            if let (true, Some(name)) = (is_grant || is_port, name) {
                found.insert(format!("{domain}: {}", name.trim()));
            }
        }
    }
    log.contains(GRANTS).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
(XEN) gnttab_usage_print_all [ key 'g' pressed
(XEN)       -------- active --------       -------- shared --------
(XEN) [ref] localdom mfn      pin          localdom gmfn     flags
(XEN) grant-table for remote d0 (v1)
(XEN)   1 frames (64 max), 1 maptrack frames (1024 max)
(XEN) no active grant table entries
(XEN) [ref] localdom mfn      pin          localdom gmfn     flags
(XEN) grant-table for remote d1 (v1)
(XEN) [0x001]      0 0x4034c 0x00000001          0 0x039001 0x19
(XEN) gnttab_usage_print_all ] done
(XEN) 'e' pressed -> dumping event-channel info
(XEN) Event channel information for domain 0:
(XEN)     port [p/m/s]
(XEN)        1 [0/0/  -   ]: s=3 n=0 x=0 d=0 p=4
(XEN)        2 [0/0/  -   ]: s=5 n=0 x=0 v=3
(XEN) Event channel information for domain 1:
(XEN)        2 [1/0/0]: s=3 n=0 x=0 d=0 p=6
";

    #[test]
    fn grants_and_ports_are_found_in_xens_words() {
        let found: Vec<_> = grants_and_events(LOG).unwrap().into_iter().collect();
        let ports = ["port of domain 0: 1", "port of domain 0: v=3", "port of domain 1: 2"];
        assert_eq!(found, [&["grant of domain 1: 0x001"][..], &ports].concat());
        assert_eq!(grants_and_events("(XEN) nothing"), None);
    }

    #[test]
    fn only_what_is_new_was_left_behind() {
        let footprint = |lines: &[&str]| Footprint(lines.iter().map(|&line| line.to_owned()).collect());
        let (before, after) = (footprint(&["a", "b"]), footprint(&["b", "c"]));
        assert_eq!(after.since(&before), ["c"]);
        assert!(before.since(&before).is_empty());
    }

    #[test]
    fn some_directories_stay() {
        assert!(lasts("/libxl") && lasts("/local/domain/0/backend/vbd"));
        assert!(!lasts("/libxl/3") && !lasts("/local/domain/0/backend/vbd/3") && !lasts("/local/domain/3"));
    }
}
