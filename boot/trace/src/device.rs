//! Names of devices that fit into a word.

/// A device: what kind, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device(pub u64);

impl Device {
    /// The console.
    pub const CONSOLE: Self = Self::of(1, 0);
    /// Xenstore.
    pub const STORE: Self = Self::of(2, 0);

    /// A disk, by the low half of its number in Xenstore.
    pub const fn disk(number: u16) -> Self {
        Self::of(3, number as u32)
    }

    /// The ring in which a network card sends, by the grant that its backend knows it by.
    pub const fn card_out(grant: u32) -> Self {
        Self::of(4, grant)
    }

    /// The one in which it receives.
    pub const fn card_in(grant: u32) -> Self {
        Self::of(5, grant)
    }

    /// What somebody else gives a meaning to.
    pub const fn other(number: u32) -> Self {
        Self::of(15, number)
    }

    const fn of(class: u32, number: u32) -> Self {
        Self((class as u64) << 32 | number as u64)
    }

    /// Its class and its number.
    pub const fn parts(self) -> (u32, u32) {
        ((self.0 >> 32) as u32, self.0 as u32)
    }
}
