//! What the image must do on real Xen, one function a case.
//!
//! A case starts the machine it needs, talks to the guest and says in words what is wrong. Each has a time limit
//! and a folder of its own, `target/lab/runs/tests/NAME`, with QEMU's command line and all that was said.

mod bare;
mod block;
mod boards;
mod clock;
mod console;
mod crash;
mod devices;
mod dialogue;
mod disks;
mod dns;
mod ends;
mod gdb;
mod greets;
mod hardship;
mod idle;
mod lent;
mod media;
mod memory;
mod net;
mod orders;
mod passed;
mod peers;
mod random;
mod sizes;
mod store;
mod three;
mod tls;
mod traces;
mod trees;
mod tutorial;
mod vchan;

use std::cell::Cell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::dom0less::{Dom0less, DomU};
use crate::guest::{End, Guest};
use crate::host::{Dom0, XlDomU};
use crate::image::Built;
use crate::lab::Lab;
use crate::machine::{Config, Gic};
use crate::parts::XenVersion;
use crate::progress::Progress;

/// Every case, in the order of the documentation.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for place in [Place::Dom0less, Place::Xl] {
        for gic in Gic::ALL {
            for xen in XenVersion::ALL {
                let spot = Spot { place, gic, xen };
                greets::add(spot, &mut cases);
                dialogue::add(spot, &mut cases);
                ends::add(spot, &mut cases);
            }
        }
    }
    crash::add(&mut cases);
    memory::add(&mut cases);
    console::add(&mut cases);
    hardship::add(&mut cases);
    trees::add(&mut cases);
    clock::add(&mut cases);
    random::add(&mut cases);
    disks::add(&mut cases);
    devices::add(&mut cases);
    store::add(&mut cases);
    orders::add(&mut cases);
    block::add(&mut cases);
    lent::add(&mut cases);
    vchan::add(&mut cases);
    three::add(&mut cases);
    net::add(&mut cases);
    dns::add(&mut cases);
    tls::add(&mut cases);
    peers::add(&mut cases);
    tutorial::add(&mut cases);
    idle::add(&mut cases);
    boards::add(&mut cases);
    passed::add(&mut cases);
    bare::add(&mut cases);
    sizes::add(&mut cases);
    media::add(&mut cases);
    traces::add(&mut cases);
    gdb::add(&mut cases);
    cases
}

/// One test.
pub struct Case {
    /// `dom0less/gicv3/xen-4.20/greets`.
    pub name: String,
    /// How long it may take once its machine has started.
    pub limit: Duration,
    /// The package below `images/` that it runs, with features of it.
    pub image: &'static str,
    /// Other images that it runs beside that.
    pub(crate) beside: &'static [&'static str],
    /// Whether it runs the lab's program for Linux (tests/peer) as well.
    pub(crate) peer: bool,
    /// The machine that is worth preparing before it starts.
    pub(crate) dom0: Option<(XenVersion, Gic)>,
    pub(crate) run: Run,
}

/// What a case does.
type Run = Box<dyn Fn(&Context<'_>) -> Result<()> + Send + Sync>;

impl Case {
    /// A case on Xen, named after what happens and where.
    fn new(spot: Spot, name: &str, run: impl Fn(&Context<'_>) -> Result<()> + Send + Sync + 'static) -> Self {
        let dom0 = (spot.place == Place::Xl).then_some((spot.xen, spot.gic));
        Self { dom0, ..Self::named(format!("{spot}/{name}"), Box::new(run)) }
    }

    /// A case on QEMU's board without Xen.
    fn bare(name: &str, run: impl Fn(&Context<'_>) -> Result<()> + Send + Sync + 'static) -> Self {
        Self::named(format!("bare/{name}"), Box::new(run))
    }

    fn named(name: String, run: Run) -> Self {
        Self {
            name,
            limit: Duration::from_secs(60),
            image: MIR_CONSOLE,
            beside: &[],
            peer: false,
            dom0: None,
            run,
        }
    }

    fn limit(self, seconds: u64) -> Self {
        Self { limit: Duration::from_secs(seconds), ..self }
    }
}

/// Who starts the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Xen itself.
    Dom0less,
    /// `xl create` in a Linux dom0.
    Xl,
}

/// One combination of the matrix.
#[derive(Clone, Copy, Debug)]
struct Spot {
    place: Place,
    gic: Gic,
    xen: XenVersion,
}

impl Spot {
    /// The quickest.
    const DOM0LESS: Self = Self { place: Place::Dom0less, gic: Gic::V3, xen: XenVersion::V4_20 };
    /// The same with a dom0.
    const XL: Self = Self { place: Place::Xl, ..Self::DOM0LESS };
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.place {
            Place::Dom0less => "dom0less",
            Place::Xl => "xl",
        };
        write!(f, "{place}/gicv{}/xen-{}", self.gic, self.xen)
    }
}

/// What a case gets.
pub(crate) struct Context<'a> {
    pub(crate) lab: &'a Lab,
    /// The case's image.
    pub(crate) built: &'a Built,
    /// Those that it runs beside that, in its order.
    pub(crate) beside: Vec<&'a Built>,
    /// The lab's program for Linux, for cases that want it.
    pub(crate) peer: Option<&'a Path>,
    pub(crate) name: &'a str,
    pub(crate) limit: Duration,
    /// Set when the machine has started: what that takes depends on what is in the cache.
    pub(crate) deadline: &'a Cell<Option<Instant>>,
}

