//! What a record is about.

/// What happened, and what a record's two arguments then are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A task is there: its id.
    Spawned = 1,
    /// A task is polled: its id. [`MAIN`](Self::MAIN) is the main one.
    PollBegin,
    /// It returned: its id, and 1 if it is through.
    PollEnd,
    /// A task was woken that was not already: its id.
    Woken,
    /// A task is no more: its id, and 1 if it was aborted.
    Ended,
    /// A timer was set: its number, and when it is due, in nanoseconds.
    TimerSet,
    /// A timer was due: its number.
    TimerFired,
    /// A timer was given up: its number.
    TimerCancelled,
    /// A turn of the run loop: its number.
    Turn,
    /// The machine may sleep: until when, in nanoseconds; all ones for ever.
    IdleBegin,
    /// It does not any more.
    IdleEnd,
    /// An event came: its port, and 1 if somebody had bound it.
    Event,
    /// An event was sent: the port.
    Notified,
    /// A driver has put a request into a ring: its device, and the request.
    RequestOut,
    /// It took the answer out: its device, and the request.
    AnswerIn,
    /// What an application makes of it.
    Mark,
    /// A task has a name: its id, and where that is, with its length above 48 bits.
    Named,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Spawned,
        Self::PollBegin,
        Self::PollEnd,
        Self::Woken,
        Self::Ended,
        Self::TimerSet,
        Self::TimerFired,
        Self::TimerCancelled,
        Self::Turn,
        Self::IdleBegin,
        Self::IdleEnd,
        Self::Event,
        Self::Notified,
        Self::RequestOut,
        Self::AnswerIn,
        Self::Mark,
        Self::Named,
    ];

    /// The main task's id.
    pub const MAIN: u64 = u64::MAX;

    /// By its number.
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_number() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(kind as u8), Some(kind));
        }
        assert_eq!((Kind::of(0), Kind::of(18)), (None, None));
    }
}
