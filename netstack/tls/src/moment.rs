//! What time it is, for those who ask in the middle of a handshake.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use fata_time::Clock;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;

/// The time of the latest step of a handshake.
pub(crate) struct Moment(AtomicU64);

impl Moment {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Looks at the clock.
    pub(crate) fn see(&self, clock: &Clock) {
        self.0.store(clock.now().map_or(0, |now| now.as_secs().max(1)), Ordering::Relaxed);
    }

    /// Seconds since 1970, if anybody has told.
    pub(crate) fn seconds(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0)
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Moment")
    }
}

/// Whoever believes a certificate asks [`Moment::seconds`]; rustls asks on its own for the sake of tickets only, and needs
/// some answer even if nobody knows.
impl TimeProvider for Moment {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.seconds().unwrap_or(0))))
    }
}
