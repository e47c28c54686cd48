//! The system calls that it takes, made safe. Numbers and structures: Linux include/uapi/asm-generic/unistd.h,
//! include/uapi/linux/aio_abi.h, include/uapi/xen/evtchn.h, include/uapi/xen/gntalloc.h, include/uapi/xen/privcmd.h.

use core::arch::asm;
use core::ffi::CStr;
use core::fmt;
use core::ptr;
use core::sync::atomic::AtomicU64;

mod nr {
    pub(super) const IO_SETUP: usize = 0;
    pub(super) const IO_SUBMIT: usize = 2;
    pub(super) const IO_GETEVENTS: usize = 4;
    pub(super) const IOCTL: usize = 29;
    pub(super) const OPENAT: usize = 56;
    pub(super) const LSEEK: usize = 62;
    pub(super) const READ: usize = 63;
    pub(super) const WRITE: usize = 64;
    pub(super) const PREAD64: usize = 67;
    pub(super) const PWRITE64: usize = 68;
    pub(super) const EXIT_GROUP: usize = 94;
    pub(super) const NANOSLEEP: usize = 101;
    pub(super) const CLOCK_GETTIME: usize = 113;
    pub(super) const KILL: usize = 129;
    pub(super) const CLONE: usize = 220;
    pub(super) const MMAP: usize = 222;
    pub(super) const WAIT4: usize = 260;
}

pub(crate) const IOCTL: usize = nr::IOCTL;
const AT_FDCWD: usize = -100isize as usize;
const O_RDWR: usize = 0o2;
/// On ARM (Linux arch/arm64/include/uapi/asm/fcntl.h).
pub(crate) const O_DIRECT: usize = 0o200_000;
const SEEK_END: usize = 2;
const PROT_READ_WRITE: usize = 3;
const MAP_SHARED: usize = 1;
const MAP_PRIVATE_ANONYMOUS: usize = 0x22;
const MAP_SHARED_ANONYMOUS: usize = 0x21;
const CLOCK_REALTIME: usize = 0;
const CLOCK_MONOTONIC: usize = 1;
const SIGCHLD: usize = 17;
const WNOHANG: usize = 1;
/// For `wait4`: any child.
const ANY: usize = usize::MAX;
/// What a failing `mmap` is told in place of a file.
const NO_FILE: usize = usize::MAX;

/// A system call that failed, and its error number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed(pub(crate) &'static str, pub(crate) isize);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} fails with {}", self.0, self.1)
    }
}

/// # Safety
///
/// What the call does to the program's memory is allowed.
pub(crate) unsafe fn call(name: &'static str, nr: usize, arguments: [usize; 6]) -> Result<usize, Failed> {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: the caller's promise; Linux keeps all registers but x0.
    unsafe {
        asm!("svc #0", in("x8") nr, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d, in("x4") e,
            in("x5") f, options(nostack));
    }
    usize::try_from(result).map_err(|_| Failed(name, result))
}

/// Standard output.
pub(crate) struct Out;

impl Out {
    /// Writes bytes, all of them.
    pub(crate) fn write_all(&self, mut bytes: &[u8]) -> Result<(), Failed> {
        while !bytes.is_empty() {
            let arguments = [1, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0];
            // SAFETY: reads `bytes`.
            bytes = &bytes[unsafe { call("write", nr::WRITE, arguments) }?..];
        }
        Ok(())
    }
}

impl fmt::Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let arguments = [1, text.as_ptr() as usize, text.len(), 0, 0, 0];
        // SAFETY: reads `text`.
        let written = unsafe { call("write", nr::WRITE, arguments) };
        written.map(drop).map_err(|_| fmt::Error)
    }
}

/// Ends the program.
pub(crate) fn exit(code: usize) -> ! {
    loop {
        // SAFETY: ends the program.
        let _ = unsafe { call("exit_group", nr::EXIT_GROUP, [code, 0, 0, 0, 0, 0]) };
    }
}