/// The image of most cases.
const MIR_CONSOLE: &str = "mir-console";
/// The same with all that it can do.
const MIR_CONSOLE_FILES: &str = "mir-console+default";
/// The guest's name for `xl`.
const GUEST: &str = "guest";
/// What the editor writes before each line, without its colours.
const PROMPT: &str = "fata> ";
/// The last thing the console says before it asks for commands.
const READY: &str = "Type help to see what this console can do.";

/// A guest to start.
struct Wish {
    memory_mib: u32,
    args: String,
    /// Counts instructions instead of time: idle time passes at once. Not for xl, whose snapshots are without.
    icount: bool,
    image: Option<PathBuf>,
}

impl Default for Wish {
    fn default() -> Self {
        Self { memory_mib: 16, args: String::new(), icount: false, image: None }
    }
}

impl Wish {
    fn args(args: &str) -> Self {
        Self { args: args.to_owned(), ..Self::default() }
    }
}

impl Context<'_> {
    /// The time left to wait.
    fn left(&self) -> Duration {
        self.deadline.get().map_or(self.limit, |d| d.saturating_duration_since(Instant::now()))
    }

    /// The clock starts.
    fn begin(&self) {
        self.deadline.set(Some(Instant::now() + self.limit));
    }

    fn folder_name(&self) -> String {
        format!("tests/{}", self.name)
    }

    fn config(&self, spot: Spot) -> Config {
        Config {
            name: self.folder_name(),
            xen: spot.xen,
            gic: spot.gic,
            timeout: self.limit,
            ..Config::default()
        }
    }

    fn dom0less(&self, config: &Config, domus: &[DomU]) -> Result<Dom0less> {
        let machine = Dom0less::boot(self.lab, config, domus, &Progress::quiet())?;
        self.begin();
        Ok(machine)
    }

    fn dom0(&self, spot: Spot) -> Result<Dom0> {
        let dom0 = Dom0::start(self.lab, &self.config(spot), &Progress::quiet())?;
        self.begin();
        Ok(dom0)
    }

    /// A dom0less guest with a vpl011.
    fn domu(&self, wish: &Wish) -> DomU {
        let image = wish.image.as_ref().unwrap_or(&self.built.image);
        DomU { bootargs: wish.args.clone(), ..DomU::new(image.clone(), wish.memory_mib) }
    }

    /// A guest for `xl create`.
    fn xl_domu(&self, wish: &Wish) -> XlDomU {
        let image = wish.image.as_ref().unwrap_or(&self.built.image);
        XlDomU { args: wish.args.clone(), ..XlDomU::new(GUEST, image.clone(), wish.memory_mib) }
    }

    /// Starts a guest in either way.
    fn start(&self, spot: Spot, wish: &Wish) -> Result<Running> {
        match spot.place {
            Place::Dom0less => {
                let config = Config { icount: wish.icount, ..self.config(spot) };
                let machine = self.dom0less(&config, &[self.domu(wish)])?;
                Ok(Running { guest: machine.guests[0].clone(), dom0: None, _machine: Some(machine) })
            }
            Place::Xl => {
                let dom0 = self.dom0(spot)?;
                let guest = dom0.create(&self.xl_domu(wish))?;
                Ok(Running { guest, dom0: Some(dom0), _machine: None })
            }
        }
    }

    /// Waits until the guest says this.
    fn expect(&self, guest: &Guest, text: &str) -> Result<String> {
        guest.console.expect(text, self.left())
    }

    /// Types a command and returns what came before the next prompt, without colours.
    fn ask(&self, guest: &Guest, command: &str) -> Result<String> {
        guest.console.send(format!("{command}\r"))?;
        // The editor shows what is typed; the answer begins on the next line.
        self.expect(guest, "\n")?;
        Ok(plain(&self.expect(guest, PROMPT)?))
    }

    /// Waits for the first prompt.
    fn prompt(&self, guest: &Guest) -> Result<String> {
        let before = self.expect(guest, READY)?;
        self.expect(guest, PROMPT)?;
        Ok(before)
    }

    /// Waits for the guest's end, which must be this one.
    fn end(&self, guest: &Guest, expected: End) -> Result<()> {
        match guest.wait(self.left()) {
            Some(end) if end == expected => Ok(()),
            Some(end) => bail!("the domain {end}, but it should have {expected}"),
            None => bail!("the domain did not end within {:.0?}", self.limit),
        }
    }
}

