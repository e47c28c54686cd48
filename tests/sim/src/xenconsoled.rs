//! The console daemon, written after `tools/console/daemon/io.c` so as to share its habits.

use crate::domain::Domain;
use crate::page::Page;
use crate::rng::Rng;
use crate::world::{Backend, World};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use xen_hyp::{HvmParam, Port, SharedMem};

const IN_SIZE: u32 = 1024;
const OUT_SIZE: u32 = 2048;
const OUT: usize = 1024;
const IN_CONS: usize = 3072;
const IN_PROD: usize = 3076;
const OUT_CONS: usize = 3080;
const OUT_PROD: usize = 3084;
const CONNECTION: usize = 3088;

/// Most bytes of input a turn, its `msg[80]`.
const INPUT_A_TURN: usize = 80;

/// xenconsoled, serving one guest.
pub struct Xenconsoled {
    world: World,
    guest: Rc<Domain>,
    page: Rc<Page>,
    port: Cell<Option<Port>>,
    /// Bytes of output that were left although it was told of them; only with random chunks.
    behind: Cell<bool>,
    /// It found the input ring full, and so looks at its terminal only after the next event.
    full: Cell<bool>,
    chunks: RefCell<Option<Rng>>,
    output: RefCell<Vec<u8>>,
    input: RefCell<VecDeque<u8>>,
}

impl Xenconsoled {
    /// A daemon that is not running yet.
    pub fn new(world: &World, guest: &Rc<Domain>) -> Rc<Self> {
        let daemon = Rc::new(Self {
            world: world.clone(),
            guest: guest.clone(),
            page: guest.console_page(),
            port: Cell::new(None),
            behind: Cell::new(false),
            full: Cell::new(false),
            chunks: RefCell::default(),
            output: RefCell::default(),
            input: RefCell::default(),
        });
        let backend: Rc<dyn Backend> = daemon.clone();
        world.add_backend(Rc::downgrade(&backend));
        daemon
    }

    /// A daemon that runs.
    pub fn start(world: &World, guest: &Rc<Domain>) -> Rc<Self> {
        let daemon = Self::new(world, guest);
        daemon.restart();
        daemon
    }

    /// Starts it, again if it was stopped (`console_create_ring`).
    ///
    /// # Panics
    ///
    /// If it runs already.
    pub fn restart(&self) {
        assert!(self.port.get().is_none(), "xenconsoled runs already");
        let remote = Port(self.guest.param(HvmParam::ConsoleEvtchn) as u32);
        let port =
            self.world.bind(&self.world.dom0(), self.guest.id(), remote).expect("the guest's console port");
        self.port.set(Some(port));
        self.set_connection(0);
    }

    /// Kills it; what it has not taken stays in the ring.
    pub fn stop(&self) {
        if let Some(port) = self.port.take() {
            self.world.close(&self.world.dom0(), port).expect("its own port");
        }
    }

    /// Takes and gives random amounts instead of all it can.
    pub fn chunk_randomly(&self, rng: Rng) {
        *self.chunks.borrow_mut() = Some(rng);
    }

    /// Sets the `connection` byte.
    pub fn set_connection(&self, value: u8) {
        self.page.write(CONNECTION, &value);
    }

    /// What the guest wrote, since the last call.
    pub fn take_output(&self) -> Vec<u8> {
        self.output.take()
    }

    /// Types.
    pub fn input(&self, bytes: &[u8]) {
        self.input.borrow_mut().extend(bytes);
    }

    /// Input that has not gone into the ring.
    pub fn input_left(&self) -> usize {
        self.input.borrow().len()
    }

    fn chunk(&self, most: usize) -> usize {
        match &mut *self.chunks.borrow_mut() {
            Some(rng) => rng.within(1..most + 1),
            None => most,
        }
    }

    /// `buffer_append`: indices are read once, and it notifies whenever it took something.
    fn take(&self, port: Port) {
        let (cons, prod) = (self.page.load(OUT_CONS), self.page.load(OUT_PROD));
        let size = prod.wrapping_sub(cons);
        if size == 0 || size > OUT_SIZE {
            return;
        }
        let len = self.chunk(size as usize) as u32;
        let start = (cons % OUT_SIZE) as usize;
        let first = len.min(OUT_SIZE - start as u32) as usize;
        let mut bytes = vec![0; len as usize];
        self.page.copy_in(OUT + start, &mut bytes[..first]);
        self.page.copy_in(OUT, &mut bytes[first..]);
        self.output.borrow_mut().extend(bytes);
        self.behind.set(len < size);
        self.page.store(OUT_CONS, cons.wrapping_add(len));
        let _ = self.world.send(&self.world.dom0(), port);
    }

    /// `handle_tty_read`: gives whether there was input and room for it.
    fn give(&self, port: Port) -> bool {
        let (cons, prod) = (self.page.load(IN_CONS), self.page.load(IN_PROD));
        let room = IN_SIZE.saturating_sub(prod.wrapping_sub(cons)) as usize;
        let mut input = self.input.borrow_mut();
        self.full.set(room == 0);
        if room == 0 || input.is_empty() {
            return false;
        }
        let len = self.chunk(room.min(INPUT_A_TURN).min(input.len()));
        for (i, byte) in input.drain(..len).enumerate() {
            self.page.write((prod.wrapping_add(i as u32) % IN_SIZE) as usize, &byte);
        }
        self.page.store(IN_PROD, prod.wrapping_add(len as u32));
        self.full.set(room == len);
        let _ = self.world.send(&self.world.dom0(), port);
        true
    }
}

impl Backend for Xenconsoled {
    fn turn(&self) -> bool {
        let Some(port) = self.port.get() else { return false };
        let event = self.world.dom0().take_event(port);
        if event || self.behind.take() {
            self.take(port);
            self.give(port);
            return true;
        }
        !self.full.get() && self.give(port)
    }
}
