//! Requests of several acts, drawn at random: what they do to the documents, what they see meanwhile, and what the feed
//! says of them.

use std::collections::{BTreeMap, BTreeSet};

use octoprompt_storage::engine::document::{Document, DocumentId};
use octoprompt_storage::engine::index::IndexKey;
use octoprompt_storage::engine::query::Query;
use octoprompt_storage::engine::{
    Change, Database, DocumentFile, Durability, Error, Transaction, WriteOptions,
};
use proptest::prelude::*;

use crate::support::wait;
use crate::workload::submit;
use crate::world::{Documents, NAMES, PATHS, file_of, named, spec, text, version_key};

/// The directory of the nested collection, and a file in it that belongs to a document.
const NESTED: &str = "data/7";
pub const OWN: &str = "data/7/own";

pub type Key = (usize, u64);

/// An act as it is drawn.
#[derive(Debug, Clone, Copy)]
pub enum Draft {
    Put {
        key: Key,
        version: Drawn,
        in_file: bool,
    },
    /// Two documents of a collection exchange their versions.
    Exchange(usize, [u64; 2]),
    Delete(Key),
    Drop(usize),
    RemoveDirectory,
    RemoveOwn,
    Look,
    Fail,
}

/// Which version of a document is put.
#[derive(Debug, Clone, Copy)]
pub enum Drawn {
    New,
    /// The one that was last put for the document with this id, if there was any. Versions are unique in a collection, so
    /// this is refused while another document has it.
    LastOf(u64),
}

pub fn key() -> impl Strategy<Value = Key> {
    (0..PATHS.len(), id())
}

fn id() -> impl Strategy<Value = u64> {
    1..6_u64
}

fn drawn() -> impl Strategy<Value = Drawn> {
    prop_oneof![3 => Just(Drawn::New), 1 => id().prop_map(Drawn::LastOf)]
}

fn draft() -> impl Strategy<Value = Draft> {
    let rarely = || prop::bool::weighted(0.1);
    prop_oneof![
        12 => (key(), drawn(), rarely())
            .prop_map(|(key, version, in_file)| Draft::Put { key, version, in_file }),
        1 => (0..PATHS.len(), [id(), id()]).prop_map(|(collection, ids)| Draft::Exchange(collection, ids)),
        6 => key().prop_map(Draft::Delete),
        2 => (0..PATHS.len()).prop_map(Draft::Drop),
        1 => Just(Draft::RemoveDirectory),
        1 => Just(Draft::RemoveOwn),
        2 => Just(Draft::Look),
        1 => Just(Draft::Fail),
    ]
}

/// A group of requests.
pub fn group() -> impl Strategy<Value = Vec<Vec<Draft>>> {
    let request = || prop::collection::vec(draft(), 0..6);
    let number = prop_oneof![2 => 1..2_usize, 1 => 2..5_usize];
    number.prop_flat_map(move |requests| prop::collection::vec(request(), requests))
}

/// What the database is after some batch.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub seq: u64,
    pub documents: Documents,
    /// Documents that the journals hold in a newer form than the files.
    pub dirty: BTreeSet<Key>,
    /// Whether the file that belongs to a document is there.
    pub own: bool,
}

/// The versions that were put so far.
#[derive(Default)]
pub struct Versions {
    newest: u32,
    last: BTreeMap<Key, u32>,
}

impl State {
    /// Whether two documents of the collection have one version, as only a person can make it.
    pub fn has_shared_version(&self, collection: usize) -> bool {
        self.documents.iter().any(|(&key, &version)| key.0 == collection && self.has_another(&[key], version))
    }

    /// Whether a document of the same collection that is none of `keys` has this version.
    fn has_another(&self, keys: &[Key], version: u32) -> bool {
        let is_other = |key: &Key| keys.iter().all(|one| one.0 == key.0 && one != key);
        self.documents.iter().any(|(key, &other)| other == version && is_other(key))
    }
}

