//! Requests of several acts, drawn at random: what they do to the documents, what they see meanwhile, and what the feed
//! says of them.

use std::collections::{BTreeMap, BTreeSet};

use octoprompt_storage::engine::document::DocumentId;
use octoprompt_storage::engine::index::IndexKey;
use octoprompt_storage::engine::query::Query;
use octoprompt_storage::engine::{
    Change, Database, DocumentFile, Durability, Error, Transaction, WriteOptions,
};
use proptest::prelude::*;

use crate::support::wait;
use crate::workload::submit;
use crate::world::{Documents, NAMES, PATHS, file_of, spec, text};

/// The directory of the nested collection, and a file in it that belongs to a document.
const NESTED: &str = "data/7";
pub const OWN: &str = "data/7/own";

pub type Key = (usize, u64);

/// An act as it is drawn.
#[derive(Debug, Clone, Copy)]
pub enum Draft {
    Put {
        key: Key,
        /// Puts what the document was when it was last put, instead of something new.
        again: bool,
        in_file: bool,
    },
    Delete(Key),
    Drop(usize),
    RemoveDirectory,
    RemoveOwn,
    Look,
    Fail,
}

pub fn key() -> impl Strategy<Value = Key> {
    (0..PATHS.len(), 1..6_u64)
}

fn draft() -> impl Strategy<Value = Draft> {
    let rarely = || prop::bool::weighted(0.1);
    prop_oneof![
        12 => (key(), prop::bool::weighted(0.2), rarely())
            .prop_map(|(key, again, in_file)| Draft::Put { key, again, in_file }),
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

impl Versions {
    pub fn next(&mut self, key: Key) -> u32 {
        self.newest += 1;
        self.last.insert(key, self.newest);
        self.newest
    }
}

#[derive(Debug, Clone)]
enum Act {
    Put(Key, u32, bool),
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
        let (mut acts, mut state) = (Vec::new(), before.clone());
        let mut changed: [Changed; PATHS.len()] = Default::default();
        let (mut fails, mut removes) = (false, false);
        for &draft in drafts {
            match draft {
                Draft::Put { key, again, in_file } => {
                    let last = versions.last.get(&key).copied().filter(|_| again);
                    let version = last.unwrap_or_else(|| versions.next(key));
                    let was = state.documents.insert(key, version);
                    if was != Some(version) {
                        changed[key.0].touched.entry(key.1).or_insert(was.is_some());
                        state.dirty.insert(key);
                    }
                    acts.push(Act::Put(key, version, in_file));
                }
                Draft::Delete(key) => {
                    if state.documents.remove(&key).is_some() {
                        let touched = &mut changed[key.0].touched;
                        if *touched.entry(key.1).or_insert(true) {
                            state.dirty.insert(key);
                        } else {
                            // Nobody has seen what the request itself put.
                            touched.remove(&key.1);
                            state.dirty = restored(&state.dirty, before, &changed, key);
                        }
                    }
                    acts.push(Act::Delete(key));
                }
                Draft::Drop(collection) => {
                    drop_collection(&mut state, &mut changed, collection);
                    acts.push(Act::Drop(collection));
                    removes = true;
                }
                Draft::RemoveDirectory => {
                    // Removing its directory drops a collection too, but perhaps not one that is empty.
                    if !state.documents.keys().any(|key| key.0 == 1) {
                        acts.push(Act::Drop(1));
                    }
                    drop_collection(&mut state, &mut changed, 1);
                    acts.push(Act::RemovePath(NESTED));
                    (state.own, removes) = (false, true);
                }
                Draft::RemoveOwn => {
                    acts.push(Act::RemovePath(OWN));
                    (state.own, removes) = (false, true);
                }
                Draft::Look => acts.push(Act::Look(state.documents.clone())),
                Draft::Fail => {
                    acts.push(Act::Fail);
                    fails = true;
                    break;
                }
            }
        }
        if fails {
            return Planned { acts, after: None, changes: Vec::new(), removes: false };
        }
        let is_empty = changed.iter().all(|changed| !changed.dropped && changed.touched.is_empty());
        if !is_empty || removes {
            state.seq += 1;
        }
        let changes = changed.iter().enumerate().filter_map(|(at, changed)| change(&state, at, changed));
        Planned { changes: changes.collect(), acts, after: Some(state), removes }
    }

    fn files(&self, database: &Database) -> Result<Vec<DocumentFile>, Error> {
        let in_files = self.acts.iter().filter_map(|act| match act {
            Act::Put((_, id), version, true) => Some((*id, *version)),
            _ => None,
        });
        in_files.map(|(id, version)| file_of(database, id, version)).collect()
    }
}

/// A document that a request put and deleted is as dirty as before, unless the request dropped its collection.
fn restored(dirty: &BTreeSet<Key>, before: &State, changed: &[Changed], key: Key) -> BTreeSet<Key> {
    let mut dirty = dirty.clone();
    if changed[key.0].dropped || !before.dirty.contains(&key) {
        dirty.remove(&key);
    }
    dirty
}

fn drop_collection(state: &mut State, changed: &mut [Changed], collection: usize) {
    state.documents.retain(|key, _| key.0 != collection);
    state.dirty.retain(|key| key.0 != collection);
    changed[collection] = Changed { dropped: true, touched: BTreeMap::new() };
}

fn change(state: &State, at: usize, changed: &Changed) -> Option<Change> {
    let ids = |keep: &dyn Fn(bool, bool) -> bool| -> Vec<DocumentId> {
        let there = |id: &u64| state.documents.contains_key(&(at, *id));
        let kept = changed.touched.iter().filter(|(id, was)| keep(**was, there(id)));
        kept.map(|(&id, _)| id.into()).collect()
    };
    let change = Change::Documents {
        seq: state.seq,
        collection: PATHS[at].into(),
        dropped: changed.dropped,
        created: ids(&|was, is| is && !was),
        updated: ids(&|was, is| is && was),
        deleted: ids(&|_, is| !is),
    };
    (changed.dropped || !changed.touched.is_empty()).then_some(change)
}

fn run(acts: &[Act], files: Vec<DocumentFile>, tx: &mut Transaction<'_>) -> Result<(), Error> {
    let mut files = files.into_iter();
    for act in acts {
        match act {
            Act::Put((collection, id), version, in_file) => {
                let (spec, file) = (spec(*collection), in_file.then(|| files.next()).flatten());
                match file {
                    Some(file) => tx.put_file(&spec, (*id).into(), file)?,
                    None => tx.put(&spec, (*id).into(), text(*id, *version).into_bytes())?,
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
        for name in 0..NAMES {
            let named = versions.iter().filter(|(_, version)| *version % NAMES == name);
            let wanted: Vec<u64> = named.map(|(id, _)| *id).collect();
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
            (Ok(()), Some(_)) | (Err(Error::NotFound { .. }), None) => {}
            (result, _) => return Err(format!("{:?}: {result:?}", plan.acts)),
        }
    }
    Ok(())
}
