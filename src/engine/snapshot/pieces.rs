//! Reading a snapshot that the engine wrote, piece by piece, so that neither the file nor any of its documents must fit in
//! memory.

use std::path::Path;

use memchr::memchr;

use super::scan::NOT_A_LINE;
use crate::engine::cancel;
use crate::engine::checksum::{FileHash, FileHasher};
use crate::engine::document::DocumentId;
use crate::engine::error::{IoContext, Result};
use crate::engine::fs::File;
use crate::engine::json::{self, JsonError, Scanner};
use crate::engine::text_measure::{Measured, TextMeasure};

/// The number of bytes read at once.
const PIECE: usize = 1 << 20;
/// Lines up to this length are passed on in one piece.
const SHORT: usize = 1 << 20;

/// Receives the documents of a snapshot, one after another.
pub trait Documents {
    /// Begins a document whose text begins at `offset` in the file.
    fn begin(&mut self, id: DocumentId, offset: u64);
    /// Adds the next piece of the document's text.
    fn piece(&mut self, piece: &[u8]);
    fn end(&mut self);
}

/// Reads a file laid out as [`scan_lines`](super::scan_lines) expects. Returns the hash of the whole file, which tells
/// whether `documents` received what the engine wrote, and an error for the first line that is not laid out so, at which the
/// documents end.
///
/// # Errors
/// `IO_ERROR`, `ABORTED`.
pub fn scan_pieces(
    file: &dyn File,
    path: &Path,
    documents: &mut impl Documents,
) -> Result<(FileHash, Result<(), JsonError>)> {
    let mut hasher = FileHasher::default();
    let mut lines = Lines { documents, line: Vec::new(), start: 0, long: None, stage: Stage::Opening };
    let mut laid_out = Ok(());
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    loop {
        cancel::check()?;
        let read = file.read_at(&mut buffer, at).at("read", path)?;
        let piece = &buffer[..read];
        hasher.update(piece);
        if laid_out.is_ok() {
            laid_out = lines.push(piece, at);
        }
        at += read as u64;
        if read < buffer.len() {
            return Ok((hasher.finish(), laid_out.and_then(|()| lines.finish(at))));
        }
    }
}

/// What counts as the head of each document.
#[derive(Clone, Copy)]
pub enum Heads<'f> {
    /// The text before the collection's large field, if it has one.
    Before(Option<&'f str>),
    /// Nothing, because the collection is not known.
    None,
}

/// Like [`scan_pieces`], but measures each document: `visit` receives its id, the offset of its text, and the measurements.
pub fn measure_pieces(
    file: &dyn File,
    path: &Path,
    heads: Heads<'_>,
    visit: impl FnMut(DocumentId, u64, Measured),
) -> Result<(FileHash, Result<(), JsonError>)> {
    scan_pieces(file, path, &mut Measuring { heads, current: None, visit })
}

struct Measuring<'f, V> {
    heads: Heads<'f>,
    current: Option<(DocumentId, u64, TextMeasure<'f>)>,
    visit: V,
}

impl<V: FnMut(DocumentId, u64, Measured)> Documents for Measuring<'_, V> {
    fn begin(&mut self, id: DocumentId, offset: u64) {
        let measure = match self.heads {
            Heads::Before(field) => TextMeasure::new(field),
            Heads::None => TextMeasure::headless(),
        };
        self.current = Some((id, offset, measure));
    }

    fn piece(&mut self, piece: &[u8]) {
        if let Some((_, _, measure)) = &mut self.current {
            measure.update(piece);
        }
    }

    fn end(&mut self) {
        if let Some((id, offset, measure)) = self.current.take() {
            (self.visit)(id, offset, measure.finish());
        }
    }
}

#[derive(PartialEq)]
enum Stage {
    /// The opening brace, or the empty map.
    Opening,
    Documents,
    /// Nothing may follow.
    Closed,
}

struct Lines<'d, D> {
    documents: &'d mut D,
    /// The line so far, unless it is a long one.
    line: Vec<u8>,
    /// The offset at which the line begins.
    start: u64,
    /// The last byte so far of a long line. If it is a comma at the end of the line, it is not part of the text.
    long: Option<u8>,
    stage: Stage,
}

