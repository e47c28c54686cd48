//! File systems that somebody has been at: whatever they say, we neither panic nor go on forever nor take memory.

mod common;

use common::{disk, image, peek, poke, run};
use fata_disk::{BlockDevice, FileError, Kind, MemDisk, Volume, mount};
use fata_sim::Rng;

/// How much one looks at on a volume; more than there is on those of the fixtures.
const ENTRIES: usize = 400;

/// Lists and reads, but only so much. Gives how many entries there were.
async fn explore<D: BlockDevice>(volume: &Volume<D>) -> usize {
    let mut paths = vec![String::from("/")];
    let mut seen = 0;
    while let Some(path) = paths.pop() {
        let Ok(mut directory) = volume.open_dir(&path).await else { continue };
        loop {
            let entry = match directory.next().await {
                Ok(Some(entry)) => entry,
                // Once more, to see that it does not break.
                Err(_) => match directory.next().await {
                    Ok(Some(entry)) => entry,
                    _ => break,
                },
                Ok(None) => break,
            };
            seen += 1;
            if seen > ENTRIES {
                return seen;
            }
            let below = format!("{}/{}", path.trim_end_matches('/'), entry.name);
            if entry.kind == Kind::Directory && below.matches('/').count() < 5 {
                paths.push(below);
            } else if let Ok(mut file) = volume.open(&below).await {
                let mut piece = vec![0; 10_000];
                let bytes = file.bytes();
                for at in [0, 5000, bytes / 2, bytes.saturating_sub(100)] {
                    if let Ok(len) = file.read_at(at, &mut piece).await {
                        assert!(len as u64 <= bytes.saturating_sub(at));
                    }
                }
            }
        }
    }
    seen
}

/// Mounts and looks around; no more may be asked of the disk than that many names and pieces can need.
fn survive(disk: &MemDisk) {
    let before = disk.counts().reads;
    if let Ok(volume) = run(mount(disk)) {
        run(explore(&volume));
        let _ = run(volume.metadata("/dir/sub/deep/bottom.txt"));
        let _ = run(volume.metadata("/to-bottom"));
    }
    let reads = disk.counts().reads - before;
    assert!(reads < 100_000, "{reads} reads");
}

#[test]
fn no_mutation_makes_it_panic_or_go_on_forever() {
    let mut rng = Rng::new();
    let names = ["ext4-1k", "ext4-old", "ext2", "ext3-4k", "ext4-journal", "ext3-revoked", "fat12", "fat16"];
    for name in names {
        let bytes = image(name);
        // Where there is something, but no text.
        let occupied: Vec<usize> = (0..bytes.len() / 32)
            .filter(|at| {
                let piece = &bytes[at * 32..][..32];
                let text = piece.iter().filter(|byte| byte.is_ascii_graphic() || **byte == b' ').count();
                text < 28 && piece.iter().any(|&byte| byte != 0)
            })
            .collect();
        let disk = disk(&bytes);
        run(async { assert!(explore(&mount(&disk).await.unwrap()).await > 200, "{name}") });
        for _ in 0..12 {
            let mut undo = Vec::new();
            for _ in 0..rng.within(1..8) {
                let at = occupied[rng.within(0..occupied.len())] * 32 + rng.within(0..32);
                let byte = match rng.within(0..3) {
                    0 => 0xff,
                    1 => bytes[at] ^ (1 << rng.within(0..8)),
                    _ => rng.number() as u8,
                };
                poke(&disk, at as u64, &[byte]);
                undo.push(at);
            }
            survive(&disk);
            for at in undo {
                poke(&disk, at as u64, &bytes[at..=at]);
            }
        }
    }
}

/// A volume of ext4 without checksums, on which one can find one's way.
struct Old(MemDisk);

impl Old {
    const BLOCK: u64 = 2048;
    /// A block that nothing uses.
    const FREE: u32 = 900;

    fn new() -> Self {
        Self(disk(&image("ext4-old")))
    }

    /// Where the entry of this name is, and where its inode.
    fn find(&self, name: &str) -> (u64, u64) {
        let bytes = self.0.to_bytes();
        let len = name.len();
        let entry = bytes.windows(len + 2).position(|window| {
            usize::from(window[0]) == len && (1..8).contains(&window[1]) && window[2..] == *name.as_bytes()
        });
        let entry = entry.unwrap() - 6;
        let number = u32::from_le_bytes(bytes[entry..entry + 4].try_into().unwrap());
        let table = u32::from_le_bytes(bytes[2048 + 8..][..4].try_into().unwrap());
        (entry as u64, u64::from(table) * Self::BLOCK + u64::from(number - 1) * 128)
    }

