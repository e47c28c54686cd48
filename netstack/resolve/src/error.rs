//! Why a name has no answer.

use core::fmt;

/// Why a name has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no such name.
    NoSuchName,
    /// The name exists, and has nothing of this kind.
    NoData,
    /// It is no name: too long, with an empty part, or with characters beyond ASCII.
    BadName,
    /// It is another name for another name and so on, without end.
    Loop,
    /// The servers do not want to answer us.
    Refused,
    /// The servers cannot answer.
    ServerFailed,
    /// No server answered in time.
    Timeout,
    /// What the servers answer makes no sense.
    Corrupt,
    /// There is nobody to ask.
    NoServers,
    /// There is no socket to ask with: no memory, no port, or no address.
    NoSocket,
}

impl Error {
    /// Whether this is an answer: it says what there is not, and asking again gives the same.
    pub fn is_answer(self) -> bool {
        matches!(self, Self::NoSuchName | Self::NoData)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchName => "there is no such name",
            Self::NoData => "the name has nothing of this kind",
            Self::BadName => "this is no name",
            Self::Loop => "the name leads to other names without end",
            Self::Refused => "the servers refuse to answer",
            Self::ServerFailed => "the servers cannot answer",
            Self::Timeout => "no server answered in time",
            Self::Corrupt => "what the servers answer makes no sense",
            Self::NoServers => "there is no server to ask",
            Self::NoSocket => "there is no socket to ask with",
        })
    }
}

impl core::error::Error for Error {}