/// Asks whether there is a process of this number.
pub(crate) fn is_process(number: usize) -> bool {
    // SAFETY: signal 0 does nothing.
    unsafe { call("kill", nr::KILL, [number, 0, 0, 0, 0, 0]) }.is_ok()
}

/// Nanoseconds since the machine started.
pub(crate) fn now_ns() -> Result<u64, Failed> {
    let [seconds, ns] = clock(CLOCK_MONOTONIC)?;
    Ok(seconds * 1_000_000_000 + ns)
}

/// Seconds of Unix time, and nanoseconds.
pub(crate) fn wall_clock() -> Result<[u64; 2], Failed> {
    clock(CLOCK_REALTIME)
}

fn clock(which: usize) -> Result<[u64; 2], Failed> {
    let mut time = [0u64; 2];
    let arguments = [which, time.as_mut_ptr() as usize, 0, 0, 0, 0];
    // SAFETY: writes a `struct timespec` to `time`.
    unsafe { call("clock_gettime", nr::CLOCK_GETTIME, arguments) }?;
    Ok(time)
}

/// Waits for so long.
pub(crate) fn sleep_ms(ms: u64) -> Result<(), Failed> {
    let time = [ms / 1000, ms % 1000 * 1_000_000];
    // SAFETY: reads a `struct timespec` from `time`.
    unsafe { call("nanosleep", nr::NANOSLEEP, [time.as_ptr() as usize, 0, 0, 0, 0, 0]) }.map(drop)
}

/// Makes a second process of this one, with a copy of its memory. Whether this is the new one.
pub(crate) fn fork() -> Result<bool, Failed> {
    // SAFETY: shares nothing but what is open, and what is `Shared`.
    unsafe { call("clone", nr::CLONE, [SIGCHLD, 0, 0, 0, 0, 0]) }.map(|child| child == 0)
}

/// Forgets processes made by this one that have ended.
pub(crate) fn bury() {
    // SAFETY: touches no memory.
    while unsafe { call("wait4", nr::WAIT4, [ANY, 0, WNOHANG, 0, 0, 0]) }.is_ok_and(|child| child > 0) {}
}

/// Waits until a process made by this one has ended.
pub(crate) fn wait() -> Result<(), Failed> {
    // SAFETY: touches no memory.
    unsafe { call("wait4", nr::WAIT4, [ANY, 0, 0, 0, 0, 0]) }.map(drop)
}

/// Numbers that processes made from now on have in common with this one.
pub(crate) fn shared() -> Result<&'static [AtomicU64; 8], Failed> {
    let arguments = [0, size_of::<[AtomicU64; 8]>(), PROT_READ_WRITE, MAP_SHARED_ANONYMOUS, NO_FILE, 0];
    // SAFETY: new memory, where there was none.
    let at = unsafe { call("mmap", nr::MMAP, arguments) }?;
    // SAFETY: zeroes, at the start of a page, which stays mapped.
    Ok(unsafe { &*ptr::with_exposed_provenance(at) })
}

/// Does nothing for so long, which is less than a second.
pub(crate) fn sleep_ns(ns: u64) -> Result<(), Failed> {
    let time = [0, ns];
    // SAFETY: reads a `struct timespec` from `time`.
    unsafe { call("nanosleep", nr::NANOSLEEP, [time.as_ptr() as usize, 0, 0, 0, 0, 0]) }.map(drop)
}

/// Memory that only Linux ever looks into.
#[derive(Clone, Copy)]
pub(crate) struct Buffers {
    at: usize,
    size: usize,
}

impl Buffers {
    /// So many bytes of it, from a page boundary on.
    pub(crate) fn new(size: usize) -> Result<Self, Failed> {
        let arguments = [0, size, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, NO_FILE, 0];
        // SAFETY: new memory, where there was none.
        let at = unsafe { call("mmap", nr::MMAP, arguments) }?;
        Ok(Self { at, size })
    }

    /// The address of the `n`th piece of so many bytes.
    fn piece(self, n: usize, bytes: usize) -> usize {
        assert!((n + 1) * bytes <= self.size, "there is no piece {n}");
        self.at + n * bytes
    }
}

