//! Two guests with memory and an event channel that they were given before they started.

use fata_sim::{Page, Rng, SimCpu, Tasks, World};
use fata_vchan::{Error, StaticPlace, StaticVchan, meet};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use xen_hyp::{PAGE_SIZE, Port, SharedMem, Xen, XenError};

const AT: u64 = 0x3400_0000;

/// Fields of a block, as docs/src/protocols.md has them.
const LIFE: usize = 4;
const LIVE: usize = 16;
const PROD: usize = 20;
const CONS: usize = 24;
const BLOCKS: [usize; 2] = [0, 512];

struct Pair {
    world: World,
    memory: Rc<Page>,
    server: Rc<Xen<SimCpu>>,
    client: Rc<Xen<SimCpu>>,
    ports: [Port; 2],
}

impl Pair {
    fn new(pages: usize) -> Self {
        let world = World::new();
        let memory = world.spare_memory(pages);
        let (server, client) = (world.guest(), world.guest());
        let (a, b) = (server.platform().domain(), client.platform().domain());
        let (a_port, b_port) = world.static_event_channel(a, b);
        a.pass(AT, &memory);
        b.pass(AT + 0x1000_0000, &memory);
        Self { world: world.clone(), memory, server, client, ports: [a_port, b_port] }
    }

    /// What was there before power came.
    fn with_garbage(self, rng: &mut Rng) -> Self {
        self.memory.copy_out(0, &rng.bytes(self.memory.size()));
        self
    }

    fn server_place(&self) -> StaticPlace {
        StaticPlace { at: AT, size: self.memory.size(), port: self.ports[0], serve: true }
    }

    fn client_place(&self) -> StaticPlace {
        StaticPlace { at: AT + 0x1000_0000, port: self.ports[1], serve: false, ..self.server_place() }
    }

    async fn serve(&self) -> StaticVchan<SimCpu> {
        meet(&self.server, &self.server_place()).await.unwrap()
    }

    async fn join(&self) -> StaticVchan<SimCpu> {
        meet(&self.client, &self.client_place()).await.unwrap()
    }
}

fn byte(at: usize, salt: usize) -> u8 {
    ((at + salt).wrapping_mul(0x9e37_79b9) >> 13) as u8
}

async fn write_stream(vchan: &StaticVchan<SimCpu>, bytes: usize, salt: usize, rng: &RefCell<Rng>) {
    let mut at = 0;
    while at < bytes {
        let len = rng.borrow_mut().within(1..9000).min(bytes - at);
        let chunk: Vec<u8> = (at..at + len).map(|at| byte(at, salt)).collect();
        at += vchan.write(&chunk).await.unwrap();
    }
}

async fn read_stream(vchan: &StaticVchan<SimCpu>, bytes: usize, salt: usize, rng: &RefCell<Rng>) {
    let mut at = 0;
    while at < bytes {
        let len = rng.borrow_mut().within(1..9000).min(bytes - at);
        let mut chunk = vec![0; len];
        let read = vchan.read(&mut chunk).await.unwrap();
        assert!(read > 0, "the stream ended at {at}");
        for read in &chunk[..read] {
            assert_eq!(*read, byte(at, salt), "at {at}");
            at += 1;
        }
    }
}

