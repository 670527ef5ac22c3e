//! `ProjectFileStorage` as native code sees it.

use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::Utf16String;
use napi_derive::napi;

use super::collection::{
    NativeCollection, Peeked, boolean, document, documents, fresh_document, part, parts_of, peeked,
};
use super::fresh::FreshFor;
use super::parts::{Parts, PartsList};
use super::pieces::Pieces;
use super::port::Answer;
use super::session::Session;
use super::text::{GivenText, texts_of};
use crate::engine::document::{Document, DocumentId, Given, head_len};
use crate::engine::json;
use crate::engine::{CollectionSpec, GivenMap, Moment, Part, Peek, Queryable, Transaction, Written};
use crate::project::versions::{self, Wanted};
use crate::project::{Content, Files, LARGE_FIELD, sort_by_path};

/// So many files are answered in one piece.
const PIECE: usize = 512;

#[napi]
pub struct NativeFiles {
    pub(super) session: Arc<Session>,
    pub(super) files: Files,
    fresh_for: FreshFor,
}

impl NativeFiles {
    pub fn new(session: Arc<Session>, files: Files) -> NativeFiles {
        NativeFiles { session, files, fresh_for: FreshFor::default() }
    }
}

/// The first of the documents, if there is one.
fn first(spec: &CollectionSpec, texts: &[Arc<[u8]>]) -> Answer {
    match (texts.first(), spec.large_field) {
        (Some(text), Some(field)) => {
            Answer::Parts(Parts::of_document(text, head_len(text, Some(field)), field))
        }
        (Some(text), None) => Answer::Text(Arc::clone(text)),
        (None, _) => Answer::Nothing,
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
fn given<'a>(input: &'a str, content: &'a Option<String>) -> Given<'a> {
    Given { text: input.as_bytes(), large: content.as_deref() }
}

/// What a write of a map answers with, once all of it is put.
fn written_heads(tx: &Transaction<'_>, written: &Written) -> Answer {
    let mut text = format!("[{},", tx.sequence()).into_bytes();
    text.extend_from_slice(&written.text(Part::Head));
    text.push(b']');
    Answer::text(text)
}

/// Where a call takes a record and a content, the content is not in the record and is no JSON; one without comes with the record.
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
            let created = files.create(tx, &[given(&input, &content)], false)?;
            Ok(Answer::maybe(created.first().map(Document::head_object)))
        });
    }

    /// Answers, in pieces, with the files without their contents, which the caller has.
    #[napi(catch_unwind)]
    pub fn create_many(&self, ticket: u32, inputs: Vec<String>, contents: Vec<Option<GivenText>>) {
        let (files, mailbox) = (self.files.clone(), self.session.mailbox().clone());
        let contents = texts_of(contents);
        self.session.write(ticket, move |tx| {
            let inputs: Vec<Given<'_>> =
                inputs.iter().zip(&contents).map(|(input, content)| given(input, content)).collect();
            let created = files.create(tx, &inputs, true)?;
            if created.is_empty() {
                return Ok(Answer::text(*b"[]"));
            }
            // All but the last of them are read while the disk works, for nothing if it fails.
            let mut pieces = Pieces::new(mailbox, ticket);
            for (at, run) in created.chunks(PIECE).enumerate() {
                let mut list = PartsList::default();
                run.iter().for_each(|file| list.push_whole(&file.head_object()));
                pieces.add(at == 0, Answer::Parts(list.finish()));
            }
            pieces.last()
        });
    }

    /// Answers with the file, without its content where that is given: the caller has it.
    #[napi(catch_unwind)]
    pub fn update(&self, ticket: u32, id: f64, patch: String, content: Option<String>) {
        let files = self.files.clone();
        self.session.write(ticket, move |tx| {
            let updated = files.update(tx, id as u64, given(&patch, &content))?;
            Ok(match updated {
                Some(updated) if content.is_some() => Answer::text(updated.head_object()),
                updated => document(&files.spec, updated),
            })
        });
    }

    /// Answers with the files, each without its content where that is given.
    #[napi(catch_unwind)]
    pub fn update_many(
        &self,
        ticket: u32,
        ids: Vec<f64>,
        patches: Vec<String>,
        contents: Vec<Option<GivenText>>,
    ) {
        let (files, contents) = (self.files.clone(), texts_of(contents));
        self.session.write(ticket, move |tx| {
            let given = patches.iter().zip(&contents).map(|(patch, content)| given(patch, content));
            let patches: Vec<(u64, Given<'_>)> = ids.iter().map(|&id| id as u64).zip(given).collect();
            let mut list = PartsList::default();
            for (updated, content) in files.update_many(tx, &patches)?.iter().zip(&contents) {
                if content.is_some() {
                    list.push_head(&updated.head_object());
                } else {
                    list.push(&updated.text, updated.head, LARGE_FIELD);
                }
            }
            Ok(Answer::Parts(list.finish()))
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

    /// `contents` are those of the records, in the order of the map, where they come apart. Answers with `[sequence, map]`:
    /// the map as it is stored after that batch, without the contents, which the caller has.
    #[napi(catch_unwind)]
    pub fn write_all(&self, ticket: u32, map: String, contents: Vec<Option<GivenText>>) {
        let (files, contents) = (self.files.clone(), texts_of(contents));
        self.session.write(ticket, move |tx| {
            let map = GivenMap { text: map.as_bytes(), large: &contents };
            let written = files.write_all(tx, map)?;
            Ok(written_heads(tx, &written))
        });
    }

    /// As `write_all`, for a map that differs from what the engine with this number had after the batch `seq` by these
    /// records and the files that are gone only. Answers with these records. Where that may have changed since, the answer is
    /// null, and nothing is written.
    #[napi(catch_unwind)]
    pub fn write_difference(
        &self,
        ticket: u32,
        engine: f64,
        seq: f64,
        map: String,
        contents: Vec<Option<GivenText>>,
        gone: Vec<f64>,
    ) {
        let (files, contents) = (self.files.clone(), texts_of(contents));
        self.session.write(ticket, move |tx| {
            let known = Moment { engine: engine as u64, seq: seq as u64 };
            let map = GivenMap { text: map.as_bytes(), large: &contents };
            let gone: Vec<DocumentId> = gone.iter().map(|&id| (id as u64).into()).collect();
            let written = files.write_difference(tx, known, map, &gone)?;
            Ok(written.map_or(Answer::Nothing, |written| written_heads(tx, &written)))
        });
    }

    /// `content` is JSON unless it is `plain`; `extra` is. Answers with the version without its content, which the caller has.
    #[napi(catch_unwind)]
    pub fn create_version(&self, ticket: u32, id: f64, content: String, plain: bool, extra: Option<String>) {
        let files = self.files.clone();
        self.session.write(ticket, move |tx| {
            let content = if plain { Content::Plain(&content) } else { Content::Json(content.as_bytes()) };
            let extra = extra.as_deref().map(str::as_bytes);
            Ok(Answer::text(versions::append(tx, &files, id as u64, content, extra)?.head_object()))
        });
    }

    #[napi(catch_unwind)]
    pub fn revert(&self, ticket: u32, id: f64, version: f64) {
        let files = self.files.clone();
        self.session.write(ticket, move |tx| {
            let reverted = versions::revert(tx, &files, id as u64, version as u64)?;
            Ok(document(&files.spec, Some(reverted)))
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
    pub fn peek_by_path<'env>(&self, env: &'env Env, path: Utf16String) -> napi::Result<Peeked<'env>> {
        let Some(engine) = self.session.engine() else { return peeked(env, Peek::Wait) };
        let path = json::from_utf16(&path);
        let choose = |files: &Queryable<'_>| Files::at_path(&path, files);
        // Who waits is told what went wrong.
        let found =
            engine.peek_chosen(&self.files.spec, self.session.read_options(), choose).unwrap_or(Peek::Wait);
        peeked(env, found.map(|found| fresh_document(&self.files.spec, found, &self.fresh_for)))
    }

    /// Of what `peek_by_path` gave last: how many milliseconds the cache would go on to give it; 0 if it came from somewhere
    /// else.
    #[napi(catch_unwind)]
    pub fn fresh_for(&self) -> f64 {
        self.fresh_for.milliseconds()
    }

    #[napi(catch_unwind)]
    pub fn by_path(&self, ticket: u32, path: Utf16String) {
        let files = self.files.clone();
        let path = json::from_utf16(&path);
        self.session.read(ticket, move |database, options| {
            let choose = |files: &Queryable<'_>| Ok(Files::at_path(&path, files)?.into_iter().collect());
            let found = database.select(&files.spec, Part::Whole, options, choose)?;
            Ok(first(&files.spec, &found))
        });
    }

    #[napi(catch_unwind)]
    pub fn by_extension(&self, ticket: u32, extension: Utf16String) {
        let files = self.files.clone();
        let extension = json::from_utf16(&extension);
        self.session.read(ticket, move |database, options| {
            let choose = |files: &Queryable<'_>| Files::with_extension(&extension, files);
            let mut found = database.select(&files.spec, Part::Whole, options, choose)?;
            sort_by_path(&mut found);
            Ok(documents(&files.spec, &found))
        });
    }

    #[napi(catch_unwind)]
    pub fn search(&self, ticket: u32, query: Utf16String) {
        let files = self.files.clone();
        // As an encoder of UTF-8 would: what lone surrogates stand for is found by U+FFFD.
        let query = String::from_utf16_lossy(&query);
        self.session.read(ticket, move |database, options| {
            let found = files.search(database, &query, options)?;
            Ok(documents(&files.spec, &found))
        });
    }

    #[napi(catch_unwind)]
    pub fn list_latest(&self, ticket: u32, with_content: bool) {
        let files = self.files.clone();
        self.session.read(ticket, move |database, options| {
            let part = part(with_content);
            let found = files.list_latest(database, part, options)?;
            Ok(parts_of(&files.spec, part, &found))
        });
    }
}