/// A device, open for reading and writing.
pub(crate) struct File(usize);

impl File {
    /// Opens it, with these flags besides.
    pub(crate) fn open(path: &CStr, flags: usize) -> Result<Self, Failed> {
        let arguments = [AT_FDCWD, path.as_ptr() as usize, O_RDWR | flags, 0, 0, 0];
        // SAFETY: reads `path` up to its NUL.
        unsafe { call("openat", nr::OPENAT, arguments) }.map(Self)
    }

    /// The same for reading only.
    pub(crate) fn open_to_read(path: &CStr) -> Result<Self, Failed> {
        // SAFETY: reads `path` up to its NUL.
        unsafe { call("openat", nr::OPENAT, [AT_FDCWD, path.as_ptr() as usize, 0, 0, 0, 0]) }.map(Self)
    }

    /// Where it ends, in bytes.
    pub(crate) fn end(&self) -> Result<u64, Failed> {
        // SAFETY: touches no memory.
        let end = unsafe { call("lseek", nr::LSEEK, [self.0, 0, SEEK_END, 0, 0, 0]) }?;
        Ok(end as u64)
    }

    /// Reads some bytes; gives how many.
    pub(crate) fn read(&self, bytes: &mut [u8]) -> Result<usize, Failed> {
        let arguments = [self.0, bytes.as_mut_ptr() as usize, bytes.len(), 0, 0, 0];
        // SAFETY: writes no more than there is room for.
        unsafe { call("read", nr::READ, arguments) }
    }

    /// Writes some bytes; gives how many.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize, Failed> {
        let arguments = [self.0, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0];
        // SAFETY: reads `bytes`.
        unsafe { call("write", nr::WRITE, arguments) }
    }

    /// Has the device do what `argument` says; gives its answer.
    pub(crate) fn control<C: Control>(&self, argument: &mut C) -> Result<usize, Failed> {
        let arguments = [self.0, C::REQUEST, &raw mut *argument as usize, 0, 0, 0];
        // SAFETY: promised by whoever made `C` a `Control`.
        unsafe { call("ioctl", nr::IOCTL, arguments) }
    }

    /// So many bytes of the device's memory, from this place of it on.
    pub(crate) fn share(&self, offset: u64, size: usize) -> Result<Shared, Failed> {
        let arguments = [0, size, PROT_READ_WRITE, MAP_SHARED, self.0, offset as usize];
        // SAFETY: new memory, where there was none.
        let at = unsafe { call("mmap", nr::MMAP, arguments) }?;
        Ok(Shared { at, size })
    }

    /// Reads into the first piece of `buffers`, or writes from there; gives how much.
    pub(crate) fn transfer(
        &self,
        write: bool,
        buffers: Buffers,
        bytes: usize,
        offset: u64,
    ) -> Result<usize, Failed> {
        let (name, nr) = if write { ("pwrite64", nr::PWRITE64) } else { ("pread64", nr::PREAD64) };
        let arguments = [self.0, buffers.piece(0, bytes), bytes, offset as usize, 0, 0];
        // SAFETY: only Linux looks into the buffers.
        unsafe { call(name, nr, arguments) }
    }

    /// A request for [`Queue::submit`], with the `n`th piece of `buffers`.
    pub(crate) fn request(&self, write: bool, buffers: Buffers, n: usize, bytes: u64) -> Request {
        Request {
            data: n as u64,
            opcode: u16::from(write),
            file: self.0 as u32,
            buffer: buffers.piece(n, bytes as usize) as u64,
            bytes,
            ..Request::default()
        }
    }
}

/// The argument of an `ioctl`.
///
/// # Safety
///
/// `REQUEST` goes with this type, whose addresses are of memory that may be read and written.
pub(crate) unsafe trait Control {
    /// `_IOC(_IOC_NONE, KIND, NUMBER, SIZE)`.
    const REQUEST: usize;
}

