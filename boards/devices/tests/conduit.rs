//! Applications in two guests that meet by vchan, by the addresses that they were given.
#![forbid(unsafe_code)]

use embedded_io_async::{Read as _, Write as _};
use fata_conduit::{Address, Conduit, Duplex, Outside, Stream};
use fata_devices::conduit::{Error, Vchans};
use fata_rt::{Executor, Rt};
use fata_sim::{Rng, SimCpu, World, Xenstored};
use std::cell::Cell;
use std::rc::Rc;
use xen_hyp::abi::event::AllocUnbound;
use xen_hyp::abi::{Op, nr};
use xen_hyp::{Xen, XenError};

type Peer = Conduit<Vchans<SimCpu>>;

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
    fn new(world: &World) -> Self {
        let xen = world.guest();
        let executor = Executor::new(xen.clone());
        let store = fata_devices::needed_store(&executor.rt(), &xen).unwrap();
        let vchans = Vchans::new(&executor.rt(), &xen, Some(&store));
        Self { xen, executor, vchans }
    }

    fn id(&self) -> u16 {
        self.xen.platform().domain().id().0
    }

    fn conduit(&self) -> Rc<Peer> {
        Rc::new(Conduit::new().with_outside(self.vchans.clone()))
    }
}

struct Two {
    world: World,
    store: Rc<Xenstored>,
    server: Guest,
    client: Guest,
}

impl Two {
    fn new() -> Self {
        let world = World::new();
        let store = Xenstored::start(&world);
        let (server, client) = (Guest::new(&world), Guest::new(&world));
        Self { world, store, server, client }
    }

    /// Where the server listens, and where its client finds it.
    fn addresses(&self, service: &str) -> [Address; 2] {
        [&self.client, &self.server].map(|peer| format!("vchan://{}/{service}", peer.id()).parse().unwrap())
    }

    /// Runs both until there is nothing to do; then lets time pass, and so on until `is_done`.
    fn run(&self, is_done: impl Fn() -> bool) {
        let mut idle_ns = 0;
        while !is_done() {
            if self.turn() {
                idle_ns = 0;
                continue;
            }
            assert!(idle_ns < QUIET_NS, "somebody waits for ever");
            self.world.pass(TICK_NS);
            idle_ns += TICK_NS;
        }
    }

    fn turn(&self) -> bool {
        let busy = self.server.executor.turn() | self.client.executor.turn() | self.world.run_backends();
        busy || !self.server.executor.settle() || !self.client.executor.settle()
    }

    fn end(self) {
        // Whoever parts has time to.
        let end_ns = self.world.now_ns() + QUIET_NS / 2;
        self.run(|| self.world.now_ns() > end_ns);
        let Self { world, server, client, store } = self;
        for guest in [server, client] {
            let Guest { xen, executor, vchans } = guest;
            drop((vchans, executor));
            assert_eq!(xen.reclaim_grants(), 0);
            store.release(xen.platform().domain().id());
        }
        world.assert_cleaned_up();
    }
}

/// Runs a task in each, until both are done.
fn both<F: Future<Output = ()> + 'static, G: Future<Output = ()> + 'static>(
    two: &Two,
    server: impl FnOnce(Rt, Rc<Peer>) -> F,
    client: impl FnOnce(Rt, Rc<Peer>) -> G,
) {
    let served = two.server.executor.rt().spawn(server(two.server.executor.rt(), two.server.conduit()));
    let asked = two.client.executor.rt().spawn(client(two.client.executor.rt(), two.client.conduit()));
    two.run(|| served.is_finished() && asked.is_finished());
}

async fn echo(mut stream: Stream<Vchans<SimCpu>>) {
    let mut buffer = [0; 1000];
    while let Ok(len @ 1..) = stream.read(&mut buffer).await {
        stream.write_all(&buffer[..len]).await.unwrap();
    }
}

async fn ask(mut stream: Stream<Vchans<SimCpu>>, bytes: &[u8]) {
    for piece in bytes.chunks(3000) {
        let mut back = vec![0; piece.len()];
        stream.write_all(piece).await.unwrap();
        stream.read_exact(&mut back).await.unwrap();
        assert!(back == piece);
    }
    stream.finish().await.unwrap();
    assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0);
}

