//! The PV console against the simulated xenconsoled.

use embedded_io_async::{Read, Write};
use fata_console::{Console, Error, Kind, PvConsole};
use fata_sim::{Rng, Setup, SimCpu, Tasks, World, Xenconsoled};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use xen_hyp::abi::{Op, hvm, nr};
use xen_hyp::{HvmParam, Port, SharedMem, Xen, XenError};

const SECOND_NS: u64 = 1_000_000_000;
const CONNECTION: usize = 3088;
const IN_PROD: usize = 3076;
const OUT_CONS: usize = 3080;
const RING: usize = 2048;

fn open(xen: &Rc<Xen<SimCpu>>) -> Console<SimCpu> {
    Console::Pv(PvConsole::open(xen).unwrap().expect("a console"))
}

/// A world with one guest, its console, and a daemon that runs.
fn running() -> (World, Rc<Xen<SimCpu>>, Console<SimCpu>, Rc<Xenconsoled>) {
    let world = World::new();
    let xen = world.guest();
    let daemon = Xenconsoled::start(&world, xen.platform().domain());
    let console = open(&xen);
    (world, xen, console, daemon)
}

async fn put(mut console: &Console<SimCpu>, bytes: &[u8]) -> Result<(), Error> {
    console.write_all(bytes).await
}

fn put_blocking(mut console: &Console<SimCpu>, bytes: &[u8]) -> Result<(), Error> {
    embedded_io::Write::write_all(&mut console, bytes)
}

/// Text whose bytes tell where they belong.
fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

fn echo_a_mebibyte(setup: Setup, buffer: usize, peer_chunks: bool) {
    let len = if cfg!(miri) { 3000 } else { 1 << 20 };
    let mut rng = Rng::new();
    let world = World::new();
    let xen = world.guest_with(setup);
    let daemon = Xenconsoled::start(&world, xen.platform().domain());
    if peer_chunks {
        daemon.chunk_randomly(rng.clone());
    }
    let console = Rc::new(open(&xen));
    let sent = rng.bytes(len);
    daemon.input(&sent);
    let mut tasks = Tasks::new(&world);
    // Either way.
    if peer_chunks {
        assert!(console.service_on_event());
    } else {
        tasks.each_turn(|| console.service());
    }
    tasks.spawn(async {
        let (mut input, mut output) = (&*console, &*console);
        let mut buffer = vec![0; buffer];
        let mut left = len;
        while left > 0 {
            let read = Read::read(&mut input, &mut buffer).await.unwrap();
            output.write_all(&buffer[..read]).await.unwrap();
            left -= read;
        }
        assert!(console.drain(std::future::pending()).await);
    });
    assert_eq!(tasks.run(), 0);
    assert_eq!(daemon.input_left(), 0);
    assert!(daemon.take_output() == sent, "bytes differ");
}

#[test]
fn a_mebibyte_is_echoed_without_loss() {
    echo_a_mebibyte(Setup::default(), 4096, false);
}

#[test]
fn a_mebibyte_is_echoed_without_loss_in_random_pieces_over_the_wrap_of_the_indices() {
    let setup = Setup { console_index: u32::MAX - 5000, ..Setup::default() };
    echo_a_mebibyte(setup, 77, true);
}

#[test]
fn output_kept_for_a_daemon_to_come_follows_at_its_first_event() {
    let world = World::new();
    let xen = world.guest();
    let daemon = Xenconsoled::new(&world, xen.platform().domain());
    let page = xen.platform().domain().console_page();
    page.write(CONNECTION, &1u8);
    let console = Rc::new(open(&xen));
    assert!(console.service_on_event());
    put_blocking(&console, b"early").unwrap();
    world.run_backends();
    assert_eq!(daemon.take_output(), b"");
    daemon.restart();
    while world.run_backends() | xen.demux() {}
    assert_eq!(daemon.take_output(), b"early");
    // The handler is no reason for it to stay.
    assert_eq!(Rc::strong_count(&console), 1);
}

