//! The virtio ports that carry guests' consoles out of dom0.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
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
    output: Arc<Mutex<Option<Transcript>>>,
}

impl Ports {
    /// One more port, at the other end of `stream`.
    pub(crate) fn add(&mut self, name: String, stream: UnixStream) -> Result<()> {
        let input = Arc::new(Mutex::new(stream.try_clone()?));
        let output = Arc::new(Mutex::new(None::<Transcript>));
        let current = Arc::clone(&output);
        Transcript::follow(stream, move |bytes| {
            let current = current.lock().unwrap_or_else(PoisonError::into_inner);
            match (&*current, bytes) {
                (Some(transcript), Some(bytes)) => transcript.push(bytes),
                (Some(transcript), None) => transcript.end(),
                (None, _) => {}
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
        port.lead_to(Some(output.clone()));
        let found = (port.name.clone(), Console::new(output, Arc::clone(&port.input), None));
        self.taken.insert(guest.to_owned(), port);
        Ok(found)
    }

    /// The guest is gone.
    pub(crate) fn give_back(&mut self, guest: &str) {
        let Some(port) = self.taken.remove(guest) else { return };
        if let Some(transcript) = port.lead_to(None) {
            transcript.end();
        }
        self.free.push(port);
    }
}

impl Port {
    fn lead_to(&self, transcript: Option<Transcript>) -> Option<Transcript> {
        std::mem::replace(&mut *self.output.lock().unwrap_or_else(PoisonError::into_inner), transcript)
    }
}
