//! Native calls for interactive transactions: each call is one step.

use std::sync::Arc;

use napi_derive::napi;

use super::collection::{NativeCollection, boolean, delete, insert};
use super::files::NativeFiles;
use super::port::Answer;
use super::projects::NativeProjects;
use super::session::Session;
use crate::engine::document::{Document, DocumentId};
use crate::engine::query::Query;
use crate::engine::{Interactive, Result, Transaction, Wait};
use crate::project::project_store as store;
use crate::project::{Content, versions};

#[napi]
#[derive(Default)]
pub struct NativeTransaction {
    interactive: Arc<Interactive>,
}

impl NativeTransaction {
    /// Runs a step, and answers with what `answer` makes of its result.
    pub(super) fn step_to<T>(
        &self,
        ticket: u32,
        session: &Arc<Session>,
        step: impl Fn(&mut Transaction<'_>) -> Result<T> + Send + 'static,
        answer: impl FnOnce(&Interactive, T) -> Result<Answer> + Send + 'static,
    ) {
        let interactive = Arc::clone(&self.interactive);
        session.read(ticket, move |database, options| {
            let result = interactive.step(database, Wait::at_most(options.lock_timeout), step)?;
            answer(&interactive, result)
        });
    }

    /// Runs a step that fails if its answer is too long for JavaScript.
    pub(super) fn step(
        &self,
        ticket: u32,
        session: &Arc<Session>,
        step: impl Fn(&mut Transaction<'_>) -> Result<Answer> + Send + 'static,
    ) {
        self.step_to(ticket, session, move |tx| step(tx)?.fitting(), |_, answer| Ok(answer));
    }
}

/// Keys are ids as they appear in the map; texts are JSON.
#[napi]
impl NativeTransaction {
    #[napi(constructor, catch_unwind)]
    pub fn new() -> NativeTransaction {
        NativeTransaction::default()
    }

    #[napi(catch_unwind)]
    pub fn get(&self, ticket: u32, collection: &NativeCollection, key: String) {
        let spec = Arc::clone(&collection.spec);
        self.step(ticket, &collection.session, move |tx| {
            Ok(Answer::maybe(tx.get(&spec, &DocumentId::from_key(&key))?.map(|document| document.text)))
        });
    }

    /// Answers with the documents that a query selects.
    #[napi(catch_unwind)]
    pub fn query(&self, ticket: u32, collection: &NativeCollection, query: String) {
        let (spec, session) = (Arc::clone(&collection.spec), &collection.session);
        let (pieces, field) = (session.pieces(ticket), spec.large_field);
        let step = move |tx: &mut Transaction<'_>| tx.documents(&spec, &Query::from_json(query.as_bytes())?);
        self.step_to(ticket, session, step, move |_, texts| pieces.documents(&texts, field));
    }

    /// Answers how many documents meet the condition of a query.
    #[napi(catch_unwind)]
    pub fn count(&self, ticket: u32, collection: &NativeCollection, query: String) {
        let spec = Arc::clone(&collection.spec);
        self.step(ticket, &collection.session, move |tx| {
            Ok(Answer::json(tx.count(&spec, &Query::from_json(query.as_bytes())?)?.into()))
        });
    }

    /// Like [`NativeCollection::insert`].
    #[napi(catch_unwind)]
    pub fn insert(
        &self,
        ticket: u32,
        collection: &NativeCollection,
        key: String,
        text: String,
        claim: bool,
        path: Option<String>,
    ) {
        let spec = Arc::clone(&collection.spec);
        let step = move |tx: &mut Transaction<'_>| insert(tx, &spec, &key, text.clone().into_bytes(), claim);
        self.step_to(ticket, &collection.session, step, move |interactive, ()| {
            interactive.keep_paths(path);
            Ok(Answer::Nothing)
        });
    }

    /// Puts a document.
    #[napi(catch_unwind)]
    pub fn put(&self, ticket: u32, collection: &NativeCollection, key: String, text: String) {
        let spec = Arc::clone(&collection.spec);
        self.step(ticket, &collection.session, move |tx| {
            tx.put(&spec, DocumentId::from_key(&key), text.clone().into_bytes())?;
            Ok(Answer::Nothing)
        });
    }

    /// Deletes a document and the path that belongs to it. Answers whether it was there.
    #[napi(catch_unwind)]
    pub fn delete(&self, ticket: u32, collection: &NativeCollection, key: String, path: Option<String>) {
        let (spec, session) = (Arc::clone(&collection.spec), Arc::clone(&collection.session));
        self.step(ticket, &collection.session, move |tx| {
            delete(tx, &session, &spec, DocumentId::from_key(&key), path.as_deref()).map(boolean)
        });
    }

    #[napi(catch_unwind)]
    pub fn create_project(&self, ticket: u32, projects: &NativeProjects, input: String) {
        self.step(ticket, &projects.session, move |tx| {
            Ok(Answer::text(store::create(tx, input.as_bytes())?))
        });
    }

    #[napi(catch_unwind)]
    pub fn update_project(&self, ticket: u32, projects: &NativeProjects, id: f64, patch: String) {
        self.step(ticket, &projects.session, move |tx| {
            Ok(Answer::maybe(store::update(tx, id as u64, patch.as_bytes())?))
        });
    }

    #[napi(catch_unwind)]
    pub fn delete_project(&self, ticket: u32, projects: &NativeProjects, id: f64) {
        self.step(ticket, &projects.session, move |tx| store::delete(tx, id as u64).map(boolean));
    }

    #[napi(catch_unwind)]
    pub fn create_file(&self, ticket: u32, files: &NativeFiles, input: String) {
        let store = files.files.clone();
        self.step(ticket, &files.session, move |tx| {
            let created = store.create(tx, &[input.as_bytes().into()], false)?;
            Ok(Answer::maybe(created.first().map(|document: &Document| Arc::clone(&document.text))))
        });
    }

    #[napi(catch_unwind)]
    pub fn update_file(&self, ticket: u32, files: &NativeFiles, id: f64, patch: String) {
        let store = files.files.clone();
        self.step(ticket, &files.session, move |tx| {
            Ok(Answer::maybe(
                store.update(tx, id as u64, patch.as_bytes().into())?.map(|updated| updated.text),
            ))
        });
    }

    #[napi(catch_unwind)]
    pub fn delete_file(&self, ticket: u32, files: &NativeFiles, id: f64) {
        let store = files.files.clone();
        self.step(ticket, &files.session, move |tx| {
            store.delete(tx, &[id as u64]).map(|deleted| boolean(deleted > 0))
        });
    }

    #[napi(catch_unwind)]
    pub fn create_version(
        &self,
        ticket: u32,
        files: &NativeFiles,
        id: f64,
        content: String,
        extra: Option<String>,
    ) {
        let store = files.files.clone();
        self.step(ticket, &files.session, move |tx| {
            let extra = extra.as_deref().map(str::as_bytes);
            Ok(Answer::Text(
                versions::append(tx, &store, id as u64, Content::Json(content.as_bytes()), extra)?.text,
            ))
        });
    }

    /// Returns whether something that a step read has changed, so that the transaction must run again.
    #[napi(catch_unwind)]
    pub fn is_lost(&self) -> bool {
        self.interactive.is_lost()
    }

    /// Commits as one batch, through the session of one of the storages. A transaction without changes only checks that what
    /// it read has not changed. Fails with `CONFLICT` if it has.
    #[napi(catch_unwind)]
    pub fn commit(&self, ticket: u32, collection: &NativeCollection) {
        let interactive = Arc::clone(&self.interactive);
        let session = &collection.session;
        if !interactive.has_changes() {
            return session.read(ticket, move |database, options| {
                interactive.step(database, Wait::at_most(options.lock_timeout), |_| Ok(Answer::Nothing))
            });
        }
        match interactive.finish() {
            Ok(commit) => session.write(ticket, move |tx| commit.apply(tx).map(|()| Answer::Nothing)),
            Err(error) => session.read(ticket, move |_, _| Err(error)),
        }
    }

    /// Ends the transaction and forgets what it changed.
    #[napi(catch_unwind)]
    pub fn abandon(&self) {
        self.interactive.abandon();
    }
}
