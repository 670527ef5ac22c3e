//! `ProjectFileStorage` as native code sees it.

use std::sync::Arc;

use napi_derive::napi;

use super::abort::{NativeAbort, cancel_of};
use super::collection::{NativeCollection, Peeked, boolean, part, peeked};
use super::port::Answer;

use super::session::Session;
use crate::engine::document::Document;
use crate::engine::json;
use crate::engine::{Part, Peek, Queryable};
use crate::project::versions::{self, Wanted};
use crate::project::{Files, array, sort_by_path};

#[napi]
pub struct NativeFiles {
    pub(super) session: Arc<Session>,
    pub(super) files: Files,
}

impl NativeFiles {
    pub fn new(session: Arc<Session>, files: Files) -> NativeFiles {
        NativeFiles { session, files }
    }
}

/// Which versions are wanted: a negative number for the latest, another for one of them, nothing for all.
fn wanted(version: Option<f64>) -> Wanted {
    match version {
        None => Wanted::All,
        Some(version) if version < 0.0 => Wanted::Latest,
        Some(version) => Wanted::One(version as u64),
    }
}

/// Texts that a call looks for are JSON.
#[napi]
impl NativeFiles {
    /// The documents themselves, on the same session.
    #[napi(catch_unwind)]
    pub fn documents(&self) -> NativeCollection {
        NativeCollection::new(Arc::clone(&self.session), Arc::clone(&self.files.spec))
    }

    /// Answers with the file without its content, which the caller has.
    #[napi(catch_unwind)]
    pub fn create(&self, ticket: u32, input: String) {
        let files = self.files.clone();
        self.session.write(ticket, move |tx| {
            let created = files.create(tx, &[input.as_bytes()], false)?;
            Ok(Answer::maybe(created.first().map(Document::head_object)))
        });
    }

    /// Answers with the files without their contents, which the caller has.
    #[napi(catch_unwind)]
    pub fn create_many(&self, ticket: u32, inputs: Vec<String>) {
        let files = self.files.clone();
        self.session.write(ticket, move |tx| {
            let inputs: Vec<&[u8]> = inputs.iter().map(String::as_bytes).collect();
            let created = files.create(tx, &inputs, true)?;
            let heads: Vec<Vec<u8>> = created.iter().map(Document::head_object).collect();
            Ok(Answer::text(array(&heads)))
        });
    }

    #[napi(catch_unwind)]
    pub fn update(&self, ticket: u32, id: f64, patch: String) {
        let files = self.files.clone();
        self.session
            .write(ticket, move |tx| Ok(Answer::maybe(files.update(tx, id as u64, patch.as_bytes())?)));
    }

    #[napi(catch_unwind)]
    pub fn update_many(&self, ticket: u32, ids: Vec<f64>, patches: Vec<String>) {
        let files = self.files.clone();
        self.session.write(ticket, move |tx| {
            let ids = ids.iter().map(|&id| id as u64);
            let patches: Vec<(u64, &[u8])> = ids.zip(patches.iter().map(String::as_bytes)).collect();
            Ok(Answer::text(array(&files.update_many(tx, &patches)?)))
        });
    }

    #[napi(catch_unwind)]
    pub fn delete(&self, ticket: u32, id: f64) {
        let files = self.files.clone();
        self.session.write(ticket, move |tx| files.delete(tx, id as u64).map(boolean));
    }

    /// Answers how many were there.
    #[napi(catch_unwind)]
    pub fn delete_many(&self, ticket: u32, ids: Vec<f64>) {
        let files = self.files.clone();
        self.session.write(ticket, move |tx| {
            let mut deleted = 0;
            for id in ids {
                deleted += usize::from(files.delete(tx, id as u64)?);
            }
            Ok(Answer::text(deleted.to_string().into_bytes()))
        });
    }

    #[napi(catch_unwind)]
    pub fn delete_all(&self, ticket: u32) {
        let files = self.files.clone();
        self.session.write(ticket, move |tx| files.delete_all(tx).map(|()| Answer::Nothing));
    }

