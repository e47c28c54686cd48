//! mir-console on the machine Xen shows an ARM guest.
#![no_std]
#![no_main]

use fata_rt as rt;
use fata_xenvm_arm64::{self as board, fault};
use mir_console::machine::{Fault, Machine, Stack};
use mir_console::{Exit, app};
use xen_hyp::{Reason, Xen};

fata_boot::entry!(main, board::Boot);

fn main(boot: board::Boot) -> ! {
    let parts = board::discover(boot);
    let xen = Xen::new(board::cpu(&parts));
    let console = board::console(&xen, &parts);
    let kind = console.kind();
    let exit = rt::run(&xen, async |rt| {
        board::attend(&rt, &console);
        let machine = Machine {
            info: &parts.info,
            console: kind.name(),
            timer_hz: board::timer_hz(),
            image: &board::sections(),
            stack: || {
                let (size, used) = board::stack();
                Stack { size, used }
            },
            print_dt: board::dt::print,
            commit: |fault| match fault {
                Fault::StackOverflow => fault::overflow_stack(),
                Fault::NullDereference => fault::null(),
                Fault::WriteText => fault::write_to_text(),
                Fault::ExecuteData => fault::execute_data(),
            },
        };
        app(rt, xen.clone(), &*console, machine).await
    });
    let reason = match exit {
        Ok(Exit::Reboot) => Reason::Reboot,
        Ok(Exit::Crash) => Reason::Crash,
        Ok(Exit::Poweroff) | Err(_) => Reason::Poweroff,
    };
    board::shutdown(&xen, &console, reason)
}
