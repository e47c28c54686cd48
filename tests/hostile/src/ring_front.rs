//! What a hostile peer may do to the memory of a ring: each end of each kind of ring keeps its bounds.

use crate::script::Script;
use fata_ring::{Back, ByteRing, Consumer, Front, Producer};
use std::cell::RefCell;
use std::rc::Rc;
use xen_hyp::SharedMem;

/// Memory that the peer writes to whenever it likes. Out of its bounds, slices panic.
#[derive(Clone)]
struct Memory(Rc<RefCell<Vec<u8>>>);

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

/// The peer writes a word: near another one, which is how indices come right, or any.
fn scribble(script: &mut Script<'_>, memory: &Memory) -> Option<()> {
    let words = memory.size() / 4;
    // Most of the time one of the first, where indices are.
    let which = script.byte()?;
    let at = if which < 128 { usize::from(which) % 8 } else { script.word()? as usize % words } % words;
    let value = match script.byte()? {
        near @ 0..200 => {
            memory.load(4 * (usize::from(near) / 40 % 4)).wrapping_add(u32::from(near) % 40).wrapping_sub(8)
        }
        _ => script.word()?,
    };
    memory.store(4 * at, value);
    Some(())
}

fn front(script: &mut Script<'_>, memory: Memory, slot_bytes: usize) -> Option<()> {
    let mut front = Front::new(memory.clone(), slot_bytes);
    let size = front.size();
    let (mut pushed, mut published, mut taken) = (0u32, 0, 0);
    loop {
        match script.byte()? % 4 {
            0 => scribble(script, &memory)?,
            1 if front.room() > 0 => {
                let len = script.below(slot_bytes + 1)?;
                front.push_parts(&[&vec![0x11; len / 2], &vec![0x22; len - len / 2]]);
                pushed += 1;
            }
            2 => {
                let _ = front.publish();
                published = pushed;
            }
            _ => match front.take::<u32>() {
                Ok(Some(_)) => taken += 1,
                Ok(None) => {}
                // Whoever has it gives it up.
                Err(_) => return None,
            },
        }
        assert!(taken <= published && published <= pushed && pushed - taken <= size);
        assert_eq!(front.room(), size - (pushed - taken));
    }
}

fn back(script: &mut Script<'_>, memory: Memory, slot_bytes: usize) -> Option<()> {
    let mut back = Back::attach(memory.clone(), slot_bytes).ok()?;
    let (mut taken, mut answered) = (0u32, 0);
    loop {
        match script.byte()? % 4 {
            0 => scribble(script, &memory)?,
            1 if back.due() > 0 => {
                back.push(&vec![0x33; script.below(slot_bytes + 1)?]);
                answered += 1;
            }
            2 => _ = back.publish(),
            _ => match back.take::<u32>() {
                Ok(Some(_)) => taken += 1,
                Ok(None) => {}
                Err(_) => return None,
            },
        }
        assert!(answered <= taken && taken - answered <= back.size());
        assert_eq!(back.due(), taken - answered);
    }
}

fn bytes(script: &mut Script<'_>, memory: Memory, ring: ByteRing) -> Option<()> {
    let size = ring.size as usize;
    let (producer, consumer) = (Producer::new(memory.clone(), ring), Consumer::new(memory.clone(), ring));
    let mut into = vec![0; 2 * size];
    loop {
        match script.byte()? % 5 {
            0 => scribble(script, &memory)?,
            1 => {
                let data = vec![0x44; script.below(2 * size)?];
                if let Ok(producer) = &producer {
                    let Ok(room) = producer.room() else { continue };
                    assert!(room <= size);
                    assert_eq!(producer.write(&data).unwrap(), room.min(data.len()));
                }
            }
            2 => {
                if let Ok(producer) = &producer {
                    let _ = (producer.must_notify(), producer.forget_told());
                    assert!(producer.unread().is_ok_and(|unread| unread <= size) || producer.room().is_err());
                }
            }
            _ => {
                let len = script.below(2 * size)?;
                if let Ok(consumer) = &consumer
                    && let Ok((read, _)) = consumer.read(&mut into[..len])
                {
                    assert!(read <= len.min(size));
                }
            }
        }
    }
}

/// One input.
pub fn ring_front(input: &[u8]) {
    let mut script = Script(input);
    let _ = run(&mut script);
}

fn run(script: &mut Script<'_>) -> Option<()> {
    let kind = script.byte()? % 3;
    let slot_bytes = 4 * (1 + script.below(28)?);
    let memory = Memory(Rc::new(RefCell::new(vec![0; 64 + slot_bytes * (1 + script.below(20)?)])));
    // What is there before we begin.
    for _ in 0..script.below(8)? {
        scribble(script, &memory)?;
    }
    let size = 1 << script.below(6)?;
    match kind {
        0 => front(script, memory, slot_bytes),
        1 => back(script, memory, slot_bytes),
        _ => bytes(script, memory, ByteRing { buffer: 16, size, prod: 0, cons: 4 }),
    }
}
