//! What there is among the devices that can be driven.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use fata_boot::info::BootInfo;
use fata_gpio::{Gpio, Input, Output, Pin};
use fata_registers::Registers;
use fata_uart::{Speed, Uart};
use fata_xenvm_arm64::dt::{self, Wired};

/// How long contacts bounce if nothing is said (`input/gpio-keys.yaml` of Linux's bindings).
const DEBOUNCE_MS: u32 = 5;

/// A device that can be driven.
pub struct Opened {
    /// Its registers.
    pub registers: Box<dyn Registers>,
    /// Whether its interrupts arrive.
    pub interrupts: bool,
}

/// What was found. What was not is said in `remarks`.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) controllers: Vec<Controller>,
    pub(crate) lamps: Vec<Lamp>,
    pub(crate) buttons: Vec<Button>,
    pub(crate) ports: Vec<Port>,
    pub(crate) remarks: Vec<String>,
}

pub(crate) struct Controller {
    device: usize,
    pub(crate) gpio: Rc<Gpio>,
    interrupts: bool,
}

pub(crate) struct Lamp {
    pub(crate) name: String,
    pub(crate) output: Output,
}

pub(crate) struct Button {
    pub(crate) name: String,
    pub(crate) input: Input,
    pub(crate) debounce: Duration,
}

pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) uart: Rc<Uart>,
}

impl Found {
    /// Looks through the devices of `info`, each of which `open` opens at most once.
    pub(crate) fn look(info: &BootInfo<'_>, baud: u32, open: &dyn Fn(usize) -> Option<Opened>) -> Self {
        let mut found = Self::default();
        for (number, device) in info.devices.iter().enumerate() {
            let node = dt::node(info, device);
            let stride = 1 << node.cell("reg-shift").unwrap_or(0).min(3);
            let gpio = fata_gpio::chip(|name| device.is(name));
            let uart = fata_uart::chip(|name| device.is(name), stride);
            if gpio.is_none() && uart.is_none() {
                continue;
            }
            let Some(opened) = open(number) else {
                found.remarks.push(format!("{} cannot be opened", device.name));
                continue;
            };
            if !opened.interrupts {
                found.remarks.push(format!("{} has no interrupt", device.name));
            }
            if let Some(chip) = gpio {
                let gpio = Gpio::new(chip, opened.registers);
                found.controllers.push(Controller { device: number, gpio, interrupts: opened.interrupts });
            } else if let Some(chip) = uart {
                let speed = node.cell("clock-frequency").map(|clock_hz| Speed { clock_hz, baud });
                let uart = Rc::new(Uart::set_up(chip, opened.registers, speed));
                found.ports.push(Port { name: device.name.to_string(), uart });
            }
        }
        for lamp in dt::lamps(info) {
            match found.controller(&lamp).map(|it| it.gpio.output(pin(&lamp), false)) {
                Ok(Ok(output)) => found.lamps.push(Lamp { name: lamp.name.to_string(), output }),
                Ok(Err(error)) => found.remarks.push(format!("lamp {}: {error}", lamp.name)),
                Err(why) => found.remarks.push(format!("lamp {}: {why}", lamp.name)),
            }
        }
        for key in dt::buttons(info) {
            let debounce = Duration::from_millis(key.debounce_ms.unwrap_or(DEBOUNCE_MS).into());
            let input = found.controller(&key).map(|it| match it.interrupts {
                true => it.gpio.input(pin(&key)).map_err(|error| error.to_string()),
                false => Err("its pin does not interrupt".to_string()),
            });
            match input {
                Ok(Ok(input)) => found.buttons.push(Button { name: key.name.to_string(), input, debounce }),
                Ok(Err(error)) => found.remarks.push(format!("button {}: {error}", key.name)),
                Err(why) => found.remarks.push(format!("button {}: {why}", key.name)),
            }
        }
        found
    }

    fn controller(&self, wired: &Wired<'_>) -> Result<&Controller, &'static str> {
        let found = self.controllers.iter().find(|controller| controller.device == wired.device);
        found.ok_or("its pin is at a device that cannot be driven")
    }
}

fn pin(wired: &Wired<'_>) -> Pin {
    Pin::new(wired.line, wired.flags)
}
