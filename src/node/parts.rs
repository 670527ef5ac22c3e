//! Documents with a large field on their way out: the field crosses as a string of its own, not as JSON that would have
//! to be parsed. What is costly about that is done where the answer is made, off the JavaScript thread.

use napi::bindgen_prelude::{Either, Null};
use napi::{Env, JsString, Result};

use super::text::Text;
use crate::engine::document::{head_len, large_value};
use crate::engine::json;

/// Documents without their large fields, as JSON, and the large fields; `None` of a document that has none. No large fields at
/// all of documents that come as they are.
pub struct Parts {
    heads: Text,
    large: Vec<Option<Text>>,
}

/// What crosses: the JSON, then one element for each document unless they come as they are.
pub type JsParts<'env> = Vec<Either<JsString<'env>, Null>>;

impl Parts {
    /// One document, whose text before the large field has `head` bytes.
    pub fn of_document(text: &[u8], head: usize, field: &str) -> Parts {
        let mut heads = Vec::with_capacity(head + 1);
        let large = split(text, head, field, &mut heads);
        Parts { heads: Text::from_wtf8(heads), large: vec![large] }
    }

    /// Documents as one array, with the large `field` apart where they have one.
    pub fn of_documents<T: AsRef<[u8]>>(texts: &[T], field: Option<&str>) -> Parts {
        let mut list = PartsList::default();
        texts.iter().for_each(|text| list.push_document(text.as_ref(), field));
        list.finish()
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

/// An array of documents that is being put together. Either all of them come as they are, or none.
#[derive(Default)]
pub struct PartsList {
    heads: Vec<u8>,
    large: Vec<Option<Text>>,
}

impl PartsList {
    /// Adds a document, with the large `field` apart if documents of its kind have one.
    pub fn push_document(&mut self, text: &[u8], field: Option<&str>) {
        match field {
            Some(field) => self.push(text, head_len(text, Some(field)), field),
            None => self.push_whole(text),
        }
    }

    /// Adds a document whose text before the large field has `head` bytes.
    pub fn push(&mut self, text: &[u8], head: usize, field: &str) {
        self.separate();
        self.large.push(split(text, head, field, &mut self.heads));
    }

    /// Adds a document as it is.
    pub fn push_whole(&mut self, text: &[u8]) {
        self.separate();
        self.heads.extend_from_slice(text);
    }

    /// Adds a document without its large field, which the caller has.
    pub fn push_head(&mut self, head: &[u8]) {
        self.separate();
        self.heads.extend_from_slice(head);
        self.large.push(None);
    }

    fn separate(&mut self) {
        self.heads.push(if self.heads.is_empty() { b'[' } else { b',' });
    }

    pub fn finish(mut self) -> Parts {
        if self.heads.is_empty() {
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
