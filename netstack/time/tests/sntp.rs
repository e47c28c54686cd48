//! Time servers that mean well, and others, over a wire.
#![forbid(unsafe_code)]

use fata_link::{Parked, wire};
use fata_netstack::{Config, IpEndpoint, Random, Stack, udp};
use fata_rt::{Machine, Rt};
use fata_time::packet::{LEN, Refused};
use fata_time::sntp::{self, Error};
use fata_time::{Clock, Told, Unknown};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

const S: u64 = 1_000_000_000;
/// What it was when the clock of the test stood at zero: 2026-11-25 12:00.
const EPOCH_NS: u64 = 1_795_608_000 * S;

struct TestClock(Cell<u64>);

impl Machine for TestClock {
    fn demux(&self) {}
    fn idle(&self, deadline_ns: Option<u64>) {
        self.0.set(deadline_ns.expect("everybody waits and nothing will happen").max(self.0.get()));
    }
    fn now_ns(&self) -> u64 {
        self.0.get()
    }
}

/// What a server does with a question.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// Answers, this many seconds off, after so many milliseconds on the way back.
    Tells(i64, u64),
    Silent,
    Kiss([u8; 4]),
    /// All of stratum 16.
    Lost,
    /// Answers what nobody asked, in many ways, before it tells.
    Noisy,
    /// Answers as it should, but with another nonce.
    Guesses,
    /// Answers as it should, but from another port.
    Elsewhere,
    /// Says that it had the question for longer than it did.
    Brags,
}

struct Server {
    manner: Cell<Manner>,
    /// When questions came, from which port, and their nonces.
    asked: RefCell<Vec<(u64, u16, u64)>>,
}

fn stamp(since_1970_ns: i128) -> [u8; 8] {
    let ns = since_1970_ns + 2_208_988_800 * i128::from(S);
    let fraction = ((ns % i128::from(S)) << 32) / i128::from(S);
    (((ns / i128::from(S)) as u64) << 32 | fraction as u64).to_be_bytes()
}

async fn serve(rt: Rt, stack: Stack, port: u16, server: Rc<Server>) {
    let socket = stack.udp(port, udp::Options::default()).unwrap();
    let other = stack.udp(0, udp::Options::default()).unwrap();
    loop {
        let (question, from) = socket.receive_with(|bytes, from| (bytes.to_vec(), from.endpoint)).await;
        let now_ns = rt.now_ns();
        assert_eq!((question.len(), question[0] & 7), (LEN, 3));
        let nonce: [u8; 8] = question[40..].try_into().unwrap();
        server.asked.borrow_mut().push((now_ns, from.port, u64::from_be_bytes(nonce)));
        let (seconds, late_ms) = match server.manner.get() {
            Manner::Silent => continue,
            Manner::Tells(seconds, late_ms) => (seconds, late_ms),
            _ => (0, 0),
        };
        let truth = i128::from(EPOCH_NS + now_ns) + i128::from(seconds) * i128::from(S);
        let mut answer = [0; LEN];
        (answer[0], answer[1]) = (4 << 3 | 4, 2);
        answer[24..32].copy_from_slice(&nonce);
        answer[32..40].copy_from_slice(&stamp(truth));
        answer[40..].copy_from_slice(&stamp(truth));
        match server.manner.get() {
            Manner::Kiss(code) => {
                answer[1] = 0;
                answer[12..16].copy_from_slice(&code);
            }
            Manner::Lost => answer[1] = 16,
            Manner::Noisy => {
                for n in 0..3000u32 {
                    let mut noise = answer;
                    noise[n as usize % 32] ^= 1 << (n % 8);
                    noise[24] ^= 1;
                    let len = if n % 3 == 0 { n as usize % LEN } else { LEN };
                    socket.send(&noise[..len], from).await.unwrap();
                    if n % 16 == 0 {
                        rt.sleep(Duration::from_millis(1)).await;
                    }
                }
            }
            Manner::Guesses => answer[31] ^= 1,
            Manner::Elsewhere => {
                other.send(&answer, from).await.unwrap();
                continue;
            }
            Manner::Brags => answer[32..40].copy_from_slice(&stamp(truth - i128::from(S))),
            _ => {}
        }
        rt.sleep(Duration::from_millis(late_ms)).await;
        socket.send(&answer, from).await.unwrap();
    }
}

/// What a test has: a stack that asks, and servers of these manners.
struct Test {
    rt: Rt,
    stack: Stack,
    random: Random,
    servers: Vec<Rc<Server>>,
    endpoints: Vec<IpEndpoint>,
    clock: Clock,
    /// What Xen knows.
    xen: Rc<Cell<Option<Duration>>>,
}

