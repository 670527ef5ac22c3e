//! Contents of files as streams, as native code sees them.

use std::sync::Arc;

use napi_derive::napi;
use parking_lot::Mutex;

use super::files::NativeFiles;
use super::port::Answer;
use super::session::Session;
use crate::engine::document::Document;
use crate::engine::{ContentReader, Error, Spool};
use crate::project::Files;

/// The content of one file, read a chunk at a time.
#[napi]
pub struct NativeContent {
    session: Arc<Session>,
    files: Files,
    id: u64,
    reader: Arc<Mutex<Option<ContentReader>>>,
}

#[napi]
impl NativeFiles {
    #[napi(catch_unwind)]
    pub fn content(&self, id: f64) -> NativeContent {
        let (session, files) = (Arc::clone(&self.session), self.files.clone());
        NativeContent { session, files, id: id as u64, reader: Arc::default() }
    }

    #[napi(catch_unwind)]
    pub fn spool(&self) -> NativeSpool {
        let (session, files) = (Arc::clone(&self.session), self.files.clone());
        NativeSpool { session, files, spool: Arc::default() }
    }
}

#[napi]
impl NativeContent {
    /// Looks for the file. Answers whether there is one.
    #[napi(catch_unwind)]
    pub fn open(&self, ticket: u32) {
        let (files, id) = (self.files.clone(), self.id);
        let reader = Arc::clone(&self.reader);
        self.session.read(ticket, move |database, options| {
            let found = database.content(&files.spec, &id.into(), options)?;
            if found.is_none() {
                return Err(Error::NotFound { what: "file", id: id.to_string() });
            }
            *reader.lock() = found;
            Ok(Answer::Nothing)
        });
    }

    /// Answers with the next chunk as a JSON string, with nothing at the end.
    #[napi(catch_unwind)]
    pub fn next(&self, ticket: u32) {
        let reader = Arc::clone(&self.reader);
        self.session.read(ticket, move |database, _| {
            let mut reader = reader.lock();
            let Some(open) = reader.as_mut() else { return Ok(Answer::Nothing) };
            let mut text = vec![b'"'];
            text.extend(database.next_chunk(open)?);
            if text.len() == 1 {
                *reader = None;
                return Ok(Answer::Nothing);
            }
            text.push(b'"');
            Ok(Answer::text(text))
        });
    }

    /// Lets go of the file.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        if let Some(mut reader) = self.reader.try_lock() {
            *reader = None;
        }
    }
}

/// The content of a file that is to be, taken in a piece at a time.
#[napi]
pub struct NativeSpool {
    session: Arc<Session>,
    files: Files,
    spool: Arc<Mutex<Stage>>,
}

#[derive(Default)]
enum Stage {
    #[default]
    Empty,
    Filled(Spool),
    Ended,
}

#[napi]
impl NativeSpool {
    /// Takes in a piece: JSON text of a part of a string, without quotes.
    #[napi(catch_unwind)]
    pub fn append(&self, ticket: u32, piece: String) {
        let stage = Arc::clone(&self.spool);
        self.session.read(ticket, move |database, _| {
            let mut stage = stage.lock();
            if matches!(*stage, Stage::Empty) {
                *stage = Stage::Filled(database.spool()?);
            }
            match &mut *stage {
                Stage::Filled(spool) => spool.append(piece.as_bytes()).map(|()| Answer::Nothing),
                Stage::Empty | Stage::Ended => Err(Error::Closed),
            }
        });
    }

    /// Creates the file from its other fields, a JSON object, and what was taken in. Answers with the file without its
    /// content.
    #[napi(catch_unwind)]
    pub fn create(&self, ticket: u32, fields: String) {
        let (stage, files) = (Arc::clone(&self.spool), self.files.clone());
        self.session.write(ticket, move |tx| {
            let spool = std::mem::replace(&mut *stage.lock(), Stage::Ended);
            let mut input = Vec::with_capacity(fields.len() + 16);
            input.extend_from_slice(fields.strip_suffix('}').unwrap_or_default().as_bytes());
            if input.last() != Some(&b'{') {
                input.push(b',');
            }
            input.extend_from_slice(b"\"content\":\"");
            match &spool {
                Stage::Filled(spool) => spool.read_into(&mut input)?,
                Stage::Empty => {}
                Stage::Ended => return Err(Error::Closed),
            }
            drop(spool);
            input.extend_from_slice(b"\"}");
            let created = files.create(tx, &[&input], false)?;
            Ok(Answer::maybe(created.first().map(Document::head_object)))
        });
    }

    /// Forgets what was taken in.
    #[napi(catch_unwind)]
    pub fn abandon(&self) {
        let stage = Arc::clone(&self.spool);
        // A piece may be on its way to the disk: that must not be waited for here.
        super::port::run_blocking(move || *stage.lock() = Stage::Ended);
    }
}
