//! Does with libxenvchan what `images/vchan-bench` does: either end of its measurements, in domain 0 or in a guest.
//!
//! | arguments | what it does |
//! |---|---|
//! | `serve DOMID PATH LEFT RIGHT` | serves one client after the other at that path in Xenstore, through rings of these sizes in bytes |
//! | `load DOMID PATH JOBS` | waits for such a server and does its jobs, `send,64,1000` and others, separated by `;` |
//! | `send DOMID PATH BYTES SEED` | waits for a server that sends back what it gets, sends it so much in pieces of any length, and compares |
//! | `echo DOMID PATH SIZE SEED` | is such a server, through rings of that size, for one client |
//! | `killed DOMID PATH COUNT SEED` | so many clients of such a server are killed at any point, and then one is not; with a count of 0 none is, and there is no end |
//! | `killed DOMID PATH COUNT SEED LEFT RIGHT` | the same with servers of these rings |
//!
//! Marks for the counting plugin are set around each job, as by `fata-peer`.
#![no_std]
#![no_main]
#![allow(unsafe_code)]

mod kills;
mod library;
mod talk;

use core::arch::global_asm;
use core::ffi::{CStr, c_char, c_int};
use core::fmt::{self, Write as _};

use library::{Ended, Vchan};

const FIRST_MARK: u64 = 7_000_100;
/// The largest block. The stack has room for it.
const LARGEST: usize = 1 << 20;
/// How often, and how many milliseconds later, a server is looked for.
const LOOKS: u32 = 1000;
const LOOK_MS: u64 = 20;

// The C library starts its own way: it wants our main function, the arguments, and what the dynamic linker left in x0.
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x5, x0",
    "ldr x1, [sp]",
    "add x2, sp, #8",
    "mov x6, sp",
    "adrp x0, {main}",
    "add x0, x0, :lo12:{main}",
    "mov x3, xzr",
    "mov x4, xzr",
    "bl __libc_start_main",
    "brk #1",
    main = sym main
);

extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    let word = |n: usize| -> &'static CStr {
        if n >= count as usize {
            return c"";
        }
        // SAFETY: that many addresses are there.
        let word = unsafe { *words.wrapping_add(n) };
        // SAFETY: a string with a NUL at its end, which stays.
        unsafe { CStr::from_ptr(word) }
    };
    let text = |n: usize| word(n).to_str().unwrap_or("");
    let number =
        |n: usize| text(n).parse().unwrap_or_else(|_| fail(format_args!("{:?} is no number", text(n))));
    let long = |n: usize| -> u64 {
        text(n).parse().unwrap_or_else(|_| fail(format_args!("{:?} is no number", text(n))))
    };
    match text(1) {
        "serve" => serve(number(2), word(3), number(4) as usize, number(5) as usize),
        "load" => load(number(2), word(3), text(4)),
        "send" => talk::client(number(2), word(3), long(4), long(5)),
        "echo" => talk::server(number(2), word(3), long(4) as usize, long(5)),
        "killed" => {
            let role = match text(6) {
                "" => kills::Role::Client,
                _ => kills::Role::Server(long(6) as usize, long(7) as usize),
            };
            kills::run(role, number(2), word(3), long(4), long(5))
        }
        _ => fail(format_args!("what is to be done?")),
    }
}

fn serve(domain: c_int, path: &CStr, left: usize, right: usize) -> ! {
    let block = &mut [0x5a; LARGEST][..];
    loop {
        let Some(vchan) = Vchan::serve(domain, path, left, right) else {
            fail(format_args!("no vchan can be served"))
        };
        let _ = writeln!(Out, "vchan ready");
        vchan.await_client();
        // The end comes when the client has gone, which is no error.
        let _ = obey(&vchan, block);
    }
}

