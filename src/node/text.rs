//! Texts on their way to JavaScript, whose strings may have lone surrogates. In Rust, such texts are WTF-8.

use napi::{Env, JsString, Result};

use crate::engine::json;

/// A string in the form that JavaScript accepts at the least cost.
pub enum Text {
    /// Bytes that are characters themselves: most texts, and the cheapest.
    Ascii(Vec<u8>),
    Utf8(String),
    /// A text with lone surrogates.
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

    /// Returns an upper bound of its code units.
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
