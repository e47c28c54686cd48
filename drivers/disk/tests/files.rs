//! File systems as mkfs makes them. `data/make.sh` says what is in them.

mod common;

use common::{disk, image, poke, run};
use embedded_io_async::{Read as _, Seek as _, SeekFrom};
use fata_disk::{
    BlockDevice, Entry, Error, FileError, Kind, MemDisk, Metadata, Partition, Volume, mount, partitions,
};
use fata_sim::Rng;

const EXT: [&str; 7] = ["ext4-1k", "ext4-4k", "ext4-old", "ext2", "ext3-4k", "ext4-journal", "ext3-revoked"];
const FAT: [&str; 4] = ["fat12", "fat16", "fat32", "fat16-4096"];

fn lines(word: &str, count: usize) -> Vec<u8> {
    (1..=count).flat_map(|number| format!("{word} line {number:06}\n").into_bytes()).collect()
}

/// The longest name that there can be.
fn long_name() -> String {
    format!("{:.251}.txt", "a name as long as names may be ".repeat(9))
}

/// What is in `links/sparse`.
fn sparse() -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    for number in 1..=40 {
        bytes[(number * 2 - 1) * 8192..][..9].copy_from_slice(format!("block {number:03}").as_bytes());
    }
    bytes
}

/// The files of an image with their contents.
fn expected(name: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = (1..=220)
        .map(|number| (format!("/many/file number {number}"), format!("{number}\n").into_bytes()))
        .collect();
    let hello = if name == "ext4-journal" { "Hello, again!\n" } else { "Hello, world!\n" };
    let mut add = |path: &str, bytes: &[u8]| files.push((String::from(path), bytes.to_vec()));
    add("/hello.txt", hello.as_bytes());
    add("/empty", b"");
    add("/long.txt", &lines("long", 16000));
    add(&format!("/dir/{}", long_name()), &lines("named", 10));
    add("/dir/sub/deep/bottom.txt", b"at the bottom\n");
    add("/dir/äöü.txt", if name == "ext3-revoked" { b"renewed\n" } else { b"umlauts\n" });
    add("/dir/Ünïcode ωmega.txt", b"letters\n");
    if name.starts_with("ext") {
        add("/sparse", &sparse());
    }
    files
}

fn volume(name: &str) -> Volume<MemDisk> {
    let disk = disk(&image(name));
    let disk = if name.ends_with("-4096") { disk.with_logical_bytes(4096) } else { disk };
    run(mount(disk)).unwrap()
}

async fn whole<D: BlockDevice>(volume: &Volume<D>, path: &str) -> Result<Vec<u8>, FileError> {
    let bytes = volume.metadata(path).await?.bytes as usize;
    let mut into = vec![0; bytes + 10];
    let len = volume.read(path, 0, &mut into).await?;
    into.truncate(len);
    Ok(into)
}