/// One stream after the other over the same vchan, and never one that has been used.
#[test]
fn one_after_the_other_is_served() {
    const TIMES: usize = 5;
    let two = Two::new();
    let [at, to] = two.addresses("echo");
    let server = async move |_: Rt, conduit: Rc<Peer>| {
        let listener = conduit.listen(&at).unwrap();
        for _ in 0..TIMES {
            echo(listener.accept().await.unwrap()).await;
        }
    };
    let client = async move |_: Rt, conduit: Rc<Peer>| {
        for _ in 0..TIMES {
            ask(conduit.connect(&to).await.unwrap(), &Rng::new().bytes(50_000)).await;
        }
    };
    both(&two, server, client);
    two.end();
}

/// As many at a time as there are streams; the others wait for theirs.
#[test]
fn several_are_served_at_a_time() {
    let two = Two::new();
    let [at, to] = two.addresses("echo?streams=3&orders=12,11");
    let most = Rc::new(Cell::new((0, 0)));
    let counted = most.clone();
    let server = async move |rt: Rt, conduit: Rc<Peer>| {
        let listener = conduit.listen(&at).unwrap();
        let rt2 = rt.clone();
        let serve = move |stream: Result<_, _>| {
            let (counted, rt) = (counted.clone(), rt2.clone());
            async move {
                let (open, most) = counted.get();
                counted.set((open + 1, most.max(open + 1)));
                // Others come meanwhile.
                rt.sleep(std::time::Duration::from_millis(100)).await;
                echo(stream.unwrap()).await;
                let (open, most) = counted.get();
                counted.set((open - 1, most));
            }
        };
        let served = std::pin::pin!(listener.serve(&rt, 10, serve));
        // Until the client is done and a while has passed.
        rt.timeout(std::time::Duration::from_secs(20), served).await.unwrap_err();
    };
    let client = async move |rt: Rt, conduit: Rc<Peer>| {
        let streams: Vec<_> = (0..8)
            .map(|_| {
                let (conduit, to) = (conduit.clone(), to.clone());
                rt.spawn(async move {
                    ask(conduit.connect(&to).await.unwrap(), &Rng::new().bytes(20_000)).await;
                })
            })
            .collect();
        for stream in streams {
            stream.await.unwrap();
        }
    };
    both(&two, server, client);
    assert_eq!(most.get(), (0, 3));
    two.end();
}

/// Who listens no more takes its offer back, and what is open stays so.
#[test]
fn a_listener_goes_without_its_streams() {
    let two = Two::new();
    let [at, to] = two.addresses("echo?streams=2");
    let again = at.clone();
    let server = async move |rt: Rt, conduit: Rc<Peer>| {
        let listener = conduit.listen(&at).unwrap();
        let stream = listener.accept().await.unwrap();
        drop(listener);
        echo(stream).await;
        rt.sleep(std::time::Duration::from_secs(1)).await;
        // The places are free for another.
        let listener = conduit.listen(&again).unwrap();
        echo(listener.accept().await.unwrap()).await;
    };
    let client = async move |_: Rt, conduit: Rc<Peer>| {
        for _ in 0..2 {
            ask(conduit.connect(&to).await.unwrap(), b"hello").await;
        }
    };
    both(&two, server, client);
    two.end();
}

/// Peers are found by names that the toolstack fills in later; one that is created anew is found again.
#[test]
fn names_stand_for_domains() {
    let two = Two::new();
    let server = async move |_: Rt, conduit: Rc<Peer>| {
        let listener = conduit.listen(&"vchan://front/echo?streams=2".parse().unwrap()).unwrap();
        for _ in 0..2 {
            echo(listener.accept().await.unwrap()).await;
        }
    };
    let client = async move |_: Rt, conduit: Rc<Peer>| {
        for _ in 0..2 {
            let stream = conduit.connect(&"vchan://back/echo?streams=2".parse().unwrap()).await.unwrap();
            ask(stream, &Rng::new().bytes(5000)).await;
        }
    };
    let node = |of: &Guest, name: &str| format!("/local/domain/{}/data/peers/{name}", of.id());
    let write = |path: &str, value: &str, of: &Guest| {
        two.store.write(path, value);
        two.store.set_perms(path, &[&format!("n{}", of.id())]);
    };
    let (front, back) = (node(&two.server, "front"), node(&two.client, "back"));
    let (client_id, server_id) = (two.client.id().to_string(), two.server.id().to_string());
    // Nobody has this number; then nobody at all; then the client. One each second.
    let news = [
        (&front, "77", &two.server),
        (&front, "none", &two.server),
        (&front, &client_id, &two.server),
        (&back, &server_id, &two.client),
    ];
    let served = two.server.executor.rt().spawn(server(two.server.executor.rt(), two.server.conduit()));
    let asked = two.client.executor.rt().spawn(client(two.client.executor.rt(), two.client.conduit()));
    let told = Cell::new(0);
    two.run(|| {
        if let Some((path, value, of)) = news.get(told.get())
            && two.world.now_ns() > told.get() as u64 * 1_000_000_000
        {
            write(path, value, of);
            told.set(told.get() + 1);
        }
        served.is_finished() && asked.is_finished()
    });
    assert_eq!(told.get(), news.len());
    two.end();
}

