//! JSON strings: what they stand for, and how text is written as one.

use std::borrow::Cow;

use super::find::{below, equal, find};

/// What a raw string (with its quotes) stands for, as WTF-8.
pub fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    let Some(first) = find(inner, 0, |word| equal(word, b'\\')) else { return Cow::Borrowed(inner) };
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    let mut next = Some(first);
    while let Some(at) = next {
        out.extend_from_slice(&rest[..at]);
        let (consumed, unit) = escaped_unit(&rest[at..]);
        rest = &rest[(at + consumed).min(rest.len())..];
        match unit {
            Unit::Byte(byte) => out.push(byte),
            Unit::Utf16(high @ 0xd800..=0xdbff) => match escaped_unit(rest) {
                (consumed, Unit::Utf16(low @ 0xdc00..=0xdfff)) => {
                    rest = &rest[consumed..];
                    push_code_point(&mut out, 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
                }
                _ => push_code_point(&mut out, high),
            },
            Unit::Utf16(unit) => push_code_point(&mut out, unit),
        }
        next = find(rest, 0, |word| equal(word, b'\\'));
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// As [`unescape`], with each lone surrogate replaced by U+FFFD, as every UTF-8 encoder does.
pub fn unescape_lossy(raw: &[u8]) -> Cow<'_, str> {
    match unescape(raw) {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(wtf8_to_string(bytes)),
    }
}

fn wtf8_to_string(mut bytes: Vec<u8>) -> String {
    let mut at = 0;
    // Bytes that are not WTF-8 may end within a character.
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr(0xed, rest)) {
        at += found;
        if let Some(unit) = bytes.get_mut(at..at + 3)
            && unit[1] >= 0xa0
        {
            unit.copy_from_slice("\u{fffd}".as_bytes());
        }
        at += 3;
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

enum Unit {
    Byte(u8),
    Utf16(u32),
}

/// Reads one escape at the start of `text`; text that is no escape counts as a plain byte.
fn escaped_unit(text: &[u8]) -> (usize, Unit) {
    if text.first() != Some(&b'\\') {
        return (0, Unit::Byte(0));
    }
    match text.get(1) {
        Some(b'b') => (2, Unit::Byte(8)),
        Some(b'f') => (2, Unit::Byte(12)),
        Some(b'n') => (2, Unit::Byte(b'\n')),
        Some(b'r') => (2, Unit::Byte(b'\r')),
        Some(b't') => (2, Unit::Byte(b'\t')),
        Some(b'u') => {
            let digits = text.get(2..6).and_then(|digits| std::str::from_utf8(digits).ok());
            let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            unit.map_or((2, Unit::Byte(b'u')), |unit| (6, Unit::Utf16(unit)))
        }
        Some(&other) => (2, Unit::Byte(other)),
        None => (1, Unit::Byte(b'\\')),
    }
}

/// Appends a code point as generalised UTF-8: surrogates get their three bytes as well (WTF-8).
fn push_code_point(out: &mut Vec<u8>, code: u32) {
    match char::from_u32(code) {
        Some(character) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        None => out.extend([
            0xe0 | (code >> 12) as u8,
            0x80 | ((code >> 6) & 0x3f) as u8,
            0x80 | (code & 0x3f) as u8,
        ]),
    }
}

/// Appends WTF-8 text as a JSON string, escaped as `JSON.stringify` does.
pub fn push_string(out: &mut Vec<u8>, wtf8: &[u8]) {
    out.push(b'"');
    let mut copied = 0;
    let mut at = 0;
    let special = |word| below(word, 0x20) | equal(word, b'"') | equal(word, b'\\') | equal(word, 0xed);
    while let Some(found) = find(wtf8, at, special) {
        let byte = wtf8[found];
        let surrogate = byte == 0xed && wtf8.get(found + 1).is_some_and(|&next| next >= 0xa0);
        at = found + 1;
        if byte == 0xed && !surrogate {
            continue;
        }
        out.extend_from_slice(&wtf8[copied..found]);
        if surrogate {
            let [second, third] = [1, 2].map(|next| wtf8.get(found + next).copied().unwrap_or_default());
            push_unit(out, 0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f));
            at = (found + 3).min(wtf8.len());
        } else {
            push_escape(out, byte);
        }
        copied = at;
    }
    out.extend_from_slice(&wtf8[copied..]);
    out.push(b'"');
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => out.extend([b'\\', byte]),
        8 => out.extend(b"\\b"),
        12 => out.extend(b"\\f"),
        b'\n' => out.extend(b"\\n"),
        b'\r' => out.extend(b"\\r"),
        b'\t' => out.extend(b"\\t"),
        _ => push_unit(out, byte.into()),
    }
}

fn push_unit(out: &mut Vec<u8>, unit: u16) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend(b"\\u");
    out.extend([12, 8, 4, 0].map(|shift| HEX[usize::from(unit >> shift & 15)]));
}

/// A string as JSON text.
pub fn quote(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_string(&mut out, text.as_bytes());
    String::from_utf8(out).unwrap_or_default()
}

/// The number of bytes that a raw string takes as UTF-8, a lone surrogate counted as U+FFFD.
pub fn utf8_len(raw: &[u8]) -> usize {
    // WTF-8 gives a lone surrogate three bytes, which is what U+FFFD takes too.
    unescape(raw).len()
}
