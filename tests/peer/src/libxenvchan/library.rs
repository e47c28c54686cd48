//! libxenvchan (`tools/include/libxenvchan.h`) and the little of the C library that is used.

use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;

/// `struct libxenvchan`, as far as anybody but the library needs to know it.
#[repr(C)]
struct Control {
    gnt: *mut c_void,
    ring: *mut c_void,
    event: *mut c_void,
    event_port: u32,
    /// A bit each: `is_server`, `server_persist`, `blocking`.
    flags: u32,
}

const BLOCKING: u32 = 1 << 2;

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: c_long,
}

const CLOCK_MONOTONIC: c_int = 1;

/// `struct itimerspec`.
#[repr(C)]
struct Timer {
    interval: Timespec,
    value: Timespec,
}

/// `struct sigevent`.
#[repr(C)]
struct Event {
    value: usize,
    signal: c_int,
    notify: c_int,
    pad: [usize; 6],
}

const SIGEV_SIGNAL: c_int = 0;
const SIGKILL: c_int = 9;
const WNOHANG: c_int = 1;
const PROT_READ_WRITE: c_int = 3;
const MAP_SHARED_ANONYMOUS: c_int = 0x21;

unsafe extern "C" {
    fn libxenvchan_server_init(
        logger: *mut c_void,
        domain: c_int,
        path: *const c_char,
        left: usize,
        right: usize,
    ) -> Option<NonNull<Control>>;
    fn libxenvchan_client_init(
        logger: *mut c_void,
        domain: c_int,
        path: *const c_char,
    ) -> Option<NonNull<Control>>;
    fn libxenvchan_close(control: NonNull<Control>);
    fn libxenvchan_is_open(control: NonNull<Control>) -> c_int;
    fn libxenvchan_wait(control: NonNull<Control>) -> c_int;
    fn libxenvchan_read(control: NonNull<Control>, data: *mut u8, size: usize) -> c_int;
    fn libxenvchan_write(control: NonNull<Control>, data: *const u8, size: usize) -> c_int;
    fn libxenvchan_data_ready(control: NonNull<Control>) -> c_int;
    fn libxenvchan_buffer_space(control: NonNull<Control>) -> c_int;
    fn write(file: c_int, data: *const u8, size: usize) -> isize;
    fn kill(process: c_int, signal: c_int) -> c_int;
    fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
    fn nanosleep(time: *const Timespec, rest: *mut Timespec) -> c_int;
    fn fork() -> c_int;
    fn waitpid(process: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn timer_create(clock: c_int, event: *const Event, timer: *mut *mut c_void) -> c_int;
    fn timer_settime(timer: *mut c_void, flags: c_int, new: *const Timer, old: *mut Timer) -> c_int;
    fn mmap(at: *mut c_void, size: usize, access: c_int, how: c_int, file: c_int, offset: i64)
    -> *mut c_void;
    #[link_name = "exit"]
    fn c_exit(code: c_int) -> !;
}

/// The other end has gone.
#[derive(Debug)]
pub(crate) struct Ended;

/// A vchan whose operations block.
pub(crate) struct Vchan(NonNull<Control>);

impl Vchan {
    pub(crate) fn serve(domain: c_int, path: &CStr, left: usize, right: usize) -> Option<Self> {
        // SAFETY: without a logger it has its own; the path outlives the call.
        let control =
            unsafe { libxenvchan_server_init(core::ptr::null_mut(), domain, path.as_ptr(), left, right) };
        control.map(Self::blocking)
    }

    pub(crate) fn connect(domain: c_int, path: &CStr) -> Option<Self> {
        // SAFETY: as above.
        let control = unsafe { libxenvchan_client_init(core::ptr::null_mut(), domain, path.as_ptr()) };
        control.map(Self::blocking)
    }

    /// Whether nothing has gone through it yet, and both ends are there.
    pub(crate) fn is_fresh(&self) -> bool {
        // SAFETY: the library gave it to us.
        let ring = unsafe { (*self.0.as_ptr()).ring }.cast::<u32>();
        // The indices of both rings (`struct vchan_interface`).
        // SAFETY: the control page, which is mapped for as long as the vchan is open.
        let unused = (0..4).all(|n| unsafe { ring.wrapping_add(n).read_volatile() } == 0);
        unused && self.is_open()
    }

    /// Whether the other end is there, or awaited.
    pub(crate) fn is_open(&self) -> bool {
        // SAFETY: open until it is dropped, as in each case below.
        let open = unsafe { libxenvchan_is_open(self.0) };
        open != 0
    }

    /// Lets reads and writes do what can be done at once.
    pub(crate) fn never_block(&self) {
        // SAFETY: as in [`Self::blocking`].
        unsafe { (*self.0.as_ptr()).flags &= !BLOCKING };
    }

    /// Waits for an event.
    pub(crate) fn wait(&self) {
        // SAFETY: as above.
        unsafe { libxenvchan_wait(self.0) };
    }

    /// Bytes that can be read at once. If there are none, an event comes with them.
    pub(crate) fn ready(&self) -> usize {
        // SAFETY: as above.
        usize::try_from(unsafe { libxenvchan_data_ready(self.0) }).unwrap_or(0)
    }

    /// Bytes that can be written at once. If there is no room, an event comes with it.
    pub(crate) fn room(&self) -> usize {
        // SAFETY: as above.
        usize::try_from(unsafe { libxenvchan_buffer_space(self.0) }).unwrap_or(0)
    }

    /// Writes what there is room for.
    pub(crate) fn write_some(&self, bytes: &[u8]) -> Result<usize, Ended> {
        // SAFETY: it reads within the slice.
        let written = unsafe { libxenvchan_write(self.0, bytes.as_ptr(), bytes.len()) };
        usize::try_from(written).map_err(|_| Ended)
    }

    fn blocking(control: NonNull<Control>) -> Self {
        // SAFETY: the library gave it to us, and wants this set by its users.
        unsafe { (*control.as_ptr()).flags |= BLOCKING };
        Self(control)
    }

    /// Waits until the client byte says that there is one, or was.
    pub(crate) fn await_client(&self) {
        // SAFETY: open until it is dropped, as in each case below.
        while unsafe { libxenvchan_is_open(self.0) } == 2 {
            // SAFETY: as above.
            unsafe { libxenvchan_wait(self.0) };
        }
    }

    /// Reads some bytes.
    pub(crate) fn read(&self, into: &mut [u8]) -> Result<usize, Ended> {
        // SAFETY: it writes within the slice.
        let read = unsafe { libxenvchan_read(self.0, into.as_mut_ptr(), into.len()) };
        usize::try_from(read).map_err(|_| Ended)
    }

    /// Writes all.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Ended> {
        // SAFETY: it reads within the slice.
        let written = unsafe { libxenvchan_write(self.0, bytes.as_ptr(), bytes.len()) };
        if written < 0 { Err(Ended) } else { Ok(()) }
    }
}

