//! Dates as HTTP has them (RFC 9110 section 5.6.7).

use fata_time::{Civil, Utc};

/// Bytes of a date that is sent.
pub(crate) const LEN: usize = 29;
/// The last second of the year 9999; later years do not fit.
const LAST: u64 = 253_402_300_799;

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Seconds since 1970 as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn date(seconds: u64) -> [u8; LEN] {
    let seconds = seconds.min(LAST);
    let civil = Utc { seconds }.civil();
    let mut out = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    out[..3].copy_from_slice(DAYS[(seconds / 86_400 % 7) as usize]);
    out[8..11].copy_from_slice(MONTHS[usize::from(civil.month - 1)]);
    let mut two = |at: usize, number: u8| {
        (out[at], out[at + 1]) = (b'0' + number / 10, b'0' + number % 10);
    };
    two(5, civil.day);
    two(12, (civil.year / 100) as u8);
    two(14, (civil.year % 100) as u8);
    two(17, civil.hour);
    two(20, civil.minute);
    two(23, civil.second);
    out
}

/// Seconds since 1970 of a date in any of the three forms there are. A date before 1970 is none.
pub fn parse_date(text: &[u8]) -> Option<u64> {
    let mut words = text.split(|byte| matches!(byte, b' ' | b',' | b'-' | b':')).filter(|w| !w.is_empty());
    let day_name = words.next()?;
    let is_name = |known: &&[u8; 3]| day_name.starts_with(*known);
    if !DAYS.iter().any(is_name) {
        return None;
    }
    let second = words.next()?;
    let (day, month, year, clock);
    if second[0].is_ascii_digit() {
        // `06 Nov 1994 08:49:37 GMT`, or `06-Nov-94 08:49:37 GMT`.
        (day, month) = (number(second)?, words.next()?);
        let word = words.next()?;
        year = match (number(word)?, word.len()) {
            (short, 2) if short < 70 => short + 2000,
            (short, 2) => short + 1900,
            (year, 4) => year,
            _ => return None,
        };
        clock = [words.next()?, words.next()?, words.next()?];
        if words.next()? != b"GMT" {
            return None;
        }
    } else {
        // `Nov  6 08:49:37 1994`
        (month, day) = (second, number(words.next()?)?);
        clock = [words.next()?, words.next()?, words.next()?];
        year = number(words.next()?)?;
    }
    let month = MONTHS.iter().position(|known| *known == month)? as u8 + 1;
    let [hour, minute, second] = clock.map(number);
    // A leap second is the one before.
    let second = second?.min(59 + u32::from(second? != 60));
    let small = |number: u32| u8::try_from(number).ok();
    let civil = Civil {
        year: year.into(),
        month,
        day: small(day)?,
        hour: small(hour?)?,
        minute: small(minute?)?,
        second: small(second)?,
    };
    let known = words.next().is_none().then(|| Utc::of(civil))?;
    known.map(|utc| utc.seconds)
}

fn number(digits: &[u8]) -> Option<u32> {
    (digits.len() <= 4).then(|| crate::words::number(digits))?.map(|number| number as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_go_there_and_back() {
        assert_eq!(&date(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        for seconds in (0..LAST).step_by(86_413_777).chain([0, LAST]) {
            assert_eq!(parse_date(&date(seconds)), Some(seconds));
        }
        assert_eq!(date(u64::MAX), date(LAST));
    }

    #[test]
    fn old_forms_are_understood() {
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse_date(text.as_bytes()), Some(784_111_777), "{text}");
        }
        assert_eq!(
            parse_date(b"Fri, 30 Jun 1972 23:59:60 GMT"),
            parse_date(b"Fri, 30 Jun 1972 23:59:59 GMT")
        );
    }

    #[test]
    fn others_are_none() {
        for text in [
            "",
            "now",
            "Sun, 06 Nov 1994",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT x",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov 99999 08:49:37 GMT",
            "Xun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 256 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_date(text.as_bytes()), None, "{text}");
        }
    }
}
