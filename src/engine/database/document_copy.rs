//! Copying documents into a snapshot, long ones piece by piece.

use std::{io, iter};

use super::index_checkpoint::Draft;
use super::state::FileTable;
use super::texts::{PIECE, Part, pieces_of, read_run};
use crate::engine::document::DocumentId;
use crate::engine::document_map::{DocumentMap, Entry, Location};
use crate::engine::json::{self, Compactor};
use crate::engine::snapshot::SnapshotWriter;
use crate::engine::text_measure::TextMeasure;

/// Appends documents to a snapshot, and to what its index checkpoint will hold. Returns where their texts begin there.
pub fn copy_documents(
    writer: &mut SnapshotWriter,
    files: &FileTable,
    documents: &DocumentMap,
    mut draft: Option<&mut Draft>,
) -> io::Result<Vec<u64>> {
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
) -> io::Result<()> {
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
    read.map_err(|(_, failure)| failure.into())
}

fn copy_long(
    writer: &mut SnapshotWriter,
    files: &FileTable,
    id: &DocumentId,
    location: &Location,
    draft: Option<&mut Draft>,
) -> io::Result<u64> {
    let offset = writer.begin(id);
    let mut compactor = Compactor::default();
    let mut line = Vec::with_capacity(PIECE);
    let spec = draft.as_ref().map(|draft| draft.spec().clone());
    let mut measure = spec.as_ref().map(|spec| TextMeasure::new(spec.large_field));
    pieces_of(files, location, |piece| {
        line.clear();
        compactor.push(piece, &mut line);
        if let Some(measure) = &mut measure {
            measure.update(&line);
        }
        writer.append(&line)
    })?;
    if let (Some(draft), Some(measure)) = (draft, measure) {
        draft.push_measured(id, offset, measure.finish());
    }
    Ok(offset)
}
