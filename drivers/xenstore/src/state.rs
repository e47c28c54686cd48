//! What the other end is up to.

use crate::error::Error;
use core::fmt;

/// How it stands with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The toolstack has not said where the store is: a dom0less domain before `init-dom0less` ran.
    Late,
    /// There is a page, and nobody serves it, yet or for a moment. Requests wait.
    Connecting,
    /// Requests are answered.
    Connected,
    /// Given up, for this reason; requests fail.
    Dead(Error),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("waiting for the toolstack to set it up"),
            Self::Connecting => f.write_str("waiting for the server"),
            Self::Connected => f.write_str("connected"),
            Self::Dead(error) => error.fmt(f),
        }
    }
}

/// What a server says that it can do (`XENSTORE_SERVER_FEATURE_*`, `xen/include/public/io/xs_wire.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(pub u32);

impl Features {
    /// To start over with this page when asked to.
    pub const RECONNECTION: Self = Self(1);
    /// To say why it closed a connection.
    pub const ERROR: Self = Self(2);
    /// To limit a watch to some levels.
    pub const WATCH_DEPTH: Self = Self(4);
    /// To take permissions for all domains that have none of their own.
    pub const DOMID_ANY: Self = Self(8);

    /// Whether all of these are there.
    pub const fn has(self, features: Self) -> bool {
        self.0 & features.0 == features.0
    }
}
