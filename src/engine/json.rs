//! JSON as text: what an engine that never builds a tree needs to know of a value.
//!
//! Text is UTF-8. A lone surrogate exists only in its escaped form (`\ud83d`), which is what JavaScript's
//! `JSON.stringify` writes; unescaped it becomes WTF-8, whose byte order is code point order.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

/// Values nested deeper than this are refused before anything is written.
pub const MAX_DEPTH: usize = 100;

/// Why a text is not JSON, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    pub offset: usize,
    pub problem: &'static str,
}

/// A cursor over JSON text that checks what it passes over.
pub struct Scanner<'a> {
    text: &'a [u8],
    position: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Scanner { text, position: 0 }
    }

    pub fn at(text: &'a [u8], position: usize) -> Self {
        Scanner { text, position }
    }

    pub fn position(&self) -> usize {
        self.position
    }

    /// The next byte that is not white space, without passing over it.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.text.get(self.position) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.position += 1;
        }
        None
    }

    pub fn fail<T>(&self, problem: &'static str) -> Result<T, JsonError> {
        Err(JsonError { offset: self.position, problem })
    }

    /// Passes over one punctuation byte.
    pub fn expect(&mut self, byte: u8, problem: &'static str) -> Result<(), JsonError> {
        if self.peek() == Some(byte) {
            self.position += 1;
            return Ok(());
        }
        self.fail(problem)
    }

    /// Passes over `byte` if it comes next.
    pub fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.position += usize::from(found);
        found
    }

    /// Nothing but white space may follow.
    pub fn end(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fail("unexpected text after the value"),
        }
    }

    /// Passes over one string, quotes included.
    pub fn string(&mut self) -> Result<Range<usize>, JsonError> {
        self.expect(b'"', "expected a string")?;
        let start = self.position - 1;
        loop {
            let rest = &self.text[self.position..];
            let Some(length) = memchr2(b'"', b'\\', rest) else {
                self.position = self.text.len();
                return self.fail("the string has no end");
            };
            // Looked for without a way out, so that it is done many bytes at a time.
            if rest[..length].iter().fold(false, |found, &byte| found | (byte < 0x20)) {
                self.position += rest[..length].iter().position(|&byte| byte < 0x20).unwrap_or_default();
                return self.fail("control characters in a string must be escaped");
            }
            self.position += length + 1;
            if rest[length] == b'"' {
                return Ok(start..self.position);
            }
            self.escape()?;
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.text.get(self.position) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.position += 1;
                Ok(())
            }
            Some(b'u') => {
                let digits = self.text.get(self.position + 1..self.position + 5);
                if digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    self.position += 5;
                    return Ok(());
                }
                self.fail("\\u needs four hexadecimal digits")
            }
            _ => self.fail("unknown escape in a string"),
        }
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.position;
        if self.text.get(self.position) == Some(&b'-') {
            self.position += 1;
        }
        match self.text.get(self.position) {
            Some(b'0') => self.position += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.fail("expected a digit"),
        }
        if self.text.get(self.position) == Some(&b'.') {
            self.position += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.position) {
            self.position += 1;
            if let Some(b'+' | b'-') = self.text.get(self.position) {
                self.position += 1;
            }
            self.some_digits()?;
        }
        let finite = parse_number(&self.text[start..self.position]).is_some_and(f64::is_finite);
        if finite { Ok(()) } else { self.fail("the number is too large") }
    }

    fn digits(&mut self) {
        while self.text.get(self.position).is_some_and(u8::is_ascii_digit) {
            self.position += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), JsonError> {
        let start = self.position;
        self.digits();
        if self.position == start { self.fail("expected a digit") } else { Ok(()) }
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<(), JsonError> {
        if self.text[self.position..].starts_with(word) {
            self.position += word.len();
            return Ok(());
        }
        self.fail("expected a value")
    }

    /// Passes over one value of any kind and returns where it lies.
    pub fn value(&mut self) -> Result<Range<usize>, JsonError> {
        self.value_within(MAX_DEPTH)
    }

    fn value_within(&mut self, depth: usize) -> Result<Range<usize>, JsonError> {
        let first = self.peek();
        let start = self.position;
        match first {
            Some(b'"') => {
                self.string()?;
            }
            Some(b'{' | b'[') if depth == 0 => return self.fail("nested deeper than 100 levels"),
            Some(b'{') => {
                self.position += 1;
                if !self.accept(b'}') {
                    loop {
                        self.peek();
                        self.string()?;
                        self.expect(b':', "expected ':'")?;
                        self.value_within(depth - 1)?;
                        if !self.accept(b',') {
                            break;
                        }
                    }
                    self.expect(b'}', "expected ',' or '}'")?;
                }
            }
            Some(b'[') => {
                self.position += 1;
                if !self.accept(b']') {
                    loop {
                        self.value_within(depth - 1)?;
                        if !self.accept(b',') {
                            break;
                        }
                    }
                    self.expect(b']', "expected ',' or ']'")?;
                }
            }
            Some(b't') => self.literal(b"true")?,
            Some(b'f') => self.literal(b"false")?,
            Some(b'n') => self.literal(b"null")?,
            Some(_) => self.number()?,
            None => return self.fail("expected a value"),
        }
        Ok(start..self.position)
    }
}

/// Checks that `text` is exactly one JSON value in UTF-8.
pub fn check(text: &[u8]) -> Result<(), JsonError> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(JsonError { offset: error.valid_up_to(), problem: "not UTF-8" });
    }
    let mut scanner = Scanner::new(text);
    scanner.value()?;
    scanner.end()
}