    fn poke(&self, at: u64, bytes: &[u8]) {
        poke(&self.0, at, bytes);
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        run(async {
            let volume = mount(&self.0).await?;
            let mut into = vec![1; 100_000];
            let len = volume.read(path, 0, &mut into).await?;
            into.truncate(len);
            Ok(into)
        })
    }
}

/// A node of a tree of extents, with `entries` entries that all lead to `child`.
fn node(entries: u16, depth: u16, child: u32) -> Vec<u8> {
    let mut bytes = [0xf30a, entries, entries, depth, 0, 0].map(u16::to_le_bytes).concat();
    for _ in 0..entries {
        let (first, second) = if depth > 0 { (child, 0) } else { (0, child) };
        bytes.extend([0, first, second].map(u32::to_le_bytes).concat());
    }
    bytes
}

#[test]
fn a_tree_of_extents_that_would_take_years_to_walk_takes_a_moment() {
    let old = Old::new();
    let (_, inode) = old.find("long.txt");
    old.poke(inode + 0x28, &node(4, 5, Old::FREE));
    for depth in 0..5 {
        let at = u64::from(Old::FREE + u32::from(4 - depth)) * Old::BLOCK;
        old.poke(at, &node(168, depth, Old::FREE + u32::from(5 - depth)));
    }
    let before = old.0.counts().reads;
    assert_eq!(old.read("/long.txt"), Ok(vec![0; 100_000]));
    assert!(old.0.counts().reads - before < 50);
}

#[test]
fn trees_of_extents_that_cannot_be_are_corrupt() {
    let broken = Err(FileError::Corrupt("a node of a tree of extents"));
    let old = Old::new();
    let (_, inode) = old.find("long.txt");
    let child = u64::from(Old::FREE) * Old::BLOCK;
    let at = u64::from(Old::FREE);
    for (root, below) in [
        (node(4, 6, Old::FREE), node(4, 5, 1)),
        (node(5, 0, Old::FREE), node(4, 0, 1)),
        (node(4, 1, Old::FREE), node(4, 1, Old::FREE)),
        (node(4, 1, Old::FREE), node(170, 0, 1)),
        (node(4, 1, Old::FREE), vec![0; 12]),
        (vec![0; 12], vec![0; 12]),
    ] {
        old.poke(inode + 0x28, &root[..root.len().min(60)]);
        old.poke(child, &below);
        assert_eq!(old.read("/long.txt"), broken);
    }
    old.poke(inode + 0x28, &node(1, 1, u32::MAX));
    assert_eq!(old.read("/long.txt"), Err(FileError::Corrupt("the number of a block")));
    // An extent that ends behind the volume.
    let mut root = node(1, 0, 1000);
    root[16..18].copy_from_slice(&100_u16.to_le_bytes());
    old.poke(inode + 0x28, &root);
    assert_eq!(old.read("/long.txt"), Err(FileError::Corrupt("where a file is")));
    assert!(at * Old::BLOCK < old.0.geometry().sectors * 512);
}

#[test]
fn lengths_that_cannot_be_take_neither_memory_nor_time() {
    let old = Old::new();
    let (_, link) = old.find("to-hello");
    old.poke(link + 4, &u32::MAX.to_le_bytes());
    assert_eq!(old.read("/to-hello"), Err(FileError::Corrupt("a symbolic link")));
    old.poke(link + 4, &4096_u32.to_le_bytes());
    assert!(matches!(old.read("/to-hello"), Err(FileError::Corrupt(_))));

    let (_, file) = old.find("long.txt");
    old.poke(file + 0x6c, &u32::MAX.to_le_bytes());
    assert_eq!(old.read("/long.txt"), Err(FileError::Corrupt("the length of a file")));
    old.poke(file + 0x6c, &0x7ff_u32.to_le_bytes());
    let volume = run(mount(&old.0)).unwrap();
    let mut into = [1; 1000];
    assert_eq!(run(volume.read("/long.txt", 0x7ff << 32, &mut into)), Ok(1000));
    assert_eq!(into, [0; 1000]);

    let (_, directory) = old.find("many");
    old.poke(directory + 4, &u32::MAX.to_le_bytes());
    let volume = run(mount(&old.0)).unwrap();
    assert_eq!(run(volume.list("/many")), Err(FileError::Unsupported("a directory of more than 64 MiB")));
    old.poke(directory + 4, &(64_u32 << 20).to_le_bytes());
    let volume = run(mount(&old.0)).unwrap();
    assert_eq!(run(volume.list("/many")), Err(FileError::Corrupt("a hole in a directory")));
}

