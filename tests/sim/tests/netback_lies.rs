//! What a hostile network backend does on command.

mod common;

use common::{EXTRA, MORE, Machine, NetFront, RX_SLOT, Rings, Says, frame, u16_at};
use fata_sim::{NetFeatures, NetLie, Way};

fn machine() -> (Machine, NetFront) {
    let machine = Machine::new(NetFeatures::default());
    let front = NetFront::ready(&machine, &Says::default());
    (machine, front)
}

/// The answers to a frame of two pages.
fn answers(lie: Option<NetLie>) -> Vec<[u8; RX_SLOT]> {
    let (machine, mut front) = machine();
    front.rings[0].post(&machine, 64);
    machine.back.lie(lie);
    machine.back.inject(&frame(5000));
    machine.settle();
    front.rings[0].answers()
}

fn fields(answer: &[u8; RX_SLOT]) -> (u16, u16, u16, i16) {
    let [id, offset, flags, status] = [0, 2, 4, 6].map(|at| u16_at(answer, at));
    (id, offset, flags, status as i16)
}

#[test]
fn each_lie_about_a_frame_is_another() {
    let honest = answers(None);
    assert_eq!(honest.iter().map(fields).collect::<Vec<_>>(), [(0, 0, MORE, 4096), (1, 0, 0, 904)]);
    let mut told = vec![honest];
    for lie in NetLie::ALL.into_iter().filter(|lie| !lie.is_of_sent()) {
        let answers = answers(Some(lie));
        assert!(!told.contains(&answers), "{lie:?} {answers:?}");
        told.push(answers);
    }
}

#[test]
fn lies_say_what_their_names_say() {
    assert_eq!(fields(&answers(Some(NetLie::Offset))[0]), (0, 4095, MORE, 4096));
    assert_eq!(fields(&answers(Some(NetLie::Length))[0]), (0, 0, MORE, 4097));
    assert_eq!(fields(&answers(Some(NetLie::Failed))[1]), (1, 0, 0, -1));
    let long = answers(Some(NetLie::Long));
    assert_eq!(long.len(), 100);
    assert!((0..100).zip(&long).all(|(n, answer)| u16_at(answer, 0) == n && u16_at(answer, 4) & MORE != 0));
    let extra = answers(Some(NetLie::UnknownExtra));
    assert_eq!((extra.len(), extra[1][0], u16_at(&extra[0], 4) & EXTRA), (3, 14, EXTRA));
    let twice = answers(Some(NetLie::Twice));
    assert_eq!((twice.len(), twice[0], twice[1]), (4, twice[2], twice[3]));
}

#[test]
fn what_was_sent_is_answered_wrongly() {
    // A packet of two slots, while another is under way that is not answered.
    let sent = |lie| {
        let (machine, mut front) = machine();
        machine.back.lie(Some(NetLie::SentNothing));
        front.rings[0].send(&machine, &frame(300), &[100, 200], 20);
        machine.settle();
        assert_eq!(front.rings[0].sent(), []);
        machine.back.lie(lie);
        front.rings[0].send(&machine, &frame(300), &[100, 200], 0);
        machine.settle();
        front.rings[0].sent()
    };
    assert_eq!(sent(None), [(0, 0), (1, 0)]);
    assert_eq!(sent(Some(NetLie::SentId)), [(0x8000, 0), (0x8001, 0)]);
    assert_eq!(sent(Some(NetLie::SentOther)), [(1, 0), (0, 0)]);
    assert_eq!(sent(Some(NetLie::SentTwice)), [(0, 0), (0, 0), (1, 0), (1, 0)]);
    assert_eq!(sent(Some(NetLie::SentStatus)), [(0, i16::MIN), (1, i16::MIN)]);
    assert_eq!(sent(Some(NetLie::SentNull)), [(0, 1), (1, 1)]);
    assert_eq!(sent(Some(NetLie::SentNothing)), []);
}

#[test]
fn answers_are_changed_and_made_up() {
    let (machine, mut front) = machine();
    machine.back.tamper(|answers| answers.extend([[9; RX_SLOT]; 70]));
    machine.back.inject(&frame(60));
    machine.settle();
    let ring: &mut Rings = &mut front.rings[0];
    assert_eq!(ring.answers().len(), 64, "as many as were asked for");
    ring.post(&machine, 2);
    machine.back.forge(0, Way::Rx, &[7; RX_SLOT]);
    assert_eq!(ring.answers(), [[7; RX_SLOT]]);
    machine.back.publish(0, Way::Rx, 10_000);
    assert!(ring.rx.take::<[u8; RX_SLOT]>().is_err());
    machine.back.set_storm(true);
    machine.xen.demux();
    let events = ring.tx_channel.signal().count();
    machine.back.inject(&frame(60));
    machine.settle();
    machine.xen.demux();
    assert!(ring.tx_channel.signal().count() > events);
}
