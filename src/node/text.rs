//! Texts on their way to JavaScript, whose strings may have lone surrogates. Here they are WTF-8.

use napi::{Env, JsString, Result};

use crate::engine::json;

/// A string as JavaScript takes it at the least cost.
pub enum Text {
    /// Bytes that are characters: most texts, and the cheapest ones.
    Ascii(Vec<u8>),
    Utf8(String),
    /// With lone surrogates.
    Utf16(Vec<u16>),
}

impl Text {
    pub fn from_wtf8(bytes: Vec<u8>) -> Text {
        if bytes.is_ascii() {
            return Text::Ascii(bytes);
        }
        String::from_utf8(bytes)
            .map_or_else(|error| Text::Utf16(json::to_utf16(error.as_bytes())), Text::Utf8)
    }

    /// An upper bound of its code units.
    pub fn len(&self) -> usize {
        match self {
            Text::Ascii(bytes) => bytes.len(),
            Text::Utf8(text) => text.len(),
            Text::Utf16(units) => units.len(),
        }
    }

    pub fn to_js<'env>(&self, env: &'env Env) -> Result<JsString<'env>> {
        match self {
            Text::Ascii(bytes) => env.create_string_latin1(bytes),
            Text::Utf8(text) => env.create_string(text),
            Text::Utf16(units) => env.create_string_utf16(units),
        }
    }
}
