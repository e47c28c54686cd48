//! Entropy from the time that work takes.
//!
//! The work is a walk through memory that takes the same instructions each time, whatever it finds: on a machine without
//! noise it takes the same time each time, and that is seen. What makes it differ are caches and their other users,
//! memory being refreshed, a hypervisor's interrupts, the phase of the counter.
//!
//! How much that is cannot be known from within, only that there is at least a little of it. So each time goes through
//! the health tests of NIST SP 800-90B section 4.4, at the start, when none counts yet (section 4.3), and for as long as
//! times are taken. They are set for one bit a time, and wrong once in 2^30 times; what is credited is an eighth of that.
//! Three things make them stricter than the standard's:
//!
//! - times that differ by one tick count as the same. A counter that is read at regular intervals, none of them a whole
//!   number of its ticks, gives such differences without any noise;
//! - the share that one value may have in a window is also that which times may have that are equal to another one a
//!   few before: a pattern is no noise, however many values it has;
//! - a source that fails begins anew with twice the work, since a slow counter sees little of what is short. The sixth
//!   time is for good.
//!
//! What that looks like: on QEMU's TCG, whose host has noise enough, 512 steps take about 1152 ticks of 16 ns, within four
//! of them most times and far from it some. The likeliest time has one in seven (2.8 bits), three neighbours have 0.38 of
//! all, and 0.31 are like the one before; 0.63 is the limit. `random raw` of mir-console shows the times of a board.

use crate::entropy::{Entropy, Source};
use alloc::vec::Vec;
use core::fmt;

/// Memory that the work walks through: more than the nearest cache has.
const MEMORY: usize = 64 << 10;
/// Steps of one piece of work, at first.
const STEPS: usize = if cfg!(test) { 4 } else { 512 };
/// Pieces of work that are measured at a time: a millisecond, or less.
const BATCH: usize = 64;
/// Times that are looked at before any counts.
const STARTUP: usize = 1024;
/// Times for which a bit is credited.
const TIMES_A_BIT: usize = 8;
/// A source may fail that many times and begin anew.
const FAILURES: u32 = 5;

/// Why times are not credited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unhealthy {
    /// One time, many times in a row (section 4.4.1).
    Repeats,
    /// One time, too often (section 4.4.2).
    Frequent,
    /// The same times again after a few others.
    Pattern,
}

impl Unhealthy {
    /// The same in words.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Repeats => "work takes the same time again and again",
            Self::Frequent => "work takes one time too often",
            Self::Pattern => "the times that work takes have a pattern",
        }
    }
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl core::error::Error for Unhealthy {}

/// Measures work.
pub struct Jitter {
    memory: Vec<u8>,
    steps: usize,
    place: u32,
    last: u64,
    health: Health,
    failures: u32,
}

impl Jitter {
    /// Takes 64 KiB of memory. `None` if there is not so much.
    pub fn new() -> Option<Self> {
        let mut memory = Vec::new();
        memory.try_reserve_exact(MEMORY).ok()?;
        memory.resize(MEMORY, 0);
        Some(Self { memory, steps: STEPS, place: 0, last: 0, health: Health::new(), failures: 0 })
    }

    /// How many ticks a piece of work takes, with what is between it and the last one.
    pub fn measure(&mut self, ticks: &mut impl FnMut() -> u64) -> u64 {
        for _ in 0..self.steps {
            let place = &mut self.memory[self.place as usize >> 16];
            *place = place.wrapping_add(1);
            // Where it goes from here depends on what it finds, so that no step can begin before the last one has ended.
            self.place = self
                .place
                .wrapping_add(u32::from(*place))
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
        }
        let now = ticks();
        now.wrapping_sub(core::mem::replace(&mut self.last, now))
    }

