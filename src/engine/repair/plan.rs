//! What a repair will write: the content of each collection, from everything that can be relied on.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::Path;

use crate::engine::database::collection_file;
use crate::engine::database::load::is_known;
use crate::engine::database::state::Change;
use crate::engine::database::texts::{Part, ReadFailure, read_text};
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
/// `IO_ERROR`: data that cannot be read at the moment is not given up, and what is in the place of a file is not removed.
pub fn decide(directory: &Path, examined: &Examined, journals: &Journals) -> Result<Content> {
    if matches!(examined.state, FileState::Obstructed) {
        let reason = "it is not a file; move it elsewhere, then repair again";
        let path = collection_file(directory, &examined.path);
        return Err(Error::io("replace", &path, &io::Error::new(io::ErrorKind::AlreadyExists, reason)));
    }
    let evidence = Evidence::of(directory, examined, journals)?;
    evidence.undisturbed().map_or_else(|| evidence.written(), Ok)
}

/// What can be known of a collection.
struct Evidence<'a> {
    /// The directory of the database.
    directory: &'a Path,
    examined: &'a Examined,
    journals: &'a Journals,
    /// The last change of each document in the journals.
    changes: BTreeMap<DocumentId, Change>,
    /// Whether the file is one that this database wrote.
    certain: bool,
    /// Whether an edited or damaged file has a document that is not believed: one that is damaged or has another one's id.
    unbelievable: bool,
    /// Whether the documents are definitions of indexes. These are adopted by the repair, because using them does not adopt
    /// them. Each shows by itself whether it is a definition.
    definitions: bool,
}

impl<'a> Evidence<'a> {
    fn of(directory: &'a Path, examined: &'a Examined, journals: &'a Journals) -> Result<Evidence<'a>> {
        let certain = !matches!(examined.state, FileState::Foreign | FileState::Broken);
        let is_bad =
            |(id, range): (&DocumentId, &Range<usize>)| judge(id, &examined.bytes[range.clone()]).is_some();
        let mut evidence = Evidence {
            directory,
            examined,
            journals,
            changes: changes(journals, &examined.path, 0),
            certain,
            unbelievable: !certain && examined.scanned.iter().any(is_bad),
            definitions: false,
        };
        evidence.definitions = is_definitions(&examined.path) && evidence.has_definition()?;
        Ok(evidence)
    }

    fn has_definition(&self) -> Result<bool> {
        if self.examined.scanned.values().any(|range| is_definition(self.scanned(range))) {
            return Ok(true);
        }
        for location in self.changes.values().filter_map(|change| change.location.as_ref()) {
            if self.text_of(location)?.is_some_and(|text| is_definition(&text)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns what becomes of a file that stays as it is, if it can.
    fn undisturbed(&self) -> Option<Content> {
        let record = self.journals.state.catalog.get(&self.examined.path);
        let recorded = is_known(record);
        // A rename that is not known to be durable may have been lost by a failed sync.
        let is_durable = record.is_none_or(|record| record.snapshots.len() == 1 && !record.absent);
        let damaged = self.examined.problems.iter().any(|problem| {
            matches!(problem.code, ProblemCode::SnapshotDamaged | ProblemCode::DocumentDamaged)
        });
        let is_current = !self.changes.values().any(|change| self.is_newer(change));
        match &self.examined.state {
            FileState::Known(record)
                if is_current && is_durable && record.layout != Layout::Void && !damaged =>
            {
                Some(Content::Kept(record.clone()))
            }
            // Nothing was ever taken from it into the journals: its first use adopts it.
            FileState::Foreign | FileState::Broken
                if self.changes.is_empty() && !recorded && !self.definitions =>
            {
                Some(Content::Left)
            }
            FileState::Foreign if !self.definitions && !self.unbelievable && is_current => {
                Some(Content::Left)
            }
            _ => None,
        }
    }

    /// Returns what is written: the documents of the file and of the journals that can be relied on.
    fn written(&self) -> Result<Content> {
        let mut documents = BTreeMap::new();
        let mut lost = BTreeSet::new();
        for (id, range) in &self.examined.scanned {
            let text = self.scanned(range);
            if self.is_fine(text) && (self.certain || judge(id, text).is_none()) {
                documents.insert(id.clone(), json::compact(text).into_owned());
            } else {
                lost.insert(id.clone());
            }
        }
        // If a part of a file is gone, the journals help even with documents that the file should have.
        let gone = self.unbelievable || matches!(self.examined.state, FileState::Broken);
        for (id, change) in &self.changes {
            let missed = !documents.contains_key(id) && (gone || (self.definitions && lost.contains(id)));
            if !self.is_newer(change) && !missed {
                continue;
            }
            let Some(location) = &change.location else {
                documents.remove(id);
                continue;
            };
            match self.text_of(location)? {
                Some(text) => {
                    // An older text may differ from the one that was lost.
                    if self.is_newer(change) || self.definitions {
                        lost.remove(id);
                    }
                    documents.insert(id.clone(), text);
                }
                None => drop(lost.insert(id.clone())),
            }
        }
        let certain = self.certain || self.definitions;
        Ok(Content::Written { documents, certain, lost: lost.into_iter().collect() })
    }

    /// Whether a change came after the state that the file holds.
    fn is_newer(&self, change: &Change) -> bool {
        self.examined.is_newer(self.journals, change)
    }

    /// Returns the text of a document of the file.
    fn scanned(&self, range: &Range<usize>) -> &'a [u8] {
        &self.examined.bytes[range.clone()]
    }

    fn is_fine(&self, text: &[u8]) -> bool {
        json::check(text).is_ok() && (self.certain || !self.definitions || is_definition(text))
    }

    /// Returns a text of the journals; `None` if it is damaged.
    fn text_of(&self, location: &Location) -> Result<Option<Vec<u8>>> {
        match read_text(&self.journals.state.files, location, Part::Whole) {
            Ok(text) => Ok(Some(text)),
            Err(ReadFailure::Changed) => Ok(None),
            Err(ReadFailure::Io(error)) => Err(Error::io("read a journal of", self.directory, &error)),
        }
    }
}

/// Returns the paths, relative to the database, that are changed or removed when these collections are written.
pub fn touched(written: &[&String], journals: &Journals) -> BTreeSet<String> {
    let dropped = journals.state.catalog.iter().filter(|(_, record)| record.dropped.is_some());
    let removed = journals.removals.iter().map(|(path, _)| path.to_owned());
    written
        .iter()
        .map(|path| path.to_string())
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
