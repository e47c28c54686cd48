//! The tutorial, as somebody would type it.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{Case, Context};
use crate::machine::Folder;

const TEXT: &str = "docs/src/tutorial.md";
/// Written behind the output of each block of commands.
const MARK: &str = "-- end of block --";

pub(super) fn add(cases: &mut Vec<Case>) {
    let case = Case::named("tutorial/commands".to_owned(), Box::new(commands)).limit(600);
    cases.push(Case { image: "website", ..case });
}

/// Commands, and what they are said to show.
struct Block {
    commands: String,
    shown: Vec<String>,
}

/// Catches: a command of the tutorial that fails, or that shows something else.
fn commands(ctx: &Context<'_>) -> Result<()> {
    let root = ctx.lab.workspace();
    let text = fs::read_to_string(root.join(TEXT)).with_context(|| format!("reading {TEXT}"))?;
    let blocks = blocks(&text);
    ensure!(!blocks.is_empty(), "{TEXT} has no commands");
    let folder = Folder::take(ctx.lab, &ctx.folder_name())?;
    let mut script = String::from("set -e\nrm -rf target/tutorial\n");
    for block in &blocks {
        script += &format!("{}echo '{MARK}'\n", block.commands);
    }
    fs::write(folder.file("commands.sh"), &script)?;
    let limit = format!("{}", ctx.limit.as_secs());
    // Whoever is left in the background when a command fails ends as well.
    let guarded = format!("trap 'kill $! 2>/dev/null || true; wait' EXIT\n{script}");
    let output = Command::new("timeout").args([&limit, "sh", "-c", &guarded]).current_dir(root).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    fs::write(folder.file("console-commands.log"), said.as_bytes())?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "the commands end with {}: {errors}\n{said}", output.status);
    for (block, output) in blocks.iter().zip(said.split(MARK)) {
        let mut rest = output;
        for line in &block.shown {
            let at = rest.find(line.as_str());
            let at = at.with_context(|| format!("{line:?} is not shown in its place, but:\n{output}"))?;
            rest = &rest[at + line.len()..];
        }
    }
    Ok(())
}

/// The blocks marked `sh`, each with the lines of a block marked `text` behind it.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut kind = None;
    for line in text.lines() {
        match (kind, line.strip_prefix("```")) {
            (None, Some("sh")) => {
                kind = Some("sh");
                blocks.push(Block { commands: String::new(), shown: Vec::new() });
            }
            (None, Some(other)) => kind = Some(if other == "text" { "text" } else { "" }),
            (Some(_), Some(_)) => kind = None,
            (Some("sh"), None) => {
                blocks.last_mut().into_iter().for_each(|b| b.commands += &format!("{line}\n"))
            }
            (Some("text"), None) => blocks.last_mut().into_iter().for_each(|b| b.shown.push(line.to_owned())),
            _ => {}
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_what_they_show_are_told_apart() {
        let text = "a\n```sh\none\ntwo\n```\nb\n```text\nshown\n```\n```toml\nx\n```\n```sh\nthree\n```\n";
        let blocks = blocks(text);
        let all: Vec<_> = blocks.iter().map(|block| (block.commands.as_str(), block.shown.len())).collect();
        assert_eq!(all, [("one\ntwo\n", 1), ("three\n", 0)]);
    }
}
