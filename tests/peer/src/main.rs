//! Does under Linux what images do on Xen, by the cheapest calls there are, and in domain 0 what measuring needs.
//!
//! | arguments | what it does |
//! |---|---|
//! | `block JOBS` | in a guest, the jobs of `images/block-bench` with `/dev/xvda` |
//! | `outage` | in a guest, reads `/dev/xvda` until a read took long, marks 100 and says how long |
//! | `base JOBS` | in a guest, the jobs of `images/base-bench` |
//! | `serve` | in a guest, what `images/net-bench` serves, in processes of their own that stay |
//! | `load ADDRESS JOBS` | in domain 0, drives such a guest; marks as below, around each job's own packets |
//! | `await ADDRESS MS` | in domain 0, waits so long at most until that address answers a ping, and marks 100 then |
//! | `await-name ADDRESS MS` | the same until it answers the first query in /tmp/dns-hits |
//! | `await-page ADDRESS MS` | the same until it has answered a request for a page |
//! | `verify ADDRESS BYTES` | in domain 0, sends so many bytes to such a guest, or until there is /tmp/enough, and compares what comes back |
//! | `offloads INTERFACE on` or `off` | in either, has Linux leave sums and segmentation to the interface, or not |
//! | `capture INTERFACE [BYTES]` | in domain 0, writes all frames of the interface, or so much of each, to standard output, as a pcap file |
//! | `echo DOMID PORT` | in domain 0, answers each event of that port with one |
//! | `lend DOMID PAGES` | in domain 0, lends pages, says which, and checks what the domain has done with them |
//! | `clock` | in domain 0, says how many nanoseconds it has been running |
//! | `converse ADDRESS COUNT` | in domain 0, makes so many requests of `images/echo`, on many connections |
//! | `idle ADDRESS COUNT` | in domain 0, opens so many connections to such a guest, and keeps them until it is killed |
//! | `cpu` | in domain 0, says how many nanoseconds each domain has had the CPU |
//!
//! `kill(7000100 + 2 n, 0)` before job n and one number more after it are marks for the counting plugin
//! (tests/lab/plugin/count.c): no process has such a number, so nothing happens.
#![no_std]
#![no_main]
#![allow(unsafe_code)]

mod capture;
mod disk;
mod dom0;
mod guest;
mod lend;
mod load;
mod many;
mod names;
mod serve;
mod socket;
mod store;
mod sys;
mod web;

use core::arch::global_asm;
use core::ffi::CStr;
use core::fmt::{self, Display, Write as _};
use core::ptr;

use sys::{Failed, Out};

const FIRST_MARK: usize = 7_000_100;

// The stack as Linux leaves it: the number of arguments, then their addresses.
global_asm!(".globl _start", "_start:", "mov x29, xzr", "mov x0, sp", "bl {main}", main = sym main);

extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: Linux puts the number of arguments there.
    let count = unsafe { *stack };
    let mut arguments = [""; 4];
    for (n, argument) in arguments.iter_mut().enumerate().take(count) {
        // SAFETY: that many addresses follow.
        let address = unsafe { *stack.wrapping_add(1 + n) };
        // SAFETY: a string with a NUL at its end, which stays.
        let text = unsafe { CStr::from_ptr(ptr::with_exposed_provenance(address)) };
        *argument = text.to_str().unwrap_or_else(|_| fail(format_args!("argument {n} is no text")));
    }
    let done = match arguments {
        [_, "block", jobs, ""] => disk::run(jobs),
        [_, "outage", ..] => disk::outage(),
        [_, "base", jobs, ""] => guest::run(jobs),
        [_, "serve", "", ""] => serve::run(),
        [_, "load", target, jobs] => load::run(address(target), jobs),
        [_, "await", target, ms] => load::await_answer(address(target), number(ms).into()),
        [_, "await-name", target, ms] => names::await_answer(address(target), number(ms).into()),
        [_, "await-page", target, ms] => web::await_answer(address(target), number(ms).into()),
        [_, "verify", target, bytes] => load::verify(address(target), number(bytes).into()),
        [_, "hold", target, counts] => {
            let (held, more) = counts.split_once(',').unwrap_or((counts, "0"));
            many::hold(address(target), number(held).into(), number(more).into())
        }
        [_, "converse", target, count] => many::converse(address(target), number(count).into()),
        [_, "idle", target, count] => many::idle(address(target), number(count).into()),
        [_, "request", target, count] => many::request(address(target), number(count).into()),
        [_, "offloads", interface, on @ ("on" | "off")] => capture::offloads(interface, on == "on"),
        [_, "capture", interface, ""] => capture::run(interface, capture::FRAME),
        [_, "capture", interface, most] => capture::run(interface, number(most) as usize),
        [_, "echo", domain, port] => dom0::echo(number(domain), number(port)),
        [_, "lend", domain, pages] => lend::lend(number(domain) as u16, number(pages) as usize),
        [_, "cpu", "", ""] => dom0::cpu(),
        [_, "clock", "", ""] => sys::now_ns().map(|ns| _ = writeln!(Out, "ns {ns}")),
        _ => fail(format_args!("what is to be done?")),
    };
    match done {
        Ok(()) => sys::exit(0),
        Err(failed) => fail(format_args!("{failed}")),
    }
}

/// Does each of some jobs between two marks, and says what it took.
fn each_job<J: Display>(
    jobs: &str,
    parse: impl Fn(&str) -> Option<J>,
    mut work: impl FnMut(&J) -> Result<(), Failed>,
) -> Result<(), Failed> {
    for (n, text) in jobs.split(';').enumerate() {
        let job = parse(text).unwrap_or_else(|| fail(format_args!("what is {text:?}?")));
        sys::is_process(FIRST_MARK + 2 * n);
        let start_ns = sys::now_ns()?;
        work(&job)?;
        let ns = sys::now_ns()? - start_ns;
        sys::is_process(FIRST_MARK + 2 * n + 1);
        let _ = writeln!(Out, "{job} ns {ns}");
    }
    Ok(())
}

fn address(text: &str) -> core::net::IpAddr {
    text.parse().unwrap_or_else(|_| fail(format_args!("{text:?} is no address")))
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or_else(|_| fail(format_args!("{text:?} is no number")))
}

fn fail(why: fmt::Arguments<'_>) -> ! {
    let _ = writeln!(Out, "FAILURE: {why}");
    sys::exit(1)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    fail(format_args!("{info}"))
}
