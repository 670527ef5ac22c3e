//! Every type of index against a model: the documents in a list, filtered by a full scan.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::engine::document::DocumentId;

pub(crate) type Documents = BTreeMap<DocumentId, Value>;

fn spec(kind: IndexType, fields: &[&str], sparse: bool) -> Arc<IndexSpec> {
    let fields = fields.iter().map(|&field| field.into()).collect();
    let config = IndexConfig { name: "test".into(), kind, fields, unique: false, sparse };
    Arc::new(IndexSpec::new(config, Extractor::Fields))
}

fn index(kind: IndexType, fields: &[&str], sparse: bool) -> Index {
    Index::new(spec(kind, fields, sparse))
}

/// Changes of the collection: a new text for an id, or `None` to remove the document.
fn changes(document: impl Strategy<Value = Value>) -> impl Strategy<Value = Vec<(u8, Option<Value>)>> {
    prop::collection::vec((0..8_u8, prop::option::weighted(0.8, document)), 0..40)
}

/// Applies the changes to the index and to the model, and returns the model.
fn apply(index: &mut Index, changes: Vec<(u8, Option<Value>)>) -> Documents {
    let mut documents = Documents::new();
    for (id, document) in changes {
        let id =
            if id % 2 == 0 { DocumentId::Number(id.into()) } else { DocumentId::from_key(&format!("d{id}")) };
        if let Some(old) = documents.remove(&id) {
            index.remove(&id, &index.extract(old.to_string().as_bytes()));
        }
        if let Some(document) = document {
            index.insert(&id, index.extract(document.to_string().as_bytes()));
            documents.insert(id, document);
        }
    }
    documents
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..3_i32).prop_map(Value::from),
        prop::sample::select(vec!["", "1", "a", "a:b", "b", "true", "\u{ffff}", "😀"]).prop_map(Value::from),
    ]
}

fn field() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => scalar(),
        2 => prop::collection::vec(scalar(), 0..3).prop_map(Value::from),
        1 => Just(json!({ "deep": 1 })),
    ]
}

/// Documents with the fields `a`, `b` and `c.d`, each of which may be missing.
pub(crate) fn document() -> impl Strategy<Value = Value> {
    let optional = || prop::option::weighted(0.8, field());
    (optional(), optional(), optional()).prop_map(|(a, b, d)| {
        let mut document = json!({});
        for (name, value) in [("a", a), ("b", b), ("c", d.map(|d| json!({ "d": d })))] {
            if let Some(value) = value {
                document[name] = value;
            }
        }
        document
    })
}

/// The values that the model finds under a field.
pub(crate) fn model_values(document: &Value, field: &str) -> Vec<Value> {
    let pointer = format!("/{}", field.replace('.', "/"));
    let value = document.pointer(&pointer).cloned().unwrap_or_default();
    let values = if let Value::Array(elements) = value { elements } else { vec![value] };
    values.into_iter().filter(|value| !value.is_object()).collect()
}

pub(crate) fn model_keys(document: &Value, index: &Index) -> BTreeSet<IndexKey> {
    let config = &index.spec().config;
    let mut rows: Vec<Vec<Value>> = vec![vec![]];
    for field in &config.fields {
        let values = model_values(document, field);
        rows = rows
            .iter()
            .flat_map(|row| values.iter().map(|value| [row.as_slice(), std::slice::from_ref(value)].concat()))
            .collect();
    }
    rows.retain(|row| !(config.sparse && row.iter().all(Value::is_null)));
    let key = |value: Value| IndexKey::from_json(value.to_string().as_bytes()).unwrap();
    rows.into_iter().map(|mut row| key(if row.len() == 1 { row.remove(0) } else { row.into() })).collect()
}

/// Which key of the model a query means.
fn model_joined(key: &IndexKey) -> String {
    let row: Vec<Value> = serde_json::from_str(&key.to_string()).unwrap_or_default();
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    row.iter().map(text).collect::<Vec<_>>().join(":")
}

