//! Disks and what is on them, as a user sees them, with a simulated backend.
#![forbid(unsafe_code)]

mod common;

use common::session::{GUEST, HOME, S, Session};
use fata_sim::{Blkback, Features, Medium, Order, Store};
use mir_console::Exit;
use std::rc::Rc;

/// `xvda`.
const ID: u32 = 51712;

/// A session with a disk plugged in.
fn with_disk(medium: &Rc<Medium>, features: Features) -> (Session, Rc<Blkback>) {
    let session = Session::start(Store::Present);
    let back = Blkback::plugged(&session.world, &session.server, GUEST, ID, medium, features);
    session.rest();
    (session, back)
}

/// Powers off, and checks that the guest has done nothing wrong to its backend.
fn finish(session: Session, back: &Blkback) {
    assert_eq!(back.complaints(), Vec::<String>::new());
    finish_anyhow(session, back);
}

fn finish_anyhow(session: Session, back: &Blkback) {
    back.let_go();
    back.pull();
    session.rest();
    session.key("poweroff\r");
    assert_eq!(session.end(), Exit::Poweroff);
}

/// A file of the disk crate's tests.
fn fixture(name: &str) -> Rc<Medium> {
    let path = format!("{}/../../drivers/disk/tests/data/{name}.xz", env!("CARGO_MANIFEST_DIR"));
    let packed = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut bytes = Vec::new();
    let mut reader = lzma_rust2::XzReader::new(packed.as_slice(), true);
    std::io::Read::read_to_end(&mut reader, &mut bytes).unwrap();
    let medium = Medium::new(bytes.len() as u64 / 512);
    medium.write(0, &bytes);
    medium
}

#[test]
fn a_disk_is_listed_used_and_described() {
    let (session, back) = with_disk(&Medium::new(1 << 17), Features::default());
    let seen = session.ask("devices");
    assert_eq!(
        seen,
        "  xvda          vbd 51712: ours Initialising, the backend's InitWait\n                \
         /local/domain/0/backend/vbd/1/51712\n"
    );
    let seen = session.ask("blk");
    assert!(
        seen.starts_with("  xvda          ready: 64 MiB, sectors of 512 bytes, flush, discard"),
        "{seen}"
    );
    assert!(seen.contains("0 requests, 0 errors") && seen.contains("connects 1, resent 0"), "{seen}");
    session.ask("blk read xvda 0 8");
    let seen = session.ask("devices");
    assert!(seen.contains("ours Connected, the backend's Connected"), "{seen}");
    assert!(seen.contains("1 requests, 0 errors, 0 in the rings, 0 waiting"), "{seen}");
    assert!(seen.contains("4 KiB read, 0 B written;"), "{seen}");

    // Pulled while it is in use: it lets go.
    back.unplug();
    session.rest();
    assert_eq!(session.ask("devices"), "There are no devices.\n");
    assert_eq!(session.ask("blk read xvda 0"), "there is no disk xvda\n");
    // And plugged in again.
    back.plug();
    session.rest();
    assert!(session.ask("blk").contains("connects 2, resent 0"));
    finish(session, &back);
}

#[test]
fn sectors_are_shown_and_overwritten_only_if_that_is_meant() {
    let medium = Medium::new(4096);
    medium.write(8, &[b"Fata\x1b[2J Morgana\xff\x7f", &[0; 494][..]].concat());
    let (session, back) = with_disk(&medium, Features::default());
    let hello = "00001000  46 61 74 61 1b 5b 32 4a  20 4d 6f 72 67 61 6e 61  Fata.[2J Morgana\n\
                 00001010  ff 7f 00 00 00 00 00 00  00 00 00 00 00 00 00 00  ................\n\
                 00001020  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  ................\n*\n00001200\n";
    assert_eq!(session.ask("blk read xvda 8"), hello);
    assert!(session.ask("blk write xvda 8 gone").contains("If you mean it: blk write xvda 8 really gone"));
    assert!(session.ask("blk write xvda 8 really").contains("blk write xvda 8 really really"));
    assert_eq!(session.ask("blk read xvda 8"), hello);

    let flushes = medium.flushes();
    assert_eq!(
        session.ask("blk write xvda 8 really two  words "),
        "512 bytes written to xvda at sector 8, and flushed\n"
    );
    assert_eq!(medium.flushes(), flushes + 1);
    let sectors = medium.read(7..10);
    assert!(sectors[512..].starts_with(b"two  words\0") && sectors[..512] == [0; 512]);
    assert!(sectors[522..].iter().all(|&byte| byte == 0));

    for (line, answer) in [
        ("blk read xvda 4096", "xvda: beyond the end of the disk\n"),
        ("blk read xvda 4095 2", "xvda: beyond the end of the disk\n"),
        ("blk read xvda 18446744073709551615 2", "xvda: beyond the end of the disk\n"),
        ("blk read xvda 0 0", "xvda: beyond the end of the disk\n"),
        ("blk write xvda 4096 really x", "xvda: beyond the end of the disk\n"),
    ] {
        assert_eq!(session.ask(line), answer, "{line}");
    }
    // The line is longer than the screen is wide, so it is not shown whole.
    session.seen();
    let seen = session.key(&format!("blk write xvda 0 really {}\r", "x".repeat(513)));
    assert!(seen.contains("more than a sector"), "{seen}");
    finish(session, &back);
}

