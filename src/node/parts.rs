//! Documents with a large field on their way out. The field crosses as a string of its own, not as JSON that would have to
//! be parsed. The costly part of that is done where the answer is made, off the JavaScript thread.

use napi::bindgen_prelude::{Either, Null};
use napi::{Env, JsString, Result};

use super::text::Text;
use crate::engine::document::{head_len, large_value};
use crate::engine::json::{self, Table};

/// Documents without their large fields, as JSON, and the large fields; `None` for a document that has none. Documents that
/// cross whole have no large fields here.
pub struct Parts {
    heads: Heads,
    large: Vec<Option<Text>>,
}

enum Heads {
    /// One document, or an array of them.
    Plain(Text),
    /// Documents of one shape.
    Table(Text),
}

/// What crosses: the JSON, or null and a table, and then one element for each document unless the documents cross whole. The
/// documents of a table either all have a large field, or no elements follow.
pub type JsParts<'env> = Vec<Either<JsString<'env>, Null>>;

impl Parts {
    /// Splits a document whose text before the large field has `head` bytes.
    pub fn of_document(text: &[u8], head: usize, field: &str) -> Parts {
        let mut heads = Vec::with_capacity(head + 1);
        let large = split(text, head, field, &mut heads);
        Parts { heads: Heads::Plain(Text::from_wtf8(heads)), large: vec![large] }
    }

    /// Makes an array of documents, with the large `field` apart where they have one.
    pub fn of_documents<T: AsRef<[u8]>>(texts: &[T], field: Option<&str>) -> Parts {
        let mut list = PartsList::default();
        texts.iter().for_each(|text| list.push_document(text.as_ref(), field));
        list.finish()
    }

    /// Returns an upper bound of the code units of the longest string that crosses.
    pub fn longest(&self) -> usize {
        let (Heads::Plain(heads) | Heads::Table(heads)) = &self.heads;
        self.large.iter().flatten().chain([heads]).map(Text::len).max().unwrap_or_default()
    }

    pub fn to_js<'env>(&self, env: &'env Env) -> Result<JsParts<'env>> {
        let mut parts = Vec::with_capacity(self.large.len() + 2);
        match &self.heads {
            Heads::Plain(heads) => parts.push(Either::A(heads.to_js(env)?)),
            Heads::Table(table) => parts.extend([Either::B(Null), Either::A(table.to_js(env)?)]),
        }
        for large in &self.large {
            parts.push(match large {
                Some(text) => Either::A(text.to_js(env)?),
                None => Either::B(Null),
            });
        }
        Ok(parts)
    }
}

/// An array of documents under construction. Either all of its documents cross whole, or none.
#[derive(Default)]
pub struct PartsList {
    heads: Vec<u8>,
    /// The same documents as a table, as long as they can form one.
    table: Option<Table>,
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
        let start = self.separate();
        self.large.push(split(text, head, field, &mut self.heads));
        self.tabulate(start);
    }

    /// Adds a document to cross whole.
    pub fn push_whole(&mut self, text: &[u8]) {
        let start = self.separate();
        self.heads.extend_from_slice(text);
        self.tabulate(start);
    }

    /// Adds a document with null for its large `field`, which the caller has: in JavaScript, setting a member costs less
    /// than adding one. `head` is the text before the field.
    pub fn push_head(&mut self, head: &[u8], field: &str) {
        let start = self.separate();
        for part in [head, b",\"", field.as_bytes(), b"\":null}"] {
            self.heads.extend_from_slice(part);
        }
        self.large.push(None);
        self.tabulate(start);
    }

    /// Writes the separator and returns where the next document begins.
    fn separate(&mut self) -> usize {
        self.heads.push(if self.heads.is_empty() { b'[' } else { b',' });
        self.heads.len()
    }

    /// Adds the document that begins at `start` to the table.
    fn tabulate(&mut self, start: usize) {
        let document = self.heads[start..].strip_suffix(b"}").unwrap_or_default();
        if start == 1 {
            self.table = Table::of(document);
        } else if let Some(table) = &mut self.table
            && table.push(document).is_none()
        {
            self.table = None;
        }
    }

    pub fn finish(mut self) -> Parts {
        let count = self.large.iter().flatten().count();
        if count == 0 {
            self.large.clear();
        }
        let table = self.table.filter(|_| count == self.large.len());
        if let Some(table) = table.and_then(Table::finish) {
            return Parts { heads: Heads::Table(Text::from_wtf8(table)), large: self.large };
        }
        if self.heads.is_empty() {
            self.heads.push(b'[');
        }
        self.heads.push(b']');
        Parts { heads: Heads::Plain(Text::from_wtf8(self.heads)), large: self.large }
    }
}

/// Appends a document without its large field, and returns that field.
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
