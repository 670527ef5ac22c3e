//! Many long texts on their way in from JavaScript.

use std::ptr;

use napi::bindgen_prelude::JsValue;
use napi::{Env, Error, JsString, Result, check_status, sys};

use crate::engine::Buffer;

/// Once this many bytes have arrived, more are likely to follow.
const MANY: usize = 1 << 20;
/// The size of a buffer for those. The system provides memory only for the part that is used, in large pages.
const LARGE_ROOM: usize = 32 << 20;

/// Strings without lone surrogates, one behind the other: fresh memory for each of them would take longer than the copying.
#[derive(Default)]
pub struct GivenTexts {
    buffers: Vec<Buffer>,
    /// The bytes in use in the last buffer, and those in all buffers.
    used: usize,
    all: usize,
}

/// Where a text is stored.
pub struct Place {
    buffer: usize,
    start: usize,
    len: usize,
}

impl Place {
    pub fn len(&self) -> usize {
        self.len
    }
}

impl GivenTexts {
    /// Copies a string.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn take_in(&mut self, env: &Env, text: &JsString<'_>) -> Result<Place> {
        let len = copy_text(env, text, |bytes| self.room(bytes))?;
        let place = Place { buffer: self.buffers.len() - 1, start: self.used, len };
        self.used += len;
        self.all += len;
        Ok(place)
    }

    /// Returns the free part of the last buffer, which has at least this many bytes.
    fn room(&mut self, bytes: usize) -> Result<&mut [u8]> {
        let free = self.buffers.last().map_or(0, |buffer| buffer.len() - self.used);
        if free < bytes {
            let room = if self.all < MANY { self.all } else { LARGE_ROOM };
            let buffer = Buffer::new(bytes.max(room));
            self.buffers.push(buffer.map_err(|error| Error::from_reason(error.to_string()))?);
            self.used = 0;
        }
        let room = self.buffers.last_mut().map(|buffer| &mut buffer[self.used..]);
        room.ok_or_else(|| Error::from_reason("there is no room for a text"))
    }

    pub fn get(&self, place: &Place) -> &str {
        let bytes = &self.buffers[place.buffer][place.start..][..place.len];
        // SAFETY: the JavaScript engine, which writes only UTF-8, wrote these bytes, and nothing has changed them since.
        unsafe { std::str::from_utf8_unchecked(bytes) }
    }
}

/// Copies a single string without lone surrogates.
///
/// # Errors
/// If the value is not a string.
pub fn whole_text(env: &Env, text: &JsString<'_>) -> Result<String> {
    let mut bytes = Vec::new();
    let len = copy_text(env, text, |room| {
        bytes = vec![0; room];
        Ok(&mut bytes)
    })?;
    bytes.truncate(len);
    bytes.shrink_to_fit();
    String::from_utf8(bytes).map_err(|error| Error::from_reason(error.to_string()))
}

/// Copies a string without lone surrogates to the start of the room returned for a number of bytes, and returns its length.
pub fn copy_text<'r>(
    env: &Env,
    text: &JsString<'_>,
    room: impl FnOnce(usize) -> Result<&'r mut [u8]>,
) -> Result<usize> {
    let (env, value, mut units) = (env.raw(), text.raw(), 0);
    // SAFETY: without a buffer, the call only reports the length.
    check_status!(unsafe { sys::napi_get_value_string_utf16(env, value, ptr::null_mut(), 0, &mut units) })?;
    // Asking V8 for the length as UTF-8 takes longer than the copy. No UTF-16 unit takes more than three bytes, and a null
    // byte is written behind them.
    let room = room(units * 3 + 1)?;
    let (buffer, capacity, mut len) = (room.as_mut_ptr().cast(), room.len(), 0);
    // SAFETY: at most `capacity` bytes are written, and `len` is set to how many of them are the text.
    check_status!(unsafe { sys::napi_get_value_string_utf8(env, value, buffer, capacity, &mut len) })?;
    Ok(len)
}
