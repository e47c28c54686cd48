//! Bringing the machine up, in the order an image's `main` reads.

use crate::dt;
use crate::log;
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::fmt::Write;
use core::time::Duration;
use fata_arch_arm::early::{self, Writer};
use fata_arch_arm::mmio::Mmio;
use fata_arch_arm::{ArmCpu, Boot, image, timer};
use fata_boot::info::{BootInfo, List, Region, UartKind};
use fata_boot::last_words::die;
use fata_console::{Console, PvConsole, Uart, XenIo};
use fata_registers::Registers;
use fata_rt::Rt;
use xen_hyp::{Platform as _, Reason, Xen};

/// What the device tree said, and what is left of the memory.
pub struct Parts {
    /// The machine.
    pub info: BootInfo<'static>,
    /// How it was entered.
    pub boot: Boot,
    /// RAM that is ours to use.
    pub ram: List<Region, 64>,
}

/// Less than this much RAM beside the image is not worth starting in.
const LEAST_RAM: u64 = 256 << 10;

/// How long a domain that ends waits for its last output to be taken.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// Reads the device tree. What is absurd in it ends the domain, by name; what is missing is remarked upon.
pub fn discover(boot: Boot) -> Parts {
    log::init();
    let mut info = match dt::parse(boot.dtb) {
        Ok(info) => info,
        Err(error) => die(format_args!("device tree: {error}"), None),
    };
    info.payload = boot.payload;
    let in_memory =
        |it: Region| info.memory.iter().any(|bank| bank.base <= it.base && it.end() <= bank.end());
    if info.payload_region().is_some_and(|payload| !in_memory(payload)) {
        die(format_args!("the payload is not in memory: the image was not loaded as a whole"), None);
    }
    let ram = info.usable(&[boot.image]);
    let bytes: u64 = ram.iter().map(|r| r.size).sum();
    if bytes < LEAST_RAM {
        die(
            format_args!(
                "too little memory: {} KiB beside the image's {} KiB, and at least {} KiB are needed",
                bytes >> 10,
                boot.image.size >> 10,
                LEAST_RAM >> 10
            ),
            None,
        );
    }
    Parts { info, boot, ram }
}

/// Sets up MMU, interrupt controller, timer and hypercalls. Without Xen underneath it says so and powers off.
pub fn cpu(parts: &Parts) -> ArmCpu {
    let skipped = |r: Region| {
        fata_log::warn!("no page table left for the RAM at {:#x}, {} KiB", r.base, r.size >> 10);
    };
    let mut cpu = match ArmCpu::new(&parts.info, &parts.ram, skipped) {
        Ok(cpu) => cpu,
        Err(error) => die(format_args!("{error}"), None),
    };
    if parts.boot.xen.is_none() {
        let _ = writeln!(
            Writer,
            "Fata: no Xen here (entered at EL{} on {}).\n\
             This image is a guest: start Xen, and give it to Xen as a domain's kernel.",
            parts.boot.entry_level,
            if parts.info.model.is_empty() { "an unnamed machine" } else { parts.info.model },
        );
        early::power_off();
    }
    if let Err(error) = cpu.share_with_xen() {
        die(format_args!("{error}"), None);
    }
    for remark in parts.info.remarks.iter() {
        fata_log::debug!("device tree: {}", remark);
    }
    cpu
}

/// The console somebody reads: the PV ring under `xl`, else the serial port, else Xen's own.
pub fn console(xen: &Rc<Xen<ArmCpu>>, parts: &Parts) -> Rc<Console<ArmCpu>> {
    let pv = PvConsole::open(xen).unwrap_or_else(|error| {
        fata_log::error!("PV console: {}", error);
        None
    });
    let uart = || {
        let registers = UartOf { xen: xen.clone(), registers: xen.platform().uart()? };
        parts.info.uart.filter(|u| matches!(u.kind, UartKind::Sbsa | UartKind::Pl011))?;
        Some(Console::Uart(Uart::new(Box::new(registers))))
    };
    let io = || XenIo::open(xen).ok().flatten().map(Console::XenIo);
    match pv.map(Console::Pv).or_else(uart).or_else(io) {
        Some(console) => Rc::new(console),
        None => {
            die(format_args!("no console: neither PV ring nor serial port, and Xen takes no output"), None)
        }
    }
}

/// Keeps the console going and brings the log to it, as long as the run loop runs.
pub fn attend(rt: &Rt, console: &Rc<Console<ArmCpu>>) {
    if !console.service_on_event() {
        let attended = console.clone();
        rt.on_turn(move || attended.service());
    }
    if let Some(interval) = console.tick_interval() {
        let (ticked, rt2) = (console.clone(), rt.clone());
        drop(rt.spawn(async move {
            loop {
                rt2.sleep(interval).await;
                ticked.tick();
            }
        }));
    }
    log::pump(rt, console.clone());
}

/// Ends the domain, once its last output has been taken or nobody has taken it for two seconds.
pub fn shutdown(xen: &Xen<ArmCpu>, console: &Console<ArmCpu>, reason: Reason) -> ! {
    log::flush(console);
    if fata_trace::ON {
        fata_trace::dump(|piece| log::put_blocking(console, piece));
    }
    console.drain_blocking(xen.platform().now_ns() + LAST_OUTPUT.as_nanos() as u64);
    let refused = xen.shutdown(reason);
    die(format_args!("Xen does not end this domain: {refused:?}"), None)
}

/// The image's parts and the rights they are mapped with.
pub fn sections() -> [(&'static str, Region, &'static str); 4] {
    [
        ("instructions", Region::between(image::start(), image::text_end()), "r-x"),
        ("constants", Region::between(image::text_end(), image::rodata_end()), "r--"),
        ("data", Region::between(image::rodata_end(), image::bss_end()), "rw-"),
        ("stack", Region::between(image::stack_bottom(), image::stack_top()), "rw-"),
    ]
}

/// The stack's size, and how much of it is in use here.
pub fn stack() -> (u64, u64) {
    let here = 0u8;
    let (bottom, top) = (image::stack_bottom(), image::stack_top());
    (top - bottom, top - &raw const here as u64)
}

/// Frequency of the counter that time is read from.
pub fn timer_hz() -> u64 {
    timer::hz()
}

struct UartOf {
    xen: Rc<Xen<ArmCpu>>,
    registers: Mmio,
}

impl Registers for UartOf {
    fn read(&self, offset: usize) -> u32 {
        self.registers.read(offset)
    }
    fn write(&self, offset: usize, value: u32) {
        self.registers.write(offset, value);
    }
    fn take_interrupt(&self) -> bool {
        self.xen.platform().take_uart_interrupt()
    }
    /// It was never kept away: Xen's emulated port raises it once for what is new.
    fn rearm(&self) {}
}
