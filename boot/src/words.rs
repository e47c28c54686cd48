//! The words of a command line.

use core::fmt;

/// The word with a secret from which random numbers may come, `seed=HEX`.
const SECRET: &str = "seed";

/// Words with their values, which may stand in double quotes to hold blanks.
pub fn words(mut rest: &str) -> impl Iterator<Item = (&str, &str)> {
    core::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return None;
        }
        let mut quoted = false;
        let ends = |c: char| {
            quoted ^= c == '"';
            c.is_ascii_whitespace() && !quoted
        };
        let (word, after) = rest.split_once(ends).unwrap_or((rest, ""));
        rest = after;
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        Some((name, value.trim_matches('"')))
    })
}

/// The value of the word with a secret, if there is one.
pub fn seed(cmdline: &str) -> Option<&str> {
    words(cmdline).find(|(name, _)| *name == SECRET).map(|(_, value)| value)
}

/// A command line that may be shown: without the secret.
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(value) = seed(rest).filter(|value| !value.is_empty()) {
            // Both are parts of the same text.
            let at = value.as_ptr().addr() - rest.as_ptr().addr();
            f.write_str(&rest[..at])?;
            f.write_str("(hidden)")?;
            rest = &rest[at + value.len()..];
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_quotes() {
        let all: Vec<_> = words("root=/dev/xvda  quiet exec=\"echo a b; mem\" x=\"\" y=\"open end").collect();
        let expected =
            [("root", "/dev/xvda"), ("quiet", ""), ("exec", "echo a b; mem"), ("x", ""), ("y", "open end")];
        assert_eq!(all, expected);
        assert_eq!(words(" \t ").count(), 0);
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(seed("seed= seed=12"), Some(""));
        for (cmdline, shown) in [
            ("", ""),
            ("ip=dhcp  quiet", "ip=dhcp  quiet"),
            ("quiet seed=00ff ip=dhcp", "quiet seed=(hidden) ip=dhcp"),
            ("seed=\"0 1\"", "seed=\"(hidden)\""),
            ("seed=1 seed=2", "seed=(hidden) seed=(hidden)"),
            ("exec=\"echo seed=1\" seed=", "exec=\"echo seed=1\" seed="),
            ("seed=\"open 1", "seed=\"(hidden)"),
            ("xseed=1", "xseed=1"),
        ] {
            assert_eq!(Shown(cmdline).to_string(), shown);
        }
    }
}
