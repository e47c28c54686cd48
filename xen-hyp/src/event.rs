//! Event channels: the 2-level ABI, and channels that tasks wait on.

use crate::abi::{DOMID_SELF, event as abi};
use crate::error::XenError;
use crate::platform::{Platform, Shared};
use crate::signal::{After, Seen, Signal};
use crate::xen::{DomId, Port, Xen};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::sync::atomic::Ordering;
use fata_trace::Kind;

/// What this domain knows of its ports.
#[derive(Default)]
pub(crate) struct Events {
    /// By port number; Xen hands out the lowest free one, so this stays short.
    ports: RefCell<Vec<Option<Rc<PortState>>>>,
    totals: Cell<EventTotals>,
}

#[derive(Default)]
struct PortState {
    signal: Signal,
    sent: Cell<u64>,
    handler: RefCell<Option<Handler>>,
}

/// What is done at an event, before anybody who waits for it has a turn.
type Handler = Rc<dyn Fn()>;

/// Counts over all ports since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventTotals {
    /// Times Xen had set the upcall flag when we looked.
    pub upcalls: u64,
    /// Events received.
    pub received: u64,
    /// Of these, events on ports nobody had bound; each such port is masked until somebody does.
    pub unknown: u64,
    /// Events sent.
    pub sent: u64,
    /// Events that Xen refused to send.
    pub send_errors: u64,
}

/// Counts of one open port.
#[derive(Clone, Copy, Debug)]
pub struct PortInfo {
    /// Which.
    pub port: Port,
    /// Events received on it.
    pub received: u64,
    /// Events sent through it.
    pub sent: u64,
}

/// What a port is connected to, as Xen says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortStatus {
    /// Not in use.
    Closed,
    /// Waiting for this domain to connect, or left by it.
    Unbound(DomId),
    /// Connected to this port of this domain.
    Interdomain(DomId, Port),
    /// Bound to a virtual interrupt.
    Virq(u32),
    /// Something this system does not use: a physical interrupt or an inter-processor one.
    Other(u32),
}

impl fmt::Display for PortStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Unbound(dom) => write!(f, "waiting for {dom}"),
            Self::Interdomain(dom, port) => write!(f, "{dom} port {}", port.0),
            Self::Virq(virq) => write!(f, "virq {virq}"),
            Self::Other(status) => write!(f, "status {status}"),
        }
    }
}

/// Virtual interrupts an ordinary domain may bind (`VIRQ_*`, `xen/include/public/xen.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Virq {
    /// Timebase update or requested timeout.
    Timer = 0,
    /// Request to dump debug information.
    Debug = 1,
    /// Argo message notification.
    Argo = 11,
}

impl<P: Platform> Xen<P> {
    /// Allocates a port for `remote` to connect to (`EVTCHNOP_alloc_unbound`).
    pub fn listen(self: &Rc<Self>, remote: DomId) -> Result<Channel<P>, XenError> {
        let mut op = abi::AllocUnbound { dom: DOMID_SELF, remote_dom: remote.0, port: 0 };
        self.op(&mut op)?;
        self.open(op.port, true)
    }

    /// Connects to a port on which `remote` listens for us (`EVTCHNOP_bind_interdomain`).
    pub fn connect(self: &Rc<Self>, remote: DomId, port: Port) -> Result<Channel<P>, XenError> {
        let mut op = abi::BindInterdomain { remote_dom: remote.0, remote_port: port.0, local_port: 0 };
        self.op(&mut op)?;
        self.open(op.local_port, true)
    }

    /// Receives a virtual interrupt on this vCPU (`EVTCHNOP_bind_virq`).
    pub fn bind_virq(self: &Rc<Self>, virq: Virq) -> Result<Channel<P>, XenError> {
        let mut op = abi::BindVirq { virq: virq as u32, vcpu: 0, port: 0 };
        self.op(&mut op)?;
        self.open(op.port, true)
    }

    /// Uses a port that was opened for us before we started, such as the console's. It stays open when the
    /// channel is dropped. Events that came before are not lost, even if they were masked as unknown: the channel
    /// then starts with one received.
    pub fn adopt(self: &Rc<Self>, port: Port) -> Result<Channel<P>, XenError> {
        match self.status(port)? {
            PortStatus::Closed => Err(XenError::ENOENT),
            _ => self.open(port.0, false),
        }
    }

