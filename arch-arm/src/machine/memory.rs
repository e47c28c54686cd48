//! `memcpy`, `memmove`, `memset`, `memcmp`, `bcmp`: what the compiler calls to move bytes and to compare them.
//!
//! Those that come with it move eight bytes at a time, and compare one; a copy of a frame took ten times the instructions
//! that it takes with these. They count on the MMU being on and memory being Normal, as all Rust here does (entry.rs): accesses of any
//! width at any alignment.
//!
//! In assembly, since a loop in Rust that copies is turned into a call of `memcpy`. Nothing is pushed, and only registers
//! are changed that a function may change (AAPCS64). The names are weak in what comes with the compiler, so that these win.

use core::arch::global_asm;

global_asm!(
    r#"
    .section .text.memcpy, "ax", %progbits
    .balign 64
    .global memcpy
    .type memcpy, %function
    .global memmove
    .type memmove, %function
memmove:
    // Backwards only if the target begins within the source.
    sub     x3, x0, x1
    cmp     x3, x2
    b.lo    50f
memcpy:
    add     x4, x1, x2              // The ends.
    add     x5, x0, x2
    cmp     x2, #16
    b.lo    20f
    cmp     x2, #64
    b.hi    30f
    // 16 to 64 bytes: all is loaded before anything is stored, so that overlaps do no harm.
    ldr     q0, [x1]
    ldr     q1, [x4, #-16]
    cmp     x2, #32
    b.ls    10f
    ldr     q2, [x1, #16]
    ldr     q3, [x4, #-32]
    str     q2, [x0, #16]
    str     q3, [x5, #-32]
10: str     q0, [x0]
    str     q1, [x5, #-16]
    ret
20: // Less than 16.
    tbz     x2, #3, 21f
    ldr     x6, [x1]
    ldr     x7, [x4, #-8]
    str     x6, [x0]
    str     x7, [x5, #-8]
    ret
21: tbz     x2, #2, 22f
    ldr     w6, [x1]
    ldr     w7, [x4, #-4]
    str     w6, [x0]
    str     w7, [x5, #-4]
    ret
22: cbz     x2, 23f
    // One to three: the first, the last, and the one in the middle.
    lsr     x8, x2, #1
    ldrb    w6, [x1]
    ldrb    w7, [x4, #-1]
    ldrb    w9, [x1, x8]
    strb    w6, [x0]
    strb    w9, [x0, x8]
    strb    w7, [x5, #-1]
23: ret
30: // More than 64: the last 64 bytes are loaded first, and stored last.
    ldp     q4, q5, [x4, #-64]
    ldp     q6, q7, [x4, #-32]
    mov     x3, x0
    sub     x6, x2, #1
    lsr     x6, x6, #6              // Blocks of 64 before these.
    subs    x6, x6, #8
    b.lo    32f
31:
    .rept   8
    ld1     {{v16.2d-v19.2d}}, [x1], #64
    st1     {{v16.2d-v19.2d}}, [x3], #64
    .endr
    subs    x6, x6, #8
    b.hs    31b
32: adds    x6, x6, #8
    b.eq    34f
33: ld1     {{v16.2d-v19.2d}}, [x1], #64
    st1     {{v16.2d-v19.2d}}, [x3], #64
    subs    x6, x6, #1
    b.ne    33b
34: stp     q4, q5, [x5, #-64]
    stp     q6, q7, [x5, #-32]
    ret
50: // Backwards, the first 64 bytes last.
    add     x4, x1, x2
    add     x5, x0, x2
    cmp     x2, #16
    b.lo    20b
    cmp     x2, #64
    b.hi    55f
    ldr     q0, [x1]
    ldr     q1, [x4, #-16]
    cmp     x2, #32
    b.ls    10b
    ldr     q2, [x1, #16]
    ldr     q3, [x4, #-32]
    str     q2, [x0, #16]
    str     q3, [x5, #-32]
    b       10b
55: ldp     q4, q5, [x1]
    ldp     q6, q7, [x1, #32]
    sub     x6, x2, #1
    lsr     x6, x6, #6
56: ldp     q16, q17, [x4, #-64]!
    ldp     q18, q19, [x4, #32]
    stp     q16, q17, [x5, #-64]!
    stp     q18, q19, [x5, #32]
    subs    x6, x6, #1
    b.ne    56b
    stp     q4, q5, [x0]
    stp     q6, q7, [x0, #32]
    ret
    .size memcpy, . - memcpy
    .size memmove, . - memmove

    .section .text.memset, "ax", %progbits
    .balign 64
    .global memset
    .type memset, %function
memset:
    dup     v0.16b, w1
    add     x5, x0, x2
    cmp     x2, #16
    b.lo    20f
    str     q0, [x0]
    str     q0, [x5, #-16]
    cmp     x2, #32
    b.ls    10f
    cmp     x2, #64
    b.hi    30f
    str     q0, [x0, #16]
    str     q0, [x5, #-32]
10: ret
20: tbz     x2, #3, 21f
    str     d0, [x0]
    str     d0, [x5, #-8]
    ret
21: tbz     x2, #2, 22f
    str     s0, [x0]
    str     s0, [x5, #-4]
    ret
22: cbz     x2, 10b
    lsr     x8, x2, #1
    strb    w1, [x0]
    strb    w1, [x0, x8]
    strb    w1, [x5, #-1]
    ret
30: // More than 64: whole blocks, and the last 64 bytes whatever was before.
    mov     v1.16b, v0.16b
    mov     v2.16b, v0.16b
    mov     v3.16b, v0.16b
    mov     x3, x0
    sub     x6, x2, #1
    lsr     x6, x6, #6
31: st1     {{v0.2d-v3.2d}}, [x3], #64
    subs    x6, x6, #1
    b.ne    31b
    stp     q0, q0, [x5, #-64]
    stp     q0, q0, [x5, #-32]
    ret
    .size memset, . - memset

    .section .text.memcmp, "ax", %progbits
    .balign 64
    .global memcmp
    .type memcmp, %function
    .global bcmp
    .type bcmp, %function
memcmp:
bcmp:
    add     x4, x0, x2              // The ends.
    add     x5, x1, x2
    cmp     x2, #8
    b.lo    20f
    sub     x4, x4, #8
    sub     x5, x5, #8
10: ldr     x6, [x0], #8
    ldr     x7, [x1], #8
    cmp     x6, x7
    b.ne    40f
    cmp     x0, x4
    b.lo    10b
    ldr     x6, [x4]                // The last eight, of which some may have been looked at.
    ldr     x7, [x5]
    cmp     x6, x7
    b.ne    40f
    mov     w0, #0
    ret
20: tbz     x2, #2, 21f
    ldr     w6, [x0]
    ldr     w7, [x1]
    ldr     w8, [x4, #-4]
    ldr     w9, [x5, #-4]
    orr     x6, x6, x8, lsl #32
    orr     x7, x7, x9, lsl #32
    b       40f
21: cbz     x2, 22f
    // One to three: the first, the one in the middle, and the last.
    lsr     x3, x2, #1
    ldrb    w6, [x0]
    ldrb    w7, [x1]
    ldrb    w8, [x0, x3]
    ldrb    w9, [x1, x3]
    ldrb    w10, [x4, #-1]
    ldrb    w11, [x5, #-1]
    orr     w6, w6, w8, lsl #8
    orr     w7, w7, w9, lsl #8
    orr     w6, w6, w10, lsl #16
    orr     w7, w7, w11, lsl #16
40: rev     x6, x6                  // The byte that comes first counts most.
    rev     x7, x7
    cmp     x6, x7
    cset    w0, hi
    csinv   w0, w0, wzr, hs
    ret
22: mov     w0, #0
    ret
    .size memcmp, . - memcmp
    .size bcmp, . - bcmp
"#
);