#[test]
fn a_burst_of_writes_costs_few_notifications() {
    let (world, xen, console, daemon) = running();
    let mut tasks = Tasks::new(&world);
    tasks.each_turn(|| console.service());
    tasks.spawn(async {
        for i in 0..100 {
            console.write(&[i]).await.unwrap();
        }
        console.drain(std::future::pending()).await;
    });
    assert_eq!(tasks.run(), 0);
    assert_eq!(daemon.take_output(), (0..100).collect::<Vec<u8>>());
    // One for the first byte, one for those that came before the daemon's turn, and drain's own.
    assert!(xen.platform().domain().sends() <= 3, "{} notifications", xen.platform().domain().sends());
}

#[test]
fn a_full_ring_makes_writers_wait_and_a_restarted_daemon_gets_every_byte() {
    let (world, _xen, console, daemon) = running();
    let (one, two) = (text(10_000), text(5_000));
    let (done, got) = (Cell::new(0), RefCell::new(Vec::new()));
    let mut tasks = Tasks::new(&world);
    tasks.each_turn(|| console.service());
    tasks.spawn(async {
        put(&console, &one).await.unwrap();
        done.set(done.get() + 1);
        console.drain(std::future::pending()).await;
    });
    assert_eq!(tasks.run(), 0);
    assert_eq!(daemon.take_output(), one);
    daemon.stop();
    tasks.spawn(async {
        put(&console, &two).await.unwrap();
        done.set(done.get() + 1);
        console.drain(std::future::pending()).await;
    });
    assert_eq!(tasks.run(), 1);
    assert_eq!(done.get(), 1);
    daemon.input(b"typed while nobody served");
    for _ in 0..3 {
        daemon.restart();
        daemon.stop();
    }
    daemon.restart();
    tasks.spawn(async {
        let mut buffer = [0; 8];
        while got.borrow().len() < 25 {
            let read = console.read(&mut buffer).await.unwrap();
            got.borrow_mut().extend_from_slice(&buffer[..read]);
        }
    });
    assert_eq!(tasks.run(), 0);
    drop(tasks);
    assert_eq!(daemon.take_output(), two);
    assert_eq!(got.into_inner(), b"typed while nobody served");
    drop(console);
    world.assert_cleaned_up();
}

#[test]
fn a_daemon_stopped_again_and_again_in_the_middle_gets_every_byte() {
    let rng = RefCell::new(Rng::new());
    let (world, _xen, console, daemon) = running();
    daemon.chunk_randomly(rng.borrow().clone());
    let sent = text(if cfg!(miri) { 5_000 } else { 100_000 });
    let (up, stops) = (Cell::new(true), Cell::new(0));
    let mut tasks = Tasks::new(&world);
    tasks.each_turn(|| {
        console.service();
        if up.get() && rng.borrow_mut().within(0..4) == 0 {
            daemon.stop();
            up.set(false);
            stops.set(stops.get() + 1);
        }
    });
    tasks.spawn(async {
        put(&console, &sent).await.unwrap();
        console.drain(std::future::pending()).await;
    });
    // Each run ends when the daemon is down and the writer waits.
    while tasks.run() > 0 {
        daemon.restart();
        up.set(true);
    }
    assert!(stops.get() > 5);
    assert!(daemon.take_output() == sent, "bytes differ");
}

