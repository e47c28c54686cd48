//! Programs that are killed in the middle of what they do with a vchan: each is a process of its own, which has a timer
//! send it SIGKILL some time after it has come to where it is to die.

use core::ffi::{CStr, c_int};
use core::fmt::Write as _;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::library::{self, Doom, Fate, Vchan};
use crate::talk::{self, Broken, Random};
use crate::{Out, fail};

/// What a life consists of. Its times are kept one after the other, and what it is at is the number before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
enum Part {
    /// Making its end, or attaching to the other.
    Connect,
    /// A server waits for its client.
    Await,
    Transfer,
    Close,
    /// Nothing any more.
    After,
}

const PARTS: usize = Part::After as usize;
/// Where the times are, how often a client has looked for a server is kept, too.
const LOOKS: usize = 7;
const NAMES: [&str; PARTS] = ["connect", "await", "transfer", "close"];

/// Which end it has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    /// With rings of these sizes.
    Server(usize, usize),
}

/// A life that takes so long hangs.
const STUCK_NS: u64 = 120_000_000_000;
/// How often it is looked at.
const LOOK_US: u64 = 500;
/// As long as nothing is known.
const FIRST_GUESS_NS: u64 = 2_000_000;
/// What a client has sent back to it.
const MOST: u64 = 60_000;
/// Exit codes.
const ENDED: c_int = 2;
const WRONG: c_int = 3;
const NOBODY: c_int = 4;

/// One life, from within.
struct Life<'a> {
    times: &'a [AtomicU64; 8],
    doom: Doom,
    dies_in: Part,
    after_ns: u64,
}

impl Life<'_> {
    fn begin(&self, part: Part) {
        self.times[1 + part as usize].store(library::now_ns(), Ordering::Release);
        self.times[0].store(part as u64, Ordering::Release);
        if part == self.dies_in {
            self.doom.comes_in(self.after_ns);
        }
    }

    fn client(&self, domain: c_int, path: &CStr, random: &mut Random) -> c_int {
        let bytes = random.up_to(MOST);
        let mut looks = 0;
        // One that has just ended may still look as if it was there.
        loop {
            self.begin(Part::Connect);
            self.times[LOOKS].store(looks, Ordering::Release);
            looks += 1;
            let Some(vchan) = Vchan::connect(domain, path).filter(Vchan::is_fresh) else {
                library::sleep_us(LOOK_US);
                continue;
            };
            self.begin(Part::Transfer);
            match talk::exchange(&vchan, bytes, random, |_| ()) {
                Ok(()) => {}
                Err(Broken::Ended(0)) => continue,
                Err(Broken::Ended(_)) => return ENDED,
                Err(Broken::Wrong(_)) => return WRONG,
            }
            self.begin(Part::Close);
            drop(vchan);
            self.begin(Part::After);
            return 0;
        }
    }

    fn server(&self, domain: c_int, path: &CStr, [left, right]: [usize; 2], random: &mut Random) -> c_int {
        self.begin(Part::Connect);
        let Some(vchan) = Vchan::serve(domain, path, left, right) else { return NOBODY };
        self.begin(Part::Await);
        vchan.await_client();
        self.begin(Part::Transfer);
        talk::echo(&vchan, random, |_| ());
        self.begin(Part::Close);
        drop(vchan);
        self.begin(Part::After);
        0
    }
}

/// Has so many killed, and one that lives to its end; or with none has them live, one after the other, for ever.
pub(crate) fn run(role: Role, domain: c_int, path: &CStr, count: u64, seed: u64) -> ! {
    let times = library::shared();
    let mut random = Random(seed);
    let mut guess_ns = [FIRST_GUESS_NS; PARTS];
    let (mut killed, mut outlived, mut died_in) = (0, 0, [0; PARTS]);
    let mut longest_ns = 0;
    loop {
        let last = count == 0 || killed == count;
        let dies_in = match (role, random.next() % 4) {
            _ if last => Part::After,
            (Role::Client, 0 | 1) | (Role::Server(..), 0) => Part::Connect,
            (Role::Server(..), 1) => Part::Await,
            (_, 2) => Part::Transfer,
            _ => Part::Close,
        };
        // Some are late, and so live.
        let most = guess_ns.get(dies_in as usize).map_or(1, |ns| ns + ns / 4);
        let after_ns = if last { 0 } else { random.up_to(most) };
        let seed = random.next();
        times.iter().for_each(|time| time.store(0, Ordering::Release));
        let Some(process) = library::split() else {
            let life = Life { times, doom: Doom::new(), dies_in, after_ns };
            let mut random = Random(seed);
            library::exit(match role {
                Role::Client => life.client(domain, path, &mut random),
                Role::Server(left, right) => life.server(domain, path, [left, right], &mut random),
            })
        };
        let start_ns = library::now_ns();
        let fate = loop {
            if let Some(fate) = library::fate(process) {
                break fate;
            }
            if count > 0 && library::now_ns() - start_ns > STUCK_NS {
                let part = times[0].load(Ordering::Acquire);
                library::put_down(process);
                let looks = times[LOOKS].load(Ordering::Acquire);
                fail(format_args!(
                    "after {killed} kills, one to die in {dies_in:?} hangs in part {part} after {looks} looks"
                ));
            }
            library::sleep_us(LOOK_US);
        };
        let part = times[0].load(Ordering::Acquire) as usize;
        let connected_ns = times[1 + Part::Transfer as usize].load(Ordering::Acquire);
        longest_ns = longest_ns.max(connected_ns.saturating_sub(start_ns));
        match fate {
            Fate::Killed => {
                killed += 1;
                if let Some(number) = died_in.get_mut(part) {
                    *number += 1;
                }
            }
            Fate::Ended(0) if last && count > 0 => break,
            Fate::Ended(0) => outlived += 1,
            Fate::Ended(code) => {
                let why = match code {
                    ENDED => "its vchan ended before all bytes had come back",
                    WRONG => "other bytes came back",
                    NOBODY => "it found nobody",
                    _ => "it failed",
                };
                fail(format_args!("after {killed} kills, at one to die in {dies_in:?}: {why}"));
            }
        }
        // How long it takes is what the next ones are judged by.
        let at = |n: usize| times[1 + n].load(Ordering::Acquire);
        for (n, guess) in guess_ns.iter_mut().enumerate() {
            let next = (n + 1..=PARTS).map(at).find(|ns| *ns > 0);
            if let (now @ 1.., Some(next)) = (at(n), next) {
                *guess = (*guess * 7 + (next - now)) / 8;
            }
        }
    }
    for (name, number) in NAMES.iter().zip(died_in) {
        let _ = write!(Out, "{name} {number} ");
    }
    let _ = writeln!(Out, "outlived {outlived} longest {} SUCCESS", longest_ns / 1_000_000);
    library::exit(0)
}
