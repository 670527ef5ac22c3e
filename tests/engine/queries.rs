//! Queries against a naive filter over all documents, with and without indexes.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::support::{Fixture, Handle, READ};
use octoprompt_storage::engine::cancel::Cancel;
use octoprompt_storage::engine::index::{Extractor, IndexConfig, IndexSpec, IndexType};
use octoprompt_storage::engine::query::Query;
use octoprompt_storage::engine::{CollectionSpec, Durability, Foreign};
use proptest::prelude::*;
use serde_json::{Value, json};

const INDEXES: [(&str, IndexType, &[&str], bool); 7] = [
    ("a_hash", IndexType::Hash, &["a"], false),
    ("a_btree", IndexType::Btree, &["a"], false),
    ("b_sparse", IndexType::Btree, &["b"], true),
    ("nested", IndexType::Btree, &["o.x"], false),
    ("pair", IndexType::Hash, &["a", "b"], false),
    ("large", IndexType::Hash, &["o"], true),
    ("id", IndexType::Btree, &["id"], false),
];

/// A collection with some of the indexes, picked by the bits of a number.
fn spec(chosen: u8) -> Arc<CollectionSpec> {
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

fn fill(database: &Handle, spec: &Arc<CollectionSpec>, documents: &[Value]) {
    for (id, document) in documents.iter().enumerate() {
        let (spec, mut document) = (Arc::clone(spec), document.clone());
        document["id"] = id.into();
        // The large field must come last.
        let mut text = document.to_string();
        text.truncate(text.len() - 1);
        text.push_str(&format!(",\"content\":\"content {}\"}}", id % 3));
        database
            .write(Durability::Os, move |tx| tx.put(&spec, (id as u64).into(), text.into_bytes()))
            .expect("written");
    }
}

fn all(database: &Handle, spec: &Arc<CollectionSpec>) -> Vec<Value> {
    let list = database.list(spec, octoprompt_storage::engine::Part::Whole, READ).expect("listed");
    serde_json::from_slice(&list).expect("an array")
}

fn answer(database: &Handle, spec: &Arc<CollectionSpec>, query: &Value) -> Vec<Value> {
    let query = Query::from_json(query.to_string().as_bytes()).expect("a query");
    let texts = database.documents(spec, &query, READ).expect("answered");
    texts.iter().map(|text| serde_json::from_slice(text).expect("an object")).collect()
}

mod naive {
    use super::*;

    pub fn answer(documents: &[Value], query: &Value) -> Vec<Value> {
        let empty = json!({});
        let condition = query.get("where").unwrap_or(&empty);
        let mut found: Vec<Value> =
            documents.iter().filter(|document| holds(document, condition)).cloned().collect();
        for pair in query["orderBy"].as_array().into_iter().flatten().rev() {
            let path = pair[0].as_str().unwrap_or_default();
            let descending = pair[1] == "desc";
            found.sort_by(|one, other| {
                let (one, other) = (place(one, path, descending), place(other, path, descending));
                if descending { compare(&other, &one) } else { compare(&one, &other) }
            });
        }
        let offset = query["offset"].as_u64().unwrap_or(0) as usize;
        let limit = query["limit"].as_u64().unwrap_or(u64::MAX) as usize;
        found.into_iter().skip(offset).take(limit).collect()
    }

    fn holds(document: &Value, condition: &Value) -> bool {
        condition.as_object().into_iter().flatten().all(|(name, operand)| match name.as_str() {
            "$and" => list(operand).iter().all(|condition| holds(document, condition)),
            "$or" => list(operand).iter().any(|condition| holds(document, condition)),
            "$not" => !holds(document, operand),
            path => field(&values(document, path), operand),
        })
    }

    fn list(value: &Value) -> &[Value] {
        value.as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the values at a path; `None` where a member on the way is missing.
    fn values(document: &Value, path: &str) -> Vec<Option<Value>> {
        let mut found = vec![Some(document.clone())];
        for name in path.split('.') {
            let mut next = Vec::new();
            for value in found {
                match value {
                    Some(Value::Object(object)) => next.push(object.get(name).cloned()),
                    Some(Value::Array(elements)) => {
                        for element in elements {
                            if let Value::Object(object) = element {
                                next.push(object.get(name).cloned());
                            }
                        }
                    }
                    _ => next.push(None),
                }
            }
            found = next;
        }
        found
    }

    fn field(values: &[Option<Value>], operand: &Value) -> bool {
        let operators = operand.as_object().filter(|object| object.keys().any(|key| key.starts_with('$')));
        let Some(operators) = operators else { return some(values, |value| equal(value, operand)) };
        operators.iter().all(|(name, operand)| match name.as_str() {
            "$eq" => some(values, |value| equal(value, operand)),
            "$ne" => !some(values, |value| equal(value, operand)),
            "$in" => some(values, |value| list(operand).iter().any(|operand| equal(value, operand))),
            "$nin" => !some(values, |value| list(operand).iter().any(|operand| equal(value, operand))),
            "$gt" => some(values, |value| ordered(value, operand).is_some_and(Ordering::is_gt)),
            "$gte" => some(values, |value| ordered(value, operand).is_some_and(Ordering::is_ge)),
            "$lt" => some(values, |value| ordered(value, operand).is_some_and(Ordering::is_lt)),
            "$lte" => some(values, |value| ordered(value, operand).is_some_and(Ordering::is_le)),
            "$exists" => values.iter().any(Option::is_some) == (*operand == true),
            "$not" => !field(values, operand),
            other => panic!("operator {other}"),
        })
    }

    fn some(values: &[Option<Value>], test: impl Fn(Option<&Value>) -> bool) -> bool {
        values.iter().any(|value| {
            test(value.as_ref())
                || value
                    .as_ref()
                    .and_then(Value::as_array)
                    .is_some_and(|elements| elements.iter().any(|e| test(Some(e))))
        })
    }

    fn equal(value: Option<&Value>, operand: &Value) -> bool {
        match value {
            None => operand.is_null(),
            Some(value) => compare(value, operand).is_eq(),
        }
    }

    fn ordered(value: Option<&Value>, operand: &Value) -> Option<Ordering> {
        value.filter(|value| kind(value) == kind(operand)).map(|value| compare(value, operand))
    }

    fn kind(value: &Value) -> u8 {
        match value {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Number(_) => 2,
            Value::String(_) => 3,
            Value::Array(_) => 4,
            Value::Object(_) => 5,
        }
    }

    fn compare(one: &Value, other: &Value) -> Ordering {
        match (one, other) {
            (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
            (Value::Number(one), Value::Number(other)) => {
                one.as_f64().partial_cmp(&other.as_f64()).expect("no NaN")
            }
            (Value::String(one), Value::String(other)) => one.chars().cmp(other.chars()),
            (Value::Array(one), Value::Array(other)) => {
                let first =
                    one.iter().zip(other).map(|(one, other)| compare(one, other)).find(|order| order.is_ne());
                first.unwrap_or(one.len().cmp(&other.len()))
            }
            (Value::Object(one), Value::Object(other)) => {
                let equal = one.len() == other.len()
                    && one.iter().all(|(key, value)| {
                        other.get(key).is_some_and(|other| compare(value, other).is_eq())
                    });
                if equal { Ordering::Equal } else { Ordering::Less }
            }
            _ => kind(one).cmp(&kind(other)),
        }
    }

    /// Returns the value by which a document is ordered: the smallest or greatest of the scalars at the path.
    fn place(document: &Value, path: &str, greatest: bool) -> Value {
        let mut scalars = Vec::new();
        for value in flat_values(document, &path.split('.').collect::<Vec<_>>()) {
            scalars.push(value);
        }
        scalars.sort_by(compare);
        let picked = if greatest { scalars.pop() } else { scalars.into_iter().next() };
        picked.unwrap_or(Value::Null)
    }

    fn flat_values(value: &Value, path: &[&str]) -> Vec<Value> {
        match (value, path) {
            (Value::Array(elements), []) => {
                elements.iter().filter(|element| !holds_object(element)).cloned().collect()
            }
            (Value::Array(elements), _) => {
                elements.iter().flat_map(|element| flat_values(element, path)).collect()
            }
            (Value::Object(object), [name, rest @ ..]) => match object.get(*name) {
                Some(member) => flat_values(member, rest),
                None => vec![Value::Null],
            },
            (Value::Object(_), []) => Vec::new(),
            (_, [_, ..]) => vec![Value::Null],
            (scalar, []) => vec![scalar.clone()],
        }
    }

    fn holds_object(value: &Value) -> bool {
        value.is_object() || value.as_array().is_some_and(|elements| elements.iter().any(holds_object))
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        4 => (-3i64..4).prop_map(Value::from),
        1 => prop_oneof![Just(0.5), Just(-2.0), Just(3.0)].prop_map(Value::from),
        4 => prop_oneof!["", "a", "b", "ab", "é", "😀", "\u{ffff}"].prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = scalar();
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            3 => scalar(),
            2 => proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            1 => (any::<bool>(), inner.clone()).prop_map(|(x, value)| if x { json!({ "x": value }) } else { json!({ "y": value }) }),
        ]
    })
}

fn document() -> impl Strategy<Value = Value> {
    let member = || proptest::option::weighted(0.8, value());
    (member(), member(), member()).prop_map(|(a, b, o)| {
        let mut document = serde_json::Map::new();
        for (name, value) in [("a", a), ("b", b), ("o", o)] {
            if let Some(value) = value {
                document.insert(name.into(), value);
            }
        }
        Value::Object(document)
    })
}

fn path() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("a"), 3 => Just("b"), 2 => Just("o.x"), 1 => Just("o"), 1 => Just("a.x"), 1 => Just("o.x.y"), 1 => Just("id")]
}

