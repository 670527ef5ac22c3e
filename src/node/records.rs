//! Records on their way in, a slice at a time, so that the event loop turns while many are passed.

use std::sync::Arc;

use napi::{Env, Error, JsString, Result};
use napi_derive::napi;
use parking_lot::Mutex;

use super::given_texts::{GivenTexts, Place, copy_text};
use crate::engine::document::{DocumentId, Given};
use crate::engine::{GivenMap, json};

/// Records in their order.
pub struct Records {
    /// The JSON of the records, separated by commas and enclosed in braces: members of a map thus form that map.
    text: Vec<u8>,
    /// Where the text of each record begins and ends.
    places: Vec<(usize, usize)>,
    /// The large field of each record as plain text, if it is passed apart.
    large: Vec<Option<Place>>,
    large_texts: GivenTexts,
}

impl Default for Records {
    fn default() -> Records {
        Records {
            text: b"{}".to_vec(),
            places: Vec::new(),
            large: Vec::new(),
            large_texts: GivenTexts::default(),
        }
    }
}

impl Records {
    /// Adds a record and returns its size in bytes.
    fn push(&mut self, env: &Env, text: &JsString<'_>, large: Option<&JsString<'_>>) -> Result<usize> {
        self.text.pop();
        if !self.places.is_empty() {
            self.text.push(b',');
        }
        let start = self.text.len();
        let len = copy_text(env, text, |bytes| {
            self.text.resize(start + bytes, 0);
            Ok(&mut self.text[start..])
        })?;
        self.text.truncate(start + len);
        self.places.push((start, start + len));
        self.text.push(b'}');
        let large = large.map(|large| self.large_texts.take_in(env, large)).transpose()?;
        let bytes = len + large.as_ref().map_or(0, Place::len);
        self.large.push(large);
        Ok(bytes)
    }

    pub fn iter(&self) -> impl Iterator<Item = Given<'_>> {
        let given = |(&(start, end), large)| Given { text: &self.text[start..end], large };
        self.places.iter().zip(self.large()).map(given)
    }

    /// Pairs the records, which are patches, with the ids of what they change.
    pub fn under(&self, ids: &[f64]) -> Vec<(u64, Given<'_>)> {
        ids.iter().map(|&id| id as u64).zip(self.iter()).collect()
    }

    /// Returns the keys of the records, if they are members of a map.
    pub fn keys(&self) -> Vec<DocumentId> {
        self.members().map(|(id, _)| id).collect()
    }

    /// Returns the keys and the values of the records, if they are members of a map, without white space between tokens. A
    /// key that is missing is empty, and so is its value.
    pub fn members(&self) -> impl Iterator<Item = (DocumentId, &[u8])> {
        self.iter().map(|member| {
            let key = json::Scanner::new(member.text).string().unwrap_or_default();
            let value = member.text.get(key.end + 1..).unwrap_or_default();
            (DocumentId::from_key(&json::unescape_lossy(&member.text[key])), value)
        })
    }

    fn large(&self) -> impl Iterator<Item = Option<&str>> {
        self.large.iter().map(|large| large.as_ref().map(|place| self.large_texts.get(place)))
    }

    /// Returns the map whose members the records are.
    pub fn map(&self) -> GivenMap<'_> {
        GivenMap { text: &self.text, large: self.large().collect() }
    }
}

/// The records that JavaScript has passed so far; `None` once they are released.
#[napi]
pub struct NativeRecords {
    records: Mutex<Option<Arc<Records>>>,
}

#[napi]
impl NativeRecords {
    #[napi(constructor, catch_unwind)]
    pub fn new() -> NativeRecords {
        NativeRecords { records: Mutex::new(Some(Arc::default())) }
    }

    /// Adds records: the JSON of each and, if it is passed apart, its large field. No call may have received the records
    /// yet. Returns how many bytes were added.
    #[napi(catch_unwind)]
    pub fn append(
        &self,
        env: &Env,
        texts: Vec<JsString<'_>>,
        large: Vec<Option<JsString<'_>>>,
    ) -> Result<f64> {
        let mut records = self.records.lock();
        let records = records.as_mut().and_then(Arc::get_mut).ok_or_else(handed_over)?;
        let mut bytes = 0;
        for (text, large) in texts.iter().zip(&large) {
            bytes += records.push(env, text, large.as_ref())?;
        }
        Ok(bytes as f64)
    }

    /// Forgets the records. Calls that have received them keep them until they end.
    #[napi(catch_unwind)]
    pub fn release(&self) {
        *self.records.lock() = None;
    }
}

impl NativeRecords {
    pub fn all(&self) -> Result<Arc<Records>> {
        self.records.lock().clone().ok_or_else(handed_over)
    }
}

fn handed_over() -> Error {
    Error::from_reason("these records were handed over already; this is a bug of the package")
}
