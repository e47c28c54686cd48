//! What a deployment file may say, whatever the board.

use std::collections::BTreeMap;

use toml::Spanned;

use crate::deployment::{
    At, Deployment, Dom0, Domain, Lines, OnCrash, RawDomain, RawFile, RawVchan, Start, Vchan,
};
use crate::refusal::{Complaints, Refusals};

/// Xen takes 32 modules, and keeps no more command lines (`MAX_MODULES`, xen/include/xen/bootfdt.h).
const MOST_DOMAINS: usize = 30;
/// Xen keeps this much of a command line, with the zero at its end (`BOOTMOD_MAX_CMDLINE`).
const LONGEST_ARGS: usize = 1023;
/// Of a domain's name; `xl` and logs take more.
const LONGEST_NAME: usize = 31;
/// More than any board has: what is larger is a mistake in units.
const MOST_MEMORY_MIB: i64 = 1 << 20;
/// `MAX_VIRT_CPUS` of Xen on ARM.
const MOST_VCPUS: i64 = 128;
/// The largest region, in KiB.
const MOST_VCHAN_KIB: i64 = 1 << 20;
const PAGE: u64 = 4096;

/// Makes a deployment of a file that has been read, or says all that is wrong with it.
pub(crate) fn check(file: &str, raw: RawFile, lines: &Lines) -> Result<Deployment, Refusals> {
    let mut checker = Checker { lines, wrong: Complaints::about(file) };
    let dom0 = checker.dom0(raw.dom0);
    let (version, args) = raw.xen.map_or((None, None), |xen| (xen.version, xen.args));
    let xen_args = checker.args(args, 1);
    let domains: Vec<Domain> =
        raw.domain.into_iter().map(|domain| checker.domain(domain, dom0.value)).collect();
    let vchans: Vec<Vchan> = raw.vchan.into_iter().map(|vchan| checker.vchan(vchan, &domains)).collect();
    checker.all_domains(&domains);
    checker.vchan_names(&domains, &vchans);
    checker.wrong.none()?;
    Ok(Deployment {
        file: file.to_owned(),
        dom0,
        xen_version: version.map(|version| lines.place(version)),
        xen_args,
        domains,
        vchans,
    })
}

struct Checker<'a> {
    lines: &'a Lines,
    wrong: Complaints,
}

