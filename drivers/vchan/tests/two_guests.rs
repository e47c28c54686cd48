//! A server and a client in two guests, over the simulator's grants, events and Xenstore.

use fata_sim::{Rng, SimCpu, Tasks, World, Xenstored};
use fata_vchan::{Error, Fixed, Meeting, Orders, StorePath, Vchan, connect, listen};
use fata_xenstore::Xenstore;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use xen_hyp::{DomId, GrantRef, Xen};

struct Guest {
    xen: Rc<Xen<SimCpu>>,
    store: Xenstore<SimCpu>,
}

impl Guest {
    fn new(world: &World) -> Self {
        let xen = world.guest();
        let store = Xenstore::open(&xen).unwrap().unwrap();
        Self { xen, store }
    }

    fn id(&self) -> DomId {
        self.xen.platform().domain().id()
    }
}

/// Two guests that know each other.
struct Pair {
    world: World,
    _store: Rc<Xenstored>,
    server: Guest,
    client: Guest,
}

impl Pair {
    fn new() -> Self {
        let world = World::new();
        let store = Xenstored::start(&world);
        let (server, client) = (Guest::new(&world), Guest::new(&world));
        Self { world, _store: store, server, client }
    }

    fn tasks(&self) -> Tasks<'_> {
        let mut tasks = Tasks::new(&self.world);
        tasks.spawn(self.server.store.serve());
        tasks.spawn(self.client.store.serve());
        tasks
    }

    fn serving(&self, name: &str) -> StorePath<SimCpu> {
        StorePath::serving(&self.server.xen, &self.server.store, self.client.id(), name)
    }

    fn seeking(&self, name: &str) -> StorePath<SimCpu> {
        StorePath::seeking(&self.client.xen, &self.client.store, self.server.id(), name).unwrap()
    }

    /// Runs both ends until they are done; the two tasks of the stores remain.
    fn run(
        &self,
        server: impl AsyncFnOnce(Vchan<SimCpu>),
        client: impl AsyncFnOnce(Vchan<SimCpu>),
        orders: Orders,
    ) {
        let done = Cell::new(0);
        let mut tasks = self.tasks();
        tasks.spawn(async {
            let meeting = self.serving("test");
            let vchan = listen(&self.server.xen, &meeting, orders).await.unwrap().accept().await;
            server(vchan).await;
            meeting.withdraw().await.unwrap();
            done.set(done.get() + 1);
        });
        tasks.spawn(async {
            let vchan = connect(&self.client.xen, &self.seeking("test"), Some(orders)).await.unwrap();
            client(vchan).await;
            done.set(done.get() + 1);
        });
        assert_eq!(tasks.run(), 2, "somebody waits for ever");
        assert_eq!(done.get(), 2);
        drop(tasks);
        // What the server lent may have been mapped still when it closed.
        assert_eq!(self.server.xen.reclaim_grants(), 0);
        self.world.assert_cleaned_up();
    }
}

const ALL: [Orders; 6] = [
    Orders { left: 10, right: 11 },
    Orders { left: 11, right: 10 },
    Orders { left: 12, right: 12 },
    Orders { left: 10, right: 12 },
    Orders { left: 16, right: 11 },
    Orders { left: 13, right: 20 },
];

/// The byte at this place of a stream.
fn byte(at: usize, salt: usize) -> u8 {
    ((at + salt).wrapping_mul(0x9e37_79b9) >> 13) as u8
}

async fn write_stream(vchan: &Vchan<SimCpu>, bytes: usize, salt: usize, rng: &RefCell<Rng>) {
    let mut at = 0;
    while at < bytes {
        let len = (rng.borrow_mut().within(1..9000)).min(bytes - at);
        let chunk: Vec<u8> = (at..at + len).map(|at| byte(at, salt)).collect();
        at += vchan.write(&chunk).await.unwrap();
    }
}

async fn read_stream(vchan: &Vchan<SimCpu>, bytes: usize, salt: usize, rng: &RefCell<Rng>) {
    let mut at = 0;
    while at < bytes {
        let len = (rng.borrow_mut().within(1..9000)).min(bytes - at);
        let mut chunk = vec![0; len];
        let read = vchan.read(&mut chunk).await.unwrap();
        assert!(read > 0, "the stream ended at {at}");
        for byte_ in &chunk[..read] {
            assert_eq!(*byte_, byte(at, salt), "at {at}");
            at += 1;
        }
    }
}

