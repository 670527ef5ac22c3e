//! How indexes on several fields answer queries.

use std::sync::Arc;

use crate::queries::{Ids, answer, explained, fill, plan, spec};
use crate::support::{Fixture, Handle};
use octoprompt_storage::engine::CollectionSpec;
use serde_json::{Value, json};

/// A btree index on `a` and `b`, by its bit.
const PAIR: u16 = 1 << 7;
/// A btree index on `b`, `a` and `o.x`.
const TRIPLE: u16 = 1 << 9;
/// A hash index on `a`.
const A: u16 = 1;
/// Btree indexes on `a` and on `b`.
const A_AND_B: u16 = 1 << 1 | 1 << 2;
/// Btree indexes on `b` and on `o.x`.
const B_AND_X: u16 = 1 << 2 | 1 << 3;

/// Documents with four different `a` and as many different `b` as there are documents of one `a`.
fn filled(fixture: &Fixture, chosen: u16, count: usize) -> (Handle, Arc<CollectionSpec>) {
    let (database, spec) = (fixture.open(), spec(chosen));
    let documents: Vec<Value> =
        (0..count).map(|at| json!({ "a": at % 4, "b": at / 4, "o": { "x": at % 2 } })).collect();
    fill(&database, &spec, &documents, Ids::Numbers);
    (database, spec)
}

fn scanned(plan: &Value) -> u64 {
    plan["scanned"].as_u64().expect("a number")
}

fn ids(answer: &[Value]) -> Vec<u64> {
    answer.iter().map(|document| document["id"].as_u64().expect("an id")).collect()
}

#[test]
fn the_first_fields_alone_find_documents() {
    let fixture = Fixture::new();
    let (database, spec) = filled(&fixture, PAIR, 200);
    let plan = explained(&database, &spec, json!({ "where": { "a": 2 } }));
    assert_eq!((&plan["kind"], &plan["index"]), (&json!("range"), &json!("a_b")));
    assert_eq!((&plan["prefix"], &plan["range"]), (&json!([2]), &json!({})));
    assert_eq!((scanned(&plan), &plan["returned"]), (50, &json!(50)));
}

#[test]
fn a_range_of_the_next_field_narrows_them() {
    let fixture = Fixture::new();
    let (database, spec) = filled(&fixture, PAIR, 200);
    let plan = explained(&database, &spec, json!({ "where": { "a": 2, "b": { "$gt": 10, "$lte": 15 } } }));
    assert_eq!((&plan["prefix"], &plan["range"]), (&json!([2]), &json!({ "$gt": 10, "$lte": 15 })));
    assert_eq!((scanned(&plan), &plan["returned"]), (5, &json!(5)));
}

#[test]
fn a_range_of_the_first_field_needs_no_other() {
    let fixture = Fixture::new();
    let (database, spec) = filled(&fixture, PAIR, 200);
    let plan = explained(&database, &spec, json!({ "where": { "a": { "$lt": 1 } } }));
    assert_eq!((&plan["kind"], &plan["index"], scanned(&plan)), (&json!("range"), &json!("a_b"), 50));
}

#[test]
fn each_of_several_values_of_the_first_field_is_looked_up() {
    let fixture = Fixture::new();
    let (database, spec) = filled(&fixture, PAIR, 200);
    let range = json!({ "where": { "a": { "$in": [0, 3] }, "b": { "$gte": 45 } } });
    assert_eq!(plan(&database, &spec, range), (json!("union"), json!("id"), json!(10)));
    let keys = json!({ "where": { "a": { "$in": [0, 3] }, "b": { "$in": [1, 2] } } });
    assert_eq!(plan(&database, &spec, keys), (json!("keys"), json!("id"), json!(4)));
}

#[test]
fn the_fields_after_those_that_equal_something_provide_the_order() {
    let fixture = Fixture::new();
    let (database, spec) = filled(&fixture, PAIR, 200);
    for (direction, expected) in [("asc", [2, 6, 10]), ("desc", [198, 194, 190])] {
        let query = json!({ "where": { "a": 2 }, "orderBy": [["b", direction]], "limit": 3 });
        assert_eq!(ids(&answer(&database, &spec, &query)), expected);
        assert_eq!(plan(&database, &spec, query), (json!("range"), json!("index"), json!(16)));
    }
}

#[test]
fn a_page_continues_within_the_order() {
    let fixture = Fixture::new();
    let (database, spec) = filled(&fixture, PAIR, 200);
    let condition = json!({ "a": 2, "b": { "$lt": 30 } });
    let query = json!({ "where": condition, "orderBy": [["b", "desc"]], "limit": 3 });
    assert_eq!(ids(&answer(&database, &spec, &query)), [118, 114, 110]);
    assert_eq!(plan(&database, &spec, query), (json!("range"), json!("index"), json!(16)));
}

