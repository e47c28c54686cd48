//! UTC dates from seconds since 1970, in the calendar of today extended to all years.

use core::fmt;

/// A point in time, shown as `2026-11-22 04:05:06`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc {
    /// Seconds since 1970-01-01 00:00:00, leap seconds not counted.
    pub seconds: u64,
}

const DAY: u64 = 24 * 60 * 60;
const DAYS_IN_400_YEARS: u64 = 400 * 365 + 97;
/// From 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: u64 = 719_468;

impl Utc {
    /// Year, month from 1, day from 1.
    pub fn date(self) -> (u64, u64, u64) {
        // Counted from a first of March, so that a leap day is the last of its year, century and 400 years.
        let days = self.seconds / DAY + DAYS_BEFORE_1970;
        let (cycle, day) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
        let century = (day / 36_524).min(3);
        let day = day - century * 36_524;
        let four = day / 1_461;
        let day = day % 1_461;
        let year_of_four = (day / 365).min(3);
        let day_of_year = day - year_of_four * 365;
        // March to July and August to December both have 31, 30, 31, 30, 31 days: 153.
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let year = 400 * cycle + 100 * century + 4 * four + year_of_four;
        if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let second = self.seconds % DAY;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (951_868_800, "2000-03-01 00:00:00"),
            (1_234_567_890, "2009-02-13 23:31:30"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (253_402_300_799, "9999-12-31 23:59:59"),
        ] {
            assert_eq!(Utc { seconds }.to_string(), text);
        }
        // Whatever Xen says must not overflow.
        let _ = Utc { seconds: u64::MAX }.to_string();
    }

    #[test]
    fn every_day_of_a_thousand_years_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..1000 * 366 {
            assert_eq!(Utc { seconds: days * DAY }.date(), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
