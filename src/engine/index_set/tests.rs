//! Indexes filled by hand against a model: the entities in a map, filtered by a full scan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::engine::database::DatabaseOptions;
use crate::engine::fs::OsFs;
use crate::engine::index::model_tests::{Documents, document, model_keys, model_matches, model_words, text};
use crate::engine::index::{Extractor, Index, IndexKey, IndexSpec, IndexType};
use crate::engine::lock::Wait;
use crate::engine::options::Durability;

const NAME: &str = "test";
const READ: ReadOptions = ReadOptions { cached: true, lock_timeout: Duration::from_secs(5) };

#[derive(Debug, Clone)]
enum Step {
    Add(u8, Value),
    Remove(u8),
    Rebuild(Vec<(u8, Value)>),
    /// Drops the index and creates it again.
    Recreate,
    Checkpoint,
    Reopen,
}

fn steps(entity: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Vec<Step>> {
    let entity = entity.boxed();
    let step = prop_oneof![
        10 => (0..8_u8, entity.clone()).prop_map(|(id, entity)| Step::Add(id, entity)),
        3 => (0..8_u8).prop_map(Step::Remove),
        2 => prop::collection::vec((0..8_u8, entity), 0..8).prop_map(Step::Rebuild),
        1 => Just(Step::Recreate),
        2 => Just(Step::Checkpoint),
        2 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 0..25)
}

fn id_of(id: u8) -> DocumentId {
    if id.is_multiple_of(2) { DocumentId::Number(id.into()) } else { DocumentId::from_key(&format!("d{id}")) }
}

fn whole(text: &str) -> Entity<'_> {
    Entity { text: text.as_bytes(), members: None }
}

/// A database with one index, and what should be in it.
struct Run {
    directory: tempfile::TempDir,
    database: Arc<Database>,
    indexes: Arc<IndexSet>,
    config: IndexConfig,
    entities: Documents,
}

fn open(directory: &tempfile::TempDir) -> Arc<Database> {
    let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
    Database::open(Arc::new(OsFs), directory.path(), options).unwrap()
}

impl Run {
    fn new(kind: IndexType, fields: &[&str], sparse: bool, unique: bool) -> Run {
        let directory = tempfile::tempdir().unwrap();
        let database = open(&directory);
        let fields = fields.iter().map(|&field| field.into()).collect();
        let config = IndexConfig { name: NAME.into(), kind, fields, unique, sparse };
        let indexes = Arc::new(IndexSet::new(None));
        let run = Run { directory, database, indexes, config, entities: Documents::new() };
        run.create().unwrap();
        run
    }

    fn create(&self) -> Result<()> {
        let config = self.config.clone();
        self.write(move |indexes, tx| indexes.create(tx, &config))
    }

