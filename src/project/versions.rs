//! Version chains: appending, reading and taking out versions of a file.
//!
//! Any id of a chain stands for it. Its members are found by the index over (root, version), whatever their number.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::chain::{Chain, chain_of, with_chain};
use super::collections::{FILES_BY_PATH, FILES_BY_VERSION};
use super::content::Content;
use super::file_store::Files;
use super::files::next_version;
use super::layout::content_of;
use crate::engine::document::{Document, DocumentId};
use crate::engine::index::{Index, IndexKey};
use crate::engine::{Database, Error, Part, ReadOptions, Result, Transaction, json};

fn missing(id: u64) -> Error {
    Error::NotFound { what: "file", id: id.to_string() }
}

/// Returns the root of the chain that an id stands for. Without a document, it can only be the root itself: a whole map may
/// have left that out and kept its versions.
fn root_of(id: u64, document: Option<&[u8]>) -> u64 {
    document.and_then(|document| chain_of(document).original).unwrap_or(id)
}

fn root_in(tx: &mut Transaction<'_>, files: &Files, id: u64) -> Result<u64> {
    Ok(root_of(id, tx.head(&files.spec, &id.into())?.as_deref()))
}

fn bounds(root: u64, version: Option<u64>) -> Option<(IndexKey, IndexKey)> {
    let root = IndexKey::number(root as f64)?;
    let (first, last) = match version {
        Some(version) => (IndexKey::number(version as f64)?, IndexKey::number(version as f64)?),
        None => (IndexKey::number(f64::NEG_INFINITY)?, IndexKey::number(f64::INFINITY)?),
    };
    Some((IndexKey::tuple(vec![root.clone(), first]), IndexKey::tuple(vec![root, last])))
}

/// Returns the ids of a chain's members, versions ascending, or only that of one version.
fn members(index: &Index, root: u64, version: Option<u64>) -> Result<Vec<DocumentId>> {
    match bounds(root, version) {
        Some((start, end)) => index.range(Bound::Included(&start), Bound::Included(&end)),
        None => Ok(Vec::new()),
    }
}

/// Returns the ids of all versions of the file that `id` belongs to; none if there is no such file.
pub fn ids(tx: &mut Transaction<'_>, files: &Files, id: u64) -> Result<Vec<DocumentId>> {
    let root = root_in(tx, files, id)?;
    tx.query(&files.spec, FILES_BY_VERSION, move |index| members(index, root, None))
}

/// Returns the members of a chain with their heads, versions ascending.
fn chain(tx: &mut Transaction<'_>, files: &Files, root: u64) -> Result<Vec<(u64, Vec<u8>)>> {
    let mut found = Vec::new();
    for id in tx.query(&files.spec, FILES_BY_VERSION, move |index| members(index, root, None))? {
        if let (DocumentId::Number(number), Some(head)) = (&id, tx.head(&files.spec, &id)?) {
            found.push((*number, head));
        }
    }
    found.sort_by_key(|(id, head)| (chain_of(head).version, *id));
    Ok(found)
}

/// Returns the id and document of the last version of a chain.
fn last_version(tx: &mut Transaction<'_>, files: &Files, root: u64) -> Result<Option<(u64, Document)>> {
    let mut last = Vec::new();
    for id in tx.query_last(&files.spec, FILES_BY_VERSION, move |index| members(index, root, None))? {
        if let (DocumentId::Number(number), Some(head)) = (&id, tx.head(&files.spec, &id)?) {
            last.push((chain_of(&head).version, *number));
        }
    }
    let Some((_, id)) = last.into_iter().max() else { return Ok(None) };
    Ok(tx.get(&files.spec, &id.into())?.map(|document| (id, document)))
}

/// Appends a version with this content after the last one of the chain that `id` belongs to.
///
/// # Errors
/// `NOT_FOUND` naming the id, `VALIDATION_ERROR` for the content or a field of `extra`.
pub fn append(
    tx: &mut Transaction<'_>,
    files: &Files,
    id: u64,
    content: Content<'_>,
    extra: Option<&[u8]>,
) -> Result<Document> {
    let root = root_in(tx, files, id)?;
    let (latest_id, latest) = last_version(tx, files, root)?.ok_or_else(|| missing(id))?;
    let before = chain_of(&latest.text);
    let (new_id, now) = (tx.fresh_id(&files.spec)?, tx.now());
    let place = Chain {
        version: before.version + 1,
        prev: Some(latest_id),
        next: None,
        is_latest: true,
        original: Some(root),
    };
    let document = files.document(next_version(&latest.text, content, extra, place, new_id, now)?);
    let linked = Chain { next: Some(new_id), is_latest: false, ..before };
    let linked = files.document(with_chain(&latest.text, &linked, Some(now)));
    tx.put_document(&files.spec, latest_id.into(), linked)?;
    retire_others(tx, files, root, &latest.text)?;
    tx.put_document(&files.spec, new_id.into(), document.clone())?;
    Ok(document)
}

