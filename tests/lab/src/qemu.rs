//! One QEMU process: its arguments, its sockets, and that it never outlives us.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long QEMU may take to connect to our sockets.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// QEMU's command line under construction.
pub(crate) struct Invocation {
    command: Vec<OsString>,
    dir: PathBuf,
    sockets: Vec<String>,
}

impl Invocation {
    /// Starts from how to run QEMU at all; `dir` becomes its working folder and takes its logs.
    pub(crate) fn new(program: Vec<OsString>, dir: &Path) -> Self {
        Self { command: program, dir: dir.to_owned(), sockets: Vec::new() }
    }

    /// Adds arguments.
    pub(crate) fn args<T: Into<OsString>>(&mut self, args: impl IntoIterator<Item = T>) -> &mut Self {
        self.command.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a character device called `name` that is a socket of ours.
    pub(crate) fn socket(&mut self, name: &str) -> &mut Self {
        self.sockets.push(name.to_owned());
        // QEMU connects to us, so nothing it says before we listen can be lost.
        self.args(["-chardev".to_owned(), format!("socket,id={name},path={name}.sock")])
    }

    /// Has QEMU's loader put a file into guest memory.
    pub(crate) fn load(&mut self, file: &Path, address: u64) -> &mut Self {
        let file = option_value(file);
        self.args(["-device".to_owned(), format!("loader,file={file},addr={address:#x},force-raw=on")])
    }

    /// Starts it; the streams are in the order of the [`Self::socket`] calls. It is killed after `timeout`.
    pub(crate) fn start(self, timeout: Duration) -> Result<(Process, Vec<UnixStream>)> {
        let Self { command, dir, sockets } = self;
        let line = command.iter().map(|a| quote(&a.to_string_lossy())).collect::<Vec<_>>().join(" ");
        fs::write(dir.join("argv"), line + "\n").with_context(|| format!("writing to {}", dir.display()))?;
        // A socket's path is limited to 108 bytes; through the folder's descriptor any folder will do.
        let folder = File::open(&dir)?;
        let mut listeners = Vec::new();
        for name in &sockets {
            let _ = fs::remove_file(dir.join(format!("{name}.sock")));
            let path = format!("/proc/self/fd/{}/{name}.sock", folder.as_raw_fd());
            listeners.push(UnixListener::bind(path).with_context(|| format!("opening socket {name}"))?);
        }

        let stderr_log = dir.join("qemu.log");
        let (program, args) = command.split_first().context("no QEMU program was given")?;
        let child = Command::new(program)
            .args(args)
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&stderr_log)?)
            .spawn()
            .with_context(|| format!("starting {}", program.to_string_lossy()))?;
        let qemu = Process::watch(child, stderr_log, timeout);
        let streams = listeners.iter().map(|l| qemu.accept(l)).collect::<Result<_>>()?;
        for name in &sockets {
            let _ = fs::remove_file(dir.join(format!("{name}.sock")));
        }
        Ok((qemu, streams))
    }
}

/// A running QEMU. Dropping it kills it.
pub(crate) struct Process {
    watched: Arc<Watched>,
    stderr_log: PathBuf,
}

struct Watched {
    child: Mutex<Child>,
    over: Mutex<bool>,
    changed: Condvar,
}

impl Process {
    fn watch(child: Child, stderr_log: PathBuf, timeout: Duration) -> Self {
        let watched =
            Arc::new(Watched { child: Mutex::new(child), over: Mutex::new(false), changed: Condvar::new() });
        let watchdog = Arc::clone(&watched);
        thread::spawn(move || {
            let over = watchdog.over.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = watchdog.changed.wait_timeout_while(over, timeout, |over| !*over);
            if waited.is_ok_and(|(_, result)| result.timed_out()) {
                watchdog.kill();
            }
        });
        Self { watched, stderr_log }
    }

    /// Whether it has ended by itself (or was killed by its time limit).
    pub(crate) fn exited(&self) -> Option<ExitStatus> {
        self.watched.child().try_wait().ok().flatten()
    }

    /// What can end it from another thread.
    pub(crate) fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.watched))
    }

    /// What it complained about.
    pub(crate) fn complaints(&self) -> String {
        fs::read_to_string(&self.stderr_log).unwrap_or_default()
    }

    fn accept(&self, listener: &UnixListener) -> Result<UnixStream> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let pause = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let ready = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&pause)).unwrap_or(0);
            if ready > 0 {
                return Ok(listener.accept()?.0);
            }
            if let Some(status) = self.exited() {
                bail!(
                    "QEMU ended at once ({status}):\n{}see {}",
                    self.complaints(),
                    self.stderr_log.display()
                );
            }
            if Instant::now() > deadline {
                bail!("QEMU did not come up in {START_TIMEOUT:?}; see {}", self.stderr_log.display());
            }
        }
    }
}

/// Ends a QEMU that something else owns.
pub(crate) struct Killer(Arc<Watched>);

impl Killer {
    /// Ends it, and with it all its streams.
    pub(crate) fn kill(&self) {
        self.0.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        *self.watched.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.watched.changed.notify_all();
        self.watched.kill();
        // Reaps it; after SIGKILL this cannot take long.
        let _ = self.watched.child().wait();
    }
}

impl Watched {
    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kill(&self) {
        // Fails only when it has already ended.
        let _ = self.child().kill();
    }
}

/// A path inside a QEMU option, where a comma would start the next one.
pub(crate) fn option_value(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// For the record of the command line, which people paste into a shell.
fn quote(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.,:@+".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        return arg.to_owned();
    }
    format!("'{}'", arg.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("fata-qemu-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn a_process_that_ends_at_once_is_reported_with_its_words() {
        let dir = scratch("ends");
        let mut run =
            Invocation::new(vec!["sh".into(), "-c".into(), "echo no such board >&2; exit 3".into()], &dir);
        run.socket("serial");
        let error = run.start(Duration::from_secs(60)).err().unwrap().to_string();
        fs::remove_dir_all(&dir).unwrap();
        assert!(error.contains("no such board") && error.contains("qemu.log"), "{error}");
    }

    #[test]
    fn a_process_is_killed_when_its_time_is_over() {
        let dir = scratch("limit");
        let run = Invocation::new(vec!["sleep".into(), "1000".into()], &dir);
        let (qemu, _) = run.start(Duration::ZERO).unwrap();
        let status = qemu.watched.wait_until_killed();
        fs::remove_dir_all(&dir).unwrap();
        assert!(!status.success());
    }

    impl Watched {
        fn wait_until_killed(&self) -> ExitStatus {
            loop {
                if let Some(status) = self.child().try_wait().unwrap() {
                    return status;
                }
                thread::yield_now();
            }
        }
    }

    #[test]
    fn the_recorded_command_line_can_be_pasted() {
        assert_eq!(quote("-M"), "-M");
        assert_eq!(quote("it's here"), r"'it'\''s here'");
        assert_eq!(option_value(Path::new("a,b")), "a,,b");
    }
}