impl Checker<'_> {
    fn dom0(&mut self, word: Option<Spanned<String>>) -> At<Dom0> {
        self.word("dom0", word, 1, &[("none", Dom0::None), ("debian", Dom0::Debian)])
    }

    fn domain(&mut self, raw: Spanned<RawDomain>, dom0: Dom0) -> Domain {
        let line = self.lines.at(&raw.span());
        let mut raw = raw.into_inner();
        let memory = raw.memory(self.lines, line);
        let disks: Vec<_> = raw.disks.into_iter().map(|disk| self.lines.place(disk)).collect();
        let vifs: Vec<_> = raw.vifs.into_iter().map(|vif| self.lines.place(vif)).collect();
        let has_dom0 = dom0 != Dom0::None;
        let usual = if disks.is_empty() && vifs.is_empty() { Start::Xen } else { Start::Xl };
        let start = match raw.start {
            None => At { line, value: usual },
            start => self.word("start", start, line, &[("xen", Start::Xen), ("xl", Start::Xl)]),
        };
        let lent = disks.first().or_else(|| vifs.first());
        if let Some(lent) = lent.filter(|_| !has_dom0 || start.value == Start::Xen) {
            let cure = if has_dom0 { "start = \"xl\" has xl start it" } else { "dom0 = \"debian\" adds one" };
            self.wrong.add(lent.line, "disks and network cards come from a dom0, through xl", cure);
        } else if start.value == Start::Xl && !has_dom0 {
            self.wrong.add(start.line, "xl runs in a dom0, and there is none", "dom0 = \"debian\" adds one");
        }
        let name = self.lines.place(raw.name);
        self.name("domain", &name);
        let vcpus = match raw.vcpus {
            None => 1,
            Some(vcpus) => self.number("vcpus", vcpus, 1..=MOST_VCPUS, "1 is usual"),
        };
        let consoles = [("vpl011", true), ("none", false)];
        let image = self.lines.place(raw.image);
        if image.value.is_empty() {
            self.wrong.add(image.line, "the image has no name", "name a package below images/, or a file");
        }
        let domain = Domain {
            line,
            name,
            image,
            memory_mib: self.memory(memory),
            vcpus: At { line, value: vcpus as u32 },
            args: self.args(raw.args, line),
            vpl011: match raw.console {
                None => start.value == Start::Xen,
                console => self.word("console", console, line, &consoles).value,
            },
            devices: raw.devices.into_iter().map(|device| self.lines.place(device)).collect(),
            on_crash: self.on_crash(raw.on_crash, line, start.value),
            disks,
            vifs,
            start: start.value,
            load_at: raw.load_at.map(|at| self.load_at(at)),
        };
        if domain.start == Start::Xl {
            self.only_by_xen(&domain);
        }
        domain
    }

    fn only_by_xen(&mut self, domain: &Domain) {
        if let Some(device) = domain.devices.first() {
            self.wrong.add(
                device.line,
                "devices are passed to domains that Xen starts",
                "leave out start, disks and vifs, or the device",
            );
        }
        if let Some(at) = domain.load_at {
            self.wrong.add(at.line, "xl finds room for the image itself", "leave out load_at");
        }
    }

    fn on_crash(&mut self, word: Option<Spanned<String>>, line: usize, start: Start) -> At<OnCrash> {
        let all = [OnCrash::Preserve, OnCrash::Destroy, OnCrash::Restart].map(|it| (it.word(), it));
        let said = word.is_some();
        let on_crash = self.word("on_crash", word, line, &all);
        if said && start == Start::Xen && on_crash.value != OnCrash::Preserve {
            self.wrong.add(
                on_crash.line,
                format!("Xen by itself cannot {} a domain that has crashed", on_crash.value.word()),
                "say \"preserve\", or have xl start it (start = \"xl\")",
            );
        }
        on_crash
    }

    fn memory(&mut self, memory: At<i64>) -> At<u64> {
        if !(1..=MOST_MEMORY_MIB).contains(&memory.value) {
            self.wrong.add(
                memory.line,
                format!("memory_mib = {} is no amount of memory", memory.value),
                "16 is enough for mir-console",
            );
        }
        At { line: memory.line, value: memory.value.max(0) as u64 }
    }

    fn load_at(&mut self, at: Spanned<i64>) -> At<u64> {
        let At { line, value } = self.lines.place(at);
        let value = value as u64;
        if !value.is_multiple_of(PAGE) {
            self.wrong.add(
                line,
                format!("load_at = {value:#x} is not on a page's boundary, where Xen needs modules to be"),
                format!("{:#x} is", value / PAGE * PAGE),
            );
        }
        At { line, value }
    }

    fn args(&mut self, args: Option<Spanned<String>>, line: usize) -> At<String> {
        let args = args.map_or(At { line, value: String::new() }, |args| self.lines.place(args));
        if args.value.len() > LONGEST_ARGS {
            let what = format!("args are {} bytes long, and Xen keeps {LONGEST_ARGS}", args.value.len());
            self.wrong.add(args.line, what, "make them shorter");
        }
        if args.value.chars().any(char::is_control) {
            self.wrong.add(args.line, "args have a control character in them", "use spaces");
        }
        args
    }

    fn vchan(&mut self, raw: Spanned<RawVchan>, domains: &[Domain]) -> Vchan {
        let line = self.lines.at(&raw.span());
        let mut raw = raw.into_inner();
        let size = raw.size(self.lines, line);
        let name = raw.name.map(|name| self.lines.place(name));
        if let Some(name) = &name {
            self.name("vchan", name);
        }
        let [server, client] = [raw.server, raw.client].map(|end| self.lines.place(end));
        if server.value == client.value {
            let what = format!("this vchan goes from {} to itself", server.value);
            self.wrong.add(client.line, what, "name two domains");
        }
        for end in [&server, &client] {
            match domains.iter().find(|domain| domain.name.value == end.value) {
                None => self.wrong.add(
                    end.line,
                    format!("there is no domain {}", end.value),
                    format!("there are {}", names(domains)),
                ),
                Some(domain) if domain.start == Start::Xl => self.wrong.add(
                    end.line,
                    format!(
                        "{} is started by xl, and only Xen connects domains before they start",
                        end.value
                    ),
                    "leave out this vchan: domains of xl make their own",
                ),
                Some(_) => {}
            }
        }
        let pages = (4..=MOST_VCHAN_KIB).contains(&size.value) && size.value % 4 == 0;
        if !pages {
            self.wrong.add(
                size.line,
                format!("size_kib = {} is not a number of whole pages up to 1 GiB", size.value),
                "give a multiple of 4",
            );
        }
        let bytes = At { line: size.line, value: (size.value.max(0) as u64) << 10 };
        Vchan { line, name, server, client, bytes }
    }

    fn all_domains(&mut self, domains: &[Domain]) {
        match domains.len() {
            0 => self.wrong.add(1, "there is no domain", "add [[domain]] with a name and an image"),
            n if n > MOST_DOMAINS => self.wrong.add(
                domains[MOST_DOMAINS].line,
                format!("there are {n} domains, and Xen has room for {MOST_DOMAINS}"),
                "leave some out",
            ),
            _ => {}
        }
        self.unique("domain", domains.iter().map(|domain| &domain.name));
        let mut given = BTreeMap::new();
        for domain in domains {
            for device in &domain.devices {
                if let Some(other) = given.insert(&device.value, domain) {
                    self.wrong.add(
                        device.line,
                        format!("the device {} is given to {} already", device.value, other.name.value),
                        "give it to one domain, once",
                    );
                }
            }
        }
    }

    /// A domain finds its vchans by what it calls them.
    fn vchan_names(&mut self, domains: &[Domain], vchans: &[Vchan]) {
        for domain in domains {
            let mut seen = BTreeMap::new();
            for vchan in vchans {
                let Some(name) = vchan.called_by(&domain.name.value) else { continue };
                let line = vchan.name.as_ref().map_or(vchan.line, |name| name.line);
                if let Some(first) = seen.insert(name, line) {
                    let what = format!(
                        "{} has two vchans of the name {name}, the other on line {first}",
                        domain.name.value
                    );
                    self.wrong.add(line, what, "give this vchan a name of its own");
                }
            }
        }
    }

    fn unique<'b>(&mut self, what: &str, names: impl Iterator<Item = &'b At<String>>) {
        let mut seen = BTreeMap::new();
        for name in names {
            if let Some(first) = seen.insert(&name.value, name.line) {
                self.wrong.add(
                    name.line,
                    format!("there are two of the name {}, the other on line {first}", name.value),
                    format!("give this {what} another"),
                );
            }
        }
    }

    fn name(&mut self, what: &str, name: &At<String>) {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let text = &name.value;
        let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
        if !starts || !text.chars().all(good) || text.len() > LONGEST_NAME {
            self.wrong.add(
                name.line,
                format!("{text:?} is no name for a {what}"),
                format!("begin with a letter, then up to {} letters, digits, - and _", LONGEST_NAME - 1),
            );
        }
    }

    fn number(
        &mut self,
        what: &str,
        number: Spanned<i64>,
        range: core::ops::RangeInclusive<i64>,
        cure: &str,
    ) -> i64 {
        let At { line, value } = self.lines.place(number);
        if !range.contains(&value) {
            let what = format!("{what} = {value} is not in {} to {}", range.start(), range.end());
            self.wrong.add(line, what, cure);
        }
        value.clamp(*range.start(), *range.end())
    }

    /// One of some words; the first if none is given.
    fn word<T: Copy>(
        &mut self,
        what: &str,
        word: Option<Spanned<String>>,
        line: usize,
        words: &[(&str, T)],
    ) -> At<T> {
        let Some(word) = word else { return At { line, value: words[0].1 } };
        let At { line, value } = self.lines.place(word);
        let found = words.iter().find(|(known, _)| *known == value);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            self.wrong.add(
                line,
                format!("{what} = {value:?} means nothing"),
                format!("say {}", known.join(" or ")),
            );
        }
        At { line, value: found.map_or(words[0].1, |(_, value)| *value) }
    }
}

fn names(domains: &[Domain]) -> String {
    domains.iter().map(|domain| domain.name.value.as_str()).collect::<Vec<_>>().join(", ")
}
