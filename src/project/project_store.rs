//! What callers do with projects: functions over a transaction for writes, over the database for reads.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use super::bulk::{all_valid, found};
use super::collections::{self, BY_CREATED, BY_NAME, BY_PATH, BY_UPDATED, BY_WORDS};
use super::projects::{create_project, update_project, written_project};
use crate::engine::document::{DocumentId, Given};
use crate::engine::index::IndexKey;
use crate::engine::{
    CollectionSpec, Error, GivenMap, PathSegment, Queryable, Result, Transaction, Written, write_map,
};

/// Creates a project from what a caller gave, and returns its text.
pub fn create(tx: &mut Transaction<'_>, input: &[u8]) -> Result<Vec<u8>> {
    let spec = collections::projects();
    let id = tx.fresh_id(&spec)?;
    let text = create_project(input, id, tx.now())?;
    tx.put(&spec, id.into(), text.clone())?;
    Ok(text)
}

/// Creates projects in one batch, and returns their texts in the order of the inputs.
pub fn create_many(tx: &mut Transaction<'_>, inputs: &[Given<'_>]) -> Result<Vec<Vec<u8>>> {
    let spec = collections::projects();
    let (ids, now) = (tx.fresh_ids(&spec, inputs.len())?, tx.now());
    let created = inputs.iter().zip(&ids).map(|(input, &id)| create_project(input.text, id, now));
    let texts = all_valid("project", created, |at| vec![PathSegment::Position(at)])?;
    for (id, text) in ids.into_iter().zip(&texts) {
        tx.put(&spec, id.into(), text.clone())?;
    }
    Ok(texts)
}

/// Returns the text of the project with this path or, if there is none, of one created from what a caller gave, and whether
/// it was created. Of several, the one created last counts.
pub fn at_path_or_new(tx: &mut Transaction<'_>, path: &str, input: &[u8]) -> Result<(Vec<u8>, bool)> {
    let spec = collections::projects();
    let there = tx.find(&spec, BY_PATH, &IndexKey::Text(path.as_bytes().into()))?.pop();
    if let Some(id) = there
        && let Some(found) = tx.get(&spec, &id)?
    {
        return Ok((found.text.to_vec(), false));
    }
    Ok((create(tx, input)?, true))
}

/// Changes a project. Returns `None` if there is none with this id.
pub fn update(tx: &mut Transaction<'_>, id: u64, patch: &[u8]) -> Result<Option<Vec<u8>>> {
    let spec = collections::projects();
    let Some(current) = tx.get(&spec, &id.into())? else {
        // A bad patch is an error whether or not there is a project to apply it to.
        return update_project(PLACEHOLDER, patch, tx.now()).map(|_| None);
    };
    let text = update_project(&current.text, patch, tx.now())?;
    tx.put(&spec, id.into(), text.clone())?;
    Ok(Some(text))
}

/// Changes several projects in one batch: all of them or, if one is missing or invalid, none.
pub fn update_many(tx: &mut Transaction<'_>, patches: &[(u64, Given<'_>)]) -> Result<Vec<Vec<u8>>> {
    let updated = patches.iter().map(|&(id, patch)| found("project", id, update(tx, id, patch.text)));
    let segments = |at| vec![PathSegment::Position(at), PathSegment::Key("data".into())];
    all_valid("project", updated, segments)
}

/// A project to check patches against.
const PLACEHOLDER: &[u8] = br#"{"id":0,"name":"-","description":"","path":"-","created":0,"updated":0}"#;

/// Deletes a project and all its files. Returns whether it was there.
pub fn delete(tx: &mut Transaction<'_>, id: u64) -> Result<bool> {
    let there = tx.delete(&collections::projects(), id.into())?;
    if there {
        delete_files(tx, id)?;
    }
    Ok(there)
}

/// Deletes projects with all their files. Returns how many were there.
pub fn delete_many(tx: &mut Transaction<'_>, ids: &[u64]) -> Result<usize> {
    let mut deleted = 0;
    for &id in ids {
        deleted += usize::from(delete(tx, id)?);
    }
    Ok(deleted)
}

/// Deletes every project with its files.
pub fn delete_all(tx: &mut Transaction<'_>) -> Result<()> {
    for id in tx.ids(&collections::projects())? {
        delete_document(tx, &id)?;
    }
    Ok(())
}

/// Removes all files of a project, which need not exist, and everything else that belongs to it.
pub fn delete_files(tx: &mut Transaction<'_>, project_id: u64) -> Result<()> {
    tx.drop_collection(&collections::files(project_id))?;
    tx.remove_path(&collections::project_directory(project_id))
}

fn delete_document(tx: &mut Transaction<'_>, id: &DocumentId) -> Result<()> {
    match id {
        DocumentId::Number(number) => delete(tx, *number).map(drop),
        DocumentId::Text(_) => tx.delete(&collections::projects(), id.clone()).map(drop),
    }
}

/// Makes the stored projects those of a whole map, and stores only the differences. The files of projects that the map lacks
/// are removed with them.
pub fn write_all(tx: &mut Transaction<'_>, map: GivenMap<'_>) -> Result<Written> {
    let rule = |key: &str, given: Given<'_>, current: Option<&[u8]>| {
        written_project(key, given.text, current).map(Cow::into_owned)
    };
    write_map(tx, &collections::projects(), "project map", map, rule, delete_document)
}

/// Returns an error unless a project with this id exists.
pub fn require(tx: &mut Transaction<'_>, id: u64) -> Result<()> {
    if tx.contains(&collections::projects(), &id.into())? {
        return Ok(());
    }
    Err(Error::NotFound { what: "project", id: id.to_string() })
}

/// Which projects a query asks for. Texts are WTF-8.
pub enum Query {
    Name(Vec<u8>),
    Path(Vec<u8>),
    /// By creation time in milliseconds, both ends included.
    Created(f64, f64),
    /// By the words of the name.
    Words(Vec<u8>),
    /// The most recently updated ones.
    Recent(usize),
}

impl Query {
    /// Returns the ids in the order of the answer.
    pub fn choose(&self, projects: &Queryable<'_>) -> Result<Vec<DocumentId>> {
        match self {
            Query::Name(name) => Ok(projects.index(BY_NAME)?.find(&IndexKey::Text(name.as_slice().into()))),
            Query::Path(path) => Ok(projects.index(BY_PATH)?.find(&IndexKey::Text(path.as_slice().into()))),
            Query::Created(start, end) => {
                let (Some(start), Some(end)) = (IndexKey::number(*start), IndexKey::number(*end)) else {
                    return Ok(Vec::new());
                };
                projects.index(BY_CREATED)?.range(Bound::Included(&start), Bound::Included(&end))
            }
            Query::Words(words) => {
                let found = projects.index(BY_WORDS)?.search(&String::from_utf8_lossy(words))?;
                let found: BTreeSet<DocumentId> = found.into_iter().map(|(id, _)| id).collect();
                let mut ids = by_recency(projects)?;
                ids.retain(|id| found.contains(id));
                Ok(ids)
            }
            Query::Recent(limit) => {
                let mut ids = by_recency(projects)?;
                ids.truncate(*limit);
                Ok(ids)
            }
        }
    }
}

/// Returns all projects, the most recently changed first.
fn by_recency(projects: &Queryable<'_>) -> Result<Vec<DocumentId>> {
    let mut ids = projects.index(BY_UPDATED)?.range(Bound::Unbounded, Bound::Unbounded)?;
    ids.reverse();
    Ok(ids)
}

/// Returns the collection that the queries of this module read.
pub fn collection() -> Arc<CollectionSpec> {
    collections::projects()
}