const fn request<T>(kind: u8, number: usize) -> usize {
    size_of::<T>() << 16 | (kind as usize) << 8 | number
}

/// `struct ioctl_evtchn_bind_interdomain`; the answer is a port of our own.
#[repr(C)]
pub(crate) struct BindInterdomain {
    pub(crate) remote_domain: u32,
    pub(crate) remote_port: u32,
}

// SAFETY: IOCTL_EVTCHN_BIND_INTERDOMAIN; there are no addresses.
unsafe impl Control for BindInterdomain {
    const REQUEST: usize = request::<Self>(b'E', 1);
}

/// `struct ioctl_evtchn_bind_unbound_port`; the answer is a port of our own.
#[repr(C)]
pub(crate) struct BindUnboundPort {
    pub(crate) remote_domain: u32,
}

// SAFETY: IOCTL_EVTCHN_BIND_UNBOUND_PORT; there are no addresses.
unsafe impl Control for BindUnboundPort {
    const REQUEST: usize = request::<Self>(b'E', 2);
}

/// `struct ioctl_evtchn_notify`.
#[repr(C)]
pub(crate) struct Notify {
    pub(crate) port: u32,
}

// SAFETY: IOCTL_EVTCHN_NOTIFY; there are no addresses.
unsafe impl Control for Notify {
    const REQUEST: usize = request::<Self>(b'E', 4);
}

/// Grants to be made at once, at most.
pub(crate) const GRANTS_MAX: usize = 8;

/// `struct ioctl_gntalloc_alloc_gref`: pages for another domain.
#[repr(C)]
#[derive(Default)]
pub(crate) struct AllocGrants {
    pub(crate) domain: u16,
    /// 1 if it may write.
    pub(crate) writable: u16,
    count: u32,
    /// Where [`File::share`] finds them.
    pub(crate) offset: u64,
    pub(crate) grefs: [u32; GRANTS_MAX],
}

impl AllocGrants {
    /// So many pages.
    pub(crate) fn new(domain: u16, writable: bool, count: usize) -> Self {
        assert!(count <= GRANTS_MAX, "no more than {GRANTS_MAX} at once");
        Self { domain, writable: u16::from(writable), count: count as u32, ..Self::default() }
    }
}

// SAFETY: IOCTL_GNTALLOC_ALLOC_GREF, whose structure has room for one grant by name, and for as many as it says in
// truth; there are no addresses.
unsafe impl Control for AllocGrants {
    const REQUEST: usize = 24 << 16 | (b'G' as usize) << 8 | 5;
}

/// Memory that another domain may look into, and write to.
#[derive(Clone, Copy)]
pub(crate) struct Shared {
    at: usize,
    size: usize,
}

impl Shared {
    fn word(self, n: usize) -> *mut u32 {
        assert!((n + 1) * 4 <= self.size, "there is no word {n}");
        ptr::with_exposed_provenance_mut(self.at + 4 * n)
    }

    pub(crate) fn load(self, n: usize) -> u32 {
        // SAFETY: within memory that is never unmapped, and of which nothing is a reference.
        unsafe { self.word(n).read_volatile() }
    }

    pub(crate) fn store(self, n: usize, value: u32) {
        // SAFETY: as above.
        unsafe { self.word(n).write_volatile(value) }
    }
}

/// `struct xen_domctl_getdomaininfo` (xen/include/public/domctl.h), as far as it is of interest.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct DomainInfo {
    pub(crate) domain: u16,
    pad: u16,
    flags: u32,
    pages: [u64; 6],
    /// Nanoseconds on a CPU.
    pub(crate) cpu_time: u64,
    rest: [u64; 32],
}

/// `struct xen_sysctl` (xen/include/public/sysctl.h) with `getdomaininfolist`.
#[repr(C)]
struct Sysctl {
    command: u32,
    interface_version: u32,
    first_domain: u16,
    max_domains: u32,
    buffer: usize,
    num_domains: u32,
    rest: [u64; 32],
}

