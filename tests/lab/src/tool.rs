//! Runs other programs with a log of all they say.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A log file that commands append to and that errors name.
#[derive(Clone)]
pub(crate) struct Log(PathBuf);

impl Log {
    /// Starts an empty log.
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn append(&self) -> Result<File> {
        OpenOptions::new()
            .append(true)
            .open(&self.0)
            .with_context(|| format!("cannot write {}", self.0.display()))
    }

    /// Runs `command`, logs both its outputs and hands each line of standard output to `line`.
    pub(crate) fn run(&self, command: &mut Command, mut line: impl FnMut(&str)) -> Result<()> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut log = self.append()?;
        writeln!(log, "$ {command:?}")?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        for text in BufReader::new(child.stdout.take().expect("piped above")).lines() {
            // Not UTF-8: nothing we wait for, and the exit code still counts.
            let Ok(text) = text else { continue };
            writeln!(log, "{text}")?;
            line(&text);
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("{name}: {status}{}\nlog: {}", self.complaint(), self.0.display());
        }
        Ok(())
    }

    /// Runs `command` and returns its standard output.
    pub(crate) fn output(&self, command: &mut Command) -> Result<String> {
        let mut all = String::new();
        self.run(command, |line| {
            all.push_str(line);
            all.push('\n');
        })?;
        Ok(all)
    }

    /// The last lines that look like the reason.
    fn complaint(&self) -> String {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let is_reason = |l: &&str| l.starts_with("E:") || l.starts_with("error") || l.contains("error:");
        let mut reasons: Vec<&str> = text.lines().rev().take(200).filter(is_reason).take(3).collect();
        reasons.reverse();
        reasons.iter().map(|l| format!("\n  {l}")).collect()
    }
}

/// Finds a program as the shell would.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|dir| dir.join(program)).find(|p| p.is_file())
}
