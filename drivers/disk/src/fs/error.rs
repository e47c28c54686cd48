//! Why a file could not be had.

use crate::device::Error;
use core::fmt;
use embedded_io_async::ErrorKind;

/// Why a file could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileError {
    /// There is nothing of this name.
    NotFound,
    /// Something on the path that would have to be a directory is none.
    NotADirectory,
    /// It is a directory, or something that has no contents.
    NotAFile,
    /// A path begins with `/`, and has at most 4,096 bytes and 256 names, symbolic links included.
    BadPath,
    /// One symbolic link leads to another, and so on.
    TooManyLinks,
    /// A position before a file's beginning.
    BadPosition,
    /// There is more in this directory than can be listed at once.
    TooMany,
    /// There is no file system on this disk that we know.
    NoFileSystem,
    /// The file system has something that we do not know about.
    Unsupported(&'static str),
    /// The file system is broken here.
    Corrupt(&'static str),
    /// The disk failed.
    Disk(Error),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "there is no such file",
            Self::NotADirectory => "it is not a directory",
            Self::NotAFile => "it is not a file",
            Self::BadPath => "the path does not begin with /, or is too long",
            Self::TooManyLinks => "too many symbolic links",
            Self::BadPosition => "a file has no such position",
            Self::TooMany => "too much in this directory",
            Self::NoFileSystem => "there is no file system that we know",
            Self::Unsupported(what) => return write!(f, "the file system has something unknown: {what}"),
            Self::Corrupt(what) => return write!(f, "the file system is broken: {what}"),
            Self::Disk(error) => return error.fmt(f),
        })
    }
}

impl core::error::Error for FileError {}

impl embedded_io_async::Error for FileError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::NotADirectory
            | Self::NotAFile
            | Self::BadPath
            | Self::TooManyLinks
            | Self::BadPosition
            | Self::TooMany => ErrorKind::InvalidInput,
            Self::NoFileSystem | Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::Corrupt(_) => ErrorKind::InvalidData,
            Self::Disk(error) => error.kind(),
        }
    }
}

impl From<Error> for FileError {
    fn from(error: Error) -> Self {
        Self::Disk(error)
    }
}
