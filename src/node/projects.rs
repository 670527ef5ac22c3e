//! `ProjectStorageV2` as native code sees it.

use std::path::PathBuf;
use std::sync::Arc;

use napi::bindgen_prelude::{Either3, Null, Undefined};
use napi_derive::napi;

use super::files::NativeFiles;
use super::options::NativeOptions;
use super::port::{Answer, Port};
use super::session::Session;
use crate::engine::document::DocumentId;
use crate::engine::json;
use crate::engine::{CacheStats, Part, Peek, Queryable};
use crate::project::project_store::{self as store, Query};
use crate::project::{Files, array};

#[napi]
pub struct NativeProjects {
    session: Arc<Session>,
}

/// What `getCacheStats` needs.
#[napi(object)]
pub struct NativeCacheStats {
    pub size: f64,
    pub max_size: f64,
    pub ttl: f64,
    pub hits: f64,
    pub misses: f64,
}

impl NativeCacheStats {
    pub fn of(session: &Session) -> NativeCacheStats {
        let limits = session.options().cache;
        let closed = CacheStats { size: 0, limits, hits: 0, misses: 0 };
        let stats = session.engine().map_or(closed, |engine| engine.cache_stats());
        NativeCacheStats {
            size: stats.size as f64,
            max_size: stats.limits.entries as f64,
            ttl: stats.limits.ttl.as_millis() as f64,
            hits: stats.hits as f64,
            misses: stats.misses as f64,
        }
    }
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

/// Kinds of queries, as `project-storage.js` numbers them. `text` is JSON.
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
    /// `directory` is the database's. Touches no file.
    #[napi(constructor, catch_unwind)]
    pub fn new(port: &Port, directory: String, options: NativeOptions) -> NativeProjects {
        NativeProjects { session: Session::new(PathBuf::from(directory), options.into(), port.mailbox()) }
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

    #[napi(catch_unwind)]
    pub fn update(&self, ticket: u32, id: f64, patch: String) {
        self.session
            .write(ticket, move |tx| Ok(Answer::maybe(store::update(tx, id as u64, patch.as_bytes())?)));
    }

    #[napi(catch_unwind)]
    pub fn delete(&self, ticket: u32, id: f64) {
        self.session.write(ticket, move |tx| store::delete(tx, id as u64).map(boolean));
    }

    #[napi(catch_unwind)]
    pub fn delete_all(&self, ticket: u32) {
        self.session.write(ticket, move |tx| store::delete_all(tx).map(|()| Answer::Nothing));
    }

    #[napi(catch_unwind)]
    pub fn write_all(&self, ticket: u32, map: String) {
        self.session.write(ticket, move |tx| Ok(Answer::text(store::write_all(tx, map.as_bytes())?)));
    }

    /// Removes the files of a project and everything else that belongs to it.
    #[napi(catch_unwind)]
    pub fn delete_data(&self, ticket: u32, project_id: f64) {
        let delete =
            move |tx: &mut crate::engine::Transaction<'_>| store::delete_files(tx, project_id as u64);
        self.session.write(ticket, move |tx| delete(tx).map(|()| Answer::Nothing));
    }

    #[napi(catch_unwind)]
    pub fn peek(&self, id: f64) -> Peeked {
        let Some(engine) = self.session.engine() else { return peeked(Peek::Wait) };
        let found =
            engine.peek(&store::collection(), &DocumentId::from(id as u64), self.session.read_options());
        peeked(match found {
            Peek::Ready(document) => Peek::Ready(document.map(|document| document.text)),
            Peek::Wait => Peek::Wait,
        })
    }

    #[napi(catch_unwind)]
    pub fn get(&self, ticket: u32, id: f64) {
        self.session.read(ticket, move |database, options| {
            let found = database.get(&store::collection(), &DocumentId::from(id as u64), options)?;
            Ok(Answer::maybe(found.map(|document| document.text)))
        });
    }

    #[napi(catch_unwind)]
    pub fn peek_list(&self) -> Option<String> {
        let engine = self.session.engine()?;
        match engine.peek_list(&store::collection(), Part::Whole, self.session.read_options()) {
            Peek::Ready(text) => Answer::Text(text).into_string(),
            Peek::Wait => None,
        }
    }

    #[napi(catch_unwind)]
    pub fn list(&self, ticket: u32) {
        self.session.read(ticket, |database, options| {
            database.list(&store::collection(), Part::Whole, options).map(Answer::Text)
        });
    }

    #[napi(catch_unwind)]
    pub fn peek_query(&self, kind: u32, text: String, start: f64, end: f64) -> Option<String> {
        let query = query(kind, &text, start, end);
        let choose = |projects: &Queryable<'_>| query.choose(projects);
        match self.session.engine()?.peek_many(&store::collection(), Part::Whole, choose) {
            Ok(Peek::Ready(texts)) => Answer::text(array(&texts)).into_string(),
            Ok(Peek::Wait) | Err(_) => None,
        }
    }

    #[napi(catch_unwind)]
    pub fn query(&self, ticket: u32, kind: u32, text: String, start: f64, end: f64) {
        let query = query(kind, &text, start, end);
        self.session.read(ticket, move |database, options| {
            let choose = |projects: &Queryable<'_>| query.choose(projects);
            let found = database.select(&store::collection(), Part::Whole, options, choose)?;
            Ok(Answer::text(array(&found)))
        });
    }

    #[napi(catch_unwind)]
    pub fn rebuild_indexes(&self, ticket: u32) {
        self.session.read(ticket, |database, options| {
            database.rebuild_indexes(&store::collection(), options).map(|()| Answer::Nothing)
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
        NativeCacheStats::of(&self.session)
    }

    #[napi(catch_unwind)]
    pub fn close(&self, ticket: u32) {
        self.session.close(ticket);
    }
}
