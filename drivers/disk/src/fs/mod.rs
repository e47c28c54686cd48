//! Files on a disk, for reading: ext2, ext3 and ext4, and FAT with 12, 16 and 32 bits.
//!
//! Whatever a disk says, memory is bounded: 64 KiB for a volume, as much for a file that is read, and a directory's
//! block. So is the work between two turns of the executor. What a path leads to through symbolic links stays on the
//! volume.

mod error;
#[cfg(feature = "ext4")]
mod ext4;
#[cfg(feature = "fat")]
mod fat;
mod file;

pub use error::FileError;
pub use file::File;

use crate::cache::Cache;
use crate::device::BlockDevice;
use alloc::string::String;
use alloc::vec::Vec;

/// The longest path, symbolic links included, in bytes.
const MAX_PATH: usize = 4096;
/// The most names in a path, symbolic links included.
const MAX_NAMES: usize = 256;
/// The most symbolic links that are followed.
const MAX_LINKS: usize = 40;
/// The most entries that are listed at once.
const MAX_LIST: usize = 16 << 10;

/// A file system on a disk.
pub struct Volume<D> {
    cache: Cache<D>,
    format: Format,
}

/// What sort of thing has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, a pipe or a socket.
    Other,
}

/// What is known about a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What sort of thing it is.
    pub kind: Kind,
    /// Its length.
    pub bytes: u64,
}

/// What is in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name. What is not UTF-8 in it is replaced, and such a file cannot be opened.
    pub name: String,
    /// What sort of thing it is. Symbolic links are not followed.
    pub kind: Kind,
    /// Its length.
    pub bytes: u64,
}

enum Format {
    #[cfg(feature = "ext4")]
    Ext(ext4::Ext),
    #[cfg(feature = "fat")]
    Fat(fat::Fat),
}

#[derive(Clone)]
enum Node {
    #[cfg(feature = "ext4")]
    Ext(ext4::Inode),
    #[cfg(feature = "fat")]
    Fat(fat::Node),
}

enum Cursor {
    #[cfg(feature = "ext4")]
    Ext(ext4::Cursor),
    #[cfg(feature = "fat")]
    Fat(fat::Cursor),
}

/// Where on the disk a file goes on.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// From which of the file's bytes on.
    from: u64,
    /// How many bytes.
    bytes: u64,
    /// Where on the disk; zeroes if nowhere.
    at: Option<u64>,
    /// What the file system needs to find the next run soon: on FAT, a cluster and its number in the file.
    #[cfg(feature = "fat")]
    hint: (u32, u32),
}

/// Finds the file system on a disk or a partition. The disk must not be written to as long as the volume is in use.
pub async fn mount<D: BlockDevice>(disk: D) -> Result<Volume<D>, FileError> {
    let cache = Cache::new(disk)?;
    #[cfg(feature = "ext4")]
    if let Some(ext) = ext4::Ext::detect(&cache).await? {
        return Ok(Volume { cache, format: Format::Ext(ext) });
    }
    #[cfg(feature = "fat")]
    if let Some(fat) = fat::Fat::detect(&cache).await? {
        return Ok(Volume { cache, format: Format::Fat(fat) });
    }
    Err(FileError::NoFileSystem)
}

