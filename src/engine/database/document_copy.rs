//! Copying documents into a snapshot: neighbours together, long ones piece by piece.

use std::io;
use std::iter;

use super::index_checkpoint::Draft;
use super::state::FileTable;
use super::texts::{PIECE, Part, pieces_of, read_run};
use crate::engine::document::DocumentId;
use crate::engine::document_map::{DocumentMap, Entry, Location};
use crate::engine::json::{self, Compactor};
use crate::engine::snapshot::SnapshotWriter;
use crate::engine::text_measure::TextMeasure;

/// Appends documents to a snapshot, and to what its index checkpoint will hold. Returns where the text of each begins there.
pub fn copy_documents(
    writer: &mut SnapshotWriter,
    files: &FileTable,
    documents: &DocumentMap,
    mut draft: Option<&mut Draft>,
) -> io::Result<Vec<u64>> {
    let mut offsets = Vec::with_capacity(documents.len());
    let mut entries = documents.iter().peekable();
    let is_long = |(_, location): &Entry| location.len as usize > PIECE;
    while entries.peek().is_some() {
        if let Some((id, location)) = entries.next_if(|entry| is_long(entry)) {
            offsets.push(copy_long(writer, files, id, location, draft.as_deref_mut())?);
            continue;
        }
        let mut pushed = Ok(());
        let short = iter::from_fn(|| entries.next_if(|entry| !is_long(entry)));
        let read = read_run(files, short, Part::Whole, |(id, _), text| {
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
        read.map_err(|(_, failure)| io::Error::from(failure))?;
    }
    Ok(offsets)
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
