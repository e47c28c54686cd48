//! Every short history of a small ring, and every wrong index.

use super::*;
use std::collections::VecDeque;
use std::rc::Rc;

const SIZE: u32 = 4;
const RING: ByteRing = ByteRing { buffer: 8, size: SIZE, prod: 4, cons: 0 };

/// Where histories start: at nought, and so that both indices wrap.
const STARTS: [u32; 4] = [0, 1, u32::MAX - 2, u32::MAX];

/// Memory that both ends of a test share.
struct Plain(Vec<Cell<u8>>);

impl SharedMem for Plain {
    fn size(&self) -> usize {
        self.0.len()
    }
    fn load(&self, offset: usize) -> u32 {
        self.read(offset)
    }
    fn store(&self, offset: usize, value: u32) {
        self.write(offset, &value);
    }
    fn copy_in(&self, offset: usize, into: &mut [u8]) {
        for (i, byte) in into.iter_mut().enumerate() {
            *byte = self.0[offset + i].get();
        }
    }
    fn copy_out(&self, offset: usize, from: &[u8]) {
        for (i, byte) in from.iter().enumerate() {
            self.0[offset + i].set(*byte);
        }
    }
}

fn memory(start: u32) -> Rc<Plain> {
    let mem = Rc::new(Plain(vec![Cell::new(0); 8 + SIZE as usize]));
    mem.store(RING.prod, start);
    mem.store(RING.cons, start);
    mem
}

/// Both ends of a ring, and what should be in it.
struct Pair {
    producer: Producer<Rc<Plain>>,
    consumer: Consumer<Rc<Plain>>,
    expected: VecDeque<u8>,
    next: u8,
}

impl Pair {
    fn new(start: u32) -> Self {
        let mem = memory(start);
        Self {
            producer: Producer::new(mem.clone(), RING).unwrap(),
            consumer: Consumer::new(mem, RING).unwrap(),
            expected: VecDeque::new(),
            next: 0,
        }
    }

    /// Writes `step` bytes, or reads `step - 6`.
    fn apply(&mut self, step: usize) {
        if step < 6 {
            let bytes: Vec<u8> = (0..step as u8).map(|i| self.next.wrapping_add(i)).collect();
            let room = SIZE as usize - self.expected.len();
            let written = self.producer.write(&bytes).unwrap();
            assert_eq!(written, step.min(room));
            self.next = self.next.wrapping_add(written as u8);
            self.expected.extend(&bytes[..written]);
        } else {
            let mut into = [0xee; 6];
            let was_full = self.expected.len() == SIZE as usize;
            let (read, notify) = self.consumer.read(&mut into[..step - 6]).unwrap();
            assert_eq!(read, (step - 6).min(self.expected.len()));
            assert_eq!(notify, was_full && read > 0);
            let expected: Vec<u8> = self.expected.drain(..read).collect();
            assert_eq!(into[..read], expected);
            assert!(into[read..].iter().all(|&b| b == 0xee));
        }
        assert_eq!(self.producer.unread().unwrap(), self.expected.len());
        assert_eq!(self.producer.room().unwrap(), SIZE as usize - self.expected.len());
    }
}

#[test]
fn every_short_history_is_exact() {
    const STEPS: usize = 12;
    let depth = if cfg!(miri) { 2 } else { 4 };
    for start in STARTS {
        for history in 0..STEPS.pow(depth) {
            let mut pair = Pair::new(start);
            for i in 0..depth {
                pair.apply(history / STEPS.pow(i) % STEPS);
            }
        }
    }
}

#[test]
fn every_wrong_index_is_corrupt_and_every_right_one_is_not() {
    for start in STARTS {
        for queued in 0..=SIZE {
            for claimed in (0..16).chain([u32::MAX / 2, u32::MAX - 1, u32::MAX]) {
                let mem = memory(start);
                let producer = Producer::new(mem.clone(), RING).unwrap();
                producer.write(&[1; 4][..queued as usize]).unwrap();
                let cons = start.wrapping_add(queued).wrapping_sub(claimed);
                mem.store(RING.cons, cons);
                assert_eq!(producer.room().is_ok(), claimed <= SIZE);
                assert_eq!(producer.write(b"x").is_ok(), claimed <= SIZE);
                assert_eq!(producer.must_notify().is_ok(), claimed <= SIZE);

                let mem = memory(start);
                let consumer = Consumer::new(mem.clone(), RING).unwrap();
                mem.store(RING.prod, start.wrapping_add(claimed));
                let mut into = [0; 8];
                let expected =
                    if claimed <= SIZE { Ok((claimed as usize, claimed == SIZE)) } else { Err(Corrupt) };
                assert_eq!(consumer.read(&mut into), expected);
                assert_eq!(Producer::new(mem.clone(), RING).is_ok(), claimed <= SIZE);
            }
        }
    }
}

#[test]
fn our_own_index_in_shared_memory_is_not_believed() {
    let mem = memory(7);
    let producer = Producer::new(mem.clone(), RING).unwrap();
    let consumer = Consumer::new(mem.clone(), RING).unwrap();
    mem.store(RING.prod, 99);
    assert_eq!(producer.write(b"ab"), Ok(2));
    mem.store(RING.cons, 99);
    assert_eq!(consumer.read(&mut [0; 4]), Ok((2, false)));
    assert_eq!(mem.load(RING.cons), 9);
}

#[test]
fn what_a_restarted_end_left_is_taken_over() {
    let mem = memory(u32::MAX);
    Producer::new(mem.clone(), RING).unwrap().write(b"abc").unwrap();
    let producer = Producer::new(mem.clone(), RING).unwrap();
    assert_eq!(producer.must_notify(), Ok(true));
    assert_eq!(producer.write(b"de"), Ok(1));
    let mut into = [0; 4];
    assert_eq!(Consumer::new(mem, RING).unwrap().read(&mut into), Ok((4, true)));
    assert_eq!(&into, b"abcd");
}

#[test]
fn a_peer_is_told_once_and_again_when_it_has_caught_up() {
    for start in STARTS {
        let mut pair = Pair::new(start);
        assert_eq!(pair.producer.must_notify(), Ok(false));
        pair.apply(1);
        assert_eq!(pair.producer.must_notify(), Ok(true));
        pair.apply(2);
        // It was told of one byte and has read none: its turn is still to come.
        assert_eq!(pair.producer.must_notify(), Ok(false));
        pair.apply(6 + 1);
        // It has read what it was told of, and two more wait.
        assert_eq!(pair.producer.must_notify(), Ok(true));
        assert_eq!(pair.producer.must_notify(), Ok(false));
        pair.producer.forget_told().unwrap();
        assert_eq!(pair.producer.must_notify(), Ok(true));
        pair.apply(6 + 2);
        assert_eq!(pair.producer.must_notify(), Ok(false));
    }
}
