//! Any bytes as the answer of a time server: refused, or within the bounds that whoever sets a clock counts on.

use fata_time::Utc;
use fata_time::packet::{Answer, LEN, Question, agreed};

/// One input: for each answer, eight bytes of times and a packet whose nonce is right if its place says so.
pub fn time_answers(input: &[u8]) {
    let mut answers: Vec<Answer> = Vec::new();
    for piece in input.chunks(8 + LEN).take(16) {
        let Some((times, packet)) = piece.split_first_chunk::<8>() else { break };
        let word = |at: usize| {
            u64::from(u32::from_le_bytes([times[at], times[at + 1], times[at + 2], times[at + 3]]))
        };
        let (sent_ns, now_ns) = (word(0) << (times[0] & 31), word(4) << (times[4] & 31));
        let nonce = 0x0102_0304_0506_0708_u64;
        let mut packet = packet.to_vec();
        if let Some(place) = packet.get_mut(24..32).filter(|place| place[0] != 0xff) {
            place.copy_from_slice(&nonce.to_be_bytes());
        }
        match (Question { nonce, sent_ns }.answer(&packet, now_ns)) {
            Err(refused) => assert!(!refused.to_string().is_empty()),
            Ok(answer) => {
                assert!(packet.len() >= LEN && packet[24..32] == nonce.to_be_bytes() && now_ns >= sent_ns);
                assert!(answer.delay_ns <= now_ns - sent_ns && answer.error_ns >= answer.delay_ns / 2);
                let utc = Utc { seconds: (answer.epoch_ns + now_ns) / 1_000_000_000 };
                assert!((2024..2162).contains(&utc.civil().year), "{utc}");
                assert_eq!(Utc::of(utc.civil()), Some(utc));
                answers.push(answer);
            }
        }
    }
    if let Some(chosen) = agreed(&answers) {
        let near = |other: &&Answer| {
            other.epoch_ns.abs_diff(chosen.epoch_ns) <= other.error_ns.saturating_add(chosen.error_ns)
        };
        assert!(answers.contains(&chosen) && answers.iter().filter(near).count() * 2 > answers.len());
    }
}
