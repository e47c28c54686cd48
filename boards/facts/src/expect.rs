//! What a guest is expected to find, in words on its command line: `expect=gic2,timer27,event31,54000000Hz`.
//!
//! So an image needs no list of boards, and one that has never seen a board can still say what is odd about it.

use core::fmt;
use core::str::FromStr;

/// What a guest of Xen's is expected to find.
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
}

/// Something that is not as expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What.
    pub what: &'static str,
    /// What was expected.
    pub expected: u64,
    /// What there is; none if there is no such thing.
    pub found: Option<u64>,
}

/// These are no expectations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotExpectations;

impl fmt::Display for NotExpectations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not like gic3,timer27,event31,62500000Hz")
    }
}

impl fmt::Display for Expectations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gic{},timer{},event{},{}Hz", self.gic, self.timer, self.event, self.timer_hz)
    }
}

impl FromStr for Expectations {
    type Err = NotExpectations;

    fn from_str(text: &str) -> Result<Self, NotExpectations> {
        let mut words = text.split(',');
        let mut word = || words.next().unwrap_or_default();
        let number = |text: Option<&str>| text.ok_or(NotExpectations)?.parse().map_err(|_| NotExpectations);
        let found = Self {
            gic: number(word().strip_prefix("gic"))?,
            timer: number(word().strip_prefix("timer"))?,
            event: number(word().strip_prefix("event"))?,
            timer_hz: word()
                .strip_suffix("Hz")
                .ok_or(NotExpectations)?
                .parse()
                .map_err(|_| NotExpectations)?,
        };
        if words.next().is_some() { Err(NotExpectations) } else { Ok(found) }
    }
}

impl Expectations {
    /// What differs from them.
    pub fn differences(
        &self,
        gic: Option<u32>,
        timer: Option<u32>,
        event: Option<u32>,
        timer_hz: u64,
    ) -> impl Iterator<Item = Difference> {
        let all = [
            ("interrupt controller's version", u64::from(self.gic), gic.map(u64::from)),
            ("timer's interrupt", u64::from(self.timer), timer.map(u64::from)),
            ("event channels' interrupt", u64::from(self.event), event.map(u64::from)),
            ("timer's frequency, Hz", self.timer_hz, Some(timer_hz)),
        ];
        let differs = |&(_, expected, found): &(_, u64, Option<u64>)| found != Some(expected);
        all.into_iter().filter(differs).map(|(what, expected, found)| Difference { what, expected, found })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString as _;
    use std::vec::Vec;

    const VIRT: Expectations = Expectations { gic: 3, timer: 27, event: 31, timer_hz: 62_500_000 };

    #[test]
    fn words_are_read_back() {
        assert_eq!(VIRT.to_string(), "gic3,timer27,event31,62500000Hz");
        assert_eq!(VIRT.to_string().parse(), Ok(VIRT));
        for wrong in [
            "",
            "gic3",
            "gic3,timer27,event31,62500000",
            "gicx,timer27,event31,1Hz",
            "gic3,timer27,event31,1Hz,",
        ] {
            assert_eq!(wrong.parse::<Expectations>(), Err(NotExpectations), "{wrong}");
        }
    }

    #[test]
    fn only_what_differs_is_told() {
        assert_eq!(VIRT.differences(Some(3), Some(27), Some(31), 62_500_000).count(), 0);
        let found: Vec<_> = VIRT.differences(Some(2), Some(27), None, 62_500_000).collect();
        assert_eq!(
            found,
            [
                Difference { what: "interrupt controller's version", expected: 3, found: Some(2) },
                Difference { what: "event channels' interrupt", expected: 31, found: None },
            ]
        );
    }
}
