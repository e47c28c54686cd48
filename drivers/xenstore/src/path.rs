//! Paths, as `docs/misc/xenstore.txt` has them.

use crate::error::Error;

/// `XENSTORE_ABS_PATH_MAX`.
const ABSOLUTE_MAX: usize = 3072;
/// `XENSTORE_REL_PATH_MAX`.
const RELATIVE_MAX: usize = 2048;

/// Checks a path of a node before the server does, since what is in it decides how the message is read.
pub(crate) fn check(path: &str) -> Result<(), Error> {
    if path.starts_with('@') {
        return Err(Error::BadPath);
    }
    check_special(path)
}

/// The same where one of the special watches would do, too: `@introduceDomain`, `@releaseDomain`.
pub(crate) fn check_special(path: &str) -> Result<(), Error> {
    if path.len() > if path.starts_with(['/', '@']) { ABSOLUTE_MAX } else { RELATIVE_MAX } {
        return Err(Error::PathTooLong);
    }
    if path == "/" {
        return Ok(());
    }
    // Every request has one, so it is looked at once. What comes before it is no slash, and none may follow its last.
    let mut before = 0;
    for &byte in path.as_bytes() {
        let doubled = byte == b'/' && before == b'/';
        if doubled || ALLOWED[usize::from(byte / 32)] >> (byte % 32) & 1 == 0 {
            return Err(Error::BadPath);
        }
        before = byte;
    }
    if before == b'/' || path.is_empty() { Err(Error::BadPath) } else { Ok(()) }
}

/// A bit for each byte that may be in a path.
const ALLOWED: [u32; 8] = {
    let mut bits = [0; 8];
    let mut byte = 0u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'/' | b'_' | b'@') {
            bits[(byte / 32) as usize] |= 1 << (byte % 32);
        }
        byte += 1;
    }
    bits
};

/// How many levels `path` is below `above`, if it is that or below it.
pub(crate) fn levels_below(path: &str, above: &str) -> Option<usize> {
    let rest = path.strip_prefix(above)?;
    match rest.as_bytes().first() {
        None => Some(0),
        Some(b'/') => Some(rest.matches('/').count()),
        Some(_) if above == "/" => Some(rest.matches('/').count() + 1),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_checked() {
        for path in ["/", "/local/domain/0", "device/vbd/51712", "a", "@", "/A-b_c@d", "data"] {
            assert_eq!(check_special(path), Ok(()), "{path}");
        }
        for path in ["", "//", "/a/", "a/", "/a//b", "a b", "/a.b", "a\0b", "ä", "a\n", "/a:b"] {
            assert_eq!(check(path), Err(Error::BadPath), "{path}");
        }
        assert_eq!(check("@releaseDomain"), Err(Error::BadPath));
        assert_eq!(check_special("@releaseDomain/3"), Ok(()));
        for (start, max) in [("/", 3072), ("a", 2048)] {
            let longest = start.to_string() + &"x".repeat(max - 1);
            assert_eq!(check(&longest), Ok(()));
            assert_eq!(check(&(longest + "x")), Err(Error::PathTooLong));
        }
    }

    #[test]
    fn levels_are_counted() {
        for (path, above, levels) in [
            ("/a", "/a", Some(0)),
            ("/a/b", "/a", Some(1)),
            ("/a/b/c", "/a", Some(2)),
            ("/ab", "/a", None),
            ("/", "/", Some(0)),
            ("/a", "/", Some(1)),
            ("/a/b", "/", Some(2)),
            ("/", "/a", None),
            ("x/y", "x", Some(1)),
            ("@releaseDomain/7", "@releaseDomain", Some(1)),
        ] {
            assert_eq!(levels_below(path, above), levels, "{path} {above}");
        }
    }
}