#[test]
fn large_sectors_are_read_around_and_written_whole() {
    let medium = Medium::new(64);
    medium.write(3, &[b'3'; 512]);
    let features = Features { sector_bytes: 4096, physical_bytes: 4096, ..Features::default() };
    let (session, back) = with_disk(&medium, features);
    let seen = session.ask("blk read xvda 3");
    assert!(seen.starts_with("00000600  33 33 33"), "{seen}");
    assert!(seen.ends_with("\n*\n00000800\n"), "{seen}");
    assert_eq!(session.ask("blk write xvda 3 really x"), "xvda: not a multiple of the disk's sectors\n");
    assert_eq!(
        session.ask("blk write xvda 8 really x"),
        "4096 bytes written to xvda at sector 8, and flushed\n"
    );
    assert_eq!(medium.read(8..9)[..2], *b"x\0");
    finish(session, &back);
}

#[test]
fn a_read_only_disk_says_so() {
    let features = Features { read_only: true, removable: true, ..Features::default() };
    let (session, back) = with_disk(&Medium::new(64), features);
    assert!(session.ask("blk").contains("read-only, removable"));
    assert_eq!(session.ask("blk write xvda 0 really x"), "xvda: the disk is read-only\n");
    finish(session, &back);
}

#[test]
fn a_backend_that_is_away_is_waited_for_until_ctrl_c() {
    let session = Session::start(Store::Present);
    let medium = Medium::new(64);
    let back = Blkback::new(&session.world, &session.server, GUEST, ID, &medium, Features::default());
    back.set_driver(false);
    back.plug();
    assert_eq!(session.ask("blk read xvda 0"), "...");
    session.pass(S);
    assert_eq!(session.seen(), "waiting for the backend of xvda; Ctrl-C gives up\n");
    assert_eq!(session.key("\x03"), "^C\nfata> ");
    // It comes, and the disk works, though nobody waits for it.
    back.set_driver(true);
    session.rest();
    assert!(session.ask("blk read xvda 0").starts_with("00000000  00"));

    // It goes away in the middle of a request, which is ended by Ctrl-C, and another goes on by itself.
    back.set_order(Order::Held);
    assert_eq!(session.ask("blk read xvda 1"), "...");
    assert!(session.key("\x03").starts_with("^C\n"));
    assert_eq!(session.ask("blk read xvda 2"), "...");
    back.unbind();
    back.set_order(Order::Arrival);
    session.rest();
    back.bind();
    assert!(session.seen().starts_with("00000400  00"));
    finish(session, &back);
}

#[test]
fn a_long_dump_takes_bounded_memory_and_is_stopped_by_ctrl_c() {
    let medium = Medium::new(1 << 16);
    for sector in 0..1 << 12 {
        medium.write(sector, &sector.to_le_bytes().repeat(64));
    }
    let (session, back) = with_disk(&medium, Features::default());
    let seen = session.ask("blk read xvda 0 4096");
    assert_eq!(
        seen.lines().filter(|line| line.starts_with("00")).count(),
        4096 + 1,
        "a row for each and the end"
    );
    // Xenconsoled takes nothing for a while: the command waits, and is there to be stopped.
    session.daemon.input(b"blk read xvda 0 65536\r");
    session.world.run_backends();
    session.daemon.stop();
    session.rest();
    let asked: u64 = back.log().len() as u64;
    session.rest();
    assert_eq!(back.log().len() as u64, asked, "it reads on though nobody takes what it says");
    session.daemon.restart();
    session.daemon.input(b"\x03");
    session.rest();
    assert!(session.seen().ends_with("fata> "));
    finish(session, &back);
}

