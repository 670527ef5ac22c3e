//! JSON strings: what they stand for, and how text is written as one.

use std::borrow::Cow;

use super::find::{equal, find};
use super::places::{self, Splicer, places};

/// What a raw string (with its quotes) stands for, as WTF-8.
pub fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    let Some(first) = find(inner, 0, |word| equal(word, b'\\')) else { return Cow::Borrowed(inner) };
    let mut out = Vec::new();
    let mut spliced = Splicer::new(inner, &mut out, inner.len());
    let mut copied = 0;
    for at in places(inner, first, |bytes| places::equal(bytes, b'\\')) {
        // A backslash that the escape before it used up.
        if at < copied {
            continue;
        }
        spliced.copy(copied, at);
        copied = at + 2;
        match inner.get(at + 1) {
            Some(b'n') => spliced.push([b'\n']),
            Some(b't') => spliced.push([b'\t']),
            Some(b'u') => copied = push_units(&mut spliced, inner, at),
            Some(b'r') => spliced.push([b'\r']),
            Some(b'b') => spliced.push([8]),
            Some(b'f') => spliced.push([12]),
            Some(&other) => spliced.push([other]),
            None => spliced.push([b'\\']),
        }
    }
    spliced.copy(copied.min(inner.len()), inner.len());
    spliced.finish();
    Cow::Owned(out)
}

/// Appends what the `\u` at `at` stands for, together with its other half if it is one of a surrogate pair. Returns where it
/// ends.
#[cold]
fn push_units(out: &mut Splicer<'_>, text: &[u8], at: usize) -> usize {
    let Some(unit) = unit_at(text, at) else {
        out.push([b'u']);
        return at + 2;
    };
    let after = at + 6;
    if let (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) = (unit, unit_at(text, after)) {
        push_code_point(out, 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
        return after + 6;
    }
    push_code_point(out, unit);
    after
}

/// The code unit of the `\uXXXX` at `at`, if there is one.
fn unit_at(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
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

/// Appends a code point as generalised UTF-8: surrogates get their three bytes as well (WTF-8).
fn push_code_point(out: &mut Splicer<'_>, code: u32) {
    match char::from_u32(code) {
        Some(character) => out.append(character.encode_utf8(&mut [0; 4]).as_bytes()),
        None => out.push([
            0xe0 | (code >> 12) as u8,
            0x80 | ((code >> 6) & 0x3f) as u8,
            0x80 | (code & 0x3f) as u8,
        ]),
    }
}

/// Appends WTF-8 text as a JSON string, escaped as `JSON.stringify` does.
pub fn push_string(out: &mut Vec<u8>, wtf8: &[u8]) {
    out.push(b'"');
    let mut spliced = Splicer::new(wtf8, out, wtf8.len() + wtf8.len() / 8);
    let mut copied = 0;
    let special = |bytes| {
        places::at_most(bytes, 0x1f)
            | places::equal(bytes, b'"')
            | places::equal(bytes, b'\\')
            | places::equal(bytes, SURROGATE)
    };
    for at in places(wtf8, 0, special) {
        let byte = wtf8[at];
        if byte == SURROGATE {
            // Other characters begin with this byte too.
            let Some(unit) = surrogate_at(wtf8, at) else { continue };
            spliced.copy(copied, at);
            push_unit(&mut spliced, unit);
            copied = (at + 3).min(wtf8.len());
            continue;
        }
        spliced.copy(copied, at);
        push_escape(&mut spliced, byte);
        copied = at + 1;
    }
    spliced.copy(copied, wtf8.len());
    spliced.push([b'"']);
    spliced.finish();
}

/// The first of the three bytes of a surrogate in WTF-8.
const SURROGATE: u8 = 0xed;

fn surrogate_at(wtf8: &[u8], at: usize) -> Option<u16> {
    let byte = |next: usize| wtf8.get(at + next).copied();
    let second = byte(1).filter(|second| *second >= 0xa0)?;
    let third = byte(2).unwrap_or_default();
    Some(0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f))
}

#[inline(always)]
fn push_escape(out: &mut Splicer<'_>, byte: u8) {
    match byte {
        b'"' | b'\\' => out.push([b'\\', byte]),
        b'\n' => out.push(*b"\\n"),
        b'\t' => out.push(*b"\\t"),
        b'\r' => out.push(*b"\\r"),
        8 => out.push(*b"\\b"),
        12 => out.push(*b"\\f"),
        _ => push_unit(out, byte.into()),
    }
}

#[cold]
fn push_unit(out: &mut Splicer<'_>, unit: u16) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(*b"\\u");
    out.push([12, 8, 4, 0].map(|shift| HEX[usize::from(unit >> shift & 15)]));
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
