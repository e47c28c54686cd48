//! Our name server beside NSD on this machine: the same zone, the same queries.

mod compare;
mod nsd;
mod queries;
mod traffic;
mod zone;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use fata_dns::{ANSWER_MAX, Limits, Transport, Zone, answer};

use crate::lab::Lab;
use crate::machine::Folder;
use crate::mutate::{Random, seed};
use crate::progress::Progress;
use crate::soak::{Effort, Soaked};
use crate::tools::On;
use compare::{Difference, Said, compare, is_error};
use nsd::Nsd;
pub use traffic::Traffic;

/// How it went.
pub(crate) struct Compared {
    /// Queries that were answered alike.
    pub(crate) same: u64,
    /// Differences that are explained, by name.
    pub(crate) known: BTreeMap<&'static str, u64>,
}

/// `xtask soak dns-diff`: asks both over and over; `tell` gets how often so far.
pub fn soak(lab: &Lab, effort: Effort, tell: &dyn Fn(u64), ui: &Progress) -> Result<Soaked> {
    let folder = Folder::take(lab, "soak/dns-diff")?;
    let (seed, began) = (seed(), Instant::now());
    let again = |done: u64| {
        tell(done);
        let late = effort.time.is_some_and(|time| began.elapsed() >= time);
        !late && effort.count.is_none_or(|count| done < count)
    };
    let result = beside_nsd(lab, &folder, seed, ui, again).map(|compared| {
        let mut figures = vec![("same", compared.same)];
        figures.extend(compared.known);
        figures
    });
    Ok(Soaked { result, folder: folder.path.clone(), seed })
}

/// What is enough to see what is wrong.
const DIFFERENCES: u64 = 60;
/// Names in the zone.
const NAMES: usize = 10_000;
/// How long NSD may take to start, and to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks both, as long as `again` says so. What is different and not known to be is an error, with both answers in the
/// folder.
pub(crate) fn beside_nsd(
    lab: &Lab,
    folder: &Folder,
    seed: u64,
    ui: &Progress,
    mut again: impl FnMut(u64) -> bool,
) -> Result<Compared> {
    let mut random = Random::new(seed);
    let text = zone::text(&mut random, NAMES);
    fs::write(folder.file("zone"), &text)?;
    let (zone, warnings) =
        Zone::read(text.as_bytes(), None, Limits::default()).context("reading the zone")?;
    fs::write(folder.file("warnings"), format!("{warnings:#?}"))?;
    let asked = queries::Names::of(&zone)?;
    let zones = [Rc::new(zone)];
    let tools = lab.tools(On::Host, ui)?;
    let nsd = Nsd::start(&tools, folder, PATIENCE)?;
    let mut out = vec![0; ANSWER_MAX];
    let mut compared = Compared { same: 0, known: BTreeMap::new() };
    let (mut done, mut count, mut unknown) = (0, 0, String::new());
    while again(done) {
        let query = asked.query(&mut random);
        let transport = if random.below(8) == 0 { Transport::Tcp } else { Transport::Udp };
        let ours = answer(&zones, &query, transport, &mut out).map(|reply| &out[..reply.len]);
        let theirs = nsd.ask(&query, transport, ours.is_none_or(is_error))?;
        done += 1;
        match compare(&query, ours, theirs.as_deref()) {
            None => compared.same += 1,
            Some(Difference::Known(name)) => *compared.known.entry(name).or_default() += 1,
            Some(Difference::Unknown(why)) => {
                let (ours, theirs) = (shown(ours), shown(theirs.as_deref()));
                let _ = writeln!(
                    unknown,
                    "{why}\nquery {done} by {transport:?}: {}\nours: {ours}\nNSD's: {theirs}\n",
                    query.escape_ascii()
                );
                count += 1;
                if count == DIFFERENCES {
                    break;
                }
            }
        }
    }
    if count > 0 {
        fs::write(folder.file("differences"), &unknown)?;
        let first = unknown.split("\n\n").next().unwrap_or_default();
        bail!("{count} answers are different for no known reason; the first: {first}");
    }
    Ok(compared)
}

fn shown(message: Option<&[u8]>) -> String {
    match message {
        None => "nothing".to_owned(),
        Some(bytes) => match Said::parse(bytes) {
            Ok(said) => format!("{said:#?}"),
            Err(error) => format!("{error:#}: {bytes:02x?}"),
        },
    }
}

/// Whether `named-checkzone` takes a zone, and what it says.
pub(crate) fn checked(lab: &Lab, file: &Path, name: &str, ui: &Progress) -> Result<(bool, String)> {
    let mut command = lab.tools(On::Host, ui)?.command("named-checkzone")?;
    let output = command.args(["-i", "local", name]).arg(file).output().context("running named-checkzone")?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Ok((output.status.success(), said))
}