#[test]
fn bench_reads_and_says_how_fast() {
    let (session, back) = with_disk(&Medium::new(1 << 15), Features::default());
    back.set_order(Order::After(1_000_000));
    session.daemon.input(b"blk bench xvda 10\r");
    for _ in 0..1000 {
        session.pass(1_000_000);
    }
    let seen = session.seen();
    let rows: Vec<_> = seen.lines().filter(|line| line.contains(" reads in ")).collect();
    assert_eq!(rows.len(), 4, "{seen}");
    assert!(rows[0].starts_with("    4 KiB random   depth  1: 10 reads in "), "{}", rows[0]);
    assert!(rows[2].contains("128 KiB in order depth  1"), "{}", rows[2]);
    // A disk that is smaller than what is to be read at once.
    back.resize(8);
    session.rest();
    session.daemon.input(b"blk bench xvda 1\r");
    for _ in 0..100 {
        session.pass(1_000_000);
    }
    assert!(session.seen().contains("xvda: beyond the end of the disk"));
    finish(session, &back);
}

#[test]
fn a_backend_that_breaks_the_protocol_loses_its_disk_and_no_more() {
    let (session, back) = with_disk(&Medium::new(64), Features::default());
    session.ask("blk");
    back.publish(0, 1000);
    back.notify(0);
    session.rest();
    assert_eq!(session.ask("blk read xvda 0"), "xvda: the disk's backend broke the protocol\n");
    assert!(session.ask("blk").contains("dead: the disk's backend broke the protocol"));
    session.server.write(&format!("{HOME}/control/sysrq"), "d");
    assert!(session.seen().contains("xvda          dead"));
    assert_eq!(session.ask("echo on"), "on\n");
    finish_anyhow(session, &back);
}

#[test]
fn files_are_listed_and_printed() {
    for name in ["ext4-1k", "ext2", "fat16"] {
        let (session, back) = with_disk(&fixture(name), Features { read_only: true, ..Features::default() });
        for line in ["ls", "ls /", "ls xvda:", "ls xvda:/"] {
            let seen = session.ask(line);
            assert!(seen.contains("        14 B  hello.txt\n"), "{name} {line}: {seen}");
            assert!(seen.contains("              dir/\n"), "{name} {line}: {seen}");
        }
        assert_eq!(session.ask("cat /hello.txt"), "Hello, world!\n");
        assert_eq!(session.ask("cat xvda:/dir/sub/deep/bottom.txt"), "at the bottom\n");
        assert_eq!(session.ask("ls /hello.txt"), "        14 B  /hello.txt\n");
        assert_eq!(session.ask("cat /empty"), "");
        let long = session.ask("cat /long.txt");
        let lines: Vec<_> = long.lines().collect();
        assert_eq!(lines.len(), 16000);
        assert_eq!((lines[0], lines[15999]), ("long line 000001", "long line 016000"));
        for (line, answer) in [
            ("cat /nowhere", "xvda: there is no such file\n"),
            ("cat /dir", "xvda: it is not a file\n"),
            ("ls /hello.txt/x", "xvda: it is not a directory\n"),
            ("ls hello.txt", "xvda: the path does not begin with /, or is too long\n"),
            ("ls xvdb:/", "there is no disk xvdb\n"),
            ("ls xvdap1:/", "xvda: there is no such file\n"),
        ] {
            assert_eq!(session.ask(line), answer, "{name} {line}");
        }
        assert!(session.ask("cat").starts_with("cat DISK:PATH\n"));
        finish(session, &back);
    }
}

#[test]
fn partitions_are_listed_where_there_is_no_file_system() {
    let medium = fixture("gpt-512");
    // A file system in the second one.
    let (session, back) = with_disk(&medium, Features::default());
    let seen = session.ask("ls");
    assert!(seen.contains("  xvdap1:  1 MiB, ") && seen.contains("\"Wurzel äöü\""), "{seen}");
    assert_eq!(session.ask("ls xvdap1:/"), "xvda: there is no file system that we know\n");
    finish(session, &back);

    let (session, back) = with_disk(&Medium::new(64), Features::default());
    assert_eq!(session.ask("ls"), "xvda: there is no file system that we know\n");
    finish(session, &back);
}

#[test]
fn a_file_that_is_no_text_cannot_move_the_cursor() {
    // A FAT image with another content for a file that is known to be there.
    let medium = fixture("fat16");
    let all = medium.read(0..medium.sectors());
    let at = all.windows(14).position(|bytes| bytes == b"Hello, world!\n").expect("the file");
    let mut sector = all[at / 512 * 512..][..512].to_vec();
    sector[at % 512..][..14].copy_from_slice(b"\x1b[2J\r\xc3\xa9\t\xff\xe2\x82\n!\xe2");
    medium.write(at as u64 / 512, &sector);
    let (session, back) = with_disk(&medium, Features::default());
    assert_eq!(session.ask("cat /hello.txt"), "\\x1b[2J\\x0dé\t\\xff\\xe2\\x82\n!\\xe2\n");
    finish(session, &back);
}
