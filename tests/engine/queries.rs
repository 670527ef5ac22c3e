//! How queries are answered, and what they refuse.

use std::sync::Arc;

use crate::support::{Fixture, Handle, READ};
use octoprompt_storage::engine::cancel::Cancel;
use octoprompt_storage::engine::document::DocumentId;
use octoprompt_storage::engine::index::{Extractor, IndexConfig, IndexSpec, IndexType};
use octoprompt_storage::engine::query::Query;
use octoprompt_storage::engine::{CollectionSpec, Durability, Foreign};
use serde_json::{Value, json};

const INDEXES: [(&str, IndexType, &[&str], bool); 12] = [
    ("a_hash", IndexType::Hash, &["a"], false),
    ("a_btree", IndexType::Btree, &["a"], false),
    ("b_sparse", IndexType::Btree, &["b"], true),
    ("nested", IndexType::Btree, &["o.x"], false),
    ("pair", IndexType::Hash, &["a", "b"], false),
    ("large", IndexType::Hash, &["o"], true),
    ("id", IndexType::Btree, &["id"], false),
    ("a_b", IndexType::Btree, &["a", "b"], false),
    ("a_b_sparse", IndexType::Btree, &["a", "b"], true),
    ("b_a_x", IndexType::Btree, &["b", "a", "o.x"], false),
    ("b_id", IndexType::Btree, &["b", "id"], false),
    ("b_hash", IndexType::Hash, &["b"], false),
];

/// A collection with some of the indexes, picked by the bits of a number.
pub fn spec(chosen: u16) -> Arc<CollectionSpec> {
    let chosen = INDEXES.iter().enumerate().filter(|(at, _)| chosen & (1 << at) != 0);
    let indexes = chosen.map(|(_, (name, kind, fields, sparse))| {
        let fields = fields.iter().map(|&field| field.into()).collect();
        let config =
            IndexConfig { name: (*name).into(), kind: *kind, fields, unique: false, sparse: *sparse };
        Arc::new(IndexSpec::new(config, Extractor::Fields))
    });
    Arc::new(CollectionSpec {
        path: "items.json".into(),
        large_field: Some("content"),
        indexes: indexes.collect(),
        foreign: Foreign::Adopt(None),
    })
}

/// What the ids of documents may be.
#[derive(Debug, Clone, Copy)]
pub enum Ids {
    Numbers,
    Digits,
    Texts,
    /// Texts, and numbers that are no keys of a sorted map of numbers.
    Others,
    /// All of these.
    All,
}

impl Ids {
    fn id(self, at: usize) -> Value {
        match self {
            Ids::Numbers => at.into(),
            Ids::Digits if at.is_multiple_of(2) => at.to_string().into(),
            Ids::Digits => at.into(),
            Ids::Texts => format!("{}{at}", ["a", "b", "é", "😀", "-"][at % 5]).into(),
            Ids::Others if at.is_multiple_of(3) => (-(at as i64) - 1).into(),
            Ids::Others if at % 3 == 1 => (at as f64 / 2.0 + 0.25).into(),
            Ids::Others => Ids::Texts.id(at),
            Ids::All => [Ids::Numbers, Ids::Digits, Ids::Texts, Ids::Others][at / 2 % 4].id(at),
        }
    }
}

pub fn fill(database: &Handle, spec: &Arc<CollectionSpec>, documents: &[Value], ids: Ids) {
    for (at, document) in documents.iter().enumerate() {
        let (spec, mut document) = (Arc::clone(spec), document.clone());
        document["id"] = ids.id(at);
        let key = document["id"].as_str().map_or_else(|| document["id"].to_string(), str::to_owned);
        // The large field must come last.
        let mut text = document.to_string();
        text.truncate(text.len() - 1);
        text.push_str(&format!(",\"content\":\"content {}\"}}", at % 3));
        let id = DocumentId::from_key(&key);
        database.write(Durability::Os, move |tx| tx.put(&spec, id, text.into_bytes())).expect("written");
    }
}

