//! Time limits that cost next to nothing as long as nobody waits for long.

use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;
use fata_rt::{Elapsed, Rt, Sleep};

/// A timer for one wait after the other. It stays set from one to the next, for the first one's time: when that comes, it is
/// set for the time of the wait that there is then.
pub(crate) struct Patience {
    rt: Rt,
    sleep: Option<(u64, Sleep)>,
}

impl Patience {
    pub(crate) fn new(rt: &Rt) -> Self {
        Self { rt: rt.clone(), sleep: None }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.rt.now_ns()
    }

    /// When so much time will be over.
    pub(crate) fn after(&self, time: Duration) -> u64 {
        after(self.now_ns(), time)
    }

    /// Waits for a future until a point in time.
    pub(crate) async fn until<F: Future>(&mut self, until_ns: u64, future: F) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => self.poll(cx, until_ns).map(|()| Err(Elapsed)),
        })
        .await
    }

    fn poll(&mut self, cx: &mut Context<'_>, until_ns: u64) -> Poll<()> {
        loop {
            match &mut self.sleep {
                Some((at_ns, sleep)) if *at_ns <= until_ns => {
                    if Pin::new(sleep).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    self.sleep = None;
                    if self.rt.now_ns() >= until_ns {
                        return Poll::Ready(());
                    }
                }
                _ => self.sleep = Some((until_ns, self.rt.sleep_until(until_ns))),
            }
        }
    }
}

/// So much later.
pub(crate) fn after(ns: u64, time: Duration) -> u64 {
    // By hand, since `as_nanos` would bring in 128-bit arithmetic.
    let time_ns = time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into());
    ns.saturating_add(time_ns)
}