impl Drop for Vchan {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { libxenvchan_close(self.0) };
    }
}

pub(crate) fn print(text: &str) {
    // SAFETY: it reads within the string.
    unsafe { write(1, text.as_ptr(), text.len()) };
}

/// Sets a mark: no process has such a number.
pub(crate) fn is_process(number: u64) {
    // SAFETY: without a signal nothing happens to anybody.
    unsafe { kill(number as c_int, 0) };
}

pub(crate) fn now_ns() -> u64 {
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: it writes the structure.
    unsafe { clock_gettime(CLOCK_MONOTONIC, &raw mut time) };
    time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64
}

pub(crate) fn sleep_ms(ms: u64) {
    let time = Timespec { seconds: (ms / 1000) as i64, nanoseconds: (ms % 1000 * 1_000_000) as c_long };
    // SAFETY: it reads the structure; how much is left does not matter.
    unsafe { nanosleep(&raw const time, core::ptr::null_mut()) };
}

pub(crate) fn sleep_us(us: u64) {
    let time = Timespec { seconds: (us / 1_000_000) as i64, nanoseconds: (us % 1_000_000 * 1000) as c_long };
    // SAFETY: as above.
    unsafe { nanosleep(&raw const time, core::ptr::null_mut()) };
}

/// Numbers that processes made from now on have in common with this one.
pub(crate) fn shared() -> &'static [AtomicU64; 8] {
    let size = size_of::<[AtomicU64; 8]>();
    // SAFETY: new memory, where there was none.
    let at = unsafe { mmap(core::ptr::null_mut(), size, PROT_READ_WRITE, MAP_SHARED_ANONYMOUS, -1, 0) };
    // SAFETY: zeroes, at the start of a page, which stays mapped; or the end of the address space, which faults.
    unsafe { &*at.cast() }
}

/// Makes a second process of this one. Gives nothing in the new one, and in this one its number.
pub(crate) fn split() -> Option<c_int> {
    // SAFETY: there are no other threads.
    let process = unsafe { fork() };
    (process != 0).then_some(process)
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// By itself, with this code.
    Ended(c_int),
    /// It was killed.
    Killed,
}

/// What has become of a process made by this one; nothing, if it lives.
pub(crate) fn fate(process: c_int) -> Option<Fate> {
    let mut status = 0;
    // SAFETY: it writes the status.
    let ended = unsafe { waitpid(process, &raw mut status, WNOHANG) };
    // As `WIFSIGNALED` and `WEXITSTATUS` look at it.
    (ended == process).then_some(if status & 0x7f == 0 {
        Fate::Ended(status >> 8 & 0xff)
    } else {
        Fate::Killed
    })
}

/// Kills a process.
pub(crate) fn put_down(process: c_int) {
    // SAFETY: it is one that this one made.
    unsafe { kill(process, SIGKILL) };
}

/// What kills this very process some time.
#[derive(Clone, Copy)]
pub(crate) struct Doom(*mut c_void);

impl Doom {
    pub(crate) fn new() -> Self {
        let event = Event { value: 0, signal: SIGKILL, notify: SIGEV_SIGNAL, pad: [0; 6] };
        let mut timer = core::ptr::null_mut();
        // SAFETY: it reads the event and writes the timer.
        unsafe { timer_create(CLOCK_MONOTONIC, &raw const event, &raw mut timer) };
        Self(timer)
    }

    /// So many nanoseconds from now, which are not 0, in place of what was said before.
    pub(crate) fn comes_in(self, ns: u64) {
        let value =
            Timespec { seconds: (ns / 1_000_000_000) as i64, nanoseconds: (ns % 1_000_000_000) as c_long };
        let new = Timer { interval: Timespec { seconds: 0, nanoseconds: 0 }, value };
        // SAFETY: it reads the time.
        unsafe { timer_settime(self.0, 0, &raw const new, core::ptr::null_mut()) };
    }
}

pub(crate) fn exit(code: c_int) -> ! {
    // SAFETY: the C library runs, since it called our main function.
    unsafe { c_exit(code) }
}

/// What the compiler makes of copies and of comparisons comes from the C library, too.
const _: () = assert!(core::mem::offset_of!(Control, flags) == 28);
