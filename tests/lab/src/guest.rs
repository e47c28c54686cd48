//! A domain under test: its console and how it ended.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::console::Console;

/// Why a domain stopped (xen/include/public/sched.h, `SHUTDOWN_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `SHUTDOWN_poweroff`
    PowerOff,
    /// `SHUTDOWN_reboot`
    Reboot,
    /// `SHUTDOWN_suspend`
    Suspend,
    /// `SHUTDOWN_crash`
    Crash,
    /// `SHUTDOWN_watchdog`
    Watchdog,
    /// `SHUTDOWN_soft_reset`
    SoftReset,
    /// A number that Xen does not define.
    Unknown(u8),
}

impl From<u8> for End {
    fn from(reason: u8) -> Self {
        match reason {
            0 => Self::PowerOff,
            1 => Self::Reboot,
            2 => Self::Suspend,
            3 => Self::Crash,
            4 => Self::Watchdog,
            5 => Self::SoftReset,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOff => f.write_str("powered off"),
            Self::Reboot => f.write_str("asked for a reboot"),
            Self::Suspend => f.write_str("suspended"),
            Self::Crash => f.write_str("crashed"),
            Self::Watchdog => f.write_str("was stopped by its watchdog"),
            Self::SoftReset => f.write_str("asked for a soft reset"),
            Self::Unknown(reason) => write!(f, "ended with the unknown reason {reason}"),
        }
    }
}

/// How each domain of a machine ended, for those that have.
#[derive(Clone, Default)]
pub(crate) struct Ends(Arc<(Mutex<BTreeMap<u16, End>>, Condvar)>);

impl Ends {
    /// The first word on a domain stands. Returns how many have ended.
    pub(crate) fn record(&self, domain: u16, end: End) -> usize {
        let mut ends = self.lock();
        ends.entry(domain).or_insert(end);
        self.0.1.notify_all();
        ends.len()
    }

    fn of(&self, domain: u16) -> Option<End> {
        self.lock().get(&domain).copied()
    }

    pub(crate) fn wait(&self, domain: u16, timeout: Duration) -> Option<End> {
        let unknown = |ends: &mut BTreeMap<u16, End>| !ends.contains_key(&domain);
        let waited = self.0.1.wait_timeout_while(self.lock(), timeout, unknown);
        waited.unwrap_or_else(PoisonError::into_inner).0.get(&domain).copied()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u16, End>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running or ended domain.
#[derive(Clone)]
pub struct Guest {
    /// Xen's number for it.
    pub domain: u16,
    /// Its console.
    pub console: Console,
    pub(crate) ends: Ends,
}

impl Guest {
    /// How it ended, if it has.
    pub fn ended(&self) -> Option<End> {
        self.ends.of(self.domain)
    }

    /// Waits for its end.
    pub fn wait(&self, timeout: Duration) -> Option<End> {
        self.ends.wait(self.domain, timeout)
    }
}
