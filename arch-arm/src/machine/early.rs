//! The console for first and last words: no heap, no driver, no waiting on a peer that may not come.
//!
//! It writes where somebody will read: to the PV ring if the toolstack gave us one, else through Xen
//! (`CONSOLEIO_write`, which Xen grants every dom0less domain), else to a serial port.

use super::hypercall;
use super::mmio::Mmio;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering, fence};
use fata_boot::info::{Conduit, Region, Uart, UartKind};
use fata_boot::last_words::LastWords;
use spin::Mutex;
use xen_hyp::abi::{self, nr};

enum Sink {
    None,
    XenIo,
    Ring { page: u64, port: u32 },
    Uart { registers: Mmio, kind: UartKind },
}

struct Early {
    sink: Mutex<Sink>,
    /// Whether Xen answers; without it `hvc #0xEA1` is an undefined instruction.
    xen: AtomicBool,
    conduit: Mutex<Option<Conduit>>,
}

static EARLY: Early =
    Early { sink: Mutex::new(Sink::None), xen: AtomicBool::new(false), conduit: Mutex::new(None) };

/// Where the words go from now on.
pub(crate) fn init(xen: bool) {
    EARLY.xen.store(xen, Ordering::Relaxed);
    if xen {
        *EARLY.sink.lock() = pv_ring().unwrap_or(Sink::XenIo);
        *EARLY.conduit.lock() = Some(Conduit::Hvc);
    }
    fata_boot::last_words::set(&EARLY);
}

/// Whether words go to a PV ring, which a serial port would only repeat.
pub fn has_ring() -> bool {
    matches!(*EARLY.sink.lock(), Sink::Ring { .. })
}

/// Sends the words to this serial port from now on.
///
/// # Safety
///
/// As for [`Mmio::new`], with the port's registers.
pub(crate) unsafe fn use_uart(uart: &Uart) {
    // SAFETY: the caller's promise.
    let registers = unsafe { Mmio::new(uart.registers) };
    *EARLY.sink.lock() = Sink::Uart { registers, kind: uart.kind };
}

/// Writes to whatever there is.
pub fn write(bytes: &[u8]) {
    // A panic while this very lock is held must not wait for it.
    let Some(sink) = EARLY.sink.try_lock() else { return };
    match &*sink {
        Sink::None => {}
        Sink::XenIo => {
            // SAFETY: CONSOLEIO_write reads `bytes`, which outlives the call.
            unsafe {
                hypercall::xen(
                    nr::CONSOLE_IO,
                    [abi::CONSOLEIO_WRITE, bytes.len(), bytes.as_ptr() as usize, 0, 0],
                )
            };
        }
        Sink::Ring { page, port } => {
            for &b in bytes {
                if b == b'\n' {
                    ring_put(*page, *port, b'\r');
                }
                ring_put(*page, *port, b);
            }
            notify(*port);
        }
        Sink::Uart { registers, kind } => {
            for &b in bytes {
                if b == b'\n' {
                    uart_put(registers, *kind, b'\r');
                }
                uart_put(registers, *kind, b);
            }
        }
    }
}

/// `core::fmt` into [`write`].
pub struct Writer;

impl core::fmt::Write for Writer {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        write(s.as_bytes());
        Ok(())
    }
}

impl LastWords for Early {
    fn write(&self, bytes: &[u8]) {
        write(bytes);
    }
    fn backtrace(&self, out: &mut dyn core::fmt::Write) {
        super::exception::backtrace_here(out);
    }
    fn crash(&self) -> ! {
        crash()
    }
}

/// How often a full ring or serial port is looked at before a byte is given up: the reader may be gone, and
/// a domain that ends must end.
const PATIENCE: u32 = 200_000;

/// The page of `xencons_interface`, if the toolstack set one up (`HVM_PARAM_CONSOLE_PFN` 17, `_EVTCHN` 18).
fn pv_ring() -> Option<Sink> {
    let (pfn, port) = (hvm_param(17)?, hvm_param(18)?);
    let page = pfn.checked_mul(4096)?;
    // entry.rs mapped the first GiB, where Xen puts its magic pages.
    (pfn != 0 && port != 0 && page < 1 << 30).then_some(Sink::Ring { page, port: port as u32 })
}

