//! Xen consoles: PV ring, console_io, SBSA UART.
#![cfg_attr(not(test), no_std)]
