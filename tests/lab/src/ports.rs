//! The virtio ports that carry guests' consoles out of dom0, and recordings of networks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::console::{Console, Transcript};
use crate::machine::Folder;

/// Guests whose consoles can be joined at the same time.
const PORTS: usize = 4;

/// The names of the ports, as QEMU and dom0 know them.
pub(crate) fn names() -> impl Iterator<Item = String> {
    (0..PORTS).map(|n| format!("console{n}"))
}

/// Which port is whose.
#[derive(Default)]
pub(crate) struct Ports {
    free: Vec<Port>,
    /// By the name of the guest.
    taken: BTreeMap<String, Port>,
    /// How many were ever taken, which keeps their logs apart.
    count: usize,
}

struct Port {
    name: String,
    input: Arc<Mutex<UnixStream>>,
    /// Where what arrives goes. Nothing should arrive while there is nobody.
    output: Arc<Mutex<Option<Output>>>,
}

/// Whoever gets what arrives.
enum Output {
    /// A guest's console.
    Console(Transcript),
    /// A file that is not looked into here.
    File(Written),
}

/// A file that is being written, without its first bytes if these are to be left out.
struct Written {
    file: File,
    skip: usize,
    /// Bytes that arrived.
    count: Arc<AtomicU64>,
}

impl Written {
    fn push(&mut self, bytes: &[u8]) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        // Nobody to tell of a full disk; but the count then says that all is there.
        let _ = self.file.write_all(&bytes[skipped..]);
        self.count.fetch_add(bytes.len() as u64, Ordering::Release);
    }
}

impl Ports {
    /// One more port, at the other end of `stream`.
    pub(crate) fn add(&mut self, name: String, stream: UnixStream) -> Result<()> {
        let input = Arc::new(Mutex::new(stream.try_clone()?));
        let output = Arc::new(Mutex::new(None::<Output>));
        let current = Arc::clone(&output);
        Transcript::follow(stream, move |bytes| {
            let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
            match (&mut *current, bytes) {
                (Some(Output::Console(transcript)), Some(bytes)) => transcript.push(bytes),
                (Some(Output::Console(transcript)), None) => transcript.end(),
                (Some(Output::File(file)), Some(bytes)) => file.push(bytes),
                (Some(Output::File(_)) | None, _) => {}
            }
        });
        self.free.push(Port { name, input, output });
        Ok(())
    }

    /// A port for a new guest, and its console.
    pub(crate) fn take(&mut self, guest: &str, folder: &Folder) -> Result<(String, Console)> {
        if self.taken.contains_key(guest) {
            bail!("{guest} has been created already; destroy it first");
        }
        let port = self.free.pop();
        let port = port.with_context(|| format!("more than {PORTS} guests' consoles at a time"))?;
        self.count += 1;
        let again = if self.count == 1 { String::new() } else { format!("-{}", self.count) };
        let output = Transcript::create(&folder.file(&format!("console-{guest}{again}.log")))?;
        port.lead_to(Some(Output::Console(output.clone())));
        let found = (port.name.clone(), Console::new(output, Arc::clone(&port.input), None));
        self.taken.insert(guest.to_owned(), port);
        Ok(found)
    }

    /// A port whose bytes go to a file, all but the first few, until [`Self::give_back`]; and how many have arrived.
    pub(crate) fn take_for(
        &mut self,
        whom: &str,
        file: File,
        skip: usize,
    ) -> Result<(String, Arc<AtomicU64>)> {
        let port = self.free.pop().context("no port is free")?;
        let count = Arc::new(AtomicU64::new(0));
        port.lead_to(Some(Output::File(Written { file, skip, count: Arc::clone(&count) })));
        let name = port.name.clone();
        self.taken.insert(whom.to_owned(), port);
        Ok((name, count))
    }

    /// The guest is gone.
    pub(crate) fn give_back(&mut self, guest: &str) {
        let Some(port) = self.taken.remove(guest) else { return };
        if let Some(Output::Console(transcript)) = port.lead_to(None) {
            transcript.end();
        }
        self.free.push(port);
    }
}

impl Port {
    fn lead_to(&self, output: Option<Output>) -> Option<Output> {
        std::mem::replace(&mut *self.output.lock().unwrap_or_else(PoisonError::into_inner), output)
    }
}
