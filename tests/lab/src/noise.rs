//! Passes on what cargo says, but for one warning that it gives for each crate of an image: that rustc knows nothing of
//! `strict-align`, a feature of LLVM's that images are compiled without (`image.rs`).

use std::io::{BufRead, BufReader, Read, Write};

/// How the warning begins; a paragraph of its own.
const WARNING: &str =
    "warning: unknown and unstable feature specified for `-Ctarget-feature`: `strict-align`";

/// Passes lines on until there are no more.
pub(crate) fn pass_on(from: impl Read, mut to: impl Write) {
    let mut filter = Filter::default();
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        if filter.wants(&String::from_utf8_lossy(&line)) {
            // Nobody to tell if that fails.
            let _ = to.write_all(&line).and_then(|()| to.write_all(b"\n"));
        }
    }
}

#[derive(Default)]
struct Filter {
    /// In the paragraph.
    skips: bool,
}

impl Filter {
    fn wants(&mut self, line: &str) -> bool {
        if line.starts_with(WARNING) {
            self.skips = true;
        } else if self.skips && line.trim_end().is_empty() {
            self.skips = false;
            return false;
        }
        // Cargo counts for each crate; where there were others it says more than one.
        let is_count = line.starts_with("warning: `") && line.contains("generated 1 warning");
        !self.skips && !is_count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_is_left_out_and_others_are_not() {
        let said = "   Compiling xen-hyp v0.1.0\n\
            warning: unknown and unstable feature specified for `-Ctarget-feature`: `strict-align`\n\
            \x20 |\n  = note: it is still passed through\n\n\
            warning: `xen-hyp` (lib) generated 1 warning\n\
            warning: unused variable: `x`\n --> a.rs:1:1\n\n\
            warning: `b` (lib) generated 2 warnings (1 duplicate)\n";
        let mut passed = Vec::new();
        pass_on(said.as_bytes(), &mut passed);
        let expected = "   Compiling xen-hyp v0.1.0\nwarning: unused variable: `x`\n --> a.rs:1:1\n\n\
            warning: `b` (lib) generated 2 warnings (1 duplicate)\n";
        assert_eq!(String::from_utf8(passed).unwrap(), expected);
    }
}
