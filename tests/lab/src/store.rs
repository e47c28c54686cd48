//! Xenstore, seen from dom0.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::host::Dom0;

/// `enum xenbus_state` (xen/include/public/io/xenbus.h) as Xenstore has it.
pub mod state {
    /// `XenbusStateInitialising`
    pub const INITIALISING: &str = "1";
    /// `XenbusStateInitWait`
    pub const INIT_WAIT: &str = "2";
    /// `XenbusStateInitialised`
    pub const INITIALISED: &str = "3";
    /// `XenbusStateConnected`
    pub const CONNECTED: &str = "4";
    /// `XenbusStateClosing`
    pub const CLOSING: &str = "5";
    /// `XenbusStateClosed`
    pub const CLOSED: &str = "6";
}

impl Dom0 {
    /// The value at a path, if there is one.
    pub fn store_read(&self, path: &str) -> Result<Option<String>> {
        let output = self.run(&format!("xenstore-read {}", quoted(path)), Duration::from_secs(10))?;
        match output.code {
            0 => Ok(Some(output.text().trim_end_matches('\n').to_owned())),
            _ if output.text().contains("couldn't read path") => Ok(None),
            code => bail!("xenstore-read fails with {code}: {}", output.text()),
        }
    }

    /// Writes a value.
    pub fn store_write(&self, path: &str, value: &str) -> Result<()> {
        self.sh(&format!("xenstore-write {} {}", quoted(path), quoted(value))).map(drop)
    }

    /// Removes a node and all below it.
    pub fn store_remove(&self, path: &str) -> Result<()> {
        self.sh(&format!("xenstore-rm {}", quoted(path))).map(drop)
    }

    /// All nodes below a path, by their whole paths; none if it does not exist. Values are as `xenstore-ls` shows
    /// them.
    pub fn store_tree(&self, path: &str) -> Result<BTreeMap<String, String>> {
        let output = self.run(&format!("xenstore-ls -f {}", quoted(path)), Duration::from_secs(30))?;
        match output.code {
            0 => parse(&output.text()),
            _ if output.text().contains("No such file") => Ok(BTreeMap::new()),
            code => bail!("xenstore-ls fails with {code}: {}", output.text()),
        }
    }

    /// Waits until a node has this value. It is looked at again and again, so a value that lasts but a moment may be
    /// missed.
    pub fn store_wait(&self, path: &str, value: &str, timeout: Duration) -> Result<()> {
        self.wait_for(path, &format!("= {}", quoted(value)), timeout)
    }

    /// Waits until there is such a node, with any value but none.
    pub fn store_wait_any(&self, path: &str, timeout: Duration) -> Result<()> {
        self.wait_for(path, "!= ''", timeout)
    }

    fn wait_for(&self, path: &str, value: &str, timeout: Duration) -> Result<()> {
        let path = quoted(path);
        let script = format!(
            "n={}\nuntil [ \"$(xenstore-read {path} 2>/dev/null)\" {value} ]; do\n\
             n=$((n - 1)); [ $n -gt 0 ] || {{ xenstore-read {path}; exit 1; }}; usleep 20000\ndone",
            timeout.as_millis() / 20 + 1
        );
        let output = self.run(&script, timeout * 4 + Duration::from_secs(10))?;
        match output.code {
            0 => Ok(()),
            _ => bail!("{path} does not become {value}: it is {}", output.text().trim_end()),
        }
    }
}

/// `/path = "value"`, a line each.
fn parse(text: &str) -> Result<BTreeMap<String, String>> {
    let pair = |line: &str| {
        let (path, value) = line.split_once(" = \"")?;
        Some((path.to_owned(), value.strip_suffix('"')?.to_owned()))
    };
    text.lines().map(|line| pair(line).with_context(|| format!("xenstore-ls says {line:?}"))).collect()
}

/// For dom0's shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_become_paths_with_values() {
        let tree = parse("/a = \"\"\n/a/b = \"1 = \\\"x\\\"\"\n").unwrap();
        assert_eq!(tree.get("/a").unwrap(), "");
        assert_eq!(tree.get("/a/b").unwrap(), r#"1 = \"x\""#);
        assert!(parse("xenstore-ls: could not\n").is_err());
    }

    #[test]
    fn quotes_survive_the_shell() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
