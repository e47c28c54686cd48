//! Backends that do what makes no sense, but breaks nothing: what can be used is, and what cannot is dropped and counted.

mod common;

use common::packets::{raw, tcp};
use common::two::{EXTRA, FLAGS, ID, MORE, STATUS, Tamper, Two, or, set, works};
use common::{Machine, receive_all, send};
use fata_link::Link;
use fata_net::{Options, State, Totals};
use fata_sim::{Csum, Frame, NetFeatures, Way};
use xen_hyp::SharedMem;

/// How often something was counted.
type Count = fn(&Totals) -> u64;

/// Each is an answer to a frame which is dropped and counted.
const ODD: [(&str, Tamper, Count); 5] = [
    ("a failure", |a| a.iter_mut().for_each(|a| set(a, STATUS, -1i16 as u16)), |t| t.rx_failed),
    ("an absurd failure", |a| set(&mut a[0], STATUS, i16::MIN as u16), |t| t.rx_failed),
    ("a failure of a later part", |a| set(&mut a[1], STATUS, -2i16 as u16), |t| t.rx_failed),
    ("nothing at all", |a| a.iter_mut().for_each(|a| set(a, STATUS, 0)), |t| t.rx_too_short),
    (
        "less than a header",
        |a| {
            set(&mut a[0], STATUS, 13);
            set(&mut a[1], STATUS, 0);
        },
        |t| t.rx_too_short,
    ),
];

/// Each is an answer to a frame that comes all the same.
const FINE: [(&str, Tamper); 2] =
    [("flags that do not exist", |a| or(&mut a[0], 0xf0)), ("flags in later parts", |a| or(&mut a[1], 0xf3))];

/// What they are, and what becomes of the frame.
type Extras = (&'static str, &'static [[u8; 8]], Result<(), Count>);

/// Extra infos after the first of two parts, and what becomes of the frame.
const EXTRAS: [Extras; 8] = [
    ("segments of no size", &[[1, 0, 0, 0, 1, 0, 0, 0]], Ok(())),
    ("segments of an absurd kind", &[[1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]], Ok(())),
    (
        "all kinds",
        &[
            [1, 1, 0, 5, 1, 0, 0, 0],
            [2, 1, 0, 0, 0, 0, 0, 0],
            [3, 1, 0, 0, 0, 0, 0, 0],
            [4, 0, 0, 0, 0, 0, 0, 0],
        ],
        Ok(()),
    ),
    ("twenty times the same", &[[1, 1, 0, 5, 1, 0, 0, 0]; 20], Err(|_| 0)),
    ("one that does not exist", &[[0; 8]], Err(|totals| totals.rx_unknown)),
    ("another", &[[200, 0, 1, 2, 3, 4, 5, 6]], Err(|totals| totals.rx_unknown)),
    (
        "some, one of which does not exist",
        &[[1, 1, 0, 0, 9, 9, 9, 9], [5, 1, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]],
        Err(|totals| totals.rx_unknown),
    ),
    ("sixty that do not exist", &[[0xff; 8]; 60], Err(|_| 0)),
];

#[test]
fn a_frame_that_makes_no_sense_is_dropped_and_counted() {
    for (what, tamper, count) in ODD {
        println!("{what}");
        let two = Two::new(Options::default());
        let machine = &two.machine;
        let mut tasks = two.tasks();
        tasks.run();
        machine.back.tamper(tamper);
        machine.back.inject(&raw(6000, 1));
        tasks.run();
        assert!(receive_all(&mut machine.nic.phy()).is_empty(), "{what}");
        let totals = machine.nic.totals();
        assert_eq!((count(&totals), totals.rx_frames), (1, 0), "{what}");
        machine.back.tamper(|_| {});
        works(machine, &mut tasks);
        assert_eq!((count(&machine.nic.totals()), machine.nic.state()), (1, State::Ready), "{what}");
        two.check(&mut tasks, what);
        drop(tasks);
        two.finish();
    }
}

#[test]
fn what_is_odd_but_does_no_harm_is_overlooked() {
    for (what, tamper) in FINE {
        println!("{what}");
        let machine = Machine::usual();
        let mut tasks = machine.tasks();
        tasks.run();
        machine.back.tamper(tamper);
        machine.back.inject(&raw(4196, 1));
        tasks.run();
        let frames = receive_all(&mut machine.nic.phy());
        assert!(frames.len() == 1 && frames[0][..4096] == raw(4196, 1).bytes[..4096], "{what}");
        machine.back.tamper(|_| {});
        works(&machine, &mut tasks);
        drop(tasks);
        machine.finish();
    }
    // What the guest alone writes, and events for nothing.
    let machine = Machine::usual();
    let mut tasks = machine.tasks();
    tasks.run();
    for way in [Way::Tx, Way::Rx] {
        let ring = machine.back.ring(0, way).unwrap();
        let (requests, event) = (ring.load(0), ring.load(12));
        ring.store(0, 0xdead_beef);
        ring.store(12, 0x1234_5678);
        (0..1000).for_each(|_| machine.back.notify(0, way));
        receive_all(&mut machine.nic.phy());
        ring.store(0, requests);
        ring.store(12, event);
    }
    works(&machine, &mut tasks);
    drop(tasks);
    machine.finish();
}

