//! The store's daemon, written after `docs/misc/xenstore.txt` and `tools/xenstored` so as to share its habits.

mod connection;
mod requests;
mod server;
mod tree;

pub use server::Lie;

use crate::domain::{Domain, End};
use crate::rng::Rng;
use crate::store::Store;
use crate::world::{Backend, World};
use connection::{CONNECTION, Connection, Message};
use server::Server;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use tree::Tree;
use xen_hyp::{DomId, SharedMem};

/// What C xenstored offers: the reason for a closed connection, depth of watches, `DOMID_ANY`.
const FEATURES: u32 = 2 | 4 | 8;
/// By which xenstored hears of domains that end.
const VIRQ_DOM_EXC: u32 = 3;
/// No process is started again in less.
const RESTART_NS: u64 = 50_000_000;

/// xenstored, and as much of a toolstack as introduces domains to it. It serves all guests of a world, and domain 0
/// by the methods here.
pub struct Xenstored {
    world: World,
    server: RefCell<Server>,
}

impl Xenstored {
    /// A server that runs and knows all guests that are there. Those to come are introduced to it before they run,
    /// unless they are late ones: see [`introduce`](Self::introduce).
    pub fn start(world: &World) -> Rc<Self> {
        let server = Server {
            world: world.clone(),
            tree: Tree::new(),
            connections: BTreeMap::from([(0, Connection::default())]),
            features: FEATURES,
            privileged: [0].into(),
            quotas: BTreeMap::new(),
            dedupe: true,
            slow: None,
            lies: BTreeMap::new(),
            running: true,
            conflicts: 0,
            served: 0,
            placeholder: None,
            tokens: 0,
        };
        let store = Rc::new(Self { world: world.clone(), server: RefCell::new(server) });
        for domain in (1..).map_while(|id| world.find(DomId(id))) {
            store.created(&domain);
        }
        let backend: Rc<dyn Backend> = store.clone();
        world.add_backend(Rc::downgrade(&backend));
        store
    }

    /// Introduces a guest, as `init-dom0less` does with late ones; or again, when everything that the server knew of
    /// its connection is forgotten and its ring emptied.
    pub fn introduce(&self, domain: &Rc<Domain>) {
        self.server.borrow_mut().introduce(domain);
    }

    /// Stops talking to a domain, as when it is destroyed.
    pub fn release(&self, dom: DomId) {
        self.server.borrow_mut().release(dom.0).expect("a domain that was introduced");
    }

    /// Sets `server_features`, of connections made from now on. 1, reconnection, is what oxenstored offers.
    pub fn set_features(&self, features: u32) {
        self.server.borrow_mut().features = features;
    }

    /// Lets a guest do what only domain 0 may.
    pub fn make_privileged(&self, dom: DomId) {
        self.server.borrow_mut().privileged.insert(dom.0);
    }

    /// Sets a quota, of one domain or of all; see `GET_QUOTA` for their names.
    pub fn set_quota(&self, dom: Option<DomId>, name: &str, value: u32) {
        self.server.borrow_mut().set_quota(dom.map(|dom| dom.0), name, value).expect("a quota of this name");
    }

    /// Whether an event is left out while the same is still to be read, as xenstored does since 4.17.
    pub fn leave_out_repeated_events(&self, yes: bool) {
        self.server.borrow_mut().dedupe = yes;
    }

    /// Moves pieces of random length, once a turn, instead of all it can.
    pub fn slow_down(&self, rng: Rng) {
        self.server.borrow_mut().slow = Some(rng);
    }

    /// Makes it do something wrong with a reply to this domain. Lies pile up: each is good for one reply.
    pub fn lie(&self, dom: DomId, lie: Lie) {
        self.server.borrow_mut().lies.entry(dom.0).or_default().push_back(lie);
    }

    /// Sends these bytes to a guest, between messages.
    pub fn send_raw(&self, dom: DomId, bytes: &[u8]) {
        let mut server = self.server.borrow_mut();
        let connection = server.connections.get_mut(&dom.0).expect("a domain that was introduced");
        connection.output.push_back(Message::raw(bytes.to_vec()));
        connection.wake();
    }

    /// Sends a message to a guest: type, request, transaction, payload.
    pub fn send_message(&self, dom: DomId, kind: u32, id: u32, tx: u32, payload: &[u8]) {
        self.send_raw(dom, &Message::new(kind, id, tx, payload).bytes);
    }

    /// Closes a guest's connection, for this reason (`XENSTORE_ERROR_*`).
    pub fn hang_up(&self, dom: DomId, error: u32) {
        let mut server = self.server.borrow_mut();
        let connection = server.connections.get_mut(&dom.0).expect("a domain that was introduced");
        connection.ignore(error);
        connection.notify(&self.world);
    }

    /// Stops without forgetting anything, as during a live update.
    pub fn pause(&self) {
        self.server.borrow_mut().running = false;
    }

    /// Goes on after that.
    pub fn go_on(&self) {
        let mut server = self.server.borrow_mut();
        server.running = true;
        server.connections.values_mut().for_each(Connection::wake);
    }

