//! All that is kept, one behind the other, so that it can be read as words.

use crate::device::Device;
use crate::kind::Kind;
use crate::line::{LINE_BYTES, Part, line};
use crate::ring::{Record, Ring, Words, load, words};
use crate::table::{Layout, Name, Table, TaskState};
use core::sync::atomic::{AtomicU64, Ordering};

/// The first word, once there is something to be found: "Fata" and "trace", and the version of what follows.
pub const MAGIC: u64 = u64::from_le_bytes(*b"FaTrace\x01");
/// How many records are kept.
pub const RECORDS: usize = 1024;
/// How many tasks have a place.
pub const TASKS: usize = 64;
/// How many rings have one.
pub const RINGS: usize = 32;
/// All that is kept, in words.
pub const WORDS: usize = 4 * (2 + TASKS + RINGS + RECORDS);

/// The word behind the grant table's address and its entries: not zero while all this is printed.
const HELD: usize = 2;

/// What a debugger or a crash report reads.
///
/// The first words are [`MAGIC`], the clock's ticks a second, the number of records there were, and the address of all
/// this, which tells where the image is; then the grant table's address and how many entries it has, whether nothing is
/// kept at the moment, and zero; then tasks, rings and records, of four words each. A ring's are its address, its layout, its device, and zero.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Trace {
    magic: AtomicU64,
    hz: AtomicU64,
    next: AtomicU64,
    address: AtomicU64,
    grants: Words,
    pub(crate) tasks: Table<TASKS>,
    rings: [Words; RINGS],
    records: Ring<RECORDS>,
}

const _: () = assert!(size_of::<Trace>() == WORDS * 8);

impl Trace {
    /// With nothing in it.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            magic: AtomicU64::new(0),
            hz: AtomicU64::new(0),
            next: AtomicU64::new(0),
            address: AtomicU64::new(0),
            grants: words(),
            tasks: Table::new(),
            rings: [const { words() }; RINGS],
            records: Ring::new(),
        }
    }

    /// See [`start`](crate::start).
    pub fn start(&self, hz: u64) {
        self.hz.store(hz, Ordering::Relaxed);
        self.address.store(core::ptr::from_ref(self) as usize as u64, Ordering::Relaxed);
        self.magic.store(MAGIC, Ordering::Release);
    }

    /// See [`mark`](crate::mark).
    pub fn mark(&self, ticks: u64, kind: Kind, a: u64, b: u64) {
        // Printing leaves records, too, which would be written over those that are yet to be printed.
        if self.grants[HELD].load(Ordering::Relaxed) != 0 {
            return;
        }
        let number = self.next.load(Ordering::Relaxed);
        self.records.put(Record { number, ticks, kind, a, b });
        self.next.store(number + 1, Ordering::Release);
        match kind {
            Kind::Spawned => self.tasks.spawned(a, ticks),
            // A wake-up during a poll does not end it.
            Kind::Woken if self.tasks.state(a) == TaskState::Waiting as u64 => {
                self.tasks.change(a, TaskState::Ready, ticks);
            }
            Kind::PollBegin => self.tasks.change(a, TaskState::Running, ticks),
            Kind::PollEnd => self.tasks.change(a, TaskState::Waiting, ticks),
            Kind::Ended => self.tasks.ended(a),
            _ => {}
        }
    }

    /// See [`name_task`](crate::name_task).
    pub fn name_task(&self, ticks: u64, id: u64, name: &'static str) {
        let name = Name::of(name);
        self.tasks.name(id, name);
        self.mark(ticks, Kind::Named, id, name.0);
    }

    /// See [`ring`](crate::ring()).
    pub fn add_ring(&self, address: usize, layout: Layout, device: Device) {
        let is_free = |entry: &&Words| [0, address as u64].contains(&entry[0].load(Ordering::Relaxed));
        if let Some([at, how, whose, _]) = self.rings.iter().find(is_free) {
            how.store(layout.word(), Ordering::Relaxed);
            whose.store(device.0, Ordering::Relaxed);
            at.store(address as u64, Ordering::Release);
        }
    }

    /// See [`no_ring`](crate::no_ring).
    pub fn remove_ring(&self, address: usize) {
        let is_it = |entry: &&Words| entry[0].load(Ordering::Relaxed) == address as u64;
        if let Some(entry) = self.rings.iter().find(is_it) {
            entry[0].store(0, Ordering::Relaxed);
        }
    }

    /// See [`grants`](crate::grants).
    pub fn set_grants(&self, address: usize, entries: usize) {
        self.grants[0].store(address as u64, Ordering::Relaxed);
        self.grants[1].store(entries as u64, Ordering::Release);
    }

    /// What its clock counts a second.
    pub fn hz(&self) -> u64 {
        self.hz.load(Ordering::Relaxed)
    }

    /// How many records there ever were.
    pub fn count(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// The records that are there, oldest first; `None` for one that is being written.
    pub fn read(&self, each: impl FnMut(u64, Option<Record>)) {
        self.records.read(self.count(), each);
    }

    /// The tasks.
    pub fn tasks(&self) -> &Table<TASKS> {
        &self.tasks
    }

    /// See [`dump`](crate::dump), but that `print` says whether it is any use to go on.
    pub fn dump(&self, mut print: impl FnMut(&[u8]) -> bool) {
        let mut print = |part, words: [u64; 4]| {
            let line: [u8; LINE_BYTES] = line(part, words);
            line.chunks(16).all(&mut print)
        };
        self.grants[HELD].store(1, Ordering::Relaxed);
        let word = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let head = [MAGIC, word(&self.hz), self.count(), word(&self.address)];
        let mut goes_on = print(Part::Head, head);
        self.tasks.read(|task| {
            if let Some(entry) = self.tasks.0.get(task.id as u32 as usize) {
                goes_on = goes_on && print(Part::Task, load(entry));
            }
        });
        self.read(|number, record| {
            let words = match record {
                Some(record) => [(number + 1) << 8 | record.kind as u64, record.ticks, record.a, record.b],
                None => [(number + 1) << 8, 0, 0, 0],
            };
            goes_on = goes_on && print(Part::Record, words);
        });
        if goes_on {
            print(Part::End, head);
        }
        self.grants[HELD].store(0, Ordering::Relaxed);
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}
