//! Listens at both vchans, and says what there is to say.

use crate::hear::hear;
use crate::log::Log;
use crate::tell::tell;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use embedded_io_async::{Read, Write};
use fata_conduit::Outside;
use fata_kit::{Gone, Terminal, words};
use fata_rt::Rt;

/// Does as the command line says, without end.
pub async fn app<O: Outside, C: Read + Write>(
    rt: Rt,
    vchans: O,
    console: C,
    cmdline: &str,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    let log = match begin(&rt, &vchans, cmdline) {
        Ok(log) => log,
        Err(reason) => return terminal.print(&|out| writeln!(out, "FAILURE: {reason}")).await,
    };
    loop {
        let remark = log.remarks.take().await;
        terminal.print(&|out| writeln!(out, "logger: {remark}")).await?;
    }
}

fn begin<O: Outside>(rt: &Rt, vchans: &O, cmdline: &str) -> Result<Rc<Log>, String> {
    let (mut from, mut to, mut keep) = ("sensor", "console", 100);
    for (name, value) in words(cmdline) {
        let senseless = || format!("the command line makes no sense at {name}={value}");
        match name {
            "from" if !value.is_empty() => from = value,
            "to" if !value.is_empty() => to = value,
            "keep" => {
                keep =
                    value.parse().ok().filter(|keep| (1..=100_000).contains(keep)).ok_or_else(senseless)?;
            }
            _ => return Err(senseless()),
        }
    }
    let log = Rc::new(Log::new(rt, keep));
    let sensor = vchans.listen(from).map_err(|error| error.to_string())?;
    let reader = vchans.listen(to).map_err(|error| error.to_string())?;
    let (heard, told) = (log.clone(), log.clone());
    drop(rt.spawn(async move { hear(&heard, &sensor).await }));
    drop(rt.spawn(async move { tell(&told, &reader).await }));
    Ok(log)
}
