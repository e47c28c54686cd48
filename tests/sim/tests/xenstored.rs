//! The simulated xenstored keeps the habits of the real one.

use fata_sim::{Rng, Setup, SimCpu, Store, World, Xenstored};
use std::rc::Rc;
use xen_hyp::{Channel, DomId, HvmParam, Port, Reserved, SharedMem, SharedPage, Xen};

const REQ_CONS: usize = 2048;
const REQ_PROD: usize = 2052;
const RSP_CONS: usize = 2056;
const RSP_PROD: usize = 2060;
const CONNECTION: usize = 2068;
const ERROR: usize = 2072;

/// A guest that talks to its store byte by byte.
struct Guest {
    world: World,
    channel: Channel<SimCpu>,
    page: SharedPage<SimCpu>,
}

impl Guest {
    fn new(world: &World, xen: &Rc<Xen<SimCpu>>) -> Self {
        let channel = xen.adopt(Port(xen.hvm_param(HvmParam::StoreEvtchn).unwrap() as u32)).unwrap();
        let Ok(Reserved::Is(frame)) = xen.reserved(HvmParam::StorePfn) else { panic!("no page") };
        let page = xen.map_frame(xen_hyp::Gfn(frame)).unwrap();
        Self { world: world.clone(), channel, page }
    }

    fn put(&self, bytes: &[u8]) {
        let prod = self.page.load(REQ_PROD);
        for (i, byte) in bytes.iter().enumerate() {
            self.page.write(prod.wrapping_add(i as u32) as usize % 1024, byte);
        }
        self.page.store(REQ_PROD, prod.wrapping_add(bytes.len() as u32));
    }

    /// Takes what there is.
    fn take(&self) -> Vec<u8> {
        let (cons, prod) = (self.page.load(RSP_CONS), self.page.load(RSP_PROD));
        let len = prod.wrapping_sub(cons);
        assert!(len <= 1024);
        let byte = |i| self.page.read(1024 + cons.wrapping_add(i) as usize % 1024);
        let bytes = (0..len).map(byte).collect();
        self.page.store(RSP_CONS, prod);
        bytes
    }

    fn run(&self) {
        while self.world.run_backends() {}
    }

    /// Sends a request and gives what came: type, request, transaction and payload of each message.
    fn ask(&self, kind: u32, tx: u32, payload: &str) -> Vec<(u32, u32, u32, String)> {
        self.put(&message(kind, 7, tx, payload));
        self.channel.notify();
        self.run();
        messages(&self.take())
    }

    /// The same, of a request that is answered by one message.
    fn one(&self, kind: u32, tx: u32, payload: &str) -> (u32, String) {
        let [(kind, 7, answered, payload)] = &self.ask(kind, tx, payload)[..] else {
            panic!("not one reply")
        };
        assert_eq!(*answered, tx);
        (*kind, payload.clone())
    }
}

fn message(kind: u32, id: u32, tx: u32, payload: &str) -> Vec<u8> {
    let header = [kind, id, tx, payload.len() as u32].map(u32::to_ne_bytes);
    [header.as_flattened(), payload.as_bytes()].concat()
}

fn messages(mut bytes: &[u8]) -> Vec<(u32, u32, u32, String)> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let word = |i: usize| u32::from_ne_bytes(*bytes[4 * i..].first_chunk().unwrap());
        let end = 16 + word(3) as usize;
        let payload = String::from_utf8(bytes[16..end].to_vec()).unwrap();
        messages.push((word(0), word(1), word(2), payload));
        bytes = &bytes[end..];
    }
    messages
}

fn error(name: &str) -> (u32, String) {
    (16, format!("{name}\0"))
}

fn running() -> (World, Rc<Xenstored>, Guest) {
    let world = World::new();
    let server = Xenstored::start(&world);
    let guest = Guest::new(&world, &world.guest());
    (world, server, guest)
}