#[test]
fn with_nobody_connected_the_last_output_is_kept_for_who_comes() {
    let world = World::new();
    let xen = world.guest_with(Setup { connection: 1, ..Setup::default() });
    let console = open(&xen);
    let sent = text(50_000);
    let mut tasks = Tasks::new(&world);
    tasks.each_turn(|| console.service());
    tasks.spawn(async { put(&console, &sent).await.unwrap() });
    assert_eq!(tasks.run(), 0);
    let daemon = Xenconsoled::start(&world, xen.platform().domain());
    tasks.spawn(async {
        put(&console, b"and on").await.unwrap();
        console.drain(std::future::pending()).await;
    });
    assert_eq!(tasks.run(), 0);
    let got = String::from_utf8_lossy(&daemon.take_output()).into_owned().into_bytes();
    // The ring holds the beginning, then comes the notice, then the end.
    let notice = format!("[{} bytes of output lost", 50_000 - RING - 4096);
    assert!(got.windows(notice.len()).any(|w| w == notice.as_bytes()));
    assert!(got.ends_with(b"and on"));
}

#[test]
fn output_before_the_daemon_connects_is_whole_if_it_is_short() {
    let world = World::new();
    let xen = world.guest_with(Setup { connection: 1, ..Setup::default() });
    let console = open(&xen);
    put_blocking(&console, &text(6000)).unwrap();
    let daemon = Xenconsoled::start(&world, xen.platform().domain());
    assert!(console.drain_blocking(SECOND_NS));
    assert_eq!(daemon.take_output(), text(6000));
}

#[test]
fn a_domain_that_prints_and_ends_at_once_loses_nothing() {
    let (_world, _xen, console, daemon) = running();
    put_blocking(&console, &text(9000)).unwrap();
    assert!(console.drain_blocking(SECOND_NS));
    assert_eq!(daemon.take_output(), text(9000));
}

#[test]
fn draining_ends_at_its_deadline_when_nobody_reads() {
    let (world, xen, console, daemon) = running();
    daemon.stop();
    put_blocking(&console, b"unheard").unwrap();
    let before = world.now_ns();
    assert!(!console.drain_blocking(before + SECOND_NS));
    assert_eq!(world.now_ns(), before + SECOND_NS);
    let drained = Cell::new(true);
    let mut tasks = Tasks::new(&world);
    tasks.spawn(async { drained.set(console.drain(world.sleep(SECOND_NS)).await) });
    assert_eq!(tasks.run(), 0);
    assert!(!drained.get());
    assert_eq!(world.now_ns(), before + 2 * SECOND_NS);
    drop(xen);
}

#[test]
fn blocking_writes_give_up_once_and_not_again_until_something_moves() {
    let (world, _xen, console, daemon) = running();
    daemon.stop();
    put_blocking(&console, &text(RING)).unwrap();
    assert_eq!(put_blocking(&console, b"x"), Err(Error::Stalled));
    let gave_up = world.now_ns();
    assert_eq!(gave_up, SECOND_NS);
    assert_eq!(put_blocking(&console, b"y"), Err(Error::Stalled));
    assert_eq!(world.now_ns(), gave_up);
    daemon.restart();
    world.run_backends();
    put_blocking(&console, b"z").unwrap();
    assert!(console.drain_blocking(gave_up + SECOND_NS));
    assert_eq!(daemon.take_output().last(), Some(&b'z'));
}

#[test]
fn a_console_that_is_not_there_is_none() {
    let world = World::new();
    let xen = world.guest_with(Setup { console: false, ..Setup::default() });
    assert!(PvConsole::open(&xen).unwrap().is_none());
    let xen = world.guest();
    world.fail(xen.domid().unwrap(), nr::HVM_OP, hvm::GetParam::CMD, XenError::EINVAL);
    assert_eq!(PvConsole::open(&xen).unwrap_err(), Error::Xen(XenError::EINVAL));
    xen.platform().domain().set_param(HvmParam::ConsolePfn, 0x40000);
    assert_eq!(PvConsole::open(&xen).unwrap_err(), Error::BadFrame);
    xen.platform().domain().set_param(HvmParam::ConsoleEvtchn, u64::MAX - 1);
    assert_eq!(PvConsole::open(&xen).unwrap_err(), Error::Xen(XenError::EINVAL));
}

