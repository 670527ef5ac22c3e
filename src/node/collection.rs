//! Native calls for a collection: reading documents of any kind, and writing those whose rules are in JavaScript.

use std::collections::HashMap;
use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{Either, Undefined};
use napi_derive::napi;
use serde_json::value::RawValue;

use super::fresh::FreshFor;
use super::index_query::index_query;
use super::options::NativeOptions;
use super::parts::Parts;
use super::port::{Answer, JsAnswer, Port};
use super::records::NativeRecords;
use super::session::Session;
use super::watch::NativeWatch;
use crate::engine::document::{Document, DocumentId, Given};
use crate::engine::index::{Extractor, IndexConfig, IndexSpec};
use crate::engine::{
    CacheStats, CollectionSpec, Error, FileHash, Foreign, Fresh, Membership, Part, Peek, Queryable,
    Transaction, Wait, compare_keys, json, unforeseen, write_map,
};

#[napi]
pub struct NativeCollection {
    pub(super) session: Arc<Session>,
    pub(super) spec: Arc<CollectionSpec>,
    pub(super) fresh_for: FreshFor,
}

impl NativeCollection {
    pub fn new(session: Arc<Session>, spec: Arc<CollectionSpec>) -> NativeCollection {
        NativeCollection { session, spec, fresh_for: FreshFor::default() }
    }
}

/// The figures that `getCacheStats` needs.
#[napi(object)]
pub struct NativeCacheStats {
    pub size: f64,
    pub max_size: f64,
    /// Milliseconds.
    pub ttl: f64,
    pub hits: f64,
    pub misses: f64,
}

/// An answer, or `undefined` if it cannot be given without waiting.
pub type Peeked<'env> = Either<JsAnswer<'env>, Undefined>;

pub fn peeked<'env>(env: &'env Env, peek: Peek<Answer>) -> napi::Result<Peeked<'env>> {
    Ok(match peek {
        Peek::Ready(answer) if answer.fits() => Either::A(answer.to_js(env)?),
        // The call that waits then reports why.
        Peek::Ready(_) | Peek::Wait => Either::B(()),
    })
}

/// Returns the answer for a document, if there is one.
pub fn document(spec: &CollectionSpec, found: Option<Document>) -> Answer {
    match (found, spec.large_field) {
        (None, _) => Answer::Nothing,
        (Some(found), None) => Answer::Text(found.text),
        (Some(found), Some(field)) => Answer::Parts(Parts::of_document(&found.text, found.head, field)),
    }
}

/// Like [`document`], for a document that was peeked.
pub fn fresh_document(spec: &CollectionSpec, found: Option<Fresh>, fresh_for: &FreshFor) -> Answer {
    let (found, left) = found.unzip();
    fresh_for.note(left.flatten());
    document(spec, found)
}

/// Returns the answer for a few documents: an array, with the large `field` apart where they have one.
pub fn documents(texts: &[Arc<[u8]>], field: Option<&str>) -> Answer {
    Answer::Parts(Parts::of_documents(texts, field))
}

pub fn boolean(value: bool) -> Answer {
    Answer::text(if value { &b"true"[..] } else { b"false" })
}

pub fn part(with_large_field: bool) -> Part {
    if with_large_field { Part::Whole } else { Part::Head }
}

/// See [`NativeCollection::insert`].
pub fn insert(
    tx: &mut Transaction<'_>,
    spec: &Arc<CollectionSpec>,
    key: &str,
    text: Vec<u8>,
    claim: bool,
) -> crate::engine::Result<()> {
    let id = DocumentId::from_key(key);
    if !is_free(tx, spec, &id, claim)? {
        return Err(Error::AlreadyExists { what: "document", id: shown(&id) });
    }
    tx.put(spec, id, text)
}

/// Whether a document may be inserted under an id. See [`NativeCollection::insert`].
pub fn is_free(
    tx: &mut Transaction<'_>,
    spec: &Arc<CollectionSpec>,
    id: &DocumentId,
    claim: bool,
) -> crate::engine::Result<bool> {
    let given_to_others = claim && matches!(id, DocumentId::Number(id) if !tx.claim_id(*id));
    Ok(!given_to_others && !tx.contains(spec, id)?)
}

/// Returns an id for a sentence, in which the empty text would not show.
pub fn shown(id: &DocumentId) -> String {
    let text = id.to_string();
    if text.is_empty() { "\"\"".to_owned() } else { text }
}

