//! Queries against a naive filter over all documents, with and without indexes.

use std::cmp::Ordering;

use crate::queries::{Ids, all, answer, count, fill, spec};
use crate::support::Fixture;
use proptest::prelude::*;
use serde_json::{Value, json};

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
        match picked {
            // "7" is the same id as 7.
            Some(Value::String(id)) if path == "id" && id.parse::<u64>().is_ok() => {
                id.parse::<u64>().expect("a number").into()
            }
            picked => picked.unwrap_or(Value::Null),
        }
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
        4 => prop_oneof!["", "a", "b", "ab", "a1", "2", "10", "é", "😀", "\u{ffff}"].prop_map(Value::from),
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

/// One of few values, so that many documents have the same.
fn plain() -> impl Strategy<Value = Value> {
    proptest::sample::select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(2),
        json!("a"),
        json!("b"),
    ])
}

/// Documents that have one key in each index.
fn plain_document() -> impl Strategy<Value = Value> {
    let member = || proptest::option::weighted(0.9, plain());
    (member(), member(), member()).prop_map(|(a, b, x)| {
        let mut document = json!({ "o": {} });
        for (at, name, value) in [("", "a", a), ("", "b", b), ("/o", "x", x)] {
            if let (Some(value), Some(object)) = (value, document.pointer_mut(at)) {
                object[name] = value;
            }
        }
        document
    })
}

fn documents() -> impl Strategy<Value = Vec<Value>> {
    prop_oneof![
        proptest::collection::vec(document(), 0..24),
        proptest::collection::vec(plain_document(), 0..48),
    ]
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
    prop_oneof![4 => Just("a"), 3 => Just("b"), 2 => Just("o.x"), 1 => Just("o"), 1 => Just("a.x"), 1 => Just("o.x.y"), 4 => Just("id")]
}

/// A condition that an index on several fields may answer.
fn prefix() -> impl Strategy<Value = Value> {
    let equal = || {
        prop_oneof![
            3 => plain(),
            1 => proptest::collection::vec(plain(), 0..3).prop_map(|values| json!({ "$in": values })),
        ]
    };
    let bound = || plain().prop_filter("comparable", |value| !value.is_null());
    let next = prop_oneof![
        2 => equal(),
        2 => bound().prop_map(|bound| json!({ "$gt": bound })),
        2 => bound().prop_map(|bound| json!({ "$lte": bound })),
        1 => (bound(), bound()).prop_map(|(low, high)| json!({ "$gte": low, "$lt": high })),
    ];
    let names = proptest::sample::select(vec![("a", "b"), ("b", "a"), ("b", "id"), ("b", "o.x")]);
    (names, proptest::option::weighted(0.8, equal()), proptest::option::weighted(0.7, next)).prop_map(
        |((first, second), equal, next)| {
            let mut condition = json!({});
            for (name, test) in [(first, equal), (second, next)] {
                if let Some(test) = test {
                    condition[name] = test;
                }
            }
            condition
        },
    )
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
    let direction = || prop_oneof![Just("asc"), Just("desc")];
    let one_way =
        |order: (Vec<&'static str>, &'static str)| order.0.into_iter().map(|path| (path, order.1)).collect();
    let order = prop_oneof![
        proptest::collection::vec((path(), direction()), 0..3),
        (proptest::sample::subsequence(vec!["b", "a", "b", "o.x", "id"], 1..4), direction())
            .prop_map(one_way),
    ];
    let condition = prop_oneof![condition(), prefix()];
    (proptest::option::of(condition), order, proptest::option::of(0u8..6), 0u8..3).prop_map(
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
        documents in documents(),
        queries in proptest::collection::vec(query(), 24),
        chosen in any::<u16>(),
        ids in prop_oneof![
            Just(Ids::Numbers),
            Just(Ids::Digits),
            Just(Ids::Texts),
            Just(Ids::Others),
            Just(Ids::All),
        ],
    ) {
        let fixture = Fixture::new();
        let database = fixture.open();
        let spec = spec(chosen);
        fill(&database, &spec, &documents, ids);
        let documents = all(&database, &spec);
        for query in &queries {
            prop_assert_eq!(answer(&database, &spec, query), naive::answer(&documents, query), "{}", query);
            let all_of_it = json!({ "where": query.get("where").unwrap_or(&json!({})) });
            prop_assert_eq!(count(&database, &spec, query), naive::answer(&documents, &all_of_it).len(), "{}", query);
        }
    }
}

/// Documents of which most are alike in `b`, so that an index on it finds very many.
fn many(seed: u64) -> Vec<Value> {
    let mut state = seed | 1;
    let mut drawn = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let document = |_| {
        let (a, b, x) = (drawn(500), drawn(8).saturating_sub(6), drawn(40));
        json!({ "a": a, "b": b, "o": { "x": x } })
    };
    (0..3000).map(document).collect()
}

/// A query with a limit whose matches are anywhere in its order.
fn limited() -> impl Strategy<Value = Value> {
    let test = |most: i64| {
        prop_oneof![
            (0..most).prop_map(Value::from),
            (0..most).prop_map(|bound| json!({ "$gte": bound })),
            (0..most).prop_map(|bound| json!({ "$lt": bound })),
            (0..most).prop_map(|bound| json!({ "$not": { "$lte": bound } })),
        ]
    };
    let part = |test| proptest::option::weighted(0.4, test);
    let tests =
        (part(test(500).boxed()), proptest::option::weighted(0.7, test(2).boxed()), part(test(40).boxed()));
    let order = proptest::sample::select(vec![
        vec!["a"],
        vec!["b", "a"],
        vec!["a", "b"],
        vec!["b"],
        vec!["b", "a", "o.x"],
    ]);
    let direction = prop_oneof![Just("asc"), Just("desc")];
    (tests, order, direction, 0..40_u32, 0..3_u32).prop_map(|((a, b, x), order, direction, limit, offset)| {
        let tests = [("a", a), ("b", b), ("o.x", x)];
        let condition: serde_json::Map<String, Value> =
            tests.into_iter().filter_map(|(name, test)| Some((name.to_owned(), test?))).collect();
        let order: Vec<_> = order.into_iter().map(|path| (path, direction)).collect();
        json!({ "where": condition, "orderBy": order, "limit": limit, "offset": offset })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn searches_in_the_order_of_an_index_return_what_a_filter_over_very_many_documents_returns(
        seed in any::<u64>(),
        queries in proptest::collection::vec(limited(), 32),
        chosen in any::<u16>(),
    ) {
        let fixture = Fixture::new();
        let database = fixture.open();
        let spec = spec(chosen);
        fill(&database, &spec, &many(seed), Ids::Numbers);
        let documents = all(&database, &spec);
        for query in &queries {
            prop_assert_eq!(answer(&database, &spec, query), naive::answer(&documents, query), "{}", query);
        }
    }
}