    fn write(
        &self,
        work: impl FnOnce(&IndexSet, &mut crate::engine::Transaction<'_>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let indexes = Arc::clone(&self.indexes);
        self.database.write(Durability::Os, move |tx| work(&indexes, tx))
    }

    fn step(&mut self, step: &Step) {
        let before = self.entities.clone();
        let result = match step.clone() {
            Step::Add(id, entity) => {
                self.entities.insert(id_of(id), entity.clone());
                self.write(move |indexes, tx| indexes.add(tx, NAME, id_of(id), whole(&entity.to_string())))
            }
            Step::Remove(id) => {
                self.entities.remove(&id_of(id));
                self.write(move |indexes, tx| indexes.remove(tx, NAME, id_of(id)).map(drop))
            }
            Step::Rebuild(entities) => {
                self.entities = entities.iter().map(|(id, entity)| (id_of(*id), entity.clone())).collect();
                self.write(move |indexes, tx| {
                    let texts: Vec<_> =
                        entities.iter().map(|(id, entity)| (id_of(*id), entity.to_string())).collect();
                    let entities = texts.iter().map(|(id, text)| (id.clone(), whole(text)));
                    indexes.rebuild(tx, NAME, entities)
                })
            }
            Step::Recreate => {
                self.entities.clear();
                self.write(|indexes, tx| indexes.drop_index(tx, NAME).map(drop)).and_then(|()| self.create())
            }
            Step::Checkpoint => self.database.checkpoint(Wait::at_most(Duration::from_secs(5))),
            Step::Reopen => {
                self.database = open(&self.directory);
                self.indexes = Arc::new(IndexSet::new(None));
                Ok(())
            }
        };
        match result {
            Ok(()) => assert!(!self.has_clash(), "a clash was accepted"),
            Err(error) => {
                assert_eq!(error.code(), "UNIQUE_VIOLATION", "{error}");
                assert!(self.config.unique && self.has_clash(), "{error}");
                self.entities = before;
            }
        }
    }

    fn model(&self) -> Index {
        Index::new(Arc::new(IndexSpec::new(self.config.clone(), Extractor::Fields)))
    }

    /// Each key with the entities that have it.
    fn pairs(&self) -> BTreeSet<(IndexKey, DocumentId)> {
        let model = self.model();
        let keys = |(id, entity): (&DocumentId, &Value)| -> Vec<_> {
            model_keys(entity, &model).into_iter().map(|key| (key, id.clone())).collect()
        };
        self.entities.iter().flat_map(keys).collect()
    }

    fn has_clash(&self) -> bool {
        let mut owners: BTreeMap<IndexKey, usize> = BTreeMap::new();
        for (key, _) in self.pairs().into_iter().filter(|(key, _)| !key.has_null()) {
            *owners.entry(key).or_default() += 1;
        }
        self.config.unique && owners.values().any(|&count| count > 1)
    }

    /// Asks in both ways: as a caller that may wait, and as one that may not.
    fn ask(&self, query: &IndexQuery) -> Vec<DocumentId> {
        let found = self.indexes.ask(&self.database, READ, NAME, query).unwrap().unwrap();
        if let Peek::Ready(peeked) = self.indexes.peek(&self.database, READ, NAME, query).unwrap() {
            assert_eq!(peeked.as_ref(), Some(&found), "{query:?}");
        }
        found
    }

    fn check_keys(&self) {
        let pairs = self.pairs();
        let mut keys: BTreeSet<IndexKey> = pairs.iter().map(|(key, _)| key.clone()).collect();
        let stats = self.indexes.stats(&self.database, READ, NAME).unwrap().unwrap();
        assert_eq!((stats.unique_keys, stats.total_entries), (keys.len(), pairs.len()));
        keys.insert(IndexKey::number(0.5).unwrap());
        for key in &keys {
            let expected: Vec<_> =
                pairs.iter().filter(|(held, _)| held == key).map(|(_, id)| id.clone()).collect();
            assert_eq!(self.ask(&IndexQuery::Key(key.clone())), expected, "{key}");
        }
        if self.config.kind != IndexType::Btree {
            return;
        }
        for (start, end, inclusive) in keys
            .iter()
            .flat_map(|start| keys.iter().flat_map(move |end| [(start, end, true), (start, end, false)]))
        {
            let inside = |key: &IndexKey| match inclusive {
                true => start <= key && key <= end,
                false => start < key && key < end,
            };
            let mut expected = Vec::new();
            for (_, id) in pairs.iter().filter(|(key, _)| self.is_whole(start, end) && inside(key)) {
                if !expected.contains(id) {
                    expected.push(id.clone());
                }
            }
            if self.is_whole(start, end) {
                let query = IndexQuery::Range { start: start.clone(), end: end.clone(), inclusive };
                assert_eq!(self.ask(&query), expected, "{start} {end} {inclusive}");
            }
        }
    }

    /// Whether both ends of a range are whole keys, which are ordered as they are.
    fn is_whole(&self, start: &IndexKey, end: &IndexKey) -> bool {
        self.config.fields.len() == 1 || [start, end].iter().all(|key| matches!(key, IndexKey::Tuple(_)))
    }

    fn check_words(&self) {
        for query in ["a", "A", "ab", "abc", "b", "é", "東", "京", "東京", "京東", "a b", "abc a b", "ab 京"]
        {
            let asked: Vec<String> = query.split(' ').map(str::to_lowercase).collect();
            let mut found = self.ask(&IndexQuery::Words(query.into()));
            found.sort();
            let matches = |entity: &Value| {
                let words = model_words(entity);
                asked.iter().all(|asked| words.iter().any(|word| model_matches(word, asked)))
            };
            let expected: Vec<_> = self
                .entities
                .iter()
                .filter(|(_, entity)| matches(entity))
                .map(|(id, _)| id.clone())
                .collect();
            assert_eq!(found, expected, "{query}");
        }
    }
}

fn check(kind: IndexType, fields: &[&str], sparse: bool, unique: bool, steps: &[Step]) {
    let mut run = Run::new(kind, fields, sparse, unique);
    let look = |run: &Run| if kind == IndexType::Inverted { run.check_words() } else { run.check_keys() };
    for step in steps {
        run.step(step);
        look(&run);
    }
    run.step(&Step::Reopen);
    look(&run);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_hash_index_agrees_with_a_scan(steps in steps(document()), sparse: bool, unique: bool) {
        check(IndexType::Hash, &["a"], sparse, unique, &steps);
        check(IndexType::Hash, &["c.d", "b"], sparse, unique, &steps);
    }

    #[test]
    fn a_btree_index_agrees_with_a_scan(steps in steps(document()), sparse: bool, unique: bool) {
        check(IndexType::Btree, &["c.d"], sparse, unique, &steps);
        check(IndexType::Btree, &["a", "b"], sparse, unique, &steps);
    }

    #[test]
    fn an_inverted_index_agrees_with_a_scan(steps in steps((text(), text()).prop_map(|(a, b)| {
        serde_json::json!({ "a": a, "b": [b, 7], "c": "not looked at" })
    }))) {
        check(IndexType::Inverted, &["a", "b"], false, false, &steps);
    }
}

#[test]
fn a_definition_written_by_a_later_version_is_refused() {
    let run = Run::new(IndexType::Hash, &["a"], false, false);
    run.database
        .write(Durability::Os, |tx| {
            let text = br#"{"type":"vector","fields":["a"],"created":1,"updated":1}"#;
            tx.put(&definition::collection(), DocumentId::from_key("other"), text.to_vec())
        })
        .unwrap();
    let asked = run.indexes.ask(&run.database, READ, "other", &IndexQuery::Key(IndexKey::Null));
    assert_eq!(asked.map_err(|error| error.code()), Err("INVALID_ARGUMENT"));
}

#[test]
fn an_index_with_an_invalid_definition_can_be_dropped_and_recreated() {
    let run = Run::new(IndexType::Hash, &["a"], false, false);
    run.write(|indexes, tx| indexes.add(tx, NAME, 1.into(), whole(r#"{"a":1}"#))).unwrap();
    run.database
        .write(Durability::Os, |tx| {
            tx.put(&definition::collection(), DocumentId::from_key(NAME), br#"{"type":"vector"}"#.to_vec())
        })
        .unwrap();
    let query = IndexQuery::Key(IndexKey::number(1.0).unwrap());
    let asked = run.indexes.ask(&run.database, READ, NAME, &query);
    assert_eq!(asked.map_err(|error| error.code()), Err("INVALID_ARGUMENT"));
    run.write(|indexes, tx| indexes.drop_index(tx, NAME).map(|dropped| assert!(dropped))).unwrap();
    run.create().unwrap();
    assert_eq!(run.ask(&query), []);
}

#[test]
fn an_index_set_notices_that_another_one_recreated_an_index() {
    let run = Run::new(IndexType::Hash, &["a"], false, false);
    let other = IndexSet::new(None);
    let ask = |key: f64| {
        other
            .ask(&run.database, READ, NAME, &IndexQuery::Key(IndexKey::number(key).unwrap()))
            .unwrap()
            .unwrap()
    };
    run.write(|indexes, tx| indexes.add(tx, NAME, 1.into(), whole(r#"{"a":1,"b":2}"#))).unwrap();
    assert_eq!((ask(1.0), ask(2.0)), (vec![1.into()], vec![]));
    let config = IndexConfig { fields: vec!["b".into()], ..run.config.clone() };
    run.write(|indexes, tx| indexes.drop_index(tx, NAME).map(drop)).unwrap();
    run.write(move |indexes, tx| indexes.create(tx, &config)).unwrap();
    assert_eq!((ask(1.0), ask(2.0)), (vec![], vec![]));
    run.write(|indexes, tx| indexes.add(tx, NAME, 1.into(), whole(r#"{"a":1,"b":2}"#))).unwrap();
    assert_eq!((ask(1.0), ask(2.0)), (vec![], vec![1.into()]));
}

#[test]
fn recreating_an_index_in_one_batch_leaves_nothing_of_the_old_one() {
    let run = Run::new(IndexType::Hash, &["a"], false, true);
    run.write(|indexes, tx| indexes.add(tx, NAME, 1.into(), whole(r#"{"a":1}"#))).unwrap();
    let config = run.config.clone();
    run.write(move |indexes, tx| {
        indexes.drop_index(tx, NAME)?;
        indexes.create(tx, &config)?;
        indexes.add(tx, NAME, 2.into(), whole(r#"{"a":1}"#))
    })
    .unwrap();
    assert_eq!(run.ask(&IndexQuery::Key(IndexKey::number(1.0).unwrap())), [2.into()]);
}

#[test]
fn adding_an_entity_selected_for_a_since_recreated_index_is_a_conflict() {
    let run = Run::new(IndexType::Hash, &["a.b", "c"], false, false);
    let members = || run.indexes.peek_members(&run.database, NAME);
    let add = |members: Arc<str>| {
        run.write(move |indexes, tx| {
            let entity = Entity { text: br#"{"a":{"b":1},"c":2}"#, members: Some(&members) };
            indexes.add(tx, NAME, 1.into(), entity)
        })
    };
    assert_eq!(members().as_deref(), Some(r#"["a","c"]"#));
    let before = members().unwrap();
    add(Arc::clone(&before)).unwrap();
    assert_eq!(members().as_deref(), Some(&*before), "a change of the index is none of its definition");
    let config = IndexConfig { fields: vec!["c".into(), "d".into()], ..run.config.clone() };
    run.write(move |indexes, tx| {
        indexes.drop_index(tx, NAME)?;
        indexes.create(tx, &config)
    })
    .unwrap();
    assert_eq!(add(before).map_err(|error| error.code()), Err("CONFLICT"));
    add(r#"["c","d"]"#.into()).unwrap();
    assert_eq!(members().as_deref(), Some(r#"["c","d"]"#));
}
