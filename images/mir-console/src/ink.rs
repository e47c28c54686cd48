//! Colours, which can be turned off.

/// Whether to write colour codes. Each method is the code, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ink(pub bool);

impl Ink {
    /// For what went wrong.
    pub const fn red(self) -> &'static str {
        self.code("\u{1b}[31m")
    }
    /// For the prompt.
    pub const fn green(self) -> &'static str {
        self.code("\u{1b}[32m")
    }
    /// For what deserves attention.
    pub const fn yellow(self) -> &'static str {
        self.code("\u{1b}[33m")
    }
    /// For labels.
    pub const fn cyan(self) -> &'static str {
        self.code("\u{1b}[36m")
    }
    /// For headings.
    pub const fn bold(self) -> &'static str {
        self.code("\u{1b}[1m")
    }
    /// Back to the terminal's own.
    pub const fn off(self) -> &'static str {
        self.code("\u{1b}[0m")
    }

    const fn code(self, code: &'static str) -> &'static str {
        if self.0 { code } else { "" }
    }
}
