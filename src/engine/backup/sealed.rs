//! Small JSON files with a checksum of their own: manifests and intents.
//!
//! `{ "format": 1, "checksum": "<SHA-256 of the content's bytes>", "content": { … } }`; in an intent, the first member is
//! `"done": "n"` or `"done": "y"`.

use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::copy::hex_digest;
use crate::engine::error::{Error, Result};
use crate::engine::fs::Fs;
use crate::engine::plain_file::{read_file, replace_by_way_of};

/// The newest format that this version writes and reads.
pub const FORMAT: u32 = 1;

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// What a file says about itself outside its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// Nothing.
    Plain,
    /// An intent that is to be followed.
    Open,
    /// An intent that has ended.
    Done,
}

impl Sealing {
    /// The byte at [`Sealing::OFFSET`] that ends an intent. It differs from `n` in more than one bit.
    pub const DONE: u8 = b'y';
    pub const OFFSET: u64 = 11;

    fn text(self) -> &'static str {
        match self {
            Sealing::Plain => "",
            Sealing::Open => "\"done\": \"n\",\n",
            Sealing::Done => "\"done\": \"y\",\n",
        }
    }

    fn parse(done: Option<&str>) -> Option<Sealing> {
        match done {
            None => Some(Sealing::Plain),
            Some("n") => Some(Sealing::Open),
            Some("y") => Some(Sealing::Done),
            Some(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct Sealed<'a> {
    done: Option<String>,
    checksum: String,
    #[serde(borrow)]
    content: &'a RawValue,
}

/// Writes the file in one step: it is there whole or not at all, and it is durable when this returns.
pub fn write_sealed(fs: &dyn Fs, path: &Path, content: &impl Serialize, sealing: Sealing) -> Result<()> {
    let content = serde_json::to_string_pretty(content)
        .map_err(|error| Error::io("write", path, &io::Error::other(error)))?;
    let checksum = hex_digest(content.as_bytes());
    let text = format!(
        "{{\n{}\"format\": {FORMAT},\n\"checksum\": \"{checksum}\",\n\"content\": {content}\n}}\n",
        sealing.text()
    );
    replace_by_way_of(fs, &path.with_extension("new"), path, text.as_bytes())
}

/// Reads such a file; `None` if there is none.
///
/// # Errors
/// `CORRUPT_DATA` if it is not as it was written, `UNSUPPORTED_FORMAT`, `IO_ERROR`.
pub fn read_sealed<T: DeserializeOwned>(fs: &dyn Fs, path: &Path) -> Result<Option<(T, Sealing)>> {
    let Some(bytes) = read_file(fs, path)? else { return Ok(None) };
    let damaged = |problem: String| Error::corrupt(path, 0, problem);
    let Format { format } = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if format != FORMAT {
        return Err(Error::UnsupportedFormat { path: path.to_path_buf(), found: format, known: FORMAT });
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| damaged(error.to_string()))?;
    let sealed: Sealed<'_> = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
    if hex_digest(sealed.content.get().as_bytes()) != sealed.checksum {
        return Err(damaged("its checksum does not match its content".to_owned()));
    }
    let sealing = Sealing::parse(sealed.done.as_deref())
        .ok_or_else(|| damaged("its mark of completion is invalid".to_owned()))?;
    let content = serde_json::from_str(sealed.content.get()).map_err(|error| damaged(error.to_string()))?;
    Ok(Some((content, sealing)))
}
