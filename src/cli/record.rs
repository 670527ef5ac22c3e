//! Stored projects and files as the commands need them: their text, and some of their members.

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

    /// Returns a member that is a text; an empty text if it is not. Lone surrogates become replacement characters.
    pub fn text(&self, name: &str) -> String {
        let raw = self.member(name).filter(|raw| json::is_string(raw));
        raw.map(|raw| json::unescape_lossy(raw).into_owned()).unwrap_or_default()
    }

    /// Returns a member that is a whole number; 0 if it is not.
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

    /// Returns the content as bytes. A lone surrogate, which no file can have, takes three bytes.
    pub fn content(&self) -> Vec<u8> {
        content_of(&self.0).map(|raw| json::unescape(raw).into_owned()).unwrap_or_default()
    }

    /// Returns the content as text, with replacement characters for lone surrogates.
    pub fn content_text(&self) -> String {
        content_of(&self.0).map(|raw| json::unescape_lossy(raw).into_owned()).unwrap_or_default()
    }

    /// Returns the JSON as it is stored.
    pub fn whole(&self) -> Result<Box<RawValue>> {
        raw(self.0.to_vec())
    }

    /// Returns the JSON without the content.
    pub fn head(&self) -> Result<Box<RawValue>> {
        raw(without_content(&self.0))
    }
}

fn raw(text: Vec<u8>) -> Result<Box<RawValue>> {
    let text = String::from_utf8_lossy(&text).into_owned();
    RawValue::from_string(text).map_err(|error| Failure::output(&error.into()))
}