#[test]
fn an_order_that_names_what_equals_something_is_provided_too() {
    let fixture = Fixture::new();
    let (database, spec) = filled(&fixture, PAIR, 200);
    let query =
        json!({ "where": { "a": 2 }, "orderBy": [["a", "asc"], ["b", "desc"], ["a", "desc"]], "limit": 3 });
    assert_eq!(ids(&answer(&database, &spec, &query)), [198, 194, 190]);
    assert_eq!(plan(&database, &spec, query).1, "index");
}

#[test]
fn all_documents_may_be_ordered_by_several_fields() {
    let fixture = Fixture::new();
    let (database, spec) = filled(&fixture, PAIR, 200);
    let query = json!({ "orderBy": [["a", "desc"], ["b", "desc"]], "limit": 2 });
    assert_eq!(ids(&answer(&database, &spec, &query)), [199, 195]);
    assert_eq!(plan(&database, &spec, query).1, "index");
}

#[test]
fn directions_that_differ_are_sorted_in_memory() {
    let fixture = Fixture::new();
    let (database, spec) = filled(&fixture, PAIR, 200);
    let query = json!({ "orderBy": [["a", "desc"], ["b", "asc"]], "limit": 2 });
    assert_eq!(ids(&answer(&database, &spec, &query)), [3, 7]);
    assert_eq!(plan(&database, &spec, query).1, "memory");
}

#[test]
fn ties_before_the_last_field_are_ordered_by_id() {
    let fixture = Fixture::new();
    let (database, spec) = filled(&fixture, TRIPLE, 64);
    // The index has the four documents of one `b` in the order of their `a`, so that this one comes first there.
    fill(&database, &spec, &[json!({ "a": 9, "b": 0 })], Ids::Numbers);
    let query = json!({ "orderBy": [["b", "asc"]], "limit": 5 });
    assert_eq!(ids(&answer(&database, &spec, &query)), [0, 1, 2, 3, 4]);
    assert_eq!(plan(&database, &spec, query).1, "index");
}

#[test]
fn keys_of_one_field_that_are_tuples_are_ordered_as_a_whole() {
    let fixture = Fixture::new();
    let (database, spec) = (fixture.open(), spec(1 << 1));
    fill(&database, &spec, &[json!({ "a": [[1, 3]] }), json!({ "a": [[1, 2]] })], Ids::Numbers);
    let query = json!({ "orderBy": [["a", "asc"]], "limit": 2 });
    assert_eq!(ids(&answer(&database, &spec, &query)), [1, 0]);
    assert_eq!(plan(&database, &spec, query).1, "index");
}

#[test]
fn the_index_that_provides_the_order_is_preferred_to_one_that_finds_as_many() {
    let fixture = Fixture::new();
    let (database, spec) = filled(&fixture, A | PAIR, 200);
    let query = json!({ "where": { "a": 2 }, "orderBy": [["b", "desc"]] });
    let mut limited = query.clone();
    limited["limit"] = 3.into();
    assert_eq!(plan(&database, &spec, limited), (json!("range"), json!("index"), json!(16)));
    assert_eq!(plan(&database, &spec, query), (json!("keys"), json!("memory"), json!(50)));
}

#[test]
fn two_indexes_on_the_same_field_are_not_intersected() {
    let fixture = Fixture::new();
    let (database, spec) = filled(&fixture, A | PAIR, 200);
    assert_eq!(
        plan(&database, &spec, json!({ "where": { "a": 2 } })),
        (json!("keys"), json!("id"), json!(50))
    );
}

#[test]
fn the_smaller_of_two_large_ranges_is_used_if_ids_are_the_order() {
    let fixture = Fixture::new();
    let (database, spec) = (fixture.open(), spec(A_AND_B));
    let documents: Vec<Value> = (0..8000).map(|at| json!({ "a": at, "b": at })).collect();
    fill(&database, &spec, &documents, Ids::Numbers);
    let condition = json!({ "a": { "$gte": 1000 }, "b": { "$lt": 2000 } });
    let query = json!({ "where": condition, "orderBy": [["id", "desc"]], "limit": 5 });
    let plan = explained(&database, &spec, query);
    assert_eq!((&plan["sort"], &plan["estimated"]), (&json!("id"), &json!(2000)));
}

#[test]
fn keys_of_very_many_documents_are_preferred_to_a_range_of_even_more() {
    let fixture = Fixture::new();
    let (database, spec) = filled(&fixture, B_AND_X, 22_000);
    let plan = explained(&database, &spec, json!({ "where": { "o.x": 1, "b": { "$gte": 0 } } }));
    assert_eq!((&plan["kind"], &plan["index"]), (&json!("keys"), &json!("nested")));
    assert_eq!((&plan["estimated"], scanned(&plan)), (&json!(11_000), 11_000));
}

