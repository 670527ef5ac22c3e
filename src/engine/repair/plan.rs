//! What a repair will write: the content of each collection, from everything that can be relied on.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use crate::engine::database::load::is_known;
use crate::engine::database::state::Change;
use crate::engine::database::texts::read_whole;
use crate::engine::document::DocumentId;
use crate::engine::document_map::Location;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{FileKind, Fs};
use crate::engine::index_set::{is_definition, is_definitions};
use crate::engine::journal::{Layout, SnapshotRecord};
use crate::engine::json;
use crate::engine::verify::{Examined, FileState, Journals, ProblemCode, changes, judge};

/// What becomes of one collection.
pub enum Content {
    /// Its file stays as it is.
    Kept(SnapshotRecord),
    /// Its file stays as it is, to be adopted when it is used.
    Left,
    /// Its file is written anew.
    Written {
        documents: BTreeMap<DocumentId, Vec<u8>>,
        /// Whether every document is known to be as it was stored. Otherwise the file is left out of the catalog, so that it
        /// is adopted when it is used: the rules of its collection then check each document.
        certain: bool,
        /// Documents that could not be read.
        lost: Vec<DocumentId>,
    },
}

/// Decides what becomes of a collection.
///
/// # Errors
/// `IO_ERROR`: data that cannot be read at the moment is not given up.
pub fn decide(directory: &Path, examined: &Examined, journals: &Journals) -> Result<Content> {
    let recorded = is_known(journals.state.catalog.get(&examined.path));
    let all = changes(journals, &examined.path, 0);
    let newer = |change: &Change| examined.is_newer(journals, change);
    let damaged = examined
        .problems
        .iter()
        .any(|problem| matches!(problem.code, ProblemCode::SnapshotDamaged | ProblemCode::DocumentDamaged));
    let certain = !matches!(examined.state, FileState::Foreign | FileState::Broken);
    let is_bad = |(id, range): (&DocumentId, &std::ops::Range<usize>)| {
        judge(id, &examined.bytes[range.clone()]).is_some()
    };
    let text_of = |location: &Location| match read_whole(&journals.state.files, location) {
        Err(error) if error.kind() != io::ErrorKind::InvalidData => {
            Err(Error::io("read a journal of", directory, &error))
        }
        text => Ok(text.ok()),
    };
    // Definitions of indexes are adopted here, because using them does not adopt them. Each shows by itself whether it is a
    // definition.
    let mut definitions = is_definitions(&examined.path)
        && examined.scanned.values().any(|range| is_definition(&examined.bytes[range.clone()]));
    if is_definitions(&examined.path) && !definitions {
        for location in all.values().filter_map(|change| change.location.as_ref()) {
            definitions |= text_of(location)?.is_some_and(|text| is_definition(&text));
        }
    }
    let is_fine = |text: &[u8]| json::check(text).is_ok() && (certain || !definitions || is_definition(text));
    // In an edited or damaged file, a document that is damaged or has another one's id is not believed.
    let unbelievable = !certain && examined.scanned.iter().any(is_bad);
    match &examined.state {
        FileState::Known(record) if !all.values().any(newer) && record.layout != Layout::Void && !damaged => {
            return Ok(Content::Kept(record.clone()));
        }
        // Nothing was ever taken from it into the journals: its first use adopts it.
        FileState::Foreign | FileState::Broken if all.is_empty() && !recorded && !definitions => {
            return Ok(Content::Left);
        }
        FileState::Foreign if !definitions && !unbelievable && all.values().all(|change| !newer(change)) => {
            return Ok(Content::Left);
        }
        _ => {}
    }
    let mut documents = BTreeMap::new();
    let mut lost = BTreeSet::new();
    for (id, range) in &examined.scanned {
        let text = &examined.bytes[range.clone()];
        if is_fine(text) && (certain || !is_bad((id, range))) {
            documents.insert(id.clone(), json::compact(text).into_owned());
        } else {
            lost.insert(id.clone());
        }
    }
    // If a part of a file is gone, the journals help even with documents that the file should have.
    let gone = unbelievable || matches!(examined.state, FileState::Broken);
    for (id, change) in &all {
        let missed = !documents.contains_key(id) && (gone || (definitions && lost.contains(id)));
        if !newer(change) && !missed {
            continue;
        }
        let Some(location) = &change.location else {
            documents.remove(id);
            continue;
        };
        match text_of(location)? {
            Some(text) => {
                // An older text may differ from the one that was lost.
                if newer(change) || definitions {
                    lost.remove(id);
                }
                documents.insert(id.clone(), text);
            }
            None => drop(lost.insert(id.clone())),
        }
    }
    Ok(Content::Written { documents, certain: certain || definitions, lost: lost.into_iter().collect() })
}

/// Returns the paths, relative to the database, that are changed or removed when the collections get these contents.
pub fn touched<'a>(
    contents: impl Iterator<Item = (&'a str, &'a Content)>,
    journals: &Journals,
) -> BTreeSet<String> {
    let written = contents.filter(|(_, content)| matches!(content, Content::Written { .. }));
    let dropped = journals.state.catalog.iter().filter(|(_, record)| record.dropped.is_some());
    let removed = journals.removals.iter().map(|(_, path)| path.clone());
    written
        .map(|(path, _)| path.to_owned())
        .chain(dropped.map(|(path, _)| path.clone()))
        .chain(removed)
        .collect()
}

/// Returns the size of a file, or of a directory with everything in it.
pub fn size_of(fs: &dyn Fs, path: &Path) -> Result<u64> {
    Ok(match fs.symlink_metadata(path).at("look up", path)? {
        Some(metadata) if metadata.kind == FileKind::File => metadata.len,
        Some(metadata) if metadata.kind == FileKind::Directory => {
            let names = fs.list_dir(path).at("list", path)?;
            names.iter().try_fold(0, |sum, name| Ok(sum + size_of(fs, &path.join(name))?))?
        }
        _ => 0,
    })
}