impl Versions {
    fn drawn(&mut self, key: Key, drawn: Drawn) -> u32 {
        let last = match drawn {
            Drawn::New => None,
            Drawn::LastOf(id) => self.last.get(&(key.0, id)).copied(),
        };
        last.unwrap_or_else(|| self.next(key))
    }

    pub fn next(&mut self, key: Key) -> u32 {
        self.newest += 1;
        self.last.insert(key, self.newest);
        self.newest
    }
}

#[derive(Debug, Clone)]
enum Act {
    Put {
        key: Key,
        version: u32,
        in_file: bool,
        /// Whether another document has this version.
        is_refused: bool,
    },
    /// What two documents get at once.
    Exchange([(Key, u32); 2]),
    Delete(Key),
    Drop(usize),
    RemovePath(&'static str),
    /// What the transaction must see.
    Look(Documents),
    Fail,
}

/// What a request does to one collection.
#[derive(Default)]
struct Changed {
    dropped: bool,
    /// The documents that were put or deleted since, and whether they were there before.
    touched: BTreeMap<u64, bool>,
}

/// What a request has done so far.
struct Effects<'a> {
    before: &'a State,
    state: State,
    changed: [Changed; PATHS.len()],
}

impl Effects<'_> {
    fn put(&mut self, key: Key, version: u32) {
        let was = self.state.documents.insert(key, version);
        self.changed[key.0].touched.entry(key.1).or_insert(was.is_some());
        self.state.dirty.insert(key);
    }

    /// Puts a document unless it is so already, or its version is that of another one. Returns whether it is refused.
    fn put_if_free(&mut self, key: Key, version: u32) -> bool {
        if self.state.documents.get(&key) == Some(&version) {
            return false;
        }
        let is_refused = self.state.has_another(&[key], version);
        if !is_refused {
            self.put(key, version);
        }
        is_refused
    }

    /// Returns what the documents get if both are there and differ.
    fn exchange(&mut self, [one, other]: [Key; 2]) -> Option<[(Key, u32); 2]> {
        let version = |key| self.state.documents.get(&key).copied();
        let puts = [(one, version(other)?), (other, version(one)?)];
        if puts[0].1 == puts[1].1 {
            return None;
        }
        for (key, version) in puts {
            self.put(key, version);
        }
        Some(puts)
    }

    fn delete(&mut self, key: Key) {
        if self.state.documents.remove(&key).is_none() {
            return;
        }
        let changed = &mut self.changed[key.0];
        if *changed.touched.entry(key.1).or_insert(true) {
            self.state.dirty.insert(key);
            return;
        }
        // Nobody has seen what the request itself put. The document is as dirty as before, unless the request dropped its
        // collection.
        changed.touched.remove(&key.1);
        if changed.dropped || !self.before.dirty.contains(&key) {
            self.state.dirty.remove(&key);
        }
    }

    fn drop_collection(&mut self, collection: usize) {
        self.state.documents.retain(|key, _| key.0 != collection);
        self.state.dirty.retain(|key| key.0 != collection);
        self.changed[collection] = Changed { dropped: true, touched: BTreeMap::new() };
    }

    fn is_empty(&self) -> bool {
        self.changed.iter().all(|changed| !changed.dropped && changed.touched.is_empty())
    }

    fn changes(&self) -> Vec<Change> {
        (0..PATHS.len()).filter_map(|collection| self.change(collection)).collect()
    }

    fn change(&self, collection: usize) -> Option<Change> {
        let changed = &self.changed[collection];
        let ids = |keep: &dyn Fn(bool, bool) -> bool| -> Vec<DocumentId> {
            let is_there = |id: &u64| self.state.documents.contains_key(&(collection, *id));
            let kept = changed.touched.iter().filter(|(id, was)| keep(**was, is_there(id)));
            kept.map(|(&id, _)| id.into()).collect()
        };
        let change = Change::Documents {
            seq: self.state.seq,
            collection: PATHS[collection].into(),
            dropped: changed.dropped,
            created: ids(&|was, is| is && !was),
            updated: ids(&|was, is| is && was),
            deleted: ids(&|_, is| !is),
        };
        (changed.dropped || !changed.touched.is_empty()).then_some(change)
    }
}