fn check_keyed(kind: IndexType, fields: &[&str], sparse: bool, changes: Vec<(u8, Option<Value>)>) {
    let mut index = index(kind, fields, sparse);
    let documents = apply(&mut index, changes);
    let mut pairs: BTreeSet<(IndexKey, DocumentId)> = BTreeSet::new();
    for (id, document) in &documents {
        pairs.extend(model_keys(document, &index).into_iter().map(|key| (key, id.clone())));
    }
    let mut keys: BTreeSet<IndexKey> = pairs.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(index.unique_keys(), keys.len());
    assert_eq!(index.total_entries(), pairs.len());

    keys.extend([IndexKey::Null, IndexKey::text("a"), IndexKey::number(0.5).unwrap()]);
    for key in keys.iter().filter(|key| fields.len() == 1 || matches!(key, IndexKey::Tuple(_))) {
        let expected: Vec<_> =
            pairs.iter().filter(|(held, _)| held == key).map(|(_, id)| id.clone()).collect();
        assert_eq!(index.find(key), expected, "{key}");
        if fields.len() > 1 {
            let form = model_joined(key);
            let alike = |held: &IndexKey| model_joined(held) == form;
            let expected: BTreeSet<_> =
                pairs.iter().filter(|(held, _)| alike(held)).map(|(_, id)| id.clone()).collect();
            assert_eq!(index.find(&IndexKey::text(&form)), Vec::from_iter(expected), "{form}");
        }
    }
    check_owners(&index, &documents, &pairs);
    if kind == IndexType::Btree {
        check_ranges(&index, &keys, &pairs);
    }
    for (id, document) in &documents {
        index.remove(id, &index.extract(document.to_string().as_bytes()));
    }
    assert_eq!((index.unique_keys(), index.total_entries()), (0, 0));
    assert!(keys.iter().all(|key| index.find(key).is_empty()));
}

fn check_owners(index: &Index, documents: &Documents, pairs: &BTreeSet<(IndexKey, DocumentId)>) {
    for (id, document) in documents {
        let own = model_keys(document, index);
        let clash = |(key, owner): &&(IndexKey, DocumentId)| {
            owner != id && own.contains(key) && !key.to_string().contains("null")
        };
        let found = index.owner(&index.extract(document.to_string().as_bytes()), |owner| owner != id);
        assert_eq!(found.as_ref(), pairs.iter().find(clash));
    }
}

fn check_ranges(index: &Index, keys: &BTreeSet<IndexKey>, pairs: &BTreeSet<(IndexKey, DocumentId)>) {
    let bounds: Vec<Bound<&IndexKey>> = [Bound::Unbounded]
        .into_iter()
        .chain(keys.iter().flat_map(|key| [Bound::Included(key), Bound::Excluded(key)]))
        .collect();
    for &start in &bounds {
        for &end in &bounds {
            let above = |key: &IndexKey| match start {
                Bound::Unbounded => true,
                Bound::Included(start) => key >= start,
                Bound::Excluded(start) => key > start,
            };
            let below = |key: &IndexKey| match end {
                Bound::Unbounded => true,
                Bound::Included(end) => key <= end,
                Bound::Excluded(end) => key < end,
            };
            let inside: Vec<_> = pairs.iter().filter(|(key, _)| above(key) && below(key)).collect();
            let mut expected: Vec<DocumentId> = Vec::new();
            for (_, id) in &inside {
                if !expected.contains(id) {
                    expected.push(id.clone());
                }
            }
            assert_eq!(index.range(start, end).unwrap(), expected, "{start:?} {end:?}");
        }
    }
}

/// Texts of words that are each other's prefixes, in both cases, and of one run without spaces.
pub(crate) fn text() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec!["a", "AB", "abc", "b", "É", "東京", "京東京", "京"]);
    prop::collection::vec(word, 0..6).prop_map(|words| words.join(" ").into())
}

pub(crate) fn model_matches(word: &str, query: &str) -> bool {
    // A run without spaces is found by any part of it, a word by its start.
    if query.is_ascii() { word.starts_with(query) } else { word.contains(query) }
}

/// The documented score, counted word by word.
fn model_score(words: &[String], asked: &str) -> f64 {
    let saturate = |count: usize| count as f64 / (count as f64 + 1.0);
    match words.iter().filter(|word| *word == asked).count() {
        0 => saturate(words.iter().filter(|word| word.starts_with(asked)).count()),
        whole => 1.0 + saturate(whole),
    }
}

