//! Names of tasks, which are in the image alone.

use anyhow::{Context, Result};
use fata_trace::Name;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

/// The constants of an image.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Where the ring is when the image is loaded at 0.
    ring: u64,
    /// Sections: where they begin, and what is in them.
    sections: Vec<(u64, Vec<u8>)>,
}

impl Names {
    /// Reads an image's ELF file.
    pub fn of(elf: &[u8]) -> Result<Self> {
        let file = object::File::parse(elf).context("not an ELF file")?;
        let is_ring =
            |name: &str| format!("{:#}", addr2line::demangle_auto(name.into(), None)) == "fata_trace::TRACE";
        let ring = file.symbols().find(|symbol| symbol.name().is_ok_and(is_ring));
        let ring =
            ring.context("the image keeps no trace: it was built without its feature `trace`")?.address();
        let data = |section: object::Section<'_, '_>| {
            section.data().ok().filter(|data| !data.is_empty()).map(|data| (section.address(), data.to_vec()))
        };
        let is_loaded = |section: &object::Section<'_, '_>| {
            section.name().is_ok_and(|name| name.starts_with(".rodata") || name.starts_with(".data"))
        };
        Ok(Self { ring, sections: file.sections().filter(is_loaded).filter_map(data).collect() })
    }

    /// Where the ring is, counted from the start of the image.
    pub fn ring(&self) -> u64 {
        self.ring
    }

    /// The text of a name in a guest whose ring is at this address, without the compiler's own parts.
    pub(crate) fn text(&self, ring: u64, name: Name) -> Option<String> {
        let at = name.address().checked_sub(ring.wrapping_sub(self.ring))?;
        let text = self.sections.iter().find_map(|(start, data)| {
            let from = usize::try_from(at.checked_sub(*start)?).ok()?;
            data.get(from..from.checked_add(name.bytes())?)
        })?;
        let text = std::str::from_utf8(text).ok().filter(|text| !text.is_empty())?;
        Some(without_generics(text).replace("::{{closure}}", ""))
    }
}

/// A path without what is between `<` and `>`.
fn without_generics(path: &str) -> String {
    let mut depth = 0;
    let mut before = ' ';
    let keep = |c: char| {
        let is_arrow = c == '>' && std::mem::replace(&mut before, c) == '-';
        before = c;
        match c {
            '<' => depth += 1,
            '>' if !is_arrow && depth > 0 => {
                depth -= 1;
                return false;
            }
            _ => {}
        }
        depth == 0
    };
    let short: String = path
        .chars()
        .filter({
            let mut keep = keep;
            move |c| keep(*c)
        })
        .collect();
    if short.is_empty() { path.to_owned() } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_where_the_image_was_loaded() {
        let mut data = vec![0; 16];
        let name = "fata_devices::Half<fata_x::Cpu>::serve::{{closure}}";
        data.extend(name.bytes());
        let names = Names { ring: 0x5000, sections: vec![(0x1000, vec![1; 8]), (0x2000, data)] };
        let at = |address: u64, bytes: usize| Name(address | (bytes as u64) << 48);
        let text = |name| names.text(0x4000_5000, name);
        assert_eq!(text(at(0x4000_2010, name.len())).as_deref(), Some("fata_devices::Half::serve"));
        for wrong in [Name(0), at(0x4000_2010, 0), at(0x4000_2010, 60), at(0x2010, 5), at(0x4000_9000, 5)] {
            assert_eq!(text(wrong), None);
        }
        assert!(Names::of(b"no ELF").is_err());
    }

    #[test]
    fn generics_go() {
        assert_eq!(without_generics("a::B<C<D>, fn(E) -> F>::g"), "a::B::g");
        assert_eq!(without_generics("<a as B>"), "<a as B>");
    }
}
