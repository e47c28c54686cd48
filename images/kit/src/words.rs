//! The words of a command line.

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
}