/// A guest with the machine below it.
struct Running {
    guest: Guest,
    /// Where `xl` started it.
    dom0: Option<Dom0>,
    /// Where Xen did.
    _machine: Option<Dom0less>,
}

impl Running {
    /// Everything an ended guest wrote.
    fn everything(&self, left: Duration) -> Result<String> {
        match &self.dom0 {
            Some(dom0) => dom0.drain(GUEST, &self.guest)?,
            // The machine ends with its last domain, and the stream with it.
            None => ensure!(
                self.guest.console.output.wait_for_end(left),
                "the machine did not end with its domain"
            ),
        }
        Ok(self.guest.console.output.text())
    }
}

/// Text without colour codes and carriage returns.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\x1b[") {
        out += &rest[..at];
        let code = &rest[at + 2..];
        rest = code.find(|c: char| c.is_ascii_alphabetic()).map_or("", |end| &code[end + 1..]);
    }
    (out + rest).replace('\r', "")
}

/// The value of a table's row.
fn row<'a>(table: &'a str, label: &str) -> Result<&'a str> {
    let value = table.lines().find_map(|line| {
        let value = line.strip_prefix("  ")?.strip_prefix(label)?;
        value.starts_with("  ").then(|| value.trim())
    });
    value.with_context(|| format!("the table has no row {label:?}:\n{table}"))
}

/// The first number of a table's row.
fn number(table: &str, label: &str) -> Result<u64> {
    let value = row(table, label)?;
    let digits = value.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().with_context(|| format!("{label} is {value:?}, which is no number"))
}

/// Fails unless `text` has `part`.
fn must_say(text: &str, part: &str) -> Result<()> {
    ensure!(text.contains(part), "{part:?} is missing in:\n{text}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::BuildRequest;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_no_name_is_a_folder_of_another() {
        let names: Vec<_> = all().into_iter().map(|case| case.name).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        for name in &names {
            let folder = format!("{name}/");
            assert!(!names.iter().any(|other| other.starts_with(&folder)), "{name}");
        }
    }

    #[test]
    fn every_image_is_there() {
        let images = Lab::open().unwrap().images().unwrap();
        for case in all() {
            for image in case.beside.iter().chain([&case.image]) {
                let name = BuildRequest::new(image).name;
                assert!(images.contains(&name), "{} wants {name}", case.name);
            }
        }
    }

    #[test]
    fn colours_are_taken_off_and_rows_are_found() {
        let table =
            "\x1b[1mWhat\x1b[0m\r\n  \x1b[36mgic           \x1b[0mv3 at 0x3001000\r\n  sleeps        17\r\n";
        let table = plain(table);
        assert_eq!(row(&table, "gic").unwrap(), "v3 at 0x3001000");
        assert_eq!(number(&table, "sleeps").unwrap(), 17);
        assert!(row(&table, "g").is_err());
        assert_eq!(plain("a\x1b["), "a");
    }
}
