//! Times as dates.

/// Returns the UTC second of a time in milliseconds since 1970, in a form that every system accepts in a name:
/// `2026-11-25T20-50-06`.
pub fn second(ms: u64) -> String {
    let seconds = ms / 1000;
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}")
}

/// Returns the year, month and day of a date given in days after 1970-01-01. Internally years begin in March, so that a leap
/// day is the last day of its year.
pub fn date(days: u64) -> (u64, u64, u64) {
    const CYCLE: u64 = 146_097;
    // Days from 0000-03-01.
    let days = days + 719_468;
    let (cycle, day) = (days / CYCLE, days % CYCLE);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_in_utc_for_any_year() {
        let expected = [
            (0, "1970-01-01T00-00-00"),
            (951_782_399_999, "2000-02-28T23-59-59"),
            (951_782_400_000, "2000-02-29T00-00-00"),
            (1_709_251_199_000, "2024-02-29T23-59-59"),
            (1_735_689_599_999, "2024-12-31T23-59-59"),
            (2_524_608_000_000, "2050-01-01T00-00-00"),
            (4_107_542_400_000, "2100-03-01T00-00-00"),
        ];
        for (ms, text) in expected {
            assert_eq!(second(ms), text);
        }
    }
}
