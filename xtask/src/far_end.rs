//! The far end of a board's other serial port, on a TCP port of this machine.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use fata_lab::Console;

/// The line of the machine that runs now, which is another after a reboot.
static LINE: Mutex<Option<Console>> = Mutex::new(None);

/// Whoever connects to `port` is at the far end of `line`, and hears what was said before, too.
pub(crate) fn offer(line: Console, port: u16) -> Result<()> {
    if LINE.lock().unwrap_or_else(PoisonError::into_inner).replace(line).is_some() {
        return Ok(());
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("cannot listen on port {port} of this machine"))?;
    eprintln!("[the far end of its serial port is at 127.0.0.1:{port}]");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Some(line) = LINE.lock().unwrap_or_else(PoisonError::into_inner).clone() else { continue };
            thread::spawn(move || attend(&line, stream));
        }
    });
    Ok(())
}

/// As long as both are there.
fn attend(line: &Console, mut stream: TcpStream) {
    let Ok(mut said) = stream.try_clone() else { return };
    let typed = line.clone();
    thread::spawn(move || {
        let mut piece = [0; 1024];
        while let Ok(len @ 1..) = said.read(&mut piece) {
            if typed.send(&piece[..len]).is_err() {
                break;
            }
        }
    });
    let mut heard = 0;
    loop {
        let (bytes, ended) = line.output.read_from(heard, Duration::from_secs(1));
        heard += bytes.len();
        if stream.write_all(&bytes).is_err() || ended && bytes.is_empty() {
            return;
        }
    }
}
