//! The report that CI services read.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::report::{Outcome, Test};

pub(crate) fn write(file: &Path, tests: &[Test]) -> Result<()> {
    fs::write(file, render(tests)).with_context(|| format!("writing {}", file.display()))
}

fn render(tests: &[Test]) -> String {
    let count = |wanted: fn(&Outcome) -> bool| tests.iter().filter(|test| wanted(&test.outcome)).count();
    let seconds: f64 = tests.iter().map(|test| test.took.as_secs_f64()).sum();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuite name=\"fata\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{seconds:.3}\">\n",
        tests.len(),
        count(|o| matches!(o, Outcome::Failed(_))),
        count(|o| matches!(o, Outcome::Skipped)),
    );
    for Test { name, outcome, took } in tests {
        let (class, name) = name.rsplit_once('/').unwrap_or(("", name));
        // Writing to a string cannot fail.
        let _ = write!(
            xml,
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            escaped(class),
            escaped(name),
            took.as_secs_f64()
        );
        match outcome {
            Outcome::Passed => xml += "/>\n",
            Outcome::Skipped => xml += "><skipped/></testcase>\n",
            Outcome::Failed(reason) => {
                let first = reason.lines().next().unwrap_or_default();
                let _ = writeln!(
                    xml,
                    "><failure message=\"{}\">{}</failure></testcase>",
                    escaped(first),
                    escaped(reason)
                );
            }
        }
    }
    xml + "</testsuite>\n"
}

/// For text and attributes. XML 1.0 has no way to write most control characters.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn is_well_formed_whatever_the_reason_says() {
        let test =
            |name: &str, outcome| Test { name: name.into(), outcome, took: Duration::from_millis(1500) };
        let tests = [
            test("a/b", Outcome::Passed),
            test("a/c", Outcome::Failed("1 < 2 & \"x\"\n\u{1b}[1m]]>".into())),
            test("d", Outcome::Skipped),
        ];
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
            <testsuite name=\"fata\" tests=\"3\" failures=\"1\" skipped=\"1\" time=\"4.500\">\n\
            \x20 <testcase classname=\"a\" name=\"b\" time=\"1.500\"/>\n\
            \x20 <testcase classname=\"a\" name=\"c\" time=\"1.500\"><failure message=\"1 &lt; 2 &amp; &quot;x&quot;\">\
            1 &lt; 2 &amp; &quot;x&quot;\n\u{fffd}[1m]]&gt;</failure></testcase>\n\
            \x20 <testcase classname=\"\" name=\"d\" time=\"1.500\"><skipped/></testcase>\n\
            </testsuite>\n";
        assert_eq!(render(&tests), expected);
    }
}