/// Waits for both.
async fn both(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    let (mut a_done, mut b_done) = (false, false);
    std::future::poll_fn(|cx| {
        a_done = a_done || a.as_mut().poll(cx).is_ready();
        b_done = b_done || b.as_mut().poll(cx).is_ready();
        if a_done && b_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[test]
fn bytes_pass_both_ways_at_once_through_rings_of_every_kind() {
    let rng = RefCell::new(Rng::new());
    for orders in ALL {
        let pair = Pair::new();
        const BYTES: usize = 300_000;
        let end = async |vchan: Vchan<SimCpu>, mine: usize, theirs: usize| {
            both(write_stream(&vchan, BYTES, mine, &rng), read_stream(&vchan, BYTES, theirs, &rng)).await;
            // Whoever is done first does not take from the other what it has not read.
            vchan.finish();
            assert_eq!(vchan.read(&mut [0; 8]).await, Ok(0));
        };
        pair.run(async |vchan| end(vchan, 1, 2).await, async |vchan| end(vchan, 2, 1).await, orders);
    }
}

#[test]
#[ignore = "a minute, in a release build"]
fn a_gibibyte_passes_both_ways_at_once_through_rings_of_a_page() {
    let rng = RefCell::new(Rng::new());
    let pair = Pair::new();
    let end = async |vchan: Vchan<SimCpu>, mine: usize, theirs: usize| {
        both(write_stream(&vchan, 1 << 30, mine, &rng), read_stream(&vchan, 1 << 30, theirs, &rng)).await;
        vchan.finish();
        assert_eq!(vchan.read(&mut [0; 8]).await, Ok(0));
    };
    pair.run(async |vchan| end(vchan, 1, 2).await, async |vchan| end(vchan, 2, 1).await, Orders::both(12));
}

#[test]
fn an_end_that_closes_is_read_to_its_end_and_not_written_to() {
    let pair = Pair::new();
    let closed = Cell::new(false);
    pair.run(
        async |vchan| {
            vchan.write(b"last words").await.unwrap();
            drop(vchan);
            closed.set(true);
        },
        async |vchan| {
            let mut all = Vec::new();
            let mut some = [0; 3];
            loop {
                match vchan.read(&mut some).await.unwrap() {
                    0 => break,
                    len => all.extend_from_slice(&some[..len]),
                }
            }
            assert_eq!(all, b"last words");
            assert!(closed.get() && !vchan.is_open());
            assert_eq!(vchan.recv(&mut some).await, Err(Error::Closed));
            assert_eq!(vchan.write(&[1; 10]).await, Err(Error::Closed));
            assert_eq!(vchan.send(&[1; 10]).await, Err(Error::Closed));
            assert_eq!(vchan.ended().await, Error::Closed);
        },
        Orders::both(12),
    );
}

#[test]
fn a_message_is_sent_whole_or_not_at_all() {
    let pair = Pair::new();
    pair.run(
        async |vchan| {
            assert_eq!(vchan.send(&[0; 2049]).await, Err(Error::TooLong));
            for n in 0..200u32 {
                vchan.send(&[n as u8; 700]).await.unwrap();
            }
        },
        async |vchan| {
            for n in 0..200u32 {
                let mut message = [0; 700];
                vchan.recv(&mut message).await.unwrap();
                assert_eq!(message, [n as u8; 700]);
            }
            assert_eq!(vchan.recv(&mut [0; 700]).await, Err(Error::Closed));
            assert_eq!(vchan.recv(&mut [0; 2049]).await, Err(Error::TooLong));
        },
        Orders { left: 10, right: 11 },
    );
}

#[test]
fn a_client_finds_a_server_that_comes_later_or_again() {
    let pair = Pair::new();
    let rounds = Cell::new(0);
    {
        let mut tasks = pair.tasks();
        tasks.spawn(async {
            let meeting = pair.seeking("again");
            for round in 0..5u8 {
                let vchan = connect(&pair.client.xen, &meeting, None).await.unwrap();
                let mut told = [0];
                assert_eq!(vchan.read(&mut told).await, Ok(1));
                assert_eq!(told[0], round);
                assert_eq!(vchan.read(&mut told).await, Ok(0));
                rounds.set(round + 1);
            }
        });
        assert_eq!(tasks.run(), 3, "it waits for the server");
        tasks.spawn(async {
            for round in 0..5u8 {
                let meeting = pair.serving("again");
                let vchan =
                    listen(&pair.server.xen, &meeting, Orders::both(12)).await.unwrap().accept().await;
                vchan.write(&[round]).await.unwrap();
                // Until the client has closed too: what it has mapped cannot be used again.
                while vchan.is_open() {
                    vchan.finish();
                    let _ = vchan.read(&mut [0]).await;
                }
                // The path stays, as after a crash: nobody is there, and the client has to notice.
                if round % 2 == 0 {
                    meeting.withdraw().await.unwrap();
                }
            }
        });
        assert_eq!(tasks.run(), 2);
        assert_eq!(rounds.get(), 5);
    }
    assert_eq!(pair.server.xen.reclaim_grants(), 0);
    pair.world.assert_cleaned_up();
}

#[test]
fn a_client_that_is_made_after_the_offer_may_read_it_all_the_same() {
    let world = World::new();
    let xenstored = Xenstored::start(&world);
    let server = Guest::new(&world);
    let later = DomId(server.id().0 + 1);
    let meeting = StorePath::serving(&server.xen, &server.store, later, "late");
    let (met, told) = (Cell::new(false), Cell::new(0));
    let (client, seeking);
    {
        let mut tasks = Tasks::new(&world);
        tasks.spawn(server.store.serve());
        tasks.spawn(async {
            let vchan = listen(&server.xen, &meeting, Orders::both(12)).await.unwrap().accept().await;
            met.set(true);
            // Told of the client's end by its node.
            let mut stirs = std::pin::pin!(meeting.stirs(|gone| {
                told.set(told.get() + usize::from(gone));
                vchan.probe()
            }));
            let mut ended = std::pin::pin!(vchan.ended());
            let end = std::future::poll_fn(|cx| {
                let _ = stirs.as_mut().poll(cx);
                ended.as_mut().poll(cx)
            });
            assert_eq!(end.await, Error::Gone);
            meeting.withdraw().await.unwrap();
        });
        assert_eq!(tasks.run(), 2);
        client = Guest::new(&world);
        assert_eq!(client.id(), later);
        seeking = StorePath::seeking(&client.xen, &client.store, server.id(), "late").unwrap();
        tasks.spawn(client.store.serve());
        tasks.spawn(async {
            let _vchan = connect(&client.xen, &seeking, None).await.unwrap();
            std::future::pending().await
        });
        assert_eq!(tasks.run(), 4);
        assert!(met.get());
        world.destroy(&world.find(later).unwrap());
        xenstored.release(later);
        // The store's task of the server, and those of the client that is no more.
        assert_eq!(tasks.run(), 3);
        assert!(told.get() > 0);
    }
    drop(meeting);
    let mut tasks = Tasks::new(&world);
    tasks.spawn(server.store.serve());
    tasks.run();
    drop(tasks);
    assert_eq!(server.xen.reclaim_grants(), 0);
    world.assert_cleaned_up();
}

/// Two guests that Xen started with an event channel between them: the server's meeting, and the client's.
fn fixed(world: &World) -> [(Rc<Xen<SimCpu>>, Fixed); 2] {
    let (server, client) = (world.guest(), world.guest());
    let (a, b) = (server.platform().domain(), client.platform().domain());
    let (a_port, b_port) = world.static_event_channel(a, b);
    let gref = GrantRef(100);
    let theirs = Fixed { peer: a.id(), port: b_port, gref };
    let ours = Fixed { peer: b.id(), port: a_port, gref };
    [(server, ours), (client, theirs)]
}

#[test]
fn two_domains_meet_by_numbers_alone_whoever_is_first() {
    for server_first in [true, false] {
        let world = World::new();
        let [(server, ours), (client, theirs)] = fixed(&world);
        let orders = Orders::both(13);
        let serve = async {
            let vchan = listen(&server, &ours, orders).await.unwrap().accept().await;
            vchan.write(b"hello").await.unwrap();
            let mut answer = [0; 5];
            vchan.recv(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HELLO");
        };
        let seek = async {
            let vchan = connect(&client, &theirs, Some(orders)).await.unwrap();
            let mut asked = [0; 5];
            vchan.recv(&mut asked).await.unwrap();
            vchan.write(&asked.to_ascii_uppercase()).await.unwrap();
            assert_eq!(vchan.read(&mut asked).await, Ok(0));
        };
        let mut tasks = Tasks::new(&world);
        if server_first {
            tasks.spawn(serve);
            assert_eq!(tasks.run(), 1);
            tasks.spawn(seek);
        } else {
            tasks.spawn(seek);
            assert_eq!(tasks.run(), 1);
            tasks.spawn(serve);
        }
        assert_eq!(tasks.run(), 0, "somebody waits for ever");
        drop(tasks);
        assert_eq!(server.reclaim_grants(), 0);
        world.assert_cleaned_up();
    }
}

#[test]
fn two_ends_that_were_told_different_things_say_so() {
    let world = World::new();
    let [(server, ours), (client, theirs)] = fixed(&world);
    let mut tasks = Tasks::new(&world);
    let (told, is) = (Orders::both(12), Orders { left: 12, right: 13 });
    tasks.spawn(async {
        let impossible = Orders::both(9);
        assert_eq!(listen(&server, &ours, impossible).await.err(), Some(Error::Orders(impossible)));
        let _listener = listen(&server, &ours, is).await.unwrap();
        let error = connect(&client, &theirs, Some(told)).await.unwrap_err();
        assert_eq!(error, Error::Disagree(told, is));
        assert_eq!(error.to_string(), "we were told rings of orders 12 and 12, the other end has 12 and 13");
        // The reference is taken as long as the listener is there.
        let again = listen(&server, &Fixed { port: ours.port, ..ours }, is).await.err();
        assert!(matches!(again, Some(Error::Xen(_) | Error::Grant(_))), "{again:?}");
    });
    assert_eq!(tasks.run(), 0);
    drop(tasks);
    world.assert_cleaned_up();
}
