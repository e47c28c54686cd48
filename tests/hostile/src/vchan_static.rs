//! What a hostile end of a static vchan may do to the memory that both have, step by step, while the other end is read,
//! written, finished and closed: nobody panics or hangs, nothing is read that was not there, and nothing is left.
use crate::script::Script;
use fata_sim::{Page, SimCpu, Tasks, World};
use fata_vchan::{Error, StaticPlace, StaticVchan, meet};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use xen_hyp::{PAGE_SIZE, SharedMem};

const AT: u64 = 0x3400_0000;
/// Fields of a block (`docs/src/protocols.md`).
const LIFE: usize = 4;
const WITH: usize = 8;
const LIVE: usize = 16;
const FIELDS: usize = 9;
/// Everything but blocks is bytes of rings.
const BLOCKS: usize = 1024;

/// The memory, and where in it the two blocks are: ours and the hostile end's.
struct Peer {
    memory: Rc<Page>,
    ours: usize,
    theirs: usize,
}

impl Peer {
    fn get(&self, block: usize, field: usize) -> u32 {
        self.memory.load(block + field)
    }

    fn put(&self, field: usize, value: u32) {
        self.memory.store(self.theirs + field, value);
    }

    /// Begins a life as it should, and talks to that of the other end.
    fn begin(&self, life: u32) {
        let order = (self.memory.size() - BLOCKS).ilog2() - 1;
        let with = self.get(self.ours, LIFE);
        let words = [u32::from_le_bytes(*b"FVC1"), life | 1, with, order, 1, 0, 0, 1, 0];
        for (field, word) in words.into_iter().enumerate() {
            self.put(4 * field, word);
        }
    }
}

/// `None` at the end of the script.
fn step(script: &mut Script<'_>, peer: &Peer) -> Option<()> {
    match script.byte()? % 8 {
        // Indices and all else: near another field, which is how they come right, or any.
        0 | 1 => {
            let (which, near) = (script.below(FIELDS)? * 4, script.below(FIELDS)? * 4);
            let from = if script.byte()? & 1 == 0 { peer.ours } else { peer.theirs };
            let by = match script.byte()? {
                small @ 0..200 => u32::from(small).wrapping_sub(40),
                _ => script.word()?,
            };
            peer.put(which, peer.get(from, near).wrapping_add(by));
        }
        2 => peer.put(WITH, peer.get(peer.ours, LIFE)),
        3 => peer.put(LIFE, peer.get(peer.theirs, LIFE).wrapping_add(u32::from(script.byte()? % 4))),
        4 => peer.put(LIVE, u32::from(script.byte()?) % 5),
        5 => peer.begin(script.word()?),
        // Our own block is in their reach, too.
        6 => {
            let (at, value) = (script.word()? as usize, script.word()?);
            peer.memory.store(at % (peer.memory.size() / 4) * 4, value);
        }
        _ => {
            let (at, len) = (script.word()? as usize, script.below(64)?);
            peer.memory.copy_out(at % (peer.memory.size() - 64), script.bytes(len));
        }
    }
    Some(())
}

/// Does what `input` says to one end of a static vchan, while the other is used.
pub fn vchan_static(input: &[u8]) {
    let _ = run(&mut Script(input));
}

fn run(script: &mut Script<'_>) -> Option<()> {
    let kind = script.byte()?;
    let (serve, pages) = (kind & 1 != 0, [1, 2, 3, 16][usize::from(kind >> 1) % 4]);
    let world = World::new();
    let (ours, theirs) = (world.guest(), world.guest());
    let [a, b] = [&ours, &theirs].map(|xen| xen.platform().domain().clone());
    let (port, _) = world.static_event_channel(&a, &b);
    let memory = world.spare_memory(pages);
    a.pass(AT, &memory);
    let blocks = if serve { (0, 512) } else { (512, 0) };
    let peer = Peer { memory, ours: blocks.0, theirs: blocks.1 };
    // What was there before.
    for _ in 0..script.below(8)? {
        step(script, &peer)?;
    }
    let place = StaticPlace { at: AT, size: pages * PAGE_SIZE, port, serve };
    let vchan: RefCell<Option<Rc<StaticVchan<SimCpu>>>> = RefCell::default();
    {
        let mut tasks = Tasks::new(&world);
        tasks.spawn(async {
            if let Ok(made) = meet(&ours, &place).await {
                vchan.replace(Some(Rc::new(made)));
            }
        });
        let asked = Cell::new(0);
        let mut steps = || -> Option<()> {
            loop {
                let what = script.byte()?;
                if what % 3 != 0 {
                    step(script, &peer)?;
                    if what & 32 == 0 {
                        a.raise(port);
                    }
                    continue;
                }
                tasks.run();
                let Some(vchan) = vchan.borrow().clone() else { continue };
                let len = 1 + script.below(200)? * usize::from(what & 16 | 1);
                if asked.replace(asked.get() + 1) > 60 {
                    continue;
                }
                match what / 3 % 9 {
                    0 | 1 => tasks.spawn(async move {
                        let mut bytes = vec![0; len];
                        if let Ok(read) = vchan.read(&mut bytes).await {
                            assert!(read <= len);
                        }
                    }),
                    2 | 3 => tasks.spawn(async move {
                        if let Ok(written) = vchan.write(&vec![7; len]).await {
                            assert!((1..=len.min(vchan.capacity())).contains(&written));
                        }
                    }),
                    4 => tasks.spawn(async move { _ = vchan.recv(&mut vec![0; len]).await }),
                    5 => tasks.spawn(async move { _ = vchan.send(&vec![7; len]).await }),
                    6 => vchan.finish(),
                    7 => tasks.spawn(async move { vchan.part().await }),
                    _ => _ = vchan.probe(),
                }
            }
        };
        let _ = steps();
        tasks.run();
        // The other end is no more, and whoever waits is told.
        world.destroy(&b);
        if let Some(vchan) = &*vchan.borrow() {
            assert!(!vchan.probe());
            assert!(!vchan.is_open());
        }
        let waits = tasks.run();
        assert!(waits == 0 || (waits == 1 && vchan.borrow().is_none()), "{waits} wait");
        if let Some(vchan) = vchan.take() {
            tasks.spawn(async move {
                let error = vchan.write(b"x").await.unwrap_err();
                assert!(matches!(error, Error::Closed | Error::Gone | Error::Corrupt), "{error}");
                // Who waited has ended.
                assert_eq!(Rc::strong_count(&vchan), 1);
            });
            assert_eq!(tasks.run(), 0);
        }
    }
    world.assert_cleaned_up();
    Some(())
}