/// Keys are ids as they appear in the map; texts are JSON.
#[napi]
impl NativeCollection {
    /// Describes a collection of the database in `directory`, which is below `base`; `path` is relative to the directory,
    /// `indexes` is JSON. Touches no file.
    #[napi(constructor, catch_unwind)]
    pub fn open(
        port: &Port,
        base: String,
        directory: String,
        path: String,
        indexes: String,
        options: NativeOptions,
    ) -> napi::Result<NativeCollection> {
        let configs: Vec<IndexConfig> =
            serde_json::from_str(&indexes).map_err(|error| napi::Error::from_reason(error.to_string()))?;
        let index = |config| Arc::new(IndexSpec::new(config, Extractor::Fields));
        let spec = Arc::new(CollectionSpec {
            path: path.into(),
            large_field: None,
            indexes: configs.into_iter().map(index).collect(),
            foreign: Foreign::Ask,
        });
        let session =
            Session::new(&base, directory.into(), Some(Arc::clone(&spec)), options.into(), port.mailbox());
        Ok(NativeCollection::new(session, spec))
    }

    #[napi(catch_unwind)]
    pub fn peek<'env>(&self, env: &'env Env, key: String) -> napi::Result<Peeked<'env>> {
        let Some(engine) = self.session.engine() else { return peeked(env, Peek::Wait) };
        let found = engine.peek_fresh(&self.spec, &DocumentId::from_key(&key), self.session.read_options());
        peeked(env, found.map(|found| fresh_document(&self.spec, found, &self.fresh_for)))
    }

    /// Returns an id that no process using the database has been given before; `null` before the engine is open.
    #[napi(catch_unwind)]
    pub fn peek_id(&self) -> Option<f64> {
        Some(self.session.engine()?.new_id() as f64)
    }

    /// Returns for how many more milliseconds the cache would return what `peek` or `peek_list` last returned; 0 if that did
    /// not come from the cache.
    #[napi(catch_unwind)]
    pub fn fresh_for(&self) -> f64 {
        self.fresh_for.milliseconds()
    }

    /// Returns the watch on the engine; `null` before the engine is open or if it cannot be watched.
    #[napi(catch_unwind)]
    pub fn watch(&self) -> Option<NativeWatch> {
        NativeWatch::of(&self.session.engine()?)
    }

    /// Returns a number that differs for every engine; `null` before this collection's engine is open.
    #[napi(catch_unwind)]
    pub fn engine(&self) -> Option<f64> {
        self.session.engine().map(|engine| engine.number() as f64)
    }

    /// Returns the number of the instance that the collection belongs to; later instances have higher numbers.
    #[napi(getter, catch_unwind)]
    pub fn session(&self) -> f64 {
        self.session.number() as f64
    }

    /// Returns the last batch that is in memory; `null` before the engine is open.
    #[napi(catch_unwind)]
    pub fn known_sequence(&self) -> Option<f64> {
        self.session.engine().map(|engine| engine.known_sequence() as f64)
    }

    /// Returns the last batch of the database when this instance opened it.
    #[napi(catch_unwind)]
    pub fn opened_at(&self) -> f64 {
        self.session.opened_at() as f64
    }

    /// Returns the path of the collection's file, relative to the database.
    #[napi(getter, catch_unwind)]
    pub fn path(&self) -> String {
        self.spec.path.to_string()
    }

    /// Counts reads that JavaScript answered from its objects.
    #[napi(catch_unwind)]
    pub fn count_hits(&self, hits: f64) {
        if let Some(engine) = self.session.engine() {
            engine.count_hits(hits as u64);
        }
    }

    #[napi(catch_unwind)]
    pub fn get(&self, ticket: u32, key: String) {
        let spec = Arc::clone(&self.spec);
        self.session.read(ticket, move |database, options| {
            let found = database.get(&spec, &DocumentId::from_key(&key), options)?;
            Ok(document(&spec, found))
        });
    }

    /// Inserts a document under a key that must be free; fails with `ALREADY_EXISTS` otherwise. With `claim`, the key is an
    /// id that this process generated and that no other process may have been given. `path` belongs to the document.
    #[napi(catch_unwind)]
    pub fn insert(&self, ticket: u32, key: String, text: String, claim: bool, path: Option<String>) {
        let spec = Arc::clone(&self.spec);
        self.session.write(ticket, move |tx| {
            insert(tx, &spec, &key, text.into_bytes(), claim)?;
            tx.keep_entity_paths(path.as_deref().into_iter())?;
            Ok(Answer::Nothing)
        });
    }

    /// Replaces a document if it is still `expected`. Answers whether it was.
    #[napi(catch_unwind)]
    pub fn replace(&self, ticket: u32, key: String, expected: String, text: String) {
        let spec = Arc::clone(&self.spec);
        self.session.write(ticket, move |tx| {
            let id = DocumentId::from_key(&key);
            let current = tx.get(&spec, &id)?;
            if current.is_none_or(|current| *current.text != *expected.as_bytes()) {
                tx.note_conflict();
                return Ok(boolean(false));
            }
            tx.put(&spec, id, text.into_bytes())?;
            Ok(boolean(true))
        });
    }

    /// Deletes a document and the path that belongs to it, relative to the database. Answers whether it was there.
    #[napi(catch_unwind)]
    pub fn delete(&self, ticket: u32, key: String, path: Option<String>) {
        let (spec, session) = (Arc::clone(&self.spec), Arc::clone(&self.session));
        self.session.write(ticket, move |tx| {
            delete(tx, &session, &spec, DocumentId::from_key(&key), path.as_deref()).map(boolean)
        });
    }

    /// Compares the documents that exist with a whole map of these members. Answers with `[gone, new]`: the ids of the
    /// documents that the map lacks, and the positions of the members that have no document yet.
    #[napi(catch_unwind)]
    pub fn compare_keys(&self, ticket: u32, members: &NativeRecords) -> napi::Result<()> {
        let (spec, members) = (Arc::clone(&self.spec), members.all()?);
        self.session.read(ticket, move |database, options| {
            compare_keys(database, &spec, &members.keys(), options).map(membership)
        });
        Ok(())
    }

    /// Makes the collection equal to a whole map of these members, storing only the difference. `paths` (a JSON map from key
    /// to path or null) gives the path that belongs to each document that goes or comes. Answers with the documents, ids
    /// ascending. If other writers have created or deleted documents that `paths` lacks, writes nothing and answers for
    /// these with the text of [`NativeCollection::compare_keys`].
    #[napi(catch_unwind)]
    pub fn write_all(&self, ticket: u32, members: &NativeRecords, paths: String) -> napi::Result<()> {
        let (spec, session) = (Arc::clone(&self.spec), Arc::clone(&self.session));
        let (pieces, members) = (session.pieces(ticket), members.all()?);
        self.session.write(ticket, move |tx| {
            let paths: HashMap<String, Option<String>> = serde_json::from_str(&paths)
                .map_err(|error| Error::InvalidArgument(format!("paths of entities: {error}")))?;
            let path_of = |id: &DocumentId| paths.get(&id.to_string())?.as_deref();
            let keys = members.keys();
            let lacking = unforeseen(tx, &spec, &keys, |id| paths.contains_key(&id.to_string()))?;
            if !lacking.is_empty() {
                tx.note_conflict();
                return Ok(membership(lacking));
            }
            let mut new_paths = Vec::new();
            for id in keys {
                if let Some(path) = path_of(&id)
                    && !tx.contains(&spec, &id)?
                {
                    new_paths.push(path);
                }
            }
            tx.keep_entity_paths(new_paths.into_iter())?;
            let keep =
                |_: &str, given: Given<'_>, _: Option<&[u8]>| Ok(json::compact(given.text).into_owned());
            let delete = |tx: &mut Transaction<'_>, id: &DocumentId| {
                delete(tx, &session, &spec, id.clone(), path_of(id)).map(drop)
            };
            let written = write_map(tx, &spec, "map", members.map(), keep, delete)?;
            pieces.documents(&written.texts(), None)
        });
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn rebuild_indexes(&self, ticket: u32) {
        let spec = Arc::clone(&self.spec);
        self.session.read(ticket, move |database, options| {
            database.rebuild_indexes(&spec, options).map(|()| Answer::Nothing)
        });
    }

    /// Returns the documents that a query finds in an index, if they are in memory. `kind` is numbered as in
    /// `index-keys.js`; keys are JSON.
    #[napi(catch_unwind)]
    pub fn peek_find<'env>(
        &self,
        env: &'env Env,
        index: String,
        kind: u32,
        start: String,
        end: String,
        inclusive: bool,
    ) -> napi::Result<Peeked<'env>> {
        let (Some(engine), Ok(query)) = (self.session.engine(), index_query(kind, &start, &end, inclusive))
        else {
            return peeked(env, Peek::Wait);
        };
        let choose = |collection: &Queryable<'_>| query.answer(collection.index(&index)?);
        let found = engine.peek_many(&self.spec, Part::Whole, choose).unwrap_or(Peek::Wait);
        peeked(env, found.map(|texts| documents(&texts, self.spec.large_field)))
    }

    #[napi(catch_unwind)]
    pub fn find(&self, ticket: u32, index: String, kind: u32, start: String, end: String, inclusive: bool) {
        let spec = Arc::clone(&self.spec);
        self.session.read_documents(ticket, spec.large_field, move |database, options| {
            let query = index_query(kind, &start, &end, inclusive)?;
            let choose = |collection: &Queryable<'_>| query.answer(collection.index(&index)?);
            database.select(&spec, Part::Whole, options, choose)
        });
    }

    /// If another program wrote the file and its records wait for their schema, answers with a list: the hash of the file,
    /// then `[key, record]` for each record. Otherwise answers with nothing.
    #[napi(catch_unwind)]
    pub fn foreign_records(&self, ticket: u32) {
        let (spec, pieces) = (Arc::clone(&self.spec), self.session.pieces(ticket));
        self.session.read(ticket, move |database, _| {
            let Some(found) = database.foreign_records(&spec)? else { return Ok(Answer::Nothing) };
            let mut elements = vec![format!("\"{}\"", found.hash).into_bytes()];
            elements.extend(found.records.iter().map(|(id, raw)| {
                let mut pair = b"[".to_vec();
                id.push_key(&mut pair);
                pair.push(b',');
                pair.extend_from_slice(raw);
                pair.push(b']');
                pair
            }));
            pieces.documents(&elements, None)
        });
    }

    /// Adopts the file with this hash. Each verdict is `[key, entity | null, why not | null]`. Answers whether the file
    /// still had this hash, or has been adopted in the meantime.
    #[napi(catch_unwind)]
    pub fn adopt(&self, ticket: u32, hash: String, verdicts: &NativeRecords) -> napi::Result<()> {
        let (spec, given) = (Arc::clone(&self.spec), verdicts.all()?);
        self.session.read(ticket, move |database, options| {
            let unreadable = |error: serde_json::Error| Error::InvalidArgument(format!("verdicts: {error}"));
            let verdict = |given: Given<'_>| {
                let (key, text, why): (String, Option<&RawValue>, Option<String>) =
                    serde_json::from_slice(given.text).map_err(unreadable)?;
                let stored = text.map(|text| text.get().as_bytes().to_vec());
                Ok((DocumentId::from_key(&key), stored.ok_or_else(|| why.unwrap_or_default())))
            };
            let verdicts = given.iter().map(verdict).collect::<crate::engine::Result<_>>()?;
            let hash = FileHash::parse(&hash)
                .ok_or_else(|| Error::InvalidArgument(format!("{hash} is no hash of a file")))?;
            let wait = Wait::at_most(options.lock_timeout);
            database.adopt_judged(&spec, hash, &verdicts, wait).map(boolean)
        });
        Ok(())
    }

    /// Returns whether the collection has changes that are not in its file yet.
    #[napi(catch_unwind)]
    pub fn has_changes(&self) -> bool {
        self.session.engine().is_some_and(|engine| engine.has_changes(&self.spec))
    }

    /// Checks whether a person edited the file, and fails if the file waits for its schema.
    #[napi(catch_unwind)]
    pub fn look_at_file(&self, ticket: u32) {
        let spec = Arc::clone(&self.spec);
        self.session.read(ticket, move |database, options| {
            database.look_at_file(&spec, options).map(|()| Answer::Nothing)
        });
    }

    /// Forgets what was read of a document, and the lists that contain it.
    #[napi(catch_unwind)]
    pub fn forget(&self, key: String) {
        if let Some(engine) = self.session.engine() {
            engine.forget(&self.spec, &DocumentId::from_key(&key));
        }
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

    /// Answers with the text of [`super::statistics::statistics_text`].
    #[napi(catch_unwind)]
    pub fn statistics(&self, ticket: u32) {
        self.session.statistics(ticket);
    }

    /// Brings the JSON files up to date. The session stays open for its other users.
    #[napi(catch_unwind)]
    pub fn checkpoint(&self, ticket: u32) {
        self.session.read(ticket, |database, options| {
            let wait = Wait::at_most(options.lock_timeout);
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

/// Deletes a document and the path that belongs to it, if there is one. Returns whether the document was there.
pub fn delete(
    tx: &mut Transaction<'_>,
    session: &Session,
    spec: &Arc<CollectionSpec>,
    id: DocumentId,
    path: Option<&str>,
) -> crate::engine::Result<bool> {
    let deleted = tx.delete(spec, id)?;
    if deleted && let Some(path) = path {
        session.check_entity_path(path)?;
        tx.remove_entity_path(path)?;
    }
    Ok(deleted)
}

/// See [`NativeCollection::compare_keys`].
fn membership(Membership { gone, new }: Membership) -> Answer {
    Answer::text([b"[[", &*gone.join(&b','), b"],", places(&new).as_bytes(), b"]"].concat())
}

/// Returns places in a list as JSON.
pub fn places(places: &[usize]) -> String {
    let places: Vec<String> = places.iter().map(usize::to_string).collect();
    format!("[{}]", places.join(","))
}