    /// Measures a batch of work, and adds the times. They are credited from the second thousand on. An error is for good.
    pub fn gather(&mut self, entropy: &Entropy, ticks: &mut impl FnMut() -> u64) -> Result<(), Unhealthy> {
        // Others have worked since.
        self.measure(ticks);
        let (mut bytes, mut healthy) = ([0; 2 * BATCH], Ok(()));
        for place in bytes.as_chunks_mut().0 {
            let time = self.measure(ticks);
            *place = (time as u16).to_le_bytes();
            let looked = self.health.look(time);
            healthy = healthy.and(looked);
        }
        let counts = healthy.is_ok() && self.health.looked > STARTUP;
        entropy.add(Source::Jitter, &bytes, if counts { (BATCH / TIMES_A_BIT) as u32 } else { 0 });
        if let Err(reason) = healthy {
            if self.failures == FAILURES {
                return Err(reason);
            }
            (self.failures, self.health) = (self.failures + 1, Health::new());
            self.steps *= 2;
        }
        Ok(())
    }
}

/// The values that the tests are made of.
const REPETITIONS: u32 = 31;
const WINDOW: u32 = 512;
/// More is once in 2^30 if each time is as likely as all others together.
const SHARE: u32 = 325;
const LAGS: usize = 8;

/// The tests, as they go on.
struct Health {
    looked: usize,
    /// The first of those that are the same, and how many there are.
    run: (u64, u32),
    /// The first in the window.
    first: u64,
    in_window: u32,
    /// How many are like the first.
    like_first: u32,
    before: [u64; LAGS],
    /// How many are like the one that came so many before.
    like_before: [u32; LAGS],
}

impl Health {
    fn new() -> Self {
        Self {
            looked: 0,
            run: (0, 0),
            first: 0,
            in_window: 0,
            like_first: 0,
            before: [0; LAGS],
            like_before: [0; LAGS],
        }
    }

