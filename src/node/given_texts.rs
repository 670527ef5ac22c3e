//! Many long texts on their way in.

use std::ptr;

use napi::bindgen_prelude::JsValue;
use napi::{Env, Error, JsString, Result, check_status, sys};

use crate::engine::Buffer;

/// Of so many bytes more are likely to follow.
const MANY: usize = 1 << 20;
/// Room for those. The system gives memory for what is used of it, in large pages.
const LARGE_ROOM: usize = 32 << 20;

/// Strings of whole characters, one behind the other: fresh memory for each of them would take the system longer than the copy.
#[derive(Default)]
pub struct GivenTexts {
    buffers: Vec<Buffer>,
    /// Bytes of the last buffer that are in use, and those of all of them.
    used: usize,
    all: usize,
}

/// Where a text lies.
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
    /// When there is no memory.
    pub fn take_in(&mut self, env: &Env, text: &JsString<'_>) -> Result<Place> {
        let len = copy_text(env, text, |bytes| self.room(bytes))?;
        let place = Place { buffer: self.buffers.len() - 1, start: self.used, len };
        self.used += len;
        self.all += len;
        Ok(place)
    }

    /// What is free of the last buffer, at least so many bytes.
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
        // SAFETY: these bytes were written by the JavaScript engine, which writes nothing but UTF-8, and not since.
        unsafe { std::str::from_utf8_unchecked(bytes) }
    }
}

/// A string of whole characters that comes alone.
///
/// # Errors
/// When it is no text.
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

/// Copies a string of whole characters to the beginning of the room that is given for so many bytes, and says how many it takes.
pub fn copy_text<'r>(
    env: &Env,
    text: &JsString<'_>,
    room: impl FnOnce(usize) -> Result<&'r mut [u8]>,
) -> Result<usize> {
    let (env, value, mut units) = (env.raw(), text.raw(), 0);
    // SAFETY: without a buffer the call only tells the length.
    check_status!(unsafe { sys::napi_get_value_string_utf16(env, value, ptr::null_mut(), 0, &mut units) })?;
    // To ask for the length as UTF-8 takes V8 longer than the copy. No unit takes more than three bytes, and a null byte is written
    // behind them.
    let room = room(units * 3 + 1)?;
    let (buffer, capacity, mut len) = (room.as_mut_ptr().cast(), room.len(), 0);
    // SAFETY: no more than `capacity` bytes are written, and `len` tells how many of them are the text.
    check_status!(unsafe { sys::napi_get_value_string_utf8(env, value, buffer, capacity, &mut len) })?;
    Ok(len)
}
