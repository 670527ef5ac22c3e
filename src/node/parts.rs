//! Documents with a large field on their way out: the field crosses as a string of its own, not as JSON that would have
//! to be parsed. What is costly about that is done where the answer is made, off the JavaScript thread.

use napi::bindgen_prelude::{Either, Null};
use napi::{Env, JsString, Result};

use crate::engine::document::{head_len, large_value};
use crate::engine::{json, parallel};

/// So many documents are converted in one go.
const RUN: usize = 64;

/// A string as JavaScript takes it at the least cost.
pub enum Text {
    /// Bytes that are characters: most texts, and the cheapest ones.
    Ascii(Vec<u8>),
    Utf8(String),
    /// With lone surrogates.
    Utf16(Vec<u16>),
}

impl Text {
    fn from_wtf8(bytes: Vec<u8>) -> Text {
        if bytes.is_ascii() {
            return Text::Ascii(bytes);
        }
        String::from_utf8(bytes).map_or_else(|error| Text::Utf16(utf16(error.as_bytes())), Text::Utf8)
    }

    /// An upper bound of its code units.
    fn len(&self) -> usize {
        match self {
            Text::Ascii(bytes) => bytes.len(),
            Text::Utf8(text) => text.len(),
            Text::Utf16(units) => units.len(),
        }
    }

    fn to_js<'env>(&self, env: &'env Env) -> Result<JsString<'env>> {
        match self {
            Text::Ascii(bytes) => env.create_string_latin1(bytes),
            Text::Utf8(text) => env.create_string(text),
            Text::Utf16(units) => env.create_string_utf16(units),
        }
    }
}

/// The code units of WTF-8 text.
fn utf16(bytes: &[u8]) -> Vec<u16> {
    let mut units = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        units.extend(chunk.valid().encode_utf16());
        // Two of the three bytes of a surrogate make two invalid chunks of their own.
        if let [0xed, ..] = chunk.invalid()
            && let at = chunk.invalid().as_ptr() as usize - bytes.as_ptr() as usize
            && let Some(&[_, second, third]) = bytes.get(at..at + 3)
        {
            units.push(0xd000 | (u16::from(second & 0x3f) << 6) | u16::from(third & 0x3f));
        }
    }
    units
}

/// Documents without their large fields, as JSON, and the large fields; `None` of a document that has none.
pub struct Parts {
    heads: Text,
    large: Vec<Option<Text>>,
}

/// What crosses: the JSON, then one element for each document.
pub type JsParts<'env> = Vec<Either<JsString<'env>, Null>>;

impl Parts {
    /// One document, whose text before the large field has `head` bytes.
    pub fn of_document(text: &[u8], head: usize, field: &str) -> Parts {
        let mut heads = Vec::with_capacity(head + 1);
        let large = split(text, head, field, &mut heads);
        Parts { heads: Text::from_wtf8(heads), large: vec![large] }
    }

    /// Documents as one array.
    pub fn of_documents<T: AsRef<[u8]> + Sync>(texts: &[T], field: &str) -> Parts {
        let runs: Vec<&[T]> = texts.chunks(RUN).collect();
        let bytes = texts.iter().map(|text| text.as_ref().len()).sum();
        let lists = parallel::map(&runs, bytes, |run| {
            let mut list = PartsList::default();
            for text in run.iter().map(AsRef::as_ref) {
                list.push(text, head_len(text, Some(field)), field);
            }
            list
        });
        let mut whole = PartsList::default();
        lists.into_iter().for_each(|list| whole.append(list));
        whole.finish()
    }

    /// An upper bound of the code units of the longest string that crosses.
    pub fn longest(&self) -> usize {
        self.large.iter().flatten().chain([&self.heads]).map(Text::len).max().unwrap_or_default()
    }

    pub fn to_js<'env>(&self, env: &'env Env) -> Result<JsParts<'env>> {
        let mut parts = Vec::with_capacity(self.large.len() + 1);
        parts.push(Either::A(self.heads.to_js(env)?));
        for large in &self.large {
            parts.push(match large {
                Some(text) => Either::A(text.to_js(env)?),
                None => Either::B(Null),
            });
        }
        Ok(parts)
    }
}

/// An array of documents that is being put together.
#[derive(Default)]
pub struct PartsList {
    heads: Vec<u8>,
    large: Vec<Option<Text>>,
}

impl PartsList {
    /// Adds a document whose text before the large field has `head` bytes.
    pub fn push(&mut self, text: &[u8], head: usize, field: &str) {
        self.heads.push(if self.large.is_empty() { b'[' } else { b',' });
        self.large.push(split(text, head, field, &mut self.heads));
    }

    /// Adds a document without its large field, which the caller has.
    pub fn push_head(&mut self, head: &[u8]) {
        self.heads.push(if self.large.is_empty() { b'[' } else { b',' });
        self.heads.extend_from_slice(head);
        self.large.push(None);
    }

    /// Adds the documents of another list.
    pub fn append(&mut self, mut other: PartsList) {
        if self.large.is_empty() {
            *self = other;
        } else if let Some(bracket) = other.heads.first_mut() {
            *bracket = b',';
            self.heads.append(&mut other.heads);
            self.large.append(&mut other.large);
        }
    }

    pub fn finish(mut self) -> Parts {
        if self.large.is_empty() {
            self.heads.push(b'[');
        }
        self.heads.push(b']');
        Parts { heads: Text::from_wtf8(self.heads), large: self.large }
    }
}

/// Appends a document without its large field, and gives that.
fn split(text: &[u8], head: usize, field: &str, heads: &mut Vec<u8>) -> Option<Text> {
    match large_value(text, head, field).filter(|raw| raw.first() == Some(&b'"')) {
        Some(raw) => {
            heads.extend_from_slice(&text[..head]);
            heads.push(b'}');
            Some(Text::from_wtf8(json::unescape(raw).into_owned()))
        }
        None => {
            heads.extend_from_slice(text);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_keep_their_places() {
        let raw = br#""a\ud800b\udc00\ud83d\ude00\udfff""#;
        let text = Text::from_wtf8(json::unescape(raw).into_owned());
        let expected = [0x61, 0xd800, 0x62, 0xdc00, 0xd83d, 0xde00, 0xdfff];
        assert!(matches!(text, Text::Utf16(units) if units == expected));
    }

    #[test]
    fn long_lists_are_those_of_their_documents_in_order() {
        let content = "x".repeat(10_000);
        let texts: Vec<String> =
            (0..200).map(|n| format!(r#"{{"id":{n},"content":"{content}{n}"}}"#)).collect();
        let parts = Parts::of_documents(&texts, "content");
        let heads: Vec<String> = (0..200).map(|n| format!(r#"{{"id":{n}}}"#)).collect();
        assert!(
            matches!(parts.heads, Text::Ascii(text) if text == format!("[{}]", heads.join(",")).as_bytes())
        );
        for (n, large) in parts.large.iter().enumerate() {
            assert!(
                matches!(large, Some(Text::Ascii(text)) if *text == format!("{content}{n}").into_bytes())
            );
        }
    }

    #[test]
    fn a_document_without_the_field_stays_whole() {
        let parts = Parts::of_documents(&[&br#"{"id":1}"#[..], br#"{"id":2,"content":"x"}"#], "content");
        assert!(matches!(parts.heads, Text::Ascii(heads) if heads == br#"[{"id":1},{"id":2}]"#));
        assert!(matches!(&parts.large[..], [None, Some(Text::Ascii(text))] if text == b"x"));
    }
}
