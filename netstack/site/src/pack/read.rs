//! A directory as files to be packed.

use super::Entry;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why a directory cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// As the system says.
    Io(PathBuf, io::Error),
    /// A name that is no text.
    Name(PathBuf),
    /// A link that leads out of the directory, to another directory or nowhere.
    Link(PathBuf),
    /// Neither a file nor a directory.
    Kind(PathBuf),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Name(path) => write!(f, "{}: the name is not UTF-8", path.display()),
            Self::Link(path) => {
                write!(f, "{}: a link that leads to no file of the directory", path.display())
            }
            Self::Kind(path) => write!(f, "{}: neither a file nor a directory", path.display()),
        }
    }
}

impl core::error::Error for ReadError {}

/// All files in and below `dir`, without those whose names begin with a dot, but for `.well-known`. A link is taken for
/// the file that it leads to.
pub fn read(dir: &Path) -> Result<Vec<Entry>, ReadError> {
    let root = dir.canonicalize().map_err(|error| ReadError::Io(dir.into(), error))?;
    let mut files = Vec::new();
    let mut waiting = Vec::from([(root.clone(), String::new())]);
    while let Some((dir, name)) = waiting.pop() {
        let failed = |error| ReadError::Io(dir.clone(), error);
        for item in fs::read_dir(&dir).map_err(failed)? {
            let item = item.map_err(failed)?;
            let path = item.path();
            let failed = |error| ReadError::Io(path.clone(), error);
            let part = item.file_name().into_string().map_err(|_| ReadError::Name(path.clone()))?;
            if part.starts_with('.') && part != ".well-known" {
                continue;
            }
            let name = format!("{name}/{part}");
            let kind = item.file_type().map_err(failed)?;
            if kind.is_dir() {
                waiting.push((path, name));
                continue;
            }
            if kind.is_symlink() {
                let inside = path.canonicalize().is_ok_and(|to| to.starts_with(&root) && to.is_file());
                inside.then_some(()).ok_or_else(|| ReadError::Link(path.clone()))?;
            } else if !kind.is_file() {
                return Err(ReadError::Kind(path));
            }
            files.push(Entry::new(name, fs::read(&path).map_err(failed)?));
        }
    }
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}
