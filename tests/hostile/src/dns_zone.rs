//! Any text as a zone file: an error that says where, or a zone that keeps to its bounds, is the same when it is written and
//! read again, and can be asked for all that is in it.

use crate::dns_query::sound;
use fata_dns::{ANSWER_MAX, Limits, Name, Transport, Zone, answer};
use std::rc::Rc;

const LIMITS: Limits = Limits { text: 64 << 10, names: 2000, records: 2000, data: 64 << 10 };
/// What a zone takes beside its data.
const BYTES: usize = 2000 * 64 + 4096;

/// Reads, writes, reads and asks.
///
/// # Panics
/// If the reader, or the zone that it makes, does what it must not.
pub fn dns_zone(input: &[u8]) {
    let lines = input.iter().filter(|byte| **byte == b'\n').count() as u32 + 1;
    let origin = Name::parse(b"example.", None).ok();
    let zone = match Zone::read(input, origin, LIMITS) {
        Ok((zone, _)) => zone,
        Err(error) => {
            assert!(error.line <= lines);
            assert!(error.to_string().len() < 500);
            return;
        }
    };
    assert!(zone.bytes() <= 4 * LIMITS.data + 4 * BYTES);
    let text = written(&zone);
    // Written out in full it may be longer than a file may be.
    let roomy = Limits { text: text.len(), ..LIMITS };
    let (again, _) = match Zone::read(text.as_bytes(), None, roomy) {
        Ok(read) => read,
        Err(error) => panic!("{error} in {text}"),
    };
    assert_eq!(written(&again), text);
    let zones = [Rc::new(zone)];
    let mut out = vec![0; ANSWER_MAX];
    for line in text.lines().take(100) {
        let name = Name::parse(line.split(' ').next().unwrap_or_default().as_bytes(), None).unwrap();
        for kind in [1, 255, 15, 65] {
            let mut query = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            query.extend_from_slice(name.wire());
            query.extend_from_slice(&[0, kind, 0, 1]);
            for transport in [Transport::Udp, Transport::Tcp] {
                let reply = answer(&zones, &query, transport, &mut out).unwrap();
                sound(&query, &out[..reply.len]);
            }
        }
    }
}

fn written(zone: &Zone) -> String {
    let mut text = String::new();
    zone.write(&mut text).unwrap();
    text
}
