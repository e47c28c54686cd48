//! The PV console: a page with a ring each way, shared with xenconsoled or QEMU.

use crate::Error;
use crate::held::Held;
use alloc::rc::Rc;
use core::cell::{Cell, OnceCell, RefCell};
use core::fmt;
use fata_ring::{ByteRing, Consumer, Corrupt, Producer};
use fata_trace::{Device, Layout};
use xen_hyp::{Channel, Gfn, HvmParam, Platform, Port, Reserved, Seen, SharedMem, SharedPage, Signal, Xen};

/// `in` of `struct xencons_interface` (`xen/include/public/io/console.h`).
const IN: ByteRing = ByteRing { buffer: 0, size: 1024, prod: 3076, cons: 3072 };
/// `out` of it.
const OUT: ByteRing = ByteRing { buffer: 1024, size: 2048, prod: 3084, cons: 3080 };
/// `connection` of it.
const CONNECTION: usize = 3088;
/// `XENCONSOLE_DISCONNECTED`: nobody serves the rings. Toolstacks before Xen 4.22 leave the byte zero.
const DISCONNECTED: u8 = 1;

/// How long a blocking write waits for a backend that takes nothing.
const STALL_NS: u64 = 1_000_000_000;

/// A console whose other end is a ring's reader in another domain.
///
/// While the backend says that it is not connected, or the toolstack has not said yet where the ring is, the
/// last few KiB of output are kept and follow when it is. With a backend there, nothing is ever dropped:
/// writers wait, also for one that has stopped or is being restarted.
pub struct PvConsole<P: Platform> {
    xen: Rc<Xen<P>>,
    channel: Channel<P>,
    rings: OnceCell<Rings<P>>,
    held: RefCell<Held>,
    /// Events seen when the toolstack was last asked where the ring is.
    asked: Cell<Option<Seen>>,
    /// Events seen at the last `service`.
    serviced: Cell<Option<Seen>>,
    /// Why it is dead, if it is.
    dead: Cell<Option<Error>>,
    /// A blocking write gave up, and nothing has moved since.
    stalled: Cell<bool>,
}

struct Rings<P: Platform> {
    page: Rc<SharedPage<P>>,
    input: Consumer<Rc<SharedPage<P>>>,
    output: Producer<Rc<SharedPage<P>>>,
}

impl<P: Platform> Rings<P> {
    fn map(xen: &Rc<Xen<P>>, frame: Gfn) -> Result<Self, Error> {
        let page = Rc::new(xen.map_frame(frame).ok_or(Error::BadFrame)?);
        fata_trace::ring(page.address(), Layout::Console, Device::CONSOLE);
        let input = Consumer::new(page.clone(), IN)?;
        let output = Producer::new(page.clone(), OUT)?;
        Ok(Self { page, input, output })
    }

    fn connected(&self) -> bool {
        self.page.read::<u8>(CONNECTION) != DISCONNECTED
    }
}

impl<P: Platform> PvConsole<P> {
    /// Opens the console that the toolstack set up for this domain; `None` if it did not.
    pub fn open(xen: &Rc<Xen<P>>) -> Result<Option<Self>, Error> {
        let Reserved::Is(port) = xen.reserved(HvmParam::ConsoleEvtchn)? else { return Ok(None) };
        if xen.reserved(HvmParam::ConsolePfn)? == Reserved::Absent {
            return Ok(None);
        }
        let channel = xen.adopt(Port(u32::try_from(port).unwrap_or(u32::MAX)))?;
        let console = Self {
            xen: xen.clone(),
            channel,
            rings: OnceCell::new(),
            held: RefCell::default(),
            asked: Cell::new(None),
            serviced: Cell::new(None),
            dead: Cell::new(None),
            stalled: Cell::new(false),
        };
        console.rings()?;
        Ok(Some(console))
    }

    /// Whether somebody is there to take the output.
    pub fn is_connected(&self) -> bool {
        matches!(self.rings(), Ok(Some(rings)) if rings.connected())
    }

    pub(crate) fn on_event(&self, handler: Rc<dyn Fn()>) {
        self.channel.on_event(handler);
    }

    /// Moves kept output on and tells the backend of what it has not seen. At each event, or once a turn of the run
    /// loop.
    pub fn service(&self) {
        let seen = Some(self.channel.seen());
        if self.serviced.replace(seen) != seen
            && let Ok(Some(rings)) = self.rings()
        {
            // An error is remembered, and told to whoever reads or writes next.
            let _ = self.alive(self.move_held(rings).and_then(|_| self.notify(rings)));
        }
    }

    /// Reads at least one byte, waiting for it.
    pub async fn read(&self, into: &mut [u8]) -> Result<usize, Error> {
        self.channel.until(|| self.try_read(into).transpose()).await
    }

    /// Writes at least one byte, waiting for room.
    pub async fn write(&self, bytes: &[u8]) -> Result<usize, Error> {
        self.channel.until(|| self.try_write(bytes).transpose()).await
    }