fn hvm_param(index: u32) -> Option<u64> {
    let mut op = abi::hvm::Param { domid: abi::DOMID_SELF, index, ..Default::default() };
    // SAFETY: HVMOP_get_param (1) reads and writes `op`, a `struct xen_hvm_param`, which outlives the call.
    let rc = unsafe { hypercall::xen(nr::HVM_OP, [1, &raw mut op as usize, 0, 0, 0]) };
    (rc == 0).then_some(op.value)
}

fn notify(port: u32) {
    // SAFETY: EVTCHNOP_send (4) reads the port, which outlives the call.
    unsafe { hypercall::xen(nr::EVENT_CHANNEL_OP, [4, &raw const port as usize, 0, 0, 0]) };
}

/// `struct xencons_interface` (`xen/include/public/io/console.h`): `out[2048]` at 1024, `out_cons` and
/// `out_prod` at 3080 and 3084.
fn ring_put(page: u64, port: u32, byte: u8) {
    let index = |offset: usize| {
        // SAFETY: the page is mapped Normal for as long as the domain lives, and the word is aligned; Xen's
        // console daemon accesses it too, hence an atomic.
        unsafe { AtomicU32::from_ptr(core::ptr::with_exposed_provenance_mut(page as usize + offset)) }
    };
    let (cons, prod) = (index(3080), index(3084));
    let at = prod.load(Ordering::Relaxed);
    let mut patience = PATIENCE;
    while at.wrapping_sub(cons.load(Ordering::Acquire)) >= 2048 {
        if patience == PATIENCE {
            notify(port);
        }
        patience -= 1;
        if patience == 0 {
            return;
        }
        // SAFETY: SCHEDOP_yield (0) has no argument.
        unsafe { hypercall::xen(nr::SCHED_OP, [abi::sched::YIELD, 0, 0, 0, 0]) };
    }
    fence(Ordering::Acquire);
    let slot = page as usize + 1024 + (at % 2048) as usize;
    // SAFETY: inside `out`, which only we write; the daemon reads it after `out_prod` says so.
    unsafe { AtomicU8::from_ptr(core::ptr::with_exposed_provenance_mut(slot)) }
        .store(byte, Ordering::Relaxed);
    prod.store(at.wrapping_add(1), Ordering::Release);
}

fn uart_put(registers: &Mmio, kind: UartKind, byte: u8) {
    // (status offset, mask, value when there is room)
    let (status, mask, ready) = match kind {
        UartKind::Sbsa | UartKind::Pl011 => (0x18, 1 << 5, 0), // UARTFR.TXFF
        UartKind::Ns16550 { stride } => (5 * usize::from(stride), 1 << 5, 1 << 5), // LSR.THRE
    };
    let room = |registers: &Mmio| match kind {
        UartKind::Ns16550 { stride: 1 } => u32::from(registers.read8(status)) & mask == ready,
        _ => registers.read(status) & mask == ready,
    };
    let mut patience = PATIENCE;
    while !room(registers) && patience > 0 {
        patience -= 1;
    }
    match kind {
        UartKind::Ns16550 { stride: 1 } => registers.write8(0, byte),
        _ => registers.write(0, byte.into()),
    }
}

/// How to stop a machine that has no Xen.
pub(crate) fn set_conduit(conduit: Conduit) {
    *EARLY.conduit.lock() = Some(conduit);
}

/// Ends the domain as crashed; without Xen, powers the machine off; failing that, stops here.
pub fn crash() -> ! {
    if EARLY.xen.load(Ordering::Relaxed) {
        let reason: u32 = 3; // SHUTDOWN_crash, `xen/include/public/sched.h`
        // SAFETY: SCHEDOP_shutdown (2) reads `struct sched_shutdown`, which outlives the call.
        unsafe { hypercall::xen(nr::SCHED_OP, [2, &raw const reason as usize, 0, 0, 0]) };
    }
    power_off()
}

/// Powers the machine off through PSCI; failing that, stops here.
pub fn power_off() -> ! {
    if let Some(conduit) = EARLY.conduit.try_lock().and_then(|c| *c) {
        hypercall::psci(conduit, hypercall::PSCI_SYSTEM_OFF);
    }
    loop {
        aarch64_cpu::asm::wfi();
    }
}

/// Where the early console is, so that the final map keeps it reachable.
pub(crate) fn ring_page() -> Option<Region> {
    match *EARLY.sink.lock() {
        Sink::Ring { page, .. } => Some(Region { base: page, size: 4096 }),
        _ => None,
    }
}
