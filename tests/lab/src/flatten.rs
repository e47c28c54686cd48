//! Turns an image's ELF file into what Xen loads: a raw arm64 `Image`.

use anyhow::{Context, Result, ensure};
use object::elf;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader, SectionHeader};

/// An image is some hundred KiB; more than this means an ELF file that was not linked by our script.
const LARGEST: u64 = 64 << 20;

/// `Documentation/arch/arm64/booting.rst`: where the header says how much memory the image takes.
const IMAGE_SIZE: std::ops::Range<usize> = 16..24;
/// The same: "ARM\x64".
const MAGIC: std::ops::Range<usize> = 56..60;

/// A raw image and how it is made up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flat {
    pub(crate) bytes: Vec<u8>,
    /// What it takes in memory, cleared memory and stacks included.
    pub(crate) memory_bytes: u64,
    pub(crate) sections: Vec<Section>,
}

/// A section that takes up memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name, as in the linker script.
    pub name: String,
    /// Where it begins, counted from the start of the image.
    pub address: u64,
    /// How long it is.
    pub bytes: u64,
    /// Whether the file holds it; otherwise it only takes memory.
    pub in_file: bool,
}

/// Lays the loadable segments of `file` out as they are to be loaded, without the trailing zeroes. The last one
/// runs elsewhere: the image moves it when it starts.
pub(crate) fn flatten(file: &[u8]) -> Result<Flat> {
    let elf = ElfFile64::<object::Endianness>::parse(file).context("not a 64-bit ELF file")?;
    let endian = elf.endian();
    let mut bytes = Vec::new();
    let mut memory_bytes = 0;
    for segment in elf.elf_program_headers().iter().filter(|s| s.p_type(endian) == elf::PT_LOAD) {
        let (address, in_memory) = (segment.p_vaddr(endian), segment.p_memsz(endian));
        let end = address.checked_add(in_memory).filter(|end| *end <= LARGEST);
        let end = end.with_context(|| format!("a segment at {address:#x} is {in_memory:#x} bytes long"))?;
        ensure!(address >= memory_bytes, "the segment at {address:#x} overlaps the one before it");
        memory_bytes = end;
        let data = segment.data(endian, file).ok().context("a segment lies outside the file")?;
        if !data.is_empty() {
            let load = segment.p_paddr(endian);
            ensure!(
                (bytes.len() as u64..=address).contains(&load),
                "the segment at {address:#x} is to be loaded at {load:#x}, over another or behind itself"
            );
            bytes.resize(load as usize, 0);
            bytes.extend_from_slice(data);
        }
    }
    ensure!(bytes.get(MAGIC) == Some(b"ARM\x64"), "no arm64 Image header: was the linker script used?");
    let claimed = u64::from_le_bytes(bytes[IMAGE_SIZE].try_into().expect("eight bytes"));
    ensure!(
        claimed >= memory_bytes,
        "the Image header claims {claimed} bytes of memory, the segments take {memory_bytes}"
    );
    Ok(Flat { bytes, memory_bytes, sections: sections(&elf)? })
}

fn sections(elf: &ElfFile64<'_>) -> Result<Vec<Section>> {
    let endian = elf.endian();
    let table = elf.elf_header().sections(endian, elf.data()).context("damaged section table")?;
    let taking_memory =
        table.iter().filter(|s| s.sh_flags(endian).contains(elf::SHF_ALLOC) && s.sh_size(endian) > 0);
    taking_memory
        .map(|section| {
            let name = table.section_name(endian, section).context("damaged section name")?;
            Ok(Section {
                name: String::from_utf8_lossy(name).into_owned(),
                address: section.sh_addr(endian),
                bytes: section.sh_size(endian),
                in_file: section.sh_type(endian) != elf::SHT_NOBITS,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: usize = 64;
    const SEGMENT: usize = 56;

    /// An ELF file with the given `(address, bytes in the file, bytes in memory)`.
    fn elf_file(segments: &[(u64, &[u8], u64)]) -> Vec<u8> {
        let mut file = vec![0; HEADER + SEGMENT * segments.len()];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        file[16..18].copy_from_slice(&elf::ET_DYN.0.to_le_bytes());
        file[18..20].copy_from_slice(&elf::EM_AARCH64.0.to_le_bytes());
        file[20] = 1;
        file[32] = HEADER as u8;
        file[52] = HEADER as u8;
        file[54] = SEGMENT as u8;
        file[56] = segments.len() as u8;
        for (nr, (address, data, in_memory)) in segments.iter().enumerate() {
            let at = HEADER + SEGMENT * nr;
            let offset = file.len() as u64;
            file[at..at + 4].copy_from_slice(&elf::PT_LOAD.0.to_le_bytes());
            let fields =
                [(8, offset), (16, *address), (24, *address), (32, data.len() as u64), (40, *in_memory)];
            for (field, value) in fields {
                file[at + field..at + field + 8].copy_from_slice(&value.to_le_bytes());
            }
            file.extend_from_slice(data);
        }
        file
    }

    fn image_header(memory: u64) -> Vec<u8> {
        let mut header = vec![0; 64];
        header[IMAGE_SIZE].copy_from_slice(&memory.to_le_bytes());
        header[MAGIC].copy_from_slice(b"ARM\x64");
        header
    }

    #[test]
    fn gaps_are_zero_and_trailing_memory_is_left_out() {
        let text = image_header(0x3000);
        let flat = flatten(&elf_file(&[(0, &text, 64), (0x1000, b"data", 0x2000)])).expect("good file");
        assert_eq!(flat.bytes.len(), 0x1004);
        assert_eq!(flat.bytes[..64], text);
        assert!(flat.bytes[64..0x1000].iter().all(|b| *b == 0));
        assert_eq!(&flat.bytes[0x1000..], b"data");
        assert_eq!(flat.memory_bytes, 0x3000);
    }

    #[test]
    fn segments_without_bytes_in_the_file_do_not_lengthen_it() {
        let flat =
            flatten(&elf_file(&[(0, &image_header(0x9000), 64), (0x8000, b"", 0x1000)])).expect("good file");
        assert_eq!((flat.bytes.len(), flat.memory_bytes), (64, 0x9000));
    }

    #[test]
    fn refuses_what_xen_would_not_boot() {
        let complaint =
            |segments: &[(u64, &[u8], u64)]| format!("{:#}", flatten(&elf_file(segments)).expect_err("bad"));
        let good = image_header(0x9000);
        assert!(complaint(&[(0, &[0; 64], 64)]).contains("no arm64 Image header"));
        assert!(complaint(&[]).contains("no arm64 Image header"));
        assert!(complaint(&[(0, &image_header(64), 65)]).contains("claims 64 bytes"));
        assert!(complaint(&[(0, &good, 64), (32, b"x", 1)]).contains("overlaps"));
        assert!(complaint(&[(0, &good, 64), (u64::MAX, b"x", 1)]).contains("long"));
        assert!(complaint(&[(0, &good, 64), (LARGEST, b"x", 1)]).contains("long"));
        assert!(flatten(b"not an ELF file").is_err());
    }

    #[test]
    fn truncated_files_are_errors() {
        let file = elf_file(&[(0, &image_header(64), 64)]);
        for len in 0..file.len() {
            assert!(flatten(&file[..len]).is_err(), "cut to {len} bytes");
        }
    }
}
