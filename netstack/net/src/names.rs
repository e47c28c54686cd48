//! Names as DHCP and router advertisements have them: RFC 1035 section 3.1, one after the other.

use alloc::string::String;
use alloc::vec::Vec;

/// The most names that are read from one option, and the most labels that are looked at for them.
const MOST: usize = 8;
const LABELS: usize = 256;

/// The names in `bytes`, up to the first that makes no sense. A name may end in a part of an earlier one (section 4.1.4);
/// what it points to must lie before it, so this ends. Names of no labels are padding.
pub(crate) fn read(bytes: &[u8]) -> Vec<String> {
    let (mut names, mut at, mut labels) = (Vec::new(), 0, 0);
    while at < bytes.len() && names.len() < MOST {
        let Some((name, end)) = one(bytes, at, &mut labels) else { break };
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
        at = end;
    }
    names
}

/// A name, and where the next one begins.
fn one(bytes: &[u8], begin: usize, labels: &mut usize) -> Option<(String, usize)> {
    let (mut name, mut at, mut end, mut limit) = (String::new(), begin, None, begin);
    loop {
        *labels += 1;
        if *labels > LABELS {
            return None;
        }
        let len = *bytes.get(at)?;
        match len {
            0 => return Some((name, end.unwrap_or(at + 1))),
            1..=63 => {
                let label = bytes.get(at + 1..at + 1 + usize::from(len))?;
                let is_good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                if !label.iter().all(is_good) || name.len() + label.len() > 253 {
                    return None;
                }
                if !name.is_empty() {
                    name.push('.');
                }
                name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
                at += 1 + label.len();
            }
            192.. => {
                let to = usize::from(len & 63) << 8 | usize::from(*bytes.get(at + 1)?);
                if to >= limit {
                    return None;
                }
                end = end.or(Some(at + 2));
                (at, limit) = (to, to);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use fata_sim::Rng;

    #[test]
    fn names_are_read_up_to_the_first_that_makes_no_sense() {
        assert_eq!(read(b"\x07Example\x03org\0\x03lab\xc0\0\0\0"), ["example.org", "lab.example.org"]);
        assert_eq!(read(b"\x01a\0\x01b"), ["a"]);
        assert_eq!(read(b"\x01a\0\xc0\x03\x01b\0"), ["a"], "what points to itself is no name");
        assert_eq!(read(b"\x01a\0\x02.b\0"), ["a"]);
        assert_eq!(read(b"\x01a\0\x01A\0\x80\0"), ["a"]);
        assert_eq!(read(&[1, b'a'].repeat(200)), [""; 0], "too long");
    }

    #[test]
    fn any_bytes_can_be_read() {
        let mut random = Rng::new();
        for _ in 0..20_000 {
            let len = random.within(0..300);
            let mut bytes = random.bytes(len);
            bytes.iter_mut().for_each(|byte| *byte %= if random.within(0..8) == 0 { 255 } else { 5 });
            assert!(read(&bytes).len() <= super::MOST);
        }
    }
}