/// A request, and what must be true after it.
pub struct Planned {
    acts: Vec<Act>,
    /// The state after it; `None` if it fails.
    pub after: Option<State>,
    pub changes: Vec<Change>,
    /// Whether it removes files, so that it is synced whatever it asks for.
    pub removes: bool,
}

impl Planned {
    pub fn new(drafts: &[Draft], before: &State, versions: &mut Versions) -> Planned {
        let mut acts = Vec::new();
        let mut effects = Effects { before, state: before.clone(), changed: Default::default() };
        let mut removes = false;
        for &draft in drafts {
            let fails = match draft {
                Draft::Put { key, version, in_file } => {
                    let version = versions.drawn(key, version);
                    let is_refused = effects.put_if_free(key, version);
                    acts.push(Act::Put { key, version, in_file, is_refused });
                    false
                }
                Draft::Exchange(collection, ids) => {
                    let keys = ids.map(|id| (collection, id));
                    let puts = effects.exchange(keys);
                    acts.extend(puts.map(Act::Exchange));
                    puts.iter().flatten().any(|(_, version)| effects.state.has_another(&keys, *version))
                }
                Draft::Delete(key) => {
                    effects.delete(key);
                    acts.push(Act::Delete(key));
                    false
                }
                Draft::Drop(collection) => {
                    effects.drop_collection(collection);
                    acts.push(Act::Drop(collection));
                    removes = true;
                    false
                }
                Draft::RemoveDirectory => {
                    // Removing its directory drops a collection too, but perhaps not one that is empty.
                    if !effects.state.documents.keys().any(|key| key.0 == 1) {
                        acts.push(Act::Drop(1));
                    }
                    effects.drop_collection(1);
                    acts.push(Act::RemovePath(NESTED));
                    (effects.state.own, removes) = (false, true);
                    false
                }
                Draft::RemoveOwn => {
                    acts.push(Act::RemovePath(OWN));
                    (effects.state.own, removes) = (false, true);
                    false
                }
                Draft::Look => {
                    acts.push(Act::Look(effects.state.documents.clone()));
                    false
                }
                Draft::Fail => {
                    acts.push(Act::Fail);
                    true
                }
            };
            if fails {
                return Planned { acts, after: None, changes: Vec::new(), removes: false };
            }
        }
        if !effects.is_empty() || removes {
            effects.state.seq += 1;
        }
        Planned { acts, changes: effects.changes(), after: Some(effects.state), removes }
    }

    fn files(&self, database: &Database) -> Result<Vec<DocumentFile>, Error> {
        let in_files = self.acts.iter().filter_map(|act| match act {
            Act::Put { key, version, in_file: true, .. } => Some((key.1, *version)),
            _ => None,
        });
        in_files.map(|(id, version)| file_of(database, id, version)).collect()
    }
}

fn run(acts: &[Act], files: Vec<DocumentFile>, tx: &mut Transaction<'_>) -> Result<(), Error> {
    let mut files = files.into_iter();
    for act in acts {
        match act {
            Act::Put { key: (collection, id), version, in_file, is_refused } => {
                let (spec, file) = (spec(*collection), in_file.then(|| files.next()).flatten());
                let result = match file {
                    Some(file) => tx.put_file(&spec, (*id).into(), file),
                    None => tx.put(&spec, (*id).into(), text(*id, *version).into_bytes()),
                };
                match result {
                    Err(Error::UniqueViolation { .. }) if *is_refused => {}
                    Ok(()) if *is_refused => return Err(seen(format!("no other version {version}"))),
                    result => result?,
                }
            }
            Act::Exchange(puts) => {
                for ((collection, id), version) in puts {
                    let document = Document::new(text(*id, *version).into_bytes().into(), Some("content"));
                    tx.put_unchecked(&spec(*collection), (*id).into(), document)?;
                }
                for ((collection, id), _) in puts {
                    tx.check_put(&spec(*collection), &(*id).into())?;
                }
            }
            Act::Delete((collection, id)) => drop(tx.delete(&spec(*collection), (*id).into())?),
            Act::Drop(collection) => tx.drop_collection(&spec(*collection))?,
            Act::RemovePath(OWN) => tx.remove_entity_path(OWN)?,
            Act::RemovePath(path) => tx.remove_path(path)?,
            Act::Look(expected) => look(tx, expected)?,
            Act::Fail => return Err(Error::NotFound { what: "document", id: "1".into() }),
        }
    }
    Ok(())
}

