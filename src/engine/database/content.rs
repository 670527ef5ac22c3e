//! Reading the large field of one document a chunk at a time.

use std::sync::Arc;

use super::read::ReadOptions;
use super::texts::ReadFailure;
use super::{CollectionSpec, Database};
use crate::engine::cancel;
use crate::engine::checksum::DocumentHasher;
use crate::engine::document::DocumentId;
use crate::engine::document_map::Location;
use crate::engine::error::{Error, Result};
use crate::engine::fs::{File, read_exact_at};

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;
/// The longest piece of a JSON string that must not be cut: two escapes that make one character.
const LONGEST_UNIT: usize = 12;

/// A reader of a document's large field, which must be a string. It reads the text that the document had when the
/// reader was created, whatever happens to the document later.
pub struct ContentReader {
    spec: Arc<CollectionSpec>,
    file: Arc<dyn File>,
    location: Location,
    /// Where the string begins, after its opening quote, and where it ends, before its closing quote.
    start: u64,
    end: u64,
    position: u64,
}

impl Database {
    /// Returns a reader of the large field of a document; `None` if there is no such document. Reads the whole document
    /// once to check that its bytes are those that were written.
    ///
    /// # Errors
    /// `ABORTED`, and those of [`Database::get`]; `INVALID_ARGUMENT` if the large field is no string.
    pub fn content(
        &self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
        options: ReadOptions,
    ) -> Result<Option<ContentReader>> {
        for attempt in 0.. {
            let found = self.with_loaded(spec, options, |state, loaded| {
                let location = loaded.documents.get(id).copied()?;
                Some((location, Arc::clone(&state.files)))
            })?;
            let Some((location, files)) = found else { return Ok(None) };
            let file = files.open(location.file).map_err(|error| Failure::Read(error.into()));
            match file.and_then(|file| open(spec, file, location)) {
                Ok(reader) => return Ok(Some(reader)),
                Err(Failure::Other(error)) => return Err(error),
                Err(Failure::Read(failure)) => self.reread(spec, &location, failure, attempt)?,
            }
        }
        Ok(None)
    }

    /// Returns the next chunk: raw JSON text of a part of the string, without quotes, cut between characters. Empty at
    /// the end.
    pub fn next_chunk(&self, reader: &mut ContentReader) -> Result<Vec<u8>> {
        let mut chunk = vec![0; CHUNK.min((reader.end - reader.position) as usize)];
        read_exact_at(&*reader.file, &mut chunk, reader.position)
            .map_err(|error| self.read_error(&reader.spec, &reader.location, error.into()))?;
        if reader.position + (chunk.len() as u64) < reader.end {
            chunk.truncate(cut(&chunk));
        }
        reader.position += chunk.len() as u64;
        Ok(chunk)
    }
}

enum Failure {
    Read(ReadFailure),
    Other(Error),
}

fn open(
    spec: &Arc<CollectionSpec>,
    file: Arc<dyn File>,
    location: Location,
) -> std::result::Result<ContentReader, Failure> {
    let read = |buffer: &mut [u8], at: u64| {
        read_exact_at(&*file, buffer, location.offset + at).map_err(|error| Failure::Read(error.into()))
    };
    let (head, len) = (u64::from(location.head), u64::from(location.len));
    let mut text = vec![0; location.head as usize];
    read(&mut text, 0)?;
    let mut hasher = DocumentHasher::default();
    hasher.update_head(&text);
    let mut beginning = Vec::new();
    let mut at = head;
    while at < len {
        cancel::check().map_err(Failure::Other)?;
        text.resize(CHUNK.min((len - at) as usize), 0);
        read(&mut text, at)?;
        hasher.update_rest(&text);
        if at == head {
            beginning = text[..text.len().min(256)].to_vec();
        }
        at += text.len() as u64;
    }
    if hasher.finish() != location.hash {
        return Err(Failure::Read(ReadFailure::Changed));
    }
    // After the head come a comma, the name, a colon and the value; or nothing but the closing brace.
    let name = spec.large_field.unwrap_or_default().len() as u64 + 3;
    let first = head + name + u64::from(beginning.first() == Some(&b','));
    let (start, end) = match beginning.get((first - head) as usize) {
        Some(b'"') if len >= first + 3 => (first + 1, len - 2),
        None => (len, len),
        Some(_) => {
            let problem = format!("the field {:?} is not a string", spec.large_field.unwrap_or_default());
            return Err(Failure::Other(Error::InvalidArgument(problem)));
        }
    };
    let (start, end) = (location.offset + start, location.offset + end);
    Ok(ContentReader { spec: Arc::clone(spec), file, location, start, end, position: start })
}

impl ContentReader {
    /// Returns how many bytes of JSON text have not been read yet.
    pub fn remaining(&self) -> u64 {
        self.end - self.position.max(self.start)
    }
}

/// Returns where a part of a JSON string may be cut: not within an escape, nor between two escapes that make one
/// character, nor within a character. The part must be longer than any of these.
fn cut(part: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &part[at..]) {
        let escape = at + found;
        let length = if part.get(escape + 1) == Some(&b'u') { 6 } else { 2 };
        let high = matches!(
            part.get(escape + 2..escape + 4),
            Some([b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B'])
        );
        let needed = if length == 6 && high { LONGEST_UNIT } else { length };
        if escape + needed > part.len() {
            return escape;
        }
        at = escape + length;
    }
    let lead = part.iter().rposition(|byte| byte & 0xc0 != 0x80).unwrap_or_default();
    let width = match part.get(lead) {
        Some(0xf0..) => 4,
        Some(0xe0..) => 3,
        Some(0xc0..) => 2,
        _ => 1,
    };
    if lead + width > part.len() { lead } else { part.len() }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_chunk_ends_between_characters_and_escapes() {
        for (part, expected) in [
            (&b"plain text"[..], 10),
            (br"text \", 5),
            (br"text \u00e", 5),
            (br"text \ud83d", 5),
            (br"text \ud83d\ude0", 5),
            (br"text \ud83d\ude00", 17),
            (br"text \ud83dxxxxxx", 17),
            (br"text \n", 7),
            ("text é".as_bytes().split_last().map_or(&[][..], |(_, rest)| rest), 5),
            ("text 😀".as_bytes().split_at(8).0, 5),
            ("text 😀".as_bytes(), 9),
        ] {
            assert_eq!(cut(part), expected, "{}", String::from_utf8_lossy(part));
        }
    }
}
