//! `xtask image`: makes boot media for a board of a deployment.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use fata_deploy::{At, Deployment, Dom0, System};
use fata_facts::Board;
use fata_lab::{Lab, Media, MediaWish, Progress};
use serde_json::json;

/// Make boot media for a board: an SD card's image, a folder for TFTP, configurations for xl, and a QEMU command
#[derive(Args)]
pub(crate) struct Options {
    /// The board
    #[arg(long, default_value = "qemu-virt", value_parser = board)]
    board: &'static Board,
    /// The deployment: what runs, and what each domain gets (docs/src/image.md)
    #[arg(long, value_name = "images/NAME.toml", required_unless_present = "app", conflicts_with = "app")]
    file: Option<PathBuf>,
    /// Instead of a file: a package below images/ that runs as it is; may be given again
    #[arg(long, value_name = "IMAGE")]
    app: Vec<String>,
    /// What runs as domain 0, whatever the file says
    #[arg(long, value_name = "none|debian", value_parser = dom0)]
    dom0: Option<Dom0>,
    /// Where the files go [default: target/image/BOARD/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write the medium to this device, after showing what is on it and asking
    #[arg(long, value_name = "/dev/X")]
    device: Option<PathBuf>,
    /// Take a device that is larger than SD cards are
    #[arg(long, requires = "device")]
    force: bool,
    /// Print the memory map as JSON
    #[arg(long)]
    json: bool,
}

fn board(name: &str) -> Result<&'static Board, String> {
    let names = || fata_boards::BOARDS.iter().map(|board| board.name).collect::<Vec<_>>().join(", ");
    fata_boards::find(name).ok_or_else(|| format!("there is no board {name}, but {}", names()))
}

fn dom0(word: &str) -> Result<Dom0, String> {
    match word {
        "none" => Ok(Dom0::None),
        "debian" => Ok(Dom0::Debian),
        _ => Err("it is none or debian".to_owned()),
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let lab = Lab::open()?;
    let (name, base, mut deployment) = match &options.file {
        Some(file) => from_file(file)?,
        None => {
            let deployment = Deployment::of_images(&options.app)?;
            let names: Vec<_> = deployment.domains.iter().map(|it| it.name.value.as_str()).collect();
            (names.join("+"), std::env::current_dir()?, deployment)
        }
    };
    if let Some(value) = options.dom0 {
        deployment.dom0 = At { value, ..deployment.dom0 };
    }
    let mut wish = MediaWish::new(&lab, &name, deployment, &base, options.board);
    if let Some(out) = &options.out {
        wish.out = std::path::absolute(out)?;
    }
    let media = lab.media(&wish, &Progress::new())?;
    if options.json {
        println!("{:#}", as_json(&media));
    } else {
        print!("{}", as_text(&media, &wish.out));
    }
    options.device.as_ref().map_or(Ok(()), |device| flash(device, &media.medium, options.force))
}

/// Writes a medium to a device, if that is what they want.
fn flash(device: &Path, medium: &Path, force: bool) -> Result<()> {
    let system = System::this();
    let bytes = fs::metadata(medium)?.len();
    let target = system.target(device, bytes, force)?;
    if !target.confirm(&mut io::stdin().lock(), &mut io::stderr())? {
        bail!("nothing was written to {}", device.display());
    }
    let mut last = 0;
    target.write(&system, &mut fs::File::open(medium)?, &mut |written| {
        let percent = written * 100 / bytes.max(1);
        if percent / 10 > last {
            last = percent / 10;
            eprintln!("{percent} %");
        }
    })?;
    eprintln!("{} is written", target.path.display());
    Ok(())
}

fn from_file(file: &Path) -> Result<(String, PathBuf, Deployment)> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = name.ok_or_else(|| anyhow!("{} has no name", file.display()))?;
    if name.contains(|c: char| c.is_whitespace() || c.is_control() || "\"$\\;'".contains(c)) {
        bail!("{name:?} is no name for boot media: rename the file");
    }
    let deployment = Deployment::parse(&file.display().to_string(), &text)?;
    Ok((name, file.parent().unwrap_or_else(|| Path::new("")).to_owned(), deployment))
}

fn as_json(media: &Media) -> serde_json::Value {
    json!({
        "memory": media.plan.map.json(),
        "xen_args": media.plan.xen_args,
        "medium": media.medium,
        "tftp": media.tftp,
        "xl": media.xl,
        "qemu": media.qemu,
        "uboot": media.uboot,
        "missing": media.missing,
    })
}

fn as_text(media: &Media, out: &Path) -> String {
    let mut text = media.plan.map.table();
    text.push('\n');
    let mut row = |what: &str, path: &Path| text += &format!("{what:<8} {}\n", path.display());
    row("medium", &media.medium);
    row("TFTP", &media.tftp);
    row("xl", &out.join("xl"));
    row("picture", &media.picture);
    if let Some(qemu) = &media.qemu {
        row("QEMU", qemu);
    }
    for missing in &media.missing {
        text += &format!("missing  {missing}\n");
    }
    text
}
