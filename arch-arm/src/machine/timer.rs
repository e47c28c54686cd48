//! The generic timer's virtual counter (DDI 0487, D12).

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{
    CNTFRQ_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0, Readable as _, Writeable as _,
};

const NS_PER_S: u64 = 1_000_000_000;

/// Counter ticks a second. A machine that does not say is taken to have what the architecture asks for from
/// ARMv8.6 on.
pub fn hz() -> u64 {
    match CNTFRQ_EL0.get() & u64::from(u32::MAX) {
        0 => NS_PER_S,
        hz => hz,
    }
}

/// Nanoseconds since the counter was zero, which under Xen is when the domain was made.
pub fn now_ns() -> u64 {
    ns(ticks())
}

/// What the counter says now.
pub fn ticks() -> u64 {
    barrier::isb(barrier::SY);
    CNTVCT_EL0.get()
}

/// Ticks as nanoseconds, rounded down.
pub fn ns(ticks: u64) -> u64 {
    scale(ticks, hz(), NS_PER_S)
}

/// `value` counted `from` a second as counted `to` a second; both fit into 32 bits, so nothing overflows
/// that the result does not.
fn scale(value: u64, from: u64, to: u64) -> u64 {
    value / from * to + value % from * to / from
}

/// Raises the timer's interrupt at `deadline_ns`, or never. Replaces what was asked for before.
pub(super) fn set(deadline_ns: Option<u64>) {
    match deadline_ns {
        Some(ns) => {
            // One tick later, since the scale rounds down: never early.
            CNTV_CVAL_EL0.set(scale(ns, NS_PER_S, hz()).saturating_add(1));
            CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::SET);
        }
        None => CNTV_CTL_EL0.set(0),
    }
    barrier::isb(barrier::SY);
}
