//! What lies where in a board's memory: as a table, as JSON, and as a picture.

use core::fmt::Write as _;

use fata_boot::info::Region;
use serde_json::{Value, json};

/// A board's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryMap {
    /// The board.
    pub title: String,
    /// Its RAM.
    pub ram: Vec<Region>,
    /// What has its place, sorted.
    pub parts: Vec<Part>,
    /// What Xen finds places for: whose memory, and how many bytes.
    pub wants: Vec<(String, u64)>,
}

/// Something that has its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub region: Region,
}

/// What has its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The hypervisor.
    Xen,
    /// The board's device tree.
    Tree,
    /// A file that Xen reads.
    Module,
    /// Memory that two domains share.
    Vchan,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Xen => "hypervisor",
            Self::Tree => "device tree",
            Self::Module => "module",
            Self::Vchan => "vchan",
        }
    }

    /// Colours that are told apart on light and dark pages, and by those who cannot tell red from green.
    const fn colour(self) -> &'static str {
        match self {
            Self::Xen => "#0072b2",
            Self::Tree => "#e69f00",
            Self::Module => "#009e73",
            Self::Vchan => "#cc79a7",
        }
    }
}

impl MemoryMap {
    pub(crate) fn new(title: &str, ram: &[Region]) -> Self {
        Self { title: title.to_owned(), ram: ram.to_vec(), parts: Vec::new(), wants: Vec::new() }
    }

    /// Something that has its place where this region is, at least in part.
    pub(crate) fn overlapping(&self, region: Region) -> Option<&Part> {
        let touches = |part: &&Part| part.region.base < region.end() && region.base < part.region.end();
        self.parts.iter().find(touches)
    }

    pub(crate) fn is_memory(&self, region: Region) -> bool {
        self.ram.iter().any(|bank| bank.base <= region.base && region.end() <= bank.end())
    }

    /// Bytes of all RAM.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ram.iter().map(|bank| bank.size).sum()
    }

    /// Bytes in which nothing has its place.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.total().saturating_sub(self.parts.iter().map(|part| part.region.size).sum())
    }

    /// Bytes that are left when everything wanted is there.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.free().saturating_sub(self.wants.iter().map(|(_, bytes)| bytes).sum())
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows = vec![["from", "to", "KiB", "what", ""].map(str::to_owned)];
        for Part { name, kind, region } in &self.parts {
            rows.push([
                format!("{:#011x}", region.base),
                format!("{:#011x}", region.end()),
                region.size.div_ceil(1024).to_string(),
                kind.word().to_owned(),
                name.clone(),
            ]);
        }
        for (name, bytes) in &self.wants {
            rows.push([
                "anywhere".to_owned(),
                String::new(),
                (bytes >> 10).to_string(),
                "memory".to_owned(),
                name.clone(),
            ]);
        }
        rows.push(["left", "", &(self.left() >> 10).to_string(), "", ""].map(str::to_owned));
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3, 4].map(width);
        let mut text = String::new();
        for row in &rows {
            let [from, to, kib, kind, name] = row;
            let line = format!(
                "{from:<0$}  {to:<1$}  {kib:>2$}  {kind:<3$}  {name}",
                widths[0], widths[1], widths[2], widths[3]
            );
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let region = |region: &Region| json!({"base": region.base, "bytes": region.size});
        let part = |part: &Part| {
            json!({
                "name": part.name,
                "kind": part.kind.word(),
                "base": part.region.base,
                "bytes": part.region.size,
            })
        };
        let want = |(name, bytes): &(String, u64)| json!({"name": name, "bytes": bytes});
        json!({
            "board": self.title,
            "ram": self.ram.iter().map(region).collect::<Vec<_>>(),
            "parts": self.parts.iter().map(part).collect::<Vec<_>>(),
            "wants": self.wants.iter().map(want).collect::<Vec<_>>(),
            "left": self.left(),
        })
    }

    /// A picture: places on the left, at heights that leave room for their names; what is wanted on the right, to scale.
    #[must_use]
    pub fn svg(&self) -> String {
        const ROW: usize = 26;
        const TOP: usize = 48;
        let rows = self.parts.len().max(self.wants.len() + 1).max(6);
        let (height, bar) = (TOP + rows * ROW + 24, rows * ROW);
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 {height}\" font-family=\"sans-serif\" \
             font-size=\"13\">\n<style>text {{ fill: #888 }} .name {{ fill: #555 }} \
             @media (prefers-color-scheme: dark) {{ .name {{ fill: #ccc }} }}</style>\n\
             <text class=\"name\" x=\"10\" y=\"20\" font-size=\"15\">{}: {} MiB</text>\n\
             <text x=\"10\" y=\"38\">places</text><text x=\"420\" y=\"38\">shares</text>\n",
            escaped(&self.title),
            self.total() >> 20
        );
        // Writing to a string cannot fail.
        for (row, Part { name, kind, region }) in self.parts.iter().enumerate() {
            let y = TOP + row * ROW;
            let _ = writeln!(
                text,
                "<rect x=\"10\" y=\"{y}\" width=\"14\" height=\"{}\" fill=\"{}\"/>\
                 <text x=\"32\" y=\"{}\">{:#x}</text>\
                 <text class=\"name\" x=\"132\" y=\"{}\">{} {}, {} KiB</text>",
                ROW - 4,
                kind.colour(),
                y + 15,
                region.base,
                y + 15,
                kind.word(),
                escaped(name),
                region.size.div_ceil(1024),
            );
        }
        let total = self.total().max(1);
        let placed: u64 = self.parts.iter().map(|part| part.region.size).sum();
        let placed = [("what has its place".to_owned(), placed)];
        let left = [("left".to_owned(), self.left())];
        let mut y = TOP as f64;
        for (row, (name, bytes)) in placed.iter().chain(&self.wants).chain(&left).enumerate() {
            let share = bar as f64 * *bytes as f64 / total as f64;
            let colour = ["#009e73", "#56b4e9", "#f0e442", "#d55e00"][row % 4];
            let colour = if row == self.wants.len() + 1 { "#bbb" } else { colour };
            let label = TOP + row * (bar / (self.wants.len() + 2)).max(14) + 12;
            let _ = writeln!(
                text,
                "<rect x=\"420\" y=\"{y:.1}\" width=\"40\" height=\"{share:.1}\" fill=\"{colour}\"/>\
                 <line x1=\"460\" y1=\"{:.1}\" x2=\"478\" y2=\"{}\" stroke=\"{colour}\"/>\
                 <text class=\"name\" x=\"482\" y=\"{label}\">{}, {} KiB</text>",
                y + share / 2.0,
                label - 4,
                escaped(name),
                bytes >> 10,
            );
            y += share;
        }
        text.push_str("</svg>\n");
        text
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