#[test]
fn it_sleeps_until_it_is_notified() {
    let (_world, server, guest) = running();
    guest.run();
    guest.put(&message(2, 1, 0, "domid\0"));
    guest.run();
    assert_eq!((server.served(), guest.page.load(REQ_CONS)), (0, 0));
    guest.channel.notify();
    guest.run();
    assert_eq!(messages(&guest.take()), [(2, 1, 0, "1".into())]);
    // With the ring full it waits for room, and to be told of it.
    server.write("/local/domain/1/data", "v".repeat(3000));
    server.set_perms("/local/domain/1/data", &["n1"]);
    guest.put(&message(2, 2, 0, "data\0"));
    guest.channel.notify();
    let mut reply = Vec::new();
    for _ in 0..2 {
        guest.run();
        let part = guest.take();
        assert_eq!(part.len(), 1024);
        reply.extend(part);
        guest.run();
        assert_eq!(guest.take(), []);
        guest.channel.notify();
    }
    guest.run();
    reply.extend(guest.take());
    assert_eq!(messages(&reply), [(2, 2, 0, "v".repeat(3000))]);
}

#[test]
fn a_client_that_breaks_the_protocol_is_not_listened_to_any_more() {
    for (bytes, prod, reason) in [(message(2, 1, 0, &"x".repeat(4097)), 16, 3), (Vec::new(), 1025, 2)] {
        let (_world, server, guest) = running();
        guest.put(&bytes[..16.min(bytes.len())]);
        guest.page.store(REQ_PROD, prod);
        guest.channel.notify();
        guest.run();
        assert_eq!(guest.page.load(ERROR), reason);
        guest.page.store(REQ_PROD, guest.page.load(REQ_CONS));
        guest.put(&message(2, 1, 0, "domid\0"));
        guest.channel.notify();
        guest.run();
        assert_eq!((guest.take(), server.served()), (Vec::new(), 0));
    }
}

#[test]
fn requests_are_answered_as_the_protocol_says() {
    let (_world, _server, guest) = running();
    let ok = |kind| (kind, "OK\0".to_string());
    assert_eq!(guest.one(11, 0, "data/a\0value"), ok(11));
    assert_eq!(guest.one(2, 0, "data/a\0"), (2, "value".into()));
    assert_eq!(guest.one(2, 0, "data/a"), error("EINVAL"));
    assert_eq!(guest.one(2, 0, "data//a\0"), error("EINVAL"));
    assert_eq!(guest.one(2, 0, "data/none\0"), error("ENOENT"));
    assert_eq!(guest.one(2, 0, "/local/domain/0/none\0"), error("EACCES"));
    assert_eq!(guest.one(1, 0, "data\0"), (1, "a\0".into()));
    assert_eq!(guest.one(3, 0, "data/a\0"), (3, "n1\0".into()));
    assert_eq!(guest.one(10, 0, "5\0"), (10, "/local/domain/5\0".into()));
    assert_eq!(guest.one(21, 0, "\0"), ok(21));
    assert_eq!(guest.one(0, 0, "help\0"), error("EACCES"));
    assert_eq!(guest.one(20, 0, "\0"), error("ENOSYS"));
    assert_eq!(guest.one(99, 0, "\0"), error("ENOSYS"));
    assert_eq!(guest.one(2, 5, "data/a\0"), error("ENOENT"));
    assert_eq!(guest.one(7, 0, "T\0"), error("ENOENT"));
    assert_eq!(guest.one(22, 0, "data\x000\0"), (22, guest.one(22, 0, "data\x000\0").1));
    assert!(guest.one(22, 0, "data\x000\0").1.ends_with("\0a\0\0"));
    assert!(guest.one(22, 0, "data\x002\0").1.ends_with("\0\0"));
}

#[test]
fn a_watch_is_acknowledged_and_then_fires() {
    let (_world, server, guest) = running();
    let path = "/local/domain/1/data";
    assert_eq!(
        guest.ask(4, 0, "data\0token\0"),
        [(4, 7, 0, "OK\0".into()), (15, 0, 0, "data\0token\0".into())]
    );
    assert_eq!(guest.one(4, 0, "data\0token\0"), error("EEXIST"));
    // What waits to be read is not repeated.
    for _ in 0..3 {
        server.write(path, "");
        server.write(&format!("{path}/x"), "");
    }
    guest.run();
    let events = messages(&guest.take());
    assert_eq!(events.iter().map(|e| &e.3[..]).collect::<Vec<_>>(), ["data\0token\0", "data/x\0token\0"]);
    assert_eq!(guest.one(5, 0, "data\0other\0"), error("ENOENT"));
    assert_eq!(guest.one(5, 0, "data\0token\0"), (5, "OK\0".into()));
    server.write(path, "");
    guest.run();
    assert_eq!(guest.take(), []);
}

