//! Copying documents into a snapshot, long ones piece by piece.

use std::path::Path;
use std::{io, iter};

use super::file_table::FileTable;
use super::index_checkpoint::Draft;
use super::texts::{PIECE, Part, ReadFailure, read_pieces, read_run};
use crate::engine::document::DocumentId;
use crate::engine::document_map::{DocumentMap, Entry, Location};
use crate::engine::error::Error;
use crate::engine::json::{self, Compactor};
use crate::engine::snapshot::SnapshotWriter;
use crate::engine::text_measure::TextMeasure;

pub enum CopyFailure {
    Read(Location, ReadFailure),
    Write(io::Error),
}

impl From<io::Error> for CopyFailure {
    fn from(error: io::Error) -> CopyFailure {
        CopyFailure::Write(error)
    }
}

impl CopyFailure {
    /// Returns the error for a failure to copy documents of `collection` to a file.
    pub fn error(self, files: &FileTable, collection: &Path, to: &Path) -> Error {
        match self {
            CopyFailure::Read(location, failure) => failure.error(files, &location, collection),
            CopyFailure::Write(error) => Error::io("copy documents to", to, &error),
        }
    }
}

/// Appends documents to a snapshot and to the draft of its index checkpoint. Returns the offsets of their texts in the
/// snapshot.
pub fn copy_documents(
    writer: &mut SnapshotWriter,
    files: &FileTable,
    documents: &DocumentMap,
    mut draft: Option<&mut Draft>,
) -> Result<Vec<u64>, CopyFailure> {
    let is_long = |(_, location): &Entry| location.len as usize > PIECE;
    let mut offsets = Vec::with_capacity(documents.len());
    let mut entries = documents.iter().peekable();
    while entries.peek().is_some() {
        let short = iter::from_fn(|| entries.next_if(|entry| !is_long(entry)));
        copy_short(writer, files, short, draft.as_deref_mut(), &mut offsets)?;
        if let Some((id, location)) = entries.next() {
            offsets.push(copy_long(writer, files, id, location, draft.as_deref_mut())?);
        }
    }
    Ok(offsets)
}

fn copy_short<'a>(
    writer: &mut SnapshotWriter,
    files: &FileTable,
    entries: impl Iterator<Item = &'a Entry>,
    mut draft: Option<&mut Draft>,
    offsets: &mut Vec<u64>,
) -> Result<(), CopyFailure> {
    let mut pushed = Ok(());
    let read = read_run(files, entries, Part::Whole, |(id, _), text| {
        if pushed.is_err() {
            return;
        }
        // The documents of an adopted file may be spread over lines.
        let line = json::compact(text);
        pushed = writer.push(id, &line).map(|offset| {
            offsets.push(offset);
            if let Some(draft) = &mut draft {
                draft.push(id, offset, &line);
            }
        });
    });
    pushed?;
    read.map_err(|(location, failure)| CopyFailure::Read(location, failure))
}

fn copy_long(
    writer: &mut SnapshotWriter,
    files: &FileTable,
    id: &DocumentId,
    location: &Location,
    draft: Option<&mut Draft>,
) -> Result<u64, CopyFailure> {
    let offset = writer.begin(id);
    let mut compactor = Compactor::default();
    let mut line = Vec::with_capacity(PIECE);
    let spec = draft.as_ref().map(|draft| draft.spec().clone());
    let mut measure = spec.as_ref().map(|spec| TextMeasure::new(spec.large_field));
    let mut written = Ok(());
    let read = read_pieces(files, location, |piece| {
        line.clear();
        compactor.push(piece, &mut line);
        if let Some(measure) = &mut measure {
            measure.update(&line);
        }
        written = writer.append(&line);
        if written.is_ok() { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
    });
    written?;
    read.map_err(|failure| CopyFailure::Read(*location, failure))?;
    if let (Some(draft), Some(measure)) = (draft, measure) {
        draft.push_measured(id, offset, measure.finish());
    }
    Ok(offset)
}
