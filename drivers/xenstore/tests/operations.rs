//! Each operation, against the simulated xenstored.

mod common;

use common::{GUEST, run, running};
use fata_sim::{Lie, Setup, Store, Tasks, World, Xenstored};
use fata_xenstore::{Access, Errno, Error, Features, Perms, State};
use std::cell::{Cell, RefCell};
use xen_hyp::{DomId, Gfn, Port};

const EACCES: Error = Error::Store(Errno::EACCES);
const EINVAL: Error = Error::Store(Errno::EINVAL);
const ENOSPC: Error = Error::Store(Errno::ENOSPC);

#[test]
fn nodes_are_written_read_listed_and_removed() {
    let (world, server, store) = running();
    run(&world, &[&store], async {
        store.write("data/a", "one").await.unwrap();
        store.write("data/b/c", [0, 255, 7]).await.unwrap();
        store.mkdir("data/empty").await.unwrap();
        store.mkdir("data/a").await.unwrap();
        assert_eq!(store.read("data/a").await.unwrap(), b"one");
        assert_eq!(store.read("/local/domain/1/data/b/c").await.unwrap(), [0, 255, 7]);
        assert_eq!(store.read("data/b").await.unwrap(), b"");
        assert_eq!(store.directory("data").await.unwrap(), ["a", "b", "empty"]);
        assert_eq!(store.directory("data/empty").await.unwrap(), [""; 0]);
        store.rm("data/b").await.unwrap();
        store.rm("data/never").await.unwrap();
        assert_eq!(store.rm("data/never/there").await, Err(Error::ENOENT));
        assert_eq!(store.read("data/b/c").await, Err(Error::ENOENT));
        assert_eq!(store.try_read("data/b/c").await, Ok(None));
        assert_eq!(store.try_read("data/a").await, Ok(Some(b"one".to_vec())));
        assert_eq!(store.directory("data").await.unwrap(), ["a", "empty"]);
    });
    assert_eq!(server.text("/local/domain/1/data/a"), "one");
    drop(store);
    world.assert_cleaned_up();
}

#[test]
fn values_are_read_as_what_they_should_be() {
    let (world, server, store) = running();
    server.write("/local/domain/1/data/number", "18446744073709551615");
    server.write("/local/domain/1/data/bytes", [0xff]);
    run(&world, &[&store], async {
        assert_eq!(store.read_number("data/number").await, Ok(u64::MAX));
        assert_eq!(store.read_number::<u32>("data/number").await, Err(Error::BadValue));
        assert_eq!(store.read_string("data/bytes").await, Err(Error::BadValue));
        assert_eq!(store.try_read_number::<u8>("data/none").await, Ok(None));
        assert_eq!(store.try_read_string("data/none").await, Ok(None));
        assert_eq!(store.read_string("domid").await.unwrap(), "1");
        // Ours to read, not to write.
        assert_eq!(store.write("domid", "2").await, Err(EACCES));
    });
}

#[test]
fn permissions_decide_who_reads_and_writes() {
    let world = World::new();
    let server = Xenstored::start(&world);
    let (one, two) = (common::open(&world.guest()), common::open(&world.guest()));
    let (path, second) = ("/local/domain/1/data/shared", DomId(2));
    run(&world, &[&one, &two], async {
        one.write("data/shared", "x").await.unwrap();
        assert_eq!(one.perms(path).await, Ok(Perms::private(GUEST)));
        assert_eq!(two.read(path).await, Err(EACCES));
        // Not even that it does not exist may be known.
        assert_eq!(two.read("/local/domain/1/data/none").await, Err(EACCES));
        one.set_perms(path, &Perms::shared(GUEST, second, Access::Read)).await.unwrap();
        assert_eq!(two.read(path).await.unwrap(), b"x");
        assert_eq!(two.write(path, "y").await, Err(EACCES));
        assert_eq!(two.set_perms(path, &Perms::private(second)).await, Err(EACCES));
        let perms = Perms { others: Access::ReadWrite, ..Perms::private(GUEST) };
        one.set_perms(path, &perms).await.unwrap();
        two.write(path, "y").await.unwrap();
        assert_eq!(two.perms(path).await, Ok(perms));
        let given = Perms::private(second);
        assert_eq!(one.set_perms(path, &given).await, Err(Error::Store(Errno::EPERM)));
        assert_eq!(one.set_perms(path, &Perms::private(DomId(99))).await, Err(Error::ENOENT));
        assert_eq!(one.perms("@releaseDomain").await.unwrap().owner, DomId::DOM0);
    });
    assert_eq!(server.text(path), "y");
}

