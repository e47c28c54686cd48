//! Applications in two guests without Xenstore that meet by name, in memory that both were given.
#![forbid(unsafe_code)]

use embedded_io_async::{Read as _, Write as _};
use fata_conduit::{Address, Conduit, Stream};
use fata_devices::conduit::Vchans;
use fata_rt::Executor;
use fata_sim::{Rng, Setup, SimCpu, Store, World};
use fata_vchan::StaticPlace;
use std::cell::Cell;
use std::rc::Rc;
use xen_hyp::{PAGE_SIZE, Port, SharedMem, Xen};

type Peer = Conduit<Vchans<SimCpu>>;

const AT: u64 = 0x3400_0000;
const PAGES: usize = 3;
/// How long the clock goes on at a time when nobody has anything to do.
const TICK_NS: u64 = 10_000_000;
/// For how long nothing may happen: longer than all time limits.
const QUIET_NS: u64 = 60_000_000_000;

struct Guest {
    xen: Rc<Xen<SimCpu>>,
    executor: Executor,
    vchans: Vchans<SimCpu>,
}

impl Guest {
    fn new(xen: Rc<Xen<SimCpu>>, port: Port, serve: bool) -> Self {
        let executor = Executor::new(xen.clone());
        let place = StaticPlace { at: AT, size: PAGES * PAGE_SIZE, port, serve };
        let statics = [("lines".to_owned(), place)];
        let vchans = Vchans::new(&executor.rt(), &xen, None).with_statics(statics);
        Self { xen, executor, vchans }
    }

    fn conduit(&self) -> Rc<Peer> {
        Rc::new(Conduit::new().with_outside(self.vchans.clone()))
    }
}

struct Two {
    world: World,
    ports: [Port; 2],
    server: Guest,
    client: Guest,
}

impl Two {
    fn new() -> Self {
        let world = World::new();
        let memory = world.spare_memory(PAGES);
        memory.copy_out(0, &Rng::new().bytes(PAGES * PAGE_SIZE));
        let [server, client] =
            [(); 2].map(|()| world.guest_with(Setup { store: Store::Absent, ..Setup::default() }));
        let (a, b) = (server.platform().domain(), client.platform().domain());
        [a, b].iter().for_each(|domain| domain.pass(AT, &memory));
        let (a_port, b_port) = world.static_event_channel(a, b);
        let (server, client) = (Guest::new(server, a_port, true), Guest::new(client, b_port, false));
        Self { world, ports: [a_port, b_port], server, client }
    }

    fn run(&self, is_done: impl Fn() -> bool) {
        let mut idle_ns = 0;
        while !is_done() {
            let busy = self.server.executor.turn() | self.client.executor.turn();
            if busy || !self.server.executor.settle() || !self.client.executor.settle() {
                idle_ns = 0;
                continue;
            }
            assert!(idle_ns < QUIET_NS, "somebody waits for ever");
            self.world.pass(TICK_NS);
            idle_ns += TICK_NS;
        }
    }
}

fn address() -> Address {
    "vchan://lines".parse().unwrap()
}

async fn read_all(stream: &mut Stream<Vchans<SimCpu>>) -> Vec<u8> {
    let (mut all, mut some) = (Vec::new(), [0; 700]);
    while let len @ 1.. = stream.read(&mut some).await.unwrap() {
        all.extend_from_slice(&some[..len]);
    }
    all
}

#[test]
fn streams_come_one_after_the_other_and_each_is_read_to_its_end() {
    const STREAMS: usize = 12;
    let two = Two::new();
    let served = Rc::new(Cell::new(0));
    let (conduit, count) = (two.server.conduit(), served.clone());
    let server = two.server.executor.rt().spawn(async move {
        let listener = conduit.listen(&address()).unwrap();
        for n in 0..STREAMS {
            let mut stream = listener.accept().await.unwrap();
            let asked = read_all(&mut stream).await;
            assert_eq!(asked, vec![n as u8; 1000 * n]);
            stream.write_all(&asked).await.unwrap();
            stream.finish().await.unwrap();
            count.set(n + 1);
        }
    });
    let conduit = two.client.conduit();
    let client = two.client.executor.rt().spawn(async move {
        for n in 0..STREAMS {
            let mut stream = conduit.connect(&address()).await.unwrap();
            stream.write_all(&vec![n as u8; 1000 * n]).await.unwrap();
            stream.finish().await.unwrap();
            assert_eq!(read_all(&mut stream).await, vec![n as u8; 1000 * n]);
        }
    });
    let began_ns = two.world.now_ns();
    two.run(|| server.is_finished() && client.is_finished());
    assert_eq!(served.get(), STREAMS);
    assert!(two.world.now_ns() - began_ns < 1_000_000_000, "they waited for each other to part");
}

#[test]
fn a_listener_gets_the_next_stream_from_an_end_that_crashed_and_was_started_again() {
    let mut two = Two::new();
    let said = Rc::new(Cell::new(0));
    let (conduit, count) = (two.server.conduit(), said.clone());
    let server = two.server.executor.rt().spawn(async move {
        let listener = conduit.listen(&address()).unwrap();
        let mut first = listener.accept().await.unwrap();
        first.read_exact(&mut [0; 4]).await.unwrap();
        count.set(1);
        // As long as the other end is as it was, there is nothing; then it is gone.
        assert!(first.read(&mut [0; 4]).await.is_err());
        drop(first);
        let mut second = listener.accept().await.unwrap();
        let mut told = [0; 5];
        second.read_exact(&mut told).await.unwrap();
        assert_eq!(&told, b"again");
    });
    let speak = |guest: &Guest, words: &'static [u8]| {
        let conduit = guest.conduit();
        drop(guest.executor.rt().spawn(async move {
            let mut stream = conduit.connect(&address()).await.unwrap();
            stream.write_all(words).await.unwrap();
            std::future::pending::<()>().await;
        }));
    };
    speak(&two.client, b"life");
    two.run(|| said.get() == 1);
    let domain = two.client.xen.platform().domain().clone();
    let again = Guest::new(two.world.start_anew(&domain), two.ports[1], false);
    // Kept, since it would say that it closes if it were dropped.
    let _crashed = std::mem::replace(&mut two.client, again);
    speak(&two.client, b"again");
    two.run(|| server.is_finished());
}

#[test]
fn a_name_that_nobody_laid_out_is_refused() {
    let two = Two::new();
    let conduit = two.server.conduit();
    for name in ["other", "lines/x", "lines?streams=2"] {
        let address: Address = format!("vchan://{name}").parse().unwrap();
        assert!(conduit.listen(&address).is_err(), "{name}");
    }
}
