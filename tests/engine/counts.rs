//! Which conditions an index counts without looking at any document.

use std::sync::Arc;

use crate::queries::{Ids, count, fill, spec};
use crate::support::Handle;
use crate::support::simulated::{machine, open};
use octoprompt_storage::engine::CollectionSpec;
use octoprompt_storage::engine::fs::SimFs;
use serde_json::{Value, json};

/// A hash index on `a`.
const A: u16 = 1;
/// A sparse btree index on `b`.
const B: u16 = 1 << 2;
/// A hash index on `a` and `b`.
const A_AND_B: u16 = 1 << 4;
/// A btree index on `a` and `b`.
const A_THEN_B: u16 = 1 << 7;

struct Counted {
    fs: SimFs,
    database: Handle,
    spec: Arc<CollectionSpec>,
}

impl Counted {
    /// Twenty documents with four different `a`, all of which have another `b`, and those in `more`.
    fn new(chosen: u16, more: &[Value]) -> Counted {
        let fs = machine();
        let (database, spec) = (open(&fs), spec(chosen));
        let documents: Vec<Value> = (0..20).map(|at| json!({ "a": at % 4, "b": at })).collect();
        fill(&database, &spec, &[&documents, more].concat(), Ids::Numbers);
        let counted = Counted { fs, database, spec };
        assert_eq!(counted.count(json!({})), (20 + more.len(), false));
        counted
    }

    /// Returns how many documents meet a condition, and whether files were read for that.
    fn count(&self, condition: Value) -> (usize, bool) {
        let calls = |condition: &Value| {
            let before = self.fs.total_calls();
            let found = count(&self.database, &self.spec, &json!({ "where": condition }));
            (found, self.fs.total_calls() - before)
        };
        let (_, without) = calls(&json!({}));
        let (found, with) = calls(&condition);
        (found, with > without)
    }
}

#[test]
fn documents_with_a_key_are_counted_by_its_index() {
    let counted = Counted::new(A, &[json!({ "a": [1, 1, 7] })]);
    assert_eq!(counted.count(json!({ "a": 1 })), (6, false));
    assert_eq!(counted.count(json!({ "a": { "$in": [7] } })), (1, false));
    assert_eq!(counted.count(json!({ "a": 9 })), (0, false));
}

#[test]
fn documents_with_one_of_several_keys_are_counted_by_an_index_in_which_each_has_one() {
    let condition = json!({ "a": { "$in": [1, 2, 7] } });
    assert_eq!(Counted::new(A, &[]).count(condition.clone()), (10, false));
    assert_eq!(Counted::new(A, &[json!({ "a": [1, 7] })]).count(condition), (11, true));
}

#[test]
fn documents_in_a_range_are_counted_by_an_index_in_which_each_has_one_key() {
    let condition = json!({ "b": { "$gte": 5, "$lt": 15 } });
    assert_eq!(Counted::new(B, &[json!({ "b": "x" })]).count(condition.clone()), (10, false));
    assert_eq!(Counted::new(B, &[json!({ "b": [0, 99] })]).count(condition), (11, true));
}

#[test]
fn documents_are_counted_by_an_index_on_all_fields_of_the_condition() {
    for index in [A_AND_B, A_THEN_B] {
        let counted = Counted::new(index, &[]);
        assert_eq!(counted.count(json!({ "a": 1, "b": { "$in": [1, 2, 5] } })), (2, false));
    }
    let counted = Counted::new(A_THEN_B, &[]);
    assert_eq!(counted.count(json!({ "a": 1 })), (5, false));
    assert_eq!(counted.count(json!({ "a": 1, "b": { "$gt": 5 } })), (3, false));
}

#[test]
fn documents_are_read_where_the_index_tells_only_a_part() {
    let counted = Counted::new(A | A_THEN_B, &[json!({ "a": null, "b": 3 }), json!({ "b": 3 })]);
    for (condition, expected) in [
        (json!({ "a": 1, "o.x": null }), 5),
        (json!({ "a": { "$in": [1, 2], "$gte": 2 } }), 5),
        (json!({ "$and": [{ "a": 1 }, { "a": { "$in": [1, 2] } }] }), 5),
        (json!({ "a": 1, "b": { "$gt": 5, "$ne": 9 } }), 2),
        (json!({ "$or": [{ "a": 1 }, { "b": 2 }] }), 6),
        (json!({ "a": null }), 2),
        (json!({ "a": null, "b": 3 }), 2),
    ] {
        assert_eq!(counted.count(condition.clone()), (expected, true), "{condition}");
    }
}
