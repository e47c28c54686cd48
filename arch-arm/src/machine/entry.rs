//! From the first instruction to Rust: sign of life, early map, relocation.
//!
//! State at entry (Linux `Documentation/arch/arm64/booting.rst`, which Xen follows): MMU off, interrupts
//! masked, `x0` = device tree, image anywhere. Everything here is position independent and uses no stack.
//!
//! | register | holds |
//! |---|---|
//! | x19 | device tree address |
//! | x20 | XENVER_version, negative without Xen |
//! | x21 | exception level at entry |
//! | x22 | image base |
//! | x24 | the virtual counter |

use core::arch::global_asm;

global_asm!(
    r#"
.section .head, "ax"
.globl _start
_start:
    b       1f
    .long   0
    .quad   0                       // text_offset
    .quad   _image_end - _start     // image_size: includes BSS and stacks
    .quad   0xa                     // little endian, 4 KiB pages, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0
    .ascii  "FATAHEAD"              // boot/payload: what may be put behind the finished image
.globl _payload
_payload:
    .quad   0                       // where it begins, seen from _start
    .quad   0                       // its length

1:  mov     x19, x0
    mrs     x24, cntvct_el0
    adr     x22, _start
    adr     x1, vectors
    mrs     x21, CurrentEL
    lsr     x21, x21, #2
    cmp     x21, #2
    b.ne    2f

    // Booted without a hypervisor below us: continue at EL1, where everything else runs.
    msr     vbar_el2, x1            // so that an hvc comes back with an error
    mov     x2, #(1 << 31)          // HCR_EL2.RW: EL1 is AArch64
    msr     hcr_el2, x2
    mov     x2, #0x33ff             // CPTR_EL2: RES1 bits, FP/SIMD not trapped
    msr     cptr_el2, x2
    mov     x2, #3                  // CNTHCTL_EL2: EL1 may use the counters
    msr     cnthctl_el2, x2
    msr     cntvoff_el2, xzr
    ldr     x2, =0x30d00800         // SCTLR_EL1: RES1 bits, MMU and caches off
    msr     sctlr_el1, x2
    mov     x2, #0x3c5              // SPSR_EL2: EL1h, DAIF masked
    msr     spsr_el2, x2
    adr     x2, 2f
    msr     elr_el2, x2
    isb
    eret

2:  msr     vbar_el1, x1
    mov     x1, #(3 << 20)          // CPACR_EL1.FPEN: before any Rust, which uses NEON registers
    msr     cpacr_el1, x1
    isb

    // First sign of life: CONSOLEIO_write, which needs neither a stack nor our memory to be cached.
    mov     x0, #0
    mov     x1, #(4f - 3f)
    adr     x2, 3f
    mov     x16, #18                // __HYPERVISOR_console_io
    hvc     #0xEA1
    mov     x0, #0                  // XENVER_version
    mov     x1, #0
    mov     x16, #17                // __HYPERVISOR_xen_version
    hvc     #0xEA1
    mov     x20, x0

    // Pages are mapped where the image lies, so it must lie on a page boundary.
    tst     x22, #0xfff
    b.ne    unaligned
    b       5f
3:  .ascii  "Fata\n"
4:
    .balign 4
5:  // An identity map of 1 GiB blocks: Xen's magic pages, the image, the device tree, the payload.
    adrp    x23, _early_table
    mov     x2, x23
    add     x3, x23, #4096
6:  dc      ivac, x2                // no stale line may be written back over what follows
    stp     xzr, xzr, [x2]
    stp     xzr, xzr, [x2, #16]
    stp     xzr, xzr, [x2, #32]
    stp     xzr, xzr, [x2, #48]
    add     x2, x2, #64
    cmp     x2, x3
    b.lo    6b
    ldr     x4, =0x705              // AttrIndx 1 (Normal), EL1 RW, inner shareable, accessed, block
    mov     x5, xzr
    bl      map_gib
    mov     x5, x22
    bl      map_gib
    mov     x5, x19
    bl      map_gib
    add     x5, x19, #0x200000      // a device tree is at most 2 MiB long
    bl      map_gib
    adr     x5, _payload
    ldp     x5, x6, [x5]            // a payload is at most 512 MiB long
    add     x5, x5, x22
    add     x5, x5, x6
    bl      map_gib
    dmb     sy
    mov     x2, x23
7:  dc      ivac, x2                // nor may a line fetched meanwhile hide the table from the walker
    add     x2, x2, #64
    cmp     x2, x3
    b.lo    7b

    mov     x1, #0xff00             // MAIR: 0 = Device-nGnRnE, 1 = Normal write-back
    msr     mair_el1, x1
    mrs     x2, id_aa64mmfr0_el1
    and     x2, x2, #7              // PARange; more than 48 bits are never needed here
    cmp     x2, #5
    mov     x3, #5
    csel    x2, x2, x3, ls
    ldr     x1, =0x803519           // TCR: T0SZ=25, TTBR0 write-back inner shareable, 4 KiB, EPD1
    orr     x1, x1, x2, lsl #32
    msr     tcr_el1, x1
    msr     ttbr0_el1, x23
    isb
    tlbi    vmalle1
    dsb     nsh
    isb
    ldr     x1, =0x30d0198d         // SCTLR: RES1, M, C, I, SA, and nothing unexpected
    msr     sctlr_el1, x1
    isb

    // The file keeps data right behind the constants; it belongs on a page of its own. Last word first, since
    // it may reach into where it goes.
    adrp    x1, _data_load
    add     x1, x1, :lo12:_data_load
    adrp    x2, _data_start
    add     x2, x2, :lo12:_data_start
    adrp    x3, _data_end
    add     x3, x3, :lo12:_data_end
    sub     x4, x3, x2
    add     x1, x1, x4
17: cmp     x3, x2
    b.ls    18f
    ldp     x4, x5, [x1, #-16]!
    stp     x4, x5, [x3, #-16]!
    b       17b

18: // RELR: even entries are addresses, odd ones bitmaps of the 63 words that follow.
    adrp    x1, _relr_start
    add     x1, x1, :lo12:_relr_start
    adrp    x2, _relr_end
    add     x2, x2, :lo12:_relr_end
8:  cmp     x1, x2
    b.hs    12f
    ldr     x3, [x1], #8
    tbnz    x3, #0, 9f
    add     x4, x3, x22
    ldr     x5, [x4]
    add     x5, x5, x22
    str     x5, [x4], #8
    b       8b
9:  mov     x6, x4
10: lsr     x3, x3, #1
    cbz     x3, 11f
    tbz     x3, #0, 13f
    ldr     x5, [x6]
    add     x5, x5, x22
    str     x5, [x6]
13: add     x6, x6, #8
    b       10b
11: add     x4, x4, #504
    b       8b

12: adrp    x1, _bss_start
    add     x1, x1, :lo12:_bss_start
    adrp    x2, _bss_end            // both are 16-byte aligned
14: cmp     x1, x2
    b.hs    15f
    stp     xzr, xzr, [x1], #16
    b       14b

    // From here on an exception comes from SP_EL0 and switches to SP_EL1, so a lost stack can be reported.
15: adrp    x1, _fault_stack_top
    mov     sp, x1
    msr     spsel, #0
    adrp    x1, _stack_top
    mov     sp, x1
    mov     x29, xzr                // ends the chain of frames
    mov     x30, xzr
    mov     x0, x19
    mov     x1, x22
    mov     x2, x20
    mov     x3, x21
    mov     x4, x24
    bl      {rust}
    b       .

// Maps the GiB that holds x5; 39 bits of address space, so what lies above is left out and faults.
map_gib:
    lsr     x6, x5, #30
    cmp     x6, #512
    b.hs    16f
    orr     x7, x4, x6, lsl #30
    str     x7, [x23, x6, lsl #3]
16: ret

unaligned:
    mov     x0, #0
    mov     x1, #(20f - 19f)
    adr     x2, 19f
    mov     x16, #18
    hvc     #0xEA1
// No way on, and no stack to say more: end the domain.
.globl early_crash
early_crash:
    adr     x1, crash_reason        // struct sched_shutdown in read-only memory
    mov     x0, #2                  // SCHEDOP_shutdown
    mov     x16, #29                // __HYPERVISOR_sched_op
    hvc     #0xEA1
    ldr     x0, =0x84000008         // PSCI SYSTEM_OFF
    hvc     #0
    b       .
19: .ascii  "Fata: the image must be loaded at a multiple of 4096\n"
20: .balign 4
crash_reason:
    .long   3                       // SHUTDOWN_crash

.ltorg

.section .noinit.tables, "aw", %nobits
.balign 4096
_early_table:
    .skip   4096
"#,
    rust = sym super::start::start,
);
