//! Finds the Debian mirror that this machine already uses.

use std::path::Path;

/// Suites that only Debian's own archive has next to a component `main`, apart from third parties that imitate it.
const SUITES: &[&str] =
    &["bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable"];

/// One `deb` source.
#[derive(Debug, Default, PartialEq, Eq)]
struct Source {
    uri: String,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: Option<String>,
}

/// The mirror named in the files below `etc_apt`, if any of them speaks of Debian's archive.
pub(crate) fn mirror(etc_apt: &Path) -> Option<String> {
    let mut files = vec![etc_apt.join("sources.list")];
    let parts = std::fs::read_dir(etc_apt.join("sources.list.d")).into_iter().flatten().flatten();
    files.extend(parts.map(|entry| entry.path()));
    files.sort();
    let sources = files.iter().flat_map(|file| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        match file.extension().and_then(|e| e.to_str()) {
            Some("list") => one_line(&text),
            Some("sources") => deb822(&text),
            _ => Vec::new(),
        }
    });
    choose(&sources.collect::<Vec<_>>())
}

/// Debian's own archive: by key or path if some source says so, else the first that has its suites and no other key.
fn choose(sources: &[Source]) -> Option<String> {
    let debian = || {
        sources.iter().filter(|s| {
            s.suites.iter().any(|suite| SUITES.contains(&suite.as_str()))
                && s.components.iter().any(|c| c == "main")
        })
    };
    let named = |s: &&Source| {
        s.signed_by.as_ref().is_some_and(|key| key.contains("debian-archive"))
            || s.uri.split('/').any(|part| part == "debian")
    };
    debian().find(named).or_else(|| debian().find(|s| s.signed_by.is_none())).map(|s| s.uri.clone())
}

/// `deb [option=value ...] URI SUITE COMPONENT...`, see sources.list(5).
fn one_line(text: &str) -> Vec<Source> {
    text.lines().filter_map(one_line_source).collect()
}

fn one_line_source(line: &str) -> Option<Source> {
    let line = line.split('#').next().unwrap_or_default();
    let mut rest = line.trim().strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let mut source = Source::default();
    if let Some(inner) = rest.strip_prefix('[') {
        let (options, after) = inner.split_once(']')?;
        source.signed_by =
            options.split_whitespace().find_map(|o| o.strip_prefix("signed-by=")).map(str::to_owned);
        rest = after;
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    source.uri = words.next()?;
    source.suites = vec![words.next()?];
    source.components = words.collect();
    Some(source)
}

/// Stanzas of `Key: value`; continuation lines start with a blank, values are lists of words.
fn deb822(text: &str) -> Vec<Source> {
    let without_comments: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    without_comments.split(|l| l.trim().is_empty()).flat_map(deb822_stanza).collect()
}

fn deb822_stanza(lines: &[&str]) -> Vec<Source> {
    let field = |name: &str| -> Vec<String> {
        let mut words = Vec::new();
        let mut inside = false;
        for line in lines {
            let value = if line.starts_with([' ', '\t']) {
                line
            } else {
                let (key, value) = line.split_once(':').unwrap_or((line, ""));
                inside = key.trim().eq_ignore_ascii_case(name);
                value
            };
            if inside {
                words.extend(value.split_whitespace().map(str::to_owned));
            }
        }
        words
    };
    let disabled = field("Enabled").iter().any(|v| ["no", "false", "0", "off"].contains(&v.as_str()));
    if disabled || !field("Types").iter().any(|t| t == "deb") {
        return Vec::new();
    }
    let source = |uri| Source {
        uri,
        suites: field("Suites"),
        components: field("Components"),
        signed_by: field("Signed-By").into_iter().next(),
    };
    field("URIs").into_iter().map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deb822_with_comments_lists_and_other_types() {
        let sources = deb822(
            "Types: deb-src\nURIs: http://a/debian\nSuites: trixie\nComponents: main\n\n\
             Types: deb deb-src\n# a comment\nURIs: http://b/debian\n http://c/debian/\nSuites: bookworm bookworm-updates\n\
             Components: main contrib\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
             Enabled: no\nTypes: deb\nURIs: http://d/debian\nSuites: sid\nComponents: main\n",
        );
        let uris: Vec<&str> = sources.iter().map(|s| s.uri.as_str()).collect();
        assert_eq!(uris, ["http://b/debian", "http://c/debian/"]);
        assert_eq!(sources[0].suites, ["bookworm", "bookworm-updates"]);
        assert_eq!(choose(&sources).as_deref(), Some("http://b/debian"));
    }

    #[test]
    fn one_line_with_and_without_options() {
        let sources = one_line(
            "# deb http://a/debian sid main\ndeb-src http://b/debian sid main\n\
             deb [arch=amd64 signed-by=/k.gpg] http://c/debian trixie main # why\ndeb http://d/x stable main\ndeb\n",
        );
        assert_eq!(sources.len(), 2);
        assert_eq!(sources[0].signed_by.as_deref(), Some("/k.gpg"));
        assert_eq!(sources[0].components, ["main"]);
        assert_eq!(sources[1].uri, "http://d/x");
    }

    #[test]
    fn third_parties_and_other_distributions_are_not_debian() {
        let vendor = one_line("deb [signed-by=/etc/apt/keyrings/vendor.gpg] http://v/tools bookworm main");
        assert_eq!(choose(&vendor), None);
        assert_eq!(choose(&one_line("deb http://u/ubuntu noble main universe")), None);
        assert_eq!(choose(&one_line("deb http://s/debian-security bookworm-security main")), None);
    }

    #[test]
    fn mirror_lists_and_dated_mirrors_count() {
        let list = deb822(
            "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/main.list\nSuites: trixie\nComponents: main\n",
        );
        assert_eq!(choose(&list).as_deref(), Some("mirror+file:///etc/apt/mirrors/main.list"));
        let dated = one_line("deb http://s/archive/debian/20250520T000000Z bookworm main");
        assert_eq!(choose(&dated).as_deref(), Some("http://s/archive/debian/20250520T000000Z"));
    }
}
