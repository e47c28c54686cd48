//! The other side of `images/base-bench/src/lent.rs`: pages of domain 0 that a guest maps, and has Xen copy.

use core::fmt::Write as _;

use crate::sys::{AllocGrants, Failed, File, Out, Shared, sleep_ns};

const PAGE_BYTES: usize = 4096;
const PAGE_WORDS: usize = PAGE_BYTES / 4;
/// What the guest writes into the last word of the first page when it is done.
const DONE: u32 = 0xd07e;
/// Who wrote a word: we, the guest through its mapping, or Xen for it.
const OURS: u32 = 1;
const MAPPED: u32 = 2;
const COPIED: u32 = 3;
/// How often it is looked whether the guest is done, and for how long.
const LOOK_NS: u64 = 20_000_000;
const LOOKS: u32 = 3000;

/// Lends so many pages to a domain, and one more for reading only; names them; waits until the domain has done with them
/// what it should, and says whether it has.
pub(crate) fn lend(domain: u16, pages: usize) -> Result<(), Failed> {
    let device = File::open(c"/dev/xen/gntalloc", 0)?;
    let mut grants = AllocGrants::new(domain, true, pages);
    device.control(&mut grants)?;
    let mut read_only = AllocGrants::new(domain, false, 1);
    device.control(&mut read_only)?;
    let memory = device.share(grants.offset, pages * PAGE_BYTES)?;
    let kept = device.share(read_only.offset, PAGE_BYTES)?;
    fill(memory, 0, pages);
    fill(kept, pages, 1);
    let _ = write!(Out, "lent");
    for gref in grants.grefs[..pages].iter().chain(&read_only.grefs[..1]) {
        let _ = write!(Out, " {gref}");
    }
    let _ = writeln!(Out);
    let mut looks = 0;
    while memory.load(PAGE_WORDS - 1) != DONE {
        looks += 1;
        if looks > LOOKS {
            crate::fail(format_args!("the guest does not get done with its pages"));
        }
        sleep_ns(LOOK_NS)?;
    }
    for n in 0..pages * PAGE_WORDS {
        let writer = match n % PAGE_WORDS * 4 / PAGE_WORDS {
            0 => MAPPED,
            1 => COPIED,
            _ => OURS,
        };
        if n != PAGE_WORDS - 1 && memory.load(n) != word(writer, n) {
            crate::fail(format_args!("word {n} is {:#x}", memory.load(n)));
        }
    }
    for n in 0..PAGE_WORDS {
        if kept.load(n) != word(OURS, pages * PAGE_WORDS + n) {
            crate::fail(format_args!("word {n} of what was for reading only is {:#x}", kept.load(n)));
        }
    }
    let _ = writeln!(Out, "SUCCESS");
    Ok(())
}

/// Writes so many pages full, the first of which has this number.
fn fill(memory: Shared, first: usize, pages: usize) {
    for n in 0..pages * PAGE_WORDS {
        memory.store(n, word(OURS, first * PAGE_WORDS + n));
    }
}

/// What is to be in the `n`th word if this one wrote it.
fn word(writer: u32, n: usize) -> u32 {
    (writer << 24 | n as u32).wrapping_mul(0x9e37_79b1)
}
