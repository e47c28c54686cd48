//! Certificates from behind the image and from Xenstore.
#![forbid(unsafe_code)]

use fata_devices::tls::{Error, identities, trust};
use fata_payload::{Member, pack};
use fata_rt::Executor;
use fata_sim::{SimCpu, World, Xenstored};
use fata_tls::{Identities, TrustError};
use rcgen::{CertificateParams, KeyPair};
use std::cell::RefCell;
use std::rc::Rc;
use xen_hyp::{DomId, Xen};

const GUEST: DomId = DomId(1);

struct Machine {
    world: World,
    server: Rc<Xenstored>,
    xen: Rc<Xen<SimCpu>>,
    executor: Executor,
}

impl Machine {
    fn new() -> Self {
        let world = World::new();
        let server = Xenstored::start(&world);
        let xen = world.guest();
        let executor = Executor::new(xen.clone());
        Self { world, server, xen, executor }
    }

    fn rest(&self) {
        while self.executor.turn() | self.world.run_backends() | !self.executor.settle() {}
    }

    fn write(&self, node: &str, value: &str) {
        let path = format!("/local/domain/1/data/tls/{node}");
        self.server.write(&path, value);
        self.server.set_perms(&path, &["n1"]);
    }

    fn identities(&self, payload: &'static [u8]) -> Result<Identities, Error> {
        let rt = self.executor.rt();
        let store = fata_devices::needed_store(&rt, &self.xen).unwrap();
        let found = Rc::new(RefCell::new(None));
        let (given, rt2) = (found.clone(), rt.clone());
        drop(rt.spawn(async move {
            let identities = identities(&rt2, &store, payload).await;
            given.replace(Some(identities));
        }));
        self.rest();
        found.take().expect("it does not wait for anybody")
    }

    fn end(self) {
        let Self { world, server, executor, xen } = self;
        drop(executor);
        xen.reclaim_grants();
        server.release(GUEST);
        world.assert_cleaned_up();
    }
}

/// A certificate for a name, and its key.
fn made(name: &str) -> [String; 2] {
    let key = KeyPair::generate().unwrap();
    let shown = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    [shown.pem(), key.serialize_pem()]
}

fn payload(members: &[(&str, &str)]) -> &'static [u8] {
    let members: Vec<_> = members
        .iter()
        .map(|(name, text)| Member { name, secret: name.ends_with("key"), bytes: text.as_bytes() })
        .collect();
    pack(&members).unwrap().leak()
}

fn names(identities: &Identities) -> Vec<String> {
    identities.all().iter().flat_map(|identity| identity.names().map(str::to_owned)).collect()
}

#[test]
fn what_is_in_the_store_takes_the_place_of_what_is_behind_the_image() {
    let machine = Machine::new();
    let [one, two, three] = ["one.example", "two.example", "three.example"].map(made);
    let payload = payload(&[("tls/cert", &one[0]), ("tls/key", &one[1])]);
    let identities = machine.identities(payload).unwrap();
    assert_eq!(names(&identities), ["one.example"]);
    // Half of it is nothing yet.
    machine.write("web/cert", &two[0]);
    machine.rest();
    assert_eq!(names(&identities), ["one.example"]);
    machine.write("web/key", &two[1]);
    machine.rest();
    assert_eq!(names(&identities), ["two.example"]);
    // The key of another is refused.
    machine.write("web/cert", &three[0]);
    machine.rest();
    assert_eq!(names(&identities), ["two.example"]);
    machine.write("web/key", &three[1]);
    machine.rest();
    assert_eq!(names(&identities), ["three.example"]);
    // In pieces, beside another.
    let (first, second) = two[0].split_at(100);
    machine.write("other/cert", "");
    machine.write("other/cert/0", first);
    machine.write("other/cert/1", second);
    machine.write("other/key", &two[1]);
    machine.rest();
    let mut both = names(&identities);
    both.sort();
    assert_eq!(both, ["three.example", "two.example"]);
    for node in ["web", "other"] {
        machine.server.rm(&format!("/local/domain/1/data/tls/{node}"));
    }
    machine.rest();
    assert_eq!(names(&identities), ["one.example"]);
    machine.end();
}

#[test]
fn nobody_need_be_anybody() {
    let machine = Machine::new();
    let identities = machine.identities(&[]).unwrap();
    assert!(names(&identities).is_empty());
    let text = made("late.example");
    machine.write("late/cert", &text[0]);
    machine.write("late/key", &text[1]);
    machine.rest();
    assert_eq!(names(&identities), ["late.example"]);
    machine.end();
}

#[test]
fn what_makes_no_sense_is_refused_by_its_place() {
    let text = made("one.example");
    for (payload, why) in [
        (&b"nonsense"[..], "behind the image: this is no payload"),
        (
            payload(&[("tls/cert", &text[0])]),
            "behind the image: there is one of certificate and key, but not both",
        ),
        (payload(&[("tls/cert", "-"), ("tls/key", &text[1])]), "behind the image: there is no certificate"),
    ] {
        let machine = Machine::new();
        assert_eq!(machine.identities(payload).unwrap_err().to_string(), why);
        machine.end();
    }
    assert!(trust(&[]).unwrap().is_none());
    assert!(trust(payload(&[("other", "")])).unwrap().is_none());
    assert_eq!(trust(payload(&[("tls/trust", &text[0])])).unwrap().unwrap().roots(), 1);
    let nothing = trust(payload(&[("tls/trust", "")])).err();
    assert!(matches!(nothing, Some(Error::Trust(TrustError::Missing))), "{nothing:?}");
}
