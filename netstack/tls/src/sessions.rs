//! What a client keeps of earlier connections, to resume them: of so many servers, the latest used.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls_pki_types::ServerName;
use spin::Mutex;

/// Each is used once, and a server gives one or two at a time.
const TICKETS: usize = 4;

/// Sessions with servers.
pub(crate) struct Sessions {
    most: usize,
    /// The latest used is last.
    servers: Mutex<Vec<Known>>,
}

struct Known {
    name: ServerName<'static>,
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: VecDeque<Tls13ClientSessionValue>,
}

impl Sessions {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, servers: Mutex::new(Vec::new()) }
    }

    fn with<R>(&self, name: &ServerName<'_>, f: impl FnOnce(&mut Known) -> R) -> Option<R> {
        let mut servers = self.servers.lock();
        let at = servers.iter().position(|known| known.name == *name)?;
        let known = servers.remove(at);
        servers.push(known);
        servers.last_mut().map(f)
    }

    fn put(&self, name: ServerName<'static>, f: impl FnOnce(&mut Known)) {
        let mut servers = self.servers.lock();
        let at = servers.iter().position(|known| known.name == name);
        let fresh = || Known { name, group: None, tls12: None, tls13: VecDeque::new() };
        let known = at.map_or_else(fresh, |at| servers.remove(at));
        if servers.len() >= self.most && !servers.is_empty() {
            servers.remove(0);
        }
        servers.push(known);
        servers.last_mut().map(f);
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.put(name, |known| known.group = Some(group));
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.with(name, |known| known.group).flatten()
    }

    fn set_tls12_session(&self, name: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.put(name, |known| known.tls12 = Some(session));
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.with(name, |known| known.tls12.clone()).flatten()
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.with(name, |known| known.tls12 = None);
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.put(name, |known| {
            if known.tls13.len() >= TICKETS {
                known.tls13.pop_front();
            }
            known.tls13.push_back(ticket);
        });
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.with(name, |known| known.tls13.pop_back()).flatten()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}
