//! UTC dates from seconds since 1970 and back, in the calendar of today extended to all years.

use core::fmt;

/// A point in time, shown as `2026-11-22 04:05:06`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utc {
    /// Seconds since 1970-01-01 00:00:00, leap seconds not counted.
    pub seconds: u64,
}

/// The same as people say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Civil {
    /// The year.
    pub year: u64,
    /// The month, from 1.
    pub month: u8,
    /// The day of the month, from 1.
    pub day: u8,
    /// The hour.
    pub hour: u8,
    /// The minute.
    pub minute: u8,
    /// The second. There is no sixtieth.
    pub second: u8,
}

const DAY: u64 = 24 * 60 * 60;
const DAYS_IN_400_YEARS: u64 = 400 * 365 + 97;
/// From 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: u64 = 719_468;
/// More than these seconds have room for.
const LAST_YEAR: u64 = 584_554_000_000;

impl Utc {
    /// In the calendar.
    pub fn civil(self) -> Civil {
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
        let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
        let second = self.seconds % DAY;
        Civil {
            year,
            month: month as u8,
            day: day as u8,
            hour: (second / 3600) as u8,
            minute: (second / 60 % 60) as u8,
            second: (second % 60) as u8,
        }
    }

    /// From the calendar. `None` if there is no such day or time, or if it is before 1970.
    pub fn of(civil: Civil) -> Option<Self> {
        let Civil { year, month, day, hour, minute, second } = civil;
        let is_time = hour < 24 && minute < 60 && second < 60;
        let is_day = (1..=12).contains(&month) && (1..=month_length(year, month)).contains(&day);
        if !is_time || !is_day || !(1970..LAST_YEAR).contains(&year) {
            return None;
        }
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let leap_days = year / 4 - year / 100 + year / 400;
        let day_of_year = (153 * u64::from(month) + 2) / 5 + u64::from(day) - 1;
        let days = (year * 365 + leap_days + day_of_year).checked_sub(DAYS_BEFORE_1970)?;
        let seconds = u64::from(hour) * 3600 + u64::from(minute) * 60 + u64::from(second);
        Some(Self { seconds: days.checked_mul(DAY)?.checked_add(seconds)? })
    }
}

/// The days of a month.
fn month_length(year: u64, month: u8) -> u8 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u8::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second } = self.civil();
        write!(f, "{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [(u64, &str); 7] = [
        (0, "1970-01-01 00:00:00"),
        (951_782_399, "2000-02-28 23:59:59"),
        (951_782_400, "2000-02-29 00:00:00"),
        (951_868_800, "2000-03-01 00:00:00"),
        (1_234_567_890, "2009-02-13 23:31:30"),
        (4_107_542_400, "2100-03-01 00:00:00"),
        (253_402_300_799, "9999-12-31 23:59:59"),
    ];

    #[test]
    fn known_moments() {
        for (seconds, text) in KNOWN {
            let utc = Utc { seconds };
            assert_eq!((utc.to_string().as_str(), Utc::of(utc.civil())), (text, Some(utc)));
        }
        // Whatever anybody says must not overflow.
        let last = Utc { seconds: u64::MAX };
        assert!(last.to_string().len() > 20 && last.civil().year < LAST_YEAR + 100_000);
    }

    #[test]
    fn every_day_of_two_thousand_years_follows_the_one_before_and_leads_back() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..2000 * 366 {
            let utc = Utc { seconds: days * DAY + days % DAY };
            let civil = utc.civil();
            assert_eq!((civil.year, civil.month, civil.day), (year, month, day));
            assert_eq!(Utc::of(civil), Some(utc));
            day += 1;
            if day > month_length(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn every_second_of_a_day_is_told_and_leads_back() {
        let mut seconds = 1_795_305_600;
        for hour in 0..24 {
            for minute in 0..60 {
                for second in 0..60 {
                    let civil = Civil { year: 2026, month: 11, day: 22, hour, minute, second };
                    let utc = Utc { seconds };
                    assert_eq!((utc.civil(), Utc::of(civil)), (civil, Some(utc)));
                    seconds += 1;
                }
            }
        }
    }

    #[test]
    fn days_that_do_not_exist_are_none() {
        let civil = |year, month, day, hour, minute, second| {
            Utc::of(Civil { year, month, day, hour, minute, second })
        };
        for year in 1970..2500 {
            for month in 0..=14 {
                for day in 0..=40 {
                    let exists = (1..=12).contains(&month) && (1..=month_length(year, month)).contains(&day);
                    assert_eq!(civil(year, month, day, 0, 0, 0).is_some(), exists, "{year}-{month}-{day}");
                }
            }
        }
        assert_eq!(civil(2026, 1, 1, 24, 0, 0), None);
        assert_eq!(civil(2026, 1, 1, 0, 60, 0), None);
        assert_eq!(civil(2016, 12, 31, 23, 59, 60), None);
        assert_eq!(civil(1969, 12, 31, 23, 59, 59), None);
        assert_eq!(civil(u64::MAX, 1, 1, 0, 0, 0), None);
        assert!(civil(LAST_YEAR - 1, 12, 31, 23, 59, 59).is_some());
    }
}
