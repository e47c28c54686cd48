//! What is wrong with a deployment: where, what, and what to do about it.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The file.
    pub file: String,
    /// The line in it, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub cure: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.file, self.line, self.what, self.cure)
    }
}

/// All that is wrong, at least one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusals(pub Vec<Refusal>);

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, refusal) in self.0.iter().enumerate() {
            write!(f, "{}{refusal}", if n == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl core::error::Error for Refusals {}

/// Where refusals are collected.
#[derive(Debug)]
pub(crate) struct Complaints {
    file: String,
    list: Vec<Refusal>,
}

impl Complaints {
    pub(crate) fn about(file: &str) -> Self {
        Self { file: file.to_owned(), list: Vec::new() }
    }

    pub(crate) fn add(&mut self, line: usize, what: impl Into<String>, cure: impl Into<String>) {
        self.list.push(Refusal { file: self.file.clone(), line, what: what.into(), cure: cure.into() });
    }

    pub(crate) fn none(self) -> Result<(), Refusals> {
        let mut list = self.list;
        list.sort_by_key(|refusal| refusal.line);
        if list.is_empty() { Ok(()) } else { Err(Refusals(list)) }
    }
}
