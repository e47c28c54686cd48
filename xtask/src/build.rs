//! `xtask build`: makes one image and says where it is and what it is made of.

use anyhow::{Result, anyhow};
use clap::Args;
use fata_lab::{Arch, BuildRequest, Built, Cpu, Lab, Optimise, Progress};
use serde_json::json;

use crate::table;

/// Build an image without running it
#[derive(Args)]
pub(crate) struct Options {
    /// The package below images/, which features of it may follow: mir-console+files
    name: String,
    /// What to build for
    #[arg(long, default_value = "arm64")]
    arch: String,
    /// Compile it to be small, fast or both, whatever it asks for itself
    #[arg(long, value_name = "size|balance|speed")]
    optimise: Option<Optimise>,
    /// Count on the CPU's instructions for AES and SHA, or not, whatever it asks for itself
    #[arg(long, value_name = "portable|crypto")]
    cpu: Option<Cpu>,
    /// Log with defmt frames instead of text
    #[arg(long)]
    defmt: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let lab = Lab::open()?;
    let mut request = BuildRequest::new(&options.name);
    request.arch = Arch::named(&options.arch).map_err(|reason| anyhow!("--arch: {reason}"))?;
    request.optimise = options.optimise;
    request.cpu = options.cpu;
    if options.defmt {
        request.features.push("defmt".to_owned());
    }
    let built = lab.build(&request, &Progress::new())?;
    if options.json {
        println!("{:#}", as_json(&built));
    } else {
        print!("{}", as_table(&built));
    }
    Ok(())
}

fn as_json(built: &Built) -> serde_json::Value {
    let section = |s: &fata_lab::Section| json!({"name": s.name, "address": s.address, "bytes": s.bytes, "in_file": s.in_file});
    json!({
        "image": built.image,
        "elf": built.elf,
        "image_bytes": built.image_bytes,
        "optimise": built.optimise.to_string(),
        "cpu": built.cpu.to_string(),
        "memory_bytes": built.memory_bytes,
        "sections": built.sections.iter().map(section).collect::<Vec<_>>(),
    })
}

fn as_table(built: &Built) -> String {
    let row = |s: &fata_lab::Section| {
        [
            s.name.clone(),
            format!("{:#x}", s.address),
            s.bytes.to_string(),
            if s.in_file { "yes" } else { "" }.to_owned(),
        ]
    };
    let rows: Vec<_> = built.sections.iter().map(row).collect();
    format!(
        "{}\nimage   {}\nELF     {}\nbytes   {} in the file, {} in memory, compiled for {}, {} CPU\n",
        table::render(["section", "address", "bytes", "in the file"], &rows),
        built.image.display(),
        built.elf.display(),
        built.image_bytes,
        built.memory_bytes,
        built.optimise,
        built.cpu,
    )
}
