//! Names of functions as people write them, and the crate that one belongs to.

use std::collections::BTreeMap;

use crate::backtrace::Symboliser;

/// The standard library's own crates.
const STANDARD: [&str; 4] = ["core", "alloc", "std", "compiler_builtins"];

/// A symbol's name, in both manglings, without its hash.
pub(super) fn demangled(symbol: &str) -> String {
    format!("{:#}", addr2line::demangle_auto(symbol.into(), None)).replace("{{closure}}", "{closure}")
}

/// The crate a name belongs to: the first in it that is not the standard library, or else the first. So a method of a
/// type, or of a trait for it, counts for the type's crate; what the standard library does for a type of ours, such as
/// dropping it, for ours; and a trait of ours for its types, for us.
pub(super) fn crate_of<'a>(symbol: &str, name: &'a str) -> Option<&'a str> {
    if symbol == name {
        // Not mangled: made by assembly, or with a name for the linker, whose crate is not known.
        return None;
    }
    let mut first = None;
    for candidate in roots(name) {
        if !STANDARD.contains(&candidate) {
            return Some(candidate);
        }
        first = first.or(Some(candidate));
    }
    // Methods of `str` and the like are named without a path.
    first.or(Some("core"))
}

/// The first words of the paths in a name.
fn roots(name: &str) -> impl Iterator<Item = &str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = name;
    let mut after_path = false;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(is_word)?;
            after_path = rest[..start].ends_with("::") || (start == 0 && after_path);
            let word_and_more = &rest[start..];
            let end = word_and_more.find(|c| !is_word(c)).unwrap_or(word_and_more.len());
            let (word, more) = word_and_more.split_at(end);
            rest = more;
            let leads = more.starts_with("::") && !std::mem::take(&mut after_path);
            if leads && !word.starts_with(|c: char| c.is_ascii_digit()) {
                return Some(word);
            }
        }
    })
}

/// Whether this is the poll of a future around another, whose type the name does not tell: a task. Nearly all of its
/// code is of the inner one.
pub(super) fn wraps_a_future(name: &str) -> bool {
    name.ends_with("<F> as core::future::future::Future>::poll")
}

/// The crate that most of a function's instructions are from, as lines of the sources say.
pub(super) fn voted(symbols: Option<&Symboliser>, start: u64, bytes: u64) -> Option<String> {
    let symbols = symbols?;
    let mut votes = BTreeMap::<String, u64>::new();
    for address in (start..start + bytes).step_by(4) {
        if let Some(name) = symbols.own(address)
            && let Some(root) = roots(&name).find(|root| !STANDARD.contains(root))
        {
            *votes.entry(root.to_owned()).or_default() += 1;
        }
    }
    votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(symbol: &str) -> (String, Option<String>) {
        let name = demangled(symbol);
        let whose = crate_of(symbol, &name).map(str::to_owned);
        (name, whose)
    }

    #[test]
    fn both_manglings_name_their_crate() {
        let legacy = "_ZN13fata_xenstore6client6Client6settle17h5b7d11d10bc1368fE";
        assert_eq!(
            whose(legacy),
            ("fata_xenstore::client::Client::settle".into(), Some("fata_xenstore".into()))
        );
        let v0 = "_RNvNtNtNtCsiwXVnMzOQtn_4core7unicode12unicode_data15grapheme_extend7OFFSETS";
        let name = "core::unicode::unicode_data::grapheme_extend::OFFSETS";
        assert_eq!(whose(v0), (name.into(), Some("core".into())));
        assert_eq!(whose("memcpy"), ("memcpy".into(), None));
    }

    #[test]
    fn a_trait_for_a_type_counts_for_the_type() {
        for (name, expected) in [
            ("<fata_boot::words::Shown as core::fmt::Display>::fmt", "fata_boot"),
            ("<&fata_console::Console<P> as embedded_io_async::Read>::read::{closure}", "fata_console"),
            ("<core::option::Option<T> as fata_log::Show>::show", "fata_log"),
            ("xen_hyp::grant::<impl xen_hyp::pages::Pages>::grant", "xen_hyp"),
            ("core::ptr::drop_in_place<alloc::boxed::Box<fata_rt::task::Task>>", "fata_rt"),
            ("<alloc::vec::Vec<T,A> as core::ops::drop::Drop>::drop", "alloc"),
            ("<[T] as core::fmt::Debug>::fmt", "core"),
            ("<str>::trim_ascii", "core"),
            ("<(A,B) as smoltcp::wire::Parse>::parse", "smoltcp"),
        ] {
            assert_eq!(crate_of("_Zx", name), Some(expected), "{name}");
        }
    }
}
