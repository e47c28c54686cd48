//! What an image's `Cargo.toml` asks for, in `[package.metadata.fata]`.

use std::process::Stdio;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::lab::Lab;
use crate::sysroot::cargo;

/// One of a few words that an image may ask for.
pub(crate) trait Wish: FromStr<Err = String> {
    /// Where it is.
    const KEY: &str;
    /// Without a word.
    const DEFAULT: Self;
}

impl Lab {
    /// What an image asks for.
    pub(crate) fn wish<W: Wish>(&self, image: &str) -> Result<W> {
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
fn wish<W: Wish>(metadata: &[u8], image: &str) -> Result<W> {
    let metadata: serde_json::Value = serde_json::from_slice(metadata)?;
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let package = packages.find(|package| package["name"] == image);
    let package = package.with_context(|| format!("the workspace has no package {image}"))?;
    let place = format!("{image}'s Cargo.toml, package.metadata.fata.{}", W::KEY);
    match &package["metadata"]["fata"][W::KEY] {
        serde_json::Value::Null => Ok(W::DEFAULT),
        serde_json::Value::String(word) => word.parse().map_err(anyhow::Error::msg).context(place),
        other => bail!("{place}: {other} is no string"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Cpu;
    use crate::optimise::Optimise;

    #[test]
    fn an_image_says_what_it_wants_and_there_is_a_default() {
        let metadata = br#"{"packages": [{"name": "a", "metadata": null},
            {"name": "b", "metadata": {"fata": {"optimise": "speed", "cpu": "crypto"}}},
            {"name": "c", "metadata": {"fata": {"optimise": "beauty"}}},
            {"name": "d", "metadata": {"fata": {"optimise": 3}}}]}"#;
        assert_eq!(wish::<Optimise>(metadata, "a").unwrap(), Optimise::Size);
        assert_eq!(wish::<Optimise>(metadata, "b").unwrap(), Optimise::Speed);
        assert_eq!(wish::<Cpu>(metadata, "b").unwrap(), Cpu::Crypto);
        assert_eq!(wish::<Cpu>(metadata, "d").unwrap(), Cpu::Portable);
        assert!(format!("{:#}", wish::<Optimise>(metadata, "c").unwrap_err()).contains("beauty"));
        assert!(wish::<Optimise>(metadata, "d").is_err() && wish::<Optimise>(metadata, "e").is_err());
    }
}