    /// Fires when there may be something to read or room to write.
    pub(crate) fn signal(&self) -> &Signal {
        self.channel.signal()
    }

    /// Reads what there is; `None` if there is nothing.
    pub fn try_read(&self, into: &mut [u8]) -> Result<Option<usize>, Error> {
        let Some(rings) = self.rings()? else { return Ok(None) };
        let (read, notify) = self.alive(rings.input.read(into))?;
        if notify {
            self.channel.notify();
        }
        Ok((read > 0 || into.is_empty()).then_some(read))
    }

    /// Writes what there is room for; `None` if there is none.
    pub fn try_write(&self, bytes: &[u8]) -> Result<Option<usize>, Error> {
        if let Some(rings) = self.rings()? {
            let written = self.alive(self.put(rings, bytes))?;
            if written > 0 || bytes.is_empty() {
                self.stalled.set(false);
                return Ok(Some(written));
            }
            if rings.connected() {
                return Ok(None);
            }
        }
        self.held.borrow_mut().push(bytes);
        Ok(Some(bytes.len()))
    }

    pub(crate) fn write_blocking(&self, bytes: &[u8]) -> Result<usize, Error> {
        let deadline_ns = self.xen.platform().now_ns().saturating_add(STALL_NS);
        loop {
            if let Some(written) = self.try_write(bytes)? {
                return Ok(written);
            }
            if self.stalled.get() || !self.wait_blocking(deadline_ns) {
                self.stalled.set(true);
                return Err(Error::Stalled);
            }
        }
    }

    /// Waits until the backend has taken everything.
    pub(crate) async fn drained(&self) {
        self.tell_again();
        self.channel.until(|| self.is_drained().then_some(())).await;
    }

    pub(crate) fn drain_blocking(&self, deadline_ns: u64) -> bool {
        self.tell_again();
        while !self.is_drained() {
            if !self.wait_blocking(deadline_ns) {
                return false;
            }
        }
        true
    }

    /// Whether there is nothing left to take, or no hope that it will be.
    fn is_drained(&self) -> bool {
        match self.rings() {
            Err(_) => true,
            Ok(None) => self.held.borrow().is_empty(),
            Ok(Some(rings)) => {
                self.alive(self.put(rings, &[]).and_then(|_| rings.output.unread())).unwrap_or(0) == 0
            }
        }
    }

    /// Waits for any event, but not beyond the deadline, and gives whether it did.
    fn wait_blocking(&self, deadline_ns: u64) -> bool {
        let platform = self.xen.platform();
        if platform.now_ns() >= deadline_ns {
            return false;
        }
        if !self.xen.demux() {
            platform.idle(Some(deadline_ns));
            self.xen.demux();
        }
        self.service();
        true
    }

    /// Before the last wait: should the backend have missed something, it is told now.
    fn tell_again(&self) {
        if let Ok(Some(rings)) = self.rings() {
            let _ = self.alive(rings.output.forget_told().and_then(|()| self.notify(rings)));
        }
    }

    /// Puts kept output and then `bytes` into the ring. Gives how many of `bytes` went in.
    fn put(&self, rings: &Rings<P>, bytes: &[u8]) -> Result<usize, Corrupt> {
        let written = if self.move_held(rings)? { rings.output.write(bytes)? } else { 0 };
        self.notify(rings)?;
        Ok(written)
    }

    /// Gives whether nothing is kept any more.
    fn move_held(&self, rings: &Rings<P>) -> Result<bool, Corrupt> {
        let mut held = self.held.borrow_mut();
        held.flush(|bytes| rings.output.write(bytes))?;
        Ok(held.is_empty())
    }

    fn notify(&self, rings: &Rings<P>) -> Result<(), Corrupt> {
        if rings.output.must_notify()? {
            self.channel.notify();
        }
        Ok(())
    }

    /// The rings, once the toolstack says where they are. Asks again after each event.
    fn rings(&self) -> Result<Option<&Rings<P>>, Error> {
        if let Some(error) = self.dead.get() {
            return Err(error);
        }
        let seen = Some(self.channel.seen());
        if self.rings.get().is_none()
            && self.asked.replace(seen) != seen
            && let Reserved::Is(frame) = self.xen.reserved(HvmParam::ConsolePfn)?
        {
            let rings = self.alive(Rings::map(&self.xen, Gfn(frame)))?;
            return Ok(Some(self.rings.get_or_init(|| rings)));
        }
        Ok(self.rings.get())
    }

    /// Remembers an error after which the console cannot be used.
    fn alive<T, E: Into<Error>>(&self, result: Result<T, E>) -> Result<T, Error> {
        result.map_err(|error| {
            let error = error.into();
            self.dead.set(Some(error));
            error
        })
    }
}

impl<P: Platform> fmt::Debug for PvConsole<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PvConsole")
            .field("channel", &self.channel)
            .field("dead", &self.dead)
            .finish_non_exhaustive()
    }
}
