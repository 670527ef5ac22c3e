//! A collection as native code sees it: reading documents whatever they are, and writing ones whose rules live in
//! JavaScript.

use std::sync::Arc;

use napi::bindgen_prelude::{Either3, Null, Undefined};
use napi_derive::napi;

use super::options::NativeOptions;
use super::port::{Answer, Port};
use super::session::Session;
use crate::engine::document::DocumentId;
use crate::engine::{CacheStats, CollectionSpec, Error, Foreign, Part, Peek, Transaction, json, write_map};

#[napi]
pub struct NativeCollection {
    session: Arc<Session>,
    spec: Arc<CollectionSpec>,
}

impl NativeCollection {
    pub fn new(session: Arc<Session>, spec: Arc<CollectionSpec>) -> NativeCollection {
        NativeCollection { session, spec }
    }
}

/// What `getCacheStats` needs.
#[napi(object)]
pub struct NativeCacheStats {
    pub size: f64,
    pub max_size: f64,
    /// Milliseconds.
    pub ttl: f64,
    pub hits: f64,
    pub misses: f64,
}

/// The text of a peeked document: `null` if there is none, `undefined` if it cannot be told without waiting.
pub type Peeked = Either3<String, Null, Undefined>;

pub fn peeked(peek: Peek<Option<Arc<[u8]>>>) -> Peeked {
    match peek {
        Peek::Ready(Some(text)) => Answer::Text(text).into_string().map_or(Either3::B(Null), Either3::A),
        Peek::Ready(None) => Either3::B(Null),
        Peek::Wait => Either3::C(()),
    }
}

pub fn boolean(value: bool) -> Answer {
    Answer::text(if value { &b"true"[..] } else { b"false" })
}

pub fn part(with_large_field: bool) -> Part {
    if with_large_field { Part::Whole } else { Part::Head }
}

/// Keys are ids as they stand in the map; texts are JSON.
#[napi]
impl NativeCollection {
    /// A collection of the database in `directory`, which lies under `base`; `path` is relative to the directory. Touches
    /// no file.
    #[napi(constructor, catch_unwind)]
    pub fn open(
        port: &Port,
        base: String,
        directory: String,
        path: String,
        options: NativeOptions,
    ) -> NativeCollection {
        let spec = CollectionSpec {
            path: path.into(),
            large_field: None,
            indexes: Vec::new(),
            foreign: Foreign::Adopt(None),
        };
        let session = Session::new(&base, directory.into(), options.into(), port.mailbox());
        NativeCollection { session, spec: Arc::new(spec) }
    }

    #[napi(catch_unwind)]
    pub fn peek(&self, key: String) -> Peeked {
        let Some(engine) = self.session.engine() else { return peeked(Peek::Wait) };
        peeked(match engine.peek(&self.spec, &DocumentId::from_key(&key), self.session.read_options()) {
            Peek::Ready(document) => Peek::Ready(document.map(|document| document.text)),
            Peek::Wait => Peek::Wait,
        })
    }

    #[napi(catch_unwind)]
    pub fn get(&self, ticket: u32, key: String) {
        let spec = Arc::clone(&self.spec);
        self.session.read(ticket, move |database, options| {
            let found = database.get(&spec, &DocumentId::from_key(&key), options)?;
            Ok(Answer::maybe(found.map(|document| document.text)))
        });
    }

    #[napi(catch_unwind)]
    pub fn peek_list(&self, with_large_field: bool) -> Option<String> {
        match self.session.engine()?.peek_list(
            &self.spec,
            part(with_large_field),
            self.session.read_options(),
        ) {
            Peek::Ready(text) => Answer::Text(text).into_string(),
            Peek::Wait => None,
        }
    }

    #[napi(catch_unwind)]
    pub fn list(&self, ticket: u32, with_large_field: bool) {
        let spec = Arc::clone(&self.spec);
        self.session.read(ticket, move |database, options| {
            database.list(&spec, part(with_large_field), options).map(Answer::Text)
        });
    }

    /// Puts a document under a key that must be free; fails with `ALREADY_EXISTS`.
    #[napi(catch_unwind)]
    pub fn insert(&self, ticket: u32, key: String, text: String) {
        let spec = Arc::clone(&self.spec);
        self.session.write(ticket, move |tx| {
            let id = DocumentId::from_key(&key);
            if tx.contains(&spec, &id)? {
                return Err(Error::AlreadyExists { what: "document", id: key });
            }
            tx.put(&spec, id, text.into_bytes())?;
            Ok(Answer::Nothing)
        });
    }

