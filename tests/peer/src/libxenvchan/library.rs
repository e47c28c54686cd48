//! libxenvchan (`tools/include/libxenvchan.h`) and the little of the C library that is used.

use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::ptr::NonNull;

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
    fn write(file: c_int, data: *const u8, size: usize) -> isize;
    fn kill(process: c_int, signal: c_int) -> c_int;
    fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
    fn nanosleep(time: *const Timespec, rest: *mut Timespec) -> c_int;
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

pub(crate) fn exit(code: c_int) -> ! {
    // SAFETY: the C library runs, since it called our main function.
    unsafe { c_exit(code) }
}

/// What the compiler makes of copies and of comparisons comes from the C library, too.
const _: () = assert!(core::mem::offset_of!(Control, flags) == 28);