    fn look(&mut self, time: u64) -> Result<(), Unhealthy> {
        let like = |other: u64| time.abs_diff(other) <= 1;
        self.looked += 1;
        if self.run.1 > 0 && like(self.run.0) {
            self.run.1 += 1;
            if self.run.1 >= REPETITIONS {
                return Err(Unhealthy::Repeats);
            }
        } else {
            self.run = (time, 1);
        }
        if self.in_window == 0 {
            (self.first, self.like_first, self.like_before) = (time, 0, [0; LAGS]);
        }
        self.in_window = (self.in_window + 1) % WINDOW;
        self.like_first += u32::from(like(self.first));
        for (count, before) in self.like_before.iter_mut().zip(&self.before) {
            *count += u32::from(like(*before));
        }
        self.before.rotate_right(1);
        self.before[0] = time;
        if self.like_first >= SHARE {
            return Err(Unhealthy::Frequent);
        }
        if self.like_before.iter().any(|count| *count >= SHARE) {
            return Err(Unhealthy::Pattern);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_sim::Rng;

    /// What becomes of times like these: what was credited, and after how many batches it failed.
    fn fate(mut time: impl FnMut() -> u64, batches: usize) -> (u64, Option<(usize, Unhealthy)>) {
        let (entropy, mut jitter, mut now) = (Entropy::new(), Jitter::new().unwrap(), 0u64);
        let mut ticks = || {
            now = now.wrapping_add(time());
            now
        };
        let failed = (0..batches).find_map(|n| Some((n, jitter.gather(&entropy, &mut ticks).err()?)));
        let given = entropy.sources().first().map_or(0, |given| given.bits);
        (given, failed)
    }

    /// As many batches as it takes to fail for good.
    const SOON: usize = (FAILURES + 1) as usize * WINDOW as usize / BATCH + 2;

    #[test]
    fn noise_is_credited_once_the_start_is_over() {
        let mut rng = Rng::new();
        let batches = 1000;
        let (bits, failed) = fate(|| 1000 + rng.within(0..8) as u64, batches);
        assert_eq!(failed, None);
        assert_eq!(bits, ((batches - STARTUP / BATCH) * BATCH / TIMES_A_BIT) as u64);
    }

    #[test]
    fn a_clock_that_stands_still_or_is_even_is_no_source() {
        for step in [0, 1, 1000] {
            let (bits, failed) = fate(|| step, SOON);
            assert_eq!((bits, failed.unwrap().1), (0, Unhealthy::Repeats), "{step}");
        }
    }

    #[test]
    fn what_rounding_makes_of_even_times_is_no_source() {
        // In ticks of any length the times of a machine without noise differ by one.
        let mut rng = Rng::new();
        for _ in 0..100 {
            let (work, tick) = (10_000 + rng.number() % 1_000_000, 1 + rng.number() % 10_000);
            let (mut now, mut before) = (rng.number() % tick, 0);
            let (bits, failed) = fate(
                || {
                    now += work;
                    now / tick - core::mem::replace(&mut before, now / tick)
                },
                SOON,
            );
            assert_eq!((bits, failed.unwrap().1), (0, Unhealthy::Repeats));
        }
    }

    #[test]
    fn a_pattern_is_no_source() {
        for len in 2..=LAGS {
            let mut n = 0;
            let (bits, failed) = fate(
                || {
                    n = (n + 1) % len;
                    [1000, 1500, 1100, 1900, 1300, 2500, 1700, 3000][n]
                },
                SOON,
            );
            assert_eq!(bits, 0, "{len}");
            assert!(failed.is_some(), "{len}");
        }
    }

    #[test]
    fn one_time_in_most_cases_is_no_source() {
        let mut rng = Rng::new();
        let (bits, failed) = fate(|| if rng.within(0..100) < 90 { 1000 } else { rng.number() >> 50 }, SOON);
        assert_eq!(bits, 0);
        assert!(failed.is_some());
    }

    #[test]
    fn a_source_that_dies_is_credited_no_more() {
        let (mut rng, mut left) = (Rng::new(), 3000);
        let (bits, failed) = fate(
            || {
                left -= 1;
                if left > 0 { 1000 + rng.within(0..50) as u64 } else { 1000 }
            },
            100,
        );
        assert!(failed.is_some() && bits <= (3000 - STARTUP as u64) / TIMES_A_BIT as u64 + 8);
    }

    #[test]
    fn a_slow_counter_takes_more_work() {
        // It sees noise only of what takes long enough.
        let (mut rng, entropy, mut jitter) = (Rng::new(), Entropy::new(), Jitter::new().unwrap());
        let (mut now, mut work) = (0, STEPS);
        for _ in 0..80 {
            let noise = work / STEPS * 2;
            let mut ticks = || {
                now += (work + rng.within(0..noise)) as u64;
                now
            };
            assert_eq!(jitter.gather(&entropy, &mut ticks), Ok(()));
            work = jitter.steps;
        }
        assert!(jitter.failures > 0 && entropy.is_seeded());
    }

    #[test]
    fn the_cutoffs_are_those_of_the_standard() {
        // How likely a value that has half of all is to be seen so often in a window.
        let (mut ways, mut likely) = (1.0f64, 0.0);
        for n in 0..=WINDOW {
            if n >= SHARE {
                likely += ways * 0.5f64.powi(WINDOW as i32);
            }
            ways *= f64::from(WINDOW - n) / f64::from(n + 1);
        }
        assert!(likely <= 0.5f64.powi(30) && likely > 0.5f64.powi(31));
        assert_eq!(REPETITIONS, 1 + 30);
    }

    #[test]
    fn work_takes_the_same_instructions_whatever_it_finds() {
        // And goes everywhere.
        let mut jitter = Jitter::new().unwrap();
        jitter.steps = 1 << 20;
        jitter.measure(&mut || 0);
        assert!(jitter.memory.iter().filter(|byte| **byte == 0).count() < MEMORY / 50);
    }
}
