//! Whether an image is compiled to be small, fast, or something of both (docs/src/adr/0003-built-for-size.md).

use std::fmt;
use std::process::Stdio;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::lab::Lab;
use crate::sysroot::cargo;

/// What an image is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimise {
    /// Few bytes.
    Size,
    /// Few instructions, as long as they take few bytes.
    Balance,
    /// Few instructions.
    Speed,
}

impl Optimise {
    /// Cargo's profile, in the workspace's `Cargo.toml`.
    pub(crate) fn profile(self) -> &'static str {
        match self {
            Self::Size => "image",
            Self::Balance => "image-balance",
            Self::Speed => "image-speed",
        }
    }
}

impl fmt::Display for Optimise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "size",
            Self::Balance => "balance",
            Self::Speed => "speed",
        })
    }
}

impl FromStr for Optimise {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "size" => Ok(Self::Size),
            "balance" => Ok(Self::Balance),
            "speed" => Ok(Self::Speed),
            _ => Err(format!("{text:?} is none of size, balance and speed")),
        }
    }
}

impl Lab {
    /// What an image's `Cargo.toml` asks for, as `optimise` in `[package.metadata.fata]`; without a word, size.
    pub(crate) fn optimise(&self, image: &str) -> Result<Optimise> {
        let mut cargo = cargo();
        cargo.current_dir(self.workspace()).args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ]);
        let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.context("cannot start cargo")?;
        if !output.status.success() {
            bail!("cargo does not say what is in the workspace: the reason is above");
        }
        wish(&output.stdout, image)
    }
}

/// Finds it in what `cargo metadata` says.
fn wish(metadata: &[u8], image: &str) -> Result<Optimise> {
    let metadata: serde_json::Value = serde_json::from_slice(metadata)?;
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let package = packages.find(|package| package["name"] == image);
    let package = package.with_context(|| format!("the workspace has no package {image}"))?;
    let place = format!("{image}'s Cargo.toml, package.metadata.fata.optimise");
    match &package["metadata"]["fata"]["optimise"] {
        serde_json::Value::Null => Ok(Optimise::Size),
        serde_json::Value::String(word) => word.parse().map_err(anyhow::Error::msg).context(place),
        other => bail!("{place}: {other} is no string"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_says_what_it_wants_and_size_is_the_default() {
        let metadata = br#"{"packages": [{"name": "a", "metadata": null},
            {"name": "b", "metadata": {"fata": {"optimise": "speed"}}},
            {"name": "c", "metadata": {"fata": {"optimise": "beauty"}}},
            {"name": "d", "metadata": {"fata": {"optimise": 3}}}]}"#;
        assert_eq!(wish(metadata, "a").unwrap(), Optimise::Size);
        assert_eq!(wish(metadata, "b").unwrap(), Optimise::Speed);
        assert!(format!("{:#}", wish(metadata, "c").unwrap_err()).contains("beauty"));
        assert!(wish(metadata, "d").is_err() && wish(metadata, "e").is_err());
    }

    #[test]
    fn words_go_both_ways() {
        for optimise in [Optimise::Size, Optimise::Balance, Optimise::Speed] {
            assert_eq!(optimise.to_string().parse(), Ok(optimise));
        }
    }
}
