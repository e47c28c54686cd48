//! Publishing, arming and sleeping, in every order that the memory model allows.
//!
//! The real [`Front`] and [`Back`] on memory of loom's atomics. Each sleeps only when `take` said that an event
//! will come; loom fails a model in which somebody then sleeps for ever.

use super::*;
use loom::sync::atomic::{AtomicU32, Ordering, fence};
use loom::sync::{Arc, Notify};
use loom::thread;

/// The four indices, and a slot of one word, which is relaxed, so that only the indices order it.
struct Words {
    indices: [AtomicU32; 4],
    slots: Vec<AtomicU32>,
}

#[derive(Clone)]
struct Shared(Arc<Words>);

impl SharedMem for Shared {
    fn size(&self) -> usize {
        SLOTS + 4 * self.0.slots.len()
    }
    fn load(&self, offset: usize) -> u32 {
        self.0.indices[offset / 4].load(Ordering::Acquire)
    }
    fn store(&self, offset: usize, value: u32) {
        self.0.indices[offset / 4].store(value, Ordering::Release);
    }
    fn copy_in(&self, offset: usize, into: &mut [u8]) {
        into.copy_from_slice(&self.0.slots[(offset - SLOTS) / 4].load(Ordering::Relaxed).to_ne_bytes());
    }
    fn copy_out(&self, offset: usize, from: &[u8]) {
        let word = u32::from_ne_bytes(from.try_into().unwrap());
        self.0.slots[(offset - SLOTS) / 4].store(word, Ordering::Relaxed);
    }
    fn fence(&self) {
        fence(Ordering::SeqCst);
    }
}

fn requests_and_answers(slots: usize, count: u32) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let words = Words {
            indices: core::array::from_fn(|_| AtomicU32::new(0)),
            slots: (0..slots).map(|_| AtomicU32::new(0)).collect(),
        };
        let mem = Shared(Arc::new(words));
        let (to_back, to_front) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let mut front = Front::from(mem.clone(), 4, u32::MAX);
        let back = {
            let (to_back, to_front) = (to_back.clone(), to_front.clone());
            thread::spawn(move || {
                let mut back = Back::attach(mem, 4).unwrap();
                let mut seen = 0;
                while seen < count {
                    match back.take::<u32>().unwrap() {
                        Some(request) => {
                            assert_eq!(request, seen);
                            seen += 1;
                            back.push(&(request + 100).to_ne_bytes());
                            if back.publish() {
                                to_front.notify();
                            }
                        }
                        None => to_back.wait(),
                    }
                }
            })
        };
        let (mut sent, mut got) = (0, 0);
        while got < count {
            while sent < count && front.room() > 0 {
                front.push(&sent.to_ne_bytes());
                sent += 1;
            }
            if front.publish() {
                to_back.notify();
            }
            match front.take::<u32>().unwrap() {
                Some(response) => {
                    assert_eq!(response, got + 100);
                    got += 1;
                }
                None => to_front.wait(),
            }
        }
        back.join().unwrap();
    });
}

#[test]
fn one_slot_used_again() {
    requests_and_answers(1, 2);
}

#[test]
fn two_slots_used_in_one_batch_and_again() {
    requests_and_answers(2, 3);
}