impl<D: Documents> Lines<'_, D> {
    fn push(&mut self, mut piece: &[u8], mut at: u64) -> Result<(), JsonError> {
        while let Some(end) = memchr(b'\n', piece) {
            self.extend(&piece[..end])?;
            self.end_line()?;
            piece = &piece[end + 1..];
            at += end as u64 + 1;
            self.start = at;
        }
        self.extend(piece)
    }

    fn finish(&self, end: u64) -> Result<(), JsonError> {
        let nothing_left = self.stage == Stage::Closed && self.line.is_empty();
        if nothing_left { Ok(()) } else { Err(JsonError { offset: end as usize, problem: NOT_A_LINE }) }
    }

    fn fail<T>(&self) -> Result<T, JsonError> {
        Err(JsonError { offset: self.start as usize, problem: NOT_A_LINE })
    }

    fn extend(&mut self, part: &[u8]) -> Result<(), JsonError> {
        if self.long.is_some() {
            self.pass_on(part);
            return Ok(());
        }
        self.line.extend_from_slice(part);
        if self.line.len() <= SHORT {
            return Ok(());
        }
        let Some((id, text)) = self.key() else { return self.fail() };
        self.documents.begin(id, self.start + text as u64);
        let line = std::mem::take(&mut self.line);
        self.pass_on(&line[text..]);
        Ok(())
    }

    /// Returns the id of the document in the line, and where its text begins.
    fn key(&self) -> Option<(DocumentId, usize)> {
        let key = Scanner::new(&self.line).string().ok()?;
        let is_member = self.stage == Stage::Documents && self.line.get(key.end) == Some(&b':');
        let text = key.end + 1;
        is_member.then(|| (DocumentId::from_key(&json::unescape_lossy(&self.line[key])), text))
    }

    fn pass_on(&mut self, part: &[u8]) {
        let Some((&last, before)) = part.split_last() else { return };
        if let Some(held) = self.long.replace(last) {
            self.documents.piece(&[held]);
        }
        self.documents.piece(before);
    }

    fn end_line(&mut self) -> Result<(), JsonError> {
        if let Some(last) = self.long.take() {
            if last != b',' {
                self.documents.piece(&[last]);
            }
            self.documents.end();
            return Ok(());
        }
        match (&self.stage, self.line.as_slice()) {
            (Stage::Opening, b"{") => self.stage = Stage::Documents,
            (Stage::Opening, b"{}") | (Stage::Documents, b"}") => self.stage = Stage::Closed,
            (Stage::Documents, line) => {
                let end = line.len() - usize::from(line.ends_with(b","));
                let Some((id, text)) = self.key().filter(|(_, text)| *text < end) else { return self.fail() };
                self.documents.begin(id, self.start + text as u64);
                self.documents.piece(&self.line[text..end]);
                self.documents.end();
            }
            _ => return self.fail(),
        }
        self.line.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fs::MemoryFile;
    use crate::engine::snapshot::scan_lines;

    /// An id, and where its text begins and ends.
    type Place = (DocumentId, u64, u64);

    #[derive(Default)]
    struct Places {
        found: Vec<Place>,
    }

    impl Documents for Places {
        fn begin(&mut self, id: DocumentId, offset: u64) {
            self.found.push((id, offset, offset));
        }

        fn piece(&mut self, piece: &[u8]) {
            if let Some(last) = self.found.last_mut() {
                last.2 += piece.len() as u64;
            }
        }

        fn end(&mut self) {}
    }

    fn places(bytes: &[u8]) -> (FileHash, Result<Vec<Place>, JsonError>) {
        let mut places = Places::default();
        let file = MemoryFile::new(bytes.to_vec());
        let (hash, laid_out) =
            scan_pieces(&file, Path::new("a file"), &mut places).expect("memory can be read");
        (hash, laid_out.map(|()| places.found))
    }

    #[test]
    fn reading_in_pieces_agrees_with_scanning_the_whole_file() {
        let long = "x".repeat(3 * PIECE + 17);
        let exact = "y".repeat(SHORT - 20);
        let files = [
            "{}\n".to_owned(),
            "{\n\"1\":{\"a\":1},\n\"b\\n\":{}\n}\n".to_owned(),
            format!("{{\n\"1\":{{\"a\":\"{long}\"}},\n\"2\":{{\"a\":\"{exact}\"}},\n\"3\":{{}}\n}}\n"),
            format!("{{\n\"1\":{{}},\n\"2\":{{\"a\":\"{long}\"}}\n}}\n"),
        ];
        for bytes in files {
            let (hash, found) = places(bytes.as_bytes());
            let expected = scan_lines(bytes.as_bytes()).expect("the layout of the engine");
            let expected: Vec<_> = expected
                .into_iter()
                .map(|found| (found.id, found.text.start as u64, found.text.end as u64))
                .collect();
            assert_eq!((hash, found), (FileHash::of(bytes.as_bytes()), Ok(expected)));
        }
    }

    #[test]
    fn a_file_not_laid_out_in_lines_is_refused_but_still_hashed() {
        let long = format!("{{\n{}\n}}\n", "x".repeat(2 * PIECE));
        for bytes in [
            "",
            "{",
            "{}",
            "{\n",
            "{\n}",
            "{\n\"1\":\n}\n",
            "{\n\"1\":{}\n}\nx",
            "{\n1:{}\n}\n",
            "{\n\"1\" {}\n}\n",
            &long,
        ] {
            let (hash, found) = places(bytes.as_bytes());
            assert_eq!(hash, FileHash::of(bytes.as_bytes()));
            assert!(found.is_err(), "{bytes:.20}");
        }
    }
}