#[test]
fn a_directory_that_repeats_itself_is_not_listed_without_end() {
    let old = Old::new();
    let (_, directory) = old.find("many");
    // One block of names, 32,768 times.
    let block = u32::from_le_bytes(peek(&old.0, directory + 0x28 + 20, 4).try_into().unwrap());
    old.poke(directory + 4, &(64_u32 << 20).to_le_bytes());
    old.poke(directory + 0x28, &node(1, 1, Old::FREE));
    let mut leaf = node(168, 0, block);
    for (index, entry) in leaf[12..].chunks_exact_mut(12).enumerate() {
        entry[..4].copy_from_slice(&(index as u32).to_le_bytes());
        entry[4..6].copy_from_slice(&1_u16.to_le_bytes());
    }
    old.poke(u64::from(Old::FREE) * Old::BLOCK, &leaf);
    let volume = run(mount(&old.0)).unwrap();
    let before = old.0.counts().reads;
    assert!(matches!(run(volume.list("/many")), Err(FileError::TooMany | FileError::Corrupt(_))));
    assert_eq!(run(volume.metadata("/many/nothing")), Err(FileError::Corrupt("a hole in a directory")));
    assert!(old.0.counts().reads - before < 100);
}

#[test]
fn entries_that_cannot_be_are_corrupt() {
    for bytes in [[0, 0], [7, 0], [9, 0], [12, 0], [0xfc, 0xff], [0xff, 0xff]] {
        let old = Old::new();
        let (entry, _) = old.find("file number 1");
        old.poke(entry + 4, &bytes);
        let volume = run(mount(&old.0)).unwrap();
        let listed = run(volume.list("/many"));
        assert_eq!(listed, Err(FileError::Corrupt("an entry of a directory")), "{bytes:?}");
    }
    let old = Old::new();
    let (entry, inode) = old.find("long.txt");
    old.poke(entry, &u32::MAX.to_le_bytes());
    assert_eq!(old.read("/long.txt"), Err(FileError::Corrupt("the number of an inode")));
    let old = Old::new();
    old.poke(inode, &[0, 0]);
    assert_eq!(old.read("/long.txt"), Err(FileError::Corrupt("an inode that is not in use")));
    for (flags, what) in [(0x800_u32, "an encrypted file"), (0x1000_0000, "a file inside its inode")] {
        old.poke(inode, &[0, 0x80]);
        old.poke(inode + 0x20, &flags.to_le_bytes());
        assert_eq!(old.read("/long.txt"), Err(FileError::Unsupported(what)));
    }
}

#[test]
fn superblocks_that_cannot_be_are_refused() {
    for (at, bytes) in [
        (0x18, &[7, 0, 0, 0][..]),
        (0x18, &[0xff; 4]),
        (0x04, &[0xff; 4]),
        (0x04, &[0; 4]),
        (0x14, &[0xff; 4]),
        (0x20, &[0; 4]),
        (0x28, &[0; 4]),
        (0x00, &[0; 4]),
        (0x58, &[0; 2]),
        (0x58, &[0xff; 2]),
        (0x58, &[0, 0x10]),
        (0x60, &[0xff; 4]),
        (0x60, &[0x10, 0, 0, 0]),
    ] {
        let old = Old::new();
        old.poke(1024 + at, bytes);
        let refused = run(mount(&old.0)).err();
        assert!(
            matches!(refused, Some(FileError::Corrupt(_) | FileError::Unsupported(_))),
            "{at:#x} {refused:?}"
        );
    }
    // One group a block would be millions of groups, were the volume that long.
    let old = Old::new();
    old.poke(1024 + 0x20, &[1, 0, 0, 0]);
    survive(&old.0);
}

