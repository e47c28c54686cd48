//! The calls down: Xen's `hvc #0xEA1` (`xen/include/public/arch-arm.h`) and PSCI (ARM DEN0022).

use core::arch::asm;
use fata_boot::info::Conduit;

/// Calls Xen: number in x16, arguments in x0–x4, result in x0.
///
/// # Safety
///
/// As for [`xen_hyp::platform::Platform::hypercall`].
pub unsafe fn xen(nr: usize, args: [usize; 5]) -> isize {
    let result: isize;
    // SAFETY: the caller vouches for what the call does; what it clobbers is declared.
    unsafe {
        asm!(
            "hvc #0xEA1",
            inout("x16") nr => _,
            inout("x0") args[0] => result,
            inout("x1") args[1] => _,
            inout("x2") args[2] => _,
            inout("x3") args[3] => _,
            inout("x4") args[4] => _,
            options(nostack),
        );
    }
    result
}

/// `SYSTEM_OFF` of PSCI 0.2.
pub const PSCI_SYSTEM_OFF: u32 = 0x8400_0008;
/// `SYSTEM_RESET` of PSCI 0.2.
pub const PSCI_SYSTEM_RESET: u32 = 0x8400_0009;

/// Asks the firmware, or whoever plays it, to stop or restart the machine. Returns if it does not know how.
pub fn psci(conduit: Conduit, function: u32) {
    let function = u64::from(function);
    match conduit {
        // SAFETY: neither function has arguments or touches memory of a machine that goes on.
        Conduit::Hvc => unsafe {
            asm!("hvc #0", inout("x0") function => _, out("x1") _, out("x2") _, out("x3") _);
        },
        // SAFETY: as above.
        Conduit::Smc => unsafe {
            asm!("smc #0", inout("x0") function => _, out("x1") _, out("x2") _, out("x3") _);
        },
    }
}