    /// What a port of ours is connected to (`EVTCHNOP_status`).
    pub fn status(&self, port: Port) -> Result<PortStatus, XenError> {
        let mut op = abi::Status { dom: DOMID_SELF, port: port.0, ..Default::default() };
        self.op(&mut op)?;
        // The domain id is a 16-bit field at the start of the union; ARM and x86 are little-endian.
        let dom = DomId(op.u0 as u16);
        Ok(match op.status {
            abi::STAT_CLOSED => PortStatus::Closed,
            abi::STAT_UNBOUND => PortStatus::Unbound(dom),
            abi::STAT_INTERDOMAIN => PortStatus::Interdomain(dom, Port(op.u1)),
            abi::STAT_VIRQ => PortStatus::Virq(op.u0),
            other => PortStatus::Other(other),
        })
    }

    /// This domain's own id. Xen has no call for it, but it resolves `DOMID_SELF` in the status of a port.
    pub fn domid(&self) -> Result<DomId, XenError> {
        let mut op = abi::AllocUnbound { dom: DOMID_SELF, remote_dom: DOMID_SELF, port: 0 };
        self.op(&mut op)?;
        let status = self.status(Port(op.port));
        self.op(&mut abi::Close { port: op.port })?;
        match status? {
            PortStatus::Unbound(dom) => Ok(dom),
            _ => Err(XenError::ENODATA),
        }
    }

    /// Turns pending events into wake-ups, each port at most once, so a storm cannot hold us here.
    /// Returns whether there were any. The run loop calls this once a turn.
    pub fn demux(&self) -> bool {
        let Some(shared) = self.platform().shared() else { return false };
        if shared.vcpu.upcall_pending.load(Ordering::Relaxed) == 0 {
            return false;
        }
        // Xen sets the port's bit, then the selector's, then the flag. Taking the flag by a read-modify-write
        // with acquire before the selector means: if ours comes after Xen's, we see its bits; if before, Xen
        // finds the flag clear and sets it again.
        shared.vcpu.upcall_pending.swap(0, Ordering::AcqRel);
        self.events.count(|t| t.upcalls += 1);
        let mut any = false;
        for word in bits(shared.vcpu.pending_sel.swap(0, Ordering::AcqRel)) {
            let ready =
                shared.pending[word].load(Ordering::Relaxed) & !shared.mask[word].load(Ordering::Relaxed);
            let taken = shared.pending[word].fetch_and(!ready, Ordering::AcqRel) & ready;
            for bit in bits(taken) {
                any = true;
                self.events.deliver(&shared, word, bit);
            }
        }
        any
    }

    /// Counts over all ports.
    pub fn event_totals(&self) -> EventTotals {
        self.events.totals.get()
    }

    /// Counts of each open port.
    pub fn ports(&self) -> Vec<PortInfo> {
        let ports = self.events.ports.borrow();
        let open = ports.iter().enumerate().filter_map(|(i, state)| {
            let state = state.as_ref()?;
            Some(PortInfo { port: Port(i as u32), received: state.signal.count(), sent: state.sent.get() })
        });
        open.collect()
    }

    /// Makes a channel of a port that Xen says is ours, closing it again if that fails.
    fn open(self: &Rc<Self>, port: u32, owned: bool) -> Result<Channel<P>, XenError> {
        match self.platform().shared().ok_or(XenError::ENODEV).and_then(|s| self.events.insert(&s, port)) {
            Ok(state) => Ok(Channel { xen: self.clone(), state, port: Port(port), owned }),
            Err(error) => {
                if owned {
                    self.op(&mut abi::Close { port })?;
                }
                Err(error)
            }
        }
    }
}

impl Events {
    fn count(&self, add: impl FnOnce(&mut EventTotals)) {
        let mut totals = self.totals.get();
        add(&mut totals);
        self.totals.set(totals);
    }

