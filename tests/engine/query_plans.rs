//! A query returns the same with and without indexes, for every kind of value, condition and index.

use std::path::Path;
use std::sync::Arc;

use crate::support::READ;
use crate::support::simulated::{DIRECTORY, machine, open};
use octoprompt_storage::engine::fs::SimFs;
use octoprompt_storage::engine::index::{Extractor, IndexConfig, IndexSpec, IndexType};
use octoprompt_storage::engine::query::Query;
use octoprompt_storage::engine::{CollectionSpec, Durability, Foreign, Result, Transaction};
use serde_json::{Value, json};

fn spec(path: &str, kind: IndexType, fields: &[&str], sparse: bool) -> Arc<CollectionSpec> {
    let fields: Vec<String> = fields.iter().map(|&field| field.into()).collect();
    let config = IndexConfig { name: "index".into(), kind, fields, unique: false, sparse };
    let indexes = match config.fields.is_empty() {
        true => Vec::new(),
        false => vec![Arc::new(IndexSpec::new(config, Extractor::Fields))],
    };
    Arc::new(CollectionSpec { path: path.into(), large_field: None, indexes, foreign: Foreign::Adopt(None) })
}

/// Documents whose field `a` has one key; together they have keys of every kind.
fn scalars() -> Vec<Value> {
    vec![
        json!({}),
        json!({ "a": null }),
        json!({ "a": null, "b": 1 }),
        json!({ "a": false }),
        json!({ "a": true, "b": 2 }),
        json!({ "a": -1 }),
        json!({ "a": 1, "b": 1 }),
        json!({ "a": 1.5 }),
        json!({ "a": 2 }),
        json!({ "a": "" }),
        json!({ "a": "one", "b": 1 }),
        json!({ "a": "one two" }),
    ]
}

/// Collections that differ in what an index holds of their documents: one key of each, none of some, several of some, and
/// some documents that are left out because they have too many keys.
fn collections() -> [Vec<Value>; 5] {
    let and = |more: &[Value]| [scalars(), more.iter().map(|a| json!({ "a": a })).collect()].concat();
    let lists =
        [json!([]), json!([null, 3]), json!([1, 2]), json!([0, 9]), json!([true, "one"]), json!([[2]])];
    let many: Vec<u32> = (0..101).collect();
    let left_out = [scalars(), vec![json!({ "a": many, "b": many })]].concat();
    [scalars(), and(&[json!({ "x": 1 })]), and(&[json!([null, 3])]), and(&lists), left_out]
}

fn queries() -> Vec<Value> {
    let operands = [
        json!(null),
        json!(false),
        json!(true),
        json!(0),
        json!(1),
        json!(2),
        json!(3),
        json!(""),
        json!("one"),
        json!("one two"),
    ];
    let mut conditions = vec![
        json!({}),
        json!({ "a": { "$exists": false } }),
        json!({ "a.0": 1 }),
        json!({ "a.0": { "$gt": 0 } }),
    ];
    for one in &operands {
        conditions.push(json!({ "a": one }));
        conditions.push(json!({ "a": { "$ne": one } }));
        conditions.push(json!({ "a": one, "b": 1 }));
        conditions.push(json!({ "a": one, "b": null }));
        for other in &operands {
            conditions.push(json!({ "a": { "$in": [one, other] } }));
            conditions.push(json!({ "$or": [{ "a": one }, { "b": other }] }));
            if one.is_null() || other.is_null() {
                continue;
            }
            for (low, high) in [("$gt", "$lte"), ("$gte", "$lt"), ("$gt", "$gte")] {
                conditions.push(json!({ "a": { low: one, high: other } }));
            }
        }
    }
    for operand in operands.iter().filter(|operand| !operand.is_null()) {
        conditions
            .extend(["$gt", "$gte", "$lt", "$lte"].map(|comparison| json!({ "a": { comparison: operand } })));
    }
    let orders = [json!([]), json!([["a", "asc"]]), json!([["a", "desc"]])];
    let queries = conditions.iter().flat_map(|condition| {
        orders.iter().map(move |order| json!({ "where": condition, "orderBy": order }))
    });
    queries.collect()
}

