//! Names of backups.

use crate::engine::error::{Error, Result};

const MAX_LEN: usize = 100;

/// Names that Windows keeps for devices, with or without an extension.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];

/// # Errors
/// `INVALID_ARGUMENT` for what is not one plain name on every system.
pub fn check_name(name: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let problem = if name.is_empty() || name.len() > MAX_LEN {
        "must have 1 to 100 characters"
    } else if !name.bytes().all(allowed) {
        "may have letters, digits, '.', '_' and '-' only"
    } else if name.starts_with('.') || name.ends_with('.') {
        "may neither begin nor end with a dot"
    } else if is_device(name) {
        "is the name of a device on Windows"
    } else {
        return Ok(());
    };
    Err(Error::InvalidArgument(format!("the name of a backup {problem}: {name:?}")))
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let is_digit = |rest: &str| rest.len() == 1 && rest.bytes().all(|byte| byte.is_ascii_digit());
    let numbered = |device: &&str| stem.strip_prefix(*device).is_some_and(is_digit);
    DEVICES.contains(&stem.as_str()) || NUMBERED_DEVICES.iter().any(numbered)
}

/// `2026-11-25T20-50-06.123Z`: names of this form order by time.
pub fn name_of_time(ms: u64) -> String {
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}.{:03}Z", rest % 1000)
}

/// The date of a day counted from 1970-01-01. Years begin in March here, so that the leap day is the last one.
fn date(days: u64) -> (u64, u64, u64) {
    const CYCLE: u64 = 146_097;
    // From 0000-03-01.
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
    fn names_of_times_are_utc_dates() {
        let names = [
            (0, "1970-01-01T00-00-00.000Z"),
            (951_782_399_999, "2000-02-28T23-59-59.999Z"),
            (951_782_400_000, "2000-02-29T00-00-00.000Z"),
            (1_709_251_199_000, "2024-02-29T23-59-59.000Z"),
            (4_107_542_400_000, "2100-03-01T00-00-00.000Z"),
        ];
        for (ms, name) in names {
            assert_eq!(name_of_time(ms), name);
            check_name(name).expect("a valid name");
        }
    }

    #[test]
    fn names_that_are_not_one_plain_name_are_refused() {
        let long = "x".repeat(101);
        let refused = [
            "", ".", "..", "../x", "a/b", "a\\b", "/a", ".hidden", "a.", "a b", "nul", "CON", "com1.txt",
            "LPT9", "ä", "a\0", &long,
        ];
        for name in refused {
            assert_eq!(check_name(name).map_err(|error| error.code()), Err("INVALID_ARGUMENT"), "{name:?}");
        }
        for name in ["a", "before-1.2", "com", "con1", "_", &long[..100]] {
            check_name(name).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
