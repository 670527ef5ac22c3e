//! What an index promises, one behaviour at a time. `model_tests` has the arithmetic.

use std::ops::Bound;
use std::sync::Arc;

use super::*;
use crate::engine::document::DocumentId;

fn config(kind: IndexType, fields: &[&str]) -> IndexConfig {
    let fields = fields.iter().map(|&field| field.into()).collect();
    IndexConfig { name: "byTest".into(), kind, fields, unique: false, sparse: false }
}

fn index(kind: IndexType, fields: &[&str]) -> Index {
    Index::new(Arc::new(IndexSpec::new(config(kind, fields), Extractor::Fields)))
}

/// An index with these documents under the ids 1, 2, 3, …
fn filled(kind: IndexType, fields: &[&str], documents: &[&str]) -> Index {
    let mut index = index(kind, fields);
    for (position, document) in documents.iter().enumerate() {
        index.insert(&number(position as u64 + 1), index.extract(document.as_bytes()));
    }
    index
}

fn number(id: u64) -> DocumentId {
    DocumentId::Number(id)
}

fn key(json: &str) -> IndexKey {
    IndexKey::from_json(json.as_bytes()).unwrap()
}

fn found(index: &Index, json: &str) -> Vec<String> {
    index.find(&key(json)).iter().map(DocumentId::to_string).collect()
}

fn searched(index: &Index, query: &str) -> Vec<String> {
    index.search(query).unwrap().into_iter().map(|(id, _)| id.to_string()).collect()
}

