//! `ProjectFileStorage` as native code sees it.

use std::sync::Arc;

use napi::Env;
use napi_derive::napi;

use super::collection::{NativeCollection, Peeked, boolean, document, documents, list, part, peeked};
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

/// A record or a patch with its content, which crosses as a plain string where it has no lone surrogates: making JSON of
/// it is cheaper here.
fn with_content(input: String, content: Option<String>) -> Vec<u8> {
    let mut input = input.into_bytes();
    let Some(content) = content else { return input };
    input.reserve(content.len() + content.len() / 8 + 16);
    if input.pop() == Some(b'}') {
        input.extend_from_slice(if input.len() > 1 { b",\"content\":" } else { b"\"content\":" });
        json::push_string(&mut input, content.as_bytes());
        input.push(b'}');
    }
    input
}

/// Several records, all of them with their contents or none.
fn with_contents(inputs: Vec<String>, contents: Option<Vec<String>>) -> Vec<Vec<u8>> {
    let contents: Vec<Option<String>> = match contents {
        Some(contents) => contents.into_iter().map(Some).collect(),
        None => vec![None; inputs.len()],
    };
    inputs.into_iter().zip(contents).map(|(input, content)| with_content(input, content)).collect()
}

/// Texts that a call looks for are JSON. Where a call takes a record and a content, the content is not in the record and
/// is no JSON; one without comes with the record.
#[napi]
impl NativeFiles {
    /// The documents themselves, on the same session.
    #[napi(catch_unwind)]
    pub fn documents(&self) -> NativeCollection {
        NativeCollection::new(Arc::clone(&self.session), Arc::clone(&self.files.spec))
    }

    /// Answers with the file without its content, which the caller has.
    #[napi(catch_unwind)]
    pub fn create(&self, ticket: u32, input: String, content: Option<String>) {
        let files = self.files.clone();
        self.session.write(ticket, move |tx| {
            let created = files.create(tx, &[&with_content(input, content)], false)?;
            Ok(Answer::maybe(created.first().map(Document::head_object)))
        });
    }

    /// Answers with the files without their contents, which the caller has.
    #[napi(catch_unwind)]
    pub fn create_many(&self, ticket: u32, inputs: Vec<String>, contents: Option<Vec<String>>) {
        let files = self.files.clone();
        self.session.write(ticket, move |tx| {
            let inputs = with_contents(inputs, contents);
            let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
            let created = files.create(tx, &inputs, true)?;
            let heads: Vec<Vec<u8>> = created.iter().map(Document::head_object).collect();
            Ok(Answer::text(array(&heads)))
        });
    }

    #[napi(catch_unwind)]
    pub fn update(&self, ticket: u32, id: f64, patch: String, content: Option<String>) {
        let files = self.files.clone();
        self.session.write(ticket, move |tx| {
            Ok(document(&files.spec, files.update(tx, id as u64, &with_content(patch, content))?))
        });
    }

    #[napi(catch_unwind)]
    pub fn update_many(&self, ticket: u32, ids: Vec<f64>, patches: Vec<String>) {
        let files = self.files.clone();
        self.session.write(ticket, move |tx| {
            let ids = ids.iter().map(|&id| id as u64);
            let patches: Vec<(u64, &[u8])> = ids.zip(patches.iter().map(String::as_bytes)).collect();
            Ok(documents(&files.spec, &files.update_many(tx, &patches)?))
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

    /// `content` is JSON unless it is `plain`; `extra` is. Answers with the version without its content, which the caller has.
    #[napi(catch_unwind)]
    pub fn create_version(&self, ticket: u32, id: f64, content: String, plain: bool, extra: Option<String>) {
        let files = self.files.clone();
        self.session.write(ticket, move |tx| {
            let content = if plain { json::quote(&content) } else { content };
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
            let reverted = versions::revert(tx, &files, id as u64, version as u64)?;
            Ok(document(&files.spec, Some(reverted.text)))
        });
    }

    #[napi(catch_unwind)]
    pub fn versions(&self, ticket: u32, id: f64, version: Option<f64>) {
        let files = self.files.clone();
        self.session.read(ticket, move |database, options| {
            let found = versions::read(database, &files, id as u64, wanted(version), options)?;
            Ok(documents(&files.spec, &found))
        });
    }

    #[napi(catch_unwind)]
    pub fn peek_by_path<'env>(&self, env: &'env Env, path: String) -> napi::Result<Peeked<'env>> {
        let Some(engine) = self.session.engine() else { return peeked(env, Peek::Wait) };
        let path = json::unescape(path.as_bytes());
        let choose = |files: &Queryable<'_>| Files::at_path(&path, files);
        let spec = &self.files.spec;
        peeked(
            env,
            match engine.peek_many(spec, Part::Whole, choose) {
                Ok(Peek::Ready(texts)) => Peek::Ready(document(spec, texts.into_iter().next())),
                Ok(Peek::Wait) | Err(_) => Peek::Wait,
            },
        )
    }

    #[napi(catch_unwind)]
    pub fn by_path(&self, ticket: u32, path: String) {
        let files = self.files.clone();
        self.session.read(ticket, move |database, options| {
            let path = json::unescape(path.as_bytes());
            let choose = |files: &Queryable<'_>| Files::at_path(&path, files);
            let found = database.select(&files.spec, Part::Whole, options, choose)?;
            Ok(document(&files.spec, found.into_iter().next()))
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
            Ok(documents(&files.spec, &found))
        });
    }

    #[napi(catch_unwind)]
    pub fn search(&self, ticket: u32, query: String) {
        let files = self.files.clone();
        self.session.read(ticket, move |database, options| {
            let found = files.search(database, &json::unescape_lossy(query.as_bytes()), options)?;
            Ok(documents(&files.spec, &found))
        });
    }

    #[napi(catch_unwind)]
    pub fn list(&self, ticket: u32, with_content: bool, all_versions: bool) {
        let files = self.files.clone();
        self.session.read(ticket, move |database, options| {
            let part = part(with_content);
            let found = files.list(database, part, all_versions, options)?;
            Ok(list(&files.spec, part, found))
        });
    }
}
