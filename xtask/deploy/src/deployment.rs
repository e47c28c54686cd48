//! The deployment file: which domains are to run, and what each of them gets.

use core::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use crate::check;
use crate::refusal::{Refusal, Refusals};

/// Files are not larger.
pub const LARGEST_FILE: usize = 1 << 20;
/// Of a domain's memory, if the file does not say.
const MEMORY_MIB: i64 = 16;
/// Of a vchan's region, if the file does not say.
const VCHAN_KIB: i64 = 64;

/// A value, and the line it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The line, counted from 1.
    pub line: usize,
    /// The value.
    pub value: T,
}

/// A deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The file's name, for what is said of it.
    pub file: String,
    /// What runs as domain 0.
    pub dom0: At<Dom0>,
    /// The version of Xen.
    pub xen_version: Option<At<String>>,
    /// More of Xen's command line.
    pub xen_args: At<String>,
    /// In the order of the file, which is that of their numbers where Xen starts them.
    pub domains: Vec<Domain>,
    /// What connects them.
    pub vchans: Vec<Vchan>,
}

/// What runs as domain 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dom0 {
    /// Nothing does: Xen starts all domains.
    None,
    /// Debian's Linux, with Xen's tools.
    Debian,
}

/// A domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Where it begins.
    pub line: usize,
    /// Its name.
    pub name: At<String>,
    /// A package below `images/`, or the path of an image, from the file's folder.
    pub image: At<String>,
    /// Its memory.
    pub memory_mib: At<u64>,
    /// Its CPUs.
    pub vcpus: At<u32>,
    /// Its command line.
    pub args: At<String>,
    /// Whether it has Xen's emulated serial port.
    pub vpl011: bool,
    /// The host's devices that it is given, by the board's names of them.
    pub devices: Vec<At<String>>,
    /// What happens when it has crashed.
    pub on_crash: At<OnCrash>,
    /// Disks that dom0 gives it, as `xl` wants them said.
    pub disks: Vec<At<String>>,
    /// Network cards that dom0 gives it, likewise.
    pub vifs: Vec<At<String>>,
    /// Who starts it.
    pub start: Start,
    /// Where its image has to lie while Xen starts, if not anywhere.
    pub load_at: Option<At<u64>>,
}

/// Who starts a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Xen itself.
    Xen,
    /// `xl` in dom0.
    Xl,
}

/// What happens when a domain has crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCrash {
    /// It stays as it is, for whoever wants to look at it. Xen itself can do nothing else.
    Preserve,
    /// It goes.
    Destroy,
    /// It is started anew.
    Restart,
}

impl OnCrash {
    /// As `xl` and deployment files call it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Preserve => "preserve",
            Self::Destroy => "destroy",
            Self::Restart => "restart",
        }
    }
}

/// Memory and an event channel that two domains share from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vchan {
    /// Where it begins.
    pub line: usize,
    /// What both domains call it; if nothing is said, each calls it by the other's name.
    pub name: Option<At<String>>,
    /// The domain that serves.
    pub server: At<String>,
    /// The other.
    pub client: At<String>,
    /// Bytes in the region.
    pub bytes: At<u64>,
}

impl Vchan {
    /// What a domain calls it, if it is at one of its ends.
    #[must_use]
    pub fn called_by(&self, domain: &str) -> Option<&str> {
        let other = match domain {
            it if it == self.server.value => &self.client,
            it if it == self.client.value => &self.server,
            _ => return None,
        };
        Some(&self.name.as_ref().unwrap_or(other).value)
    }