    /// Puts a document in place of `expected`. Answers whether that was still there.
    #[napi(catch_unwind)]
    pub fn replace(&self, ticket: u32, key: String, expected: String, text: String) {
        let spec = Arc::clone(&self.spec);
        self.session.write(ticket, move |tx| {
            let id = DocumentId::from_key(&key);
            let current = tx.get(&spec, &id)?;
            if current.is_none_or(|current| *current.text != *expected.as_bytes()) {
                return Ok(boolean(false));
            }
            tx.put(&spec, id, text.into_bytes())?;
            Ok(boolean(true))
        });
    }

    /// Deletes a document and the path that belongs to it, relative to the database. Answers whether it was there.
    #[napi(catch_unwind)]
    pub fn delete(&self, ticket: u32, key: String, path: Option<String>) {
        let spec = Arc::clone(&self.spec);
        self.session.write(ticket, move |tx| {
            let deleted = tx.delete(&spec, DocumentId::from_key(&key))?;
            if deleted && let Some(path) = path {
                tx.remove_path(&path)?;
            }
            Ok(boolean(deleted))
        });
    }

    /// Makes the collection that of a whole map, storing the difference only. `paths` (a JSON map of key to path) says
    /// what belongs to documents that the map lacks.
    #[napi(catch_unwind)]
    pub fn write_all(&self, ticket: u32, map: String, paths: String) {
        let spec = Arc::clone(&self.spec);
        self.session.write(ticket, move |tx| {
            let keep = |_: &str, raw: &[u8], _: Option<&[u8]>| Ok(json::compact(raw).into_owned());
            let written = write_map(tx, &spec, "map", map.as_bytes(), keep)?;
            for id in &written.gone {
                remove(tx, &spec, id, &paths)?;
            }
            Ok(Answer::text(written.text(Part::Whole)))
        });
    }

    #[napi(catch_unwind)]
    pub fn rebuild_indexes(&self, ticket: u32) {
        let spec = Arc::clone(&self.spec);
        self.session.read(ticket, move |database, options| {
            database.rebuild_indexes(&spec, options).map(|()| Answer::Nothing)
        });
    }

    #[napi(catch_unwind)]
    pub fn clear_cache(&self) {
        if let Some(engine) = self.session.engine() {
            engine.clear_cache();
        }
    }

    #[napi(catch_unwind)]
    pub fn cache_stats(&self) -> NativeCacheStats {
        let limits = self.session.options().cache;
        let unopened = CacheStats { size: 0, limits, hits: 0, misses: 0 };
        let stats = self.session.engine().map_or(unopened, |engine| engine.cache_stats());
        NativeCacheStats {
            size: stats.size as f64,
            max_size: stats.limits.entries as f64,
            ttl: stats.limits.ttl.as_millis() as f64,
            hits: stats.hits as f64,
            misses: stats.misses as f64,
        }
    }

    /// Brings the JSON files up to date. The session goes on for its other users.
    #[napi(catch_unwind)]
    pub fn checkpoint(&self, ticket: u32) {
        self.session.read(ticket, |database, options| {
            let wait = crate::engine::Wait::at_most(options.lock_timeout);
            database.checkpoint(wait).map(|()| Answer::Nothing)
        });
    }

    /// Answers with the report of [`super::report::verify_report`].
    #[napi(catch_unwind)]
    pub fn verify(&self, ticket: u32) {
        self.session.verify(ticket);
    }

    /// Answers with the report of [`super::report::repair_report`].
    #[napi(catch_unwind)]
    pub fn repair(&self, ticket: u32) {
        self.session.repair(ticket);
    }

    /// Ends the session for all its users.
    #[napi(catch_unwind)]
    pub fn close(&self, ticket: u32) {
        self.session.close(ticket);
    }
}

fn remove(
    tx: &mut Transaction<'_>,
    spec: &Arc<CollectionSpec>,
    id: &DocumentId,
    paths: &str,
) -> crate::engine::Result<()> {
    let path =
        json::get_key(paths.as_bytes(), &id.to_string()).map(|raw| json::unescape_lossy(raw).into_owned());
    tx.delete(spec, id.clone())?;
    path.map_or(Ok(()), |path| tx.remove_path(&path))
}