#[test]
fn paths_and_sizes_are_checked_before_anything_is_sent() {
    let (world, server, store) = running();
    run(&world, &[&store], async {
        let before = server.served();
        for path in ["", "/", "a b", "a//b", "a/", "@releaseDomain"] {
            let expected = if path == "/" { Err(EACCES) } else { Err(Error::BadPath) };
            assert_eq!(store.read(path).await, expected, "{path}");
        }
        assert_eq!(store.read(&"x".repeat(2049)).await, Err(Error::PathTooLong));
        assert_eq!(store.write(&format!("/{}", "x".repeat(3072)), "").await, Err(Error::PathTooLong));
        assert!(store.watch("a\0b").is_err());
        let path = format!("data/{}", "x".repeat(100));
        assert_eq!(store.write(&path, vec![b'v'; 3991]).await, Err(Error::PayloadTooLong));
        assert_eq!(server.served(), before + 1);
        // One byte less is the server's business.
        assert_eq!(store.write(&path, vec![b'v'; 3990]).await, Err(ENOSPC));
        server.set_quota(None, "node-size", 0);
        store.write(&path, vec![b'v'; 3990]).await.unwrap();
        assert_eq!(store.read(&path).await.unwrap(), vec![b'v'; 3990]);
    });
}

#[test]
fn quotas_are_typed_errors_and_what_was_refused_is_not_there() {
    let (world, server, store) = running();
    server.set_quota(Some(GUEST), "nodes", 20);
    run(&world, &[&store], async {
        let mut made = 0;
        let refused = loop {
            match store.write(&format!("data/d{made}/x"), "").await {
                Ok(()) => made += 1,
                Err(error) => break error,
            }
        };
        assert_eq!((refused, made > 2), (ENOSPC, true));
        assert_eq!(store.directory("data").await.unwrap().len(), made);
        assert_eq!(store.write("data/d0/x", [0; 3000]).await, Err(ENOSPC));
        let listed = (0..6).map(|dom| (DomId(dom), Access::Read)).collect();
        let perms = Perms { listed, ..Perms::private(GUEST) };
        assert_eq!(store.set_perms("data/d0", &perms).await, Err(ENOSPC));
        store.rm("data").await.unwrap();
        // The directory above is not ours.
        assert_eq!(store.mkdir("data").await, Err(EACCES));
    });
}

#[test]
fn a_directory_longer_than_a_message_comes_in_parts() {
    let (world, server, store) = running();
    let names: Vec<String> = (0..1500).map(|i| format!("child-{i}")).collect();
    for name in &names {
        server.write(&format!("/local/domain/1/drivers/{name}"), "");
    }
    run(&world, &[&store], async {
        assert_eq!(store.directory("drivers").await.unwrap(), names);
    });
    // As soon as the first part is out, the directory changes: it is read again, as often as need be.
    for changes in [1, 5, 40] {
        let (served, left) = (Cell::new(server.served()), Cell::new(changes));
        let outcome = RefCell::new(None);
        let mut tasks = Tasks::new(&world);
        tasks.each_turn(|| {
            if left.get() > 0 && server.served() >= served.get() + 2 {
                served.set(server.served());
                left.set(left.get() - 1);
                server.write(&format!("/local/domain/1/drivers/late-{changes}-{}", left.get()), "");
            }
        });
        tasks.spawn(store.serve());
        tasks.spawn(async { *outcome.borrow_mut() = Some(store.directory("drivers").await) });
        assert_eq!(tasks.run(), 1);
        drop(tasks);
        match outcome.take().unwrap() {
            Ok(names) => assert_eq!(names, server.directory("/local/domain/1/drivers")),
            Err(error) => assert_eq!((error, changes), (Error::EAGAIN, 40)),
        }
        assert_eq!(left.get() > 0, changes == 40);
    }
}