    fn insert(&self, shared: &Shared<'_>, port: u32) -> Result<Rc<PortState>, XenError> {
        if port >= abi::NR_CHANNELS {
            return Err(XenError::EINVAL);
        }
        let mut ports = self.ports.borrow_mut();
        let index = port as usize;
        if ports.len() <= index {
            ports.resize_with(index + 1, || None);
        }
        if ports[index].is_some() {
            return Err(XenError::EBUSY);
        }
        let state = Rc::<PortState>::default();
        ports[index] = Some(state.clone());
        // No upcall follows for an event that came while the port was masked, so look for one here.
        let (word, bit) = (index / 64, 1 << (index % 64));
        let masked = shared.mask[word].fetch_and(!bit, Ordering::SeqCst) & bit != 0;
        let pending = shared.pending[word].fetch_and(!bit, Ordering::SeqCst) & bit != 0;
        if masked || pending {
            state.signal.fire();
        }
        Ok(state)
    }

    fn remove(&self, shared: &Shared<'_>, port: Port) {
        let index = port.0 as usize;
        shared.mask[index / 64].fetch_or(1 << (index % 64), Ordering::SeqCst);
        self.ports.borrow_mut()[index] = None;
    }

    fn deliver(&self, shared: &Shared<'_>, word: usize, bit: usize) {
        self.count(|t| t.received += 1);
        let state = self.ports.borrow().get(word * 64 + bit).cloned().flatten();
        fata_trace::mark(Kind::Event, (word * 64 + bit) as u64, u64::from(state.is_some()));
        match state {
            Some(state) => {
                // Not kept borrowed, since it may be exchanged by what is done.
                let handler = state.handler.borrow().clone();
                if let Some(handler) = handler {
                    handler();
                }
                state.signal.fire();
            }
            None => {
                shared.mask[word].fetch_or(1 << bit, Ordering::SeqCst);
                self.count(|t| t.unknown += 1);
            }
        }
    }
}

/// The numbers of the set bits, lowest first.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.checked_sub(1)?;
        Some(bit as usize)
    })
}

/// Our end of an event channel.
///
/// Dropping it closes the port, unless it was [adopted](Xen::adopt).
pub struct Channel<P: Platform> {
    xen: Rc<Xen<P>>,
    state: Rc<PortState>,
    port: Port,
    owned: bool,
}

impl<P: Platform> Channel<P> {
    /// Our port.
    pub fn port(&self) -> Port {
        self.port
    }

    /// Signals the peer (`EVTCHNOP_send`). With no peer connected nothing happens.
    pub fn notify(&self) {
        fata_trace::mark(Kind::Notified, u64::from(self.port.0), 0);
        let sent = self.xen.op(&mut abi::Send { port: self.port.0 });
        self.state.sent.set(self.state.sent.get() + 1);
        self.xen.events.count(|t| match sent {
            Ok(_) => t.sent += 1,
            Err(_) => t.send_errors += 1,
        });
    }

    /// Has this done at each event by the run loop, before the tasks that wait for it have a turn: for what moves
    /// answers to those who wait for them, and so saves a task and a turn. It must not wait, and is dropped with the
    /// channel.
    pub fn on_event(&self, handler: Rc<dyn Fn()>) {
        *self.state.handler.borrow_mut() = Some(handler);
    }

    /// What fires at each event.
    pub fn signal(&self) -> &Signal {
        &self.state.signal
    }

    /// The events received so far; take it before looking for work.
    pub fn seen(&self) -> Seen {
        self.state.signal.seen()
    }

    /// Waits for an event unless there was one since `seen`. Any number of tasks may wait; all are woken.
    pub fn after(&self, seen: Seen) -> After<'_> {
        self.state.signal.after(seen)
    }

    /// Waits until `look` finds something, looking again after each event.
    pub async fn until<T>(&self, look: impl FnMut() -> Option<T>) -> T {
        self.state.signal.until(look).await
    }
}

impl<P: Platform> Drop for Channel<P> {
    fn drop(&mut self) {
        // Somebody may still wait for the signal, but nothing is done any more.
        *self.state.handler.borrow_mut() = None;
        if let Some(shared) = self.xen.platform().shared() {
            self.xen.events.remove(&shared, self.port);
        }
        if self.owned {
            // Fails only for a port that is closed already, as all are after a soft reset.
            let _ = self.xen.op(&mut abi::Close { port: self.port.0 });
        }
    }
}

impl<P: Platform> fmt::Debug for Channel<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("port", &self.port).field("owned", &self.owned).finish()
    }
}
