//! What callers do with the files of one project, except for version chains.

use std::borrow::Cow;
use std::sync::Arc;

use super::bulk::{all_valid, found};
use super::chain::chain_of;
use super::collections::{self, FILES_BY_EXTENSION, FILES_BY_PATH, extension_key};
use super::files::{create_file, update_file, written_file};
use super::layout::{content_of, head_of};
use super::project_store;
use super::versions;
use crate::engine::document::{Document, DocumentId, Given};
use crate::engine::index::IndexKey;
use crate::engine::json;
use crate::engine::parallel;
use crate::engine::{
    CollectionSpec, Database, GivenMap, Moment, Part, PathSegment, Queryable, ReadOptions, Result,
    Transaction, Written, write_difference, write_map,
};

/// The files of one project.
#[derive(Clone)]
pub struct Files {
    pub project_id: u64,
    pub spec: Arc<CollectionSpec>,
}

impl Files {
    pub fn of(project_id: u64) -> Files {
        Files { project_id, spec: collections::files(project_id) }
    }

    /// Returns the document of a canonical text.
    pub fn document(&self, text: Vec<u8>) -> Document {
        Document::new(text.into(), self.spec.large_field)
    }

    /// Creates files in one batch and returns them in the order of the inputs. The paths of issues begin with the position
    /// of the input if `at` is true, and with the field if it is false, for a single file.
    pub fn create(&self, tx: &mut Transaction<'_>, inputs: &[Given<'_>], at: bool) -> Result<Vec<Document>> {
        project_store::require(tx, self.project_id)?;
        let now = tx.now();
        let ids = tx.fresh_ids(&self.spec, inputs.len())?;
        let new: Vec<(u64, Given<'_>)> = ids.into_iter().zip(inputs.iter().copied()).collect();
        let created = parallel::map(&new, inputs.iter().map(|input| input.bytes()).sum(), |&(id, input)| {
            create_file(input, self.project_id, id, now).map(|text| self.document(text))
        });
        let segments = |position| if at { vec![PathSegment::Position(position)] } else { Vec::new() };
        let documents = all_valid("file", created.into_iter(), segments)?;
        let new = new.into_iter().map(|(id, _)| DocumentId::from(id));
        let documents: Vec<(DocumentId, Document)> = new.zip(documents).collect();
        tx.put_documents(&self.spec, &documents)?;
        Ok(documents.into_iter().map(|(_, document)| document).collect())
    }

    /// Changes a file. Returns `None` if there is none with this id.
    pub fn update(&self, tx: &mut Transaction<'_>, id: u64, patch: Given<'_>) -> Result<Option<Document>> {
        let Some(current) = tx.get(&self.spec, &id.into())? else {
            // A bad patch is an error whether or not there is a file to apply it to.
            return update_file(PLACEHOLDER, patch, tx.now()).map(|_| None);
        };
        let document = self.document(update_file(&current.text, patch, tx.now())?);
        tx.put_document(&self.spec, id.into(), document.clone())?;
        Ok(Some(document))
    }

    /// Changes several files in one batch: all of them or, if one is missing or invalid, none.
    pub fn update_many(
        &self,
        tx: &mut Transaction<'_>,
        patches: &[(u64, Given<'_>)],
    ) -> Result<Vec<Document>> {
        let updated = patches.iter().map(|&(id, patch)| found("file", id, self.update(tx, id, patch)));
        let segments = |at| vec![PathSegment::Position(at), PathSegment::Key("data".into())];
        all_valid("file", updated, segments)
    }

    /// Deletes versions of files. Returns how many were there.
    pub fn delete(&self, tx: &mut Transaction<'_>, ids: &[u64]) -> Result<usize> {
        versions::unlink(tx, self, ids)?;
        let mut deleted = 0;
        for &id in ids {
            deleted += usize::from(tx.delete(&self.spec, id.into())?);
        }
        Ok(deleted)
    }

    pub fn delete_all(&self, tx: &mut Transaction<'_>) -> Result<()> {
        for id in tx.ids(&self.spec)? {
            tx.delete(&self.spec, id)?;
        }
        Ok(())
    }

    /// Makes the stored files those of a whole map, with chains as given, and stores only the differences.
    pub fn write_all(&self, tx: &mut Transaction<'_>, map: GivenMap<'_>) -> Result<Written> {
        let rule = |key: &str, given: Given<'_>, current: Option<&[u8]>| self.written(key, given, current);
        let delete = |tx: &mut Transaction<'_>, id: &DocumentId| tx.delete(&self.spec, id.clone()).map(drop);
        write_map(tx, &self.spec, "file map", map, rule, delete)
    }

    /// Like [`Files::write_all`], for a map that differs from the files at the moment `known` only in these records and in
    /// the files that it lacks. Does nothing and returns `None` if the files may have changed since then.
    pub fn write_difference(
        &self,
        tx: &mut Transaction<'_>,
        known: Moment,
        map: GivenMap<'_>,
        gone: &[DocumentId],
    ) -> Result<Option<Written>> {
        if !tx.is_unchanged_since(&self.spec, known)? {
            return Ok(None);
        }
        let rule = |key: &str, given: Given<'_>, current: Option<&[u8]>| self.written(key, given, current);
        let delete = |tx: &mut Transaction<'_>, id: &DocumentId| tx.delete(&self.spec, id.clone()).map(drop);
        write_difference(tx, &self.spec, "file map", map, gone, rule, delete).map(Some)
    }

    /// Returns the stored form of a record of a map, given what is stored now.
    fn written(&self, key: &str, given: Given<'_>, current: Option<&[u8]>) -> Result<Vec<u8>> {
        written_file(key, self.project_id, given, current).map(Cow::into_owned)
    }

    /// Returns the latest version at a path, which is WTF-8. Of several files with the same path, the one created last
    /// counts.
    pub fn at_path(path: &[u8], files: &Queryable<'_>) -> Result<Option<DocumentId>> {
        Ok(files.index(FILES_BY_PATH)?.last(&IndexKey::Text(path.into())))
    }

    /// Returns the latest versions of the files with an extension, given with or without its dot. The caller orders them.
    pub fn with_extension(extension: &[u8], files: &Queryable<'_>) -> Result<Vec<DocumentId>> {
        Ok(files.index(FILES_BY_EXTENSION)?.find(&extension_key(extension)))
    }

    /// Returns the latest versions of all files, ids ascending.
    pub fn list_latest(
        &self,
        database: &Database,
        part: Part,
        options: ReadOptions,
    ) -> Result<Vec<Arc<[u8]>>> {
        database.filter(&self.spec, part, options, |file| chain_of(file).is_latest)
    }

    /// Returns the latest versions that contain the text in their path or content, ignoring case; ids ascending. O(bytes
    /// stored).
    pub fn search(&self, database: &Database, query: &str, options: ReadOptions) -> Result<Vec<Arc<[u8]>>> {
        let query = fold(query);
        let holds = |raw: &[u8]| fold(&json::unescape_lossy(raw)).contains(&query);
        database.filter(&self.spec, Part::Whole, options, |file| {
            chain_of(file).is_latest
                && (json::get(head_of(file), "path").is_some_and(holds)
                    || content_of(file).is_some_and(holds))
        })
    }
}

/// Sorts the texts of files by path, and files with the same path by id.
pub fn sort_by_path(texts: &mut [Arc<[u8]>]) {
    texts.sort_by_cached_key(|text| {
        let path = json::get(head_of(text), "path").map(|raw| json::unescape(raw).into_owned());
        path.unwrap_or_default()
    });
}

/// A file to check patches against.
const PLACEHOLDER: &[u8] = br#"{"id":0,"projectId":0,"name":"-","path":"-","extension":"","size":0,"summary":null,"summaryLastUpdated":null,"meta":"{}","checksum":null,"created":0,"updated":0,"version":1,"prevId":null,"nextId":null,"isLatest":true,"originalFileId":null,"lastSyncedAt":null,"syncVersion":0,"content":""}"#;

/// Returns a text without differences of case. The two small forms of the Greek sigma count as one: which of them stands for
/// the capital depends on what follows, which is different in a query and in the text that contains it.
pub fn fold(text: &str) -> String {
    // Link-time optimisation leaves the ASCII part of `to_lowercase` without vector instructions, and the search takes 1.5
    // times as long.
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower = text.to_lowercase();
    if lower.contains('ς') { lower.replace('ς', "σ") } else { lower }
}
