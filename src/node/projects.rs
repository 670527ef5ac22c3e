//! Native calls for `ProjectStorageV2`.

use std::path::PathBuf;
use std::sync::Arc;

use napi::Env;
use napi_derive::napi;

use super::collection::{NativeCollection, Peeked, boolean, documents, peeked};
use super::files::NativeFiles;
use super::options::NativeOptions;
use super::port::{Answer, Port};
use super::records::NativeRecords;
use super::session::Session;
use crate::engine::document::Given;
use crate::engine::json;
use crate::engine::{CollectionSpec, Part, Peek, Queryable, Wait};
use crate::project::project_store::{self as store, Query};
use crate::project::{Files, file_collections};

#[napi]
pub struct NativeProjects {
    pub(super) session: Arc<Session>,
}

/// Returns the query of a kind as numbered in `project-storage.js`. `text` is JSON.
fn query(kind: u32, text: &str, start: f64, end: f64) -> Query {
    let text = json::unescape(text.as_bytes()).into_owned();
    match kind {
        0 => Query::Name(text),
        1 => Query::Path(text),
        2 => Query::Created(start, end),
        3 => Query::Words(text),
        _ => Query::Recent(end as usize),
    }
}

#[napi]
impl NativeProjects {
    /// `directory` is the database's, and is below `base`. Touches no file.
    #[napi(constructor, catch_unwind)]
    pub fn new(port: &Port, base: String, directory: String, options: NativeOptions) -> NativeProjects {
        let directory = PathBuf::from(directory);
        let session =
            Session::new(&base, directory, Some(store::collection()), options.into(), port.mailbox());
        NativeProjects { session }
    }

    /// The documents themselves, on the same session.
    #[napi(catch_unwind)]
    pub fn documents(&self) -> NativeCollection {
        NativeCollection::new(Arc::clone(&self.session), store::collection())
    }

    /// The files of a project, on the same session.
    #[napi(catch_unwind)]
    pub fn files(&self, project_id: f64) -> NativeFiles {
        NativeFiles::new(Arc::clone(&self.session), Files::of(project_id as u64))
    }

    #[napi(catch_unwind)]
    pub fn create(&self, ticket: u32, input: String) {
        self.session.write(ticket, move |tx| Ok(Answer::text(store::create(tx, input.as_bytes())?)));
    }

