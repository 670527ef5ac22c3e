//! Native calls for `ProjectFileStorage`.

use std::iter;
use std::sync::Arc;

use napi::bindgen_prelude::Utf16String;
use napi::{Env, JsString};
use napi_derive::napi;

use super::collection::{NativeCollection, Peeked, boolean, document, fresh_document, part, peeked};
use super::fresh::FreshFor;
use super::given_texts::whole_text;
use super::parts::PartsList;
use super::pieces::Pieces;
use super::port::Answer;
use super::records::{NativeRecords, Records};
use super::session::Session;
use crate::engine::document::{Document, DocumentId, Given};
use crate::engine::json;
use crate::engine::{Moment, Part, Peek, Queryable, Result, Transaction, Written};
use crate::project::versions::{self, Wanted};
use crate::project::{Content, Files, LARGE_FIELD, sort_by_path};

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

/// Returns which versions are wanted: the latest for a negative number, one for any other number, all without a number.
fn wanted(version: Option<f64>) -> Wanted {
    match version {
        None => Wanted::All,
        Some(version) if version < 0.0 => Wanted::Latest,
        Some(version) => Wanted::One(version as u64),
    }
}

/// Pairs a record or a patch with its content, which arrives as a plain string if it has no lone surrogates, because turning
/// it into JSON is cheaper here.
fn given<'a>(input: &'a str, content: &'a Option<String>) -> Given<'a> {
    Given { text: input.as_bytes(), large: content.as_deref() }
}

fn taken_in(env: &Env, content: Option<JsString<'_>>) -> napi::Result<Option<String>> {
    content.map(|content| whole_text(env, &content)).transpose()
}

/// Answers a write of a map once all of it has been put: with a list of the batch's number and of the files.
fn written_heads(pieces: Pieces, tx: &Transaction<'_>, written: &Written) -> Result<Answer> {
    let sequence = tx.sequence().to_string();
    let files = written.documents.iter().map(|(_, file)| Some(file));
    let elements: Vec<Option<&Document>> = iter::once(None).chain(files).collect();
    let bytes = |file: &Option<&Document>| file.map_or(0, |file| file.head);
    pieces.list(&elements, bytes, |list, file| match file {
        None => list.push_whole(sequence.as_bytes()),
        Some(file) => list.push_head(&file.text[..file.head], LARGE_FIELD),
    })
}

/// Answers with created files without their contents, which the caller has.
pub fn created_files(pieces: Pieces, created: &[Document]) -> Result<Answer> {
    let push = |list: &mut PartsList, file: &Document| list.push_head(&file.text[..file.head], LARGE_FIELD);
    pieces.list(created, |file| file.head, push)
}

/// Answers with updated files, without the contents that the patches gave, since the caller has these.
pub fn updated_files(pieces: Pieces, updated: Vec<Document>, patches: &Records) -> Result<Answer> {
    let is_given = patches.iter().map(|patch| patch.large.is_some());
    let updated: Vec<(Document, bool)> = updated.into_iter().zip(is_given).collect();
    let bytes = |(file, is_given): &(Document, bool)| if *is_given { file.head } else { file.text.len() };
    pieces.list(&updated, bytes, |list, (file, is_given)| {
        if *is_given {
            list.push_head(&file.text[..file.head], LARGE_FIELD);
        } else {
            list.push(&file.text, file.head, LARGE_FIELD);
        }
    })
}

/// Where a call takes a record and a content, the content is plain text and not in the record; without one, it is in the
/// record.
#[napi]
impl NativeFiles {
    /// The documents themselves, on the same session.
    #[napi(catch_unwind)]
    pub fn documents(&self) -> NativeCollection {
        NativeCollection::new(Arc::clone(&self.session), Arc::clone(&self.files.spec))
    }

