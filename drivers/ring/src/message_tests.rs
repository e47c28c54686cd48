use super::*;
use std::cell::RefCell;
use std::rc::Rc;

/// Ordinary memory that both ends see.
#[derive(Clone, Debug)]
struct Memory(Rc<RefCell<Vec<u8>>>);

impl Memory {
    fn new(bytes: usize) -> Self {
        Self(Rc::new(RefCell::new(vec![0xa5; bytes])))
    }
    /// Slots of one word each.
    fn of_slots(count: usize) -> Self {
        Self::new(SLOTS + count * 4)
    }
}

impl SharedMem for Memory {
    fn size(&self) -> usize {
        self.0.borrow().len()
    }
    fn load(&self, offset: usize) -> u32 {
        self.read(offset)
    }
    fn store(&self, offset: usize, value: u32) {
        self.write(offset, &value);
    }
    fn copy_in(&self, offset: usize, into: &mut [u8]) {
        into.copy_from_slice(&self.0.borrow()[offset..offset + into.len()]);
    }
    fn copy_out(&self, offset: usize, from: &[u8]) {
        self.0.borrow_mut()[offset..offset + from.len()].copy_from_slice(from);
    }
}

#[test]
fn sizes_are_those_of_the_header() {
    // Block: requests of 112 bytes; network: 12 bytes out, 8 in.
    assert_eq!([slots(4096, 112), slots(16 * 4096, 112)], [32, 512]);
    assert_eq!([slots(4096, 12), slots(4096, 8)], [256, 256]);
}

#[test]
fn notifications_are_due_exactly_when_the_event_index_is_passed() {
    // Every distance between the three indices that a small ring can have, across the wrap-around.
    for old in (0..40u32).map(|n| n.wrapping_sub(20)) {
        for len in 0..=16 {
            let new = old.wrapping_add(len);
            for event in (0..64).map(|n| old.wrapping_sub(32).wrapping_add(n)) {
                let passed = (1..=len).any(|n| old.wrapping_add(n) == event);
                assert_eq!(passes(old, new, event), passed, "{old} {new} {event}");
            }
        }
    }
}

/// Both ends of a ring, what each was told, and what each should see.
struct Pair {
    front: Front<Memory>,
    back: Back<Memory>,
    requests: u32,
    responses: u32,
    taken: u32,
    got: u32,
    /// Whether each sleeps, and has not been notified since.
    front_sleeps: bool,
    back_sleeps: bool,
}

const STEPS: u32 = 7;

impl Pair {
    fn new(slots: usize, start: u32) -> Self {
        let memory = Memory::of_slots(slots);
        let front = Front::from(memory.clone(), 4, start);
        let back = Back::attach(memory, 4).unwrap();
        Self {
            front,
            back,
            requests: 0,
            responses: 0,
            taken: 0,
            got: 0,
            front_sleeps: false,
            back_sleeps: false,
        }
    }

    /// One step of either; gives whether it could be taken.
    fn step(&mut self, step: u32) -> bool {
        match step {
            0 if self.front.room() > 0 => {
                self.front.push(&self.requests.to_le_bytes());
                self.requests += 1;
            }
            1 => self.back_sleeps &= !self.front.publish(),
            2 => match self.front.take::<u32>().unwrap() {
                Some(response) => {
                    assert_eq!(response, self.got + 100);
                    self.got += 1;
                }
                None => self.front_sleeps = true,
            },
            3 if !self.back_sleeps => match self.back.take::<u32>().unwrap() {
                Some(request) => {
                    assert_eq!(request, self.taken);
                    self.taken += 1;
                }
                None => self.back_sleeps = true,
            },
            4 if self.back.due() > 0 => {
                self.back.push(&(self.responses + 100).to_le_bytes());
                self.responses += 1;
            }
            5 => self.front_sleeps &= !self.back.publish(),
            6 if self.back.due() > 0 => {
                // An answer on the spot, as a backend gives it.
                self.back.push(&(self.responses + 100).to_le_bytes());
                self.responses += 1;
                self.front_sleeps &= !self.back.publish();
            }
            _ => return false,
        }
        true
    }

    /// Both do what they are awake for; then nothing may be left.
    fn settle(mut self) {
        self.step(1);
        self.step(5);
        for _ in 0..100 {
            self.step(3);
            self.step(6);
            if !self.front_sleeps {
                self.step(2);
            }
        }
        assert_eq!(
            (self.taken, self.responses, self.got),
            (self.requests, self.requests, self.requests),
            "somebody sleeps although there is something to do"
        );
    }
}

