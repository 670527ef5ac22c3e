//! The content of a file, in the two forms in which it is given.

use std::borrow::Cow;

use crate::engine::json;

#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// A raw JSON string, quotes included.
    Json(&'a [u8]),
    /// Text without lone surrogates. It becomes JSON when it is written.
    Plain(&'a str),
}

impl<'a> Content<'a> {
    /// Returns the number of bytes of the content as UTF-8.
    pub fn utf8_len(self) -> usize {
        match self {
            Content::Json(raw) => json::utf8_len(raw),
            Content::Plain(text) => text.len(),
        }
    }

    /// Returns the content as UTF-8.
    pub fn to_utf8(self) -> Cow<'a, str> {
        match self {
            Content::Json(raw) => json::unescape_lossy(raw),
            Content::Plain(text) => Cow::Borrowed(text),
        }
    }

    /// Returns whether the raw string of a stored file represents this content, whatever escapes it was written with.
    pub fn is_stored_as(self, stored: &[u8]) -> bool {
        match self {
            Content::Json(raw) => raw == stored || json::unescape(raw) == json::unescape(stored),
            Content::Plain(text) => *json::unescape(stored) == *text.as_bytes(),
        }
    }

    /// Returns the number of bytes that the content probably takes as JSON.
    pub fn json_len(self) -> usize {
        match self {
            Content::Json(raw) => raw.len(),
            Content::Plain(text) => text.len() + text.len() / 8 + 2,
        }
    }

    pub fn push_json(self, out: &mut Vec<u8>) {
        match self {
            Content::Json(raw) => out.extend_from_slice(raw),
            Content::Plain(text) => json::push_string(out, text.as_bytes()),
        }
    }
}