    /// Answers with the file without its content, which the caller has.
    #[napi(catch_unwind)]
    pub fn create(
        &self,
        env: &Env,
        ticket: u32,
        input: String,
        content: Option<JsString<'_>>,
    ) -> napi::Result<()> {
        let (files, content) = (self.files.clone(), taken_in(env, content)?);
        self.session.write(ticket, move |tx| {
            let created = files.create(tx, &[given(&input, &content)], false)?;
            Ok(Answer::maybe(created.first().map(Document::head_object)))
        });
        Ok(())
    }

    /// Answers with the files without their contents, which the caller has.
    #[napi(catch_unwind)]
    pub fn create_many(&self, ticket: u32, records: &NativeRecords) -> napi::Result<()> {
        let (files, pieces, records) = (self.files.clone(), self.session.pieces(ticket), records.all()?);
        self.session.write(ticket, move |tx| {
            let inputs: Vec<Given<'_>> = records.iter().collect();
            // JavaScript reads all but the last piece while the disk works; that work is wasted if the write fails.
            created_files(pieces, &files.create(tx, &inputs, true)?)
        });
        Ok(())
    }

    /// Answers with the file, without its content if `content` is given, since the caller has it.
    #[napi(catch_unwind)]
    pub fn update(
        &self,
        env: &Env,
        ticket: u32,
        id: f64,
        patch: String,
        content: Option<JsString<'_>>,
    ) -> napi::Result<()> {
        let (files, content) = (self.files.clone(), taken_in(env, content)?);
        self.session.write(ticket, move |tx| {
            let updated = files.update(tx, id as u64, given(&patch, &content))?;
            Ok(match updated {
                Some(updated) if content.is_some() => Answer::text(updated.head_object()),
                updated => document(&files.spec, updated),
            })
        });
        Ok(())
    }

