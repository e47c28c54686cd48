//! Answers that are right, and each way in which they can be wrong.

use super::*;

const QUESTION: Question = Question { nonce: 0x0123_4567_89ab_cdef, sent_ns: 5 * NS_PER_S };
/// 2026-11-25 12:00:00.5, as servers count.
const NOON: u64 = (1_795_608_000 + SECONDS_BEFORE_1970) << 32 | 1 << 31;
const NOON_NS: u64 = 1_795_608_000 * NS_PER_S + NS_PER_S / 2;
const MS: u64 = 1_000_000;

/// A good one: it was on its way for 20 ms and with the server for 10 ms.
fn good() -> [u8; LEN] {
    let mut packet = [0; LEN];
    packet[0] = 4 << 3 | 4;
    packet[1] = 2;
    // Root delay 1/4 s, root dispersion 1/8 s.
    packet[4..8].copy_from_slice(&(1u32 << 14).to_be_bytes());
    packet[8..12].copy_from_slice(&(1u32 << 13).to_be_bytes());
    packet[12..16].copy_from_slice(&[10, 0, 0, 9]);
    packet[24..32].copy_from_slice(&QUESTION.nonce.to_be_bytes());
    packet[32..40].copy_from_slice(&(NOON - (10 << 32) / 1000).to_be_bytes());
    packet[40..48].copy_from_slice(&NOON.to_be_bytes());
    packet
}

const BACK_NS: u64 = QUESTION.sent_ns + 30 * MS;

fn with(at: usize, bytes: &[u8]) -> Result<Answer, Refused> {
    let mut packet = good();
    packet[at..at + bytes.len()].copy_from_slice(bytes);
    QUESTION.answer(&packet, BACK_NS)
}

#[test]
fn the_question_tells_nothing_of_us() {
    let packet = QUESTION.packet();
    assert_eq!((packet[0], packet[1..40].iter().all(|byte| *byte == 0)), (0x23, true));
    assert_eq!(packet[40..], QUESTION.nonce.to_be_bytes());
}

#[test]
fn a_good_answer_says_when_our_clock_stood_at_zero() {
    let answer = QUESTION.answer(&good(), BACK_NS).unwrap();
    // Half of a time stamp's last bit is lost.
    assert!(answer.delay_ns.abs_diff(20 * MS) < 2 && answer.stratum == 2);
    assert!((answer.epoch_ns + BACK_NS).abs_diff(NOON_NS + 10 * MS) < 2);
    assert!(answer.error_ns.abs_diff(10 * MS + NS_PER_S / 4) < 2);
    // Extensions behind it are nothing to us, nor are older versions.
    let longer = [&good()[..], &[7; 20]].concat();
    assert_eq!(QUESTION.answer(&longer, BACK_NS), Ok(answer));
    assert_eq!(with(0, &[3 << 3 | 4]), Ok(answer));
}

#[test]
fn what_is_no_answer_is_told_from_what_is_a_bad_one() {
    for len in 0..LEN {
        assert_eq!(QUESTION.answer(&good()[..len], BACK_NS), Err(Refused::NoAnswer));
    }
    for mode in [0, 1, 2, 3, 5, 6, 7] {
        assert_eq!(with(0, &[4 << 3 | mode]), Err(Refused::NoAnswer));
    }
    for version in [0, 5, 6, 7] {
        assert_eq!(with(0, &[version << 3 | 4]), Err(Refused::NoAnswer));
    }
    // Each bit of what was drawn counts, also for a refusal, which else anybody could send.
    for bit in 0..64 {
        let nonce = QUESTION.nonce ^ 1 << bit;
        assert_eq!(with(24, &nonce.to_be_bytes()), Err(Refused::NoAnswer));
        let mut kiss = good();
        kiss[1] = 0;
        kiss[12..16].copy_from_slice(b"DENY");
        kiss[24..32].copy_from_slice(&nonce.to_be_bytes());
        assert_eq!(QUESTION.answer(&kiss, BACK_NS), Err(Refused::NoAnswer));
    }
}

#[test]
fn servers_may_refuse() {
    let kiss = |code: &[u8; 4]| {
        let mut packet = good();
        packet[1] = 0;
        packet[12..16].copy_from_slice(code);
        QUESTION.answer(&packet, BACK_NS)
    };
    assert_eq!((kiss(b"DENY"), kiss(b"RSTR")), (Err(Refused::Denied), Err(Refused::Denied)));
    assert_eq!((kiss(b"RATE"), kiss(b"INIT")), (Err(Refused::TooOften), Err(Refused::Kiss(*b"INIT"))));
    assert_eq!(Refused::Kiss(*b"A\n\0\xff").to_string(), "the server refuses: A\\n\\x00\\xff");
}

