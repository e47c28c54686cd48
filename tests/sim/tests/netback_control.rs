//! The control ring: how frames are spread.

mod common;

use common::{Machine, NetFront, Says, tcp, u16_at};
use fata_ring::Front;
use fata_sim::{Frame, NetFeatures, SimCpu};
use std::rc::Rc;
use xen_hyp::{Access, Channel, DomId, Granted, Pages};

const SUCCESS: u32 = 0;
const NOT_SUPPORTED: u32 = 1;
const INVALID: u32 = 2;

struct Control {
    ring: Front<Rc<Granted<SimCpu>>>,
    channel: Channel<SimCpu>,
}

impl Control {
    /// A ring, which has to be told of before the guest connects.
    fn new(machine: &Machine) -> Self {
        let page = Pages::new(1).unwrap().grant(&machine.xen, DomId::DOM0, Access::Write).unwrap();
        let control =
            Self { ring: Front::new(Rc::new(page), 16), channel: machine.xen.listen(DomId::DOM0).unwrap() };
        let vdev = machine.back.vdev();
        vdev.write_front("ctrl-ring-ref", control.ring.memory().gref().0.to_string());
        vdev.write_front("event-channel-ctrl", control.channel.port().0.to_string());
        control
    }

    /// What a request is answered with.
    fn ask(&mut self, machine: &Machine, kind: u16, data: [u32; 3]) -> (u32, u32) {
        let id = kind + 100;
        let data = data.map(u32::to_ne_bytes);
        self.ring.push_parts(&[&id.to_ne_bytes(), &kind.to_ne_bytes(), data.as_flattened()]);
        if self.ring.publish() {
            self.channel.notify();
        }
        machine.settle();
        let answer = self.ring.take::<[u8; 12]>().unwrap().unwrap();
        assert_eq!([u16_at(&answer, 0), u16_at(&answer, 2)], [id, kind]);
        let word = |at: usize| u32::from_ne_bytes(*answer[at..].first_chunk().unwrap());
        (word(4), word(8))
    }
}

fn key(machine: &Machine) -> Granted<SimCpu> {
    machine.lend(0, &(1..=40).collect::<Vec<u8>>())
}

#[test]
fn what_is_asked_is_answered_as_linux_does() {
    let machine = Machine::new(NetFeatures::default());
    let mut control = Control::new(&machine);
    let front = NetFront::ready(&machine, &Says { queues: 2, ..Says::default() });
    let (key, gone) = (key(&machine), 99_999);
    let gref = key.gref().0;
    let entries = machine.lend(0, [1u32, 0, 1, 2].map(u32::to_ne_bytes).as_flattened());
    let table = entries.gref().0;
    for (kind, data, answer) in [
        (0, [0; 3], (NOT_SUPPORTED, 0)),
        (1, [0; 3], (NOT_SUPPORTED, 0)),
        (2, [1, 0, 0], (INVALID, 0)),
        (7, [2, 0, 0], (INVALID, 0)),
        (7, [1, 0, 0], (SUCCESS, 0)),
        (1, [0; 3], (SUCCESS, 15)),
        (2, [16, 0, 0], (INVALID, 0)),
        (2, [15, 0, 0], (SUCCESS, 0)),
        (3, [gref, 41, 0], (INVALID, 0)),
        (3, [gone, 40, 0], (INVALID, 0)),
        (3, [gref, 40, 0], (SUCCESS, 0)),
        (4, [0; 3], (SUCCESS, 128)),
        (5, [129, 0, 0], (INVALID, 0)),
        (5, [4, 0, 0], (SUCCESS, 0)),
        (6, [table, 3, 0], (SUCCESS, 0)),
        (6, [table, 4, 0], (INVALID, 0)),
        (6, [table, 2, 3], (INVALID, 0)),
        (6, [table, u32::MAX, 2], (INVALID, 0)),
        (6, [gone, 1, 0], (INVALID, 0)),
        (8, [0; 3], (NOT_SUPPORTED, 0)),
        (99, [0; 3], (NOT_SUPPORTED, 0)),
    ] {
        assert_eq!(control.ask(&machine, kind, data), answer, "{kind} {data:?}");
    }
    front.close(&machine);
    drop((control, key, entries));
    machine.world.assert_cleaned_up();
}

#[test]
fn frames_come_with_their_hash_in_the_ring_that_it_says() {
    let machine = Machine::new(NetFeatures::default());
    let mut control = Control::new(&machine);
    let mut front = NetFront::ready(&machine, &Says { queues: 4, ..Says::default() });
    let key = key(&machine);
    for (kind, data) in [(7, [1, 0, 0]), (2, [2, 0, 0]), (3, [key.gref().0, 40, 0])] {
        assert_eq!(control.ask(&machine, kind, data).0, SUCCESS);
    }
    let mut inject = |frame: &Frame| {
        machine.back.inject(frame);
        machine.settle();
        (0..4).find_map(|n| Some((n, front.rings[n].receive().pop()?))).unwrap()
    };
    let mut hashes = Vec::new();
    for port in 0..8 {
        let (queue, (_, _, extra)) = inject(&tcp(4, [port, 80], b"data"));
        let [kind, more, of, algorithm, value @ ..] = extra.unwrap();
        let value = u32::from_ne_bytes(value);
        assert_eq!((kind, more, of, algorithm), (4, 0, 1, 1));
        assert_eq!(queue, value as usize % 4);
        hashes.push(value);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 8);
    // None for IPv6, which was not asked for.
    let (queue, (_, _, extra)) = inject(&tcp(6, [1, 80], b"data"));
    assert_eq!((queue, extra), (0, None));
    // Those to be cut say so first.
    let large = Frame { gso: Some(1000), ..tcp(4, [1, 80], &[7; 5000]) };
    machine.back.inject(&large);
    machine.settle();
    let answers: Vec<_> = (0..4).flat_map(|n| front.rings[n].answers()).collect();
    assert_eq!(answers.len(), 4);
    assert_eq!([answers[1][0], answers[1][1], answers[2][0], answers[2][1]], [1, 1, 4, 0]);
    // With a table it decides.
    let table = machine.lend(0, [3u32; 7].map(u32::to_ne_bytes).as_flattened());
    assert_eq!(control.ask(&machine, 5, [7, 0, 0]).0, SUCCESS);
    assert_eq!(control.ask(&machine, 6, [table.gref().0, 7, 0]).0, SUCCESS);
    for port in 0..8 {
        machine.back.inject(&tcp(4, [port, 80], b"data"));
    }
    machine.settle();
    assert_eq!(front.rings[3].answers().len(), 16);
}

#[test]
fn a_ring_that_was_not_lent_is_an_error() {
    let machine = Machine::new(NetFeatures::default());
    machine.back.vdev().write_front("ctrl-ring-ref", "99999");
    let front = NetFront::connect(&machine, &Says::default());
    assert_eq!((machine.back.queues(), machine.back.complaints().len()), (0, 1));
    drop(front);
    machine.world.assert_cleaned_up();
}
