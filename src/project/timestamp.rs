//! Timestamps: milliseconds since 1970, read from numbers, numeric strings and ISO 8601 strings.

use crate::engine::{LATEST_TIME, json};

use super::integer::{Problem, bounded};

/// A number below this is taken as seconds if the caller may mean seconds.
const SECONDS_BELOW: f64 = 1e10;

/// Whether a small number may be meant as seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The value is what is stored: milliseconds, whatever its size.
    Milliseconds,
    /// A caller gave the value: below 1e10 it is in seconds.
    Guessed,
}

/// Reads a raw JSON value as a timestamp in milliseconds.
///
/// An ISO string is unambiguous and is never scaled; only numbers and numeric strings are.
pub fn read_timestamp(raw: &[u8], unit: Unit) -> Result<u64, Problem> {
    if let Some(number) = json::parse_number(raw) {
        return from_number(number, unit);
    }
    if !json::is_string(raw) {
        return Err(Problem::wrong_kind("a timestamp", raw));
    }
    let text = json::unescape_lossy(raw);
    let text = text.trim();
    if let Some(number) = numeric(text) {
        return from_number(number, unit);
    }
    match parse_iso(text) {
        Some(milliseconds) => bounded(milliseconds as f64, 0, LATEST_TIME),
        None => Err(Problem::new(
            "invalid_string",
            "expected a timestamp, got a string that is neither a number nor an ISO date",
        )),
    }
}

fn from_number(number: f64, unit: Unit) -> Result<u64, Problem> {
    let value = bounded(number, 0, LATEST_TIME)?;
    let seconds = unit == Unit::Guessed && number < SECONDS_BELOW;
    bounded(if seconds { value as f64 * 1000.0 } else { value as f64 }, 0, LATEST_TIME)
}

/// Returns the number that a string in decimal notation represents; `inf`, `nan` and hexadecimal numbers are not accepted.
fn numeric(text: &str) -> Option<f64> {
    let decimal = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    if text.bytes().all(decimal) { text.parse().ok() } else { None }
}

