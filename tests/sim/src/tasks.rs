//! A small executor that polls a task only when it was woken.

use crate::world::World;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake};

/// Turns after which a run that never comes to rest is given up.
const TURNS: usize = 10_000_000;

/// Tasks of all guests of a world.
pub struct Tasks<'a> {
    world: World,
    tasks: Vec<Option<Task<'a>>>,
    each_turn: Vec<Box<dyn Fn() + 'a>>,
}

struct Task<'a> {
    future: Pin<Box<dyn Future<Output = ()> + 'a>>,
    woken: Arc<Flag>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl<'a> Tasks<'a> {
    /// None yet.
    pub fn new(world: &World) -> Self {
        Self { world: world.clone(), tasks: Vec::new(), each_turn: Vec::new() }
    }

    /// Adds a task.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'a) {
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        self.tasks.push(Some(Task { future: Box::pin(future), woken }));
    }

    /// Adds something to do once a turn, such as a console's `service`.
    pub fn each_turn(&mut self, service: impl Fn() + 'a) {
        self.each_turn.push(Box::new(service));
    }

    /// Runs until all tasks have ended, or until nothing more can happen without us. Gives how many wait.
    ///
    /// # Panics
    ///
    /// If it does not come to rest.
    pub fn run(&mut self) -> usize {
        for _ in 0..TURNS {
            let mut busy = self.world.demux();
            self.each_turn.iter().for_each(|service| service());
            for task in &mut self.tasks {
                busy |= poll(task);
            }
            self.tasks.retain(Option::is_some);
            if self.tasks.is_empty() {
                return 0;
            }
            busy |= self.world.run_backends();
            if !busy && !self.world.advance(None) {
                return self.tasks.len();
            }
        }
        panic!("still busy after {TURNS} turns");
    }
}

/// Polls a task if it was woken, and removes it when it has ended.
fn poll(slot: &mut Option<Task<'_>>) -> bool {
    let Some(task) = slot else { return false };
    if !task.woken.0.swap(false, Ordering::AcqRel) {
        return false;
    }
    let waker = task.woken.clone().into();
    if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
        *slot = None;
    }
    true
}