#[test]
fn a_transaction_fails_if_what_it_saw_has_changed_and_only_then() {
    let (_world, server, guest) = running();
    let path = "/local/domain/1/data";
    for (seen, changed, ends) in [
        ("2 data/a\0", "a", error("EAGAIN")),
        ("2 data/a\0", "b", (7, "OK\0".into())),
        ("11 data/a\0", "a", error("EAGAIN")),
        ("1 data\0", "new", error("EAGAIN")),
        ("2 data/none\0", "none", error("EAGAIN")),
    ] {
        server.rm(&format!("{path}/new"));
        server.rm(&format!("{path}/none"));
        ["a", "b"].iter().for_each(|name| server.write(&format!("{path}/{name}"), ""));
        server.set_perms(path, &["n1"]);
        server.set_perms(&format!("{path}/a"), &["n1"]);
        let (_, id) = guest.one(6, 0, "\0");
        let id: u32 = id.trim_end_matches('\0').parse().unwrap();
        let (kind, payload) = seen.split_once(' ').unwrap();
        guest.one(kind.parse().unwrap(), id, payload);
        server.write(&format!("{path}/{changed}"), "changed");
        assert_eq!(guest.one(7, id, "T\0"), ends, "{seen} {changed}");
    }
    assert_eq!(server.conflicts(), 4);
    let (_, id) = guest.one(6, 0, "\0");
    let id: u32 = id.trim_end_matches('\0').parse().unwrap();
    guest.one(11, id, "data/discarded\0");
    assert_eq!(server.read(&format!("{path}/discarded")), None);
    assert_eq!(guest.one(7, id, "F\0"), (7, "OK\0".into()));
    assert_eq!(server.read(&format!("{path}/discarded")), None);
    assert_eq!(server.transactions(DomId(1)), 0);
}

#[test]
fn late_guests_are_introduced_as_dom0less_ones_are() {
    let world = World::new();
    let server = Xenstored::start(&world);
    let legacy = world.guest_with(Setup { store: Store::Legacy, ..Setup::default() });
    assert_eq!(legacy.reserved(HvmParam::StorePfn), Ok(Reserved::Late));
    let enhanced = world.guest_with(Setup { store: Store::Enhanced, ..Setup::default() });
    for xen in [legacy, enhanced] {
        let domain = xen.platform().domain().clone();
        world.run_backends();
        if xen.reserved(HvmParam::StorePfn) != Ok(Reserved::Late) {
            assert_eq!(domain.store_page().load(CONNECTION), 1);
        }
        server.introduce(&domain);
        let guest = Guest::new(&world, &xen);
        assert_eq!(guest.page.load(CONNECTION), 0);
        // It was told.
        assert_eq!(guest.channel.signal().count(), 1);
        assert_eq!(guest.one(2, 0, "domid\0").1, domain.id().0.to_string());
    }
}

#[test]
fn a_watch_of_domain_0_sees_what_guests_do() {
    let (world, server, guest) = running();
    let watch = server.watch("/local/domain/1/data");
    assert_eq!(watch.take(), ["/local/domain/1/data"]);
    guest.ask(11, 0, "data/state\x004");
    assert_eq!(watch.take(), ["/local/domain/1/data/state"]);
    let released = server.watch("@releaseDomain");
    released.take();
    server.release(DomId(1));
    assert_eq!(released.take(), ["@releaseDomain"]);
    // What was the domain's went with it.
    assert_eq!(server.directory("/local/domain/1"), ["cpu", "memory", "device", "control", "name", "domid"]);
    world.assert_cleaned_up();
}

#[test]
fn what_a_guest_leaves_is_noticed() {
    let (world, server, guest) = running();
    world.assert_cleaned_up();
    guest.ask(4, 0, "data\0token\0");
    let left = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.assert_cleaned_up()));
    assert!(left.unwrap_err().downcast::<String>().unwrap().contains("watch of /local/domain/1/data"));
    guest.ask(5, 0, "data\0token\0");
    guest.ask(6, 0, "\0");
    let left = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.assert_cleaned_up()));
    assert!(left.unwrap_err().downcast::<String>().unwrap().contains("transaction 1"));
    server.kill();
    world.assert_cleaned_up();
}

#[test]
fn slowed_down_it_says_the_same() {
    let (_world, server, guest) = running();
    server.slow_down(Rng::new());
    for i in 0..50 {
        assert_eq!(guest.one(11, 0, &format!("data/{i}\0{i}")), (11, "OK\0".into()));
    }
    assert_eq!(server.directory("/local/domain/1/data").len(), 50);
}
