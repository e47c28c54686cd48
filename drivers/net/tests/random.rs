//! Everything at once: two guests at a switch, any features and orders, frames of all kinds both ways, and backends that go
//! away, come back as others, or break the protocol. Nothing is spoilt, nothing is lost for good, nothing is left.

mod common;

use common::packets::{raw, tcp, udp};
use common::{Machine, receive, send_cut};
use fata_link::Link;
use fata_net::{Options, Phy, State};
use fata_sim::{Frame, NetFeatures, Order, Rng, Setup, SimCpu, Switch, Tasks, Way, World, Xenstored};
use std::cell::{Cell, RefCell};
use std::task::Poll;
use xen_hyp::SharedMem;

const ROUNDS: usize = if cfg!(miri) { 1 } else { 12 };
/// Frames that each sends.
const FRAMES: u16 = 160;

/// What the `n`th frame carries.
fn content(n: u16, length: usize) -> Vec<u8> {
    (0..length).map(|at| byte(n, at)).collect()
}

fn byte(n: u16, at: usize) -> u8 {
    ((at as u32).wrapping_mul(2_654_435_761) >> 11) as u8 ^ n as u8
}

/// The `n`th frame, how it is to be cut, and how long its data is.
fn frame(n: u16) -> (Frame, u16) {
    let n_ = usize::from(n);
    match n % 8 {
        0 => (tcp(4, [n, 9], &content(n, 20 + n_)), 0),
        1 => (tcp(6, [n, 9], &content(n, 20 + n_)), 0),
        2 => (udp(4, [n, 9], &content(n, 1400 - n_)), 0),
        3 => (udp(6, [n, 9], &content(n, n_)), 0),
        4 => (tcp(4, [n, 9], &content(n, 2000 + n_ * 200)), 1400),
        5 => (tcp(6, [n, 9], &content(n, 2000 + n_ * 100)), 1300),
        6 => (tcp(4, [n, 9], &content(n, 20_000)), 536),
        _ => (raw(60 + n_, n_), 0),
    }
}

/// Fails unless these bytes are a frame, or a segment of one, that was sent.
fn check(bytes: &[u8]) {
    let found = Frame::new(bytes);
    let Some(headers) = found.headers() else {
        let n = bytes.len() - 60;
        assert!(bytes[12..] == raw(60 + n, n).bytes[12..], "spoilt: {found:?}");
        return;
    };
    let number = |at: usize| u32::from_be_bytes(*bytes[at..].first_chunk().unwrap());
    let n = (number(headers.transport) >> 16) as u16;
    let is_tcp = headers.protocol == 6;
    let at = if is_tcp { number(headers.transport + 4) as usize - 100 } else { 0 };
    let data = &bytes[headers.data..headers.end];
    assert!(data.iter().zip(at..).all(|(&found, at)| found == byte(n, at)), "spoilt: {found:?}");
    let length = found_length(n);
    assert!(at + data.len() <= length && (is_tcp || data.len() == length), "{at} {} {length}", data.len());
}

fn found_length(n: u16) -> usize {
    common::packets::payload(&frame(n).0).len()
}

/// A random choice of everything that two ends agree on.
fn setup(rng: &mut Rng, last: u8) -> (Options, NetFeatures) {
    let mut is = || rng.within(0..4) > 0;
    let options = Options {
        queues: if is() { 1 } else { 3 },
        sg: is(),
        gso: is(),
        checksum: is(),
        split: is(),
        multicast: is(),
    };
    (options, features(rng, last))
}

fn features(rng: &mut Rng, last: u8) -> NetFeatures {
    let mut is = || rng.within(0..4) > 0;
    NetFeatures {
        sg: is(),
        gso_tcpv4: is(),
        gso_tcpv6: is(),
        csum_ipv6: is(),
        split_event_channels: is(),
        multicast_control: is(),
        queues: if is() { 4 } else { 0 },
        trusted: is().then_some(true),
        carrier: is().then_some(true),
        copy_bytes: if is() { 128 } else { 4096 },
        mac: [0, 0x16, 0x3e, 0, rng.within(0..2) as u8, last],
        ..NetFeatures::default()
    }
}

/// Sends all frames to whoever is `there` by then, and looks at what comes.
async fn work(phy: &mut Phy<SimCpu>, there: &Machine, sent: &Cell<u16>, came: &Cell<u64>) {
    let mut next = 0;
    std::future::poll_fn(|cx| {
        phy.register(cx.waker());
        while let Some(bytes) = receive(phy) {
            check(&bytes);
            came.set(came.get() + 1);
        }
        let mut left = 4;
        while next < FRAMES && left > 0 {
            let (mut frame, mss) = frame(next);
            frame.bytes[..6].copy_from_slice(&there.nic.mac().0);
            frame.bytes[6..12].copy_from_slice(&phy.status().mac.0);
            if frame.bytes[..6] == [0; 6] || !send_cut(phy, &frame.bytes, mss) {
                break;
            }
            (next, left) = (next + 1, left - 1);
        }
        phy.flush();
        sent.set(next);
        if left == 0 {
            cx.waker().wake_by_ref();
        }
        Poll::<()>::Pending
    })
    .await;
}

