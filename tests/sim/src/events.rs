//! Event channels as the hypervisor keeps them (`xen/common/event_channel.c`, `event_2l.c`).

use crate::domain::{Domain, End, OpenPort};
use crate::world::World;
use std::sync::atomic::Ordering;
use xen_hyp::abi::event::NR_CHANNELS;
use xen_hyp::{DomId, Port, XenError};

impl Domain {
    /// Opens the lowest free port; port 0 is never used.
    pub(crate) fn open(&self, end: End, own: bool) -> Port {
        let mut ports = self.ports.borrow_mut();
        let port = (1..NR_CHANNELS).find(|port| !ports.contains_key(port)).expect("a free port");
        ports.insert(port, OpenPort { end, own });
        Port(port)
    }

    pub(crate) fn end(&self, port: Port) -> Option<End> {
        self.ports.borrow().get(&port.0).map(|open| open.end)
    }

    fn set_end(&self, port: Port, end: End) {
        if let Some(open) = self.ports.borrow_mut().get_mut(&port.0) {
            open.end = end;
        }
    }

    /// `evtchn_2l_set_pending`, which does not care whether the port is open.
    pub fn raise(&self, port: Port) {
        let (word, bit) = (port.0 as usize / 64, 1 << (port.0 % 64));
        let words = &self.words;
        if words.pending.0[word].fetch_or(bit, Ordering::SeqCst) & bit == 0
            && words.mask.0[word].load(Ordering::SeqCst) & bit == 0
            && words.vcpu.pending_sel.fetch_or(1 << word, Ordering::SeqCst) & 1 << word == 0
        {
            words.vcpu.upcall_pending.store(1, Ordering::SeqCst);
        }
    }

    /// Whether the port is masked.
    pub fn is_masked(&self, port: Port) -> bool {
        self.words.mask.0[port.0 as usize / 64].load(Ordering::SeqCst) >> (port.0 % 64) & 1 != 0
    }

    /// Takes an event the way a backend does, one port at a time.
    pub(crate) fn take_event(&self, port: Port) -> bool {
        let bit = 1 << (port.0 % 64);
        self.words.pending.0[port.0 as usize / 64].fetch_and(!bit, Ordering::SeqCst) & bit != 0
    }
}

impl World {
    /// Connects two domains before they start, as Xen does by their device tree (`xen,evtchn-v1`). The ports are not
    /// theirs to close.
    pub fn static_event_channel(&self, a: &Domain, b: &Domain) -> (Port, Port) {
        let ours = a.open(End::Unbound(b.id), false);
        let theirs = b.open(End::Interdomain(a.id, ours), false);
        a.set_end(ours, End::Interdomain(b.id, theirs));
        (ours, theirs)
    }

    /// `EVTCHNOP_bind_interdomain`.
    pub(crate) fn bind(&self, local: &Domain, remote: DomId, port: Port) -> Result<Port, XenError> {
        let peer = self.find(remote).ok_or(XenError::ESRCH)?;
        if peer.end(port) != Some(End::Unbound(local.id)) {
            return Err(XenError::EINVAL);
        }
        let ours = local.open(End::Interdomain(remote, port), true);
        peer.set_end(port, End::Interdomain(local.id, ours));
        // Xen does so in case something was sent to the unbound port.
        local.raise(ours);
        Ok(ours)
    }

    /// `EVTCHNOP_close`.
    pub(crate) fn close(&self, domain: &Domain, port: Port) -> Result<(), XenError> {
        let open = domain.ports.borrow_mut().remove(&port.0).ok_or(XenError::EINVAL)?;
        if let End::Interdomain(remote, their) = open.end
            && let Some(peer) = self.find(remote)
        {
            peer.set_end(their, End::Unbound(domain.id));
        }
        domain.take_event(port);
        Ok(())
    }

    /// `EVTCHNOP_send`.
    pub(crate) fn send(&self, domain: &Domain, port: Port) -> Result<(), XenError> {
        domain.sends.set(domain.sends.get() + 1);
        match domain.end(port).ok_or(XenError::EINVAL)? {
            End::Interdomain(remote, their) => {
                if let Some(peer) = self.find(remote) {
                    peer.raise(their);
                }
                Ok(())
            }
            End::Unbound(_) => Ok(()),
            End::Virq(_) => Err(XenError::EINVAL),
        }
    }
}
