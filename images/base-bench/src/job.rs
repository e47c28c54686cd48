//! One piece of work, as the command line says it.

use core::fmt;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An event to the peer and one back.
    Event,
    /// A node is read.
    Read,
    /// The same by sixteen tasks.
    Read16,
    /// A node is written.
    Write,
    /// A node is read and written in a transaction.
    Transaction,
    /// A watched node is written, and the watch's event waited for.
    Watch,
}

impl Kind {
    const NAMES: [(&'static str, Self); 6] = [
        ("event", Self::Event),
        ("read", Self::Read),
        ("read16", Self::Read16),
        ("write", Self::Write),
        ("transaction", Self::Transaction),
        ("watch", Self::Watch),
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, kind)| kind == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

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
    pub fn parse(text: &str) -> Option<Self> {
        let (name, count) = text.split_once(',')?;
        let (_, kind) = Kind::NAMES.into_iter().find(|(known, _)| *known == name)?;
        Some(Self { kind, count: count.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_understood_or_refused() {
        assert_eq!(Job::parse("read16,1000"), Some(Job { kind: Kind::Read16, count: 1000 }));
        for (name, kind) in Kind::NAMES {
            assert_eq!(
                (kind.to_string().as_str(), Job::parse(&format!("{name},1"))),
                (name, Some(Job { kind, count: 1 }))
            );
        }
        for text in ["", "read", "read,", "read,-1", "read,1,1", "sleep,1"] {
            assert_eq!(Job::parse(text), None, "{text}");
        }
    }
}