#[test]
fn a_late_console_is_waited_for_both_ways() {
    let world = World::new();
    let xen = world.guest_with(Setup { console_late: true, ..Setup::default() });
    let console = open(&xen);
    assert_eq!(console.kind(), Kind::Pv);
    let got = RefCell::new(Vec::new());
    let mut tasks = Tasks::new(&world);
    tasks.each_turn(|| console.service());
    tasks.spawn(async {
        put(&console, b"early").await.unwrap();
        console.drain(std::future::pending()).await;
    });
    tasks.spawn(async {
        let mut buffer = [0; 16];
        let read = console.read(&mut buffer).await.unwrap();
        got.borrow_mut().extend_from_slice(&buffer[..read]);
    });
    let domain = xen.platform().domain();
    // An event that does not bring it changes nothing.
    domain.raise(Port(domain.param(HvmParam::ConsoleEvtchn) as u32));
    assert_eq!(tasks.run(), 2);
    let daemon = Xenconsoled::start(&world, domain);
    daemon.input(b"hello");
    world.announce_console(domain);
    assert_eq!(tasks.run(), 0);
    drop(tasks);
    assert_eq!(daemon.take_output(), b"early");
    assert_eq!(got.into_inner(), b"hello");
}

#[test]
fn a_hostile_index_kills_the_console_and_nothing_else() {
    for (offset, in_the_way_of_reading) in [(IN_PROD, true), (OUT_CONS, false)] {
        let (world, xen, console, daemon) = running();
        let ended = Cell::new(0);
        let mut tasks = Tasks::new(&world);
        tasks.each_turn(|| console.service());
        tasks.spawn(async {
            let mut buffer = [0; 16];
            while console.read(&mut buffer).await.is_ok() {}
            ended.set(ended.get() + 1);
        });
        assert_eq!(tasks.run(), 1);
        xen.platform().domain().console_page().store(offset, 0x8000_0000);
        xen.platform().domain().raise(Port(xen.platform().domain().param(HvmParam::ConsoleEvtchn) as u32));
        assert_eq!(tasks.run(), 0, "reading: {in_the_way_of_reading}");
        drop(tasks);
        assert_eq!(ended.get(), 1);
        assert_eq!(put_blocking(&console, b"x"), Err(Error::Corrupt));
        assert!(console.drain_blocking(u64::MAX));
        // Making the index right again does not bring it back.
        xen.platform().domain().console_page().store(offset, 0);
        assert_eq!(put_blocking(&console, b"x"), Err(Error::Corrupt));
        assert!(daemon.take_output().is_empty());
    }
}

#[test]
fn random_nonsense_in_the_page_never_panics_or_hangs() {
    let mut rng = Rng::new();
    for _ in 0..if cfg!(miri) { 3 } else { 200 } {
        let (world, xen, console, daemon) = running();
        let page = xen.platform().domain().console_page();
        let port = Port(xen.platform().domain().param(HvmParam::ConsoleEvtchn) as u32);
        let mut tasks = Tasks::new(&world);
        tasks.each_turn(|| console.service());
        tasks.spawn(async {
            let mut buffer = [0; 100];
            while console.read(&mut buffer).await.is_ok() {}
        });
        tasks.spawn(async {
            while console.write(b"some output").await.is_ok() && world.now_ns() < SECOND_NS {
                world.sleep(SECOND_NS / 100).await;
            }
        });
        tasks.spawn(async {
            for _ in 0..20 {
                world.sleep(SECOND_NS / 10).await;
                match rng.within(0..4) {
                    0 => page.write(CONNECTION, &(rng.number() as u8)),
                    1 => page.store(3072 + 4 * rng.within(0..4), rng.number() as u32),
                    2 => page.store(3072 + 4 * rng.within(0..4), rng.within(0..4096) as u32),
                    _ => daemon.input(b"input"),
                }
                xen.platform().domain().raise(port);
            }
        });
        // Who waits for a peer that does nothing more may wait; nobody else does.
        assert!(tasks.run() <= 2);
    }
}