fn run(manners: &[Manner], test: impl AsyncFnOnce(&Test)) {
    let machine = Rc::new(TestClock(Cell::new(7 * S)));
    fata_rt::run(&machine, async |rt| {
        let (near, far, _) = wire::pair(wire::Options::default());
        let start = |link, address: &str, seed| {
            let mut config = Config::default();
            assert!(config.word("ip", address).unwrap() && config.word("ip6", "off").unwrap());
            Stack::start(&rt, Parked::new(link), config, &Random::known(seed))
        };
        let (stack, there) = (start(near, "10.0.0.1/24", 1), start(far, "10.0.0.2/24", 2));
        let (mut servers, mut endpoints) = (Vec::new(), Vec::new());
        for (port, manner) in (123..).zip(manners) {
            let server = Rc::new(Server { manner: Cell::new(*manner), asked: RefCell::default() });
            drop(rt.spawn(serve(rt.clone(), there.clone(), port, server.clone())));
            servers.push(server);
            endpoints.push(IpEndpoint::new("10.0.0.2".parse().unwrap(), port));
        }
        let xen = Rc::new(Cell::new(None));
        let says = xen.clone();
        let clock = Clock::new(&rt, move || says.get());
        let random = Random::known(3);
        test(&Test { rt: rt.clone(), stack, random, servers, endpoints, clock, xen }).await;
    });
}

impl Test {
    async fn set(&self) -> sntp::Outcome {
        sntp::set(&self.stack, &self.random, &self.endpoints, &self.clock).await
    }

    /// How far the clock is from the truth.
    fn wrong_ns(&self) -> u64 {
        let now = self.clock.now().unwrap().as_nanos() as u64;
        now.abs_diff(EPOCH_NS + self.rt.now_ns())
    }
}

#[test]
fn xen_is_believed_until_a_server_knows_better() {
    run(&[Manner::Tells(0, 100)], async |test| {
        assert_eq!((test.clock.now(), test.clock.told()), (Err(Unknown), None));
        test.xen.set(Some(Duration::from_nanos(EPOCH_NS - 5 * S)));
        assert_eq!(
            (test.clock.now().unwrap().as_nanos() as u64, test.clock.told()),
            (EPOCH_NS - 5 * S, Some(Told::Xen))
        );
        let before_ns = test.rt.now_ns();
        let (answer, step) = test.set().await.unwrap();
        // Half of the way that only the answer took long for.
        assert!(test.wrong_ns() <= answer.error_ns && answer.error_ns >= 50_000_000, "{answer:?}");
        // Xen's had stood still for as long as the answer took.
        let expected = 5 * S + test.rt.now_ns();
        assert!((step.unwrap() as u64).abs_diff(expected) <= answer.error_ns);
        assert!(test.rt.now_ns() - before_ns < S, "the other clock goes on as it did");
        assert_eq!(test.clock.told(), Some(Told::Server { error: Duration::from_nanos(answer.error_ns) }));
        // And it goes on by itself.
        test.rt.sleep(Duration::from_secs(1000)).await;
        assert!(test.wrong_ns() <= answer.error_ns);
    });
}

#[test]
fn nobody_else_can_answer_and_noise_does_not_matter() {
    for manner in [Manner::Guesses, Manner::Elsewhere] {
        run(&[manner], async |test| {
            assert_eq!(test.set().await.unwrap_err(), Error::Silent, "{manner:?}");
            assert_eq!(test.clock.now(), Err(Unknown));
        });
    }
    run(&[Manner::Noisy], async |test| {
        let (answer, _) = test.set().await.unwrap();
        assert!(test.wrong_ns() <= answer.error_ns);
    });
}

#[test]
fn bad_answers_have_their_names() {
    for (manner, error) in [
        (Manner::Silent, Error::Silent),
        (Manner::Lost, Error::Refused(Refused::Unsynchronised)),
        (Manner::Kiss(*b"DENY"), Error::Refused(Refused::Denied)),
        (Manner::Kiss(*b"RATE"), Error::Refused(Refused::TooOften)),
        (Manner::Kiss(*b"STEP"), Error::Refused(Refused::Kiss(*b"STEP"))),
        (Manner::Brags, Error::Refused(Refused::Absurd)),
        (Manner::Tells(0, 2500), Error::Refused(Refused::Late)),
        (Manner::Tells(0, 5000), Error::Silent),
    ] {
        run(&[manner], async |test| {
            assert_eq!(test.set().await.unwrap_err(), error, "{manner:?}");
            assert_eq!(test.clock.now(), Err(Unknown));
        });
    }
    run(&[], async |test| assert_eq!(test.set().await.unwrap_err(), Error::Nobody));
}