/// Reads the ISO forms that ECMAScript's `Date.parse` defines, as milliseconds since 1970:
/// `YYYY[-MM[-DD]][THH:mm[:ss[.fraction]][Z|±HH:mm]]`, the year with four digits or a sign and six.
///
/// Without an offset the time is UTC, so that the same text gives the same value on every machine.
/// Digits beyond the millisecond are cut off. Days that a month does not have are refused.
pub fn parse_iso(text: &str) -> Option<i64> {
    let mut rest = Reader(text.as_bytes());
    let year = rest.year()?;
    let mut month = 1;
    let mut day = 1;
    if rest.accept(b'-') {
        month = rest.digits(2)?;
        if rest.accept(b'-') {
            day = rest.digits(2)?;
        }
    }
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let mut milliseconds = days_since_1970(year, month, day) * 86_400_000;
    if rest.accept(b'T') {
        milliseconds += rest.time_of_day()? - rest.offset()?;
    }
    rest.0.is_empty().then_some(milliseconds)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn accept(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.0 = rest;
        Some(digits.iter().fold(0, |number, &digit| number * 10 + i64::from(digit - b'0')))
    }

    fn year(&mut self) -> Option<i64> {
        if self.accept(b'+') {
            return self.digits(6);
        }
        if self.accept(b'-') {
            return self.digits(6).filter(|&year| year != 0).map(|year| -year);
        }
        self.digits(4)
    }

    /// `HH:mm[:ss[.fraction]]` in milliseconds; `24:00` is the end of the day.
    fn time_of_day(&mut self) -> Option<i64> {
        let hours = self.digits(2)?;
        if !self.accept(b':') {
            return None;
        }
        let minutes = self.digits(2)?;
        let mut seconds = 0;
        let mut fraction = 0;
        if self.accept(b':') {
            seconds = self.digits(2)?;
            if self.accept(b'.') {
                fraction = self.fraction()?;
            }
        }
        let time = ((hours * 60 + minutes) * 60 + seconds) * 1000 + fraction;
        (minutes < 60 && seconds < 60 && time <= 86_400_000).then_some(time)
    }

    fn fraction(&mut self) -> Option<i64> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return None;
        }
        let kept = count.min(3);
        let value = self.digits(kept)? * 10_i64.pow(3 - kept as u32);
        self.0 = &self.0[count - kept..];
        Some(value)
    }

    /// `Z`, `±HH:mm` or nothing, in milliseconds east of UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.0.is_empty() || self.accept(b'Z') {
            return Some(0);
        }
        let sign = if self.accept(b'+') {
            1
        } else if self.accept(b'-') {
            -1
        } else {
            return None;
        };
        let hours = self.digits(2)?;
        if !self.accept(b':') {
            return None;
        }
        let minutes = self.digits(2)?;
        (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000)
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar. Years are counted from March, so that the
/// leap day is the last day of the year, and in eras of 400 years, which all have the same length.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(raw: &str) -> &'static str {
        read_timestamp(raw.as_bytes(), Unit::Guessed).err().map_or("accepted", |problem| problem.code)
    }

    #[test]
    fn iso_forms_parse_as_in_date_parse() {
        for (text, expected) in [
            ("1970-01-01", 0),
            ("2024", 1_704_067_200_000),
            ("2024-02", 1_706_745_600_000),
            ("2024-02-29", 1_709_164_800_000),
            ("2024-06-10T06:13:20.000Z", 1_718_000_000_000),
            ("2024-06-10T06:13:20.123456Z", 1_718_000_000_123),
            ("2024-06-10T06:13:20.5Z", 1_718_000_000_500),
            ("2024-06-10T08:13:20+02:00", 1_718_000_000_000),
            ("2024-06-10T00:43:20-05:30", 1_718_000_000_000),
            ("2024-06-10T06:13Z", 1_717_999_980_000),
            ("2024-06-10T06:13:20", 1_718_000_000_000),
            ("2023-12-31T24:00:00Z", 1_704_067_200_000),
            ("1969-12-31T23:59:59.999Z", -1),
            ("0000-03-01", -62_162_035_200_000),
            ("+010000-01-01T00:00:00.000Z", 253_402_300_800_000),
            ("-000001-01-01", -62_198_755_200_000),
        ] {
            assert_eq!(parse_iso(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_not_accepted_as_iso() {
        for text in [
            "",
            "now",
            "2024-13",
            "2024-00-01",
            "2023-02-29",
            "2024-1-1",
            "2024-01-01T",
            "2024-01-01T12",
            "2024-01-01T24:00:01Z",
            "2024-01-01T12:60Z",
            "2024-01-01T12:00:60Z",
            "2024-01-01T12:00+24:00",
            "2024-01-01T12:00+01:60",
            "2024-01-01T12:00:00.Z",
            "2024-01-01T12:00+1",
            "2024-01-01T12:00Zx",
            "-000000-01-01",
            "24-01-01",
        ] {
            assert_eq!(parse_iso(text), None, "{text}");
        }
    }

    #[test]
    fn a_small_number_from_a_caller_counts_as_seconds() {
        for raw in
            ["1718000000", "\"1718000000\"", "1718000000000", "\"1718000000000\"", "1.718e9", "\" 1718e6 \""]
        {
            assert_eq!(read_timestamp(raw.as_bytes(), Unit::Guessed), Ok(1_718_000_000_000), "{raw}");
        }
        assert_eq!(read_timestamp(b"9999999999", Unit::Guessed).ok(), None, "the year 2286");
        assert_eq!(read_timestamp(b"10000000000", Unit::Guessed), Ok(10_000_000_000));
        assert_eq!(read_timestamp(b"\"1970-01-01T00:00:05Z\"", Unit::Guessed), Ok(5_000));
    }

    #[test]
    fn a_stored_number_is_never_scaled() {
        assert_eq!(read_timestamp(b"5", Unit::Milliseconds), Ok(5));
        assert_eq!(read_timestamp(b"\"1718000000\"", Unit::Milliseconds), Ok(1_718_000_000));
    }

    #[test]
    fn the_range_ends_in_2050() {
        assert_eq!(read_timestamp(b"2524608000000", Unit::Guessed), Ok(LATEST_TIME));
        assert_eq!(read_timestamp(b"\"2050-01-01\"", Unit::Guessed), Ok(LATEST_TIME));
        assert_eq!(code("2524608000001"), "too_big");
        assert_eq!(code("\"2050-01-01T00:00:00.001Z\""), "too_big");
        assert_eq!(code("-1"), "too_small");
        assert_eq!(code("\"1969-12-31\""), "too_small");
    }

    #[test]
    fn other_values_are_refused_with_the_code_for_their_kind() {
        assert_eq!(code("1.5"), "invalid_type");
        assert_eq!(code("true"), "invalid_type");
        assert_eq!(code("{}"), "invalid_type");
        for raw in ["\"\"", "\"yesterday\"", "\"NaN\"", "\"inf\"", "\"0x10\"", "\"2024-06-31\""] {
            assert_eq!(code(raw), "invalid_string", "{raw}");
        }
    }

    proptest! {
        #[test]
        fn days_are_consecutive(year in -9999i64..9999, month in 1i64..=12) {
            let days = days_in_month(year, month);
            let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            prop_assert_eq!(days_since_1970(year, month, 1) + days, days_since_1970(next.0, next.1, 1));
        }

        #[test]
        fn rubbish_never_panics(text in "[0-9TZ:.+\\-]{0,30}") {
            let _ = parse_iso(&text);
            let _ = read_timestamp(format!("\"{text}\"").as_bytes(), Unit::Guessed);
        }
    }
}