pub fn all(database: &Handle, spec: &Arc<CollectionSpec>) -> Vec<Value> {
    let list = database.list(spec, octoprompt_storage::engine::Part::Whole, READ).expect("listed");
    serde_json::from_slice(&list).expect("an array")
}

pub fn answer(database: &Handle, spec: &Arc<CollectionSpec>, query: &Value) -> Vec<Value> {
    let query = Query::from_json(query.to_string().as_bytes()).expect("a query");
    let texts = database.documents(spec, &query, READ).expect("answered");
    texts.iter().map(|text| serde_json::from_slice(text).expect("an object")).collect()
}

pub fn count(database: &Handle, spec: &Arc<CollectionSpec>, query: &Value) -> usize {
    let query = Query::from_json(query.to_string().as_bytes()).expect("a query");
    database.count(spec, &query, READ).expect("counted")
}

pub fn explained(database: &Handle, spec: &Arc<CollectionSpec>, query: Value) -> Value {
    let query = Query::from_json(query.to_string().as_bytes()).expect("a query");
    let text = database.explain(spec, &query, READ).expect("explained");
    serde_json::from_slice(&text).expect("an object")
}

fn numbered(database: &Handle, spec: &Arc<CollectionSpec>, count: usize) {
    let documents: Vec<Value> = (0..count).map(|at| json!({ "a": at, "b": at % 2 })).collect();
    fill(database, spec, &documents, Ids::Numbers);
}

#[test]
fn a_range_plan_names_its_index_and_scans_only_the_range() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = spec(0b10);
    numbered(&database, &spec, 200);
    let plan = explained(&database, &spec, json!({ "where": { "a": { "$gte": 10, "$lt": 20 }, "b": 1 } }));
    assert_eq!(
        (&plan["kind"], &plan["index"], &plan["sort"]),
        (&json!("range"), &json!("a_btree"), &json!("id"))
    );
    assert_eq!(plan["range"], json!({ "$gte": 10, "$lt": 20 }));
    assert_eq!((&plan["scanned"], &plan["returned"]), (&json!(10), &json!(5)));
}

#[test]
fn a_range_plan_shows_the_bounds_that_were_asked_for() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = spec(0b10);
    numbered(&database, &spec, 20);
    for bounds in [json!({ "$gt": 5 }), json!({ "$lte": 5 }), json!({ "$lt": "x" }), json!({ "$gte": "x" })] {
        let plan = explained(&database, &spec, json!({ "where": { "a": bounds } }));
        assert_eq!(plan["range"], bounds);
    }
}

#[test]
fn ordering_by_an_index_avoids_the_sort_and_stops_at_the_limit() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = spec(0b10);
    numbered(&database, &spec, 200);
    let plan = explained(&database, &spec, json!({ "orderBy": [["a", "desc"]], "limit": 3 }));
    assert_eq!((&plan["index"], &plan["sort"]), (&json!("a_btree"), &json!("index")));
    assert!(plan["scanned"].as_u64().is_some_and(|scanned| scanned <= 16), "{plan}");
}

/// How a query is explained: its kind, where the order comes from, and how many documents were looked at.
pub fn plan(database: &Handle, spec: &Arc<CollectionSpec>, query: Value) -> (Value, Value, Value) {
    let mut plan = explained(database, spec, query);
    let [kind, sort, scanned] = ["kind", "sort", "scanned"].map(|name| plan[name].take());
    (kind, sort, scanned)
}

#[test]
fn ids_are_looked_up_without_an_index() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = spec(0);
    numbered(&database, &spec, 200);
    for (condition, scanned) in [
        (json!({ "id": 7 }), 1),
        (json!({ "id": { "$in": [7, "8", 300] } }), 2),
        (json!({ "id": { "$gt": 9.5, "$lt": 12 } }), 2),
        (json!({ "$or": [{ "id": 7 }, { "id": { "$gte": 198 } }] }), 3),
    ] {
        let (kind, _, looked_at) = plan(&database, &spec, json!({ "where": condition }));
        assert_ne!(kind, "scan", "{condition}");
        assert_eq!(looked_at, scanned, "{condition}");
    }
}