    /// Kills it: what it knew of its connections is lost, also what it had read or written of a message. The nodes
    /// stay, as if the toolstack had written them again.
    pub fn kill(&self) {
        let mut server = self.server.borrow_mut();
        server.running = false;
        for connection in server.connections.values_mut() {
            if let Some(port) = connection.ring.as_mut().and_then(|ring| ring.port.take()) {
                connection.forget();
                self.world.close(&self.world.dom0(), port).expect("its own port");
            }
        }
    }

    /// Starts it again, which takes a moment of the world's time. It knows the domains there are (`init_domains`).
    pub fn restart(&self) {
        self.world.pass(RESTART_NS);
        let mut server = self.server.borrow_mut();
        server.running = true;
        server.placeholder = match server.placeholder.take() {
            Some(port) => self.world.close(&self.world.dom0(), port).map(|()| None).expect("its own port"),
            None => Some(self.world.dom0().open(End::Virq(VIRQ_DOM_EXC), true)),
        };
        let doms: Vec<u16> = server.connections.keys().copied().filter(|&dom| dom != 0).collect();
        for domain in doms.into_iter().filter_map(|dom| self.world.find(DomId(dom))) {
            server.attach(&domain);
            domain.store_page().store(connection::ERROR, 0);
            domain.store_page().store(CONNECTION, 0);
            server.connections[&domain.id().0].notify(&self.world);
        }
    }

    /// The value of a node.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.server.borrow_mut().call(2, format!("{path}\0").as_bytes()).ok()
    }

    /// The value of a node, as text; empty if there is none.
    pub fn text(&self, path: &str) -> String {
        String::from_utf8(self.read(path).unwrap_or_default()).expect("text")
    }

    /// Writes a node.
    pub fn write(&self, path: &str, value: impl AsRef<[u8]>) {
        let payload = [path.as_bytes(), b"\0", value.as_ref()].concat();
        self.server.borrow_mut().call(11, &payload).expect("a valid path");
    }

    /// Removes a node and what is below it, if it is there.
    pub fn rm(&self, path: &str) {
        match self.server.borrow_mut().call(13, format!("{path}\0").as_bytes()) {
            Ok(_) | Err("ENOENT") => {}
            Err(errno) => panic!("rm {path}: {errno}"),
        }
    }

    /// The names of the nodes right below.
    pub fn directory(&self, path: &str) -> Vec<String> {
        self.server.borrow_mut().children(path)
    }

    /// Sets permissions, as in `["n0", "r3"]`: the owner's entry first.
    pub fn set_perms(&self, path: &str, perms: &[&str]) {
        let payload = format!("{path}\0{}\0", perms.join("\0"));
        self.server.borrow_mut().call(14, payload.as_bytes()).expect("a node and permissions");
    }

    /// Watches a node and those below it, or a special event, for domain 0.
    pub fn watch(self: &Rc<Self>, path: &str) -> StoreWatch {
        let mut server = self.server.borrow_mut();
        server.tokens += 1;
        let token = server.tokens.to_string();
        server.call(4, format!("{path}\0{token}\0").as_bytes()).expect("a valid path");
        StoreWatch { store: Rc::downgrade(self), path: path.into(), token }
    }

    /// How many transactions ended with EAGAIN.
    pub fn conflicts(&self) -> u64 {
        self.server.borrow().conflicts
    }

    /// How many requests were answered.
    pub fn served(&self) -> u64 {
        self.server.borrow().served
    }

    /// How many watches a domain has.
    pub fn watches(&self, dom: DomId) -> usize {
        self.server.borrow().connections.get(&dom.0).map_or(0, |connection| connection.watches.len())
    }

    /// How many transactions a domain has open.
    pub fn transactions(&self, dom: DomId) -> usize {
        self.server.borrow().connections.get(&dom.0).map_or(0, |connection| connection.transactions.len())
    }
}

impl Backend for Xenstored {
    fn turn(&self) -> bool {
        self.server.borrow_mut().turn()
    }

    fn created(&self, domain: &Rc<Domain>) {
        if domain.setup.store == Store::Present {
            self.introduce(domain);
        }
    }

    fn left_over(&self, dom: DomId) -> Vec<String> {
        let server = self.server.borrow();
        let Some(connection) = server.connections.get(&dom.0) else { return Vec::new() };
        let watches = connection.watches.iter().map(|watch| format!("watch of {}", watch.path));
        watches.chain(connection.transactions.iter().map(|t| format!("transaction {}", t.id))).collect()
    }
}

/// A watch of domain 0. Dropping it ends it.
pub struct StoreWatch {
    store: Weak<Xenstored>,
    path: String,
    token: String,
}

impl StoreWatch {
    /// The paths of the events since the last call. There is one at first.
    pub fn take(&self) -> Vec<String> {
        let Some(store) = self.store.upgrade() else { return Vec::new() };
        store.server.borrow_mut().take_events(&self.token)
    }
}

impl Drop for StoreWatch {
    fn drop(&mut self) {
        if let Some(store) = self.store.upgrade() {
            let payload = format!("{}\0{}\0", self.path, self.token);
            store.server.borrow_mut().call(5, payload.as_bytes()).expect("its own watch");
            self.take();
        }
    }
}