/// What Xen refuses is asked for again, less and less often.
#[test]
fn what_is_refused_is_tried_again() {
    const REFUSALS: u32 = 10;
    let two = Two::new();
    let [at, to] = two.addresses("echo");
    for _ in 0..REFUSALS {
        let server = two.server.xen.platform().domain().id();
        two.world.fail(server, nr::EVENT_CHANNEL_OP, AllocUnbound::CMD, XenError::ENOSPC);
    }
    let server = async move |_: Rt, conduit: Rc<Peer>| {
        let listener = conduit.listen(&at).unwrap();
        echo(listener.accept().await.unwrap()).await;
    };
    let client = async move |_: Rt, conduit: Rc<Peer>| {
        ask(conduit.connect(&to).await.unwrap(), b"hello").await;
    };
    both(&two, server, client);
    // 0.1 s, 0.2 s and so on up to 20 s, twice.
    let took_s = two.world.now_ns() / 1_000_000_000;
    assert!((65..70).contains(&took_s), "{took_s}");
    two.end();
}

/// Who gives up while it is refused is not kept.
#[test]
fn a_listener_goes_while_it_is_refused() {
    let two = Two::new();
    let [at, _] = two.addresses("echo");
    for _ in 0..100 {
        let server = two.server.xen.platform().domain().id();
        two.world.fail(server, nr::EVENT_CHANNEL_OP, AllocUnbound::CMD, XenError::ENOSPC);
    }
    let server = async move |rt: Rt, conduit: Rc<Peer>| {
        let listener = conduit.listen(&at).unwrap();
        let waited = rt.timeout(std::time::Duration::from_secs(9), listener.accept()).await;
        assert!(waited.is_err());
    };
    both(&two, server, async |_: Rt, _: Rc<Peer>| {});
    two.end();
}

#[test]
fn what_is_no_service_is_refused() {
    let two = Two::new();
    for (text, word) in [
        ("0", "0"),
        ("/web", "/web"),
        ("a.b/web", "a.b/web"),
        ("70000/web", "70000/web"),
        ("0/", "0/"),
        ("0/a/b", "0/a/b"),
        ("0/web?streams=0", "streams=0"),
        ("0/web?streams=65", "streams=65"),
        ("0/web?other", "other"),
        ("0/web?orders=1,", "orders=1,"),
        ("0/web?streams=2&port=4", "streams=2"),
    ] {
        let error = two.server.vchans.listen(text).err().unwrap();
        assert_eq!(error, Error::Word(word.into()), "{text}");
    }
    let xen = two.server.xen.clone();
    let alone = Vchans::new(&two.server.executor.rt(), &xen, None);
    assert_eq!(alone.listen("0/web").err(), Some(Error::NoStore));
    two.end();
}

/// Not all that is a stream need be one of a conduit.
#[test]
fn streams_can_be_used_without_a_conduit() {
    let two = Two::new();
    let (client, server) = (two.client.vchans.clone(), two.server.vchans.clone());
    let (at, to) = (format!("{}/plain", two.client.id()), format!("{}/plain", two.server.id()));
    let server = async move |_: Rt, _: Rc<Peer>| {
        use fata_conduit::Accept;
        let listener = server.listen(&at).unwrap();
        let stream = listener.accept().await.unwrap();
        assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 3);
        stream.write(b"two").await.unwrap();
        assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0);
    };
    let client = async move |_: Rt, _: Rc<Peer>| {
        let stream = client.connect(&to).await.unwrap();
        stream.write(b"one").await.unwrap();
        assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 3);
    };
    both(&two, server, client);
    two.end();
}