#[test]
fn a_plan_through_ids_names_them() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = spec(0);
    numbered(&database, &spec, 20);
    let keys = explained(&database, &spec, json!({ "where": { "id": { "$in": [7, "8"] } } }));
    assert_eq!((&keys["kind"], &keys["index"], &keys["keys"]), (&json!("ids"), &json!(null), &json!([7, 8])));
    let range = explained(&database, &spec, json!({ "where": { "id": { "$gte": 3, "$lt": 9 } } }));
    assert_eq!((&range["kind"], &range["range"]), (&json!("ids"), &json!({ "$gte": 3, "$lt": 9 })));
}

#[test]
fn an_order_by_ids_that_are_numbers_stops_at_the_limit() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = spec(0b1);
    numbered(&database, &spec, 200);
    for condition in [json!({}), json!({ "id": { "$lt": 150 } }), json!({ "id": { "$lt": 150 }, "b": 1 })] {
        let query = json!({ "where": condition, "orderBy": [["id", "desc"], ["a", "asc"]], "limit": 3 });
        let (_, sort, scanned) = plan(&database, &spec, query.clone());
        assert_eq!((sort, scanned), (json!("id"), json!(16)), "{query}");
    }
}

#[test]
fn an_order_by_ids_that_are_texts_stops_at_the_limit_if_they_are_compared_with_a_text() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = spec(0);
    let documents: Vec<Value> = (0..200).map(|at| json!({ "a": at })).collect();
    fill(&database, &spec, &documents, Ids::Texts);
    let query = |condition: Value| json!({ "where": condition, "orderBy": [["id", "desc"]], "limit": 3 });
    assert_eq!(plan(&database, &spec, query(json!({ "id": { "$lt": "b" } }))).2, 16);
    assert_eq!(plan(&database, &spec, query(json!({}))).2, 200);
}

#[test]
fn a_query_without_an_index_scans_all_documents() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = spec(0);
    numbered(&database, &spec, 50);
    let plan = explained(&database, &spec, json!({ "where": { "a": 1 }, "orderBy": [["b", "asc"]] }));
    assert_eq!(
        (&plan["kind"], &plan["sort"], &plan["scanned"]),
        (&json!("scan"), &json!("memory"), &json!(50))
    );
}

#[test]
fn each_branch_of_an_or_uses_its_own_index() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = spec(0b100_0001);
    numbered(&database, &spec, 50);
    let plan = explained(&database, &spec, json!({ "where": { "$or": [{ "a": 1 }, { "id": 7 }] } }));
    assert_eq!((&plan["kind"], &plan["scanned"], &plan["returned"]), (&json!("union"), &json!(2), &json!(2)));
}

#[test]
fn a_selection_returns_the_id_and_the_selected_fields() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = spec(0);
    let document = json!({ "a": 1, "b": [{ "x": 1, "y": 2 }, 3], "o": { "x": { "y": 1, "z": 2 } } });
    fill(&database, &spec, &[document], Ids::Numbers);
    let found = answer(&database, &spec, &json!({ "select": ["b.x", "o.x.z", "a.q"] }));
    assert_eq!(found, [json!({ "id": 0, "b": [{ "x": 1 }], "o": { "x": { "z": 2 } } })]);
}

#[test]
fn a_selection_keeps_the_arrays_on_its_way() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = spec(0);
    let grid = json!([[{ "x": 1, "y": 2 }, 3], [], [[{ "x": 4 }]], { "y": 5 }, null]);
    fill(&database, &spec, &[json!({ "a": grid })], Ids::Numbers);
    let found = answer(&database, &spec, &json!({ "select": ["a.x"] }));
    assert_eq!(found, [json!({ "id": 0, "a": [[{ "x": 1 }], [], [[{ "x": 4 }]], {}] })]);
}

