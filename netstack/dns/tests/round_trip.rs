//! Zones at random: written as text and read again, they are the same.

mod common;

use common::{read, text};
use fata_sim::Rng;
use std::fmt::Write;

fn label(random: &mut Rng) -> String {
    match random.within(0..8) {
        0 => "*".into(),
        1 => {
            let len = random.within(1..5);
            random.bytes(len).iter().fold(String::new(), |text, byte| format!("{text}\\{byte:03}"))
        }
        2 => "x".repeat(random.within(1..64)),
        n => char::from(b'a' + n as u8).to_string(),
    }
}

fn name(random: &mut Rng) -> String {
    let labels: Vec<_> = (0..random.within(1..4)).map(|_| label(random)).collect();
    labels.join(".")
}

fn string(random: &mut Rng) -> String {
    let len = random.within(0..20);
    let bytes = random.bytes(len);
    let text = bytes.iter().map(|&byte| match byte {
        b'"' | b'\\' => format!("\\{}", byte as char),
        b' '..=b'~' => (byte as char).to_string(),
        _ => format!("\\{byte:03}"),
    });
    format!("\"{}\"", text.collect::<String>())
}

fn record(random: &mut Rng) -> String {
    let n = random.within(0..60_000);
    match random.within(0..11) {
        0 => format!("A 192.0.2.{}", n % 256),
        1 => format!("AAAA 2001:db8::{:x}", n),
        2 => format!("MX {n} {}.net.", name(random)),
        3 => format!("TXT {} {}", string(random), string(random)),
        4 => format!("SRV {n} 0 53 {}.net.", name(random)),
        5 => format!("CAA {} issue {}", n % 256, string(random)),
        6 => format!("PTR {}.net.", name(random)),
        7 => format!("NS {}.net.", name(random)),
        8 => format!("TYPE{} \\# 2 {:04x}", 1000 + n % 9, n),
        9 => {
            let len = random.within(0..9);
            let value =
                random.bytes(len).iter().fold(String::new(), |text, byte| format!("{text}\\{byte:03}"));
            format!(
                "SVCB {n} {}.net. alpn=h{},{} port={n} key{}=\"{value}\"",
                name(random),
                n % 9,
                n,
                600 + n
            )
        }
        _ => format!("CNAME {}.net.", name(random)),
    }
}

#[test]
fn zones_survive_being_written_and_read() {
    let mut random = Rng::new();
    let mut sound = 0;
    for _ in 0..2000 {
        let mut file =
            String::from("$ORIGIN example.com.\n$TTL 60\n@ SOA a.net. b.net. 1 2 3 4 5\n NS a.net.\n");
        for _ in 0..random.within(0..12) {
            let ttl = random.within(0..5000);
            writeln!(file, "{} {ttl} {}", name(&mut random), record(&mut random)).unwrap();
        }
        let Ok((zone, _)) = read(&file) else { continue };
        sound += 1;
        let first = text(&zone);
        let again = match read(&first) {
            Ok((zone, _)) => zone,
            Err(error) => panic!("{error}\n{first}"),
        };
        assert_eq!(text(&again), first);
        assert_eq!((again.names(), again.records()), (zone.names(), zone.records()));
    }
    assert!(sound > 500, "{sound}");
}
