//! Stored projects and files as the commands need them: their text, and some of its members.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::failure::{Failure, Result};
use crate::engine::json;
use crate::project::{Chain, chain_of, content_of, head_of, without_content};

/// The text of a stored project or file.
#[derive(Debug, Clone)]
pub struct Record(Arc<[u8]>);

impl Record {
    pub fn new(text: Arc<[u8]>) -> Record {
        Record(text)
    }

    fn member(&self, name: &str) -> Option<&[u8]> {
        json::get(head_of(&self.0), name)
    }

    /// A member that is a text; empty where it is none. Lone halves of characters become replacement characters.
    pub fn text(&self, name: &str) -> String {
        let raw = self.member(name).filter(|raw| json::is_string(raw));
        raw.map(|raw| json::unescape_lossy(raw).into_owned()).unwrap_or_default()
    }

    /// A member that is a whole number; 0 where it is none.
    pub fn number(&self, name: &str) -> u64 {
        let raw = self.member(name).and_then(|raw| std::str::from_utf8(raw).ok());
        raw.and_then(|raw| raw.parse().ok()).unwrap_or(0)
    }

    pub fn id(&self) -> u64 {
        self.number("id")
    }

    pub fn chain(&self) -> Chain {
        chain_of(&self.0)
    }

    /// The content as bytes; lone halves of characters, which no file can have, are three bytes each.
    pub fn content(&self) -> Vec<u8> {
        content_of(&self.0).map(|raw| json::unescape(raw).into_owned()).unwrap_or_default()
    }

    /// The content with replacement characters for what is no text.
    pub fn content_text(&self) -> String {
        content_of(&self.0).map(|raw| json::unescape_lossy(raw).into_owned()).unwrap_or_default()
    }

    /// The JSON as it is stored.
    pub fn whole(&self) -> Result<Box<RawValue>> {
        raw(self.0.to_vec())
    }

    /// The JSON without the content.
    pub fn head(&self) -> Result<Box<RawValue>> {
        raw(without_content(&self.0))
    }
}

fn raw(text: Vec<u8>) -> Result<Box<RawValue>> {
    let text = String::from_utf8_lossy(&text).into_owned();
    RawValue::from_string(text).map_err(|error| Failure::output(&error.into()))
}
