//! Jobs for events and Xenstore, as `images/base-bench` knows them.

use core::fmt;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An event to domain 0 and one back.
    Event,
    /// A node is read.
    Read,
    /// The same, sixteen at once.
    Read16,
    /// A node is written.
    Write,
    /// A node is read and written in a transaction.
    Transaction,
    /// A watched node is written, and the watch's event waited for.
    Watch,
}

const NAMES: [(&str, Kind); 6] = [
    ("event", Kind::Event),
    ("read", Kind::Read),
    ("read16", Kind::Read16),
    ("write", Kind::Write),
    ("transaction", Kind::Transaction),
    ("watch", Kind::Watch),
];

/// What to measure, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// What.
    pub kind: Kind,
    /// How often.
    pub count: u64,
}

impl Job {
    /// Reads one: `read,1000`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, count) = text.split_once(',')?;
        let (_, kind) = NAMES.into_iter().find(|(known, _)| *known == name)?;
        Some(Self { kind, count: count.parse().ok()? })
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, kind)| *kind == self.kind).map_or("", |(name, _)| name);
        write!(f, "base {name} total {}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_understood_or_refused() {
        for (name, _) in NAMES {
            let job = Job::parse(&std::format!("{name},20")).unwrap();
            assert_eq!(std::format!("{job}"), std::format!("base {name} total 20"));
        }
        for text in ["", "read", "read,", "read,-1", "read,1,1", "sleep,1"] {
            assert_eq!(Job::parse(text), None, "{text}");
        }
    }
}
