//! `xtask site`: a directory of pages as an image, with all that it takes to start it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use fata_lab::{Lab, MadeSite, Progress, SiteWish};
use serde_json::json;

use crate::table;

/// Make an image of a directory of pages, such as Jekyll's _site, that serves them
#[derive(Args)]
pub(crate) struct Options {
    /// The pages; _redirects and _headers in it say what else to answer (docs/src/website.md)
    dir: PathBuf,
    /// Certificate and key for HTTPS, in PEM, to be put behind the image
    #[arg(long, num_args = 2, value_names = ["CERT", "KEY"])]
    tls: Vec<PathBuf>,
    /// What to build for
    #[arg(long, default_value = "xenvm-arm64", value_parser = ["xenvm-arm64"])]
    board: String,
    /// Name of the domain and its files
    #[arg(long, default_value = "website")]
    name: String,
    /// Where the files go [default: target/site/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Put the pages on a disk, which can be larger than an image and changed without it
    #[arg(long)]
    disk: bool,
    /// Memory of the domain [default: what it needs, and some more]
    #[arg(long, value_name = "MiB")]
    memory: Option<u32>,
    /// Command line of the domain, such as its address
    #[arg(long, value_name = "STR", default_value = "", allow_hyphen_values = true)]
    args: String,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let begun = Instant::now();
    let lab = Lab::open()?;
    let mut wish = SiteWish::new(&lab, &options.name, &options.dir)?;
    if let [cert, key] = &options.tls[..] {
        wish.tls = Some((cert.clone(), key.clone()));
    }
    if let Some(out) = &options.out {
        wish.out.clone_from(out);
    }
    wish.disk = options.disk;
    wish.memory_mib = options.memory;
    wish.args.clone_from(&options.args);
    let made = lab.site(&wish, &Progress::new())?;
    let seconds = begun.elapsed().as_secs_f64();
    if options.json {
        println!("{:#}", as_json(&made, &options.board, seconds));
    } else {
        print!("{}", as_text(&made, seconds));
    }
    Ok(())
}

fn as_json(made: &MadeSite, board: &str, seconds: f64) -> serde_json::Value {
    let sizes: serde_json::Map<_, _> =
        made.sizes.iter().map(|(what, bytes)| (what.clone(), json!(bytes))).collect();
    json!({
        "board": board,
        "image": made.image,
        "disk": made.disk,
        "xl": made.xl,
        "dom0less": made.dom0less,
        "memory_mib": made.memory_mib,
        "bytes": sizes,
        "compressed": made.compressed,
        "seconds": seconds,
    })
}

fn as_text(made: &MadeSite, seconds: f64) -> String {
    let rows: Vec<_> = made.sizes.iter().map(|(what, bytes)| [what.clone(), bytes.to_string()]).collect();
    let show = |path: &Path| path.display().to_string();
    let files = [
        ("image", Some(&made.image)),
        ("disk", made.disk.as_ref()),
        ("xl", Some(&made.xl)),
        ("dom0less", Some(&made.dom0less)),
    ];
    let files = files.into_iter().filter_map(|(what, path)| Some([what.to_owned(), show(path?)]));
    let files: Vec<_> = files.chain([["memory".to_owned(), format!("{} MiB", made.memory_mib)]]).collect();
    format!(
        "{}\n{}\n{:.1} s, {} files compressed anew\n",
        table::render(["what", "bytes"], &rows),
        table::render(["for", "file"], &files),
        seconds,
        made.compressed
    )
}
