//! A byte stream from the machine: kept whole, written to a log, waited upon.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Everything one source said so far. Cheap to clone: the clones share it.
#[derive(Clone)]
pub struct Transcript(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    log: PathBuf,
}

struct State {
    bytes: Vec<u8>,
    log: File,
    /// Where the next `expect` starts to look.
    matched: usize,
    ended: bool,
    /// Wakes every waiter once, without new bytes.
    nudges: u64,
}

impl Transcript {
    /// An empty one that also writes to the file `log`.
    pub fn create(log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let state = State { bytes: Vec::new(), log: file, matched: 0, ended: false, nudges: 0 };
        Ok(Self(Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), log: log.to_owned() })))
    }

    /// Where it is written to.
    pub fn log(&self) -> &Path {
        &self.0.log
    }

    /// Adds what arrived.
    pub fn push(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.state();
        state.bytes.extend_from_slice(bytes);
        // The copy in memory is the one tests look at; a full disk must not end a run.
        let _ = state.log.write_all(bytes);
        self.0.changed.notify_all();
    }

    /// Nothing more will arrive.
    pub fn end(&self) {
        self.state().ended = true;
        self.0.changed.notify_all();
    }

    /// Lets every waiter look around once.
    pub fn nudge(&self) {
        self.state().nudges += 1;
        self.0.changed.notify_all();
    }

    /// All bytes so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    /// All bytes so far as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.state().bytes).into_owned()
    }

    /// Waits for `text` after the last match and returns what came before it and the match itself.
    pub fn expect(&self, text: &str, timeout: Duration) -> Result<String> {
        self.expect_any(&[text], timeout).map(|(_, seen)| seen)
    }

    /// Waits for whichever of `texts` appears first; says which, and what came up to it.
    pub fn expect_any(&self, texts: &[&str], timeout: Duration) -> Result<(usize, String)> {
        let found = |state: &State| {
            let rest = &state.bytes[state.matched..];
            let hit = |(n, text): (usize, &&str)| find(rest, text.as_bytes()).map(|at| (at + text.len(), n));
            texts.iter().enumerate().filter_map(hit).min()
        };
        let mut state = self.wait(timeout, |state| found(state).is_some() || state.ended);
        let Some((length, which)) = found(&state) else {
            let why = if state.ended { "the stream ended" } else { "nothing of the kind came" };
            let rest = String::from_utf8_lossy(&state.bytes[state.matched..]).into_owned();
            let last = rest.lines().rev().take(3).collect::<Vec<_>>();
            let last = last.into_iter().rev().collect::<Vec<_>>().join("\n  ");
            bail!(
                "waited {:.0?} for {texts:?}, but {why}; the last lines since the previous match:\n  {last}\nsee {}",
                timeout,
                self.0.log.display()
            );
        };
        let start = state.matched;
        state.matched += length;
        Ok((which, String::from_utf8_lossy(&state.bytes[start..start + length]).into_owned()))
    }

    /// Waits until it is at least `length` bytes long.
    pub fn wait_for_length(&self, length: usize, timeout: Duration) -> bool {
        self.wait(timeout, |state| state.bytes.len() >= length || state.ended).bytes.len() >= length
    }

    /// Waits until nothing more can arrive.
    pub fn wait_for_end(&self, timeout: Duration) -> bool {
        self.wait(timeout, |state| state.ended).ended
    }

    /// What arrived from byte `from` on; waits for something new, the end, a nudge or the time-out.
    /// The flag says whether the stream has ended.
    pub fn read_from(&self, from: usize, timeout: Duration) -> (Vec<u8>, bool) {
        let nudges = self.state().nudges;
        let state = self.wait(timeout, |s| s.bytes.len() > from || s.ended || s.nudges != nudges);
        (state.bytes[from..].to_vec(), state.ended)
    }

    /// Reads `stream` on a thread of its own; `route` decides which transcript gets what.
    pub fn follow(mut stream: UnixStream, mut route: impl FnMut(Option<&[u8]>) + Send + 'static) {
        thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(n) => route(Some(&buffer[..n])),
                }
            }
            route(None);
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, timeout: Duration, done: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        while !done(&state) {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            let waited = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
        }
        state
    }
}

/// A guest's console: what it said, and a way to type at it.
#[derive(Clone)]
pub struct Console {
    /// What the guest wrote.
    pub output: Transcript,
    input: Arc<Mutex<UnixStream>>,
    line: Option<Line>,
}

/// What must be minded on a line where input can get lost.
#[derive(Clone)]
pub(crate) struct Line {
    /// Input may flow once this is open.
    pub(crate) gate: Gate,
    /// How fast.
    pub(crate) pace: Pace,
}

/// Something that others wait for, once.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Lets everybody through from now on.
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.1.wait_while(open, |open| !*open));
    }
}

/// How fast a stream may be written that has no back-pressure.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// Bytes at a time.
    pub(crate) bytes: usize,
    /// The pause after them.
    pub(crate) pause: Duration,
}

impl Console {
    /// Joins what was read to where to write.
    pub(crate) fn new(output: Transcript, input: Arc<Mutex<UnixStream>>, line: Option<Line>) -> Self {
        Self { output, input, line }
    }

    /// Types `bytes`.
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> Result<()> {
        if let Some(line) = &self.line {
            line.gate.pass();
        }
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let mut write = |part: &[u8]| input.write_all(part).context("writing to the guest's console");
        let Some(line) = &self.line else { return write(bytes.as_ref()) };
        for part in bytes.as_ref().chunks(line.pace.bytes) {
            write(part)?;
            thread::sleep(line.pace.pause);
        }
        Ok(())
    }

    /// See [`Transcript::expect`].
    pub fn expect(&self, text: &str, timeout: Duration) -> Result<String> {
        self.output.expect(text, timeout)
    }

    /// Types a line and waits for an answer.
    pub fn ask(&self, line: &str, answer: &str, timeout: Duration) -> Result<String> {
        self.send(format!("{line}\r"))?;
        self.expect(answer, timeout)
    }
}

/// Whether `needle` is in it.
pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    find(haystack, needle).is_some()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(name: &str) -> Transcript {
        let log = std::env::temp_dir().join(format!("fata-console-{name}-{}", std::process::id()));
        Transcript::create(&log).unwrap()
    }

    #[test]
    fn finds_what_came_and_goes_on_behind_it() {
        let t = transcript("find");
        t.push(b"one two three two");
        let long = Duration::from_secs(60);
        assert_eq!(t.expect("two", long).unwrap(), "one two");
        assert_eq!(t.expect_any(&["two", "three"], long).unwrap(), (1, " three".to_owned()));
        assert_eq!(t.expect("two", long).unwrap(), " two");
        std::fs::remove_file(t.log()).unwrap();
    }

    #[test]
    fn a_failure_names_the_log_and_the_last_lines() {
        let t = transcript("fail");
        t.push(b"almost\nthere");
        t.end();
        let error = t.expect("never", Duration::from_secs(60)).unwrap_err().to_string();
        assert!(error.contains("there") && error.contains(&t.log().display().to_string()), "{error}");
        std::fs::remove_file(t.log()).unwrap();
    }

    #[test]
    fn wakes_a_waiter_when_bytes_arrive() {
        let t = transcript("wake");
        let waiter = t.clone();
        let thread = thread::spawn(move || waiter.expect("late", Duration::from_secs(60)));
        t.push(b"la");
        t.push(b"te");
        assert_eq!(thread.join().unwrap().unwrap(), "late");
        std::fs::remove_file(t.log()).unwrap();
    }
}
