//! Passing over JSON text and checking it, without building a tree.

use std::borrow::Cow;
use std::ops::Range;

use super::find::{below, equal, find};
use super::places::{self, places};
use super::string::unescape;

/// Values nested deeper than this are refused before anything is written.
pub const MAX_DEPTH: usize = 100;

/// Strings up to about this length are searched word by word, longer ones block by block.
const SHORT: usize = 64;

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

    /// Returns the next byte that is not white space, without passing over it.
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

    /// Checks that nothing but white space follows.
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
        // Most strings are short.
        let near = &self.text[..self.text.len().min(start + SHORT)];
        let special = |word| equal(word, b'"') | equal(word, b'\\') | below(word, 0x20);
        while let Some(at) = find(near, self.position, special) {
            if self.special(at)? {
                return Ok(start..self.position);
            }
        }
        let special =
            |bytes| places::at_most(bytes, 0x1f) | places::equal(bytes, b'"') | places::equal(bytes, b'\\');
        for at in places(self.text, self.position.max(near.len()), special) {
            // Bytes that belong to an earlier escape are skipped.
            if at >= self.position && self.special(at)? {
                return Ok(start..self.position);
            }
        }
        self.position = self.text.len();
        self.fail("the string has no end")
    }

    /// Passes over a byte that is not a plain character of a string. Returns whether the string ends with it.
    #[inline(always)]
    fn special(&mut self, at: usize) -> Result<bool, JsonError> {
        self.position = at + 1;
        match self.text[at] {
            b'"' => Ok(true),
            b'\\' => self.escape().map(|()| false),
            _ => {
                self.position = at;
                self.fail("control characters in a string must be escaped")
            }
        }
    }

    #[inline(always)]
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
        let has_exponent = matches!(self.text.get(self.position), Some(b'e' | b'E'));
        if has_exponent {
            self.position += 1;
            if let Some(b'+' | b'-') = self.text.get(self.position) {
                self.position += 1;
            }
            self.some_digits()?;
        }
        let number = &self.text[start..self.position];
        let finite = (!has_exponent && number.len() <= EXACT_DIGITS)
            || parse_number(number).is_some_and(f64::is_finite);
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

    /// Passes over one value of any kind and returns its position.
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

/// The members of an object in their order. The text after a member is read only when the next one is requested, so a caller
/// that has found what it wants never reads the rest.
pub struct Members<'a> {
    scanner: Scanner<'a>,
    /// How deep their values may be nested.
    depth: usize,
    first: bool,
    done: bool,
}

pub fn members(object: &[u8]) -> Members<'_> {
    Members { scanner: Scanner::new(object), depth: MAX_DEPTH - 1, first: true, done: false }
}

/// Returns the members of a map whose values are documents: each may be nested as deep as a document by itself.
pub fn documents(map: &[u8]) -> Members<'_> {
    Members { depth: MAX_DEPTH, ..members(map) }
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
        let value = self.scanner.value_within(self.depth)?;
        let text = self.scanner.text;
        Ok(Some(Member { key: &text[key], value: &text[value] }))
    }

    /// Returns the position of the cursor, which is after the member returned last.
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

/// Returns the elements of an array in their order.
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

/// Returns the value of the last member with this name, as `JSON.parse` would see it.
pub fn get<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    members(object)
        .map_while(Result::ok)
        .filter(|member| key_is(member.key, name))
        .last()
        .map(|member| member.value)
}

/// Returns whether a raw key, quotes and escapes included, stands for `name`.
#[inline]
pub fn key_is(raw: &[u8], name: &str) -> bool {
    match raw.get(1..raw.len().saturating_sub(1)) {
        // Backslashes in a raw key begin escapes: the key stands for a shorter name.
        Some(inner) if inner == name.as_bytes() => !inner.contains(&b'\\'),
        Some(inner) => inner.len() > name.len() && inner.contains(&b'\\') && is_escaped(raw, name),
        None => false,
    }
}

fn is_escaped(raw: &[u8], name: &str) -> bool {
    unescape(raw).as_ref() == name.as_bytes()
}

pub fn is_string(raw: &[u8]) -> bool {
    raw.first() == Some(&b'"')
}

pub fn is_object(raw: &[u8]) -> bool {
    raw.first() == Some(&b'{')
}

/// Integers of up to this many digits are held exactly by floats.
const EXACT_DIGITS: usize = 15;

/// Returns the number that a raw value stands for, or `None` if it is not a number.
pub fn parse_number(raw: &[u8]) -> Option<f64> {
    if !matches!(raw.first(), Some(b'-' | b'0'..=b'9')) {
        return None;
    }
    if raw.len() <= EXACT_DIGITS && raw.iter().all(u8::is_ascii_digit) {
        return Some(raw.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')) as f64);
    }
    std::str::from_utf8(raw).ok()?.parse().ok()
}

/// Returns the same value without white space between its tokens. `raw` must be valid JSON.
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

/// Like [`compact`], for a text that is no longer needed: usually it has no such white space and is returned itself.
pub fn compacted(raw: Vec<u8>) -> Vec<u8> {
    match compact(&raw) {
        Cow::Borrowed(_) => raw,
        Cow::Owned(compacted) => compacted,
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// Returns the first white space between tokens at or after `at`, where a token starts.
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
