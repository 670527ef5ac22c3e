//! Integers in a bounded range, read from JSON numbers and from strings like those of map keys.

use std::borrow::Cow;

use crate::engine::document::MAX_SAFE_INTEGER;
use crate::engine::json;

/// Why the value of one field is refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    pub code: &'static str,
    pub message: String,
}

impl Problem {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Problem { code, message: message.into() }
    }

    /// Returns the problem of a value of the wrong kind: `expected a string, got a number`.
    pub fn wrong_kind(expected: &str, raw: &[u8]) -> Self {
        Problem::new("invalid_type", format!("expected {expected}, got {}", kind_of(raw)))
    }
}

/// Returns what messages call a raw value.
pub fn kind_of(raw: &[u8]) -> Cow<'_, str> {
    if let Some(name) = unrepresentable(raw) {
        return name;
    }
    Cow::Borrowed(match raw.first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(_) => "a number",
        None => "nothing",
    })
}

/// Returns the name of a value that JSON cannot represent. Such a value arrives as its name after a NUL, within two arrays:
/// no field accepts an array, so it is refused everywhere.
pub fn unrepresentable(raw: &[u8]) -> Option<Cow<'_, str>> {
    let name = raw.strip_prefix(br#"[["\u0000"#)?.strip_suffix(br#""]]"#)?;
    Some(String::from_utf8_lossy(name))
}

/// Returns the integer that `number` is, if it is one within `least..=most`.
pub fn bounded(number: f64, least: u64, most: u64) -> Result<u64, Problem> {
    if number.fract() != 0.0 || !number.is_finite() {
        return Err(Problem::new("invalid_type", format!("expected an integer, got {number}")));
    }
    if number < least as f64 {
        return Err(Problem::new("too_small", format!("must be at least {least}, got {number}")));
    }
    if number > most as f64 {
        return Err(Problem::new("too_big", format!("must be at most {most}, got {number}")));
    }
    Ok(number as u64)
}

/// Reads an integer that must be a JSON number.
pub fn read_count(raw: &[u8], least: u64) -> Result<u64, Problem> {
    let number = json::parse_number(raw).ok_or_else(|| Problem::wrong_kind("an integer", raw))?;
    bounded(number, least, MAX_SAFE_INTEGER)
}

/// Reads an id: a JSON number, or a string that is a decimal integer in the form of map keys (`"42"`, not `"042"`). Ids are
/// never scaled.
pub fn read_id(raw: &[u8], most: u64) -> Result<u64, Problem> {
    if let Some(number) = json::parse_number(raw) {
        return bounded(number, 0, most);
    }
    if !json::is_string(raw) {
        return Err(Problem::wrong_kind("an id", raw));
    }
    let text = json::unescape_lossy(raw);
    match text.parse() {
        Ok(number) if is_plain(text.as_bytes()) => bounded(number, 0, most),
        _ => Err(Problem::new("invalid_string", "expected an id, got a string that is not an integer")),
    }
}

/// Returns the integer as JSON text: `raw` itself if it is already in plain decimal form.
pub fn plain(raw: &[u8], value: u64) -> Cow<'_, [u8]> {
    let text = value.to_string();
    if raw == text.as_bytes() { Cow::Borrowed(raw) } else { Cow::Owned(text.into_bytes()) }
}

fn is_plain(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || text[0] != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T>(result: Result<T, Problem>) -> &'static str {
        result.err().map_or("accepted", |problem| problem.code)
    }

    #[test]
    fn integers_are_normalized_to_plain_form() {
        for (raw, expected) in [
            ("7", "7"),
            ("1e2", "100"),
            ("1e3", "1000"),
            ("7.0", "7"),
            ("-0", "0"),
            ("1.718e12", "1718000000000"),
        ] {
            let value = read_count(raw.as_bytes(), 0).unwrap();
            assert_eq!(plain(raw.as_bytes(), value).as_ref(), expected.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn values_that_are_not_integers_in_range_are_refused() {
        assert_eq!(code(read_count(b"1.5", 0)), "invalid_type");
        assert_eq!(code(read_count(b"\"1\"", 0)), "invalid_type");
        assert_eq!(code(read_count(b"0", 1)), "too_small");
        assert_eq!(code(read_count(b"-1", 0)), "too_small");
        assert_eq!(code(read_count(b"9007199254740993", 0)), "too_big");
    }

    #[test]
    fn values_that_json_cannot_hold_are_refused_by_name() {
        let problem = read_count(br#"[["\u0000NaN"]]"#, 0).unwrap_err();
        assert_eq!(
            (problem.code, problem.message.as_str()),
            ("invalid_type", "expected an integer, got NaN")
        );
        assert_eq!(kind_of(br#"[["NaN"]]"#), "an array");
    }

    #[test]
    fn ids_may_be_strings_written_like_map_keys() {
        assert_eq!(read_id(b"\"42\"", 100), Ok(42));
        assert_eq!(read_id(b"\"0\"", 100), Ok(0));
        assert_eq!(code(read_id(b"\"101\"", 100)), "too_big");
        for raw in ["\"\"", "\"042\"", "\"-1\"", "\"1e1\"", "\" 1\"", "\"x\""] {
            assert_eq!(code(read_id(raw.as_bytes(), 100)), "invalid_string", "{raw}");
        }
    }
}
