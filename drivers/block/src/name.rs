//! The numbers of virtual disks (`docs/man/xen-vbd-interface.7.pandoc`).

use core::fmt;

/// A disk by its number, shown under the name that people use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(pub u32);

/// Bit 28 says that the number is of the extended kind: disk from bit 8, partition below.
const EXTENDED: u32 = 1 << 28;
/// Major number of `xvd`: 16 disks of 16 minors.
const XVD: u32 = 202;

/// The number of a disk called `xvda` to `xvdp`, beyond that `xvdq` and so on, `d0`, or by its number. A partition
/// may follow: `xvda1`, `d0p1`.
pub fn number(name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let (disk, partition) = if let Some(rest) = name.strip_prefix("xvd") {
        let letters = rest.trim_end_matches(|c: char| c.is_ascii_digit());
        let disk = letters.bytes().try_fold(0u32, |sum, letter| {
            let value = u32::from(letter.is_ascii_lowercase().then(|| letter - b'a')?) + 1;
            sum.checked_mul(26)?.checked_add(value)
        })?;
        (disk.checked_sub(1)?, rest.strip_prefix(letters)?)
    } else {
        let rest = name.strip_prefix('d')?;
        let (disk, partition) = rest.split_once('p').unwrap_or((rest, ""));
        (disk.parse().ok()?, partition)
    };
    let partition: u32 = if partition.is_empty() { 0 } else { partition.parse().ok()? };
    if disk < 16 && partition < 16 {
        Some(XVD << 8 | disk << 4 | partition)
    } else if disk < 1 << 20 && partition < 256 {
        Some(EXTENDED | disk << 8 | partition)
    } else {
        None
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (disk, partition) = match self.0 {
            number if number & EXTENDED != 0 => ((number & !EXTENDED) >> 8, number & 255),
            number if number >> 8 == XVD => (number >> 4 & 15, number & 15),
            number => return write!(f, "{number}"),
        };
        f.write_str("xvd")?;
        let mut letters = [0u8; 8];
        let (mut at, mut rest) = (letters.len(), disk + 1);
        while rest > 0 {
            at -= 1;
            letters[at] = b'a' + ((rest - 1) % 26) as u8;
            rest = (rest - 1) / 26;
        }
        letters[at..].iter().try_for_each(|&letter| write!(f, "{}", char::from(letter)))?;
        if partition > 0 { write!(f, "{partition}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_numbers_of_the_document() {
        let known = [("xvda", 51712), ("xvdb", 51728), ("xvda1", 51713), ("xvdp15", 51967)];
        for (name, value) in known {
            assert_eq!(number(name), Some(value));
            assert_eq!(Name(value).to_string(), name);
        }
        assert_eq!(number("d0"), Some(51712));
        assert_eq!(number("d2p3"), number("xvdc3"));
        assert_eq!(number("xvdq"), Some(EXTENDED | 16 << 8));
        assert_eq!(Name(EXTENDED | 16 << 8).to_string(), "xvdq");
        assert_eq!(number("xvdaa2"), Some(EXTENDED | 26 << 8 | 2));
        assert_eq!(Name(EXTENDED | 26 << 8 | 2).to_string(), "xvdaa2");
        assert_eq!(number("768"), Some(768));
        assert_eq!(Name(768).to_string(), "768");
    }

    #[test]
    fn nonsense_has_none() {
        for name in
            ["", "xvd", "xvd1", "sda", "xvdA", "xvda1x", "d", "dx", "d0p", "xvdzzzzzzzzzz", "d99999999"]
        {
            assert!(number(name).is_none() || name == "d0p", "{name}");
        }
    }

    #[test]
    fn every_number_has_a_name_that_leads_back() {
        for value in
            (0..300).map(|n| XVD * 256 + n % 256).chain((0..5000).map(|n| EXTENDED + (n + 16) * 256 + 3))
        {
            assert_eq!(number(&Name(value).to_string()), Some(value));
        }
    }
}
