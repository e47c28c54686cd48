//! Either end of a vchan is killed, whatever it is at: a program in dom0 with libxenvchan by SIGKILL, a guest by
//! `xl destroy`. The other end must notice, give back all that it holds, and go on with the next.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Figures, Meter};
use crate::mutate::Random;
use crate::vchans::Vchans;

const SERVER: &str = "server";
const CLIENT: &str = "client";
/// Where libxenvchan serves a guest.
const DOM0_PATH: &str = "/local/domain/0/data/soak";
/// Programs that are killed before their guest is.
const PROGRAMS: u64 = 15;
/// A guest is destroyed so late after it was made, at most: by then it has connected and closed some times.
const LIFE_US: usize = 1_500_000;
/// Sizes of rings: all in the control page, the smallest outside, and larger ones.
const ORDERS: [[u16; 2]; 4] = [[10, 11], [12, 12], [11, 13], [16, 12]];
/// A client of the guests' that never has enough.
const TIRELESS: &str = "bytes=20000 again=4000000000 tireless";
/// All of the programs of a guest.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Who died, and of what.
#[derive(Default)]
struct Deaths {
    /// Programs, in each part of their lives as tests/peer/src/libxenvchan/kills.rs names them.
    programs: [u64; PARTS.len()],
    /// Guests, before they had connected or between two connections, and connected.
    apart: u64,
    connected: u64,
    /// Programs that came to their end before they could be killed.
    outlived: u64,
    /// The longest that one of them took to have the other end connected.
    longest_ms: u64,
}

const PARTS: [&str; 4] = ["connect", "await", "transfer", "close"];

impl Deaths {
    fn count(&self) -> u64 {
        self.programs.iter().sum::<u64>() + self.apart + self.connected
    }
}

pub(crate) fn run(vchans: &Vchans<'_>, meter: &Meter<'_>, seed: u64) -> Result<Figures> {
    let mut random = Random::new(seed);
    let mut deaths = Deaths::default();
    while meter.again(deaths.count()) {
        let context = format!("after {} deaths", deaths.count());
        round(vchans, &mut random, &mut deaths).context(context)?;
    }
    let [connect, await_, transfer, close] = deaths.programs;
    Ok(vec![
        ("deaths", deaths.count()),
        ("programs at connecting", connect),
        ("waiting for a client", await_),
        ("in transfer", transfer),
        ("closing", close),
        ("not in time", deaths.outlived),
        ("ms until the next was connected, at most", deaths.longest_ms),
        ("guests while connected", deaths.connected),
        ("while not", deaths.apart),
        ("seconds", meter.seconds()),
    ])
}

/// Each kind of death, several times.
fn round(vchans: &Vchans<'_>, random: &mut Random, deaths: &mut Deaths) -> Result<()> {
    let orders = ORDERS[random.below(ORDERS.len())];
    clients_of_dom0(vchans, orders, random, deaths).context("programs as clients")?;
    servers_of_dom0(vchans, orders, random, deaths).context("programs as servers")?;
    for victim in [SERVER, CLIENT, SERVER, CLIENT] {
        pair(vchans, orders, victim, random, deaths)
            .with_context(|| format!("a pair without its {victim}"))?;
    }
    vchans.nothing_left()
}

/// A guest serves programs that are killed, and then is destroyed.
fn clients_of_dom0(
    vchans: &Vchans<'_>,
    [left, right]: [u16; 2],
    random: &mut Random,
    deaths: &mut Deaths,
) -> Result<()> {
    let domain = vchans.guest(SERVER, &format!("serve=0 name=soak orders={left},{right}"))?;
    vchans.rests(SERVER, "vchan waits")?;
    let before = vchans.dom0.footprint()?;
    let killed = format!("killed {domain} /local/domain/{domain}/data/vchan/0/soak");
    let said = vchans.peer(&format!("{killed} {PROGRAMS} {}", random.next()), PATIENCE)?;
    count(deaths, &said)?;
    keeps_nothing(&vchans.rests(SERVER, "vchan waits")?)?;
    vchans.nothing_since(&before)?;
    vchans.start_peer(&format!("{killed} 0 {}", random.next()))?;
    destroy(vchans, SERVER, random, deaths)?;
    // libxenvchan does not notice.
    vchans.kill_peer()
}