/// One member of an object: the raw key with its quotes, and the raw value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    pub key: &'a [u8],
    pub value: &'a [u8],
}

/// The members of an object in their order. The text after a member is read only when the next one is
/// asked for, so a caller that finds what it wants never touches the rest.
pub struct Members<'a> {
    scanner: Scanner<'a>,
    first: bool,
    done: bool,
}

pub fn members(object: &[u8]) -> Members<'_> {
    Members { scanner: Scanner::new(object), first: true, done: false }
}

impl<'a> Members<'a> {
    fn step(&mut self) -> Result<Option<Member<'a>>, JsonError> {
        if self.first {
            self.scanner.expect(b'{', "expected an object")?;
            self.first = false;
            if self.scanner.accept(b'}') {
                return Ok(None);
            }
        } else if !self.scanner.accept(b',') {
            self.scanner.expect(b'}', "expected ',' or '}'")?;
            return Ok(None);
        }
        self.scanner.peek();
        let key = self.scanner.string()?;
        self.scanner.expect(b':', "expected ':'")?;
        let value = self.scanner.value_within(MAX_DEPTH - 1)?;
        let text = self.scanner.text;
        Ok(Some(Member { key: &text[key], value: &text[value] }))
    }

    /// Where the cursor stands: after the member returned last.
    pub fn position(&self) -> usize {
        self.scanner.position
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, JsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step().transpose();
        self.done = !matches!(step, Some(Ok(_)));
        step
    }
}

/// The elements of an array in their order.
pub fn elements(array: &[u8]) -> Result<Vec<&[u8]>, JsonError> {
    let mut scanner = Scanner::new(array);
    let mut found = Vec::new();
    scanner.expect(b'[', "expected an array")?;
    if scanner.accept(b']') {
        return Ok(found);
    }
    loop {
        found.push(&array[scanner.value_within(MAX_DEPTH - 1)?]);
        if !scanner.accept(b',') {
            scanner.expect(b']', "expected ',' or ']'")?;
            return Ok(found);
        }
    }
}

/// The value of the last member with this (plain ASCII, unescaped) name, as `JSON.parse` would see it.
pub fn get<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    members(object)
        .map_while(Result::ok)
        .filter(|member| key_is(member.key, name))
        .last()
        .map(|member| member.value)
}

/// As [`get`], for names that may hold anything.
pub fn get_key<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let named = |member: &Member<'_>| *unescape(member.key) == *name.as_bytes();
    members(object).map_while(Result::ok).filter(named).last().map(|member| member.value)
}

/// Whether a raw key, quotes and escapes included, stands for `name`.
pub fn key_is(raw: &[u8], name: &str) -> bool {
    match raw.get(1..raw.len().saturating_sub(1)) {
        Some(inner) if inner == name.as_bytes() => true,
        Some(inner) if inner.contains(&b'\\') => unescape(raw).as_ref() == name.as_bytes(),
        _ => false,
    }
}

pub fn is_string(raw: &[u8]) -> bool {
    raw.first() == Some(&b'"')
}

pub fn is_object(raw: &[u8]) -> bool {
    raw.first() == Some(&b'{')
}

/// The number that a raw value stands for, or `None` if it is not a number.
pub fn parse_number(raw: &[u8]) -> Option<f64> {
    if !matches!(raw.first(), Some(b'-' | b'0'..=b'9')) {
        return None;
    }
    std::str::from_utf8(raw).ok()?.parse().ok()
}

