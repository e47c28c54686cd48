//! Talks to the agent in dom0: runs commands there, carries files in.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The host's end of the agent's port (tests/lab/dom0/agent says what is spoken).
pub(crate) struct Control {
    stream: BufReader<UnixStream>,
    /// After an error the two sides no longer agree where a message begins.
    broken: bool,
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit code.
    pub code: i32,
    /// What it wrote, standard output and standard error as they came.
    pub bytes: Vec<u8>,
}

impl Output {
    /// What it wrote, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Control {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream: BufReader::new(stream), broken: false }
    }

    /// Waits for the agent's first word after dom0 has booted.
    pub(crate) fn wait_until_ready(&mut self, timeout: Duration) -> Result<()> {
        self.stream.get_ref().set_read_timeout(Some(timeout))?;
        let mut line = String::new();
        self.stream.read_line(&mut line).context("waiting for dom0's agent")?;
        if line != "ready\n" {
            bail!("dom0's agent said {line:?} instead of being ready");
        }
        Ok(())
    }

    /// Runs a shell script.
    pub(crate) fn run(&mut self, script: &str, timeout: Duration) -> Result<Output> {
        self.ask(&format!("run {}", script.len()), script.as_bytes(), timeout)
    }

    /// Writes a file.
    pub(crate) fn put(&mut self, path: &str, contents: &[u8], timeout: Duration) -> Result<()> {
        if path.contains(char::is_whitespace) {
            bail!("{path:?} is not a path for dom0: it has a space in it");
        }
        let output = self.ask(&format!("put {} {path}", contents.len()), contents, timeout)?;
        if output.code != 0 {
            bail!("dom0 could not write {path}");
        }
        Ok(())
    }

    fn ask(&mut self, request: &str, payload: &[u8], timeout: Duration) -> Result<Output> {
        if self.broken {
            bail!("the line to dom0 is out of step since an earlier failure");
        }
        self.broken = true;
        let stream = self.stream.get_mut();
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        stream.write_all(format!("{request}\n").as_bytes()).context("writing to dom0's agent")?;
        stream.write_all(payload).context("writing to dom0's agent")?;

        let mut line = String::new();
        self.stream
            .read_line(&mut line)
            .with_context(|| format!("no answer from dom0's agent in {timeout:.0?}"))?;
        let answer = line.trim_end().split_once(' ');
        let parsed = answer.and_then(|(code, bytes)| Some((code.parse().ok()?, bytes.parse().ok()?)));
        let (code, length): (i32, usize) =
            parsed.with_context(|| format!("dom0's agent answered {line:?}"))?;
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).context("reading from dom0's agent")?;
        self.broken = false;
        Ok(Output { code, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::thread;

    /// The real agent on this machine's shell, if its `dd` and `stat` do as busybox's.
    fn agent() -> (Control, thread::JoinHandle<()>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let script =
            include_str!("../dom0/agent").replace("exec 3<>\"$1\"", "exec 3<&0").replace(">&3", ">&1");
        let server = thread::spawn(move || {
            let input = Stdio::from(std::os::fd::OwnedFd::from(theirs.try_clone().unwrap()));
            let output = Stdio::from(std::os::fd::OwnedFd::from(theirs));
            let mut child =
                Command::new("sh").arg("-c").arg(script).stdin(input).stdout(output).spawn().unwrap();
            child.wait().unwrap();
        });
        (Control::new(ours), server)
    }

    #[test]
    fn carries_commands_and_files_byte_for_byte() {
        let timeout = Duration::from_secs(60);
        let (mut control, _server) = agent();
        control.wait_until_ready(timeout).unwrap();
        let output = control.run("printf 'a\\0b\\n'; echo oops >&2; exit 7", timeout).unwrap();
        assert_eq!(output, Output { code: 7, bytes: b"a\0b\noops\n".to_vec() });
        let contents: Vec<u8> = (0..70_000u32).map(|n| (n * 7 + n / 256) as u8).collect();
        let path = std::env::temp_dir().join(format!("fata-control-{}", std::process::id()));
        control.put(&path.display().to_string(), &contents, timeout).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), contents);
        std::fs::remove_file(path).unwrap();
        assert_eq!(control.run("kill $PPID", timeout).ok(), None);
    }
}
