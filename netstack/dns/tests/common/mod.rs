//! Zones to test with.
#![allow(dead_code, unreachable_pub)]

pub mod ask;

use fata_dns::{Limits, Warning, Zone, ZoneError};

pub fn read(text: &str) -> Result<(Zone, Vec<Warning>), ZoneError> {
    Zone::read(text.as_bytes(), None, Limits::default())
}

pub fn zone(text: &str) -> Zone {
    match read(text) {
        Ok((zone, _)) => zone,
        Err(error) => panic!("{error}\n{text}"),
    }
}

pub fn text(zone: &Zone) -> String {
    let mut text = String::new();
    zone.write(&mut text).unwrap();
    text
}

/// What every zone begins with, five lines.
pub const HEAD: &str = "$ORIGIN example.com.\n$TTL 3600\n\
    @ SOA ns hostmaster 7 7200 1800 1209600 300\n  NS ns\nns A 192.0.2.1\n";

pub fn with_head(rest: &str) -> String {
    format!("{HEAD}{rest}")
}
