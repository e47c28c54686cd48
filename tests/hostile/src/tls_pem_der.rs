//! Any text as identities, authorities and lists of revoked certificates; any bytes as certificates and keys; and both with a
//! few bytes of good ones changed.

use crate::script::Script;
use crate::tls::{AUTHORITY, REVOKED, SERVER};
use fata_tls::{Identity, IdentityError, Trust, TrustError, key_hash};

/// Reads it as all of them.
///
/// # Panics
/// If a reader does what it must not.
pub fn tls_pem_der(input: &[u8]) {
    let mut script = Script(input);
    let Some(manner) = script.byte() else { return };
    let text = match manner % 4 {
        0 => script.0.to_vec(),
        1 => changed(SERVER, &mut script),
        2 => changed(AUTHORITY, &mut script),
        _ => changed(REVOKED, &mut script),
    };
    let lines = text.split(|byte| *byte == b'\n').count() as u32;
    if let Err(error) = Identity::from_pem(&text) {
        assert!(error.to_string().len() < 200);
        let line = match error {
            IdentityError::Pem(error) => error.line,
            IdentityError::SecondKey { line }
            | IdentityError::Certificate { line }
            | IdentityError::Key { line, .. } => line,
            IdentityError::NoCertificate | IdentityError::NoKey | IdentityError::Mismatch => 1,
        };
        assert!((1..=lines).contains(&line), "{error}");
    }
    let mut trust = Trust::nobody();
    for result in [trust.add_pem(&text).map(drop), trust.add_revoked_pem(&text)] {
        let Err(error) = result else { continue };
        assert!(error.to_string().len() < 200);
        let line = match error {
            TrustError::Pem(error) => error.line,
            TrustError::Root { line } | TrustError::List { line } => line,
            TrustError::Missing => 1,
        };
        assert!((1..=lines).contains(&line), "{error}");
    }
    assert!(trust.roots() <= text.len() / 50);
    // As DER it is one thing or another.
    let identity = Identity::from_der(&[&text], &text);
    let root = Trust::nobody().add_der(&text);
    let list = Trust::nobody().add_revoked_der(&text);
    assert!(identity.is_err() && (root.is_err() || list.is_err()));
    let _ = key_hash(&text);
}

/// A text with some of its bytes changed; or the bytes that its first block stands for, which are more likely to be read on.
fn changed(text: &[u8], script: &mut Script<'_>) -> Vec<u8> {
    let mut bytes = text.to_vec();
    if script.byte().is_some_and(|how| how & 1 == 0) {
        bytes = der(text);
    }
    while let Some(at) = script.word() {
        let (how, at) = (at >> 16, at as usize & 0xffff);
        let Some(byte) = bytes.get_mut(at) else { continue };
        match how & 3 {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, (how >> 8) as u8),
            _ => *byte = (how >> 8) as u8,
        }
    }
    bytes
}

/// The bytes of the first block.
fn der(text: &[u8]) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let lines = text.split(|byte| *byte == b'\n').skip(1).take_while(|line| !line.starts_with(b"-"));
    let values: Vec<u8> = lines.flatten().copied().filter_map(value).collect();
    let groups = values.chunks(4).map(|group| {
        let bits =
            group.iter().fold(0u32, |bits, value| bits << 6 | u32::from(*value)) << (6 * (4 - group.len()));
        bits.to_be_bytes()[1..][..group.len() - 1].to_vec()
    });
    groups.flatten().collect()
}
