//! What a guest is expected to find, in words on its command line: `expect=gic2,timer27,event31,54000000Hz,32MiB`.
//!
//! So an image needs no list of boards, and one that has never seen a board can still say what is odd about it. It
//! compares the words with its own, so anybody can expect less.

use core::fmt;

/// What a guest of Xen's finds, or is expected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectations {
    /// Version of the interrupt controller.
    pub gic: u32,
    /// The virtual timer's interrupt (16 more than the PPI's number).
    pub timer: u32,
    /// The event channels' interrupt (16 more than the PPI's number).
    pub event: u32,
    /// Ticks of the counter in a second.
    pub timer_hz: u64,
    /// Its memory, which is not the board's to say.
    pub memory_mib: Option<u64>,
}

impl Expectations {
    /// The same of a guest with so much memory.
    #[must_use]
    pub const fn with_memory(self, mib: u64) -> Self {
        Self { memory_mib: Some(mib), ..self }
    }
}

impl fmt::Display for Expectations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gic{},timer{},event{},{}Hz", self.gic, self.timer, self.event, self.timer_hz)?;
        self.memory_mib.map_or(Ok(()), |mib| write!(f, ",{mib}MiB"))
    }
}

/// The words of `expected` that are not in the same place of `found`, each with what is there.
pub fn differences<'a>(expected: &'a str, found: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let mut found = found.split(',');
    let pair = move |word| (word, found.next().unwrap_or_default());
    expected.split(',').map(pair).filter(|(expected, found)| expected != found)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString as _;
    use std::vec::Vec;

    const VIRT: Expectations =
        Expectations { gic: 3, timer: 27, event: 31, timer_hz: 62_500_000, memory_mib: None };

    #[test]
    fn only_what_differs_is_told_and_less_may_be_expected() {
        let found = VIRT.with_memory(16).to_string();
        assert_eq!(found, "gic3,timer27,event31,62500000Hz,16MiB");
        let told =
            |expected: &str| differences(expected, &found).map(|(_, found)| found.len()).collect::<Vec<_>>();
        assert_eq!(told(&found), []);
        assert_eq!(told(&VIRT.to_string()), []);
        assert_eq!(told("gic3"), []);
        assert_eq!(
            differences("gic2,timer27,event31,54000000Hz,16MiB,more", &found).collect::<Vec<_>>(),
            [("gic2", "gic3"), ("54000000Hz", "62500000Hz"), ("more", "")]
        );
        assert_eq!(differences("", &found).collect::<Vec<_>>(), [("", "gic3")]);
    }
}
