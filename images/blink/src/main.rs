//! blink on the machine Xen shows an ARM guest.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use fata_rt as rt;
use fata_xenvm_arm64 as board;
use xen_hyp::{Reason, Xen};

fata_boot::entry!(main, board::Boot);

fn main(boot: board::Boot) -> ! {
    let parts = board::discover(boot);
    let xen = Xen::new(board::cpu(&parts));
    let console = board::console(&xen, &parts);
    let open = |device| {
        let passed = board::passed(&xen, &parts.info, device)?;
        Some(blink::Opened { interrupts: passed.has_interrupts(), registers: Box::new(passed) })
    };
    // A console that is gone is nobody to tell.
    let _ = rt::run(&xen, async |rt| {
        board::attend(&rt, &console);
        blink::app(rt, &*console, &parts.info, &open).await
    });
    board::shutdown(&xen, &console, Reason::Poweroff)
}