#[test]
fn extra_infos_are_taken_for_what_they_are() {
    for (what, infos, fate) in EXTRAS {
        println!("{what}");
        let two = Two::new(Options::default());
        let Machine { nic, back, .. } = &two.machine;
        let mut tasks = two.tasks();
        tasks.run();
        // Requests have ascending ids at first.
        let answer = |id: usize, flags: u16, size: u16| {
            let mut answer = [0; 8];
            set(&mut answer, ID, id as u16);
            set(&mut answer, FLAGS, flags);
            set(&mut answer, STATUS, size);
            answer
        };
        back.forge(0, Way::Rx, &answer(0, EXTRA | MORE, 1000));
        infos.iter().for_each(|info| back.forge(0, Way::Rx, info));
        back.forge(0, Way::Rx, &answer(1 + infos.len(), 0, 500));
        tasks.run();
        let lengths: Vec<_> = receive_all(&mut nic.phy()).iter().map(Vec::len).collect();
        let totals = nic.totals();
        match fate {
            Ok(()) => assert_eq!(lengths, [1500], "{what}"),
            // One that says there is more has the next part taken for it.
            Err(count) if infos.last().is_some_and(|info| info[1] & 1 != 0) => {
                assert_eq!((lengths, count(&totals)), (vec![], 0), "{what}");
            }
            Err(count) => assert_eq!((lengths, count(&totals)), (vec![], 1), "{what}"),
        }
        tasks.run();
        assert_eq!(nic.state(), State::Ready, "{what}");
        two.check(&mut tasks, what);
        two.machine.replug();
        works(&two.machine, &mut tasks);
        drop(tasks);
        two.finish();
    }
}

/// A chain that never ends takes no more memory than the longest frame, and one that ends at last is too long.
#[test]
fn a_chain_that_does_not_end_is_not_waited_for_in_memory() {
    for bytes in [4096, 100, 0] {
        let machine = Machine::usual();
        let mut phy = machine.nic.phy();
        let mut tasks = machine.tasks();
        tasks.run();
        let lent = machine.lent();
        machine.back.tamper(|answers| answers.iter_mut().for_each(|answer| or(answer, MORE)));
        let (mut chained, most) = (0, if bytes == 100 { 700 } else { 300 });
        while chained < most {
            machine.back.inject(&raw(bytes.max(14), 0));
            tasks.run();
            assert!(receive_all(&mut phy).is_empty());
            chained += 1;
        }
        assert_eq!((machine.nic.state(), machine.lent()), (State::Ready, lent));
        // Its end.
        machine.back.tamper(|_| {});
        machine.back.inject(&raw(60, 0));
        tasks.run();
        let frames = receive_all(&mut phy);
        let totals = machine.nic.totals();
        let length = most * bytes.max(14) + 60;
        if length > 17 * 4096 {
            assert_eq!((frames.len(), totals.rx_too_long, totals.rx_frames), (0, 1, 0));
        } else {
            assert_eq!((frames.len(), frames[0].len(), totals.rx_too_long), (1, length, 0));
        }
        works(&machine, &mut tasks);
        drop(tasks);
        machine.finish();
    }
}

/// A checksum that the backend vouches for is its word; one that it does not is looked at.
#[test]
fn lies_about_checksums_fool_only_those_who_asked_for_them() {
    let flags = [0u16, 1, 2, 3];
    for checksum in [true, false] {
        let machine = Machine::new(Options { checksum, ..Options::default() }, NetFeatures::default());
        let mut phy = machine.nic.phy();
        let mut tasks = machine.tasks();
        tasks.run();
        for flag in flags {
            machine.back.tamper(move |answers| set(&mut answers[0], FLAGS, flag));
            let mut frame = tcp(4, [1, 2], b"some data");
            frame.bytes[60] ^= 1;
            machine.back.inject(&Frame { csum: Csum::Full, ..frame });
            tasks.run();
            let passes = checksum && flag != 0;
            assert_eq!(receive_all(&mut phy).len(), usize::from(passes), "{checksum} {flag}");
        }
        assert_eq!(machine.nic.totals().rx_bad_sum, if checksum { 1 } else { 4 });
        drop(tasks);
        machine.finish();
    }
}

/// Statuses of what was sent are counted, whatever they are.
#[test]
fn failures_of_what_was_sent_are_counted() {
    let machine = Machine::usual();
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    let statuses = [0, -1, -2, -3, i16::MIN, 2, i16::MAX];
    machine.back.judge(move |sending| Some(statuses[sending.nth as usize % 7]).filter(|&status| status != 0));
    for n in 0..70 {
        assert!(send(&mut phy, &raw(if n % 2 == 0 { 60 } else { 9000 }, n).bytes));
        phy.flush();
        tasks.run();
    }
    while send(&mut phy, &raw(60, 0).bytes) {}
    let totals = machine.nic.totals();
    assert_eq!((totals.tx_dropped, totals.tx_failed), (10, 50));
    machine.back.behave();
    phy.flush();
    drop(tasks);
    machine.finish();
}