fn comparable() -> impl Strategy<Value = Value> {
    scalar().prop_filter("comparable", |value| !value.is_null())
}

fn operators() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        3 => value().prop_map(|value| json!({ "$eq": value })),
        1 => value().prop_map(|value| json!({ "$ne": value })),
        2 => proptest::collection::vec(value(), 0..3).prop_map(|values| json!({ "$in": values })),
        1 => proptest::collection::vec(value(), 0..3).prop_map(|values| json!({ "$nin": values })),
        2 => comparable().prop_map(|value| json!({ "$gt": value })),
        2 => comparable().prop_map(|value| json!({ "$lte": value })),
        2 => (comparable(), comparable()).prop_map(|(low, high)| json!({ "$gte": low, "$lt": high })),
        1 => any::<bool>().prop_map(|exists| json!({ "$exists": exists })),
    ];
    leaf.prop_recursive(1, 2, 1, |inner| inner.prop_map(|operators| json!({ "$not": operators })))
}

fn condition() -> impl Strategy<Value = Value> {
    let field = (path(), operators()).prop_map(|(path, operators)| json!({ path: operators }));
    field.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 1..4).prop_map(|list| json!({ "$and": list })),
            1 => proptest::collection::vec(inner.clone(), 1..4).prop_map(|list| json!({ "$or": list })),
            1 => inner.clone().prop_map(|condition| json!({ "$not": condition })),
        ]
    })
}