    /// Answers with the files, without the contents that are given, since the caller has these.
    #[napi(catch_unwind)]
    pub fn update_many(&self, ticket: u32, ids: Vec<f64>, patches: &NativeRecords) -> napi::Result<()> {
        let (files, pieces, patches) = (self.files.clone(), self.session.pieces(ticket), patches.all()?);
        self.session.write(ticket, move |tx| {
            updated_files(pieces, files.update_many(tx, &patches.under(&ids))?, &patches)
        });
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn delete(&self, ticket: u32, id: f64) {
        let files = self.files.clone();
        self.session
            .write(ticket, move |tx| files.delete(tx, &[id as u64]).map(|deleted| boolean(deleted > 0)));
    }

    /// Answers how many existed.
    #[napi(catch_unwind)]
    pub fn delete_many(&self, ticket: u32, ids: Vec<f64>) {
        let files = self.files.clone();
        let ids: Vec<u64> = ids.into_iter().map(|id| id as u64).collect();
        self.session.write(ticket, move |tx| Ok(Answer::json(files.delete(tx, &ids)?.into())));
    }

    #[napi(catch_unwind)]
    pub fn delete_all(&self, ticket: u32) {
        let files = self.files.clone();
        self.session.write(ticket, move |tx| files.delete_all(tx).map(|()| Answer::Nothing));
    }

    /// Answers with a list: the number of the batch, then the files as they are stored after it, ids ascending, without
    /// their contents.
    #[napi(catch_unwind)]
    pub fn write_all(&self, ticket: u32, members: &NativeRecords) -> napi::Result<()> {
        let (files, pieces, members) = (self.files.clone(), self.session.pieces(ticket), members.all()?);
        self.session.write(ticket, move |tx| {
            let written = files.write_all(tx, members.map())?;
            written_heads(pieces, tx, &written)
        });
        Ok(())
    }

    /// Like `write_all`, for a map that differs only by these members and by the files in `gone` from what the engine with
    /// this number had after the batch `seq`. Answers with only the files written. If what that engine had may have changed
    /// since, writes nothing and answers with null.
    #[napi(catch_unwind)]
    pub fn write_difference(
        &self,
        ticket: u32,
        engine: f64,
        seq: f64,
        members: &NativeRecords,
        gone: Vec<f64>,
    ) -> napi::Result<()> {
        let (files, pieces, members) = (self.files.clone(), self.session.pieces(ticket), members.all()?);
        self.session.write(ticket, move |tx| {
            let known = Moment { engine: engine as u64, seq: seq as u64 };
            let gone: Vec<DocumentId> = gone.iter().map(|&id| (id as u64).into()).collect();
            let written = files.write_difference(tx, known, members.map(), &gone)?;
            written.map_or(Ok(Answer::Nothing), |written| written_heads(pieces, tx, &written))
        });
        Ok(())
    }

    /// `content` is JSON unless it is `plain`; `extra` is JSON. Answers with the version without its content, which the
    /// caller has.
    #[napi(catch_unwind)]
    pub fn create_version(
        &self,
        env: &Env,
        ticket: u32,
        id: f64,
        content: JsString<'_>,
        plain: bool,
        extra: Option<String>,
    ) -> napi::Result<()> {
        let (files, content) = (self.files.clone(), whole_text(env, &content)?);
        self.session.write(ticket, move |tx| {
            let content = if plain { Content::Plain(&content) } else { Content::Json(content.as_bytes()) };
            let extra = extra.as_deref().map(str::as_bytes);
            Ok(Answer::text(versions::append(tx, &files, id as u64, content, extra)?.head_object()))
        });
        Ok(())
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
        self.session.read_documents(ticket, Some(LARGE_FIELD), move |database, options| {
            versions::read(database, &files, id as u64, wanted(version), options)
        });
    }

    #[napi(catch_unwind)]
    pub fn peek_by_path<'env>(&self, env: &'env Env, path: Utf16String) -> napi::Result<Peeked<'env>> {
        let Some(engine) = self.session.engine() else { return peeked(env, Peek::Wait) };
        let path = json::from_utf16(&path);
        let choose = |files: &Queryable<'_>| Files::at_path(&path, files);
        // The call that waits then reports what went wrong.
        let found =
            engine.peek_chosen(&self.files.spec, self.session.read_options(), choose).unwrap_or(Peek::Wait);
        peeked(env, found.map(|found| fresh_document(&self.files.spec, found, &self.fresh_for)))
    }

    /// Returns for how many more milliseconds the cache would return what `peek_by_path` last returned; 0 if that did not
    /// come from the cache.
    #[napi(catch_unwind)]
    pub fn fresh_for(&self) -> f64 {
        self.fresh_for.milliseconds()
    }

    #[napi(catch_unwind)]
    pub fn by_path(&self, ticket: u32, path: Utf16String) {
        let files = self.files.clone();
        let path = json::from_utf16(&path);
        self.session.read(ticket, move |database, options| {
            let choose = |files: &Queryable<'_>| Files::at_path(&path, files);
            let found = database.get_chosen(&files.spec, options, choose)?;
            Ok(document(&files.spec, found))
        });
    }

    #[napi(catch_unwind)]
    pub fn by_extension(&self, ticket: u32, extension: Utf16String) {
        let files = self.files.clone();
        let extension = json::from_utf16(&extension);
        self.session.read_documents(ticket, Some(LARGE_FIELD), move |database, options| {
            let choose = |files: &Queryable<'_>| Files::with_extension(&extension, files);
            let mut found = database.select(&files.spec, Part::Whole, options, choose)?;
            sort_by_path(&mut found);
            Ok(found)
        });
    }

    #[napi(catch_unwind)]
    pub fn search(&self, ticket: u32, query: Utf16String) {
        let files = self.files.clone();
        // Like a UTF-8 encoder: U+FFFD finds what stands for lone surrogates.
        let query = String::from_utf16_lossy(&query);
        self.session.read_documents(ticket, Some(LARGE_FIELD), move |database, options| {
            files.search(database, &query, options)
        });
    }

    #[napi(catch_unwind)]
    pub fn list_latest(&self, ticket: u32, with_content: bool) {
        let files = self.files.clone();
        let field = Some(LARGE_FIELD).filter(|_| with_content);
        self.session.read_documents(ticket, field, move |database, options| {
            files.list_latest(database, part(with_content), options)
        });
    }
}
