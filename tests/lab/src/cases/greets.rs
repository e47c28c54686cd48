//! The greeting and the table of what the board found.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::{Case, Context, Place, Spot, Wish, must_say, number, plain, row};
use crate::machine::Gic;

/// The lines, with their colours.
const LINES: [(&str, &str); 4] = [
    ("\x1b[31m", "Fata Morgana: a castle in the air above the strait,"),
    ("\x1b[33m", "seen by all who pass, and with nothing underneath."),
    ("\x1b[32m", "Nothing but Xen, that is: this castle is one image of Rust."),
    ("\x1b[36m", "Hello, world."),
];

pub(super) fn add(spot: Spot, cases: &mut Vec<Case>) {
    cases.push(Case::new(spot, "greets", move |ctx| greets(ctx, spot)));
}

/// Catches: a boot that fails or stalls on this Xen and GIC, a timer that is wrong, a lost or mangled byte of the
/// first output, a fact that discovery got wrong.
fn greets(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    // Without a dom0 time can be counted in instructions: idle seconds pass at once, and exactly.
    let icount = spot.place == Place::Dom0less;
    let running = ctx.start(spot, &Wish { icount, args: "one two=\"3 4\"".to_owned(), ..Wish::default() })?;
    let guest = &running.guest;
    for (colour, line) in LINES {
        ctx.expect(guest, &format!("{colour}{line}\x1b[0m\r\n"))?;
    }
    let table = plain(&ctx.prompt(guest)?);
    check(&table, spot)?;
    golden(&table, spot)?;

    // Four lines, one a second: three seconds lie between them, and the boot is a matter of milliseconds.
    let clock = ctx.ask(guest, "clock")?;
    let seconds = number(&clock, "since start")?;
    ensure!(seconds >= 3, "the guest's clock says that the greeting took less than 3 s:\n{clock}");
    ensure!(!icount || seconds == 3, "the greeting took longer than the 3 s it sleeps:\n{clock}");
    Ok(())
}

fn check(table: &str, spot: Spot) -> Result<()> {
    let xen = spot.xen.number();
    must_say(table, "What the board found")?;
    ensure!(row(table, "Xen")?.starts_with(&format!("{xen}.")), "not Xen {xen}:\n{table}");
    let model = row(table, "model")?;
    // Xen itself gives the domains it starts neither a model nor a `compatible`.
    ensure!(
        model == if spot.place == Place::Xl { format!("XENVM-{xen}") } else { "absent".into() },
        "{model}"
    );
    must_say(row(table, "memory")?, "16 MiB")?;
    ensure!(row(table, "gic")?.starts_with(&format!("v{} at ", spot.gic)), "not GICv{}:\n{table}", spot.gic);
    must_say(row(table, "timer")?, "PPI 11 (interrupt 27)")?;
    must_say(row(table, "events")?, "PPI 15 (interrupt 31)")?;
    must_say(row(table, "grants")?, "0x038000000")?;
    must_say(row(table, "psci")?, "hvc")?;
    must_say(row(table, "command line")?, "one two=\"3 4\"")?;
    let (console, port) = match spot.place {
        Place::Dom0less => ("SBSA UART", "SBSA at 0x22000000"),
        Place::Xl => ("PV ring", "absent"),
    };
    must_say(row(table, "console")?, console)?;
    must_say(row(table, "serial port")?, port)
}

/// The whole table, but for what differs between builds of Xen, from one run to the next, or with the clock's rate.
fn golden(table: &str, spot: Spot) -> Result<()> {
    let heading = table.find("What the board found").context("no heading")?;
    let changing = ["Xen", "changeset", "timer", "time of day"];
    let mut seen = String::new();
    let mut skipped = false;
    for line in table[heading..].lines().take_while(|line| !line.is_empty() && !line.starts_with("Type help"))
    {
        // A value too long for its row goes on in the next one, which has no label.
        let continued = line.starts_with("                ");
        let label = line.trim_start();
        skipped = if continued {
            skipped
        } else {
            changing.iter().any(|name| label.starts_with(&format!("{name}  ")))
        };
        if !skipped {
            seen += line;
            seen.push('\n');
        }
    }
    let place = match spot.place {
        Place::Dom0less => "dom0less",
        Place::Xl => "xl",
    };
    let gic = match spot.gic {
        Gic::V2 => "gicv2",
        Gic::V3 => "gicv3",
    };
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../golden/{place}-{gic}-{}.txt", spot.xen));
    if std::env::var("FATA_GOLDEN").is_ok_and(|v| v == "write") {
        return std::fs::write(&path, seen).with_context(|| format!("writing {}", path.display()));
    }
    let expected = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    ensure!(
        seen == expected,
        "the table differs from {} (FATA_GOLDEN=write updates it); now:\n{seen}",
        path.display()
    );
    Ok(())
}