fn query() -> impl Strategy<Value = Value> {
    let direction = prop_oneof![Just("asc"), Just("desc")];
    let order = proptest::collection::vec((path(), direction), 0..3);
    (proptest::option::of(condition()), order, proptest::option::of(0u8..6), 0u8..3).prop_map(
        |(condition, order, limit, offset)| {
            let mut query = json!({ "orderBy": order, "offset": offset });
            if let Some(condition) = condition {
                query["where"] = condition;
            }
            if let Some(limit) = limit {
                query["limit"] = limit.into();
            }
            query
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_query_returns_what_a_filter_over_all_documents_returns(
        documents in proptest::collection::vec(document(), 0..24),
        queries in proptest::collection::vec(query(), 24),
        chosen in any::<u8>(),
    ) {
        let fixture = Fixture::new();
        let database = fixture.open();
        let spec = spec(chosen);
        fill(&database, &spec, &documents);
        let documents = all(&database, &spec);
        for query in &queries {
            prop_assert_eq!(answer(&database, &spec, query), naive::answer(&documents, query), "{}", query);
        }
    }
}

fn explained(database: &Handle, spec: &Arc<CollectionSpec>, query: Value) -> Value {
    let query = Query::from_json(query.to_string().as_bytes()).expect("a query");
    let text = database.explain(spec, &query, READ).expect("explained");
    serde_json::from_slice(&text).expect("an object")
}

fn numbered(database: &Handle, spec: &Arc<CollectionSpec>, count: usize) {
    let documents: Vec<Value> = (0..count).map(|at| json!({ "a": at, "b": at % 2 })).collect();
    fill(database, spec, &documents);
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
fn ordering_by_an_index_avoids_the_sort_and_stops_at_the_limit() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = spec(0b10);
    numbered(&database, &spec, 200);
    let plan = explained(&database, &spec, json!({ "orderBy": [["a", "desc"]], "limit": 3 }));
    assert_eq!((&plan["index"], &plan["sort"]), (&json!("a_btree"), &json!("index")));
    assert!(plan["scanned"].as_u64().is_some_and(|scanned| scanned <= 16), "{plan}");
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
    fill(
        &database,
        &spec,
        &[json!({ "a": 1, "b": [{ "x": 1, "y": 2 }, 3], "o": { "x": { "y": 1, "z": 2 } } })],
    );
    let found = answer(&database, &spec, &json!({ "select": ["b.x", "o.x.z", "a.q"] }));
    assert_eq!(found, [json!({ "id": 0, "b": [{ "x": 1 }], "o": { "x": { "z": 2 } } })]);
}

#[test]
fn a_selection_keeps_the_arrays_on_its_way() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = spec(0);
    let grid = json!([[{ "x": 1, "y": 2 }, 3], [], [[{ "x": 4 }]], { "y": 5 }, null]);
    fill(&database, &spec, &[json!({ "a": grid })]);
    let found = answer(&database, &spec, &json!({ "select": ["a.x"] }));
    assert_eq!(found, [json!({ "id": 0, "a": [[{ "x": 1 }], [], [[{ "x": 4 }]], {}] })]);
}

#[test]
fn an_order_may_lead_through_a_position_of_an_array() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = spec(0b11);
    let values = [json!([5, 1]), json!([[9, 2], 9]), json!([3]), json!({ "0": 4 }), json!(1), json!([])];
    fill(&database, &spec, &values.map(|a| json!({ "a": a })));
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