#[test]
fn what_was_changed_without_its_checksum_is_noticed() {
    let bytes = image("ext4-4k");
    let find = |key: &[u8]| bytes.windows(key.len()).position(|window| window == key).unwrap() as u64;
    let disk = disk(&bytes);
    poke(&disk, 1024 + 0x78, b"another");
    assert_eq!(run(mount(&disk)).err(), Some(FileError::Corrupt("the superblock's checksum")));
    poke(&disk, 1024 + 0x78, b"fixture");
    let name = find(b"bottom.txt");
    poke(&disk, name, b"bottom-txt");
    let volume = run(mount(&disk)).unwrap();
    let found = run(volume.metadata("/dir/sub/deep/bottom-txt"));
    assert_eq!(found, Err(FileError::Corrupt("a directory's checksum")));
    // A group's descriptor, in the second block.
    poke(&disk, 4096 + 0x10, &[0xaa]);
    let volume = run(mount(&disk)).unwrap();
    assert_eq!(run(volume.metadata("/")), Err(FileError::Corrupt("a group's checksum")));
}

#[test]
fn chains_of_clusters_that_run_in_circles_end() {
    let bytes = image("fat16");
    let number = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
    let table = usize::from(number(14)) * 512;
    let root = table + 2 * usize::from(number(22)) * 512;
    let entry = |name: &[u8; 11]| root + bytes[root..].windows(11).position(|window| window == name).unwrap();
    let first = |name| number(entry(name) + 26);
    let disk = disk(&bytes);
    // A directory of more than a cluster, whose first is followed by itself.
    let many = first(b"MANY       ");
    poke(&disk, (table + 2 * usize::from(many)) as u64, &many.to_le_bytes());
    let long = first(b"LONG    TXT");
    poke(&disk, (table + 2 * usize::from(long)) as u64, &long.to_le_bytes());
    let volume = run(mount(&disk)).unwrap();
    let before = disk.counts().reads;
    assert!(matches!(run(volume.list("/many")), Err(FileError::Corrupt("a directory without end"))));
    assert_eq!(run(volume.metadata("/many/x")), Err(FileError::Corrupt("a directory without end")));
    let mut into = vec![0; 1 << 20];
    assert_eq!(run(volume.read("/long.txt", 0, &mut into)), Ok(16000 * 17));
    assert!(into[..16000 * 17].chunks(512).all(|cluster| *cluster == into[..cluster.len()]));
    assert!(disk.counts().reads - before < 1000);
    for number in [0_u16, 1, 0xfff7, 0xffef] {
        poke(&disk, (table + 2 * usize::from(long)) as u64, &number.to_le_bytes());
        let volume = run(mount(&disk)).unwrap();
        let broken = Err(FileError::Corrupt("a file's chain of clusters"));
        assert_eq!(run(volume.read("/long.txt", 0, &mut into)), broken);
        assert_eq!(run(volume.read("/long.txt", 0, &mut into[..512])), Ok(512));
    }
    poke(&disk, (table + 2 * usize::from(long)) as u64, &0xffff_u16.to_le_bytes());
    let volume = run(mount(&disk)).unwrap();
    assert_eq!(run(volume.read("/long.txt", 0, &mut into)), Err(FileError::Corrupt("a file ends too early")));
}

#[test]
fn long_names_out_of_order_give_way_to_short_ones() {
    let bytes = image("fat16");
    let find = |key: &[u8]| bytes.windows(key.len()).position(|window| window == key).unwrap() as u64;
    // The part of a long name that is next to the entry, and the short name, are 32 bytes apart.
    let short = find(b"FILENU~1   ");
    let names = |disk: &MemDisk| -> Vec<String> {
        let volume = run(mount(disk)).unwrap();
        run(volume.list("/many")).unwrap().into_iter().map(|entry| entry.name).collect()
    };
    let whole = names(&disk(&bytes));
    let sum = short - 32 + 13;
    for (at, byte) in [(short - 32, 2), (short - 32, 0x41), (sum, 0), (short - 64, 0x55), (short - 64, 1)] {
        let disk = disk(&bytes);
        poke(&disk, at, &[byte]);
        let changed = names(&disk);
        // With 0x41 the entry says that it is all of the name; who wrote that may say so.
        let first = if byte == 0x41 { "file number " } else { "filenu~1" };
        assert!(changed[0].to_lowercase().starts_with(first), "{at} {byte} {}", changed[0]);
        assert_eq!(changed[1..], whole[1..], "{at} {byte}");
    }
}
