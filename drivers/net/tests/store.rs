//! An interface whose store is slow, away for a while, or started again.

mod common;

use common::packets::raw;
use common::two::works;
use common::{Machine, received, send, sent};
use fata_link::Link;
use fata_net::{Error, Options, State};
use fata_sim::{NetFeatures, Rng};
use std::cell::Cell;

fn machine() -> Machine {
    Machine::new(Options::default(), NetFeatures { carrier: Some(true), ..NetFeatures::default() })
}

/// Frames do not need it.
#[test]
fn frames_go_on_while_the_store_is_away() {
    let machine = machine();
    let mut tasks = machine.tasks();
    tasks.run();
    machine.server.pause();
    machine.back.set_carrier(false);
    tasks.run();
    // Nobody can have heard of it.
    assert_eq!(machine.nic.state(), State::Ready);
    machine.back.set_carrier(true);
    works(&machine, &mut tasks);
    machine.server.go_on();
    works(&machine, &mut tasks);
    assert_eq!(machine.nic.totals().connects, 1);
    drop(tasks);
    machine.finish();
}

#[test]
fn a_store_that_is_slow_makes_nobody_else_slow() {
    let machine = machine();
    machine.server.slow_down(Rng::new());
    let mut phy = machine.nic.phy();
    machine.run(async {
        for n in 0..100 {
            machine.nic.ready().await.unwrap();
            sent(&mut phy, &raw(60 + n, n).bytes).await;
            match n % 10 {
                3 => machine.back.set_carrier(false),
                4 => machine.back.set_carrier(true),
                7 => {
                    machine.back.unbind();
                    while machine.nic.state() != State::Paused {
                        machine.nic.state_after(machine.nic.state()).await;
                    }
                    machine.back.bind();
                }
                _ => {}
            }
            if n % 10 == 3 {
                machine.back.set_carrier(true);
            }
        }
    });
    assert_eq!(machine.nic.totals().tx_frames, 100);
    machine.finish();
}

#[test]
fn a_store_that_is_killed_and_restarted_costs_nothing() {
    let machine = machine();
    machine.server.set_features(15);
    let (turns, rounds, up) = (Cell::new(0), Cell::new(0), Cell::new(true));
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.each_turn(|| {
        turns.set(turns.get() + 1);
        match (turns.get() % 100, up.get()) {
            (20, true) if rounds.get() < 299 => machine.server.kill(),
            (60, false) => machine.server.restart(),
            _ => return,
        }
        up.set(!up.get());
    });
    tasks.spawn(async {
        machine.nic.ready().await.unwrap();
        for round in 0..300 {
            sent(&mut phy, &raw(1000, round).bytes).await;
            machine.back.inject(&raw(2000, round));
            assert!(received(&mut phy).await == raw(2000, round).bytes);
            machine.world.sleep(1).await;
            rounds.set(round);
        }
    });
    while tasks.run() > 2 {
        assert!(!up.replace(true), "nothing moves though there is a store");
        machine.server.restart();
    }
    if !up.replace(true) {
        machine.server.restart();
    }
    tasks.run();
    assert_eq!((rounds.get(), machine.nic.totals().connects), (299, 1));
    assert!(machine.back.sent().iter().enumerate().all(|(n, frame)| *frame == raw(1000, n)));
    // What happens meanwhile is not missed.
    machine.server.kill();
    machine.back.set_carrier(false);
    machine.server.restart();
    tasks.run();
    assert_eq!(machine.nic.state(), State::NoCarrier);
    machine.server.kill();
    machine.back.set_carrier(true);
    machine.back.unbind();
    machine.back.bind();
    machine.server.restart();
    tasks.run();
    assert_eq!(machine.nic.state(), State::Ready);
    works(&machine, &mut tasks);
    drop(tasks);
    machine.finish();
}

/// A store that talks nonsense is given up, and the interface with it.
#[test]
fn without_a_store_it_is_gone() {
    let machine = machine();
    let ended = Cell::new(false);
    let mut phy = machine.nic.phy();
    {
        let mut tasks = fata_sim::Tasks::new(&machine.world);
        tasks.spawn(async {
            machine.store.serve().await;
        });
        tasks.spawn(async {
            machine.nic.serve(&machine.store).await;
            ended.set(true);
        });
        tasks.run();
        assert_eq!(machine.nic.state(), State::Ready);
        machine.server.send_raw(common::guest(&machine.xen), &[0xff; 64]);
        tasks.run();
    }
    assert!(ended.get());
    assert_eq!(machine.nic.state(), State::Dead(Error::Gone));
    assert!(!phy.status().up && !send(&mut phy, &raw(60, 0).bytes));
    assert_eq!(machine.lent(), machine.xen.grant_totals().kept, "the backend may have them still");
    let world = machine.world.clone();
    machine.back.pull();
    let Machine { xen, back, nic, store, server, .. } = machine;
    while world.run_backends() {}
    drop((nic, store, back));
    assert_eq!(xen.reclaim_grants(), 0);
    drop(server);
    world.assert_cleaned_up();
}