pub(crate) fn model_words(document: &Value) -> Vec<String> {
    let texts: Vec<Value> = ["a", "b"].iter().flat_map(|field| model_values(document, field)).collect();
    let words = texts.iter().filter_map(Value::as_str).flat_map(str::split_whitespace);
    words.map(str::to_lowercase).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_hash_index_agrees_with_a_scan(changes in changes(document()), sparse: bool) {
        check_keyed(IndexType::Hash, &["a"], sparse, changes.clone());
        check_keyed(IndexType::Hash, &["c.d"], sparse, changes);
    }

    #[test]
    fn a_btree_index_agrees_with_a_scan(changes in changes(document()), sparse: bool) {
        check_keyed(IndexType::Btree, &["a"], sparse, changes.clone());
        check_keyed(IndexType::Btree, &["c.d"], sparse, changes);
    }

    #[test]
    fn composite_keys_agree_with_a_scan(changes in changes(document()), sparse: bool) {
        check_keyed(IndexType::Hash, &["a", "b"], sparse, changes.clone());
        check_keyed(IndexType::Btree, &["c.d", "b"], sparse, changes);
    }

    #[test]
    fn an_inverted_index_agrees_with_a_scan(changes in changes((text(), text()).prop_map(|(a, b)| {
        json!({ "a": a, "b": [b, 7] })
    }))) {
        let mut index = index(IndexType::Inverted, &["a", "b"], false);
        let documents = apply(&mut index, changes);
        let queries = ["a", "A", "ab", "abc", "abcd", "b", "é", "東", "京", "東京", "京東", "a b", "abc a b", "ab 京", "7 a"];
        for query in queries {
            let asked: Vec<String> = query.split(' ').map(str::to_lowercase).collect();
            let ranked = index.search(query).unwrap();
            let in_order = ranked.is_sorted_by(|(id, score), (next_id, next)| {
                score > next || (score == next && id < next_id)
            });
            prop_assert!(in_order, "{:?}", ranked);
            for (id, score) in ranked.iter().filter(|_| query.is_ascii() && !query.contains('7')) {
                let words = model_words(&documents[id]);
                let expected: f64 = asked.iter().map(|asked| model_score(&words, asked)).sum();
                prop_assert!((score - expected).abs() < 1e-9, "{} {} {}", query, score, expected);
            }
            let mut found: Vec<_> = ranked.into_iter().map(|(id, _)| id).collect();
            found.sort();
            let expected: Vec<_> = documents
                .iter()
                .filter(|(_, document)| {
                    let words = model_words(document);
                    asked.iter().all(|asked| asked == "7" || words.iter().any(|word| model_matches(word, asked)))
                })
                .map(|(id, _)| id.clone())
                .collect();
            prop_assert_eq!(&found, &expected, "{}", query);
            prop_assert_eq!(index.find(&IndexKey::text(query)), expected);
        }
        for (id, document) in &documents {
            index.remove(id, &index.extract(document.to_string().as_bytes()));
        }
        prop_assert_eq!((index.unique_keys(), index.total_entries()), (0, 0));
    }

    #[test]
    fn an_inverted_index_finds_null_where_a_hash_index_does(changes in changes(document()), sparse: bool) {
        for fields in [&["a"][..], &["c.d"], &["a", "b"], &["b", "c.d", "a"]] {
            let (mut words, mut keys) =
                (index(IndexType::Inverted, fields, sparse), index(IndexType::Hash, fields, sparse));
            let documents = apply(&mut words, changes.clone());
            apply(&mut keys, changes.clone());
            prop_assert_eq!(words.find(&IndexKey::Null), keys.find(&IndexKey::Null), "{:?}", fields);
            for (id, document) in &documents {
                words.remove(id, &words.extract(document.to_string().as_bytes()));
            }
            prop_assert_eq!((words.unique_keys(), words.total_entries()), (0, 0));
        }
    }

    #[test]
    fn extracting_for_several_indexes_at_once_equals_extracting_for_each(document in document()) {
        let specs = [
            spec(IndexType::Hash, &["b"], true),
            spec(IndexType::Inverted, &["a", "c.d"], false),
            spec(IndexType::Btree, &["c.d", "a"], false),
        ];
        let text = document.to_string();
        let alone = specs.each_ref().map(|spec| Index::new(Arc::clone(spec)).extract(text.as_bytes()));
        prop_assert_eq!(extract_all(&specs, text.as_bytes()), alone);
    }

    #[test]
    fn rubbish_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64), text in any::<String>()) {
        let specs = [spec(IndexType::Hash, &["a"], true), spec(IndexType::Inverted, &["a"], false)];
        extract_all(&specs, &bytes);
        let mut truncated = json!({ "a": [text, { "b": 1 }] }).to_string().into_bytes();
        truncated.truncate(bytes.len());
        extract_all(&specs, &truncated);
        let _ = index(IndexType::Inverted, &["a"], false).search(&text);
    }
}