/// `struct privcmd_hypercall`.
#[repr(C)]
struct Hypercall {
    number: u64,
    arguments: [usize; 5],
}

// SAFETY: IOCTL_PRIVCMD_HYPERCALL. Only `File::domain` makes one.
unsafe impl Control for Hypercall {
    const REQUEST: usize = request::<Self>(b'P', 0);
}

/// `__HYPERVISOR_sysctl`, and Xen's versions of its interface, 4.17's to 4.21's.
const SYSCTL: u64 = 35;
const SYSCTL_VERSIONS: core::ops::RangeInclusive<u32> = 0x15..=0x16;
const GET_DOMAIN_INFO_LIST: u32 = 6;

impl File {
    /// What Xen knows of the first domain that has this number or a higher one; `self` is `/dev/xen/privcmd`.
    pub(crate) fn domain(&self, first: u16) -> Result<Option<DomainInfo>, Failed> {
        // One domain at a time, in a page that is there: Xen does not fetch what is paged out.
        let mut info = DomainInfo { domain: 0, pad: 0, flags: 0, pages: [0; 6], cpu_time: 0, rest: [0; 32] };
        let mut result = Err(Failed("sysctl", 0));
        for interface_version in SYSCTL_VERSIONS {
            let mut sysctl = Sysctl {
                command: GET_DOMAIN_INFO_LIST,
                interface_version,
                first_domain: first,
                max_domains: 1,
                buffer: &raw mut info as usize,
                num_domains: 0,
                rest: [0; 32],
            };
            let arguments = [&raw mut sysctl as usize, 0, 0, 0, 0];
            result = self.control(&mut Hypercall { number: SYSCTL, arguments });
            if result.is_ok() {
                // SAFETY: Xen has written a number there.
                let found = unsafe { (&raw const sysctl.num_domains).read_volatile() };
                // SAFETY: and maybe a structure there, any value of which is one.
                let info = unsafe { (&raw const info).read_volatile() };
                return Ok((found > 0).then_some(info));
            }
        }
        result.map(|_| None)
    }
}

/// `struct iocb`, little-endian. Only [`File::request`] makes one that does something.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Request {
    data: u64,
    key: u32,
    flags: u32,
    /// 0 reads, 1 writes.
    opcode: u16,
    priority: i16,
    file: u32,
    buffer: u64,
    bytes: u64,
    /// Where on the device.
    pub(crate) offset: u64,
    reserved: u64,
    more_flags: u32,
    event_file: u32,
}

/// `struct io_event`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Event {
    /// Which piece of the buffers the request had.
    pub(crate) data: u64,
    request: u64,
    /// How much was read or written; an error number if negative.
    pub(crate) result: i64,
    result2: i64,
}

/// Requests at the same time.
pub(crate) struct Queue(usize);

impl Queue {
    /// Room for so many.
    pub(crate) fn new(depth: usize) -> Result<Self, Failed> {
        let mut context = 0usize;
        // SAFETY: writes an `aio_context_t` to `context`.
        unsafe { call("io_setup", nr::IO_SETUP, [depth, &raw mut context as usize, 0, 0, 0, 0]) }?;
        Ok(Self(context))
    }

    /// Begins requests; gives how many were taken.
    pub(crate) fn submit(&self, requests: &[&Request]) -> Result<usize, Failed> {
        let arguments = [self.0, requests.len(), requests.as_ptr() as usize, 0, 0, 0];
        // SAFETY: reads the requests, and copies them; only Linux looks into their buffers.
        unsafe { call("io_submit", nr::IO_SUBMIT, arguments) }
    }

    /// Waits until one has ended at least; gives how many have.
    pub(crate) fn wait(&self, events: &mut [Event]) -> Result<usize, Failed> {
        let arguments = [self.0, 1, events.len(), events.as_mut_ptr() as usize, 0, 0];
        // SAFETY: writes no more events than there is room for.
        unsafe { call("io_getevents", nr::IO_GETEVENTS, arguments) }
    }
}
