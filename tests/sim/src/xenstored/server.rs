//! The daemon: its connections, its loop, and the toolstack's part of a domain's life.

use super::connection::{CONNECTION, Connection, ERROR, FEATURES, HEADER, Message};
use super::tree::{Result, Tree, Who};
use crate::domain::Domain;
use crate::rng::Rng;
use crate::store::Store;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use xen_hyp::{HvmParam, Port, SharedMem};

/// `XS_WATCH`.
const WATCH: u32 = 4;
/// `XS_ERROR`.
const ERROR_REPLY: u32 = 16;

/// Domain 0, which may do everything.
pub(super) const DOM0: Who = Who { dom: 0, privileged: true };

/// What the server does wrong with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Answers another request.
    OtherId,
    /// Answers as if something else had been asked.
    OtherType,
    /// Says that it belongs to another transaction.
    OtherTransaction,
    /// Announces a byte more than the protocol allows.
    TooLong,
    /// Sends it twice.
    Twice,
    /// Sends none.
    Nothing,
    /// Refuses, for this reason, without doing it.
    Refuse(&'static str),
    /// Does it, and answers with this payload.
    Payload(&'static [u8]),
}

pub(super) struct Server {
    pub(super) world: World,
    pub(super) tree: Tree,
    pub(super) connections: BTreeMap<u16, Connection>,
    pub(super) features: u32,
    pub(super) privileged: BTreeSet<u16>,
    pub(super) quotas: BTreeMap<(Option<u16>, String), u32>,
    pub(super) dedupe: bool,
    pub(super) slow: Option<Rng>,
    pub(super) lies: BTreeMap<u16, VecDeque<Lie>>,
    pub(super) running: bool,
    /// Transactions that ended with EAGAIN.
    pub(super) conflicts: u64,
    pub(super) served: u64,
    /// Held in every other life, so that ports get other numbers in each.
    pub(super) placeholder: Option<Port>,
    /// Tokens of domain 0's watches so far.
    pub(super) tokens: u64,
}

impl Server {
    pub(super) fn connection(&mut self, who: Who) -> &mut Connection {
        self.connections.get_mut(&who.dom).expect("a connection")
    }

    /// One round of the main loop: gives whether there was something to do.
    pub(super) fn turn(&mut self) -> bool {
        if !self.running {
            return false;
        }
        let doms: Vec<u16> = self.connections.keys().copied().collect();
        let mut any = false;
        for dom in doms {
            any |= self.look_for_shut_down(dom) | self.serve(dom);
        }
        any
    }

    fn look_for_shut_down(&mut self, dom: u16) -> bool {
        let domain = self.world.find(xen_hyp::DomId(dom)).expect("its domain");
        // It may have been released in this very turn.
        let Some(connection) = self.connections.get_mut(&dom) else { return false };
        if connection.shut_down || domain.shutdowns().is_empty() {
            return false;
        }
        connection.shut_down = true;
        self.fire_special("@releaseDomain", dom);
        true
    }

    fn serve(&mut self, dom: u16) -> bool {
        let Some(connection) = self.connections.get_mut(&dom) else { return false };
        if !connection.is_awake(&self.world) {
            return false;
        }
        if connection.wants_reset() {
            self.start_over(dom);
            return true;
        }
        if let Some(request) = connection.turn(&self.world, &mut self.slow) {
            self.answer(dom, &request.bytes);
        }
        true
    }

    /// What oxenstored does when the guest asks for it (`ml_interface_close`, `tools/ocaml/libs/xb`).
    fn start_over(&mut self, dom: u16) {
        let connection = self.connections.get_mut(&dom).expect("its connection");
        connection.reset(0);
        let page = connection.ring.as_ref().expect("a ring").page.clone();
        page.copy_out(0, &[0xff; 2048]);
        page.store(ERROR, 0);
        page.store(CONNECTION, 0);
        connection.notify(&self.world);
    }

    fn answer(&mut self, dom: u16, request: &[u8]) {
        let word = |i: usize| u32::from_ne_bytes(*request[4 * i..].first_chunk().unwrap());
        let (kind, id, tx, payload) = (word(0), word(1), word(2), &request[HEADER..]);
        let who = Who { dom, privileged: self.privileged.contains(&dom) };
        let lie = self.lies.get_mut(&dom).and_then(VecDeque::pop_front);
        let result = match lie {
            Some(Lie::Refuse(errno)) => Err(errno),
            _ => self.perform(who, kind, tx, payload),
        };
        self.served += 1;
        self.world.trace(format_args!(
            "d{dom} store {kind} id {id} tx {tx} {:?} -> {:?}",
            String::from_utf8_lossy(payload),
            result.as_ref().map(|reply| String::from_utf8_lossy(reply))
        ));
        let watched = kind == WATCH && result.is_ok();
        let mut reply = match result {
            Ok(payload) => Message::new(kind, id, tx, &payload),
            Err(errno) => Message::new(ERROR_REPLY, id, tx, format!("{errno}\0").as_bytes()),
        };
        let flip = |reply: &mut Message, word: usize| reply.bytes[4 * word] ^= 0x55;
        let mut copies = 1;
        match lie {
            Some(Lie::OtherType) => flip(&mut reply, 0),
            Some(Lie::OtherId) => flip(&mut reply, 1),
            Some(Lie::OtherTransaction) => flip(&mut reply, 2),
            Some(Lie::TooLong) => reply.bytes[12..16].copy_from_slice(&4097u32.to_ne_bytes()),
            Some(Lie::Twice) => copies = 2,
            Some(Lie::Nothing) => copies = 0,
            Some(Lie::Payload(payload)) => reply = Message::new(kind, id, tx, payload),
            Some(Lie::Refuse(_)) | None => {}
        }
        let connection = self.connection(who);
        for _ in 0..copies {
            connection.output.push_back(Message::raw(reply.bytes.clone()));
        }
        if watched {
            connection.fire_first();
        }
    }

    /// Calls as domain 0, which has no ring in this world.
    pub(super) fn call(&mut self, kind: u32, payload: &[u8]) -> Result<Vec<u8>> {
        let result = self.perform(DOM0, kind, 0, payload);
        if kind == WATCH && result.is_ok() {
            self.connection(DOM0).fire_first();
        }
        result
    }

    /// Takes the events of one of domain 0's watches, and gives their paths.
    pub(super) fn take_events(&mut self, token: &str) -> Vec<String> {
        let end = format!("\0{token}\0");
        let output = &mut self.connection(DOM0).output;
        let (ours, others) = output.drain(..).partition(|message| message.bytes.ends_with(end.as_bytes()));
        *output = others;
        let path = |message: &Message| message.bytes[HEADER..message.bytes.len() - end.len()].to_vec();
        let ours: VecDeque<Message> = ours;
        ours.iter().map(|message| String::from_utf8(path(message)).expect("text")).collect()
    }

    /// `introduce_domain` and `do_introduce`, after what the toolstack does before them.
    pub(super) fn introduce(&mut self, domain: &Rc<Domain>) {
        if domain.setup.store == Store::Legacy {
            // `init-dom0less` makes the page, says that nobody serves it yet, and only then where it is.
            domain.store_page().store(CONNECTION, 1);
            domain.announce_store();
        }
        if !self.connections.contains_key(&domain.id().0) {
            self.make_home(domain);
            self.attach(domain);
            self.fire_special("@introduceDomain", domain.id().0);
        }
        let connection = self.connections.get_mut(&domain.id().0).expect("its connection");
        connection.reset(domain.setup.store_index);
        let page = domain.store_page();
        if page.load(CONNECTION) != 0 {
            page.store(CONNECTION, 0);
            connection.notify(&self.world);
        }
    }

    /// Maps the ring and binds the port.
    pub(super) fn attach(&mut self, domain: &Rc<Domain>) {
        let page = domain.store_page();
        let connection =
            self.connections.entry(domain.id().0).or_insert_with(|| Connection::with(page.clone()));
        let remote = Port(domain.param(HvmParam::StoreEvtchn) as u32);
        let port = self.world.bind(&self.world.dom0(), domain.id(), remote).expect("the guest's store port");
        connection.ring.as_mut().expect("a ring").port = Some(port);
        connection.wake();
        page.store(FEATURES, self.features);
    }

    /// The nodes that libxl makes for a domain (`libxl__domain_make`).
    fn make_home(&mut self, domain: &Domain) {
        let dom = domain.id().0;
        let home = format!("/local/domain/{dom}");
        let own = format!("n{dom}\0");
        let readable = format!("n0\0r{dom}\0");
        let mut make = |path: &str, value: &str, perms: &str| {
            let path = if path.is_empty() { home.clone() } else { format!("{home}/{path}") };
            self.call(11, format!("{path}\0{value}").as_bytes()).expect("room");
            self.call(14, format!("{path}\0{perms}").as_bytes()).expect("permission");
        };
        make("", "", &readable);
        for path in ["cpu", "memory", "device", "control"] {
            make(path, "", &readable);
        }
        for path in ["shutdown", "feature-poweroff", "feature-reboot", "feature-suspend", "sysrq"] {
            make(&format!("control/{path}"), "", &own);
        }
        for path in ["device/suspend/event-channel", "data", "drivers", "feature", "attr", "error"] {
            make(path, "", &own);
        }
        make("name", &format!("guest-{dom}"), &readable);
        make("domid", &dom.to_string(), &readable);
    }

    pub(super) fn release(&mut self, dom: u16) -> Result<()> {
        let connection = self.connections.get(&dom).filter(|_| dom != 0).ok_or("ENOENT")?;
        if let Some(port) = connection.ring.as_ref().and_then(|ring| ring.port) {
            self.world.close(&self.world.dom0(), port).expect("its own port");
        }
        self.connections.remove(&dom);
        // Not without those below them, so some are gone when their turn comes.
        for path in self.tree.owned(dom) {
            let _ = self.call(13, format!("{path}\0").as_bytes());
        }
        self.fire_special("@releaseDomain", dom);
        Ok(())
    }
}
