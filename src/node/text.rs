//! Texts on their way between JavaScript, whose strings may have lone surrogates, and Rust, where they are WTF-8.

use napi::bindgen_prelude::Utf16String;
use napi::{Env, JsString, Result};

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
        String::from_utf8(bytes).map_or_else(|error| Text::Utf16(utf16(error.as_bytes())), Text::Utf8)
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

/// The text of a string, as WTF-8.
pub fn wtf8(units: &Utf16String) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(units.len());
    for character in char::decode_utf16(units.iter().copied()) {
        match character {
            Ok(character) => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(lone) => {
                let unit = lone.unpaired_surrogate();
                bytes.extend([0xed, 0x80 | (unit >> 6 & 0x3f) as u8, 0x80 | (unit & 0x3f) as u8]);
            }
        }
    }
    bytes
}
