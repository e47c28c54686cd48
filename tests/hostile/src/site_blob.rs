//! Any bytes as a site, as a payload and as an image to put one behind: an error, or something all of which can be looked
//! at and that never says what ends a header.

use fata_payload::{Payload, attach, attached};
use fata_site::{Encoding, File, Found, Site};

/// Opens, looks at everything, and asks for paths.
///
/// # Panics
/// If a blob is believed that must not be.
pub fn site_blob(input: &[u8]) {
    // The last line is a path to ask for.
    let end = input.iter().rposition(|byte| *byte == b'\n').unwrap_or(input.len());
    let (bytes, path) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    if let Ok(payload) = Payload::open(bytes) {
        let members: Vec<_> = payload.members().collect();
        assert!(members.is_sorted_by(|a, b| a.name < b.name));
        for member in members {
            assert_eq!(payload.member(member.name), Some(member));
        }
    }
    if let Ok(before) = attached(bytes)
        && before.image <= 1 << 20
    {
        let whole = attach(bytes, path).unwrap();
        let after = attached(&whole).unwrap();
        assert_eq!((after.image, after.payload), (before.image, path.len() as u64));
    }
    let Ok(site) = Site::open(bytes) else { return };
    assert!(site.bytes() <= bytes.len());
    assert_eq!(site.files().count(), site.len());
    let mut paths: Vec<_> = site.files().take(100).map(|file| file.path.to_owned()).collect();
    for file in site.files() {
        sound(&file);
    }
    paths.extend(std::str::from_utf8(path).ok().map(str::to_owned));
    for path in paths {
        for path in [&path, &format!("{path}/"), path.trim_end_matches(".html")] {
            match site.find(path) {
                Found::File(file) => sound(&file),
                Found::Missing(file) => file.iter().for_each(sound),
                Found::Redirect(redirect) => {
                    let place = redirect.to_string();
                    assert!(place.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'), "{place:?}");
                    assert!(!place.starts_with("//"), "{place:?}");
                    assert!((301..=308).contains(&redirect.status));
                }
            }
        }
    }
}

fn sound(file: &File<'_>) {
    let forms: Vec<_> = file.variants().collect();
    assert_eq!(forms.first().map(|form| form.encoding), Some(Encoding::Identity));
    assert!(forms.is_sorted_by(|a, b| a.encoding < b.encoding));
    let printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    assert!(printable(file.mime) && forms.iter().all(|form| printable(form.etag)));
    for line in file.headers.split_terminator("\r\n") {
        assert!(printable(line) && line.contains(": "), "{line:?}");
    }
}
