//! Measures `/dev/xvda` under Linux: direct I/O by the cheapest calls there are, nothing in between.
//!
//! A request at a time goes by `pread64` or `pwrite64`; several go by `io_submit`, and as many are submitted at once
//! as have ended. `kill(7000100 + 2 n, 0)` before job n and one number more after it are marks for the counting
//! plugin (tests/lab/plugin/count.c): no process has such a number, so nothing happens.
#![no_std]
#![no_main]
#![allow(unsafe_code)]

mod sys;

use core::arch::global_asm;
use core::ffi::CStr;
use core::fmt::{self, Write as _};
use core::ptr;

use fata_peer::Job;
use sys::{Buffers, Device, Event, Failed, Out, Queue, Request};

const FIRST_MARK: usize = 7_000_100;

// The stack as Linux leaves it: the number of arguments, then their addresses.
global_asm!(".globl _start", "_start:", "mov x29, xzr", "mov x0, sp", "bl {main}", main = sym main);

extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: Linux puts the number of arguments there.
    let count = unsafe { *stack };
    if count != 2 {
        fail(format_args!("one argument is needed"));
    }
    // SAFETY: that many addresses follow; the first is of the program's own name.
    let argument = unsafe { *stack.wrapping_add(2) };
    // SAFETY: a string with a NUL at its end, which stays.
    let jobs = unsafe { CStr::from_ptr(ptr::with_exposed_provenance(argument)) };
    match jobs.to_str() {
        Ok(jobs) => run(jobs).unwrap_or_else(|failed| fail(format_args!("{failed}"))),
        Err(_) => fail(format_args!("the jobs are no text")),
    }
    sys::exit(0)
}

fn run(jobs: &str) -> Result<(), Failed> {
    let device = Device::open(c"/dev/xvda")?;
    let bytes = device.bytes()?;
    let buffers = Buffers::new(Job::DEEPEST * Job::LARGEST as usize)?;
    for (n, text) in jobs.split(';').enumerate() {
        let job = Job::parse(text).unwrap_or_else(|| fail(format_args!("what is {text:?}?")));
        if bytes < job.block {
            fail(format_args!("the disk has {bytes} bytes"));
        }
        sys::is_process(FIRST_MARK + 2 * n);
        let start_ns = sys::now_ns()?;
        match job.depth {
            1 => one_at_a_time(&device, bytes, buffers, &job)?,
            _ => several(&device, bytes, buffers, &job)?,
        }
        let ns = sys::now_ns()? - start_ns;
        sys::is_process(FIRST_MARK + 2 * n + 1);
        let _ = writeln!(Out, "{job} ns {ns}");
    }
    Ok(())
}

fn one_at_a_time(device: &Device, bytes: u64, buffers: Buffers, job: &Job) -> Result<(), Failed> {
    for n in 0..job.requests() {
        let offset = job.offset(n, bytes);
        if device.transfer(job.write, buffers, job.block as usize, offset)? as u64 != job.block {
            fail(format_args!("the request at {offset} was cut short"));
        }
    }
    Ok(())
}

fn several(device: &Device, bytes: u64, buffers: Buffers, job: &Job) -> Result<(), Failed> {
    let queue = Queue::new(job.depth)?;
    let mut requests = [Request::default(); Job::DEEPEST];
    let mut events = [Event::default(); Job::DEEPEST];
    for n in 0..job.depth {
        requests[n] = device.request(job.write, buffers, n, job.block);
        events[n].data = n as u64;
    }
    let (mut begun, mut done, mut free) = (0, 0, job.depth);
    while done < job.requests() {
        let count = free.min((job.requests() - begun) as usize);
        for event in &events[..count] {
            requests[event.data as usize].offset = job.offset(begun, bytes);
            begun += 1;
        }
        let mut next = [&requests[0]; Job::DEEPEST];
        for (next, event) in next.iter_mut().zip(&events[..count]) {
            *next = &requests[event.data as usize];
        }
        if count > 0 && queue.submit(&next[..count])? != count {
            fail(format_args!("Linux takes less than {count} requests"));
        }
        free = queue.wait(&mut events[..job.depth])?;
        if let Some(event) = events[..free].iter().find(|event| event.result != job.block as i64) {
            fail(format_args!("a request ended with {}", event.result));
        }
        done += free as u64;
    }
    Ok(())
}

fn fail(why: fmt::Arguments<'_>) -> ! {
    let _ = writeln!(Out, "FAILURE: {why}");
    sys::exit(1)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    fail(format_args!("{info}"))
}
