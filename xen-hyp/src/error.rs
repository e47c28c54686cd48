//! What Xen says when it refuses.

use core::fmt;

/// The errno of a hypercall that failed (`xen/include/public/errno.h`), positive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct XenError(pub i32);

macro_rules! errno {
    ($($name:ident = $number:literal, $meaning:literal;)*) => {
        impl XenError {
            $(#[doc = $meaning] pub const $name: Self = Self($number);)*

            /// Xen's name for it; `None` if `errno.h` has none.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

errno! {
    EPERM = 1, "Operation not permitted";
    ENOENT = 2, "No such file or directory";
    ESRCH = 3, "No such process; of a domain, that there is none with this id";
    EIO = 5, "I/O error";
    ENXIO = 6, "No such device or address";
    E2BIG = 7, "Argument list too long";
    ENOEXEC = 8, "Exec format error";
    EBADF = 9, "Bad file number";
    ECHILD = 10, "No child processes";
    EAGAIN = 11, "Try again";
    ENOMEM = 12, "Out of memory";
    EACCES = 13, "Permission denied";
    EFAULT = 14, "Bad address";
    EBUSY = 16, "Device or resource busy";
    EEXIST = 17, "Exists already";
    EXDEV = 18, "Cross-device link";
    ENODEV = 19, "No such device";
    ENOTDIR = 20, "Not a directory";
    EISDIR = 21, "Is a directory";
    EINVAL = 22, "Invalid argument";
    ENFILE = 23, "Table overflow";
    EMFILE = 24, "Too many open files";
    ENOSPC = 28, "No space left; of ports, that none is free";
    EROFS = 30, "Read-only";
    EMLINK = 31, "Too many links";
    EDOM = 33, "Argument out of domain of function";
    ERANGE = 34, "Result not representable";
    EDEADLK = 35, "Resource deadlock would occur";
    ENAMETOOLONG = 36, "Name too long";
    ENOLCK = 37, "No record locks available";
    ENOSYS = 38, "Function not implemented";
    ENOTEMPTY = 39, "Directory not empty";
    ENODATA = 61, "No data available";
    ETIME = 62, "Timer expired";
    EBADMSG = 74, "Not a data message";
    EOVERFLOW = 75, "Value too large";
    EILSEQ = 84, "Illegal byte sequence";
    ENOTSOCK = 88, "Not a socket";
    EMSGSIZE = 90, "Message too large";
    EOPNOTSUPP = 95, "Operation not supported";
    EADDRINUSE = 98, "Address already in use";
    EADDRNOTAVAIL = 99, "Address not available";
    ENOBUFS = 105, "No buffer space available";
    EISCONN = 106, "Already connected";
    ENOTCONN = 107, "Not connected";
    ETIMEDOUT = 110, "Connection timed out";
    ECONNREFUSED = 111, "Connection refused";
}

impl XenError {
    /// Splits what a hypercall returned.
    pub(crate) fn check(result: isize) -> Result<usize, Self> {
        // A value below every errno would be a broken hypervisor; it still comes out as an error.
        usize::try_from(result).map_err(|_| Self(i32::try_from(-(result.max(-0xffff))).unwrap_or(i32::MAX)))
    }
}

impl fmt::Display for XenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "unknown error {}", self.0),
        }
    }
}

impl fmt::Debug for XenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for XenError {}

#[cfg(test)]
mod tests {
    use super::XenError;

    #[test]
    fn results_are_split_and_named() {
        assert_eq!(XenError::check(7), Ok(7));
        assert_eq!(XenError::check(-38), Err(XenError::ENOSYS));
        assert_eq!(XenError::ENOSYS.to_string(), "ENOSYS");
        assert_eq!(XenError::check(-4242).unwrap_err().to_string(), "unknown error 4242");
        assert!(XenError::check(isize::MIN).is_err());
    }
}
