//! Random schedules: tasks that sleep, yield, spawn, abort, wait for events and for each other.

mod mock;

use fata_rt::{Aborted, JoinHandle, Rt, run, yield_now};
use fata_sim::Rng;
use mock::Mock;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

struct World {
    rt: Rt,
    mock: Rc<Mock>,
    random: RefCell<Rng>,
    /// Tasks still to be spawned.
    budget: Cell<u32>,
    /// Tasks whose future exists.
    living: Cell<u32>,
    completed: Cell<u32>,
    aborted: Cell<u32>,
    handles: RefCell<Vec<JoinHandle<u32>>>,
}

impl World {
    fn below(&self, bound: u64) -> u64 {
        self.random.borrow_mut().number() % bound
    }
}

/// Counts a task in and out, however it ends.
struct Alive(Rc<World>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.living.set(self.0.living.get() - 1);
    }
}

fn spawn(world: &Rc<World>) {
    if world.budget.get() == 0 {
        return;
    }
    world.budget.set(world.budget.get() - 1);
    world.living.set(world.living.get() + 1);
    let alive = Alive(world.clone());
    let handle = world.rt.spawn(live(alive));
    world.handles.borrow_mut().push(handle);
}

fn any(world: &World) -> Option<JoinHandle<u32>> {
    let mut handles = world.handles.borrow_mut();
    let count = handles.len() as u64;
    (count > 0).then(|| handles.swap_remove(world.below(count) as usize))
}

async fn live(alive: Alive) -> u32 {
    let world = alive.0.clone();
    let rt = &world.rt;
    let steps = world.below(12) as u32;
    for _ in 0..steps {
        match world.below(7) {
            0 => yield_now().await,
            1 => rt.sleep(Duration::from_nanos(world.below(50))).await,
            2 => spawn(&world),
            3 => {
                let at = rt.now_ns() + world.below(50);
                world.mock.agenda.borrow_mut().push(at);
                world.mock.event(world.mock.fired.get()).await;
            }
            4 => {
                if let Some(other) = any(&world) {
                    other.abort();
                    world.handles.borrow_mut().push(other);
                }
            }
            5 => {
                let limit = Duration::from_nanos(world.below(20));
                let _ = rt.timeout(limit, rt.sleep(Duration::from_nanos(world.below(20)))).await;
            }
            _ => {
                spawn(&world);
                spawn(&world);
            }
        }
    }
    steps
}

fn play(random: Rng) {
    let mock = Mock::new();
    run(&mock.clone(), async |rt| {
        let world = Rc::new(World {
            rt: rt.clone(),
            mock: mock.clone(),
            random: RefCell::new(random),
            budget: Cell::new(400),
            living: Cell::new(0),
            completed: Cell::new(0),
            aborted: Cell::new(0),
            handles: RefCell::default(),
        });
        spawn(&world);
        spawn(&world);
        loop {
            let Some(task) = any(&world) else { break };
            match task.await {
                Ok(steps) => {
                    assert!(steps < 12);
                    world.completed.set(world.completed.get() + 1);
                }
                Err(Aborted) => world.aborted.set(world.aborted.get() + 1),
            }
            if world.handles.borrow().is_empty() {
                spawn(&world);
            }
        }
        assert_eq!(world.completed.get() + world.aborted.get(), 400);
        assert_eq!(world.living.get(), 0);
        let stats = rt.stats();
        assert_eq!((stats.tasks, stats.timers), (0, 0));
    });
}

#[test]
fn random_schedules_end_with_nothing_left() {
    for _ in 0..100 {
        play(Rng::new());
    }
}
