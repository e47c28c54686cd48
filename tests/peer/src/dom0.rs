//! What measuring needs in domain 0.

use core::fmt::Write as _;

use crate::sys::{BindInterdomain, Failed, File, Notify, Out};

/// Connects to a port of a guest and answers each event on it with one, the first of which connecting gives us.
/// Until it is killed.
pub(crate) fn echo(domain: u32, port: u32) -> Result<(), Failed> {
    let device = File::open(c"/dev/xen/evtchn", 0)?;
    let port = device.control(&mut BindInterdomain { remote_domain: domain, remote_port: port })? as u32;
    let mut ready = [0; 4];
    loop {
        device.read(&mut ready)?;
        // Has the next one come, before the guest can send it.
        device.write(&ready)?;
        device.control(&mut Notify { port })?;
    }
}

/// Says for each domain how many nanoseconds it had the CPU, by Xen's own account.
pub(crate) fn cpu() -> Result<(), Failed> {
    let xen = File::open(c"/dev/xen/privcmd", 0)?;
    let mut first = 0;
    while let Some(info) = xen.domain(first)? {
        let _ = writeln!(Out, "cpu {} {}", info.domain, info.cpu_time);
        first = info.domain + 1;
    }
    Ok(())
}