async fn both(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut a_done, mut b_done) = (false, false);
    poll_fn(|cx| {
        a_done = a_done || a.as_mut().poll(cx).is_ready();
        b_done = b_done || b.as_mut().poll(cx).is_ready();
        if a_done && b_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[test]
fn a_mebibyte_passes_both_ways_at_once_through_memory_of_any_size() {
    const BYTES: usize = 1 << 20;
    let rng = RefCell::new(Rng::new());
    for pages in [1, 2, 3, 16, 33] {
        let pair = Pair::new(pages).with_garbage(&mut rng.borrow_mut());
        let end = async |vchan: StaticVchan<SimCpu>, mine: usize, theirs: usize| {
            both(write_stream(&vchan, BYTES, mine, &rng), read_stream(&vchan, BYTES, theirs, &rng)).await;
            // Whoever is done first does not take from the other what it has not read.
            vchan.finish();
            assert_eq!(vchan.read(&mut [0; 8]).await, Ok(0));
            assert_eq!(vchan.write(&[0; 8]).await, Err(Error::Closed));
        };
        let mut tasks = Tasks::new(&pair.world);
        tasks.spawn(async { end(pair.serve().await, 1, 2).await });
        tasks.spawn(async { end(pair.join().await, 2, 1).await });
        assert_eq!(tasks.run(), 0, "somebody waits for ever");
        drop(tasks);
        pair.world.assert_cleaned_up();
    }
}

#[test]
fn they_meet_whoever_is_first_and_whatever_was_there() {
    let mut rng = Rng::new();
    for round in 0..200 {
        let pair = Pair::new(1).with_garbage(&mut rng);
        // Remains of a vchan that was open when the power went: each end talked to the other, and had moved on.
        if round % 2 == 0 {
            let lives = [rng.number() as u32 | 1, rng.number() as u32 | 1];
            for (n, at) in BLOCKS.into_iter().enumerate() {
                // The ends' next lives, which the other seems to talk to already.
                let with = lives[1 - n].wrapping_add(if round % 4 == 0 { 2 } else { 0 });
                let words = [u32::from_le_bytes(*b"FVC1"), lives[n], with, 10, 1, 700, 300, 1, 0];
                for (field, word) in words.into_iter().enumerate() {
                    pair.memory.store(at + 4 * field, word);
                }
            }
        }
        let serve = async {
            let vchan = pair.serve().await;
            vchan.send(b"hello").await.unwrap();
            let mut answer = [0; 5];
            vchan.recv(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HELLO");
        };
        let join = async {
            let vchan = pair.join().await;
            let mut asked = [0; 5];
            vchan.recv(&mut asked).await.unwrap();
            vchan.send(&asked.to_ascii_uppercase()).await.unwrap();
            assert_eq!(vchan.read(&mut asked).await, Ok(0));
        };
        let mut tasks = Tasks::new(&pair.world);
        if rng.number().is_multiple_of(2) {
            tasks.spawn(serve);
            assert_eq!(tasks.run(), 1, "it believed what was there");
            tasks.spawn(join);
        } else {
            tasks.spawn(join);
            assert_eq!(tasks.run(), 1, "it believed what was there");
            tasks.spawn(serve);
        }
        assert_eq!(tasks.run(), 0, "somebody waits for ever");
    }
}

/// Runs the tasks of lives of their own until all rest; gives how many are left of each.
fn run<const N: usize>(mut lives: [&mut Tasks<'_>; N]) -> [usize; N] {
    let mut left = lives.each_mut().map(|tasks| tasks.run());
    // What one does wakes the others.
    for _ in 0..100 {
        left = lives.each_mut().map(|tasks| tasks.run());
    }
    left
}

#[test]
fn an_end_that_starts_anew_without_a_word_ends_the_stream_and_finds_the_other_again() {
    let mut rng = Rng::new();
    for round in 0..40 {
        let mut pair = Pair::new(1).with_garbage(&mut rng);
        let (len, server_crashes) = (rng.within(1..2000), round % 2 == 0);
        let met = Cell::new(0);
        // Kept until all is over, since a life that is dropped says that it has closed.
        let before = Pair {
            world: pair.world.clone(),
            memory: pair.memory.clone(),
            server: pair.server.clone(),
            client: pair.client.clone(),
            ports: pair.ports,
        };
        let mut crashes = Tasks::new(&pair.world);
        crashes.spawn(async {
            let vchan = if server_crashes { before.serve().await } else { before.join().await };
            vchan.write(&vec![0xee; len]).await.unwrap();
            std::future::pending().await
        });
        let stays = async |pair: &Pair| {
            let meets = || async { if server_crashes { pair.join().await } else { pair.serve().await } };
            let vchan = meets().await;
            met.set(1);
            // Some of what came it has not read.
            if len > 100 {
                vchan.recv(&mut [0; 100]).await.unwrap();
            } else {
                let mut all = vec![0; len];
                vchan.recv(&mut all).await.unwrap();
            }
            assert_eq!(vchan.ended().await, Error::Gone);
            // What it had looked at it may still read, and nothing that came later.
            let mut rest = [0; 10];
            while let Ok(read) = vchan.read(&mut rest).await {
                assert!(read > 0 && rest[..read].iter().all(|&byte| byte == 0xee));
            }
            assert_eq!(vchan.read(&mut rest).await, Err(Error::Gone));
            assert_eq!(vchan.write(&[0; 10]).await, Err(Error::Gone));
            assert!(!vchan.is_open());
            drop(vchan);
            let vchan = meets().await;
            let mut told = [0; 3];
            vchan.recv(&mut told).await.unwrap();
            assert_eq!(&told, b"new", "bytes of a life before");
            assert_eq!(vchan.read(&mut told).await, Ok(0));
            met.set(2);
        };
        let mut stay = Tasks::new(&before.world);
        stay.spawn(stays(&before));
        assert_eq!(run([&mut crashes, &mut stay]), [1, 1]);
        assert_eq!(met.get(), 1);
        if server_crashes {
            pair.server = pair.world.start_anew(pair.server.platform().domain());
        } else {
            pair.client = pair.world.start_anew(pair.client.platform().domain());
        }
        let mut again = Tasks::new(&pair.world);
        again.spawn(async {
            let vchan = if server_crashes { pair.serve().await } else { pair.join().await };
            vchan.send(b"new").await.unwrap();
        });
        assert_eq!(run([&mut again, &mut stay]), [0, 0], "they do not find each other again");
        assert_eq!(met.get(), 2);
    }
}

#[test]
fn an_end_that_closes_is_read_to_its_end_and_can_be_opened_again() {
    let pair = Pair::new(1);
    let rounds = Cell::new(0);
    let mut tasks = Tasks::new(&pair.world);
    tasks.spawn(async {
        for round in 0..20u8 {
            let vchan = pair.serve().await;
            vchan.send(&[round; 9]).await.unwrap();
            vchan.finish();
            // The other end has read it all when it closes.
            assert_eq!(vchan.ended().await, if round % 3 == 0 { Error::Gone } else { Error::Closed });
        }
    });
    tasks.spawn(async {
        for round in 0..20u8 {
            let vchan = pair.join().await;
            let mut told = [0; 9];
            vchan.recv(&mut told).await.unwrap();
            assert_eq!(told, [round; 9]);
            assert_eq!(vchan.recv(&mut [0; 1]).await, Err(Error::Closed));
            assert_eq!(vchan.read(&mut told).await, Ok(0));
            drop(vchan);
            if round % 3 != 0 {
                // Somebody else has a turn, and sees that we have closed before we come again.
                pair.world.sleep(1).await;
            }
            rounds.set(rounds.get() + 1);
        }
    });
    assert_eq!(tasks.run(), 0);
    assert_eq!(rounds.get(), 20);
    drop(tasks);
    pair.world.assert_cleaned_up();
}

#[test]
fn an_end_that_gives_up_waiting_is_not_taken_for_one_that_is_there() {
    let pair = Pair::new(1);
    let joined = Cell::new(false);
    let mut tasks = Tasks::new(&pair.world);
    {
        let mut waits = Tasks::new(&pair.world);
        waits.spawn(async {
            pair.serve().await;
        });
        assert_eq!(waits.run(), 1);
    }
    tasks.spawn(async {
        let vchan = pair.join().await;
        joined.set(true);
        vchan.send(b"hello").await.unwrap();
    });
    assert_eq!(tasks.run(), 1);
    assert!(!joined.get());
    tasks.spawn(async {
        let vchan = pair.serve().await;
        let mut told = [0; 5];
        vchan.recv(&mut told).await.unwrap();
        assert_eq!(&told, b"hello");
    });
    assert_eq!(tasks.run(), 0);
}

#[test]
fn a_domain_that_is_destroyed_is_gone() {
    let pair = Pair::new(1);
    let probed = RefCell::new(Vec::new());
    let mut tasks = Tasks::new(&pair.world);
    let mut doomed = Tasks::new(&pair.world);
    tasks.spawn(async {
        let vchan = pair.serve().await;
        probed.borrow_mut().push(vchan.probe());
        vchan.send(b"die").await.unwrap();
        assert_eq!(vchan.read(&mut [0; 4]).await, Ok(2));
        probed.borrow_mut().push(vchan.probe());
        assert_eq!(vchan.read(&mut [0]).await, Err(Error::Gone));
    });
    doomed.spawn(async {
        let vchan = pair.join().await;
        vchan.recv(&mut [0; 3]).await.unwrap();
        pair.world.destroy(pair.client.platform().domain());
        // Its last word, and an event that came before.
        pair.memory.store(BLOCKS[1] + PROD, 2);
        pair.server.platform().domain().raise(pair.ports[0]);
        let _kept = vchan;
        std::future::pending().await
    });
    assert_eq!(run([&mut doomed, &mut tasks]), [1, 0]);
    assert_eq!(*probed.borrow(), [true, false]);
}

#[test]
fn what_is_not_there_is_said() {
    let pair = Pair::new(2);
    let mut tasks = Tasks::new(&pair.world);
    tasks.spawn(async {
        let place = pair.server_place();
        for place in [
            StaticPlace { at: AT + 1, ..place },
            StaticPlace { at: AT + 0x1000, ..place },
            StaticPlace { size: 3 * PAGE_SIZE, ..place },
            StaticPlace { size: PAGE_SIZE + 1, ..place },
            StaticPlace { size: 0, ..place },
        ] {
            assert_eq!(meet(&pair.server, &place).await.unwrap_err(), Error::NoPlace, "{place:?}");
        }
        let place = StaticPlace { port: Port(77), ..place };
        assert_eq!(meet(&pair.server, &place).await.unwrap_err(), Error::Xen(XenError::ENOENT));
    });
    assert_eq!(tasks.run(), 0);
    // Rings of another size, since the other end was told of less memory.
    tasks.spawn(async {
        let place = StaticPlace { size: PAGE_SIZE, ..pair.client_place() };
        let error = meet(&pair.client, &place).await.unwrap_err();
        assert_eq!(error.to_string(), "we were told rings of orders 10 and 10, the other end has 11 and 11");
    });
    tasks.spawn(async {
        let error = meet(&pair.server, &pair.server_place()).await.unwrap_err();
        assert!(matches!(error, Error::Disagree(..)), "{error:?}");
    });
    assert_eq!(tasks.run(), 0);
    drop(tasks);
    pair.world.assert_cleaned_up();
}

/// One end is honest; at the other there is somebody who writes what he likes, where he likes, and rings.
#[test]
fn a_peer_that_writes_what_it_likes_gets_an_error_at_most() {
    let mut rng = Rng::new();
    let mut ends = [0; 3];
    for round in 0..400 {
        let pair = Pair::new(1).with_garbage(&mut rng);
        let met = Cell::new(false);
        let ended = Cell::new(None);
        let honest = async {
            let vchan = pair.serve().await;
            met.set(true);
            let mut some = [0; 300];
            let result = loop {
                if let Err(error) = vchan.write(&some).await {
                    break error;
                }
                match vchan.read(&mut some).await {
                    Ok(0) => break Error::Closed,
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            ended.set(Some(result));
        };
        let mut tasks = Tasks::new(&pair.world);
        tasks.spawn(honest);
        tasks.run();
        let put = |at: usize, value: u32| pair.memory.store(at, value);
        let ring = || pair.server.platform().domain().raise(pair.ports[0]);
        // It gets so far as to be believed.
        let life = rng.number() as u32 | 1;
        let words = [u32::from_le_bytes(*b"FVC1"), life, pair.memory.load(LIFE), 10, 1, 0, 0, 1, 0];
        for (field, word) in words.into_iter().enumerate() {
            put(BLOCKS[1] + 4 * field, word);
        }
        ring();
        tasks.run();
        assert!(met.get());
        for _ in 0..200 {
            if ended.get().is_some() {
                break;
            }
            let near = |rng: &mut Rng| rng.within(0..2000) as u32;
            match rng.within(0..8) {
                0 => put(BLOCKS[1] + PROD, near(&mut rng)),
                1 => put(BLOCKS[1] + CONS, near(&mut rng)),
                2 => put(rng.within(0..256) * 4, rng.number() as u32),
                3 => put(BLOCKS[1] + 28 + 4 * rng.within(0..2), rng.number() as u32),
                4 => put(BLOCKS[1] + rng.within(5..9) * 4, rng.number() as u32),
                5 if round % 4 == 0 => put(BLOCKS[1] + LIVE, near(&mut rng) % 4),
                6 if round % 4 == 1 => put(BLOCKS[1] + LIFE, life.wrapping_add(2)),
                // An honest step: what there is was read, and as much was written.
                _ => {
                    put(BLOCKS[1] + CONS, pair.memory.load(PROD));
                    put(BLOCKS[1] + PROD, pair.memory.load(CONS).wrapping_add(rng.within(0..1025) as u32));
                }
            }
            ring();
            tasks.run();
        }
        match ended.get() {
            Some(Error::Corrupt) => ends[0] += 1,
            Some(Error::Gone) => ends[1] += 1,
            Some(Error::Closed) => ends[2] += 1,
            Some(error) => panic!("{error:?}"),
            None => {}
        }
        drop(tasks);
        pair.world.assert_cleaned_up();
    }
    assert!(ends.iter().all(|&count| count > 0), "{ends:?}");
}
