//! Finds a function in Debian's Xen, which is stripped but carries its own symbol table.
//!
//! The table is what xen/tools/symbols.c writes, for crash reports: addresses, count, names packed with a
//! dictionary of 256 tokens, then that dictionary. The parts follow each other, each at a multiple of 256: the
//! tool writes `.align 8`, which on ARM is a power of two.

use std::collections::BTreeMap;

/// Addresses of symbols lie this close to the first one, Xen's start.
const XEN_MAX_BYTES: u64 = 8 << 20;
const ALIGNMENT: usize = 256;
/// Fewer symbols than in any build of Xen.
const LEAST_SYMBOLS: usize = 512;

/// The virtual address of function `name`, or nothing if the table is not as expected.
pub(crate) fn xen_function(image: &[u8], name: &str) -> Option<u64> {
    Table::of(image)?.symbols()?.find(|(_, symbol)| symbol == name.as_bytes()).map(|(address, _)| address)
}

/// The functions of a hypervisor, by their addresses.
pub struct XenSymbols(BTreeMap<u64, String>);

impl XenSymbols {
    pub(crate) fn of(image: &[u8]) -> Option<Self> {
        let symbols = Table::of(image)?.symbols()?;
        Some(Self(symbols.map(|(at, name)| (at, String::from_utf8_lossy(&name).into_owned())).collect()))
    }

    /// The function that an address lies in.
    pub(crate) fn name(&self, address: u64) -> Option<String> {
        self.0.range(..=address).next_back().map(|(_, name)| name.clone())
    }
}

struct Table<'a> {
    image: &'a [u8],
    addresses: usize,
    count: usize,
}

impl<'a> Table<'a> {
    fn of(image: &'a [u8]) -> Option<Self> {
        (0..image.len()).step_by(ALIGNMENT).find_map(|at| Self::at(image, at))
    }

    /// A table starts with ascending addresses and ends with their number.
    fn at(image: &'a [u8], addresses: usize) -> Option<Self> {
        let first = read_u64(image, addresses).filter(|&a| a != 0)?;
        let mut previous = first;
        let mut count = 0;
        while let Some(address) = read_u64(image, addresses + 8 * count) {
            if address < previous || address - first > XEN_MAX_BYTES {
                break;
            }
            previous = address;
            count += 1;
        }
        let stated = (addresses + 8 * count).next_multiple_of(ALIGNMENT);
        let stated = image.get(stated..)?.first_chunk().map(|b| u32::from_le_bytes(*b))?;
        (count >= LEAST_SYMBOLS && stated as usize == count).then_some(Self { image, addresses, count })
    }

    /// Addresses and names.
    fn symbols(&self) -> Option<impl Iterator<Item = (u64, Vec<u8>)> + use<'a>> {
        let Self { image, addresses, count } = *self;
        let number = (addresses + 8 * count).next_multiple_of(ALIGNMENT);
        let names = number + ALIGNMENT;
        let mut end = names;
        for _ in 0..count {
            end += 1 + usize::from(*image.get(end)?);
        }
        let markers = end.next_multiple_of(ALIGNMENT);
        let tokens = (markers + 4 * count.div_ceil(256)).next_multiple_of(ALIGNMENT);
        let tokens: Vec<&[u8]> = image.get(tokens..)?.split(|&b| b == 0).take(256).collect();

        let mut at = names;
        Some((0..count).filter_map(move |symbol| {
            let packed = &image[at + 1..at + 1 + usize::from(image[at])];
            at += 1 + packed.len();
            let text = packed.iter().flat_map(|&b| tokens.get(usize::from(b)).copied().unwrap_or_default());
            // The first letter is the symbol's type, as nm prints it.
            Some((read_u64(image, addresses + 8 * symbol)?, text.skip(1).copied().collect()))
        }))
    }
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table whose tokens are the letters themselves, and 0x01 for "domain_".
    fn image() -> Vec<u8> {
        let mut image = vec![0x55; 512];
        for n in 0..600u64 {
            image.extend((0xa00_0020_0000 + n * 16).to_le_bytes());
        }
        align(&mut image);
        image.extend(600u32.to_le_bytes());
        align(&mut image);
        for n in 0..600 {
            let name = if n == 321 { b"T\x01shutdown".to_vec() } else { format!("tf{n}").into_bytes() };
            image.push(name.len() as u8);
            image.extend(name);
        }
        align(&mut image);
        image.extend([0; 12]);
        align(&mut image);
        for token in 0..=255u8 {
            match token {
                1 => image.extend(b"domain_"),
                b'0'..=b'z' => image.push(token),
                _ => {}
            }
            image.push(0);
        }
        image
    }

    fn align(image: &mut Vec<u8>) {
        image.resize(image.len().next_multiple_of(ALIGNMENT), 0);
    }

    #[test]
    fn finds_a_function_by_its_packed_name() {
        assert_eq!(xen_function(&image(), "domain_shutdown"), Some(0xa00_0020_0000 + 321 * 16));
        assert_eq!(xen_function(&image(), "f599"), Some(0xa00_0020_0000 + 599 * 16));
        assert_eq!(xen_function(&image(), "no_such"), None);
        let all = XenSymbols::of(&image()).unwrap();
        assert_eq!(all.name(0xa00_0020_0000 + 321 * 16 + 15).unwrap(), "domain_shutdown");
        assert_eq!(all.name(0), None);
    }

    #[test]
    fn no_table_no_answer() {
        assert_eq!(xen_function(&[0xff; 4096], "domain_shutdown"), None);
        let image = image();
        for length in (0..image.len()).step_by(97) {
            let _ = xen_function(&image[..length], "domain_shutdown");
        }
    }
}
