//! Native calls for queries and iteration.

use std::sync::Arc;

use napi_derive::napi;
use parking_lot::Mutex;

use super::collection::NativeCollection;
use super::port::Answer;
use super::session::Session;
use crate::engine::document::DocumentId;
use crate::engine::query::Query;
use crate::engine::{CollectionSpec, Peek, View, json};

#[napi]
impl NativeCollection {
    /// Answers with the documents that a query (JSON) selects.
    #[napi(catch_unwind)]
    pub fn query(&self, ticket: u32, query: String) {
        let spec = Arc::clone(&self.spec);
        self.session.read_documents(ticket, spec.large_field, move |database, options| {
            database.documents(&spec, &Query::from_json(query.as_bytes())?, options)
        });
    }

    /// Answers with how many documents satisfy the condition of a query (JSON).
    #[napi(catch_unwind)]
    pub fn count(&self, ticket: u32, query: String) {
        let spec = Arc::clone(&self.spec);
        self.session.read(ticket, move |database, options| {
            let query = Query::from_json(query.as_bytes())?;
            Ok(Answer::json(database.count(&spec, &query, options)?.into()))
        });
    }

    /// Returns how many documents there are, if the collection is in memory.
    #[napi(catch_unwind)]
    pub fn peek_count(&self) -> Option<f64> {
        match self.session.engine()?.peek_query(&self.spec, |collection| collection.documents().len()) {
            Peek::Ready(count) => Some(count as f64),
            Peek::Wait => None,
        }
    }

    /// Answers with the plan by which a query is answered.
    #[napi(catch_unwind)]
    pub fn explain(&self, ticket: u32, query: String) {
        let spec = Arc::clone(&self.spec);
        self.session.read(ticket, move |database, options| {
            let query = Query::from_json(query.as_bytes())?;
            Ok(Answer::text(database.explain(&spec, &query, options)?))
        });
    }

    /// Prepares to read, a part at a time, the documents that satisfy the condition of a query (JSON).
    #[napi(catch_unwind)]
    pub fn iterate(&self, query: String, after: Option<String>) -> NativeIteration {
        let place = Place { view: None, after: after.map(|key| DocumentId::from_key(&key)), done: false };
        NativeIteration {
            session: Arc::clone(&self.session),
            spec: Arc::clone(&self.spec),
            query: Arc::new(query),
            place: Arc::new(Mutex::new(place)),
        }
    }
}

/// How far an iteration has got.
struct Place {
    /// The collection as it was at the first step.
    view: Option<View>,
    after: Option<DocumentId>,
    done: bool,
}

#[napi]
pub struct NativeIteration {
    session: Arc<Session>,
    spec: Arc<CollectionSpec>,
    query: Arc<String>,
    place: Arc<Mutex<Place>>,
}

#[napi]
impl NativeIteration {
    /// Answers with the next documents, about `count` of them; with nothing at the end.
    #[napi(catch_unwind)]
    pub fn next(&self, ticket: u32, count: f64) {
        let (spec, query) = (Arc::clone(&self.spec), Arc::clone(&self.query));
        let (place, pieces) = (Arc::clone(&self.place), self.session.pieces(ticket));
        self.session.read(ticket, move |database, options| {
            let mut place = place.lock();
            if place.done {
                return Ok(Answer::Nothing);
            }
            let query = Query::from_json(query.as_bytes())?;
            let view = match &place.view {
                Some(view) => view.clone(),
                None => place.view.insert(database.view(&spec, options)?).clone(),
            };
            let slice = database.slice(&view, &query, place.after.as_ref(), count as usize)?;
            place.done = slice.last.is_none();
            place.after = slice.last;
            if place.done {
                place.view = None;
            }
            pieces.documents(&slice.texts, spec.large_field)
        });
    }

    /// Releases the files that the iteration reads.
    #[napi(catch_unwind)]
    pub fn end(&self) {
        // A step in progress holds the lock and is not waited for. What it reads is then released with the iteration itself.
        if let Some(mut place) = self.place.try_lock() {
            place.done = true;
            place.view = None;
        }
    }
}

/// Appends the id of a document as JavaScript has it: as a number if the key is that of a number.
pub fn push_id(out: &mut Vec<u8>, id: &DocumentId) {
    match id {
        DocumentId::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        DocumentId::Text(text) => out.extend_from_slice(json::quote(text).as_bytes()),
    }
}
