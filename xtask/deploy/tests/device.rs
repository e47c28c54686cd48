//! Devices to write to, played by files: which are refused, what is shown, and that nothing is written without a word.

use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use fata_deploy::{MediumFile, System, medium};
use fata_facts::{Medium, Table};

const SIZE: u64 = 128 << 20;

/// A folder that looks like a machine with the device 8:16, a file.
struct Machine {
    root: PathBuf,
}

impl Machine {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("fata-device-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let machine = Self { root };
        for dir in ["sys/dev/block/8:16/sdb1/holders", "sys/dev/block/8:16/device", "proc/self", "dev"] {
            fs::create_dir_all(machine.root.join(dir)).unwrap();
        }
        machine.set("sys/dev/block/8:16/size", &format!("{}\n", SIZE / 512));
        machine.set("sys/dev/block/8:16/device/model", "Card Reader\n");
        machine.set("sys/dev/block/8:16/removable", "1\n");
        machine.set("sys/dev/block/8:16/ro", "0\n");
        machine.set("sys/dev/block/8:16/sdb1/partition", "1\n");
        machine.set("sys/dev/block/8:16/sdb1/dev", "8:17\n");
        machine.set("proc/self/mountinfo", "22 1 254:0 / / rw,noatime shared:1 - ext4 /dev/vda rw\n");
        machine.set("proc/swaps", "Filename Type Size Used Priority\n");
        fs::File::create(machine.device()).unwrap().set_len(SIZE).unwrap();
        machine
    }

    fn set(&self, file: &str, text: &str) {
        fs::write(self.root.join(file), text).unwrap();
    }

    fn device(&self) -> PathBuf {
        self.root.join("dev/sdb")
    }

    fn system(&self) -> System {
        System { root: self.root.clone(), number }
    }

    #[track_caller]
    fn refused(&self, expected: &str) {
        let error = self.system().target(&self.device(), 64 << 20, false).unwrap_err();
        assert!(format!("{error:#}").contains(expected), "{error:#}\nis not\n{expected}");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn number(path: &Path) -> io::Result<Option<(u32, u32)>> {
    Ok(path.ends_with("sdb").then_some((8, 16)))
}

#[test]
fn what_is_no_device_is_refused_on_this_machine() {
    let machine = Machine::new("plain");
    let error = System::this().target(&machine.device(), 1, false).unwrap_err();
    assert!(error.to_string().contains("is not a block device"), "{error}");
    let error = System::this().target(Path::new("/dev/null"), 1, true).unwrap_err();
    assert!(error.to_string().contains("is not a block device"), "{error}");
    let error = System::this().target(Path::new("/no/such"), 1, false).unwrap_err();
    assert!(error.to_string().contains("there is no /no/such"), "{error}");
}

#[test]
fn what_is_in_use_is_refused() {
    let machine = Machine::new("mounted");
    machine.set("proc/self/mountinfo", "40 22 8:17 / /media/card rw - vfat /dev/sdb1 rw\n");
    machine.refused("sdb1 is mounted at /media/card");
    // The number of a filesystem with parts of its own is nobody's; its source says it.
    let source = machine.device().with_file_name("sdb1");
    machine.set("proc/self/mountinfo", &format!("40 22 0:31 / /data rw - btrfs {} rw\n", source.display()));
    machine.refused("sdb1 is mounted at /data");
    machine.set("proc/self/mountinfo", "");
    machine.set("proc/swaps", &format!("Filename Type\n{} partition 1 0 -2\n", machine.device().display()));
    machine.refused("sdb is swap space");
    machine.set("proc/swaps", "");
    machine.set("sys/dev/block/8:16/sdb1/holders/dm-0", "");
    machine.refused("sdb1 is part of dm-0");
    fs::remove_file(machine.root.join("proc/swaps")).unwrap();
    machine.refused("reading ");
}

#[test]
fn sizes_and_kinds_that_are_unlikely_are_refused() {
    let machine = Machine::new("sizes");
    let size = |bytes: u64| machine.set("sys/dev/block/8:16/size", &(bytes / 512).to_string());
    size(32 << 20);
    machine.refused("has 32 MiB, and the medium is 64 MiB");
    size(0);
    machine.refused("there is no medium in ");
    size(512 << 30);
    machine.refused("has 512 GiB, which is more than SD cards have: --force");
    assert!(machine.system().target(&machine.device(), 64 << 20, true).is_ok());
    size(SIZE);
    machine.set("sys/dev/block/8:16/ro", "1\n");
    machine.refused("cannot be written to");
    machine.set("sys/dev/block/8:16/ro", "0\n");
    machine.set("sys/dev/block/8:16/partition", "1\n");
    machine.refused("is one partition");
}

#[test]
fn what_is_there_is_shown_and_only_its_name_is_a_yes() {
    let machine = Machine::new("confirm");
    for (table, words) in [(Table::Gpt, "GUID partition table"), (Table::Mbr, "master boot record")] {
        let files = [MediumFile { path: "xen".to_owned(), contents: vec![1; 10] }];
        let there = medium(&Medium { table, first_partition_mib: 1 }, "holiday", &files, &[]).unwrap();
        fs::write(machine.device(), &there).unwrap();
        let system = machine.system();
        let target = system.target(&machine.device(), 64 << 20, false).unwrap();
        for (answer, yes) in [("sdb\n", true), ("y\n", false), ("", false), ("/dev/sdb\n", false)] {
            let mut shown = Vec::new();
            assert_eq!(target.confirm(&mut Cursor::new(answer), &mut shown).unwrap(), yes, "{answer:?}");
            let shown = String::from_utf8(shown).unwrap();
            assert!(shown.contains("128 MiB, Card Reader, removable"), "{shown}");
            assert!(shown.contains(words) && shown.contains("FAT \"HOLIDAY\""), "{shown}");
        }
        assert!(fs::read(machine.device()).unwrap() == there, "nothing is written by asking");
    }
}

#[test]
fn the_medium_is_written_whole_and_what_is_behind_it_stays() {
    let machine = Machine::new("write");
    let system = machine.system();
    let target = system.target(&machine.device(), 3 << 20, false).unwrap();
    let medium: Vec<u8> = (0..3 << 20 | 5).map(|n: u32| (n % 253) as u8).collect();
    let mut last = 0;
    target.write(&system, &mut Cursor::new(&medium), &mut |written| last = written).unwrap();
    assert_eq!(last, medium.len() as u64);
    let device = fs::read(machine.device()).unwrap();
    assert!(device[..medium.len()] == medium && device.len() as u64 == SIZE);

    // Another card has been put in.
    let other = System { number: |_| Ok(Some((8, 32))), ..machine.system() };
    let error = target.write(&other, &mut Cursor::new(vec![9; 100]), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("has become another device"), "{error}");
    assert_eq!(fs::read(machine.device()).unwrap()[..100], medium[..100]);
}