    /// Answers with the projects.
    #[napi(catch_unwind)]
    pub fn create_many(&self, ticket: u32, records: &NativeRecords) -> napi::Result<()> {
        let (pieces, records) = (self.session.pieces(ticket), records.all()?);
        self.session.write(ticket, move |tx| {
            let inputs: Vec<Given<'_>> = records.iter().collect();
            pieces.documents(&store::create_many(tx, &inputs)?, None)
        });
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn update(&self, ticket: u32, id: f64, patch: String) {
        self.session
            .write(ticket, move |tx| Ok(Answer::maybe(store::update(tx, id as u64, patch.as_bytes())?)));
    }

    /// Answers with the projects.
    #[napi(catch_unwind)]
    pub fn update_many(&self, ticket: u32, ids: Vec<f64>, patches: &NativeRecords) -> napi::Result<()> {
        let (pieces, patches) = (self.session.pieces(ticket), patches.all()?);
        self.session
            .write(ticket, move |tx| pieces.documents(&store::update_many(tx, &patches.under(&ids))?, None));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn delete(&self, ticket: u32, id: f64) {
        self.session.write(ticket, move |tx| store::delete(tx, id as u64).map(boolean));
    }

    /// Answers how many existed.
    #[napi(catch_unwind)]
    pub fn delete_many(&self, ticket: u32, ids: Vec<f64>) {
        let ids: Vec<u64> = ids.into_iter().map(|id| id as u64).collect();
        self.session.write(ticket, move |tx| Ok(Answer::json(store::delete_many(tx, &ids)?.into())));
    }

    #[napi(catch_unwind)]
    pub fn delete_all(&self, ticket: u32) {
        self.session.write(ticket, move |tx| store::delete_all(tx).map(|()| Answer::Nothing));
    }

    /// Answers with the projects as they are stored, ids ascending.
    #[napi(catch_unwind)]
    pub fn write_all(&self, ticket: u32, members: &NativeRecords) -> napi::Result<()> {
        let (pieces, members) = (self.session.pieces(ticket), members.all()?);
        self.session
            .write(ticket, move |tx| pieces.documents(&store::write_all(tx, members.map())?.texts(), None));
        Ok(())
    }

    /// Removes the files of a project and everything else that belongs to it.
    #[napi(catch_unwind)]
    pub fn delete_data(&self, ticket: u32, project_id: f64) {
        let delete =
            move |tx: &mut crate::engine::Transaction<'_>| store::delete_files(tx, project_id as u64);
        self.session.write(ticket, move |tx| delete(tx).map(|()| Answer::Nothing));
    }

    /// Rebuilds the indexes of the projects and of all their files. A damaged file does not prevent the rest.
    #[napi(catch_unwind)]
    pub fn rebuild_indexes(&self, ticket: u32) {
        self.session.read(ticket, |database, options| {
            database.rebuild_indexes(&store::collection(), options)?;
            let mut rebuilt = Ok(());
            for files in file_collections(database, options)? {
                rebuilt = rebuilt.and(database.rebuild_indexes(&files, options));
            }
            rebuilt.map(|()| Answer::Nothing)
        });
    }

    #[napi(catch_unwind)]
    pub fn peek_query<'env>(
        &self,
        env: &'env Env,
        kind: u32,
        text: String,
        start: f64,
        end: f64,
    ) -> napi::Result<Peeked<'env>> {
        let Some(engine) = self.session.engine() else { return peeked(env, Peek::Wait) };
        let query = query(kind, &text, start, end);
        let choose = |projects: &Queryable<'_>| query.choose(projects);
        let found = engine.peek_many(&store::collection(), Part::Whole, choose).unwrap_or(Peek::Wait);
        peeked(env, found.map(|texts| documents(&texts, None)))
    }

    #[napi(catch_unwind)]
    pub fn query(&self, ticket: u32, kind: u32, text: String, start: f64, end: f64) {
        let query = query(kind, &text, start, end);
        self.session.read_documents(ticket, None, move |database, options| {
            let choose = |projects: &Queryable<'_>| query.choose(projects);
            database.select(&store::collection(), Part::Whole, options, choose)
        });
    }

    /// Loads the projects or, with an id, the files of one project, adopts what another program wrote, and keeps their
    /// indexes on disk. Answers `{ documents, setAside }`.
    #[napi(catch_unwind)]
    pub fn index(&self, ticket: u32, project_id: Option<f64>) {
        let spec = collection(project_id);
        self.session.read(ticket, move |database, options| {
            let before = database.set_aside_count();
            database.persist_indexes(&spec, options)?;
            let documents = database.view(&spec, options)?.len();
            let set_aside = database.set_aside_count() - before;
            Ok(Answer::text(format!("{{\"documents\":{documents},\"setAside\":{set_aside}}}").into_bytes()))
        });
    }

    /// Removes from disk what `index` keeps there. The documents and the results of queries do not change.
    #[napi(catch_unwind)]
    pub fn forget_indexes(&self, ticket: u32, project_id: Option<f64>) {
        let spec = collection(project_id);
        self.session.read(ticket, move |database, options| {
            database.remove_index_checkpoints(&spec, Wait::at_most(options.lock_timeout))?;
            Ok(Answer::Nothing)
        });
    }
}

/// Returns the collection of all projects or, with an id, that of the files of one project.
fn collection(project_id: Option<f64>) -> Arc<CollectionSpec> {
    match project_id {
        None => store::collection(),
        Some(id) => Files::of(id as u64).spec,
    }
}
