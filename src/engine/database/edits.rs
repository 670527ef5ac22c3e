//! What others did to the files of collections that a checkpoint or a copy is about to write: they edited, damaged or
//! removed them.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::sync::Arc;

use super::freeze::Frozen;
use super::load::WAYS_OUT;
use super::recovery::FRESH;
use super::state::Content;
use super::writer::Writer;
use super::{CollectionSpec, Database, WarningCode, collection_file};
use crate::engine::document_map::FileId;
use crate::engine::error::{Error, IoContext, Outcome, Result};
use crate::engine::fs::{File, Metadata};

/// A collection of which something could not be read when its snapshot was to be written.
pub(super) struct Unread {
    pub path: Arc<str>,
    /// Metadata of its file when it was frozen.
    pub seen: Option<Metadata>,
    pub error: Error,
}

impl Database {
    /// Adopts what a person edited, so that it is not overwritten unseen. Returns what is wrong with files that are
    /// damaged or cannot be read. The write lock is held.
    pub(super) fn notice_edits(&self, writer: &mut Writer) -> Result<Vec<Error>> {
        let mut damaged = Vec::new();
        let asked_for: Vec<Arc<CollectionSpec>> = {
            let state = self.state.read();
            let specs = state.collections.values().filter_map(|collection| match &collection.content {
                Content::Loaded(loaded) if !loaded.dirty.is_empty() => Some(Arc::clone(&loaded.spec)),
                // Somebody asked for it earlier, and it was unloaded since, usually because of an edit.
                Content::Unloaded(changes) if !changes.is_empty() && collection.before.is_some() => {
                    collection.spec.clone()
                }
                _ => None,
            });
            specs.collect()
        };
        for spec in asked_for {
            if let Some((id, file)) = self.removed_file(&spec)? {
                self.write_again(&spec, id, file);
                continue;
            }
            let is_loaded = self.state.read().loaded(&spec.path).is_some();
            self.notice_edit(&spec)?;
            match self.load(writer, &spec) {
                // The file waits for its caller to judge it, and the journals are kept until then.
                Err(Error::Unadopted { .. }) => {}
                // A damaged file does not keep the others from their checkpoint. What the journals hold of it is kept.
                Err(error @ Error::Corrupt { .. }) => damaged.push(error),
                // Nor does a file that cannot be read, except at the checkpoint that meets it first: that one fails. A sync
                // that failed is no trouble of the file.
                Err(error @ Error::Io { .. }) if !is_loaded && error.outcome() == Outcome::None => {
                    damaged.push(error);
                }
                other => other?,
            }
        }
        Ok(damaged)
    }

    /// Returns the file of a loaded collection if it was removed and is still open: nothing in it is lost yet.
    pub(super) fn removed_file(&self, spec: &CollectionSpec) -> Result<Option<(FileId, Arc<dyn File>)>> {
        let open = {
            let state = self.state.read();
            let loaded = state.loaded(&spec.path).filter(|loaded| loaded.seen.is_some());
            loaded.and_then(|loaded| loaded.snapshot).and_then(|id| Some((id, state.files.if_open(id)?)))
        };
        let Some(open) = open else { return Ok(None) };
        let path = spec.file(&self.directory);
        Ok(self.fs.metadata(&path).at("look up", &path)?.is_none().then_some(open))
    }

    /// Makes the checkpoint write the file again: only this process still knows everything that was in it.
    fn write_again(&self, spec: &CollectionSpec, id: FileId, file: Arc<dyn File>) {
        let path = spec.file(&self.directory);
        self.warn(
            WarningCode::SnapshotChanged,
            format!("{} was removed outside this package; it is written again", path.display()),
        );
        let mut state = self.state.write();
        state.files_mut().keep_open(id, file);
        if let Content::Loaded(loaded) = &mut state.collection(&spec.path).content {
            loaded.seen = None;
        }
    }

    /// Whether a snapshot could not be written because of what it is made from.
    pub(super) fn is_about_source(&self, error: &Error) -> bool {
        let (Error::Corrupt { path, .. } | Error::Io { path, .. }) = error else { return false };
        let is_fresh = |name: &OsStr| name.as_encoded_bytes().starts_with(FRESH.as_bytes());
        !(path.parent() == Some(&self.reserved("")) && path.file_name().is_some_and(is_fresh))
    }

    /// Leaves collections to the next checkpoint, which looks at their files again. Returns what is wrong with those that
    /// were neither edited nor dropped since they were frozen. The write lock is held.
    pub(super) fn leave_out(&self, _: &mut Writer, unread: Vec<Unread>) -> Result<Vec<Error>> {
        let mut damaged = Vec::new();
        for Unread { path, seen, error } in unread {
            let file = collection_file(&self.directory, &path);
            if self.fs.metadata(&file).at("look up", &file)? == seen && !self.is_dropped(&path) {
                damaged.push(error);
            }
            // What only a file holds that was removed while it was open would be lost.
            if seen.is_some() {
                self.state.write().collection(&path).unload();
            }
        }
        Ok(damaged)
    }

    /// Returns what is wrong with the files of collections that have something to write but that nobody has asked for.
    pub(super) fn unnoticed_damage(&self, frozen: &[Frozen], noticed: &[Error]) -> Result<Vec<Error>> {
        let frozen: HashSet<&str> = frozen.iter().map(|frozen| &*frozen.path).collect();
        let waiting: Vec<Arc<str>> = {
            let state = self.state.read();
            let left = state.changed().filter(|(path, _)| !frozen.contains(&***path));
            left.map(|(path, _)| Arc::clone(path)).collect()
        };
        let mut damaged = Vec::new();
        for path in waiting {
            let file = collection_file(&self.directory, &path);
            let is_noticed = |error: &Error| matches!(error, Error::Corrupt { path, .. } if *path == file);
            if noticed.iter().any(is_noticed) {
                continue;
            }
            let problem = match self.fs.metadata(&file).at("look up", &file)? {
                None => "the file is missing",
                Some(found) if found.len == 0 => "the file is empty",
                // Edited: whoever asks for it adopts it.
                Some(_) => continue,
            };
            damaged.push(Error::corrupt(&file, 0, format!("{problem}; {WAYS_OUT}")));
        }
        Ok(damaged)
    }
}
