//! What is left in memory of private keys, as the kernel sees it. A program of its own, so that nobody else allocates.
#![cfg(target_os = "linux")]

mod common;

use common::{client, server, shake};
use fata_tls::{ClientOptions, Identity, ServerOptions, Trust, key_hash};
use std::fs::{File, read_to_string};
use std::os::unix::fs::FileExt;

const CERTIFICATE: &[u8] = include_bytes!("data/keys/certificate.pem");
const KEY: &[u8] = include_bytes!("data/keys/sec1.pem");

/// The key's number, each byte with all bits turned, so that it is not found here.
const TURNED: [u8; 32] = [
    0xb4, 0xbc, 0xd7, 0x51, 0x98, 0xaf, 0x22, 0x5b, 0x77, 0x23, 0x45, 0x36, 0x46, 0x02, 0x72, 0x73, 0x1b,
    0xb7, 0x53, 0x9e, 0x1f, 0x6c, 0x68, 0x10, 0x9a, 0xae, 0xfe, 0xd2, 0x02, 0xdd, 0xb5, 0x3f,
];

/// How often the number is in memory that can be written and is not this thread's stack, from either end.
fn found() -> usize {
    let here = 0u8;
    let here = (&raw const here).addr() as u64;
    let memory = File::open("/proc/self/mem").unwrap();
    let mut count = 0;
    for line in read_to_string("/proc/self/maps").unwrap().lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|number| u64::from_str_radix(number, 16).unwrap());
        if !rights.starts_with("rw") || (start..end).contains(&here) || line.ends_with("[stack]") {
            continue;
        }
        let mut bytes = vec![0; (end - start) as usize];
        if memory.read_exact_at(&mut bytes, start).is_err() {
            continue;
        }
        let is_it = |window: &&[u8]| {
            let forwards = window.iter().zip(&TURNED).all(|(byte, turned)| *byte == !turned);
            forwards || window.iter().rev().zip(&TURNED).all(|(byte, turned)| *byte == !turned)
        };
        count += bytes.windows(32).filter(is_it).count();
        // What was read is not to be found again.
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
    count
}

#[test]
fn private_keys_are_overwritten() {
    assert_eq!(found(), 0);
    let identity = Identity::from_pem_pair(CERTIFICATE, KEY).unwrap();
    let mut trust = Trust::nobody();
    trust.accept_key(key_hash(identity.certificates().next().unwrap()).unwrap());
    let (server, client) = (server(ServerOptions::new(identity.clone())), client(ClientOptions::new(trust)));
    assert!(shake(&client, &server, "a.example").0.is_ok());
    // Once, in the key itself.
    assert_eq!(found(), 1);
    drop((server, client));
    assert_eq!(found(), 1);
    drop(identity);
    assert_eq!(found(), 0);
}