#[test]
fn numbers_and_texts_that_look_alike_are_different_keys() {
    let index = filled(IndexType::Hash, &["a"], &[r#"{"a":42}"#, r#"{"a":"42"}"#]);
    assert_eq!(found(&index, "42"), ["1"]);
    assert_eq!(found(&index, "\"42\""), ["2"]);
}

#[test]
fn names_with_a_special_meaning_in_javascript_are_ordinary_fields() {
    for name in ["__proto__", "constructor", "null", "__null__", "", "größe"] {
        let documents = [format!("{{\"{name}\":\"{name}\"}}"), "{}".into()];
        let index = filled(IndexType::Hash, &[name], &documents.each_ref().map(String::as_str));
        assert_eq!(found(&index, &format!("\"{name}\"")), ["1"], "{name}");
        assert_eq!(found(&index, "null"), ["2"], "{name}");
    }
}

#[test]
fn field_names_may_be_escaped_and_the_last_duplicate_counts() {
    let index = filled(
        IndexType::Hash,
        &["a", "b.c"],
        &[r#"{"a":1,"\u0061":2,"b":{"\u0063":1},"b":{"c":0,"\u0063":3}}"#],
    );
    assert_eq!(found(&index, "[2,3]"), ["1"]);
    assert_eq!(index.total_entries(), 1);
}

#[test]
fn an_array_along_a_path_stands_for_its_elements() {
    let index = filled(IndexType::Btree, &["a.b"], &[r#"{"a":[{"b":1},{"b":[2,3]},{}]}"#]);
    for json in ["1", "2", "3", "null"] {
        assert_eq!(found(&index, json), ["1"], "{json}");
    }
    assert_eq!(index.range(Bound::Unbounded, Bound::Unbounded).unwrap(), [number(1)]);
}

#[test]
fn unreadable_text_has_no_entries() {
    let index = index(IndexType::Hash, &["a"]);
    for text in ["", "{\"a\":1", "{\"a\":1,}", "[1]", "null", "{\"a\":tru}"] {
        assert!(index.extract(text.as_bytes()).is_empty(), "{text:?}");
    }
}

#[test]
fn a_joined_form_finds_every_composite_key_it_may_stand_for() {
    let index = filled(
        IndexType::Hash,
        &["a", "b"],
        &[
            r#"{"a":"electronics","b":"active"}"#,
            r#"{"a":42,"b":"x"}"#,
            r#"{"a":"42","b":"x"}"#,
            r#"{"a":"p:q","b":"r"}"#,
            r#"{"a":"p","b":"q:r"}"#,
            r#"{"b":"alone"}"#,
            "{}",
        ],
    );
    assert_eq!(found(&index, "\"electronics:active\""), ["1"]);
    assert_eq!(found(&index, "[\"electronics\",\"active\"]"), ["1"]);
    assert_eq!(found(&index, "\"42:x\""), ["2", "3"]);
    assert_eq!(found(&index, "[42,\"x\"]"), ["2"]);
    assert_eq!(found(&index, "\"p:q:r\""), ["4", "5"]);
    assert_eq!(found(&index, "\":alone\""), ["6"]);
    assert_eq!(found(&index, "null"), ["7"]);
}

#[test]
fn a_document_with_too_many_key_combinations_is_marked_incomplete() {
    let elements =
        |count: usize| format!("[{}]", (0..count).map(|at| at.to_string()).collect::<Vec<_>>().join(","));
    let document = |a, b| format!("{{\"a\":{},\"b\":{}}}", elements(a), elements(b));
    let index = index(IndexType::Hash, &["a", "b"]);
    let whole = index.extract(document(100, MAX_TUPLES / 100).as_bytes());
    assert_eq!((whole.len(), whole.is_complete()), (MAX_TUPLES, true));
    let cut = index.extract(document(100, MAX_TUPLES / 100 + 1).as_bytes());
    assert_eq!((cut.len(), cut.is_complete()), (0, false));
}

#[test]
fn the_owner_of_a_key_is_another_document_that_has_it() {
    let index = filled(IndexType::Hash, &["a"], &[r#"{"a":["x","y"]}"#]);
    let entries = index.extract(br#"{"a":["w","y"]}"#);
    assert_eq!(index.owner(&entries, |id| *id != number(2)), Some((IndexKey::text("y"), number(1))));
    assert_eq!(index.owner(&entries, |id| *id != number(1)), None);
}

#[test]
fn null_keys_never_violate_uniqueness() {
    let single = filled(IndexType::Hash, &["a"], &["{}"]);
    assert_eq!(single.owner(&single.extract(br#"{"a":null}"#), |_| true), None);
    let composite = filled(IndexType::Hash, &["a", "b"], &[r#"{"a":1}"#, r#"{"a":1,"b":2}"#]);
    assert_eq!(composite.owner(&composite.extract(br#"{"a":1}"#), |_| true), None);
    let clash = composite.owner(&composite.extract(br#"{"a":1,"b":2}"#), |_| true);
    assert_eq!(clash, Some((key("[1,2]"), number(2))));
}

#[test]
fn a_range_over_tuples_may_start_at_a_prefix() {
    fn versions(values: &[Option<&[u8]>]) -> Vec<IndexKey> {
        values[0].and_then(IndexKey::from_json).into_iter().collect()
    }
    let mut index = Index::new(Arc::new(IndexSpec::new(
        config(IndexType::Btree, &["root", "version"]),
        Extractor::Computed { of: &["at"], rule: versions, lookup: None, version: 1 },
    )));
    for (id, document) in ["[1,10]", "[1,9]", "[2,1]", "[0,5]"].iter().enumerate() {
        index.insert(&number(id as u64), index.extract(format!("{{\"at\":{document}}}").as_bytes()));
    }
    let (start, end) = (key("[1]"), IndexKey::tuple([key("1"), IndexKey::number(f64::INFINITY).unwrap()]));
    let bounds = (Bound::Included(&start), Bound::Included(&end));
    assert_eq!(index.range(bounds.0, bounds.1).unwrap(), [number(1), number(0)]);
}

#[test]
fn computed_texts_are_split_into_words() {
    fn name(_: &[Option<&[u8]>]) -> Vec<IndexKey> {
        vec![IndexKey::text("Red Apple"), IndexKey::Null]
    }
    let mut index = Index::new(Arc::new(IndexSpec::new(
        config(IndexType::Inverted, &["name"]),
        Extractor::Computed { of: &[], rule: name, lookup: None, version: 1 },
    )));
    index.insert(&number(1), index.extract(b"{}"));
    assert_eq!(searched(&index, "app"), ["1"]);
}

#[test]
fn better_matches_come_first() {
    let index = filled(
        IndexType::Inverted,
        &["a"],
        &[
            r#"{"a":"apples apples apples apples"}"#,
            r#"{"a":"one apple"}"#,
            r#"{"a":"apples"}"#,
            r#"{"a":"apple apple"}"#,
            r#"{"a":"an Apple"}"#,
            r#"{"a":"pineapple"}"#,
        ],
    );
    assert_eq!(searched(&index, "apple"), ["4", "2", "5", "1", "3"]);
}

#[test]
fn equal_matches_are_ordered_by_id_whichever_word_they_have_more_often() {
    let document = |a, b, c| format!("{{\"a\":\"{}{}{}\"}}", "a ".repeat(a), "b ".repeat(b), "c ".repeat(c));
    // The scores of the first two differ by a unit in the last place if they are added up in the order of the words.
    let documents = [document(1, 4, 5), document(1, 5, 4), document(1, 5, 5)];
    let index = filled(IndexType::Inverted, &["a"], &documents.each_ref().map(String::as_str));
    assert_eq!(searched(&index, "a b c"), ["3", "1", "2"]);
}

#[test]
fn the_null_key_of_an_inverted_index_is_in_no_text_and_matches_no_word() {
    let documents = [r#"{"a":"","b":"."}"#, r#"{"a":null}"#, r#"{"a":"x","b":null}"#, r#"{"a":[null,"x"]}"#];
    let index = filled(IndexType::Inverted, &["a", "b"], &documents);
    assert_eq!(found(&index, "null"), ["2", "4"]);
    assert_eq!(searched(&index, "x"), ["3", "4"]);
    for query in ["", ".", "null", "n"] {
        assert_eq!(searched(&index, query), [""; 0], "{query}");
        assert_eq!(found(&index, &format!("{query:?}")), [""; 0], "{query}");
    }
    assert_eq!((index.unique_keys(), index.total_entries()), (2, 4));
}

#[test]
fn every_word_of_a_query_must_match() {
    let index = filled(
        IndexType::Inverted,
        &["a", "b"],
        &[r#"{"a":"red apple","b":["Sour","green"]}"#, r#"{"a":"red pear"}"#],
    );
    assert_eq!(searched(&index, "APP, red gre"), ["1"]);
    assert_eq!(searched(&index, "red"), ["1", "2"]);
    assert_eq!(searched(&index, "red plum"), [""; 0]);
    assert_eq!(searched(&index, " !"), [""; 0]);
}

#[test]
fn any_substring_of_unspaced_text_is_found() {
    let text = "検索エンジンを東京都で作る";
    let index = filled(IndexType::Inverted, &["a"], &[&format!("{{\"a\":\"{text}\"}}"), r#"{"a":"京都"}"#]);
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    for (from, &start) in starts.iter().enumerate() {
        for &end in &starts[from + 1..] {
            assert!(searched(&index, &text[start..end]).contains(&"1".into()), "{}", &text[start..end]);
        }
    }
    assert_eq!(searched(&index, "東京都"), ["1"]);
}

#[test]
fn a_lone_surrogate_separates_words() {
    let index = filled(IndexType::Inverted, &["a"], &[r#"{"a":"left\ud83dright"}"#]);
    assert_eq!(searched(&index, "left right"), ["1"]);
    assert_eq!(index.unique_keys(), 2);
}

#[test]
fn a_call_that_needs_another_index_type_is_refused_and_names_it() {
    let hash = index(IndexType::Hash, &["a"]);
    let error = hash.range(Bound::Unbounded, Bound::Unbounded).unwrap_err();
    assert_eq!(error.code(), "INDEX_TYPE");
    assert_eq!(
        error.to_string(),
        "index byTest is of type hash, but range queries need type btree; create an index of that type on the \
         same fields"
    );
    let error = hash.search("a").unwrap_err();
    assert!(error.to_string().contains("text search needs type inverted"), "{error}");
    assert!(index(IndexType::Inverted, &["a"]).range(Bound::Unbounded, Bound::Unbounded).is_err());
    assert!(index(IndexType::Btree, &["a"]).search("a").is_err());
}

#[test]
fn inserting_twice_or_removing_an_absent_document_changes_nothing() {
    for kind in [IndexType::Hash, IndexType::Btree, IndexType::Inverted] {
        let mut index = filled(kind, &["a"], &[r#"{"a":"x"}"#]);
        let entries = index.extract(br#"{"a":"x"}"#);
        index.insert(&number(1), entries.clone());
        index.remove(&number(2), &entries);
        index.remove(&number(1), &index.extract(br#"{"a":"y"}"#));
        assert_eq!((index.unique_keys(), index.total_entries()), (1, 1), "{kind:?}");
        assert_eq!(found(&index, "\"x\""), ["1"], "{kind:?}");
        assert_eq!(found(&index.empty_like(), "\"x\""), [""; 0], "{kind:?}");
    }
}

#[test]
fn a_key_shared_by_many_documents_stays_cheap_to_change() {
    // With lists that shift on each removal this would move 10^10 ids and run for minutes.
    for kind in [IndexType::Hash, IndexType::Btree, IndexType::Inverted] {
        let mut index = index(kind, &["a"]);
        let entries = index.extract(br#"{"a":"shared"}"#);
        (0..200_000).for_each(|id| index.insert(&number(id), entries.clone()));
        assert_eq!(index.total_entries(), 200_000);
        (0..200_000).for_each(|id| index.remove(&number(id), &entries));
        assert_eq!((index.unique_keys(), index.total_entries()), (0, 0));
    }
}