/// What a raw string (with its quotes) stands for, as WTF-8.
pub fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    let Some(first) = memchr::memchr(b'\\', inner) else { return Cow::Borrowed(inner) };
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
        next = memchr::memchr(b'\\', rest);
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
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut copied = 0;
    for (at, &byte) in wtf8.iter().enumerate() {
        let surrogate = byte == 0xed && wtf8.get(at + 1).is_some_and(|&next| next >= 0xa0);
        // Bytes before `copied` belong to a surrogate written already, even if they are none (not WTF-8).
        if at < copied || (byte >= 0x20 && byte != b'"' && byte != b'\\' && !surrogate) {
            continue;
        }
        out.extend_from_slice(&wtf8[copied..at]);
        copied = at + 1;
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            8 => out.extend(b"\\b"),
            12 => out.extend(b"\\f"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0xed => {
                let unit = 0xd000
                    | (u32::from(wtf8[at + 1] & 0x3f) << 6)
                    | u32::from(wtf8.get(at + 2).copied().unwrap_or_default() & 0x3f);
                out.extend(b"\\u");
                out.extend([12, 8, 4, 0].map(|shift| HEX[(unit >> shift) as usize & 15]));
                copied = (at + 3).min(wtf8.len());
            }
            _ => out.extend([
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
    out.extend_from_slice(&wtf8[copied.min(wtf8.len())..]);
    out.push(b'"');
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

/// The same value without white space between its tokens. `raw` must be valid JSON.
pub fn compact(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = next_space(raw, 0) else { return Cow::Borrowed(raw) };
    let mut out = Vec::with_capacity(raw.len());
    let (mut copied, mut space) = (0, Some(first));
    while let Some(at) = space {
        out.extend_from_slice(&raw[copied..at]);
        copied = raw[at..].iter().position(|&byte| !is_space(byte)).map_or(raw.len(), |length| at + length);
        space = next_space(raw, copied);
    }
    out.extend_from_slice(&raw[copied..]);
    Cow::Owned(out)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// The first white space between tokens from `at` on, where a token starts.
fn next_space(raw: &[u8], mut at: usize) -> Option<usize> {
    while let Some(&byte) = raw.get(at) {
        at = match byte {
            b'"' => Scanner::at(raw, at).string().map_or(raw.len(), |range| range.end),
            byte if is_space(byte) => return Some(at),
            _ => at + 1,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_json_parse_refuses() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "01",
            "1.",
            "+1",
            "tru",
            "\"\u{1}\"",
            "\"\\x\"",
            "1 2",
            "'a'",
            "1e400",
        ] {
            assert!(check(text.as_bytes()).is_err(), "{text:?} was accepted");
        }
        assert_eq!(check(b"\"\xff\"").map_err(|error| error.problem), Err("not UTF-8"));
    }

    #[test]
    fn accepts_every_kind_of_value() {
        for text in ["null", " true ", "-0.5e+10", "\"\\ud83d\"", "[]", "{ }", "{\"a\":[{},\"\\u0000\"]}"] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text:?} was refused");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(check(nested(MAX_DEPTH).as_bytes()), Ok(()));
        assert!(check(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(check(nested(1_000_000).as_bytes()).is_err());
    }

    #[test]
    fn lone_surrogates_survive_unescaping_and_escaping() {
        for raw in ["\"a\\ud83db\"", "\"\\udc00\\ud800\"", "\"\\ud83d\\ud83d\\ude00\""] {
            let wtf8 = unescape(raw.as_bytes()).into_owned();
            let mut out = Vec::new();
            push_string(&mut out, &wtf8);
            assert_eq!(unescape(&out), wtf8, "{raw}");
        }
        assert_eq!(unescape_lossy(b"\"a\\ud83db\""), "a\u{fffd}b");
        assert_eq!(unescape_lossy(b"\"\\ud83d\\ude00\""), "\u{1f600}");
        assert_eq!(utf8_len(b"\"a\\ud83db\""), 5);
    }

    #[test]
    fn a_broken_surrogate_does_not_panic() {
        for bytes in [&b"\xed\xa0\0"[..], b"\xed\xa0", b"\xed\xa0\xed\xa0\\"] {
            push_string(&mut Vec::new(), bytes);
            unescape_lossy(&[b"\"\\n", bytes].concat());
            unescape_lossy(&[b"\"\\n", bytes, b"\""].concat());
        }
    }

    #[test]
    fn the_last_of_two_members_with_one_name_counts() {
        assert_eq!(get(b"{\"a\":1,\"b\":2,\"\\u0061\":3}", "a"), Some(&b"3"[..]));
    }

    #[test]
    fn compacting_leaves_strings_alone() {
        assert_eq!(compact(b"{ \"a b\" : [ 1 , \"\\\" \" ] }").as_ref(), b"{\"a b\":[1,\"\\\" \"]}");
    }

    proptest! {
        #[test]
        fn quoting_agrees_with_serde_json(text in any::<String>()) {
            let quoted = quote(&text);
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text.clone());
            let raw = quoted.as_bytes();
            let unescaped = unescape(raw);
            prop_assert_eq!(unescaped.as_ref(), text.as_bytes());
            prop_assert_eq!(utf8_len(raw), text.len());
        }

        #[test]
        fn checking_agrees_with_serde_json(text in "[\\[\\]{}:,\"\\\\0-9eE.+\\- tfn\\n]{0,12}") {
            prop_assert_eq!(check(text.as_bytes()).is_ok(), serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }

        #[test]
        fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = check(&bytes);
            let _ = get(&bytes, "a");
            let _ = unescape_lossy(&bytes);
            let _ = compact(&bytes);
            let _ = elements(&bytes);
        }
    }
}
