//! `xtask doctor`: what is there, what is missing, and what to do about it.

use anyhow::{Result, bail};
use clap::Args;
use fata_lab::{Lab, State};
use serde_json::json;

use crate::table;

/// Say what the lab has and what it lacks
#[derive(Args)]
pub(crate) struct Options {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let lab = Lab::open()?;
    let findings = lab.examine();
    if options.json {
        let finding = |f: &fata_lab::Finding| json!({"what": f.what, "state": f.state.word(), "detail": f.detail, "remedy": f.remedy});
        println!("{:#}", json!(findings.iter().map(finding).collect::<Vec<_>>()));
    } else {
        let row = |f: &fata_lab::Finding| {
            let detail = f.detail.lines().next().unwrap_or_default().to_owned();
            [f.what.clone(), f.state.word().to_owned(), detail, f.remedy.clone()]
        };
        let rows: Vec<_> = findings.iter().map(row).collect();
        print!("{}", table::render(["what", "state", "detail", "to do"], &rows));
    }
    let missing: Vec<_> =
        findings.iter().filter(|f| f.state == State::Missing).map(|f| f.what.as_str()).collect();
    if !missing.is_empty() {
        bail!("missing: {}", missing.join(", "));
    }
    Ok(())
}