    /// What it is called in maps.
    #[must_use]
    pub fn title(&self) -> String {
        self.name
            .as_ref()
            .map_or_else(|| format!("{}-{}", self.server.value, self.client.value), |name| name.value.clone())
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFile {
    pub dom0: Option<Spanned<String>>,
    pub xen: Option<RawXen>,
    #[serde(default)]
    pub domain: Vec<Spanned<RawDomain>>,
    #[serde(default)]
    pub vchan: Vec<Spanned<RawVchan>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawXen {
    pub version: Option<Spanned<String>>,
    pub args: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDomain {
    pub name: Spanned<String>,
    pub image: Spanned<String>,
    pub memory_mib: Option<Spanned<i64>>,
    pub vcpus: Option<Spanned<i64>>,
    pub args: Option<Spanned<String>>,
    pub console: Option<Spanned<String>>,
    #[serde(default)]
    pub devices: Vec<Spanned<String>>,
    pub on_crash: Option<Spanned<String>>,
    #[serde(default)]
    pub disks: Vec<Spanned<String>>,
    #[serde(default)]
    pub vifs: Vec<Spanned<String>>,
    pub start: Option<Spanned<String>>,
    pub load_at: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawVchan {
    pub name: Option<Spanned<String>>,
    pub server: Spanned<String>,
    pub client: Spanned<String>,
    pub size_kib: Option<Spanned<i64>>,
}

impl Deployment {
    /// Reads a deployment file. `file` is what it is called in what is said of it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Refusals> {
        let refuse = |line, what: String, cure: &str| {
            Err(Refusals(vec![Refusal { file: file.to_owned(), line, what, cure: cure.to_owned() }]))
        };
        if text.len() > LARGEST_FILE {
            return refuse(1, format!("{} bytes are too many", text.len()), "is this the right file?");
        }
        let lines = Lines::of(text);
        match toml::from_str::<RawFile>(text) {
            Ok(raw) => check::check(file, raw, &lines),
            Err(error) => {
                let line = error.span().map_or(1, |span| lines.at(&span));
                let what = error.message().trim_end().replace('\n', ", ");
                refuse(line, what, "docs/src/image.md lists what may be said")
            }
        }
    }

    /// A deployment of these images alone, each with a name of its own and the memory that images have by default.
    pub fn of_images(images: &[String]) -> Result<Self, Refusals> {
        // A line each, so that what is said of the third line is said of the third --app.
        let mut text = String::new();
        for (n, image) in images.iter().enumerate() {
            let stem = image.rsplit('/').next().unwrap_or(image);
            let stem = stem.split(['+', '.']).next().unwrap_or(stem);
            let again = images[..n].iter().filter(|other| *other == image).count();
            let name = if again == 0 { stem.to_owned() } else { format!("{stem}-{}", again + 1) };
            text += &format!("{{ name = {}, image = {} }},\n", quoted(&name), quoted(image));
        }
        Self::parse("--app", &format!("domain = [{text}]\n"))
    }

    /// The domain of this name.
    #[must_use]
    pub fn domain(&self, name: &str) -> Option<&Domain> {
        self.domains.iter().find(|domain| domain.name.value == name)
    }

    /// Something that is wrong with it, at this line.
    #[must_use]
    pub fn refusal(&self, line: usize, what: impl Into<String>, cure: impl Into<String>) -> Refusals {
        Refusals(vec![Refusal { file: self.file.clone(), line, what: what.into(), cure: cure.into() }])
    }
}

/// A string as TOML writes it.
fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .flat_map(|c| match c {
            '"' | '\\' => vec!['\\', c],
            c if c.is_control() => format!("\\u{:04x}", u32::from(c)).chars().collect(),
            c => vec![c],
        })
        .collect();
    format!("\"{escaped}\"")
}

/// Where lines begin.
pub(crate) struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    /// The line in which a span begins, counted from 1.
    pub(crate) fn at(&self, span: &Range<usize>) -> usize {
        1 + self.0.partition_point(|end| *end < span.start)
    }

    /// A value with its line.
    pub(crate) fn place<T>(&self, value: Spanned<T>) -> At<T> {
        At { line: self.at(&value.span()), value: value.into_inner() }
    }
}

impl RawDomain {
    /// What was left out, filled in.
    pub(crate) fn memory(&mut self, lines: &Lines, line: usize) -> At<i64> {
        self.memory_mib.take().map_or(At { line, value: MEMORY_MIB }, |memory| lines.place(memory))
    }
}

impl RawVchan {
    pub(crate) fn size(&mut self, lines: &Lines, line: usize) -> At<i64> {
        self.size_kib.take().map_or(At { line, value: VCHAN_KIB }, |size| lines.place(size))
    }
}
