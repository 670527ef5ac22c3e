//! Texts on their way from JavaScript and to it, whose strings may have lone surrogates. Here they are WTF-8.

use std::ptr;

use napi::bindgen_prelude::{FromNapiValue, TypeName, ValidateNapiValue};
use napi::{Env, JsString, Result, ValueType, check_status, sys};

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

/// A long string of whole characters on its way in. `String` would ask for its length as UTF-8 first, which takes V8 longer than
/// the copy.
pub struct GivenText(pub String);

impl TypeName for GivenText {
    fn type_name() -> &'static str {
        "String"
    }

    fn value_type() -> ValueType {
        ValueType::String
    }
}

impl ValidateNapiValue for GivenText {}

impl FromNapiValue for GivenText {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        let mut units = 0;
        // SAFETY: without a buffer the call only tells the length.
        check_status!(unsafe {
            sys::napi_get_value_string_utf16(env, value, ptr::null_mut(), 0, &mut units)
        })?;
        // No unit takes more than three bytes, and a null byte is written behind them.
        let mut bytes: Vec<u8> = Vec::with_capacity(units * 3 + 1);
        let (buffer, capacity, mut written) = (bytes.as_mut_ptr().cast(), bytes.capacity(), 0);
        // SAFETY: no more than `capacity` bytes are written, and `written` tells how many of them are the text.
        check_status!(unsafe {
            sys::napi_get_value_string_utf8(env, value, buffer, capacity, &mut written)
        })?;
        // SAFETY: as above; the engine writes nothing but UTF-8.
        let text = unsafe {
            bytes.set_len(written);
            bytes.shrink_to_fit();
            String::from_utf8_unchecked(bytes)
        };
        Ok(GivenText(text))
    }
}