impl<D: BlockDevice> Volume<D> {
    /// Which file system it is: "ext4" or "FAT32", say.
    pub fn format(&self) -> &'static str {
        match &self.format {
            #[cfg(feature = "ext4")]
            Format::Ext(ext) => ext.name(),
            #[cfg(feature = "fat")]
            Format::Fat(fat) => fat.name(),
        }
    }

    /// What the volume is called.
    pub fn label(&self) -> String {
        match &self.format {
            #[cfg(feature = "ext4")]
            Format::Ext(ext) => ext.label(),
            #[cfg(feature = "fat")]
            Format::Fat(fat) => fat.label(),
        }
    }

    /// The disk that it is on.
    pub fn disk(&self) -> &D {
        self.cache.disk()
    }

    /// What is at the end of a path, through all symbolic links.
    pub async fn metadata(&self, path: &str) -> Result<Metadata, FileError> {
        Ok(self.find(path).await?.metadata())
    }

    /// Opens a file.
    pub async fn open(&self, path: &str) -> Result<File<'_, D>, FileError> {
        let node = self.find(path).await?;
        match node.metadata().kind {
            Kind::File => Ok(File::new(self, node)),
            _ => Err(FileError::NotAFile),
        }
    }

    /// Reads a file from byte `offset` on; gives how many bytes there were, at most as many as there is room for.
    pub async fn read(&self, path: &str, offset: u64, into: &mut [u8]) -> Result<usize, FileError> {
        let mut file = self.open(path).await?;
        file.read_at(offset, into).await
    }

    /// Opens a directory.
    pub async fn open_dir(&self, path: &str) -> Result<Directory<'_, D>, FileError> {
        let node = self.find(path).await?;
        let cursor = self.cursor(&node)?;
        Ok(Directory { volume: self, node, cursor })
    }

    /// All that is in a directory, but for itself and the one above. If that is too much, [`open_dir`](Self::open_dir)
    /// gives it one by one.
    pub async fn list(&self, path: &str) -> Result<Vec<Entry>, FileError> {
        let mut directory = self.open_dir(path).await?;
        let mut entries = Vec::new();
        while let Some(entry) = directory.next().await? {
            if entries.len() == MAX_LIST {
                return Err(FileError::TooMany);
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Follows a path from the root, as POSIX says.
    async fn find(&self, path: &str) -> Result<Node, FileError> {
        if !path.starts_with('/') || path.len() > MAX_PATH {
            return Err(FileError::BadPath);
        }
        let root = self.root().await?;
        let mut node = root.clone();
        let mut path = Vec::from(path);
        let (mut at, mut names, mut links) = (0, 0, 0);
        loop {
            let more = path.iter().skip(at).position(|&byte| byte != b'/');
            let Some(more) = more else { break };
            at += more;
            let len = path.iter().skip(at).position(|&byte| byte == b'/').unwrap_or(path.len() - at);
            let name = &path[at..at + len];
            at += len;
            names += 1;
            if names > MAX_NAMES {
                return Err(FileError::BadPath);
            }
            let child = self.lookup(&node, name).await?;
            if child.metadata().kind != Kind::Link {
                node = child;
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(FileError::TooManyLinks);
            }
            let mut target = self.target(&child).await?;
            if target.starts_with(b"/") {
                node = root.clone();
            }
            target.extend_from_slice(&path[at..]);
            if target.len() > MAX_PATH {
                return Err(FileError::BadPath);
            }
            path = target;
            at = 0;
        }
        if path.ends_with(b"/") && node.metadata().kind != Kind::Directory {
            return Err(FileError::NotADirectory);
        }
        Ok(node)
    }

    async fn root(&self) -> Result<Node, FileError> {
        Ok(match &self.format {
            #[cfg(feature = "ext4")]
            Format::Ext(ext) => Node::Ext(ext.root(&self.cache).await?),
            #[cfg(feature = "fat")]
            Format::Fat(fat) => Node::Fat(fat.root()),
        })
    }

    async fn lookup(&self, node: &Node, name: &[u8]) -> Result<Node, FileError> {
        let mut cursor = self.cursor(node)?;
        // Only `..` of FAT's root is not there.
        if name == b"." {
            return Ok(node.clone());
        }
        if let Some(found) = self.advance(node, &mut cursor, Some(name)).await? {
            return Ok(found);
        }
        match &self.format {
            #[cfg(feature = "fat")]
            Format::Fat(_) if name == b".." => self.root().await,
            _ => Err(FileError::NotFound),
        }
    }

    fn cursor(&self, node: &Node) -> Result<Cursor, FileError> {
        if node.metadata().kind != Kind::Directory {
            return Err(FileError::NotADirectory);
        }
        Ok(match node {
            #[cfg(feature = "ext4")]
            Node::Ext(inode) => Cursor::Ext(ext4::Cursor::new(inode)?),
            #[cfg(feature = "fat")]
            Node::Fat(node) => Cursor::Fat(fat::Cursor::new(node)),
        })
    }

    /// The next entry of a directory, or the next of that name, as the file system compares names.
    async fn advance(
        &self,
        node: &Node,
        cursor: &mut Cursor,
        wanted: Option<&[u8]>,
    ) -> Result<Option<Node>, FileError> {
        match (&self.format, node, cursor) {
            #[cfg(feature = "ext4")]
            (Format::Ext(ext), Node::Ext(inode), Cursor::Ext(cursor)) => {
                while let Some(number) = cursor.next(ext, &self.cache, inode).await? {
                    // Finding out about an entry costs a read.
                    if wanted.is_none_or(|name| cursor.name() == name) {
                        return Ok(Some(Node::Ext(ext.inode(&self.cache, number).await?)));
                    }
                }
            }
            #[cfg(feature = "fat")]
            (Format::Fat(fat), Node::Fat(_), Cursor::Fat(cursor)) => {
                while let Some(node) = cursor.next(fat, &self.cache).await? {
                    if wanted.is_none_or(|name| cursor.is_at(name)) {
                        return Ok(Some(Node::Fat(node)));
                    }
                }
            }
            #[cfg(all(feature = "ext4", feature = "fat"))]
            _ => {}
        }
        Ok(None)
    }

    /// Where a symbolic link leads to.
    async fn target(&self, node: &Node) -> Result<Vec<u8>, FileError> {
        match (&self.format, node) {
            #[cfg(feature = "ext4")]
            (Format::Ext(ext), Node::Ext(inode)) => ext.target(&self.cache, inode).await,
            #[cfg(feature = "fat")]
            _ => Err(FileError::NotFound),
        }
    }

    /// Where a file's byte `offset` is, which must not be beyond its end, and what follows it there. `last` is what
    /// this gave before.
    async fn map(&self, node: &Node, offset: u64, last: Run) -> Result<Run, FileError> {
        #[cfg(not(feature = "fat"))]
        let _ = last;
        match (&self.format, node) {
            #[cfg(feature = "ext4")]
            (Format::Ext(ext), Node::Ext(inode)) => ext.map(&self.cache, inode, offset).await,
            #[cfg(feature = "fat")]
            (Format::Fat(fat), Node::Fat(node)) => fat.map(&self.cache, node, offset, last.hint).await,
            #[cfg(all(feature = "ext4", feature = "fat"))]
            _ => Err(FileError::NotFound),
        }
    }
}

impl Node {
    fn metadata(&self) -> Metadata {
        match self {
            #[cfg(feature = "ext4")]
            Self::Ext(inode) => inode.metadata(),
            #[cfg(feature = "fat")]
            Self::Fat(node) => node.metadata(),
        }
    }
}

impl Cursor {
    /// The name of the entry it is at.
    fn name(&self) -> &[u8] {
        match self {
            #[cfg(feature = "ext4")]
            Self::Ext(cursor) => cursor.name(),
            #[cfg(feature = "fat")]
            Self::Fat(cursor) => cursor.name(),
        }
    }
}

/// A directory, to read one entry after the other.
pub struct Directory<'v, D> {
    volume: &'v Volume<D>,
    node: Node,
    cursor: Cursor,
}

impl<D: BlockDevice> Directory<'_, D> {
    /// The next entry, but for the directory itself and the one above. After an error one may go on, unless the same
    /// comes again.
    pub async fn next(&mut self) -> Result<Option<Entry>, FileError> {
        while let Some(node) = self.volume.advance(&self.node, &mut self.cursor, None).await? {
            let name = self.cursor.name();
            if name == b"." || name == b".." {
                continue;
            }
            let Metadata { kind, bytes } = node.metadata();
            return Ok(Some(Entry { name: String::from_utf8_lossy(name).into_owned(), kind, bytes }));
        }
        Ok(None)
    }
}
