//! Document texts on disk: reading and checking them.

use std::fmt;
use std::io;
use std::path::Path;

use super::file_table::FileTable;
use crate::engine::cancel;
use crate::engine::checksum::{DocumentHasher, document_hash, head_hash};
use crate::engine::document::close_head;
use crate::engine::document_map::{Entry, Location};
use crate::engine::error::Error;
use crate::engine::fs::read_exact_at;
use crate::engine::parallel;

/// Long texts are read and copied in pieces of this size.
pub const PIECE: usize = 1 << 20;

/// Neighbouring documents are read together up to this size.
const RUN_BYTES: u64 = 1 << 20;

/// How much of each document is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// Everything but the large field, which is not even read.
    Head,
}

pub enum ReadFailure {
    /// The bytes are not those that were written: somebody edited the file, or it is damaged.
    Changed,
    Io(io::Error),
}

impl ReadFailure {
    /// Returns the error that a caller gets. If the file is not known, it names the one of the `collection`.
    pub fn error(self, files: &FileTable, location: &Location, collection: &Path) -> Error {
        let path = files.path(location.file).unwrap_or(collection);
        match self {
            ReadFailure::Changed => Error::corrupt(
                path,
                location.offset,
                "a document is not what was written; undo the edit, or restore the file from a backup",
            ),
            ReadFailure::Io(error) => Error::io("read", path, &error),
        }
    }
}

impl From<io::Error> for ReadFailure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            ReadFailure::Changed
        } else {
            ReadFailure::Io(error)
        }
    }
}

impl fmt::Display for ReadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadFailure::Changed => f.write_str("a document is not what was written"),
            ReadFailure::Io(error) => error.fmt(f),
        }
    }
}

pub fn part_len(location: &Location, part: Part) -> u64 {
    u64::from(match part {
        Part::Whole => location.len,
        Part::Head => location.head,
    })
}

pub fn is_intact(text: &[u8], location: &Location, part: Part) -> bool {
    match part {
        Part::Whole => document_hash(text, location.head as usize) == location.hash,
        Part::Head => head_hash(text) == (location.hash >> 32) as u32,
    }
}

pub fn finish_part(text: Vec<u8>, part: Part) -> Vec<u8> {
    match part {
        Part::Whole => text,
        Part::Head => close_head(&text),
    }
}

/// Returns the length of what [`finish_part`] returns.
pub fn finished_len(location: &Location, part: Part) -> usize {
    part_len(location, part) as usize + usize::from(part == Part::Head)
}

pub fn read_text(
    files: &FileTable,
    location: &Location,
    part: Part,
) -> std::result::Result<Vec<u8>, ReadFailure> {
    let file = files.open(location.file)?;
    let mut text = vec![0; part_len(location, part) as usize];
    read_exact_at(&*file, &mut text, location.offset)?;
    if is_intact(&text, location, part) { Ok(finish_part(text, part)) } else { Err(ReadFailure::Changed) }
}

/// Reads the text of a document piece by piece. The pieces are certain to be those of the document only if this returns
/// without an error.
pub fn read_pieces(
    files: &FileTable,
    location: &Location,
    mut visit: impl FnMut(&[u8]) -> io::Result<()>,
) -> std::result::Result<(), ReadFailure> {
    let file = files.open(location.file)?;
    let (head, len) = (location.head as usize, location.len as usize);
    let mut hasher = DocumentHasher::default();
    let mut buffer = vec![0; PIECE.min(len)];
    let mut at = 0;
    while at < len {
        let end = if at < head { head } else { len };
        let piece = &mut buffer[..PIECE.min(end - at)];
        read_exact_at(&*file, piece, location.offset + at as u64)?;
        if at < head {
            hasher.update_head(piece);
        } else {
            hasher.update_rest(piece);
        }
        visit(piece).map_err(ReadFailure::Io)?;
        at += piece.len();
    }
    if hasher.finish() == location.hash { Ok(()) } else { Err(ReadFailure::Changed) }
}

