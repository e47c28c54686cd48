use super::*;

const HEADER: usize = 64;
const SEGMENT: usize = 56;
const SECTION: usize = 64;

/// A symbol: its name, type, address and size.
type Symbol = (&'static str, u8, u64, u64);

const FUNC: u8 = 2;
const OBJECT: u8 = 1;
const NOTYPE: u8 = 0;

/// An image of 256 bytes of instructions at 0, and 64 of constants at 0x1000 of which the file has 96 bytes of `.data`,
/// linked at 0x2000, right behind.
fn image(symbols: &[Symbol]) -> Vec<u8> {
    let mut text = vec![0xd5; 256];
    text[16..24].copy_from_slice(&0x9000u64.to_le_bytes());
    text[56..60].copy_from_slice(b"ARM\x64");
    text[120..128].fill(0);
    let parts: [(&str, u64, u64, u64, Vec<u8>); 3] = [
        (".text", 0, 0, 6, text),
        (".rodata", 0x1000, 0x1000, 2, vec![1; 64]),
        (".data", 0x2000, 0x1040, 3, vec![2; 96]),
    ];
    let mut file = vec![0; HEADER + SEGMENT * 3];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    file[16..18].copy_from_slice(&elf::ET_DYN.0.to_le_bytes());
    file[18..20].copy_from_slice(&elf::EM_AARCH64.0.to_le_bytes());
    for (at, byte) in [(20, 1), (32, HEADER as u8), (52, HEADER as u8), (54, SEGMENT as u8), (56, 3)] {
        file[at] = byte;
    }
    let mut names = b"\0".to_vec();
    let mut name = |text: &str| {
        let at = names.len() as u32;
        names.extend(text.bytes().chain([0]));
        at
    };
    let mut headers = vec![[0u64; 8]];
    for (nr, (title, address, load, flags, bytes)) in parts.iter().enumerate() {
        let (at, offset, length) = (HEADER + SEGMENT * nr, file.len() as u64, bytes.len() as u64);
        file[at..at + 4].copy_from_slice(&elf::PT_LOAD.0.to_le_bytes());
        for (field, value) in [(8, offset), (16, *address), (24, *load), (32, length), (40, length)] {
            file[at + field..at + field + 8].copy_from_slice(&value.to_le_bytes());
        }
        file.extend_from_slice(bytes);
        headers.push([u64::from(name(title)) | 1 << 32, *flags, *address, offset, length, 0, 1, 0]);
    }
    let table = file.len() as u64;
    file.extend([0; 24]);
    for (title, kind, value, size) in symbols {
        file.extend(name(title).to_le_bytes());
        let section = if *value >= 0x2000 { 3u16 } else { 1 + u16::from(*value >= 0x1000) };
        file.extend([*kind, 0]);
        file.extend(section.to_le_bytes());
        file.extend(value.to_le_bytes().into_iter().chain(size.to_le_bytes()));
    }
    let length = file.len() as u64 - table;
    headers.push([u64::from(name(".symtab")) | 2 << 32, 0, 0, table, length, 5 | 1 << 32, 8, 24]);
    let title = name(".strtab");
    headers.push([u64::from(title) | 3 << 32, 0, 0, file.len() as u64, names.len() as u64, 0, 1, 0]);
    file.extend(names);
    let place = file.len() as u64;
    file[40..48].copy_from_slice(&place.to_le_bytes());
    for (at, value) in [(58, SECTION as u8), (60, headers.len() as u8), (62, 5)] {
        file[at] = value;
    }
    for header in headers {
        file.extend(header.iter().flat_map(|word| word.to_le_bytes()));
    }
    file
}

fn share(shares: &[Share], name: &str) -> u64 {
    shares.iter().find(|share| share.name == name).map_or(0, |share| share.bytes)
}

fn check(sizes: &Sizes) {
    assert_eq!(sizes.bytes, 0x1040 + 96);
    assert_eq!(sizes.crates.iter().map(|share| share.bytes).sum::<u64>(), sizes.bytes);
    assert_eq!(sizes.sections.iter().map(|share| share.bytes).sum::<u64>(), sizes.bytes);
    assert_eq!(sizes.items.iter().map(|item| item.bytes).sum::<u64>(), sizes.bytes);
}

#[test]
fn every_byte_of_the_image_is_counted_once() {
    let sizes = sizes(
        &image(&[
            ("_start", NOTYPE, 0, 0),
            ("_image_start", NOTYPE, 0, 0),
            ("$x", NOTYPE, 72, 0),
            ("_ZN7fata_rt4exec3run17h0000000000000000E", FUNC, 64, 56),
            ("_ZN7fata_rt4exec3run17h1111111111111111E", FUNC, 128, 32),
            // The same instructions by another name, and one within.
            ("_ZN4core3fmt5write17h0000000000000000E", FUNC, 128, 32),
            ("_ZN4core3fmt4next17h0000000000000000E", FUNC, 144, 24),
            ("OUTLINED_FUNCTION_7", FUNC, 200, 12),
            ("_ZN9fata_boot5WORDS17h0000000000000000E", OBJECT, 0x1010, 16),
            ("_ZN9fata_boot6MEMORY17h0000000000000000E", OBJECT, 0x2000, 96),
        ]),
        None,
    )
    .unwrap();
    check(&sizes);
    assert_eq!(share(&sizes.crates, ASSEMBLY), 64);
    // 120 to 128 between two functions, and up to 0x1000 between two sections.
    assert_eq!(share(&sizes.crates, PADDING), 8 + 0x1000 - 256);
    assert_eq!(share(&sizes.crates, "core") + share(&sizes.crates, "fata_rt"), 56 + 40);
    assert_eq!(share(&sizes.crates, UNNAMED), 256 - 168 - 12);
    assert_eq!(share(&sizes.crates, OUTLINED), 12);
    assert_eq!(share(&sizes.crates, CONSTANTS), 48);
    assert_eq!(share(&sizes.crates, "fata_boot"), 16 + 96);
    let sections: Vec<_> = sizes.sections.iter().map(|share| (&*share.name, share.bytes)).collect();
    assert_eq!(sections, [(".text", 256), (".rodata", 64 + 0x1000 - 256), (".data", 96)]);
}

#[test]
fn symbols_that_lie_are_cut_to_their_section() {
    let sizes = sizes(
        &image(&[
            ("_ZN1a1bE", FUNC, 250, u64::MAX / 2),
            ("_ZN1a1cE", FUNC, 8, 1 << 40),
            ("_ZN1a1dE", OBJECT, 0x1fff, 1),
            ("_ZN1a1eE", OBJECT, u64::MAX, 1),
        ]),
        None,
    )
    .unwrap();
    check(&sizes);
}

#[test]
fn what_is_cut_short_is_an_error_or_still_adds_up() {
    let file = image(&[("_ZN1a1bE", FUNC, 0, 256)]);
    for length in 0..file.len() {
        if let Ok(sizes) = sizes(&file[..length], None) {
            check(&sizes);
        }
    }
}
