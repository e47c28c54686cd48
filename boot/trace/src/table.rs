//! Tasks as they are now, and rings: what the last records may not tell any more.

use crate::ring::{Words, load, words};
use core::sync::atomic::Ordering;

/// How a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It waits to be woken.
    Waiting = 1,
    /// It was woken.
    Ready,
    /// It is being polled.
    Running,
}

/// A task that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id: the slot, and above 32 bits how many had that before.
    pub id: u64,
    /// How it is.
    pub state: TaskState,
    /// How often it was polled.
    pub polls: u64,
    /// Its name.
    pub name: Name,
    /// When that state began.
    pub ticks: u64,
}

/// Where a name is, and above 48 bits its length. 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(pub u64);

impl Name {
    const ADDRESS: u64 = (1 << 48) - 1;

    pub(crate) fn of(text: &'static str) -> Self {
        let bytes = text.len().min(0xffff) as u64;
        Self(text.as_ptr() as u64 & Self::ADDRESS | bytes << 48)
    }

    /// Where it is.
    pub const fn address(self) -> u64 {
        self.0 & Self::ADDRESS
    }

    /// How long it is.
    pub const fn bytes(self) -> usize {
        (self.0 >> 48) as usize
    }
}

impl Task {
    /// From the words of a table. `None` if there is none.
    pub fn of([id, state, name, ticks]: [u64; 4]) -> Option<Self> {
        let states = [TaskState::Waiting, TaskState::Ready, TaskState::Running];
        let kind = states.into_iter().find(|kind| *kind as u64 == state & 0xff)?;
        Some(Self { id, state: kind, polls: state >> 8, name: Name(name), ticks })
    }
}

/// Tasks by the slots they are in, `N` of them, a power of two; a task in a slot above has no entry.
#[derive(Debug)]
#[repr(C)]
pub struct Table<const N: usize>(pub(crate) [Words; N]);

impl<const N: usize> Table<N> {
    pub(crate) const fn new() -> Self {
        Self([const { words() }; N])
    }

    fn entry(&self, id: u64) -> Option<&Words> {
        self.0.get(id as u32 as usize)
    }

    pub(crate) fn spawned(&self, id: u64, ticks: u64) {
        if let Some([own, state, name, since]) = self.entry(id) {
            state.store(0, Ordering::Relaxed);
            own.store(id, Ordering::Relaxed);
            name.store(0, Ordering::Relaxed);
            since.store(ticks, Ordering::Relaxed);
            state.store(TaskState::Waiting as u64, Ordering::Release);
        }
    }

    pub(crate) fn name(&self, id: u64, name: Name) {
        if let Some(entry) = self.entry(id) {
            entry[2].store(name.0, Ordering::Relaxed);
        }
    }

    pub(crate) fn change(&self, id: u64, to: TaskState, ticks: u64) {
        if let Some([_, state, _, since]) = self.entry(id) {
            let old = state.load(Ordering::Relaxed);
            if old != 0 {
                let polls = (old >> 8) + u64::from(to == TaskState::Running);
                state.store(polls << 8 | to as u64, Ordering::Relaxed);
                since.store(ticks, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn state(&self, id: u64) -> u64 {
        self.entry(id).map_or(0, |entry| entry[1].load(Ordering::Relaxed) & 0xff)
    }

    pub(crate) fn ended(&self, id: u64) {
        if let Some(entry) = self.entry(id) {
            entry[1].store(0, Ordering::Relaxed);
        }
    }

    /// Passes on the tasks that are there.
    pub fn read(&self, mut each: impl FnMut(Task)) {
        self.0.iter().filter_map(|entry| Task::of(load(entry))).for_each(&mut each);
    }
}

/// How a ring is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Requests and responses, with slots of so many bytes (`xen/include/public/io/ring.h`).
    Messages {
        /// How many.
        slots: u32,
        /// Of how many bytes.
        slot_bytes: u32,
    },
    /// Xenstore's page (`xs_wire.h`).
    Store,
    /// The console's (`console.h`).
    Console,
}

impl Layout {
    pub(crate) const fn word(self) -> u64 {
        match self {
            Self::Messages { slots, slot_bytes } => 1 | (slots as u64) << 8 | (slot_bytes as u64) << 32,
            Self::Store => 2,
            Self::Console => 3,
        }
    }
}
