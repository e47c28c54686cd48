//! The user's terminal, joined to a guest's console.

use std::io::{IsTerminal, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::console::Console;

/// Ctrl-] leaves, as in telnet and `xl console`.
const LEAVE: u8 = 0x1d;
/// How often to look whether the guest has ended when it says nothing.
const GLANCE: Duration = Duration::from_millis(100);

/// Why the terminal was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The user typed Ctrl-].
    User,
    /// The guest's console has ended.
    Guest,
    /// The time limit.
    Timeout,
    /// A signal asks us to end.
    Signal(i32),
}

/// Standard input and output in raw mode. Dropping it (also by a panic) puts the terminal back as it was.
pub struct Terminal {
    saved: Option<Termios>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Where what is typed goes.
    console: Mutex<Option<Console>>,
    attached: Condvar,
    leave: AtomicBool,
    signal: AtomicI32,
}

impl Terminal {
    /// Takes the terminal. Where standard input is a pipe, its bytes are passed on all the same.
    pub fn take() -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT]).context("watching for signals")?;
        let on_signal = Arc::clone(&shared);
        thread::spawn(move || {
            for signal in signals.forever() {
                on_signal.signal.store(signal, Ordering::SeqCst);
                on_signal.nudge();
            }
        });
        let saved = enter_raw_mode()?;
        let on_input = Arc::clone(&shared);
        let is_terminal = saved.is_some();
        // Ends with the process: a read of standard input cannot be interrupted.
        thread::spawn(move || on_input.forward_input(is_terminal));
        Ok(Self { saved, shared })
    }

    /// Whether a person sits at it.
    pub fn is_interactive(&self) -> bool {
        self.saved.is_some()
    }

    /// Passes bytes both ways until something ends it. `show` may change what the guest wrote.
    pub fn attach(
        &self,
        console: &Console,
        deadline: Option<Instant>,
        mut show: impl FnMut(&[u8]) -> Vec<u8>,
        ended: impl Fn() -> bool,
    ) -> Result<Left> {
        *self.shared.console() = Some(console.clone());
        self.shared.attached.notify_all();
        let mut shown = 0;
        let mut stdout = std::io::stdout();
        let left = loop {
            let (bytes, closed) = console.output.read_from(shown, GLANCE);
            shown += bytes.len();
            stdout.write_all(&show(&bytes)).context("writing to the terminal")?;
            stdout.flush()?;
            let signal = self.shared.signal.load(Ordering::SeqCst);
            if signal != 0 {
                break Left::Signal(signal);
            }
            if self.shared.leave.load(Ordering::SeqCst) {
                break Left::User;
            }
            if bytes.is_empty() && (closed || ended()) {
                // What came while `ended` found out.
                let (rest, _) = console.output.read_from(shown, Duration::ZERO);
                stdout.write_all(&show(&rest))?;
                stdout.flush()?;
                break Left::Guest;
            }
            if deadline.is_some_and(|d| Instant::now() >= d) {
                break Left::Timeout;
            }
        };
        *self.shared.console() = None;
        Ok(left)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(saved) = &self.saved {
            // There is nobody left to tell.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, saved);
        }
    }
}

impl Shared {
    fn console(&self) -> MutexGuard<'_, Option<Console>> {
        self.console.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nudge(&self) {
        if let Some(console) = &*self.console() {
            console.output.nudge();
        }
    }

    fn forward_input(&self, is_terminal: bool) {
        let mut stdin = std::io::stdin();
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stdin.read(&mut buffer) {
            if is_terminal && buffer[..n].contains(&LEAVE) {
                self.leave.store(true, Ordering::SeqCst);
                self.nudge();
                return;
            }
            // What is typed before there is a guest waits for it.
            let console = self.attached.wait_while(self.console(), |console| console.is_none());
            let console = console.unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(console) = console {
                // A guest that is gone cannot be typed at; its end is noticed elsewhere.
                let _ = console.send(&buffer[..n]);
            }
        }
    }
}

/// Keys one by one, unechoed and uninterpreted. Output keeps its processing: a guest that ends its
/// lines with a bare line feed still looks right.
fn enter_raw_mode() -> Result<Option<Termios>> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Ok(None);
    }
    let saved = tcgetattr(&stdin).context("reading the terminal's modes")?;
    let mut raw = saved.clone();
    raw.local_modes &=
        !(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN);
    raw.input_modes &= !(InputModes::ICRNL
        | InputModes::INLCR
        | InputModes::IGNCR
        | InputModes::IXON
        | InputModes::ISTRIP
        | InputModes::BRKINT
        | InputModes::PARMRK);
    raw.special_codes[SpecialCodeIndex::VMIN] = 1;
    raw.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(&stdin, OptionalActions::Now, &raw).context("setting the terminal's modes")?;
    Ok(Some(saved))
}
