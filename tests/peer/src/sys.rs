//! The system calls that it takes, made safe. Numbers and structures: Linux include/uapi/asm-generic/unistd.h,
//! include/uapi/linux/aio_abi.h.

use core::arch::asm;
use core::ffi::CStr;
use core::fmt;

mod nr {
    pub(super) const IO_SETUP: usize = 0;
    pub(super) const IO_SUBMIT: usize = 2;
    pub(super) const IO_GETEVENTS: usize = 4;
    pub(super) const OPENAT: usize = 56;
    pub(super) const LSEEK: usize = 62;
    pub(super) const WRITE: usize = 64;
    pub(super) const PREAD64: usize = 67;
    pub(super) const PWRITE64: usize = 68;
    pub(super) const EXIT_GROUP: usize = 94;
    pub(super) const CLOCK_GETTIME: usize = 113;
    pub(super) const KILL: usize = 129;
    pub(super) const MMAP: usize = 222;
}

const AT_FDCWD: usize = -100isize as usize;
/// `O_RDWR | O_DIRECT` on ARM (Linux arch/arm64/include/uapi/asm/fcntl.h).
const O_RDWR_DIRECT: usize = 0o2 | 0o200_000;
const SEEK_END: usize = 2;
const PROT_READ_WRITE: usize = 3;
const MAP_PRIVATE_ANONYMOUS: usize = 0x22;
const CLOCK_MONOTONIC: usize = 1;
/// What a failing `mmap` is told in place of a file.
const NO_FILE: usize = usize::MAX;

/// A system call that failed, and its error number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed(&'static str, isize);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} fails with {}", self.0, self.1)
    }
}

/// # Safety
///
/// What the call does to the program's memory is allowed.
unsafe fn call(name: &'static str, nr: usize, arguments: [usize; 6]) -> Result<usize, Failed> {
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
    let mut time = [0u64; 2];
    let arguments = [CLOCK_MONOTONIC, time.as_mut_ptr() as usize, 0, 0, 0, 0];
    // SAFETY: writes a `struct timespec` to `time`.
    unsafe { call("clock_gettime", nr::CLOCK_GETTIME, arguments) }?;
    Ok(time[0] * 1_000_000_000 + time[1])
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

/// A block device, open for direct reading and writing.
pub(crate) struct Device(usize);

impl Device {
    pub(crate) fn open(path: &CStr) -> Result<Self, Failed> {
        let arguments = [AT_FDCWD, path.as_ptr() as usize, O_RDWR_DIRECT, 0, 0, 0];
        // SAFETY: reads `path` up to its NUL.
        unsafe { call("openat", nr::OPENAT, arguments) }.map(Self)
    }

    pub(crate) fn bytes(&self) -> Result<u64, Failed> {
        // SAFETY: touches no memory.
        let end = unsafe { call("lseek", nr::LSEEK, [self.0, 0, SEEK_END, 0, 0, 0]) }?;
        Ok(end as u64)
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

/// `struct iocb`, little-endian. Only [`Device::request`] makes one that does something.
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