    /// Answers with the map as it is stored, without the contents, which the caller has.
    #[napi(catch_unwind)]
    pub fn write_all(&self, ticket: u32, map: String) {
        let files = self.files.clone();
        self.session
            .write(ticket, move |tx| Ok(Answer::text(files.write_all(tx, map.as_bytes())?.text(Part::Head))));
    }

    /// `content` and `extra` are JSON. Answers with the version without its content, which the caller has.
    #[napi(catch_unwind)]
    pub fn create_version(&self, ticket: u32, id: f64, content: String, extra: Option<String>) {
        let files = self.files.clone();
        self.session.write(ticket, move |tx| {
            let extra = extra.as_deref().map(str::as_bytes);
            Ok(Answer::text(
                versions::append(tx, &files, id as u64, content.as_bytes(), extra)?.head_object(),
            ))
        });
    }

    #[napi(catch_unwind)]
    pub fn revert(&self, ticket: u32, id: f64, version: f64) {
        let files = self.files.clone();
        self.session.write(ticket, move |tx| {
            Ok(Answer::Text(versions::revert(tx, &files, id as u64, version as u64)?.text))
        });
    }

    #[napi(catch_unwind)]
    pub fn versions(&self, ticket: u32, id: f64, version: Option<f64>) {
        let files = self.files.clone();
        self.session.read(ticket, move |database, options| {
            let found = versions::read(database, &files, id as u64, wanted(version), options)?;
            Ok(Answer::text(array(&found)))
        });
    }

    #[napi(catch_unwind)]
    pub fn peek_by_path(&self, path: String) -> Peeked {
        let Some(engine) = self.session.engine() else { return peeked(Peek::Wait) };
        let path = json::unescape(path.as_bytes());
        let choose = |files: &Queryable<'_>| Files::at_path(&path, files);
        peeked(match engine.peek_many(&self.files.spec, Part::Whole, choose) {
            Ok(Peek::Ready(texts)) => Peek::Ready(texts.into_iter().next()),
            Ok(Peek::Wait) | Err(_) => Peek::Wait,
        })
    }

    #[napi(catch_unwind)]
    pub fn by_path(&self, ticket: u32, path: String) {
        let files = self.files.clone();
        self.session.read(ticket, move |database, options| {
            let path = json::unescape(path.as_bytes());
            let choose = |files: &Queryable<'_>| Files::at_path(&path, files);
            Ok(Answer::maybe(database.select(&files.spec, Part::Whole, options, choose)?.into_iter().next()))
        });
    }

    #[napi(catch_unwind)]
    pub fn by_extension(&self, ticket: u32, extension: String) {
        let files = self.files.clone();
        self.session.read(ticket, move |database, options| {
            let extension = json::unescape(extension.as_bytes());
            let choose = |files: &Queryable<'_>| Files::with_extension(&extension, files);
            let mut found = database.select(&files.spec, Part::Whole, options, choose)?;
            sort_by_path(&mut found);
            Ok(Answer::text(array(&found)))
        });
    }

    #[napi(catch_unwind)]
    pub fn search(&self, ticket: u32, query: String, abort: Option<&NativeAbort>) {
        let (files, cancel) = (self.files.clone(), cancel_of(abort));
        self.session.read(ticket, move |database, options| {
            Ok(Answer::text(array(&files.search(
                database,
                &json::unescape_lossy(query.as_bytes()),
                options,
                &cancel,
            )?)))
        });
    }

    #[napi(catch_unwind)]
    pub fn list(&self, ticket: u32, with_content: bool, all_versions: bool, abort: Option<&NativeAbort>) {
        let (files, cancel) = (self.files.clone(), cancel_of(abort));
        self.session.read(ticket, move |database, options| {
            files.list(database, part(with_content), all_versions, options, &cancel).map(Answer::Text)
        });
    }
}
