//! Steps of interactive transactions that write many documents.

use std::sync::Arc;

use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use super::batches::{delete_all, documents, insert_all, put_all};
use super::collection::{NativeCollection, places, shown};
use super::files::{NativeFiles, created_files, updated_files};
use super::port::Answer;
use super::projects::NativeProjects;
use super::records::NativeRecords;
use super::transaction::NativeTransaction;
use crate::engine::document::{DocumentId, Given};
use crate::engine::{Error, Result, Transaction};
use crate::project::project_store as store;

/// Members and records are as in the calls that do the same as a batch of their own.
#[napi]
impl NativeTransaction {
    /// Like [`NativeCollection::insert_many`].
    #[napi(catch_unwind)]
    pub fn insert_many(
        &self,
        ticket: u32,
        collection: &NativeCollection,
        members: &NativeRecords,
        origins: Uint8Array,
        paths: Vec<String>,
    ) -> napi::Result<()> {
        let (spec, members, origins) = (Arc::clone(&collection.spec), members.all()?, origins.to_vec());
        let step =
            move |tx: &mut Transaction<'_>| insert_all(tx, &spec, &documents(&members, &spec), &origins);
        self.step_to(ticket, &collection.session, step, move |interactive, taken| {
            if taken.is_empty() {
                interactive.keep_paths(paths);
            }
            Ok(Answer::text(places(&taken).into_bytes()))
        });
        Ok(())
    }

    /// Answers with the documents under these keys, in their order. Fails with `NOT_FOUND` if there is no document under one
    /// of them.
    #[napi(catch_unwind)]
    pub fn get_many(&self, ticket: u32, collection: &NativeCollection, keys: Vec<String>) {
        let (spec, session) = (Arc::clone(&collection.spec), &collection.session);
        let (pieces, field) = (session.pieces(ticket), spec.large_field);
        let step = move |tx: &mut Transaction<'_>| {
            let get = |key: &String| {
                let id = DocumentId::from_key(key);
                let found = tx
                    .get(&spec, &id)?
                    .ok_or_else(|| Error::NotFound { what: "document", id: shown(&id) })?;
                Ok(found.text)
            };
            keys.iter().map(get).collect::<Result<Vec<_>>>()
        };
        self.step_to(ticket, session, step, move |_, texts| pieces.documents(&texts, field));
    }

    /// Puts documents. Answers as [`NativeCollection::replace_many`] does if no document has changed since it was read.
    #[napi(catch_unwind)]
    pub fn put_many(
        &self,
        ticket: u32,
        collection: &NativeCollection,
        members: &NativeRecords,
    ) -> napi::Result<()> {
        let (spec, members) = (Arc::clone(&collection.spec), members.all()?);
        self.step(ticket, &collection.session, move |tx| {
            put_all(tx, &spec, &documents(&members, &spec))?;
            Ok(Answer::text(places(&[]).into_bytes()))
        });
        Ok(())
    }

    /// Like [`NativeCollection::delete_many`].
    #[napi(catch_unwind)]
    pub fn delete_many(
        &self,
        ticket: u32,
        collection: &NativeCollection,
        keys: Vec<String>,
        paths: Vec<Option<String>>,
    ) {
        let (spec, session) = (Arc::clone(&collection.spec), Arc::clone(&collection.session));
        self.step(ticket, &collection.session, move |tx| {
            Ok(Answer::json(delete_all(tx, &session, &spec, &keys, &paths)?.into()))
        });
    }

    /// Like [`NativeProjects::create_many`].
    #[napi(catch_unwind)]
    pub fn create_projects(
        &self,
        ticket: u32,
        projects: &NativeProjects,
        records: &NativeRecords,
    ) -> napi::Result<()> {
        let (session, records) = (Arc::clone(&projects.session), records.all()?);
        self.step(ticket, &projects.session, move |tx| {
            let inputs: Vec<Given<'_>> = records.iter().collect();
            session.pieces(ticket).documents(&store::create_many(tx, &inputs)?, None)
        });
        Ok(())
    }

    /// Like [`NativeProjects::update_many`].
    #[napi(catch_unwind)]
    pub fn update_projects(
        &self,
        ticket: u32,
        projects: &NativeProjects,
        ids: Vec<f64>,
        patches: &NativeRecords,
    ) -> napi::Result<()> {
        let (session, patches) = (Arc::clone(&projects.session), patches.all()?);
        self.step(ticket, &projects.session, move |tx| {
            session.pieces(ticket).documents(&store::update_many(tx, &patches.under(&ids))?, None)
        });
        Ok(())
    }

    /// Like [`NativeProjects::delete_many`].
    #[napi(catch_unwind)]
    pub fn delete_projects(&self, ticket: u32, projects: &NativeProjects, ids: Vec<f64>) {
        let ids: Vec<u64> = ids.into_iter().map(|id| id as u64).collect();
        self.step(ticket, &projects.session, move |tx| {
            Ok(Answer::json(store::delete_many(tx, &ids)?.into()))
        });
    }

    /// Like [`NativeFiles::create_many`].
    #[napi(catch_unwind)]
    pub fn create_files(
        &self,
        ticket: u32,
        files: &NativeFiles,
        records: &NativeRecords,
    ) -> napi::Result<()> {
        let (session, store, records) = (Arc::clone(&files.session), files.files.clone(), records.all()?);
        self.step(ticket, &files.session, move |tx| {
            let inputs: Vec<Given<'_>> = records.iter().collect();
            created_files(session.pieces(ticket), &store.create(tx, &inputs, true)?)
        });
        Ok(())
    }

    /// Like [`NativeFiles::update_many`].
    #[napi(catch_unwind)]
    pub fn update_files(
        &self,
        ticket: u32,
        files: &NativeFiles,
        ids: Vec<f64>,
        patches: &NativeRecords,
    ) -> napi::Result<()> {
        let (session, store, patches) = (Arc::clone(&files.session), files.files.clone(), patches.all()?);
        self.step(ticket, &files.session, move |tx| {
            let updated = store.update_many(tx, &patches.under(&ids))?;
            updated_files(session.pieces(ticket), updated, &patches)
        });
        Ok(())
    }

    /// Like [`NativeFiles::delete_many`].
    #[napi(catch_unwind)]
    pub fn delete_files(&self, ticket: u32, files: &NativeFiles, ids: Vec<f64>) {
        let store = files.files.clone();
        let ids: Vec<u64> = ids.into_iter().map(|id| id as u64).collect();
        self.step(ticket, &files.session, move |tx| Ok(Answer::json(store.delete(tx, &ids)?.into())));
    }
}
