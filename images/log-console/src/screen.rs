//! What is shown for what comes, and for what is typed.

use alloc::format;
use alloc::string::{String, ToString};

const HELP: &str = "  last N    the last N lines again\n  \
                    stats     what there was so far\n  \
                    quiet     no more lines until it is said again\n  \
                    sensor W  tells the sensor words, as every 200\n  \
                    crash sensor|logger|console\n";

#[derive(Debug, Default)]
pub(crate) struct Screen {
    quiet: bool,
    /// Lines that came, and how many did not.
    came: u64,
    missing: u64,
    /// The number of the last.
    last: u64,
}

impl Screen {
    /// How often the logger says something, if it is this that it says.
    pub(crate) fn interval_ms(&self, line: &str) -> Option<u64> {
        let ms = line.strip_prefix("hello, every ")?.strip_suffix(" ms")?.parse().ok()?;
        (1..=3_600_000).contains(&ms).then_some(ms)
    }

    /// What there is to be shown when this comes.
    pub(crate) fn show(&mut self, line: &str) -> Option<String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "beat" => None,
            "again" => Some(format!("{}\n", shaped(rest).unwrap_or_else(|| rest.to_string()))),
            "said" => Some(format!("logger: {rest}\n")),
            _ => {
                let Some((number, shaped)) = word.parse::<u64>().ok().zip(shaped(line)) else {
                    return Some(format!("? {line}\n"));
                };
                // A logger that begins anew counts from one.
                let missing = if number > self.last { number - self.last - 1 } else { 0 };
                self.missing = self.missing.saturating_add(missing);
                (self.last, self.came) = (number, self.came + 1);
                let gap = if missing > 0 {
                    format!("console: {missing} lines are missing\n")
                } else {
                    String::new()
                };
                (!self.quiet).then(|| format!("{gap}{shaped}\n"))
            }
        }
    }

    /// What a command says here, and what is asked of the logger.
    pub(crate) fn command(&mut self, line: &str) -> (String, String) {
        let say = |text: &str| (format!("> {line}\n{text}"), String::new());
        let ask = |text: &str| (format!("> {line}\n"), format!("{text}\n"));
        match line.split_once(' ').unwrap_or((line, "")) {
            ("last", _) | ("sensor", _) => ask(line),
            ("stats", _) => {
                let (said, _) = say(&format!("console: {} lines, {} missing\n", self.came, self.missing));
                (said, "stats\n".to_string())
            }
            ("quiet", _) => {
                self.quiet = !self.quiet;
                say(if self.quiet { "" } else { "console: lines are shown again\n" })
            }
            ("crash", "sensor") => ask("sensor crash"),
            ("crash", "logger") => ask("crash"),
            ("crash", "console") => panic!("told to crash"),
            _ => say(HELP),
        }
    }
}

/// `NUMBER MS TEXT` in columns.
fn shaped(line: &str) -> Option<String> {
    let (number, rest) = line.split_once(' ')?;
    let (ms, text) = rest.split_once(' ')?;
    let (number, ms) = (number.parse::<u64>().ok()?, ms.parse::<u64>().ok()?);
    Some(format!("{number:>6} {:>5}.{:03}  {text}", ms / 1000, ms % 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shown_in_columns_and_counted() {
        let mut screen = Screen::default();
        assert_eq!(screen.show("1 1042 reading 1"), Some("     1     1.042  reading 1\n".to_string()));
        assert_eq!(screen.show("beat"), None);
        assert_eq!(
            screen.show("4 2042 reading 4"),
            Some("console: 2 lines are missing\n     4     2.042  reading 4\n".to_string())
        );
        assert_eq!(screen.show("again 2 1500 x y"), Some("     2     1.500  x y\n".to_string()));
        assert_eq!(screen.command("stats").0, "> stats\nconsole: 2 lines, 2 missing\n");
        screen.command("quiet");
        assert_eq!(screen.show("5 2043 reading 5"), None);
        assert_eq!(screen.show("said so"), Some("logger: so\n".to_string()));
        // One that was started again.
        screen.command("quiet");
        assert_eq!(screen.show("1 3 first"), Some("     1     0.003  first\n".to_string()));
        assert_eq!(screen.missing, 2);
    }

    #[test]
    fn what_makes_no_sense_is_shown_as_such() {
        let mut screen = Screen::default();
        for line in ["x", "1", "1 x y", "99999999999999999999 1 x"] {
            assert_eq!(screen.show(line), Some(format!("? {line}\n")));
        }
        assert_eq!(
            screen.show("18446744073709551615 1 x").map(|shown| shown.contains("missing")),
            Some(true)
        );
        assert_eq!(screen.interval_ms("hello, every 0 ms"), None);
        assert_eq!(screen.interval_ms("hello, every 250 ms"), Some(250));
        assert!(screen.command("what").0.contains("last N"));
        assert_eq!(screen.command("crash logger").1, "crash\n");
    }
}