fn obey(vchan: &Vchan, block: &mut [u8]) -> Result<(), Ended> {
    loop {
        let mut command = [0; 16];
        receive(vchan, &mut command, 16)?;
        let size = u32::from_le_bytes([command[4], command[5], command[6], command[7]]) as usize;
        let [.., a, b, c, d, e, f, g, h] = command;
        let count = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        if size == 0 || size > LARGEST {
            fail(format_args!("a block of {size} bytes"));
        }
        let block = &mut block[..size];
        match command[0] {
            b'R' => {
                receive(vchan, block, count)?;
                vchan.write(b"k")?;
            }
            b'S' => send(vchan, block, count)?,
            b'E' => {
                for _ in 0..count {
                    receive(vchan, block, size as u64)?;
                    send(vchan, block, size as u64)?;
                }
            }
            other => fail(format_args!("what is {other:#x}?")),
        }
    }
}

fn load(domain: c_int, path: &CStr, jobs: &str) -> ! {
    let block = &mut [0x5a; LARGEST][..];
    let vchan = (0..LOOKS).find_map(|_| {
        let found = Vchan::connect(domain, path);
        if found.is_none() {
            library::sleep_ms(LOOK_MS);
        }
        found
    });
    let Some(vchan) = vchan else { fail(format_args!("nobody serves {path:?}")) };
    for (n, text) in jobs.split(';').enumerate() {
        let mut words = text.split(',');
        let kind = words.next().unwrap_or("");
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        let (size, count) = (number() as usize, number());
        if size == 0 || size > LARGEST || count == 0 {
            fail(format_args!("what is {text:?}?"));
        }
        let mark = FIRST_MARK + 2 * n as u64;
        library::is_process(mark);
        let start_ns = library::now_ns();
        let done = one_job(&vchan, kind, &mut block[..size], count);
        let ns = library::now_ns() - start_ns;
        library::is_process(mark + 1);
        if done.is_err() {
            fail(format_args!("{text}: the other end has closed"));
        }
        let _ = writeln!(Out, "vchan {kind} bs {size} count {count} ns {ns}");
    }
    drop(vchan);
    let _ = writeln!(Out, "SUCCESS");
    library::exit(0)
}

fn one_job(vchan: &Vchan, kind: &str, block: &mut [u8], count: u64) -> Result<(), Ended> {
    let (letter, n) = match kind {
        "send" => (b'R', count * block.len() as u64),
        "receive" => (b'S', count * block.len() as u64),
        "echo" => (b'E', count),
        _ => fail(format_args!("what is {kind:?}?")),
    };
    let mut command = [0; 16];
    command[0] = letter;
    command[4..8].copy_from_slice(&(block.len() as u32).to_le_bytes());
    command[8..].copy_from_slice(&n.to_le_bytes());
    vchan.write(&command)?;
    match letter {
        b'R' => {
            send(vchan, block, n)?;
            receive(vchan, &mut [0], 1)
        }
        b'S' => receive(vchan, block, n),
        _ => (0..count).try_for_each(|_| {
            vchan.write(block)?;
            receive(vchan, block, block.len() as u64)
        }),
    }
}

fn receive(vchan: &Vchan, block: &mut [u8], mut bytes: u64) -> Result<(), Ended> {
    while bytes > 0 {
        let at_most = block.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
        bytes -= vchan.read(&mut block[..at_most])? as u64;
    }
    Ok(())
}

fn send(vchan: &Vchan, block: &[u8], mut bytes: u64) -> Result<(), Ended> {
    while bytes > 0 {
        let piece = &block[..block.len().min(usize::try_from(bytes).unwrap_or(usize::MAX))];
        vchan.write(piece)?;
        bytes -= piece.len() as u64;
    }
    Ok(())
}

/// Standard output.
struct Out;

impl fmt::Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        library::print(text);
        Ok(())
    }
}

fn fail(why: fmt::Arguments<'_>) -> ! {
    let _ = writeln!(Out, "FAILURE: {why}");
    library::exit(1)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    fail(format_args!("{info}"))
}
