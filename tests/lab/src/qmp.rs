//! QEMU's machine protocol: one JSON object a line, answers and events mixed.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// No command of ours takes longer than writing a snapshot.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection to QEMU's monitor.
pub struct Monitor {
    reader: BufReader<UnixStream>,
}

impl Monitor {
    /// Shakes hands.
    pub fn open(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let mut monitor = Self { reader: BufReader::new(stream) };
        monitor.next()?;
        monitor.run("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// Runs a command and gives its answer.
    pub fn run(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.reader.get_mut(), "{request}").context("writing to QEMU's monitor")?;
        loop {
            let answer = self.next()?;
            if let Some(error) = answer.get("error") {
                bail!("QEMU refused {command}: {}", error["desc"].as_str().unwrap_or("without saying why"));
            }
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
        }
    }

    /// Runs a line of QEMU's monitor for people (`info registers`).
    pub fn human(&mut self, line: &str) -> Result<String> {
        let answer = self.run("human-monitor-command", json!({ "command-line": line }))?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    /// Writes the stopped machine to `file`: RAM at fixed places, so that loading it is only a mapping.
    pub fn save(&mut self, file: &Path) -> Result<()> {
        self.run("stop", json!({}))?;
        self.prepare_migration()?;
        self.run("migrate-set-parameters", json!({ "max-bandwidth": 0 }))?;
        self.run("migrate", json!({ "uri": format!("file:{}", file.display()) }))?;
        self.migrated()
    }

    /// Loads what [`Self::save`] wrote into a machine started with `-incoming defer`, and lets it run.
    pub fn restore(&mut self, file: &Path) -> Result<()> {
        self.prepare_migration()?;
        self.run("migrate-incoming", json!({ "uri": format!("file:{}", file.display()) }))?;
        self.migrated()?;
        self.run("cont", json!({}))?;
        Ok(())
    }

    fn prepare_migration(&mut self) -> Result<()> {
        let on = |name: &str| json!({ "capability": name, "state": true });
        self.run("migrate-set-capabilities", json!({ "capabilities": [on("mapped-ram"), on("events")] }))?;
        Ok(())
    }

    fn migrated(&mut self) -> Result<()> {
        loop {
            let message = self.next()?;
            if message["event"] == "MIGRATION" {
                match message["data"]["status"].as_str() {
                    Some("completed") => return Ok(()),
                    Some("failed") => bail!("QEMU could not move the machine's state"),
                    _ => {}
                }
            }
        }
    }

    fn next(&mut self) -> Result<Value> {
        let mut line = String::new();
        let n = self.reader.read_line(&mut line).context("waiting for QEMU's monitor")?;
        if n == 0 {
            bail!("QEMU closed its monitor");
        }
        serde_json::from_str(&line).with_context(|| format!("QEMU's monitor said {line:?}"))
    }
}
