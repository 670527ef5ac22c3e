//! Documents: their ids and their text.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::sync::Arc;

use super::checksum::document_hash;
use super::json::{self, Scanner};

/// The largest integer that JavaScript's numbers hold exactly.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// The key of a document in its collection's map.
///
/// Ids are ordered with numbers first, ascending, and then texts by code point.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentId {
    /// A decimal integer in its canonical form (no sign, no leading zero, at most 2^53 - 1).
    Number(u64),
    Text(Box<str>),
}

impl DocumentId {
    /// Returns the id that a map key represents.
    pub fn from_key(key: &str) -> DocumentId {
        let canonical =
            key == "0" || (!key.starts_with('0') && key.bytes().all(|byte| byte.is_ascii_digit()));
        match key.parse() {
            Ok(number) if canonical && number <= MAX_SAFE_INTEGER => DocumentId::Number(number),
            _ => DocumentId::Text(key.into()),
        }
    }

    /// Appends the id as the key of a JSON map.
    pub fn push_key(&self, out: &mut Vec<u8>) {
        match self {
            DocumentId::Number(number) => {
                // Writing to memory does not fail.
                let _ = write!(out, "\"{number}\"");
            }
            DocumentId::Text(text) => json::push_string(out, text.as_bytes()),
        }
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DocumentId::Number(number) => number.fmt(f),
            DocumentId::Text(text) => text.fmt(f),
        }
    }
}

impl From<u64> for DocumentId {
    fn from(number: u64) -> Self {
        DocumentId::Number(number)
    }
}

/// The text of a document: one JSON object on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub text: Arc<[u8]>,
    /// Length of the text before the large field, or before the closing brace if there is none.
    pub head: usize,
    pub hash: u64,
}

impl Document {
    /// `text` must be a valid JSON object without line feeds.
    pub fn new(text: Arc<[u8]>, large_field: Option<&str>) -> Document {
        let head = head_len(&text, large_field);
        let hash = document_hash(&text, head);
        Document { text, head, hash }
    }

    /// Returns the document without its large field, as a complete object.
    pub fn head_object(&self) -> Vec<u8> {
        close_head(&self.text[..self.head])
    }
}

/// A document as a caller gives it: JSON, with its large field as separate plain text if it was split off.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    pub text: &'a [u8],
    pub large: Option<&'a str>,
}

impl<'a> Given<'a> {
    /// Returns the total number of bytes.
    pub fn bytes(self) -> usize {
        self.text.len() + self.large.map_or(0, str::len)
    }

    /// Returns the document as one text. If `field` was split off, it becomes the last member.
    pub fn whole(self, field: &str) -> Cow<'a, [u8]> {
        let (Some(large), Some(fields)) = (self.large, self.text.strip_suffix(b"}")) else {
            return Cow::Borrowed(self.text);
        };
        let mut out = Vec::with_capacity(fields.len() + field.len() + large.len() + large.len() / 8 + 128);
        out.extend_from_slice(fields);
        if out.len() > 1 {
            out.push(b',');
        }
        json::push_string(&mut out, field.as_bytes());
        out.push(b':');
        json::push_string(&mut out, large.as_bytes());
        out.push(b'}');
        Cow::Owned(out)
    }
}

impl<'a> From<&'a [u8]> for Given<'a> {
    fn from(text: &'a [u8]) -> Self {
        Given { text, large: None }
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Given<'a> {
    fn from(text: &'a [u8; N]) -> Self {
        Given { text, large: None }
    }
}

/// Makes a complete object of the text before a large field.
pub fn close_head(head: &[u8]) -> Vec<u8> {
    let mut object = Vec::with_capacity(head.len() + 1);
    object.extend_from_slice(head);
    object.push(b'}');
    object
}

/// Returns the length of the text before the comma in front of `large_field`, which must be the last member. Without such a
/// member, returns the length before the closing brace. The large value itself is not read.
pub fn head_len(text: &[u8], large_field: Option<&str>) -> usize {
    let before = large_field.and_then(|field| head_in(text, field));
    before.unwrap_or(text.len().saturating_sub(1))
}

/// Like [`head_len`], but `beginning` may be only the start of the text. Returns `None` if the large field does not begin in
/// it.
pub fn head_in(beginning: &[u8], field: &str) -> Option<usize> {
    let mut scanner = Scanner::new(beginning);
    scanner.expect(b'{', "").ok()?;
    loop {
        let before = scanner.position();
        if before > 1 && !scanner.accept(b',') {
            return None;
        }
        scanner.peek();
        let key = scanner.string().ok()?;
        if json::key_is(&beginning[key], field) {
            // No comma precedes the first member: the head is then the opening brace alone.
            return Some(before);
        }
        scanner.expect(b':', "").ok()?;
        scanner.value().ok()?;
    }
}

/// Returns the raw value of the large field that follows the head.
pub fn large_value<'a>(text: &'a [u8], head: usize, field: &str) -> Option<&'a [u8]> {
    let mut scanner = Scanner::at(text, head);
    scanner.accept(b',');
    scanner.peek();
    let key = scanner.string().ok()?;
    scanner.expect(b':', "").ok()?;
    scanner.peek();
    let value = text.get(scanner.position()..text.len().checked_sub(1)?)?;
    json::key_is(&text[key], field).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_integers_are_numeric_ids() {
        for key in ["0", "7", "1718000000000", "9007199254740991"] {
            assert!(matches!(DocumentId::from_key(key), DocumentId::Number(_)), "{key}");
        }
        for key in ["", "00", "01", "-1", "+1", "1.0", "1e3", "9007199254740992", "a"] {
            assert!(matches!(DocumentId::from_key(key), DocumentId::Text(_)), "{key}");
        }
    }

    #[test]
    fn the_head_ends_before_the_large_field() {
        let head = |text: &str| {
            String::from_utf8(Document::new(text.as_bytes().into(), Some("content")).head_object())
        };
        for (text, expected) in [
            (r#"{"id":1,"content":"x"}"#, r#"{"id":1}"#),
            (r#"{"id":1,"meta":{"content":2},"content":"x"}"#, r#"{"id":1,"meta":{"content":2}}"#),
            (r#"{"content":"x"}"#, "{}"),
            (r#"{"id":1}"#, r#"{"id":1}"#),
            ("{}", "{}"),
        ] {
            assert_eq!(head(text).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_large_field_given_separately_becomes_the_last_member() {
        let whole = |text: &'static [u8], large| Given { text, large }.whole("content").into_owned();
        assert_eq!(whole(b"{\"id\":1}", Some("a\"\n")), br#"{"id":1,"content":"a\"\n"}"#);
        assert_eq!(whole(b"{}", Some("")), br#"{"content":""}"#);
        assert_eq!(whole(b"{\"id\":1}", None), b"{\"id\":1}");
        assert_eq!(whole(b"null", Some("a")), b"null");
    }

    #[test]
    fn numeric_ids_order_before_text_ids() {
        let mut ids = ["b", "10", "9", "a"].map(DocumentId::from_key);
        ids.sort();
        assert_eq!(ids.map(|id| id.to_string()), ["9", "10", "a", "b"]);
    }
}