#[test]
fn a_document_without_a_key_in_the_index_is_found_nevertheless() {
    let fixture = Fixture::new();
    let (database, spec) = filled(&fixture, PAIR, 200);
    fill(&database, &spec, &[json!({ "a": 2, "b": { "x": 1 } })], Ids::Numbers);
    let query = json!({ "where": { "a": 2 }, "limit": 1 });
    assert_eq!(ids(&answer(&database, &spec, &query)), [0]);
    assert_eq!(plan(&database, &spec, query).0, "scan");
    let both = json!({ "where": { "a": 2, "b": 1 } });
    assert_eq!(plan(&database, &spec, both), (json!("keys"), json!("id"), json!(1)));
}

#[test]
fn a_search_in_order_goes_on_until_it_has_found_enough() {
    let fixture = Fixture::new();
    let (database, spec) = filled(&fixture, PAIR, 6000);
    for (low, found) in [(1400, 3), (1496, 3), (1498, 1), (1499, 0)] {
        // No index answers a negation.
        let late = json!({ "a": 2, "$not": { "b": { "$lte": low } } });
        let query = json!({ "where": late, "orderBy": [["b", "asc"]], "limit": 3 });
        let expected: Vec<u64> = (low + 1..1500).map(|b| 4 * b + 2).take(3).collect();
        assert_eq!(expected.len(), found);
        assert_eq!(ids(&answer(&database, &spec, &query)), expected);
        assert_eq!(plan(&database, &spec, query).1, "index");
    }
}

/// Documents whose `b` is 1, and whose ascending `a` are all different, with a hash index on `b` and a btree index on `a`.
fn mostly_alike(
    fixture: &Fixture,
    count: usize,
    other: impl Fn(usize) -> bool,
) -> (Handle, Arc<CollectionSpec>) {
    let (database, spec) = (fixture.open(), spec(1 << 1 | 1 << 11));
    let documents: Vec<Value> =
        (0..count).map(|at| json!({ "a": at, "b": if other(at) { 0 } else { 1 } })).collect();
    fill(&database, &spec, &documents, Ids::Numbers);
    (database, spec)
}

#[test]
fn an_index_that_provides_the_order_is_tried_if_another_finds_very_many() {
    let fixture = Fixture::new();
    let (database, spec) = mostly_alike(&fixture, 1200, |at| at % 2 == 0 && at > 1100);
    let query = json!({ "where": { "b": 1 }, "orderBy": [["a", "desc"]], "limit": 10 });
    assert_eq!(ids(&answer(&database, &spec, &query)), (0..10).map(|at| 1199 - 2 * at).collect::<Vec<u64>>());
    let plan = explained(&database, &spec, query);
    assert_eq!((&plan["index"], &plan["sort"]), (&json!("a_btree"), &json!("index")));
    assert!(scanned(&plan) < 50, "{plan}");
}

#[test]
fn all_documents_are_scanned_if_too_few_of_the_first_in_order_meet_the_condition() {
    let fixture = Fixture::new();
    let (database, spec) = (fixture.open(), spec(1 << 1));
    let documents: Vec<Value> = (0..600).map(|at| json!({ "a": at, "b": at % 300 })).collect();
    fill(&database, &spec, &documents, Ids::Numbers);
    let query = json!({ "where": { "b": 3 }, "orderBy": [["a", "desc"]], "limit": 2 });
    assert_eq!(ids(&answer(&database, &spec, &query)), [303, 3]);
    assert_eq!(plan(&database, &spec, query), (json!("scan"), json!("memory"), json!(600)));
    let early = json!({ "where": { "b": { "$gt": 290 } }, "orderBy": [["a", "desc"]], "limit": 2 });
    assert_eq!(ids(&answer(&database, &spec, &early)), [599, 598]);
    assert_eq!(plan(&database, &spec, early).1, "index");
}

#[test]
fn without_a_limit_what_is_found_is_ordered_in_memory() {
    let fixture = Fixture::new();
    let (database, spec) = filled(&fixture, PAIR, 200);
    let all = json!({ "orderBy": [["a", "asc"], ["b", "asc"]] });
    assert_eq!(plan(&database, &spec, all), (json!("scan"), json!("memory"), json!(200)));
    let some = json!({ "where": { "a": 2 }, "orderBy": [["b", "desc"]] });
    assert_eq!(ids(&answer(&database, &spec, &some))[..3], [198, 194, 190]);
    assert_eq!(plan(&database, &spec, some), (json!("range"), json!("memory"), json!(50)));
}

#[test]
fn the_other_index_is_used_after_all_if_the_trial_finds_too_few() {
    let fixture = Fixture::new();
    let (database, spec) = mostly_alike(&fixture, 1500, |at| at >= 1200);
    let query = json!({ "where": { "b": 1 }, "orderBy": [["a", "desc"]], "limit": 10 });
    assert_eq!(ids(&answer(&database, &spec, &query)), (0..10).map(|at| 1199 - at).collect::<Vec<u64>>());
    let plan = explained(&database, &spec, query);
    assert_eq!((&plan["index"], &plan["sort"]), (&json!("b_hash"), &json!("memory")));
}
