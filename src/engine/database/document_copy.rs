//! Copying documents into a snapshot, long ones piece by piece.

use std::io;

use super::index_checkpoint::Draft;
use super::state::FileTable;
use super::texts::{PIECE, pieces_of, read_whole};
use crate::engine::document::DocumentId;
use crate::engine::document_map::Location;
use crate::engine::json::{self, Compactor};
use crate::engine::snapshot::SnapshotWriter;
use crate::engine::text_measure::TextMeasure;

/// Appends a document to a snapshot, and to what its index checkpoint will hold. Returns where its text begins there.
pub fn copy_document(
    writer: &mut SnapshotWriter,
    files: &FileTable,
    id: &DocumentId,
    location: &Location,
    draft: Option<&mut Draft>,
) -> io::Result<u64> {
    // The documents of an adopted file may be spread over lines.
    if location.len as usize <= PIECE {
        let text = read_whole(files, location)?;
        let line = json::compact(&text);
        let offset = writer.push(id, &line)?;
        if let Some(draft) = draft {
            draft.push(id, offset, &line);
        }
        return Ok(offset);
    }
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
