//! log-console on the machine Xen shows an ARM guest.
#![no_std]
#![no_main]

use fata_devices::conduit::Vchans;
use fata_rt as rt;
use fata_xenvm_arm64 as board;
use xen_hyp::{Reason, Xen};

fata_boot::entry!(main, board::Boot);

fn main(boot: board::Boot) -> ! {
    let parts = board::discover(boot);
    let xen = Xen::new(board::cpu(&parts));
    let console = board::console(&xen, &parts);
    // A console that is gone is nobody to tell.
    let _ = rt::run(&xen, async |rt| {
        board::attend(&rt, &console);
        let vchans = Vchans::new(&rt, &xen, None).with_statics(board::vchans(&parts.info));
        log_console::app(rt, vchans, &*console, parts.info.cmdline).await
    });
    board::shutdown(&xen, &console, Reason::Poweroff)
}