/// Asks a transaction in every way what there is.
fn look(tx: &mut Transaction<'_>, expected: &Documents) -> Result<(), Error> {
    for (collection, path) in PATHS.iter().enumerate() {
        let spec = spec(collection);
        let versions: BTreeMap<u64, u32> = expected
            .iter()
            .filter(|((at, _), _)| *at == collection)
            .map(|((_, id), version)| (*id, *version))
            .collect();
        let same = |what: &str, found: &[DocumentId], wanted: Vec<u64>| {
            let wanted: Vec<DocumentId> = wanted.into_iter().map(DocumentId::from).collect();
            if found == wanted {
                Ok(())
            } else {
                Err(seen(format!("{what} of {path}: {found:?} instead of {wanted:?}")))
            }
        };
        same("the ids", &tx.ids(&spec)?, versions.keys().copied().collect())?;
        for id in 1..8 {
            let found = tx.get(&spec, &id.into())?.map(|document| document.text.to_vec());
            let wanted = versions.get(&id).map(|version| text(id, *version).into_bytes());
            if found != wanted || tx.contains(&spec, &id.into())? != wanted.is_some() {
                return Err(seen(format!("document {id} of {path} is {found:?}")));
            }
        }
        for version in versions.values() {
            let with = versions.iter().filter(|(_, other)| *other == version);
            let found = tx.find(&spec, "version", &version_key(*version))?;
            same("the unique index", &found, with.map(|(id, _)| *id).collect())?;
        }
        for name in 0..NAMES {
            let wanted = named(&versions, name);
            let key = IndexKey::text(&format!("n{name}"));
            same("the index", &tx.find(&spec, "name", &key)?, wanted.clone())?;
            let query = Query::from_json(format!("{{\"where\":{{\"name\":\"n{name}\"}}}}").as_bytes())?;
            let texts = tx.documents(&spec, &query)?;
            let right = wanted.iter().map(|id| text(*id, versions[id]).into_bytes());
            if !texts.iter().map(|text| text.to_vec()).eq(right) || tx.count(&spec, &query)? != wanted.len() {
                return Err(seen(format!("n{name} of {path} finds {texts:?}")));
            }
        }
    }
    Ok(())
}

fn seen(what: String) -> Error {
    Error::InvalidArgument(format!("a transaction sees {what}"))
}

/// Writes requests as one group. Each must succeed or fail as planned.
pub fn write(database: &Database, planned: &[Planned], durability: Durability) -> Result<(), String> {
    let mut works = Vec::new();
    for plan in planned {
        let files = plan.files(database).map_err(|error| error.to_string())?;
        let acts = plan.acts.clone();
        works.push(move |tx: &mut Transaction<'_>| run(&acts, files, tx));
    }
    for (plan, result) in
        planned.iter().zip(submit(database, works, WriteOptions { durability, wait: wait() }))
    {
        match (result, &plan.after) {
            (Ok(()), Some(_)) | (Err(Error::NotFound { .. } | Error::UniqueViolation { .. }), None) => {}
            (result, _) => return Err(format!("{:?}: {result:?}", plan.acts)),
        }
    }
    Ok(())
}
