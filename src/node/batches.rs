//! Native calls that write many documents of a caller's storage as one batch.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use parking_lot::Mutex;

use super::collection::{NativeCollection, delete, is_free, places, shown};
use super::port::Answer;
use super::records::{NativeRecords, Records};
use super::session::Session;
use crate::engine::document::{Document, DocumentId};
use crate::engine::{CollectionSpec, Error, Part, Queryable, Result, Transaction};

/// Where the id of a document comes from, as numbered in `batches.js`: the caller chose it; or this process generated it,
/// when other processes knew, or did not know, that it is taken.
const OWN: u8 = 0;
const CLAIMED: u8 = 2;

/// Documents as JavaScript last read them. A batch replaces them only if they are still the same.
#[napi]
#[derive(Default)]
pub struct NativeReadings {
    documents: Arc<Mutex<HashMap<DocumentId, Arc<[u8]>>>>,
}

#[napi]
impl NativeReadings {
    #[napi(constructor, catch_unwind)]
    pub fn new() -> NativeReadings {
        NativeReadings::default()
    }

    /// Forgets the documents. A call that was given up may still hold the lock, and is not waited for: the documents are then
    /// forgotten with the readings themselves.
    #[napi(catch_unwind)]
    pub fn release(&self) {
        if let Some(mut documents) = self.documents.try_lock() {
            documents.clear();
        }
    }
}

/// Returns the documents that the members of a map are.
pub fn documents(members: &Records, spec: &CollectionSpec) -> Vec<(DocumentId, Document)> {
    members.members().map(|(id, text)| (id, Document::new(text.into(), spec.large_field))).collect()
}

/// Puts documents. Uniqueness is checked against the result: they may exchange their keys.
pub fn put_all(
    tx: &mut Transaction<'_>,
    spec: &Arc<CollectionSpec>,
    documents: &[(DocumentId, Document)],
) -> Result<()> {
    let changed = tx.put_documents_unchecked(spec, documents)?;
    changed.into_iter().try_for_each(|at| tx.check_put(spec, &documents[at].0))
}

/// Puts documents under keys that must be free; `origins` says where each comes from. Returns the places of the generated
/// keys that are not free, in which case nothing is put.
///
/// # Errors
/// `ALREADY_EXISTS` if a key that the caller chose is not free.
pub fn insert_all(
    tx: &mut Transaction<'_>,
    spec: &Arc<CollectionSpec>,
    documents: &[(DocumentId, Document)],
    origins: &[u8],
) -> Result<Vec<usize>> {
    let mut keys = HashSet::with_capacity(documents.len());
    let mut taken = Vec::new();
    for (at, ((id, _), &origin)) in documents.iter().zip(origins).enumerate() {
        if keys.insert(id) && is_free(tx, spec, id, origin == CLAIMED)? {
            continue;
        }
        if origin == OWN {
            return Err(Error::AlreadyExists { what: "document", id: shown(id) });
        }
        taken.push(at);
    }
    if taken.is_empty() {
        put_all(tx, spec, documents)?;
    }
    Ok(taken)
}

/// Deletes documents, each with the path that belongs to it, if there is one. Returns how many there were.
pub fn delete_all(
    tx: &mut Transaction<'_>,
    session: &Session,
    spec: &Arc<CollectionSpec>,
    keys: &[String],
    paths: &[Option<String>],
) -> Result<usize> {
    let mut deleted = 0;
    for (key, path) in keys.iter().zip(paths) {
        deleted += usize::from(delete(tx, session, spec, DocumentId::from_key(key), path.as_deref())?);
    }
    Ok(deleted)
}

/// Members are documents by key: no two have the same key, except in [`NativeCollection::insert_many`].
#[napi]
impl NativeCollection {
    /// Inserts documents under keys that must be free. `origins` says where the key of each comes from. Fails with
    /// `ALREADY_EXISTS` if one that the caller chose is not free. Answers with the places of the generated ones that are not,
    /// in which case nothing is written. `paths` belong to the documents.
    #[napi(catch_unwind)]
    pub fn insert_many(
        &self,
        ticket: u32,
        members: &NativeRecords,
        origins: Uint8Array,
        paths: Vec<String>,
    ) -> napi::Result<()> {
        let (spec, members, origins) = (Arc::clone(&self.spec), members.all()?, origins.to_vec());
        self.session.write(ticket, move |tx| {
            let taken = insert_all(tx, &spec, &documents(&members, &spec), &origins)?;
            if taken.is_empty() {
                tx.keep_entity_paths(paths.iter().map(String::as_str))?;
            }
            Ok(Answer::text(places(&taken).into_bytes()))
        });
        Ok(())
    }

    /// Answers with the documents under these keys, in their order, and keeps them in `readings`. Fails with `NOT_FOUND` if
    /// there is no document under one of them.
    #[napi(catch_unwind)]
    pub fn get_many(&self, ticket: u32, keys: Vec<String>, readings: &NativeReadings) {
        let (spec, read) = (Arc::clone(&self.spec), Arc::clone(&readings.documents));
        self.session.read_documents(ticket, spec.large_field, move |database, options| {
            let ids: Vec<DocumentId> = keys.iter().map(|key| DocumentId::from_key(key)).collect();
            let all = |collection: &Queryable<'_>| match ids
                .iter()
                .find(|id| collection.documents().get(id).is_none())
            {
                None => Ok(ids.clone()),
                Some(id) => Err(Error::NotFound { what: "document", id: shown(id) }),
            };
            let texts = database.select(&spec, Part::Whole, options, all)?;
            read.lock().extend(ids.iter().cloned().zip(texts.iter().cloned()));
            Ok(texts)
        });
    }

    /// Replaces documents if all of them are still those that were last read. Answers with the places of those that are not,
    /// in which case nothing is written.
    #[napi(catch_unwind)]
    pub fn replace_many(
        &self,
        ticket: u32,
        members: &NativeRecords,
        readings: &NativeReadings,
    ) -> napi::Result<()> {
        let (spec, members, read) = (Arc::clone(&self.spec), members.all()?, Arc::clone(&readings.documents));
        self.session.write(ticket, move |tx| {
            let (documents, read) = (documents(&members, &spec), read.lock());
            let mut changed = Vec::new();
            for (at, (id, _)) in documents.iter().enumerate() {
                let current = tx.get(&spec, id)?;
                if current.is_none_or(|current| Some(&current.text) != read.get(id)) {
                    changed.push(at);
                }
            }
            match changed.is_empty() {
                true => put_all(tx, &spec, &documents)?,
                false => tx.note_conflict(),
            }
            Ok(Answer::text(places(&changed).into_bytes()))
        });
        Ok(())
    }

    /// Deletes documents, each with the path that belongs to it, if there is one. Answers how many there were.
    #[napi(catch_unwind)]
    pub fn delete_many(&self, ticket: u32, keys: Vec<String>, paths: Vec<Option<String>>) {
        let (spec, session) = (Arc::clone(&self.spec), Arc::clone(&self.session));
        self.session.write(ticket, move |tx| {
            Ok(Answer::json(delete_all(tx, &session, &spec, &keys, &paths)?.into()))
        });
    }
}