/// Reads documents one after another, neighbours in a file with one call.
pub fn read_run<'a>(
    files: &FileTable,
    entries: impl Iterator<Item = &'a Entry>,
    part: Part,
    mut visit: impl FnMut(&Entry, &[u8]),
) -> std::result::Result<(), (Location, ReadFailure)> {
    let mut entries = entries.peekable();
    let mut buffer = Vec::new();
    let mut run = Vec::new();
    while let Some(first) = entries.next() {
        let start = first.1.offset;
        run.clear();
        run.push(first);
        let mut end = start + part_len(&first.1, part);
        while part == Part::Whole
            && let Some(next) = entries.peek()
            && next.1.file == first.1.file
            && next.1.offset >= end
            && next.1.offset - end <= 64
            && next.1.offset + u64::from(next.1.len) - start <= RUN_BYTES
        {
            end = next.1.offset + u64::from(next.1.len);
            run.extend(entries.next());
        }
        buffer.resize((end - start) as usize, 0);
        let read = files.open(first.1.file).and_then(|file| read_exact_at(&*file, &mut buffer, start));
        read.map_err(|error| (first.1, error.into()))?;
        for entry in &run {
            let (_, location) = entry;
            let at = (location.offset - start) as usize;
            let text = &buffer[at..at + part_len(location, part) as usize];
            if !is_intact(text, location, part) {
                return Err((*location, ReadFailure::Changed));
            }
            match part {
                Part::Whole => visit(entry, text),
                Part::Head => {
                    // Each head is read as a run of its own.
                    buffer.push(b'}');
                    visit(entry, &buffer);
                }
            }
        }
    }
    Ok(())
}

/// Reads documents, sharing the work among threads if there is much of it. Each share begins with what `begin` returns
/// and adds to it, in order. It goes to `hand_over` after the shares before it, while others are still being read.
///
/// # Errors
/// `ABORTED`. A failure to read is in the value.
pub fn read_shares<'a, T: Send>(
    files: &FileTable,
    entries: impl Iterator<Item = &'a Entry>,
    part: Part,
    begin: impl Fn() -> T + Sync,
    add: impl Fn(&mut T, &Entry, &[u8]) + Sync,
    hand_over: impl FnMut(T) + Send,
) -> Result<std::result::Result<(), (Location, ReadFailure)>, Error> {
    let entries: Vec<&Entry> = entries.collect();
    let bytes: u64 = entries.iter().map(|(_, location)| part_len(location, part)).sum();
    let read = |share: &&[&Entry]| {
        cancel::check().map_err(Err)?;
        let mut made = begin();
        let read = read_run(files, share.iter().copied(), part, |entry, text| add(&mut made, entry, text));
        read.map(|()| made).map_err(Ok)
    };
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let shares = parallel::shares(&entries, |(_, location)| part_len(location, part) as usize);
    match parallel::in_order(&shares, bytes, read, hand_over) {
        Ok(()) => Ok(Ok(())),
        Err(Ok(failure)) => Ok(Err(failure)),
        Err(Err(error)) => Err(error),
    }
}

/// Like [`read_run`], for a caller who may give up.
///
/// # Errors
/// `ABORTED`. A failure to read is in the value.
pub fn read_steps<'a>(
    files: &FileTable,
    entries: impl Iterator<Item = &'a Entry>,
    part: Part,
    mut visit: impl FnMut(&Entry, &[u8]),
) -> Result<std::result::Result<(), (Location, ReadFailure)>, Error> {
    let mut entries = entries.peekable();
    while entries.peek().is_some() {
        cancel::check()?;
        if let Err(failure) = read_run(files, entries.by_ref().take(cancel::STEP), part, &mut visit) {
            return Ok(Err(failure));
        }
    }
    Ok(Ok(()))
}
