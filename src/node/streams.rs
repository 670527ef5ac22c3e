//! Native calls for the contents of files as streams.

use std::sync::Arc;

use napi_derive::napi;
use parking_lot::Mutex;

use super::files::NativeFiles;
use super::port::Answer;
use super::session::Session;
use crate::engine::{ContentReader, Database, Error, Result};
use crate::project::{Complete, Files, Incoming};

/// The content of one file, read a chunk at a time.
#[napi]
pub struct NativeContent {
    session: Arc<Session>,
    files: Files,
    id: u64,
    reading: Arc<Mutex<Reading>>,
}

#[derive(Default)]
enum Reading {
    #[default]
    Unopened,
    Open(ContentReader),
    /// The file has been released, even if the call that opens it is still in progress.
    Ended,
}

#[napi]
impl NativeFiles {
    #[napi(catch_unwind)]
    pub fn content(&self, id: f64) -> NativeContent {
        let (session, files) = (Arc::clone(&self.session), self.files.clone());
        NativeContent { session, files, id: id as u64, reading: Arc::default() }
    }

    #[napi(catch_unwind)]
    pub fn spool(&self, fields: String) -> NativeSpool {
        let (session, files) = (Arc::clone(&self.session), self.files.clone());
        NativeSpool { session, files, fields: fields.into(), stage: Arc::default() }
    }
}

#[napi]
impl NativeContent {
    /// Looks up the file. Fails with `NOT_FOUND` if there is none.
    #[napi(catch_unwind)]
    pub fn open(&self, ticket: u32) {
        let (files, id) = (self.files.clone(), self.id);
        let reading = Arc::clone(&self.reading);
        self.session.read(ticket, move |database, options| {
            let Some(found) = database.content(&files.spec, &id.into(), options)? else {
                return Err(Error::NotFound { what: "file", id: id.to_string() });
            };
            let mut reading = reading.lock();
            if matches!(*reading, Reading::Unopened) {
                *reading = Reading::Open(found);
            }
            Ok(Answer::Nothing)
        });
    }

    /// Answers with the next chunk as a JSON string; with nothing at the end.
    #[napi(catch_unwind)]
    pub fn next(&self, ticket: u32) {
        let reading = Arc::clone(&self.reading);
        self.session.read(ticket, move |database, _| {
            let mut reading = reading.lock();
            let Reading::Open(open) = &mut *reading else { return Ok(Answer::Nothing) };
            let mut text = vec![b'"'];
            text.extend(database.next_chunk(open)?);
            if text.len() == 1 {
                *reading = Reading::Ended;
                return Ok(Answer::Nothing);
            }
            text.push(b'"');
            Ok(Answer::text(text))
        });
    }

    /// Releases the file.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        if let Some(mut reading) = self.reading.try_lock() {
            *reading = Reading::Ended;
            return;
        }
        // A chunk is being read, which must not be waited for here.
        let reading = Arc::clone(&self.reading);
        crate::pool::run_blocking(move || *reading.lock() = Reading::Ended);
    }
}

/// The content of a file to be created, received a piece at a time.
#[napi]
pub struct NativeSpool {
    session: Arc<Session>,
    files: Files,
    /// The other fields of the file, a JSON object.
    fields: Arc<str>,
    stage: Arc<Mutex<Stage>>,
}

#[derive(Default)]
enum Stage {
    #[default]
    Empty,
    Filling(Box<Incoming>),
    Complete(Complete),
    Ended,
}

#[napi]
impl NativeSpool {
    /// Receives a piece: a part of a string as JSON text, without quotes, cut between characters.
    #[napi(catch_unwind)]
    pub fn append(&self, ticket: u32, piece: String) {
        self.advance(ticket, move |_, _, mut incoming| {
            incoming.append(piece.as_bytes())?;
            Ok(Stage::Filling(Box::new(incoming)))
        });
    }

    /// Ends the content and, if it is large, makes it durable.
    #[napi(catch_unwind)]
    pub fn complete(&self, ticket: u32) {
        self.advance(ticket, |files, database, incoming| {
            Ok(Stage::Complete(files.complete(database, incoming)?))
        });
    }

    /// Creates the file. Answers with the file without its content.
    #[napi(catch_unwind)]
    pub fn create(&self, ticket: u32) {
        let (stage, files) = (Arc::clone(&self.stage), self.files.clone());
        self.session.write(ticket, move |tx| {
            let Stage::Complete(complete) = std::mem::replace(&mut *stage.lock(), Stage::Ended) else {
                return Err(Error::Closed);
            };
            Ok(Answer::maybe(files.create_from(tx, complete)?))
        });
    }

    /// Forgets what was received.
    #[napi(catch_unwind)]
    pub fn abandon(&self) {
        let stage = Arc::clone(&self.stage);
        // A piece may be on its way to the disk, which must not be waited for here.
        crate::pool::run_blocking(move || *stage.lock() = Stage::Ended);
    }
}

impl NativeSpool {
    /// Takes the spool from what was received so far to its next stage. A failure ends the spool.
    fn advance(
        &self,
        ticket: u32,
        step: impl FnOnce(&Files, &Database, Incoming) -> Result<Stage> + Send + 'static,
    ) {
        let (stage, files) = (Arc::clone(&self.stage), self.files.clone());
        let fields = Arc::clone(&self.fields);
        self.session.read(ticket, move |database, _| {
            let mut stage = stage.lock();
            let incoming = match std::mem::replace(&mut *stage, Stage::Ended) {
                Stage::Empty => files.take_in(database, fields.as_bytes())?,
                Stage::Filling(incoming) => *incoming,
                Stage::Complete(_) | Stage::Ended => return Err(Error::Closed),
            };
            *stage = step(&files, database, incoming)?;
            Ok(Answer::Nothing)
        });
    }
}
