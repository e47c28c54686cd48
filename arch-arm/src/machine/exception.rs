//! Exceptions: all of them are the end, and a report of it.
//!
//! Interrupts stay masked for good (the run loop polls the GIC), so what arrives here is a fault. Code runs
//! on SP_EL0; an exception switches to SP_EL1, a stack of its own, so that a stack overflow can be reported.

use super::start::image;
use crate::syndrome::Syndrome;
use core::arch::{asm, global_asm};
use core::fmt::{self, Write};

global_asm!(
    r#"
.section .text.vectors, "ax"
.balign 2048
.globl vectors
vectors:
.set kind, 0
.rept 16
.if kind < 4                        // from our own code, on SP_EL0
    sub     sp, sp, #304
    stp     x0, x1, [sp]
    mov     x0, #kind
    b       report
.elseif kind == 4                   // on SP_EL1: from entry.rs probing for Xen, or from the report itself;
    msr     tpidr_el1, x0           // but Xen enters here for our own code too (exception_handler64 in its traps.c)
    mrs     x0, spsr_el1
    tbnz    x0, #0, 1f              // M[0]: on SP_EL1 indeed
    mrs     x0, tpidr_el1
    sub     sp, sp, #304
    stp     x0, x1, [sp]
    mov     x0, #0
    b       report
1:  mrs     x0, esr_el1
    lsr     x0, x0, #26
    cbnz    x0, give_up             // not EC 0, which an hvc without a hypervisor has
    mrs     x0, elr_el1
    add     x0, x0, #4
    msr     elr_el1, x0
    mov     x0, #-38                // -ENOSYS
    eret
.elseif kind == 8                   // at EL2, from EL1: an hvc where there is no hypervisor but these vectors
    mov     x0, #-38
    eret
.else
    b       give_up
.endif
.set kind, kind + 1
.balign 128
.endr

report:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x1, sp_el0
    stp     x30, x1, [sp, #240]
    mrs     x1, elr_el1
    mrs     x2, spsr_el1
    stp     x1, x2, [sp, #256]
    mrs     x1, esr_el1
    mrs     x2, far_el1
    stp     x1, x2, [sp, #272]
    mov     x1, sp
    bl      {report}

give_up:
    mrs     x0, sctlr_el1
    tbnz    x0, #0, 2f
    b       early_crash             // before the MMU is on there is no Rust
2:  adrp    x1, _fault_stack_top
    mov     sp, x1
    bl      {crash}
"#,
    report = sym report,
    crash = sym super::early::crash,
);

/// The registers as they were, in the order the vector stores them.
#[repr(C)]
struct Frame {
    x: [u64; 31],
    sp: u64,
    elr: u64,
    spsr: u64,
    esr: u64,
    far: u64,
    _align: [u64; 2],
}
const _: () = assert!(size_of::<Frame>() == 304);

extern "C" fn report(kind: u64, frame: &Frame) -> ! {
    let what = Fault { kind, frame };
    fata_boot::last_words::die(format_args!("{what}"), Some(&|out| frame.print(out)))
}

struct Fault<'a> {
    kind: u64,
    frame: &'a Frame,
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let syndrome = Syndrome(self.frame.esr);
        match self.kind {
            0 => write!(f, "{syndrome}")?,
            1 | 2 => f.write_str("an interrupt, although interrupts are masked")?,
            _ => f.write_str("SError")?,
        }
        if !syndrome.has_address() {
            return Ok(());
        }
        let at = self.frame.far;
        write!(f, ", at {at:#x}")?;
        let within = |from, to| (from..to).contains(&at);
        f.write_str(if within(image::stack_guard(), image::stack_bottom()) {
            " (stack overflow: the guard page below the stack)"
        } else if at < 4096 {
            " (null page)"
        } else if within(image::start(), image::text_end()) {
            " (our instructions)"
        } else if within(image::text_end(), image::rodata_end()) {
            " (our constants)"
        } else if within(image::start(), image::end()) {
            " (our data)"
        } else {
            ""
        })
    }
}

impl Frame {
    fn print(&self, out: &mut dyn Write) {
        let _ = writeln!(
            out,
            "  ELR {:#018x} ESR {:#010x} FAR {:#018x} SPSR {:#x} SP {:#x}",
            self.elr, self.esr, self.far, self.spsr, self.sp
        );
        for (row, registers) in self.x.chunks(4).enumerate() {
            for (i, value) in registers.iter().enumerate() {
                let _ = write!(out, " x{:<2} {value:016x}", row * 4 + i);
            }
            let _ = out.write_str("\n");
        }
        // The faulting instruction, then its caller: x30, unless the frame record says it too.
        let mut n = 0;
        print_frame(out, &mut n, self.elr);
        if !in_text(self.elr) {
            print_frame(out, &mut n, self.x[30].wrapping_sub(4));
        }
        walk(out, &mut n, self.x[29]);
    }
}

/// Prints the callers of whoever calls this.
pub(crate) fn backtrace_here(out: &mut dyn Write) {
    let fp: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, x29", out(reg) fp, options(nomem, nostack, preserves_flags)) };
    walk(out, &mut 0, fp);
}

/// Follows frame records (AAPCS64, 6.4.6: x29 points to the caller's x29 and x30) up the stacks we own.
fn walk(out: &mut dyn Write, n: &mut u32, mut fp: u64) {
    const MOST: u32 = 32;
    while *n < MOST && fp.is_multiple_of(16) && fp >= image::stack_bottom() && fp < image::end() - 16 {
        let record = core::ptr::with_exposed_provenance::<[u64; 2]>(fp as usize);
        // SAFETY: aligned, and inside the stacks, which are always mapped; read as a copy that may be garbage.
        let [up, back] = unsafe { *record };
        if back == 0 {
            return;
        }
        print_frame(out, n, back.wrapping_sub(4));
        if up <= fp {
            return; // the stack grows down: anything else is not a chain
        }
        fp = up;
    }
}

/// One line for xtask to put a name to: the offset in the image of the instruction.
fn print_frame(out: &mut dyn Write, n: &mut u32, pc: u64) {
    let _ = if in_text(pc) {
        writeln!(out, "  bt #{n:02} +{:#x}", pc - image::start())
    } else {
        writeln!(out, "  bt #{n:02} {pc:#x}")
    };
    *n += 1;
}

fn in_text(pc: u64) -> bool {
    (image::start()..image::text_end()).contains(&pc)
}