#[test]
fn a_liar_is_outvoted_and_two_opinions_are_none() {
    let liar = Manner::Tells(86_400, 0);
    run(&[Manner::Tells(0, 1), liar, Manner::Tells(0, 20)], async |test| {
        test.set().await.unwrap();
        assert!(test.wrong_ns() < 20_000_000);
    });
    run(&[Manner::Tells(0, 1), liar], async |test| {
        assert_eq!(test.set().await.unwrap_err(), Error::Disagree);
        assert_eq!(test.clock.now(), Err(Unknown));
    });
    // Who says nothing has no vote.
    run(&[Manner::Silent, Manner::Tells(0, 1), Manner::Lost], async |test| {
        test.set().await.unwrap();
        assert!(test.wrong_ns() < S);
    });
}

#[test]
fn every_question_is_another() {
    run(&[Manner::Tells(0, 0)], async |test| {
        for _ in 0..100 {
            test.set().await.unwrap();
        }
        let asked = test.servers[0].asked.borrow();
        let nonces: HashSet<_> = asked.iter().map(|asked| asked.2).collect();
        let ports: HashSet<_> = asked.iter().map(|asked| asked.1).collect();
        assert!(nonces.len() == 100 && ports.len() > 90);
    });
}

/// Keeps a clock for a day; `change` is called after an hour. Gives what came of it, and the times between questions.
fn keep(manners: &[Manner], change: impl Fn(&[Rc<Server>])) -> (Vec<sntp::Outcome>, Vec<Vec<u64>>) {
    let kept = RefCell::default();
    let mut gaps = Vec::new();
    run(manners, async |test| {
        let told = RefCell::new(Vec::new());
        let keeping = sntp::keep(&test.stack, &test.random, &test.endpoints, &test.clock, |outcome| {
            if outcome.is_ok() {
                assert!(test.wrong_ns() < S, "it was set to a lie");
            }
            told.borrow_mut().push(outcome);
        });
        let mut keeping = Box::pin(keeping);
        if test.rt.timeout(Duration::from_secs(3600), &mut keeping).await.is_err() {
            change(&test.servers);
            let _ = test.rt.timeout(Duration::from_secs(23 * 3600), &mut keeping).await;
        }
        drop(keeping);
        for server in &test.servers {
            let asked = server.asked.borrow();
            gaps.push(asked.windows(2).map(|pair| (pair[1].0 - pair[0].0) / S).collect());
        }
        kept.replace(told.into_inner());
    });
    (kept.into_inner(), gaps)
}

#[test]
fn a_clock_is_kept_without_being_a_burden() {
    let (told, gaps) = keep(&[Manner::Tells(0, 3)], |_| ());
    assert!(told.iter().all(Result::is_ok) && (80..90).contains(&told.len()), "{}", told.len());
    assert!(gaps[0].iter().all(|gap| *gap >= 1024));
}

#[test]
fn who_does_not_answer_is_asked_less_and_less() {
    let (told, gaps) = keep(&[Manner::Silent], |_| ());
    assert!(told.iter().all(|told| *told == Err(Error::Silent)));
    assert!(gaps[0][0] >= 15 && gaps[0].is_sorted() && gaps[0].len() < 16, "{gaps:?}");
    let (told, gaps) = keep(&[Manner::Tells(0, 0)], |servers| servers[0].manner.set(Manner::Kiss(*b"RATE")));
    assert!(told.last().unwrap().is_err() && gaps[0].last() >= Some(&(4 * 1024)), "{gaps:?}");
    // It comes back.
    let (told, _) = keep(&[Manner::Silent], |servers| servers[0].manner.set(Manner::Tells(0, 0)));
    assert!(told.last().unwrap().is_ok());
}

#[test]
fn who_denies_is_never_asked_again() {
    let (told, gaps) = keep(&[Manner::Kiss(*b"DENY")], |_| ());
    assert_eq!((told.len(), gaps[0].len()), (1, 0));
    let (told, gaps) = keep(&[Manner::Kiss(*b"RSTR"), Manner::Tells(0, 0)], |_| ());
    assert!(gaps[0].is_empty() && gaps[1].len() > 80 && told.iter().all(Result::is_ok));
}

#[test]
fn a_liar_gains_nothing_by_being_the_only_one_to_answer() {
    let liar = Manner::Tells(3600, 0);
    let (told, _) = keep(&[Manner::Tells(0, 1), Manner::Tells(0, 2), liar], |servers| {
        servers[..2].iter().for_each(|server| server.manner.set(Manner::Silent));
    });
    // What the others said an hour ago still counts, and the closure has seen that the clock is right.
    assert!(told.iter().filter(|told| told.is_ok()).count() > 20);
}
