//! The states of one half of a device.

use core::fmt;

/// `enum xenbus_state` (`xen/include/public/io/xenbus.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no such node, or nothing known in it.
    Unknown,
    /// It has not begun.
    Initialising,
    /// It has begun, and waits for information from the other half.
    InitWait,
    /// It has told the other half what it needs, and waits for it to connect.
    Initialised,
    /// It works.
    Connected,
    /// It is going away.
    Closing,
    /// It has gone away.
    Closed,
    /// It is changing what the device consists of.
    Reconfiguring,
    /// It has done so.
    Reconfigured,
}

impl State {
    /// The state of this number; whatever is not in the header is unknown.
    pub(crate) const fn of(number: u32) -> Self {
        match number {
            1 => Self::Initialising,
            2 => Self::InitWait,
            3 => Self::Initialised,
            4 => Self::Connected,
            5 => Self::Closing,
            6 => Self::Closed,
            7 => Self::Reconfiguring,
            8 => Self::Reconfigured,
            _ => Self::Unknown,
        }
    }

    /// Its value in the node.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Unknown => "0",
            Self::Initialising => "1",
            Self::InitWait => "2",
            Self::Initialised => "3",
            Self::Connected => "4",
            Self::Closing => "5",
            Self::Closed => "6",
            Self::Reconfiguring => "7",
            Self::Reconfigured => "8",
        }
    }

    /// The header's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Initialising => "Initialising",
            Self::InitWait => "InitWait",
            Self::Initialised => "Initialised",
            Self::Connected => "Connected",
            Self::Closing => "Closing",
            Self::Closed => "Closed",
            Self::Reconfiguring => "Reconfiguring",
            Self::Reconfigured => "Reconfigured",
        }
    }

    /// Whether a device in this state does its work.
    pub(crate) const fn works(self) -> bool {
        matches!(self, Self::Connected | Self::Reconfiguring | Self::Reconfigured)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn numbers_and_texts_agree() {
        for number in 0..9 {
            assert_eq!(State::of(number).text(), number.to_string());
        }
        assert_eq!([State::of(9), State::of(u32::MAX)], [State::Unknown; 2]);
    }
}