/// A guest seeks programs that are killed, and then is destroyed.
fn servers_of_dom0(
    vchans: &Vchans<'_>,
    [left, right]: [u16; 2],
    random: &mut Random,
    deaths: &mut Deaths,
) -> Result<()> {
    let domain = vchans.guest(CLIENT, &format!("connect=0 path={DOM0_PATH} {TIRELESS}"))?;
    vchans.rests(CLIENT, "vchan seeks")?;
    let before = vchans.dom0.footprint()?;
    let killed =
        |count: u64, seed| format!("killed {domain} {DOM0_PATH} {count} {seed} {} {}", 1 << left, 1 << right);
    let said = vchans.peer(&killed(PROGRAMS, random.next()), PATIENCE)?;
    count(deaths, &said)?;
    // What a server of libxenvchan's writes there stays, whatever becomes of it.
    vchans.rests(CLIENT, "vchan seeks")?;
    vchans.dom0.sh("xenstore-rm /local/domain/0/data")?;
    vchans.nothing_since(&before)?;
    vchans.start_peer(&killed(0, random.next()))?;
    destroy(vchans, CLIENT, random, deaths)?;
    vchans.kill_peer()?;
    vchans.dom0.sh("xenstore-rm /local/domain/0/data 2>/dev/null || true").map(drop)
}

/// Of two guests one is destroyed, and the other waits for the next.
fn pair(
    vchans: &Vchans<'_>,
    [left, right]: [u16; 2],
    victim: &str,
    random: &mut Random,
    deaths: &mut Deaths,
) -> Result<()> {
    vchans.pair([SERVER, CLIENT], |[server, client]| {
        [format!("serve={client} orders={left},{right}"), format!("connect={server} {TIRELESS}")]
    })?;
    destroy(vchans, victim, random, deaths)?;
    let (survivor, words) = if victim == SERVER { (CLIENT, "vchan seeks") } else { (SERVER, "vchan waits") };
    let said = vchans.rests(survivor, words)?;
    ensure!(!said.contains("FAILURE"), "{survivor}: {said}");
    keeps_nothing(&said)?;
    vchans.dom0.destroy(survivor)
}

fn destroy(vchans: &Vchans<'_>, name: &str, random: &mut Random, deaths: &mut Deaths) -> Result<()> {
    vchans.dom0.sh(&format!("usleep {}", random.below(LIFE_US)))?;
    vchans.dom0.destroy(name)?;
    let last = vchans.last_words(name)?;
    ensure!(!last.contains("FAILURE"), "{name}: {last}");
    match last.contains("vchan connected") {
        true => deaths.connected += 1,
        false => deaths.apart += 1,
    }
    Ok(())
}

/// What the program says: `connect 4 await 0 transfer 5 close 6 outlived 2 longest 30`.
fn count(deaths: &mut Deaths, said: &str) -> Result<()> {
    let number = |name: &str| {
        let mut words = said.split_ascii_whitespace().skip_while(|word| *word != name);
        let number = words.nth(1).and_then(|word| word.parse::<u64>().ok());
        number.with_context(|| format!("no number after {name} in {said:?}"))
    };
    for (sum, name) in deaths.programs.iter_mut().zip(PARTS) {
        *sum += number(name)?;
    }
    deaths.outlived += number("outlived")?;
    deaths.longest_ms = deaths.longest_ms.max(number("longest")?);
    Ok(())
}

/// A server's pages are all back after each of its clients.
fn keeps_nothing(said: &str) -> Result<()> {
    let lines = said.lines().filter(|line| line.contains("kept pages"));
    for line in lines {
        ensure!(line.trim_end().ends_with("kept pages 0, lent 0"), "{line}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_are_counted() {
        let mut deaths = Deaths { connected: 1, ..Deaths::default() };
        count(&mut deaths, "connect 4 await 0 transfer 5 close 6 outlived 2 longest 30 SUCCESS\n").unwrap();
        assert_eq!((deaths.programs, deaths.count()), ([4, 0, 5, 6], 16));
        assert_eq!((deaths.outlived, deaths.longest_ms), (2, 30));
        assert!(count(&mut deaths, "connect 4").is_err());
    }

    #[test]
    fn pages_that_are_kept_are_noticed() {
        assert!(keeps_nothing("vchan waits\nvchan ended: 7 bytes, kept pages 0, lent 0\r\n").is_ok());
        assert!(keeps_nothing("vchan ended: 7 bytes, kept pages 1, lent 1\n").is_err());
    }
}