/// Makes the versions of a chain older ones that counted as the latest beside its last one, at the same path. A map that
/// was put together from two copies has such, if both copies got a new version.
fn retire_others(tx: &mut Transaction<'_>, files: &Files, root: u64, last: &[u8]) -> Result<()> {
    let Some(path) = json::get(last, "path").and_then(IndexKey::from_json) else { return Ok(()) };
    for id in tx.find(&files.spec, FILES_BY_PATH, &path)? {
        if let (DocumentId::Number(number), Some(head)) = (&id, tx.head(&files.spec, &id)?)
            && root_of(*number, Some(&head)) == root
            && let Some(document) = tx.get(&files.spec, &id)?
        {
            let older = Chain { is_latest: false, ..chain_of(&head) };
            let document = files.document(with_chain(&document.text, &older, None));
            tx.put_document(&files.spec, (*number).into(), document)?;
        }
    }
    Ok(())
}

/// Appends a version that has the content of an earlier one.
///
/// # Errors
/// `NOT_FOUND` naming the file, or the version and the file.
pub fn revert(tx: &mut Transaction<'_>, files: &Files, id: u64, version: u64) -> Result<Document> {
    let root = root_in(tx, files, id)?;
    let found = tx.query(&files.spec, FILES_BY_VERSION, move |index| members(index, root, Some(version)))?;
    let gone = || Error::NotFound { what: "version", id: format!("{version} of file {id}") };
    let Some(found) = found.last() else {
        return Err(if last_version(tx, files, root)?.is_some() { gone() } else { missing(id) });
    };
    let earlier = tx.get(&files.spec, found)?.ok_or_else(gone)?;
    let content = content_of(&earlier.text).unwrap_or(b"\"\"").to_vec();
    append(tx, files, id, Content::Json(&content), None)
}

/// Takes versions out of their chains. Those that remain are linked to each other and keep their numbers; if necessary, the
/// first of them becomes the root and the last the latest. The documents themselves stay. Each chain is read and linked once,
/// however many of its versions go.
pub fn unlink(tx: &mut Transaction<'_>, files: &Files, ids: &[u64]) -> Result<()> {
    let mut chains: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for &id in ids {
        if let Some(head) = tx.head(&files.spec, &id.into())? {
            chains.entry(root_of(id, Some(&head))).or_default().insert(id);
        }
    }
    for (root, gone) in chains {
        let mut rest = chain(tx, files, root)?;
        rest.retain(|(member, _)| !gone.contains(member));
        link(tx, files, &rest)?;
    }
    Ok(())
}

/// Makes these versions, ascending, a chain.
fn link(tx: &mut Transaction<'_>, files: &Files, versions: &[(u64, Vec<u8>)]) -> Result<()> {
    let Some(&(root, _)) = versions.first() else { return Ok(()) };
    for (at, (member, head)) in versions.iter().enumerate() {
        let before = chain_of(head);
        let after = Chain {
            version: before.version,
            prev: at.checked_sub(1).map(|at| versions[at].0),
            next: versions.get(at + 1).map(|(next, _)| *next),
            is_latest: at + 1 == versions.len(),
            original: (*member != root).then_some(root),
        };
        if after != before
            && let Some(document) = tx.get(&files.spec, &(*member).into())?
        {
            let linked = files.document(with_chain(&document.text, &after, None));
            tx.put_document(&files.spec, (*member).into(), linked)?;
        }
    }
    Ok(())
}

/// Which versions a read asks for.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    All,
    One(u64),
    Latest,
}

/// Returns versions of the chain that `id` belongs to, ascending; none if there is no such file.
pub fn read(
    database: &Database,
    files: &Files,
    id: u64,
    wanted: Wanted,
    options: ReadOptions,
) -> Result<Vec<Arc<[u8]>>> {
    let root = |head: Option<&[u8]>| root_of(id, head);
    database.select_by_head(&files.spec, &id.into(), Part::Whole, options, root, |&root, files| {
        let index = files.index(FILES_BY_VERSION)?;
        match wanted {
            Wanted::All => members(index, root, None),
            Wanted::One(version) => Ok(members(index, root, Some(version))?.pop().into_iter().collect()),
            Wanted::Latest => Ok(members(index, root, None)?.pop().into_iter().collect()),
        }
    })
}
