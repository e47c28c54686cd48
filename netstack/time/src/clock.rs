//! The wall clock: what time it is, and who says so.

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use fata_rt::Rt;

/// Nobody has told what time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown;

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody has told what time it is")
    }
}

impl core::error::Error for Unknown {}

/// Who told the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Xen, which dom0 told.
    Xen,
    /// A time server, which may be wrong by this much.
    Server {
        /// To either side.
        error: Duration,
    },
}

/// A wall clock. Clones are the same one.
#[derive(Clone)]
pub struct Clock(Rc<Shared>);

struct Shared {
    rt: Rt,
    xen: Box<dyn Fn() -> Option<Duration>>,
    /// What a server said: nanoseconds since 1970 when the monotonic clock stood at zero, and how wrong that may be.
    set: Cell<Option<(u64, u64)>>,
}

impl Clock {
    /// A clock that nobody has set. `xen` says what Xen has for the time since 1970, if it has been told.
    pub fn new(rt: &Rt, xen: impl Fn() -> Option<Duration> + 'static) -> Self {
        Self(Rc::new(Shared { rt: rt.clone(), xen: Box::new(xen), set: Cell::new(None) }))
    }

    /// Time since 1970-01-01 00:00 UTC.
    pub fn now(&self) -> Result<Duration, Unknown> {
        match self.0.set.get() {
            Some((epoch_ns, _)) => Ok(Duration::from_nanos(epoch_ns.saturating_add(self.0.rt.now_ns()))),
            None => (self.0.xen)().ok_or(Unknown),
        }
    }

    /// Who says so, if anybody does.
    pub fn told(&self) -> Option<Told> {
        match self.0.set.get() {
            Some((_, error_ns)) => Some(Told::Server { error: Duration::from_nanos(error_ns) }),
            None => (self.0.xen)().map(|_| Told::Xen),
        }
    }

    /// Sets it: when the monotonic clock stood at zero it was `epoch_ns` after 1970, give or take `error_ns`. Gives by how
    /// many nanoseconds it steps forward, if it knew the time before.
    pub fn set(&self, epoch_ns: u64, error_ns: u64) -> Option<i64> {
        let before = self.now().ok();
        self.0.set.set(Some((epoch_ns, error_ns)));
        let (before, now) = before.zip(self.now().ok())?;
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Some(ns(now).wrapping_sub(ns(before)) as i64)
    }
}