/// Something happens to one of them.
fn strike(machines: &[Machine; 2], rng: &mut Rng) {
    let which = rng.within(0..2);
    let (machine, back) = (&machines[which], &machines[which].back);
    match rng.within(0..14) {
        0 => {
            back.unbind();
            back.bind();
        }
        1 => back.unbind(),
        2 => back.bind(),
        3 => back.crash(rng.within(0..2) == 0),
        4 => back.pull(),
        5 => back.unplug(),
        6 => {
            let new = features(rng, which as u8 + 1);
            back.change_features(|features| *features = new);
            machine.replug();
        }
        7 => back.set_carrier(false),
        8 => back.set_carrier(true),
        9 => back.set_order(match rng.within(0..4) {
            0 => Order::Arrival,
            1 => Order::OneATurn,
            2 => Order::After(1000),
            _ => Order::Random(rng.clone()),
        }),
        10 => back.let_go(),
        11 => back.connect_slowly(rng.within(0..20)),
        // It breaks the protocol.
        12 => back.publish(0, Way::Tx, rng.number() as u32),
        _ => {
            let way = if rng.within(0..2) == 0 { Way::Tx } else { Way::Rx };
            if let Some(ring) = back.ring(0, way) {
                back.publish(0, way, ring.load(8).wrapping_add(300));
            }
        }
    }
}

/// Gives each an honest backend again, if it has none.
fn mend(machines: &[Machine; 2]) {
    for machine in machines {
        machine.back.behave();
        machine.back.connect_slowly(0);
        machine.back.set_carrier(true);
        if machine.nic.state() != State::Ready || machine.back.state() != fata_sim::state::CONNECTED {
            machine.replug();
        }
    }
}

#[test]
fn whatever_happens_nothing_is_spoilt_and_nothing_is_left() {
    let (rng, mut all) = (RefCell::new(Rng::new()), 0);
    for round in 0..ROUNDS {
        let (world, mut dice) = (World::new(), rng.borrow_mut());
        let server = Xenstored::start(&world);
        let machines = [1, 2].map(|last| {
            let (options, features) = setup(&mut dice, last);
            let setup = Setup { grant_frames: 1 + dice.within(0..8), ..Setup::default() };
            let machine = Machine::another(&world, &server, setup, options, features);
            machine.back.plug();
            if dice.within(0..2) == 0 {
                machine.back.be_lazy(dice.clone());
            }
            machine
        });
        let switch = Switch::new(&world);
        machines.iter().for_each(|machine| switch.attach(&machine.back));
        switch.set_loss(dice.clone(), [0, 50][round % 2]);
        switch.set_delay([0, 5000, 100_000][round % 3]);
        let often = [8, 30, 200][dice.within(0..3)];
        drop(dice);
        let (sent, came) = ([Cell::new(0), Cell::new(0)], [Cell::new(0), Cell::new(0)]);
        let (turns, over) = (Cell::new(0), Cell::new(false));
        let mut phys = [machines[0].nic.phy(), machines[1].nic.phy()];
        let [one, two] = &mut phys;
        let mut tasks = Tasks::new(&world);
        for machine in &machines {
            tasks.spawn(machine.store.serve());
            tasks.spawn(async { panic!("{}", machine.nic.serve(&machine.store).await) });
        }
        tasks.spawn(work(one, &machines[1], &sent[0], &came[0]));
        tasks.spawn(work(two, &machines[0], &sent[1], &came[1]));
        tasks.each_turn(|| {
            turns.set(turns.get() + 1);
            let mut rng = rng.borrow_mut();
            if !over.get() && turns.get() < 2000 && rng.within(0..often) == 0 {
                strike(&machines, &mut rng);
            }
        });
        tasks.run();
        for _ in 0..20 {
            if sent.iter().all(|sent| sent.get() == FRAMES) {
                break;
            }
            mend(&machines);
            tasks.run();
        }
        over.set(true);
        assert!(
            sent.iter().all(|sent| sent.get() == FRAMES),
            "round {round}: {:?} {:?} {sent:?}",
            machines[0].nic,
            machines[1].nic
        );
        mend(&machines);
        tasks.run();
        // It works as if nothing had been, but for what each would rather not hear of.
        switch.set_loss(Rng::from_seed(1), 0);
        switch.forget();
        for (n, machine) in machines.iter().enumerate() {
            assert_eq!(machine.nic.state(), State::Ready, "round {round}");
            let there = &machines[1 - n];
            let before = came[1 - n].get();
            let (mut frame, _) = frame(7);
            frame.bytes[..6].copy_from_slice(&there.nic.mac().0);
            frame.bytes[6..12].copy_from_slice(&machine.nic.mac().0);
            let mut phy = machine.nic.phy();
            assert!(common::send(&mut phy, &frame.bytes));
            phy.flush();
            tasks.run();
            assert_eq!(came[1 - n].get(), before + 1, "round {round}: it does not arrive");
        }
        all += came.iter().map(Cell::get).sum::<u64>();
        drop(tasks);
        for machine in machines {
            let totals = machine.nic.totals();
            assert_eq!(totals.rx_bad_sum, 0, "{totals:?}");
            machine.pull();
        }
        world.assert_cleaned_up();
    }
    assert!(all > 30 * ROUNDS as u64, "only {all} have arrived");
}
