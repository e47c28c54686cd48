//! Many domains at once, each of which writes and verifies a disk, and keeps it until all have.

use anyhow::{Result, bail, ensure};

use super::{Figures, Meter};
use crate::checker::{Checker, number_after};
use crate::guest::End;
use crate::host::XlDomU;

const BYTES: u64 = 1 << 20;

/// As many as the count says, again and again if there is a time.
pub(crate) fn run(checker: &Checker<'_>, meter: &Meter<'_>) -> Result<Figures> {
    let dom0 = checker.dom0;
    let domains = meter.count().unwrap_or(50);
    let (mut created, mut read) = (0, 0);
    // Or it would have no more of the CPU than each of them.
    dom0.sh("xl sched-credit2 -d 0 -w 65535")?;
    loop {
        let mut guests = Vec::new();
        for n in 0..domains {
            let (name, seed) = (format!("guest-{n}"), n * 1000);
            let disk = checker.make(&format!("disk-{n}"), BYTES >> 20)?;
            let args = format!("seed={seed} stay=1 depth=2 chunk=65536");
            // Or those that are there leave xl little time to make the next.
            let domu = XlDomU { memory_mib: 8, paused: true, ..checker.domu(&name, &args, &[&disk]) };
            guests.push((dom0.create_alone(&domu)?, name, disk, seed));
            created += 1;
            (meter.tell)(created);
        }
        // Where all are busy, anything dom0 does takes its time.
        let all = |command: &str| -> Result<()> {
            for (_, name, ..) in &guests {
                let output = dom0.run(&format!("{command} {name}"), checker.left())?;
                ensure!(output.code == 0, "{command} {name}: {}", output.text());
            }
            Ok(())
        };
        all("xl unpause")?;
        // With all the others there, each has verified what it wrote.
        for (_, name, ..) in &guests {
            dom0.console_of(name, ": read ", checker.left())?;
        }
        all("xl shutdown")?;
        for (domain, name, disk, seed) in guests {
            match dom0.ended(domain, checker.left()) {
                Some(End::PowerOff) => {}
                end => bail!("{name} ended with {end:?}"),
            }
            let said = dom0.console_of(&name, "SUCCESS", checker.left())?;
            let last = number_after(&said, "seed")?;
            ensure!(last == seed, "{name} worked with seed {last}");
            checker.holds(&disk, last, BYTES)?;
            read += said.matches(": read ").count() as u64 * (BYTES >> 20);
            checker.remove(&name, &[&disk])?;
        }
        checker.nothing_left()?;
        if !meter.has_time() {
            break;
        }
    }
    Ok(vec![("at once", domains), ("created", created), ("MiB verified", read), ("seconds", meter.seconds())])
}