/// All paths below `path`, sorted.
fn walk<D: BlockDevice>(volume: &Volume<D>, path: &str) -> Vec<(String, Entry)> {
    let mut all = Vec::new();
    for entry in run(volume.list(if path.is_empty() { "/" } else { path })).unwrap() {
        let below = format!("{path}/{}", entry.name);
        if entry.kind == Kind::Directory {
            all.extend(walk(volume, &below));
        }
        all.push((below, entry));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn every_file_of_every_image_is_there_and_reads_as_it_was_written() {
    for name in EXT.into_iter().chain(FAT) {
        let volume = volume(name);
        let expected = expected(name);
        let mut files = walk(&volume, "");
        files.retain(|(_, entry)| entry.kind == Kind::File);
        assert_eq!(files.len(), expected.len(), "{name}");
        for (path, bytes) in expected {
            let (_, entry) = files.iter().find(|(found, _)| *found == path).expect(&path);
            assert_eq!(entry.bytes, bytes.len() as u64, "{name} {path}");
            assert!(run(whole(&volume, &path)).unwrap() == bytes, "{name} {path}");
        }
    }
}

#[test]
fn blocks_may_be_shorter_than_the_disks_sectors() {
    for name in ["ext4-1k", "ext2", "ext4-journal", "fat16"] {
        for logical in [2048, 4096, 16384] {
            let volume = run(mount(disk(&image(name)).with_logical_bytes(logical))).unwrap();
            for (path, bytes) in expected(name).into_iter().rev().take(20) {
                assert!(run(whole(&volume, &path)).unwrap() == bytes, "{name} {logical} {path}");
            }
        }
    }
}

#[test]
fn volumes_say_what_they_are() {
    let formats = [
        ("ext4-1k", "ext4"),
        ("ext4-old", "ext4"),
        ("ext2", "ext2"),
        ("ext3-4k", "ext3"),
        ("fat12", "FAT12"),
        ("fat16", "FAT16"),
        ("fat32", "FAT32"),
        ("fat16-4096", "FAT16"),
    ];
    for (name, format) in formats {
        let volume = volume(name);
        assert_eq!(volume.format(), format);
        assert_eq!(volume.label().to_lowercase(), "fixture", "{name}");
    }
    for bytes in [&[][..], &[0; 4096], &[0xff; 65536]] {
        assert_eq!(run(mount(disk(bytes))).err(), Some(FileError::NoFileSystem));
    }
    let disk = MemDisk::new(100).with_logical_bytes(513);
    assert_eq!(run(mount(disk)).err(), Some(FileError::Disk(Error::Unsupported)));
}

#[test]
fn directories_list_what_is_in_them() {
    for name in EXT.into_iter().chain(FAT) {
        let volume = volume(name);
        let mut many: Vec<_> = run(volume.list("/many")).unwrap().into_iter().map(|e| e.name).collect();
        let mut expected: Vec<_> = (1..=220).map(|number| format!("file number {number}")).collect();
        many.sort();
        expected.sort();
        assert_eq!(many, expected, "{name}");
        assert_eq!(run(volume.list("/empty-dir")).unwrap(), []);
        let sub = run(volume.list("/dir/sub")).unwrap();
        assert_eq!((sub.len(), sub[0].kind, sub[0].name.as_str()), (1, Kind::Directory, "deep"));
        let mut directory = run(volume.open_dir("/dir/sub/deep")).unwrap();
        let bottom = Entry { name: String::from("bottom.txt"), kind: Kind::File, bytes: 14 };
        assert_eq!(run(directory.next()).unwrap(), Some(bottom));
        assert_eq!(run(directory.next()).unwrap(), None);
        assert_eq!(run(directory.next()).unwrap(), None);
    }
}

#[test]
fn paths_are_followed_as_everywhere() {
    for name in EXT.into_iter().chain(FAT) {
        let volume = volume(name);
        let is = |path: &str| run(volume.metadata(path));
        let bottom = Ok(Metadata { kind: Kind::File, bytes: 14 });
        for path in [
            "/dir/sub/deep/bottom.txt",
            "//dir///sub/deep//bottom.txt",
            "/./dir/./sub/deep/./bottom.txt",
            "/dir/sub/../sub/deep/../deep/bottom.txt",
            "/../../dir/../dir/sub/deep/bottom.txt",
        ] {
            assert_eq!(is(path), bottom, "{name} {path}");
        }
        for path in ["/", "//", "/.", "/..", "/dir/", "/dir/sub/..", "/dir/sub/../../"] {
            assert_eq!(is(path).unwrap().kind, Kind::Directory, "{name} {path}");
        }
        assert_eq!(is("/nothing"), Err(FileError::NotFound));
        assert_eq!(is("/nothing/at/all"), Err(FileError::NotFound));
        assert_eq!(is("/hello.txt/"), Err(FileError::NotADirectory));
        assert_eq!(is("/hello.txt/x"), Err(FileError::NotADirectory));
        assert_eq!(is("/hello.txt/.."), Err(FileError::NotADirectory));
        assert_eq!(is("hello.txt"), Err(FileError::BadPath));
        assert_eq!(is(""), Err(FileError::BadPath));
        assert_eq!(is(&"/x".repeat(2049)), Err(FileError::BadPath));
        assert_eq!(is(&"/.".repeat(257)), Err(FileError::BadPath));
        assert_eq!(run(volume.open("/dir")).err(), Some(FileError::NotAFile));
        assert_eq!(run(volume.list("/hello.txt")).err(), Some(FileError::NotADirectory));
    }
    let is = |name: &str| run(volume("fat16").metadata(name)).is_ok();
    assert!(is("/HELLO.TXT") && is("/Dir/SUB/deep/Bottom.TXT"));
    assert_eq!(run(volume("ext2").metadata("/HELLO.TXT")), Err(FileError::NotFound));
}

#[test]
fn symbolic_links_are_followed_but_not_for_ever() {
    for name in EXT {
        let volume = volume(name);
        let hello = run(whole(&volume, "/hello.txt")).unwrap();
        for path in ["/to-hello", "/dir/up", "/dir/sub/../up"] {
            assert!(run(whole(&volume, path)).unwrap() == hello, "{name} {path}");
        }
        assert_eq!(run(whole(&volume, "/to-bottom")).unwrap(), b"at the bottom\n");
        assert_eq!(run(whole(&volume, "/to-sub/deep/bottom.txt")).unwrap(), b"at the bottom\n");
        assert_eq!(run(volume.list("/to-sub/")).unwrap().len(), 1);
        assert_eq!(run(volume.metadata("/loop-a")), Err(FileError::TooManyLinks));
        assert_eq!(run(volume.metadata("/dangling")), Err(FileError::NotFound));
        assert_eq!(run(volume.metadata("/to-hello/")), Err(FileError::NotADirectory));
        assert_eq!(run(volume.open("/pipe")).err(), Some(FileError::NotAFile));
        let root = run(volume.list("/")).unwrap();
        let kind = |name: &str| root.iter().find(|entry| entry.name == name).unwrap().kind;
        assert_eq!((kind("loop-a"), kind("pipe"), kind("to-bottom")), (Kind::Link, Kind::Other, Kind::Link));
    }
}

#[test]
fn files_are_read_from_anywhere_in_pieces_of_any_size() {
    let mut rng = Rng::new();
    for name in EXT.into_iter().chain(FAT) {
        let volume = volume(name);
        for (path, bytes) in expected(name) {
            if bytes.len() < 10_000 {
                continue;
            }
            let mut file = run(volume.open(&path)).unwrap();
            assert_eq!(file.bytes(), bytes.len() as u64);
            for _ in 0..200 {
                if !rng.number().is_multiple_of(4) {
                    run(file.seek(SeekFrom::Start(rng.within(0..bytes.len() + 5000) as u64))).unwrap();
                }
                let at = file.position() as usize;
                let mut into = vec![0xaa; rng.within(1..20_000)];
                let len = run(file.read(&mut into)).unwrap();
                let there = bytes.get(at..).unwrap_or_default();
                assert!(len <= there.len() && (len > 0 || there.is_empty()), "{name} {path} {at}");
                assert!(into[..len] == there[..len], "{name} {path} {at}");
                assert!(into[len..].iter().all(|&byte| byte == 0xaa));
            }
            assert_eq!(run(file.seek(SeekFrom::End(-1))).unwrap(), bytes.len() as u64 - 1);
            assert_eq!(run(file.read_at(bytes.len() as u64 - 5, &mut [0; 10])), Ok(5));
            assert_eq!(run(file.read_at(u64::MAX, &mut [0; 10])), Ok(0));
            assert_eq!(run(file.seek(SeekFrom::Start(5))), Ok(5));
            assert_eq!(run(file.seek(SeekFrom::Current(-6))), Err(FileError::BadPosition));
        }
    }
}

#[test]
fn reading_straight_on_takes_few_requests() {
    for (name, most) in [("ext4-4k", 16), ("ext2", 40), ("fat16", 30)] {
        let volume = volume(name);
        let mut file = run(volume.open("/long.txt")).unwrap();
        let before = volume.disk().counts();
        let mut piece = [0; 1000];
        while run(file.read(&mut piece)).unwrap() > 0 {}
        let reads = volume.disk().counts().reads - before.reads;
        assert!(reads <= most, "{name}: {reads}");
    }
}

#[test]
fn a_volume_is_read_inside_a_partition_and_by_several_at_once() {
    let whole_disk = MemDisk::new(20_000);
    poke(&whole_disk, 446, &[0, 0, 0, 0, 0x83, 0, 0, 0, 8, 0, 0, 0, 0, 0x40, 0, 0]);
    poke(&whole_disk, 510, &[0x55, 0xaa]);
    poke(&whole_disk, 4096, &image("ext4-4k"));
    let whole_disk = whole_disk.lazy();
    let table = run(partitions(&whole_disk)).unwrap();
    let part = Partition::new(&whole_disk, table.parts[0].sectors.clone()).unwrap();
    let volume = run(mount(part)).unwrap();
    let mut tasks: Vec<_> = expected("ext4-4k")
        .into_iter()
        .map(|(path, bytes)| {
            let volume = &volume;
            Box::pin(async move { assert!(whole(volume, &path).await.unwrap() == bytes, "{path}") })
        })
        .collect();
    let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
    for _ in 0..1_000_000 {
        tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
    }
    assert!(tasks.is_empty());
}

#[test]
fn a_failing_disk_is_an_error_and_then_one_goes_on() {
    for name in ["ext4-1k", "fat16"] {
        let bytes = image(name);
        for after in (0..40).step_by(3) {
            let disk = disk(&bytes);
            disk.fail_after(after, Error::Io);
            let mut failures = 0;
            let volume = loop {
                match run(mount(&disk)) {
                    Ok(volume) => break volume,
                    Err(error) => {
                        assert_eq!(error, FileError::Disk(Error::Io));
                        failures += 1;
                    }
                }
            };
            for (path, bytes) in expected(name).into_iter().rev().take(20) {
                let read = match run(whole(&volume, &path)) {
                    Err(FileError::Disk(Error::Io)) => {
                        failures += 1;
                        run(whole(&volume, &path))
                    }
                    read => read,
                };
                assert!(read.unwrap() == bytes, "{name} {path}");
            }
            assert_eq!(failures, u32::from(disk.counts().reads > after), "{name} {after}");
        }
    }
}

#[test]
fn a_volume_longer_than_its_disk_is_refused() {
    for name in EXT.into_iter().chain(FAT) {
        let disk = disk(&image(name));
        disk.resize(disk.geometry().sectors - 64);
        assert!(
            matches!(run(mount(disk)), Err(FileError::Corrupt("the volume is longer than its disk"))),
            "{name}"
        );
    }
}
