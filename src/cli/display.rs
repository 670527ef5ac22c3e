//! Text, sizes and times as people read them. Stored text must not control the terminal that shows it.

use std::ffi::OsStr;
use std::path::Path;

use crate::engine::date::date;
use crate::engine::now_ms;

/// Returns the text on one line: line breaks and tabs become spaces, and whatever else a terminal would obey becomes
/// visible.
pub fn line(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t' | '\u{85}') { ' ' } else { visible(c) }).collect()
}

/// Returns the text with its line feeds and tabs; whatever else a terminal would obey becomes visible.
pub fn lines(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\t') { c } else { visible(c) }).collect()
}

/// Makes a character visible: control characters become their pictures, and characters that change the direction of writing
/// or are invisible become replacement characters.
fn visible(c: char) -> char {
    match c {
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}' => char::REPLACEMENT_CHARACTER,
        other => other,
    }
}

/// Returns the part of a path below a directory, with `/` between names on every system, or the whole path if it is
/// elsewhere.
pub fn below(path: &Path, directory: &Path) -> String {
    match path.strip_prefix(directory) {
        Ok(below) => below.iter().map(OsStr::to_string_lossy).collect::<Vec<_>>().join("/"),
        Err(_) => path.to_string_lossy().into_owned(),
    }
}

/// Returns JSON text that is safe to show on a terminal: characters that JSON leaves as they are but a terminal would obey
/// are escaped. The value stays the same, since such characters occur only within strings.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if visible(c) == c || c == '\u{fffd}' {
            out.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    out
}

/// Formats a number of bytes: `999 B`, `1.0 KiB`, `23.4 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // A value that would be rounded to 1024.0 is shown in the next unit.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Formats a count: `1 file`, `2 files`.
pub fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Formats a time in milliseconds since 1970, in UTC to the minute: `2026-11-25 23:38Z`.
pub fn time(ms: u64) -> String {
    let (days, minutes) = (ms / 86_400_000, ms / 60_000 % 1440);
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}Z", minutes / 60, minutes % 60)
}

/// Formats how long ago a time was: `3 days ago`.
pub fn ago(ms: u64) -> String {
    elapsed(now_ms().saturating_sub(ms))
}

fn elapsed(ms: u64) -> String {
    const UNITS: [(u64, &str); 5] = [
        (365 * 86_400_000, "year"),
        (30 * 86_400_000, "month"),
        (86_400_000, "day"),
        (3_600_000, "hour"),
        (60_000, "minute"),
    ];
    let unit = UNITS.iter().find(|(length, _)| ms >= *length);
    unit.map_or("just now".to_owned(), |(length, name)| format!("{} ago", count(ms / length, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let hostile = "a\x1b[31m\u{9b}2J\u{202e}b\r\n\x07\x7f\u{2066}";
        assert_eq!(line(hostile), "a␛[31m\u{fffd}2J\u{fffd}b  ␇␡\u{fffd}");
        assert_eq!(lines(hostile), "a␛[31m\u{fffd}2J\u{fffd}b␍\n␇␡\u{fffd}");
    }

    #[test]
    fn json_keeps_its_value_without_raw_control_characters() {
        let value = serde_json::json!({ "a\u{9b}": "\x1b\u{202e}\u{7f}日本\u{e0041}" });
        let safe = json(&value.to_string());
        assert!(safe.chars().all(|c| visible(c) == c), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).ok(), Some(value));
    }

    #[test]
    fn paths_look_the_same_on_every_system() {
        let directory = Path::new("/srv").join("web");
        assert_eq!(below(&directory.join("src").join("main.ts"), &directory), "src/main.ts");
        assert_eq!(below(&directory, &directory), "");
        assert_eq!(below(&directory, &directory.join("src")), directory.to_string_lossy());
    }

    #[test]
    fn sizes_are_shown_in_a_fitting_unit() {
        let sizes = [0, 1023, 1024, 1_048_524, 1_048_576, 3 << 30].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1023.9 KiB", "1.0 MiB", "3.0 GiB"]);
    }

    #[test]
    fn times_are_shown_as_calendar_dates_in_utc() {
        assert_eq!(time(0), "1970-01-01 00:00Z");
        assert_eq!(time(951_782_400_000 + 86_399_999), "2000-02-29 23:59Z");
        assert_eq!(time(1_795_649_880_000), "2026-11-25 23:38Z");
        assert_eq!(time(4_107_542_400_000), "2100-03-01 00:00Z");
    }

    #[test]
    fn elapsed_times_are_shown_in_the_largest_unit() {
        assert_eq!(
            [0, 59_999, 60_000, 7_200_000, 86_400_000 * 800].map(elapsed),
            ["just now", "just now", "1 minute ago", "2 hours ago", "2 years ago"]
        );
    }
}