#[test]
fn an_order_may_lead_through_a_position_of_an_array() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = spec(0b11);
    let values = [json!([5, 1]), json!([[9, 2], 9]), json!([3]), json!({ "0": 4 }), json!(1), json!([])];
    fill(&database, &spec, &values.map(|a| json!({ "a": a })), Ids::Numbers);
    let ids = |order: Value| -> Vec<u64> {
        let found = answer(&database, &spec, &json!({ "orderBy": order }));
        found.iter().filter_map(|document| document["id"].as_u64()).collect()
    };
    assert_eq!(ids(json!([["a.0", "asc"]])), [4, 5, 1, 2, 3, 0]);
    assert_eq!(ids(json!([["a.0", "desc"]])), [1, 0, 3, 2, 4, 5]);
    assert_eq!(ids(json!([["a.1", "desc"]])), [1, 0, 2, 3, 4, 5]);
}

#[test]
fn a_query_on_the_large_field_reads_it() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = spec(0);
    numbered(&database, &spec, 9);
    let found = answer(
        &database,
        &spec,
        &json!({ "where": { "content": { "$regex": { "source": "TENT 2$", "flags": "i" } } }, "select": ["a"] }),
    );
    assert_eq!(found, [json!({ "a": 2, "id": 2 }), json!({ "a": 5, "id": 5 }), json!({ "a": 8, "id": 8 })]);
}

#[test]
fn an_invalid_query_is_refused_and_the_error_names_the_place() {
    for (query, place) in [
        (json!({ "where": { "a": { "$gte": null } } }), "where.a.$gte:"),
        (json!({ "where": { "a": { "$gr": 1 } } }), "where.a.$gr:"),
        (json!({ "where": { "a": { "$in": 1 } } }), "where.a.$in:"),
        (json!({ "where": { "a": { "$exists": 1 } } }), "where.a.$exists:"),
        (json!({ "where": { "a": { "$not": 1 } } }), "where.a.$not:"),
        (json!({ "where": { "a": { "$regex": "(?=x)" } } }), "where.a.$regex:"),
        (json!({ "where": { "a": { "$eq": 1, "b": 2 } } }), "where.a:"),
        (json!({ "where": { "a": { "$eq": { "$gt": 1 } } } }), "where.a.$eq:"),
        (json!({ "where": { "$or": [] } }), "where.$or:"),
        (json!({ "where": { "$or": [{ "b": { "$lt": [] } }] } }), "where.$or.0.b.$lt:"),
        (json!({ "where": { "$nor": [] } }), "where.$nor:"),
        (json!({ "where": { "a..b": 1 } }), "where.a..b:"),
        (json!({ "where": [] }), "where:"),
        (json!({ "orderBy": [["a", "up"]] }), "orderBy.0:"),
        (json!({ "limit": -1 }), "limit:"),
        (json!({ "offset": 0.5 }), "offset:"),
        (json!({ "select": [1] }), "select.0:"),
        (json!({ "sort": 1 }), "sort:"),
    ] {
        let error = Query::from_json(query.to_string().as_bytes()).expect_err("refused");
        assert_eq!(error.code(), "INVALID_ARGUMENT");
        assert!(error.to_string().starts_with(place), "{query}: {error}");
    }
}

#[test]
fn half_of_a_surrogate_pair_in_a_pattern_is_named_as_what_is_wrong() {
    for pattern in [r#""\ud800""#, r#"{"source":"a\udc00"}"#] {
        let query = format!("{{\"where\":{{\"a\":{{\"$regex\":{pattern}}}}}}}");
        let error = Query::from_json(query.as_bytes()).expect_err("refused");
        assert_eq!(error.to_string(), "where.a.$regex: half of a surrogate pair is not supported");
    }
}

#[test]
fn a_cancelled_query_is_aborted() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = spec(0);
    numbered(&database, &spec, 3);
    let cancel = Cancel::default();
    cancel.cancel();
    let result = cancel.scope(|| database.documents(&spec, &Query::default(), READ));
    assert_eq!(result.map_err(|error| error.code()), Err("ABORTED"));
}
