//! The time of day.

use crate::platform::{Platform, WallClock};
use crate::xen::Xen;
use core::sync::atomic::{Ordering, fence};
use core::time::Duration;

/// Looks at a clock being written before giving up; Xen holds it for a few stores.
const TRIES: u32 = 1000;

/// 2000-01-01. On ARM Xen knows no time until dom0 tells it, and meanwhile publishes the seconds for which it
/// had been up when it made this domain; a dom0 without a clock says 1970. Both are less than this.
const EARLIEST: Duration = Duration::from_secs(946_684_800);

impl<P: Platform> Xen<P> {
    /// Time since 1970-01-01 00:00 UTC; `None` if nobody told Xen what time it is. dom0 may do so later.
    ///
    /// Xen publishes the time at which this machine's clock stood at zero, so the time of day is that plus
    /// [`Platform::now_ns`]. On ARM the clock is the virtual counter, zero when the domain was made, and Xen
    /// rounds that moment down to a second (`domain_vtimer_init`, `xen/arch/arm/vtimer.c`): the result may
    /// be up to a second behind. It steps when dom0 sets the clock; use `now_ns` to measure.
    pub fn wall_clock(&self) -> Option<Duration> {
        let start = read(self.platform().shared()?.wall)?;
        (start >= EARLIEST).then_some(())?;
        start.checked_add(Duration::from_nanos(self.platform().now_ns()))
    }
}

fn read(wall: &WallClock) -> Option<Duration> {
    for _ in 0..TRIES {
        let version = wall.version.load(Ordering::Acquire);
        let low = wall.sec.load(Ordering::Relaxed);
        let high = wall.sec_hi.load(Ordering::Relaxed);
        let nsec = wall.nsec.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        if version & 1 == 0 && wall.version.load(Ordering::Relaxed) == version {
            let secs = u64::from(high) << 32 | u64::from(low);
            return Duration::from_secs(secs).checked_add(Duration::from_nanos(nsec.into()));
        }
        core::hint::spin_loop();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicBool;

    fn write(wall: &WallClock, secs: u64, nsec: u32) {
        wall.version.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::Release);
        wall.sec.store(secs as u32, Ordering::Relaxed);
        wall.nsec.store(nsec, Ordering::Relaxed);
        wall.sec_hi.store((secs >> 32) as u32, Ordering::Relaxed);
        wall.version.fetch_add(1, Ordering::Release);
    }

    #[test]
    fn a_clock_being_written_is_never_read_half() {
        let wall = WallClock::default();
        let done = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                let mut n = 0u32;
                while !done.load(Ordering::Relaxed) {
                    n = (n + 1) % 1_000_000_000;
                    // Low half, high half and nanoseconds all say the same number.
                    write(&wall, u64::from(n) << 32 | u64::from(n), n);
                }
            });
            let (mut whole, mut changes, mut last) = (true, 0, Duration::ZERO);
            while changes < if cfg!(miri) { 20 } else { 20_000 } {
                let Some(time) = read(&wall) else { continue };
                let (low, high) = (time.as_secs() as u32, (time.as_secs() >> 32) as u32);
                whole &= (low, high) == (time.subsec_nanos(), time.subsec_nanos());
                changes += u32::from(core::mem::replace(&mut last, time) != time);
            }
            // Only now may the test fail, or the writer would never end.
            done.store(true, Ordering::Relaxed);
            assert!(whole);
        });
    }

    #[test]
    fn a_writer_that_never_ends_is_given_up_on() {
        let wall = WallClock::default();
        wall.version.store(1, Ordering::Relaxed);
        assert_eq!(read(&wall), None);
    }

    #[test]
    fn absurd_values_do_not_overflow() {
        let wall = WallClock::default();
        write(&wall, u64::MAX, u32::MAX);
        assert_eq!(read(&wall), None);
        write(&wall, 5, 2_000_000_000);
        assert_eq!(read(&wall), Some(Duration::from_secs(7)));
    }
}
