//! JSON strings: what they stand for, and how text is written as one.

use std::borrow::Cow;

use super::find::{equal, find};
use super::places::{self, SLACK, Splicer, places};

/// Returns what a raw string (with its quotes) stands for, as WTF-8.
pub fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    let Some(first) = find(inner, 0, |word| equal(word, b'\\')) else { return Cow::Borrowed(inner) };
    // No escape is shorter than what it stands for.
    let mut out = vec![0; inner.len() + SLACK];
    let mut spliced = Splicer::new(inner, &mut out);
    let mut copied = 0;
    for at in places(inner, first, |bytes| places::equal(bytes, b'\\')) {
        // This backslash belongs to the escape before it.
        if at < copied {
            continue;
        }
        spliced.copy(copied, at);
        copied = at + 2;
        let byte = match inner.get(at + 1) {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'u') => {
                let (code, end) = code_point_at(inner, at);
                spliced.append(encode(code, &mut [0; 4]));
                copied = end;
                continue;
            }
            Some(&other) => other,
            None => b'\\',
        };
        spliced.push([byte]);
    }
    spliced.copy(copied.min(inner.len()), inner.len());
    let length = spliced.finish();
    out.truncate(length);
    Cow::Owned(out)
}

/// Returns the code point of the `\u` escape at `at`, combined with its other half if it is one of a surrogate pair, and
/// where it ends.
#[cold]
fn code_point_at(text: &[u8], at: usize) -> (u32, usize) {
    let Some(unit) = unit_at(text, at) else { return (u32::from(b'u'), at + 2) };
    let after = at + ESCAPE;
    match (unit, unit_at(text, after)) {
        (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
            (0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00), after + ESCAPE)
        }
        _ => (unit, after),
    }
}

/// Returns the code unit of the `\uXXXX` at `at`, if there is one.
fn unit_at(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + ESCAPE)?.strip_prefix(b"\\u")?;
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

/// Returns a code point in generalised UTF-8: surrogates get their three bytes as well (WTF-8).
fn encode(code: u32, bytes: &mut [u8; 4]) -> &[u8] {
    match char::from_u32(code) {
        Some(character) => character.encode_utf8(bytes).as_bytes(),
        None => {
            bytes[..3].copy_from_slice(&[
                0xe0 | (code >> 12) as u8,
                0x80 | ((code >> 6) & 0x3f) as u8,
                0x80 | (code & 0x3f) as u8,
            ]);
            &bytes[..3]
        }
    }
}

/// Returns the text of a JavaScript string's code units, as WTF-8.
pub fn from_utf16(units: &[u16]) -> Vec<u8> {
    let mut wtf8 = Vec::with_capacity(units.len());
    for character in char::decode_utf16(units.iter().copied()) {
        let code = character.map_or_else(|lone| lone.unpaired_surrogate().into(), u32::from);
        wtf8.extend_from_slice(encode(code, &mut [0; 4]));
    }
    wtf8
}

/// Returns the code units of WTF-8 text.
pub fn to_utf16(wtf8: &[u8]) -> Vec<u16> {
    let (mut units, mut at) = (Vec::with_capacity(wtf8.len()), 0);
    for chunk in wtf8.utf8_chunks() {
        units.extend(chunk.valid().encode_utf16());
        at += chunk.valid().len();
        // Two of the three bytes of a surrogate make two invalid chunks of their own.
        if chunk.invalid().first() == Some(&SURROGATE) {
            units.extend(surrogate_at(wtf8, at));
        }
        at += chunk.invalid().len();
    }
    units
}

/// Appends WTF-8 text as a JSON string, escaped as `JSON.stringify` does.
pub fn push_string(out: &mut Vec<u8>, wtf8: &[u8]) {
    out.push(b'"');
    let mut done = 0;
    while done < wtf8.len() {
        done += push_part(out, &wtf8[done..]);
    }
    out.push(b'"');
}

/// The length of the longest escape.
const ESCAPE: usize = 6;

/// Appends the beginning of a text as a part of a JSON string. Returns how much of the text was appended: all of it, unless
/// it needs more escapes than usual.
fn push_part(out: &mut Vec<u8>, wtf8: &[u8]) -> usize {
    let start = out.len();
    out.resize(start + wtf8.len() + wtf8.len() / 8 + ESCAPE + SLACK, 0);
    let mut spliced = Splicer::new(wtf8, &mut out[start..]);
    let mut copied = 0;
    let special = |bytes| {
        places::at_most(bytes, 0x1f)
            | places::equal(bytes, b'"')
            | places::equal(bytes, b'\\')
            | places::equal(bytes, SURROGATE)
    };
    let mut places = places(wtf8, 0, special);
    let end = loop {
        let at = places.next().unwrap_or(wtf8.len());
        // This byte belongs to a malformed surrogate that was already appended.
        if at < copied {
            continue;
        }
        if !spliced.has_room(at - copied + ESCAPE) {
            break copied;
        }
        let Some(&byte) = wtf8.get(at) else {
            spliced.copy(copied, at);
            break at;
        };
        if byte == SURROGATE {
            // Other characters begin with this byte too.
            let Some(unit) = surrogate_at(wtf8, at) else { continue };
            spliced.copy(copied, at);
            spliced.push(escaped(unit));
            copied = (at + 3).min(wtf8.len());
            continue;
        }
        spliced.copy(copied, at);
        push_escape(&mut spliced, byte);
        copied = at + 1;
    };
    let length = spliced.finish();
    out.truncate(start + length);
    end
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
        _ => out.push(escaped(byte.into())),
    }
}

#[cold]
fn escaped(unit: u16) -> [u8; ESCAPE] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let [first, second, third, fourth] = [12, 8, 4, 0].map(|shift| HEX[usize::from(unit >> shift & 15)]);
    [b'\\', b'u', first, second, third, fourth]
}

/// Returns a string as JSON text.
pub fn quote(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_string(&mut out, text.as_bytes());
    String::from_utf8(out).unwrap_or_default()
}

/// Returns the number of bytes that a raw string takes as UTF-8, a lone surrogate counted as U+FFFD.
pub fn utf8_len(raw: &[u8]) -> usize {
    // WTF-8 gives a lone surrogate three bytes, which is what U+FFFD takes too.
    unescape(raw).len()
}
