//! `xtask payload`: puts files behind an image, such as certificates.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use fata_lab::{Behind, BuildRequest, Lab, Progress, behind_image, put_behind};

use crate::table;

/// Put files behind an image, such as certificates and keys, or say what is behind one
#[derive(Args)]
pub(crate) struct Options {
    /// The package below images/, with all that it can do, or the path of a finished image
    image: String,
    /// A member of the payload: tls/cert=cert.pem, tls/key=key.pem, tls/trust=ca.pem; those that end with /key are secrets
    #[arg(value_name = "NAME=FILE", value_parser = member, requires = "out")]
    members: Vec<(String, PathBuf)>,
    /// Where the image with its payload goes
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn member(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.into(), file.into())),
        _ => Err(format!("{text} is not NAME=FILE")),
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let image = match options.image.contains('/') {
        true => PathBuf::from(&options.image),
        false => {
            let mut request = BuildRequest::new(&options.image);
            request.features.push("default".to_owned());
            Lab::open()?.build(&request, &Progress::new())?.image
        }
    };
    let there = match &options.out {
        Some(out) => put_behind(&image, &options.members, out)?,
        None => behind_image(&image)?,
    };
    print!("{}", as_table(&there));
    if let Some(out) = &options.out {
        println!("image  {}", out.display());
    }
    Ok(())
}

fn as_table(there: &[Behind]) -> String {
    let row =
        |it: &Behind| [it.name.clone(), it.bytes.to_string(), if it.secret { "yes" } else { "" }.to_owned()];
    table::render(["member", "bytes", "secret"], &there.iter().map(row).collect::<Vec<_>>())
}