#[test]
fn servers_that_do_not_know_or_talk_nonsense_are_not_believed() {
    assert_eq!(with(0, &[3 << 6 | 4 << 3 | 4]), Err(Refused::Unsynchronised));
    for stratum in [16, 17, 255] {
        assert_eq!(with(1, &[stratum]), Err(Refused::Unsynchronised));
    }
    assert!(with(1, &[15]).is_ok());
    for at in [32, 40] {
        assert_eq!(with(at, &[0; 8]), Err(Refused::Absurd));
    }
    // Sent before it was received, and kept for longer than it was away.
    assert_eq!(with(32, &(NOON + 1000).to_be_bytes()), Err(Refused::Absurd));
    assert_eq!(with(32, &(NOON - (1 << 32)).to_be_bytes()), Err(Refused::Absurd));
    // Sixteen seconds, and all that there may be.
    for span in [16u32 << 16, u32::MAX] {
        assert_eq!(with(8, &span.to_be_bytes()), Err(Refused::Absurd));
    }
    assert_eq!(QUESTION.answer(&good(), QUESTION.sent_ns - 1), Err(Refused::Absurd));
    assert_eq!(QUESTION.answer(&good(), BACK_NS + 3 * NS_PER_S), Err(Refused::Late));
}

#[test]
fn time_goes_on_when_the_seconds_of_servers_run_out() {
    // 2036-02-07 06:28:15 is the last second of the first 2^32.
    let last = 2_085_978_495;
    assert_eq!(since_1970_ns(u64::from(u32::MAX) << 32), last * NS_PER_S);
    assert_eq!(since_1970_ns(1), (last + 1) * NS_PER_S);
    assert_eq!(since_1970_ns(0), (last + 1) * NS_PER_S);
    assert_eq!(since_1970_ns(u64::from(EARLIEST) << 32), 1_735_689_600 * NS_PER_S);
    // A question before and its answer after it.
    let mut packet = good();
    packet[32..40].copy_from_slice(&u64::MAX.to_be_bytes());
    packet[40..48].copy_from_slice(&(1u64 << 20).to_be_bytes());
    let answer = QUESTION.answer(&packet, BACK_NS).unwrap();
    assert!((answer.epoch_ns + BACK_NS).abs_diff((last + 1) * NS_PER_S + 15 * MS) < MS);
}

#[test]
fn any_bytes_are_read_without_harm() {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    for _ in 0..200_000 {
        let mut packet = good();
        for _ in 0..next() % 8 {
            let at = next() as usize % LEN;
            // The nonce is right most times, or little else would be looked at.
            if !(24..32).contains(&at) || next() % 16 == 0 {
                packet[at] = next() as u8;
            }
        }
        let question = Question { sent_ns: next() << (next() % 33), ..QUESTION };
        if let Ok(answer) = question.answer(&packet, next() << (next() % 33)) {
            assert!(answer.delay_ns <= MAX_DELAY_NS && (1..16).contains(&answer.stratum));
            assert!(
                answer.error_ns >= answer.delay_ns / 2 && answer.error_ns < MAX_DISTANCE_NS + MAX_DELAY_NS
            );
        }
    }
}

#[test]
fn the_majority_is_believed() {
    let answer = |epoch_ns, error_ns, delay_ns| Answer { epoch_ns, error_ns, delay_ns, stratum: 1 };
    let (one, other, liar) = (answer(1000, 20, 9), answer(1030, 15, 50), answer(5000, 3, 1));
    assert_eq!(agreed(&[]), None);
    assert_eq!(agreed(&[one]), Some(one));
    assert_eq!(agreed(&[one, other]), Some(other));
    assert_eq!(agreed(&[one, liar, other]), Some(other));
    // Word against word.
    assert_eq!(agreed(&[one, liar]), None);
    assert_eq!(agreed(&[one, liar, answer(9000, 3, 1)]), None);
    // Who says nothing contradicts nobody.
    let vague = answer(u64::MAX, u64::MAX, 0);
    assert_eq!(agreed(&[vague, one]), Some(one));
}