/// The kinds of indexes, the first of which is none.
const INDEXES: [(IndexType, &[&str], bool); 10] = [
    (IndexType::Hash, &[], false),
    (IndexType::Hash, &["a"], false),
    (IndexType::Hash, &["a"], true),
    (IndexType::Btree, &["a"], false),
    (IndexType::Btree, &["a"], true),
    (IndexType::Inverted, &["a"], false),
    (IndexType::Hash, &["a", "b"], false),
    (IndexType::Hash, &["a", "b"], true),
    (IndexType::Btree, &["a.0"], false),
    (IndexType::Hash, &["a.0"], false),
];

fn parsed_queries() -> Vec<(Value, Query)> {
    let parsed = |query: Value| {
        let parsed = Query::from_json(query.to_string().as_bytes()).expect("a query");
        (query, parsed)
    };
    queries().into_iter().map(parsed).collect()
}

/// Returns the specs of a collection for each kind of index, each with its file, which holds these documents. They are
/// written to the file, because a write of a document that an index would leave out is refused.
fn specs(fs: &SimFs, number: usize, documents: Vec<Value>) -> Vec<Arc<CollectionSpec>> {
    let map = documents.into_iter().enumerate().map(|(id, mut document)| {
        document["id"] = id.into();
        (id.to_string(), document)
    });
    let map = Value::Object(map.collect()).to_string();
    let specs = INDEXES
        .iter()
        .enumerate()
        .map(|(at, (kind, fields, sparse))| spec(&format!("{number}-{at}.json"), *kind, fields, *sparse));
    specs.inspect(|spec| fs.write_file(Path::new(DIRECTORY).join(&*spec.path), map.as_bytes())).collect()
}

fn ids(texts: &[Arc<[u8]>]) -> Vec<u64> {
    let id =
        |text: &[u8]| serde_json::from_slice::<Value>(text).expect("JSON")["id"].as_u64().expect("an id");
    texts.iter().map(|text| id(text)).collect()
}

#[test]
fn an_index_never_changes_the_result_of_a_query() {
    let fs = machine();
    let database = open(&fs);
    let queries = parsed_queries();
    for (number, documents) in collections().into_iter().enumerate() {
        let specs = specs(&fs, number, documents);
        for (text, query) in &queries {
            let ids = |spec| ids(&database.documents(spec, query, READ).expect("answered"));
            let expected = ids(&specs[0]);
            for (spec, index) in specs.iter().zip(&INDEXES).skip(1) {
                assert_eq!(ids(spec), expected, "{text} with {index:?}");
            }
        }
    }
}

/// Puts the documents several times, in another order than in the file, and deletes some.
fn change(tx: &mut Transaction<'_>, spec: &Arc<CollectionSpec>, documents: &[Value]) -> Result<()> {
    let again = documents.iter().cycle().skip(1).take(7 * documents.len()).cloned().enumerate();
    for (id, mut document) in again {
        document["id"] = id.into();
        tx.put(spec, (id as u64).into(), document.to_string().into_bytes())?;
    }
    [3_u64, 40].into_iter().try_for_each(|id| tx.delete(spec, id.into()).map(drop))
}

#[test]
fn an_index_never_changes_the_result_of_a_query_in_a_transaction_that_changed_much() {
    let fs = machine();
    let database = open(&fs);
    for (number, documents) in collections().into_iter().take(4).enumerate() {
        let specs = specs(&fs, number, documents.clone());
        let compare = move |tx: &mut Transaction<'_>| {
            specs.iter().try_for_each(|spec| change(tx, spec, &documents))?;
            for (text, query) in parsed_queries() {
                let expected = ids(&tx.documents(&specs[0], &query)?);
                for (spec, index) in specs.iter().zip(&INDEXES).skip(1) {
                    assert_eq!(ids(&tx.documents(spec, &query)?), expected, "{text} with {index:?}");
                }
            }
            Ok(())
        };
        database.write(Durability::Full, compare).expect("written");
    }
}
