//! The generic timer's virtual counter (DDI 0487, D12).

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{
    CNTFRQ_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0, Readable as _, Writeable as _,
};

const NS_PER_S: u64 = 1_000_000_000;
/// What a counter that does not tell its frequency is taken to run at: the architecture's from ARMv8.6 on.
const FALLBACK_HZ: u64 = NS_PER_S;

/// The virtual timer of this CPU.
pub(crate) struct Timer {
    /// Counter ticks a second.
    pub(crate) hz: u64,
    /// Nanoseconds in a tick, and ticks in a nanosecond, as 32.32 fixed point.
    ns_per_tick: u128,
    ticks_per_ns: u128,
}

impl Timer {
    pub(crate) fn new() -> Self {
        let hz = match CNTFRQ_EL0.get() {
            0 => FALLBACK_HZ,
            hz => hz,
        };
        CNTV_CTL_EL0.set(0);
        let fixed = |a: u64, b: u64| (u128::from(a) << 32) / u128::from(b);
        Self { hz, ns_per_tick: fixed(NS_PER_S, hz), ticks_per_ns: fixed(hz, NS_PER_S) }
    }

    /// Nanoseconds since the counter was zero, which under Xen is when the domain was made.
    pub(crate) fn now_ns(&self) -> u64 {
        barrier::isb(barrier::SY);
        ((u128::from(CNTVCT_EL0.get()) * self.ns_per_tick) >> 32) as u64
    }

    /// Raises the timer's interrupt at `deadline_ns`, or never. Replaces what was asked for before.
    pub(crate) fn set(&self, deadline_ns: Option<u64>) {
        match deadline_ns {
            Some(ns) => {
                // One tick later, since both factors are rounded down: never early.
                let ticks = ((u128::from(ns) * self.ticks_per_ns) >> 32) as u64 + 1;
                CNTV_CVAL_EL0.set(ticks);
                CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::SET);
            }
            None => CNTV_CTL_EL0.set(0),
        }
        barrier::isb(barrier::SY);
    }
}
