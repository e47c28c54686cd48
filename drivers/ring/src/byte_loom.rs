//! Publishing, notifying and sleeping, in every order that the memory model allows.
//!
//! The real [`Producer`] and [`Consumer`] run against peers written as xenconsoled is, on memory of loom's
//! atomics. loom fails a model in which somebody sleeps for ever, which is what a lost wake-up leads to.

use super::*;
use loom::sync::atomic::{AtomicU8, AtomicU32, Ordering, fence};
use loom::sync::{Arc, Notify};
use loom::thread;

const RING: ByteRing = ByteRing { buffer: 8, size: 1, prod: 4, cons: 0 };

/// Two words of indices, and one of data, which is relaxed, so that only the indices order it.
struct Mem {
    words: [AtomicU32; 2],
    bytes: [AtomicU8; 1],
}

/// The peers' and our own handle of it.
#[derive(Clone)]
struct Shared(Arc<Mem>);

impl SharedMem for Shared {
    fn size(&self) -> usize {
        9
    }
    fn load(&self, offset: usize) -> u32 {
        self.0.words[offset / 4].load(Ordering::Acquire)
    }
    fn store(&self, offset: usize, value: u32) {
        self.0.words[offset / 4].store(value, Ordering::Release);
    }
    fn copy_in(&self, offset: usize, into: &mut [u8]) {
        for (i, byte) in into.iter_mut().enumerate() {
            *byte = self.0.bytes[offset - RING.buffer + i].load(Ordering::Relaxed);
        }
    }
    fn copy_out(&self, offset: usize, from: &[u8]) {
        for (i, byte) in from.iter().enumerate() {
            self.0.bytes[offset - RING.buffer + i].store(*byte, Ordering::Relaxed);
        }
    }
    fn fence(&self) {
        fence(Ordering::SeqCst);
    }
}

fn memory() -> Shared {
    let start = u32::MAX;
    Shared(Arc::new(Mem { words: [AtomicU32::new(start), AtomicU32::new(start)], bytes: [AtomicU8::new(0)] }))
}

/// Tries every order with up to three preemptions, which is where such models find what they find.
fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// An event channel: a flag each way.
fn channel() -> (Arc<Notify>, Arc<Notify>) {
    (Arc::new(Notify::new()), Arc::new(Notify::new()))
}

/// xenconsoled's `buffer_append`: one look a turn, then it moves its index, notifies, and sleeps.
#[test]
fn output_reaches_a_peer_that_looks_once_a_turn() {
    const OUTPUT: [u8; 3] = [1, 2, 3];
    model(|| {
        let mem = memory();
        let (to_peer, to_us) = channel();
        let peer = {
            let (mem, to_peer, to_us) = (mem.clone(), to_peer.clone(), to_us.clone());
            thread::spawn(move || {
                let consumer = Consumer::new(mem, RING).unwrap();
                let mut got: Vec<u8> = Vec::new();
                while got.len() < OUTPUT.len() {
                    to_peer.wait();
                    let mut into = [0; 1];
                    let (read, _) = consumer.read(&mut into).unwrap();
                    got.extend(&into[..read]);
                    to_us.notify();
                }
                assert_eq!(got, OUTPUT);
            })
        };
        let producer = Producer::new(mem, RING).unwrap();
        let mut left = &OUTPUT[..];
        loop {
            // One byte at a time, so that what comes during the peer's turn is modelled too.
            while !left.is_empty() && producer.room().unwrap() > 0 {
                left = &left[producer.write(&left[..1]).unwrap()..];
                if producer.must_notify().unwrap() {
                    to_peer.notify();
                }
            }
            if left.is_empty() && producer.unread().unwrap() == 0 {
                break;
            }
            to_us.wait();
            if producer.must_notify().unwrap() {
                to_peer.notify();
            }
        }
        peer.join().unwrap();
    });
}

/// xenconsoled's input: it fills the ring, notifies us each time, and sleeps only while the ring is full.
#[test]
fn input_comes_from_a_peer_that_sleeps_while_the_ring_is_full() {
    const INPUT: [u8; 3] = [1, 2, 3];
    model(|| {
        let mem = memory();
        let (to_peer, to_us) = channel();
        let peer = {
            let (mem, to_peer, to_us) = (mem.clone(), to_peer.clone(), to_us.clone());
            thread::spawn(move || {
                let producer = Producer::new(mem, RING).unwrap();
                let mut left = &INPUT[..];
                while !left.is_empty() {
                    if producer.room().unwrap() == 0 {
                        to_peer.wait();
                        continue;
                    }
                    left = &left[producer.write(&left[..1]).unwrap()..];
                    to_us.notify();
                }
            })
        };
        let consumer = Consumer::new(mem, RING).unwrap();
        let mut got: Vec<u8> = Vec::new();
        while got.len() < INPUT.len() {
            let mut into = [0; 1];
            let (read, notify) = consumer.read(&mut into).unwrap();
            if notify {
                to_peer.notify();
            }
            got.extend(&into[..read]);
            if read == 0 {
                to_us.wait();
            }
        }
        assert_eq!(got, INPUT);
        peer.join().unwrap();
    });
}
