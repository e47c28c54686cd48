//! Small rings are kept full in both directions at once, with pieces of random length, and every byte is compared.

use anyhow::{Result, ensure};

use super::{Figures, Meter};
use crate::mutate::Random;
use crate::vchans::Vchans;

/// Of each ring, in bytes.
const RING: u32 = 4096;
const ORDER: u32 = RING.trailing_zeros();
/// As long as nobody says how much.
const MIB: u64 = 64;
/// A guest says after so many bytes how many there were.
const TELL: u64 = 16 << 20;
const DOM0_PATH: &str = "/local/domain/0/data/soak";
const SERVER: &str = "server";
const CLIENT: &str = "client";

/// So much for each kind of client and server; with a time alone, less of it, again and again.
pub(crate) fn run(vchans: &Vchans<'_>, meter: &Meter<'_>, seed: u64) -> Result<Figures> {
    let mut random = Random::new(seed);
    let mib = meter.count().unwrap_or(MIB);
    let mut done = 0;
    loop {
        for stream in [to_guest, from_guest, between_guests] {
            stream(vchans, mib, &mut random, &|so_far| (meter.tell)(done + so_far))?;
            done += mib;
            vchans.nothing_left()?;
        }
        if !meter.has_time() {
            break;
        }
    }
    Ok(vec![("MiB each way", done), ("seconds", meter.seconds())])
}

/// A client in dom0 sends, and a guest sends back.
fn to_guest(vchans: &Vchans<'_>, mib: u64, random: &mut Random, tell: &dyn Fn(u64)) -> Result<()> {
    let domain = vchans.guest(SERVER, &format!("serve=0 name=soak orders={ORDER} once"))?;
    let path = format!("/local/domain/{domain}/data/vchan/0/soak");
    vchans.start_peer(&format!("send {domain} {path} {} {}", mib << 20, random.next()))?;
    until(tell, "SUCCESS", &|| vchans.peer_said())?;
    let said = vchans.rests(SERVER, "SUCCESS")?;
    let line = format!("vchan ended: {} bytes, kept pages 0, lent 0", mib << 20);
    ensure!(said.contains(&line), "{SERVER}: {said}");
    vchans.dom0.destroy(SERVER)
}

/// A guest sends, and a server in dom0 sends back.
fn from_guest(vchans: &Vchans<'_>, mib: u64, random: &mut Random, tell: &dyn Fn(u64)) -> Result<()> {
    let args = format!("connect=0 path={DOM0_PATH} bytes={} window=1000000 tell={TELL}", mib << 20);
    let domain = vchans.guest(CLIENT, &args)?;
    vchans.start_peer(&format!("echo {domain} {DOM0_PATH} {RING} {}", random.next()))?;
    until(tell, "SUCCESS", &|| vchans.said(CLIENT))?;
    until(&|_| (), &format!("SUCCESS: {} bytes sent back", mib << 20), &|| vchans.peer_said())?;
    vchans.dom0.sh("xenstore-rm /local/domain/0/data")?;
    vchans.dom0.destroy(CLIENT)
}

/// One guest sends, and another sends back.
fn between_guests(vchans: &Vchans<'_>, mib: u64, _: &mut Random, tell: &dyn Fn(u64)) -> Result<()> {
    let bytes = mib << 20;
    vchans.pair([SERVER, CLIENT], |[server, client]| {
        [
            format!("serve={client} orders={ORDER} once"),
            format!("connect={server} bytes={bytes} window=1000000 tell={TELL}"),
        ]
    })?;
    until(tell, "SUCCESS", &|| vchans.said(CLIENT))?;
    let said = vchans.rests(SERVER, "SUCCESS")?;
    ensure!(said.contains(&format!("vchan ended: {bytes} bytes, kept pages 0, lent 0")), "{SERVER}: {said}");
    vchans.dom0.destroy(CLIENT)?;
    vchans.dom0.destroy(SERVER)
}

/// Waits for these words, as long as there is progress, and passes on how far it is.
fn until(tell: &dyn Fn(u64), words: &str, said: &dyn Fn() -> Result<String>) -> Result<()> {
    let (mut last, mut still) = (String::new(), 0);
    loop {
        let now = said()?;
        ensure!(!now.contains("FAILURE"), "{now}");
        if now.contains(words) {
            return Ok(());
        }
        tell(so_far(&now));
        still = if now == last { still + 1 } else { 0 };
        ensure!(still < STILL_MAX, "nothing has come through for {still} s:\n{now}");
        last = now;
        std::thread::sleep(LOOK);
    }
}

/// How often it is looked for progress, and how often at most there may be none.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);
const STILL_MAX: u32 = 600;

/// In MiB: `16 MiB so far`, as programs say it, or `16777216 bytes so far`, as guests do.
fn so_far(said: &str) -> u64 {
    let number = |line: &str| line.split(' ').find_map(|word| word.parse::<u64>().ok());
    said.lines().rev().find(|line| line.trim_end().ends_with("so far")).map_or(0, |line| {
        let number = number(line).unwrap_or(0);
        if line.contains("MiB") { number } else { number >> 20 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_from_either() {
        assert_eq!(so_far("16 MiB so far\n32 MiB so far\n"), 32);
        assert_eq!(so_far("vchan connected\r\nvchan verified 33554432 bytes so far\r\n"), 32);
        assert_eq!(so_far(""), 0);
    }
}
