//! The simulator keeps the promises that other tests rely on.

use fata_sim::{Setup, Tasks, World, Xenconsoled};
use std::cell::{Cell, RefCell};
use xen_hyp::abi::{Op, event, nr};
use xen_hyp::{DomId, Platform, Signal, XenError};

#[test]
fn a_task_that_nobody_wakes_is_left_over() {
    let world = World::new();
    let signal = Signal::new();
    let mut tasks = Tasks::new(&world);
    tasks.spawn(async {
        signal.after(signal.seen()).await;
    });
    tasks.spawn(async {});
    assert_eq!(tasks.run(), 1);
    signal.fire();
    assert_eq!(tasks.run(), 0);
}

#[test]
fn the_clock_moves_only_when_nobody_is_busy_and_then_to_the_next_deadline() {
    let world = World::new();
    let order = RefCell::new(Vec::new());
    let mut tasks = Tasks::new(&world);
    for ns in [300, 100, 200, 100] {
        let (world, order) = (world.clone(), &order);
        tasks.spawn(async move {
            world.sleep(ns).await;
            order.borrow_mut().push((world.now_ns(), ns));
        });
    }
    tasks.spawn(async { assert_eq!(world.now_ns(), 0) });
    assert_eq!(tasks.run(), 0);
    drop(tasks);
    assert_eq!(order.into_inner(), [(100, 100), (100, 100), (200, 200), (300, 300)]);
}

#[test]
fn idle_returns_at_once_for_an_event_and_else_steps_to_the_deadline() {
    let world = World::new();
    let xen = world.guest();
    let channel = xen.listen(DomId::DOM0).unwrap();
    xen.platform().domain().raise(channel.port());
    xen.platform().idle(Some(500));
    assert_eq!(world.now_ns(), 0);
    xen.demux();
    xen.platform().idle(Some(500));
    assert_eq!(world.now_ns(), 500);
}

#[test]
fn an_injected_fault_hits_that_call_of_that_domain_once() {
    let world = World::new();
    let (a, b) = (world.guest(), world.guest());
    world.fail(a.domid().unwrap(), nr::EVENT_CHANNEL_OP, event::AllocUnbound::CMD, XenError::ENOMEM);
    assert!(b.listen(DomId::DOM0).is_ok());
    assert_eq!(a.listen(DomId::DOM0).unwrap_err(), XenError::ENOMEM);
    assert!(a.listen(DomId::DOM0).is_ok());
    world.assert_cleaned_up();
}

#[test]
fn closing_one_end_leaves_the_other_waiting_for_the_same_domain() {
    let world = World::new();
    let (a, b) = (world.guest(), world.guest());
    let (da, db) = (a.domid().unwrap(), b.domid().unwrap());
    let listening = a.listen(db).unwrap();
    for _ in 0..3 {
        let connected = b.connect(da, listening.port()).unwrap();
        assert_eq!(b.connect(da, listening.port()).unwrap_err(), XenError::EINVAL);
        drop(connected);
        // Sent to nobody.
        listening.notify();
    }
    assert_eq!(a.event_totals().send_errors, 0);
}

/// As the real one: it looks at its terminal only while there is room, and then not again without an event.
#[test]
fn xenconsoled_sleeps_on_a_full_ring_until_it_is_notified() {
    const IN_CONS: usize = 3072;
    let world = World::new();
    let xen = world.guest_with(Setup::default());
    let daemon = Xenconsoled::start(&world, xen.platform().domain());
    daemon.input(&[b'x'; 2000]);
    while world.run_backends() {}
    assert_eq!(daemon.input_left(), 2000 - 1024);
    let page = xen.platform().domain().console_page();
    xen_hyp::SharedMem::store(&*page, IN_CONS, 1024);
    assert!(!world.run_backends());
    let woken = Cell::new(false);
    let console = xen.hvm_param(xen_hyp::HvmParam::ConsoleEvtchn).unwrap();
    let channel = xen.adopt(xen_hyp::Port(console as u32)).unwrap();
    channel.notify();
    while world.run_backends() {
        woken.set(true);
    }
    assert!(woken.get());
    assert_eq!(daemon.input_left(), 0);
}
