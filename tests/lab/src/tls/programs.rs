//! `openssl` as a peer.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::PATIENCE;
use super::wire::Wire;
use crate::machine::Folder;
use crate::tools::Tools;

/// Where ours listens.
pub(super) struct Listener(TcpListener);

impl Listener {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?))
    }

    pub(super) fn address(&self) -> String {
        self.0.local_addr().map(|address| address.to_string()).unwrap_or_default()
    }

    /// The next connection.
    pub(super) fn accept(&self) -> Result<Wire> {
        self.0.set_nonblocking(true)?;
        let began = Instant::now();
        loop {
            match self.0.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    return Wire::new(stream);
                }
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return Err(error.into()),
                Err(_) if began.elapsed() > PATIENCE => bail!("nobody connects"),
                Err(_) => thread::sleep(std::time::Duration::from_millis(2)),
            }
        }
    }
}

/// One that runs, or is going to.
pub(super) struct Program {
    command: Command,
    child: Option<Child>,
    stdin: Option<ChildStdin>,
    said: Option<Receiver<String>>,
    all: String,
}

impl Program {
    /// `openssl NAME`.
    pub(super) fn new(tools: &Tools, folder: &Folder, name: &str) -> Result<Self> {
        let mut command = openssl(tools, folder)?;
        command.arg(name);
        Ok(Self { command, child: None, stdin: None, said: None, all: String::new() })
    }

    pub(super) fn args<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) -> &mut Self {
        self.command.args(words);
        self
    }

    pub(super) fn start(&mut self) -> Result<Self> {
        let mut command = std::mem::replace(&mut self.command, Command::new("none"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting openssl")?;
        let (tell, said) = channel();
        let (out, err) =
            (child.stdout.take().context("no output")?, child.stderr.take().context("no errors")?);
        let more = tell.clone();
        thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        thread::spawn(move || {
            BufReader::new(err).lines().map_while(Result::ok).try_for_each(|line| more.send(line))
        });
        let stdin = child.stdin.take();
        Ok(Self { command, child: Some(child), stdin, said: Some(said), all: String::new() })
    }

    /// Types something.
    pub(super) fn say(&mut self, text: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("it is not running")?;
        stdin.write_all(text.as_bytes())?;
        Ok(stdin.flush()?)
    }

    /// Waits for a line with `text` in it, and gives what follows that.
    pub(super) fn hear(&mut self, text: &str) -> Result<String> {
        let said = self.said.as_ref().context("it is not running")?;
        while let Ok(line) = said.recv_timeout(PATIENCE) {
            self.all += &line;
            self.all.push('\n');
            if let Some((_, rest)) = line.split_once(text) {
                return Ok(rest.trim().to_owned());
            }
        }
        bail!("openssl does not say {text:?}, but:\n{}", self.all)
    }

    /// Waits for its end, which comes when ours has closed; it has to have said `text`.
    pub(super) fn finish(&mut self, text: &str) -> Result<()> {
        if !text.is_empty() && !self.all.contains(text) {
            self.hear(text)?;
        }
        drop(self.stdin.take());
        let said = self.said.take().context("it is not running")?;
        while let Ok(line) = said.recv_timeout(PATIENCE) {
            self.all += &line;
        }
        let mut child = self.child.take().context("it is not running")?;
        child.kill().ok();
        child.wait()?;
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// The program, which wants a configuration even if there is nothing in it.
pub(super) fn openssl(tools: &Tools, folder: &Folder) -> Result<Command> {
    let config = folder.file("openssl.cnf");
    if !config.exists() {
        fs::write(
            &config,
            "[req]\ndistinguished_name = name\nx509_extensions = authority\n[name]\n[authority]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = keyCertSign, cRLSign\n",
        )?;
    }
    let mut command = tools.command("openssl")?;
    command.env("OPENSSL_CONF", &config).current_dir(&folder.path);
    Ok(command)
}

/// What it says, if it does as it is told.
pub(super) fn told(mut command: Command, log: &File) -> Result<()> {
    let output =
        command.stdin(Stdio::null()).stderr(log.try_clone()?).output().context("starting openssl")?;
    if !output.status.success() {
        bail!("openssl fails: {command:?}");
    }
    Ok(())
}