#[test]
fn no_order_of_steps_loses_a_message_or_a_wake_up() {
    const DEPTH: u32 = 7;
    for slots in [1, 2] {
        for start in [0, u32::MAX - 1] {
            for order in 0..STEPS.pow(DEPTH) {
                let mut pair = Pair::new(slots, start);
                let possible = (0..DEPTH).all(|n| pair.step(order / STEPS.pow(n) % STEPS));
                if possible {
                    pair.settle();
                }
            }
        }
    }
}

#[test]
fn absurd_indices_are_corrupt_and_good_ones_are_not() {
    for start in [0u32, u32::MAX - 2] {
        for published in 0..=4u32 {
            for distance in (0..12).map(|n: u32| n.wrapping_sub(6)).chain([1 << 31, u32::MAX / 2]) {
                let memory = Memory::of_slots(4);
                let mut front = Front::from(memory.clone(), 4, start);
                (0..published).for_each(|n| front.push(&n.to_le_bytes()));
                let _ = front.publish();
                memory.store(RSP_PROD, start.wrapping_add(distance));
                let taken = front.take::<u32>();
                assert_eq!(taken.is_err(), distance > published, "{start} {published} {distance}");

                let memory = Memory::of_slots(4);
                drop(Front::from(memory.clone(), 4, start));
                let mut back = Back::attach(memory.clone(), 4).unwrap();
                memory.store(REQ_PROD, start.wrapping_add(distance));
                assert_eq!(back.take::<u32>().is_err(), distance > 4);
                assert_eq!(Back::attach(memory, 4).is_err(), distance > 4);
            }
        }
    }
}

#[test]
fn a_request_that_was_not_published_cannot_be_answered() {
    let memory = Memory::of_slots(4);
    let mut front = Front::new(memory.clone(), 4);
    front.push(&[0; 4]);
    memory.store(RSP_PROD, 1);
    assert_eq!(front.take::<u32>(), Err(Corrupt));
}

#[test]
fn an_index_that_changes_later_does_not_change_what_was_seen() {
    let memory = Memory::of_slots(4);
    let mut front = Front::new(memory.clone(), 4);
    (0..3u32).for_each(|n| front.push(&n.to_le_bytes()));
    assert!(front.publish());
    memory.store(RSP_PROD, 2);
    assert!(front.take::<u32>().unwrap().is_some());
    // Back again, and beyond: both after we had looked.
    memory.store(RSP_PROD, 77);
    assert!(front.take::<u32>().unwrap().is_some());
    assert_eq!(front.take::<u32>(), Err(Corrupt));
}

#[test]
fn a_backend_takes_up_where_another_left() {
    let memory = Memory::of_slots(4);
    let mut front = Front::from(memory.clone(), 4, u32::MAX);
    (0..3u32).for_each(|n| front.push(&n.to_le_bytes()));
    assert!(front.publish());
    let mut first = Back::attach(memory.clone(), 4).unwrap();
    assert_eq!(first.take::<u32>(), Ok(Some(0)));
    first.push(&[9; 4]);
    assert!(first.publish());
    assert_eq!(first.take::<u32>(), Ok(Some(1)));
    // It dies with one request in hand; that one is seen again.
    let mut second = Back::attach(memory, 4).unwrap();
    assert_eq!(second.take::<u32>(), Ok(Some(1)));
    assert_eq!(second.due(), 1);
}

#[test]
#[should_panic(expected = "more than there are slots")]
fn a_full_ring_takes_no_more() {
    let mut front = Front::new(Memory::of_slots(1), 4);
    front.push(&[0; 4]);
    front.push(&[0; 4]);
}

#[test]
fn who_asks_for_several_responses_gets_one_event_for_them() {
    for start in [0, u32::MAX - 1] {
        let memory = Memory::of_slots(4);
        let mut front = Front::from(memory.clone(), 4, start);
        let mut back = Back::attach(memory, 4).unwrap();
        (0..4u32).for_each(|n| front.push(&n.to_le_bytes()));
        let _ = front.publish();
        assert_eq!(front.try_take::<u32>(), Ok(None));
        assert_eq!(front.ask(3), Ok(false));
        for n in 0..4u32 {
            let _ = back.take::<u32>().unwrap();
            back.push(&n.to_le_bytes());
            assert_eq!(back.publish(), n == 2, "the third is what was asked for");
        }
        assert_eq!(front.ask(4), Ok(true));
        for n in 0..4u32 {
            assert_eq!(front.try_take::<u32>(), Ok(Some(n)));
        }
        assert_eq!(front.try_take::<u32>(), Ok(None));
    }
}