#[test]
fn a_directory_that_has_no_end_is_given_up_and_a_malformed_one_is_an_error() {
    let (world, server, store) = running();
    run(&world, &[&store], async {
        server.lie(GUEST, Lie::Refuse("E2BIG"));
        for _ in 0..65 {
            server.lie(GUEST, Lie::Payload(LONG));
        }
        assert_eq!(store.directory("data").await, Err(Error::AnswerTooLong));
        for part in [&b""[..], b"1", b"1\0", b"1\0ab", b"1\0\xff\0\0", b"1\0a\0\0b\0\0", b"1\0\0\0"] {
            server.lie(GUEST, Lie::Refuse("E2BIG"));
            server.lie(GUEST, Lie::Payload(part));
            assert_eq!(store.directory("data").await, Err(Error::Corrupt), "{part:?}");
        }
        for list in [&b"a"[..], b"\0", b"a\0\0", b"a\0\xff\0"] {
            server.lie(GUEST, Lie::Payload(list));
            assert_eq!(store.directory("data").await, Err(Error::Corrupt), "{list:?}");
        }
        assert_eq!(store.directory("data").await.unwrap(), [""; 0]);
    });
}

const LONG: &[u8] = &{
    let mut payload = [b'x'; 4096];
    payload[1] = 0;
    payload[4095] = 0;
    payload
};

#[test]
fn domains_are_asked_about() {
    let (world, server, store) = running();
    run(&world, &[&store], async {
        assert_eq!(store.domain_path(DomId(7)).await.unwrap(), "/local/domain/7");
        assert_eq!(store.is_domain_introduced(GUEST).await, Err(EACCES));
        server.make_privileged(GUEST);
        assert_eq!(store.is_domain_introduced(GUEST).await, Ok(true));
        assert_eq!(store.is_domain_introduced(DomId(7)).await, Ok(false));
    });
}

#[test]
fn features_and_quotas_are_asked_for_and_set() {
    let (world, server, store) = running();
    assert_eq!(store.features(), Features(14));
    run(&world, &[&store], async {
        assert_eq!(store.feature(None).await, Ok(Features(14)));
        assert_eq!(store.feature(Some(GUEST)).await, Err(EACCES));
        assert_eq!(store.quotas().await, Err(EACCES));
        server.make_privileged(GUEST);
        assert_eq!(store.feature(Some(GUEST)).await, Ok(Features(14)));
        assert_eq!(store.set_feature(GUEST, Features(0)).await, Err(Error::Store(Errno::EBUSY)));
        assert!(store.quotas().await.unwrap().contains(&"node-size".into()));
        assert_eq!(store.quota(None, "watches").await, Ok(128));
        store.set_quota(Some(GUEST), "watches", 7).await.unwrap();
        assert_eq!(store.quota(Some(GUEST), "watches").await, Ok(7));
        assert_eq!(store.quota(None, "watches").await, Ok(128));
        assert_eq!(store.quota(None, "nonsense").await, Err(EINVAL));
        assert_eq!(store.quota(None, "a\0b").await, Err(Error::BadValue));
    });
}

#[test]
fn a_toolstack_introduces_and_releases_domains() {
    let (world, server, store) = running();
    server.make_privileged(GUEST);
    let late = world.guest_with(Setup { store: Store::Legacy, ..Default::default() });
    let other = common::open(&late);
    assert_eq!(other.state(), State::Late);
    let dom = DomId(2);
    run(&world, &[&store, &other], async {
        assert_eq!(store.introduce(dom, Gfn(1 << 31), Port(1)).await, Err(Error::BadValue));
        assert_eq!(store.introduce(DomId(9), Gfn(5), Port(1)).await, Err(EINVAL));
        let mut watch = store.watch("@introduceDomain").unwrap();
        watch.changed().await.unwrap();
        store.introduce(dom, Gfn(5), Port(1)).await.unwrap();
        watch.changed().await.unwrap();
        other.connected().await.unwrap();
        other.write("data/x", "").await.unwrap();
        store.set_target(dom, GUEST).await.unwrap();
        store.resume(dom).await.unwrap();
        store.release(dom).await.unwrap();
        assert_eq!(store.release(dom).await, Err(Error::ENOENT));
        assert_eq!(store.is_domain_introduced(dom).await, Ok(false));
    });
    assert_eq!(server.read("/local/domain/2/data/x"), None);
}

#[test]
fn an_error_of_any_name_is_typed() {
    let (world, server, store) = running();
    run(&world, &[&store], async {
        server.lie(GUEST, Lie::Refuse("EISCONN"));
        assert_eq!(store.read("domid").await, Err(Error::Store(Errno::EISCONN)));
        server.lie(GUEST, Lie::Refuse("ETOOLONGTOBEKEPTWHOLE"));
        let error = store.read("domid").await.unwrap_err();
        assert_eq!(error.to_string(), "Xenstore refused: ETOOLONGTOBEKEP");
        assert_eq!(store.read("domid").await.unwrap(), b"1");
    });
}
