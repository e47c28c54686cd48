//! Any text as `_redirects` and `_headers`: an error with the number of a line, or a site that is opened and asked.

use crate::site_blob::site_blob;
use fata_site::Site;
use fata_site::pack::{Entry, HEADERS, PackError, REDIRECTS, pack};

/// Packs both, with a page or two, and opens what comes of it.
///
/// # Panics
/// If a rule is packed that the reader does not believe, or that it must not believe.
pub fn site_rules(input: &[u8]) {
    // Both, one behind the other.
    let middle = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    let (redirects, rest) = input.split_at(middle);
    let headers = rest.get(1..).unwrap_or_default();
    let files = vec![
        Entry::new("/index.html", "x"),
        Entry::new("/a/b.html", "y"),
        Entry::new(REDIRECTS, redirects),
        Entry::new(HEADERS, headers),
    ];
    match pack(files, 1) {
        Ok(blob) => {
            assert_eq!(Site::open(&blob).map(|site| site.len()), Ok(2));
            let asked = redirects.split(u8::is_ascii_whitespace).next().unwrap_or_default();
            site_blob(&[&blob, &b"\n"[..], asked].concat());
        }
        Err(PackError::Rule { line, .. }) => {
            assert!(line > 0 && line <= input.iter().filter(|byte| **byte == b'\n').count() + 1);
        }
        Err(error) => panic!("{error}"),
    }
}
