//! An archive in cpio's `newc` form, as Linux unpacks it for an initramfs.
//!
//! The same entries give the same bytes on every machine: no times, no owners, inode numbers in order.

/// Mode bits of a directory (Linux `S_IFDIR`).
const DIRECTORY: u32 = 0o040_000;
/// Mode bits of a plain file (Linux `S_IFREG`).
const FILE: u32 = 0o100_000;
/// Mode bits of a symbolic link (Linux `S_IFLNK`).
const LINK: u32 = 0o120_000;

/// An archive being written; parents must be added before what they hold.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// A directory that everyone may enter and only root change.
    pub(crate) fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY | 0o755, &[]);
    }

    /// A file with the given permission bits.
    pub(crate) fn file(&mut self, path: &str, permissions: u32, contents: &[u8]) {
        self.entry(path, FILE | permissions, contents);
    }

    /// A symbolic link at `path` that leads to `target`.
    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.entry(path, LINK | 0o777, target.as_bytes());
    }

    /// Closes the archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, contents: &[u8]) {
        self.entries += 1;
        let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        let size = u32::try_from(contents.len()).expect("a file in the initramfs is below 4 GiB");
        let name_size = u32::try_from(path.len() + 1).expect("a path is short");
        self.bytes.extend_from_slice(b"070701");
        // inode number, mode, uid, gid, links, mtime, size, device (2), special device (2), name size, checksum
        for field in [self.entries, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0] {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(contents);
        self.align();
    }

    /// Header and contents both end on a multiple of four.
    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an archive back as (path, mode, contents), as the kernel's init/initramfs.c does.
    fn read(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut found = Vec::new();
        loop {
            assert_eq!(&bytes[..6], b"070701");
            let field = |n: usize| {
                let text = std::str::from_utf8(&bytes[6 + 8 * n..14 + 8 * n]).unwrap();
                u32::from_str_radix(text, 16).unwrap()
            };
            let (mode, size, name_size) = (field(1), field(6) as usize, field(11) as usize);
            let name = String::from_utf8(bytes[110..110 + name_size - 1].to_vec()).unwrap();
            assert_eq!(bytes[110 + name_size - 1], 0);
            let start = (110 + name_size).next_multiple_of(4);
            if name == "TRAILER!!!" {
                assert_eq!(bytes.len(), start);
                return found;
            }
            found.push((name, mode, bytes[start..start + size].to_vec()));
            bytes = &bytes[(start + size).next_multiple_of(4)..];
        }
    }

    #[test]
    fn reads_back_as_written() {
        let mut archive = Archive::default();
        archive.directory("bin");
        archive.file("bin/tool", 0o755, b"12345");
        archive.file("empty", 0o644, b"");
        archive.link("init", "bin/tool");
        let entries = read(&archive.finish());
        assert_eq!(
            entries,
            [
                ("bin".to_owned(), 0o040_755, vec![]),
                ("bin/tool".to_owned(), 0o100_755, b"12345".to_vec()),
                ("empty".to_owned(), 0o100_644, vec![]),
                ("init".to_owned(), 0o120_777, b"bin/tool".to_vec()),
            ]
        );
    }

    #[test]
    fn same_entries_same_bytes() {
        let make = || {
            let mut archive = Archive::default();
            archive.directory("a");
            archive.file("a/b", 0o644, b"text");
            archive.finish()
        };
        assert_eq!(make(), make());
    }
}
