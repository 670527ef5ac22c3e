//! Queries as callers write them, in JSON.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::condition::{Comparison, Condition, Test};
use super::path::FieldPath;
use super::pattern::Pattern;
use super::select::Selection;
use super::value::Value;
use super::{Direction, Order, Query};
use crate::engine::error::{Error, Result};
use crate::engine::json;

/// The place of something in a query, such as `where.age.$gt`.
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    name: Cow<'a, str>,
}

impl<'a> Place<'a> {
    fn root(name: &'a str) -> Place<'a> {
        Place { parent: None, name: Cow::Borrowed(name) }
    }

    fn below(&'a self, name: impl Into<Cow<'a, str>>) -> Place<'a> {
        Place { parent: Some(self), name: name.into() }
    }

    fn refuse<T>(&self, problem: impl std::fmt::Display) -> Result<T> {
        Err(Error::InvalidArgument(format!("{}: {problem}", self.text())))
    }

    fn text(&self) -> String {
        match self.parent {
            Some(parent) => format!("{}.{}", parent.text(), self.name),
            None => self.name.to_string(),
        }
    }
}

/// Parses a query: `{ where, orderBy, limit, offset, select }`, all of them optional; `orderBy` is a list of pairs of a path
/// and `"asc"` or `"desc"`, and `select` is a list of paths.
pub fn query(text: &[u8]) -> Result<Query> {
    if let Err(error) = json::check(text) {
        return Err(Error::InvalidArgument(format!("a query is no JSON: {}", error.problem)));
    }
    let mut query = Query::default();
    for (name, raw) in members(text, &Place::root("query"))? {
        let place = Place::root(&name);
        match &*name {
            "where" => query.condition = conditions(raw, &place)?,
            "orderBy" => query.order = order(raw, &place)?,
            "limit" => query.limit = Some(count(raw, &place)?),
            "offset" => query.offset = count(raw, &place)?,
            "select" => query.select = Some(selection(raw, &place)?),
            _ => return place.refuse("a query has where, orderBy, limit, offset and select"),
        }
    }
    Ok(query)
}

/// Parses the value of `where` alone.
pub fn condition(text: &[u8]) -> Result<Condition> {
    if let Err(error) = json::check(text) {
        return Err(Error::InvalidArgument(format!("where is no JSON: {}", error.problem)));
    }
    conditions(text, &Place::root("where"))
}

fn members<'a>(raw: &'a [u8], place: &Place<'_>) -> Result<Vec<(String, &'a [u8])>> {
    let mut found = Vec::new();
    for member in json::members(raw) {
        let Ok(member) = member else { return place.refuse("must be an object") };
        match String::from_utf8(json::unescape(member.key).into_owned()) {
            Ok(name) => found.push((name, member.value)),
            Err(_) => return place.refuse("a name must not hold half of a surrogate pair"),
        }
    }
    Ok(found)
}

fn conditions(raw: &[u8], place: &Place<'_>) -> Result<Condition> {
    if !json::is_object(raw) {
        return place.refuse("must be an object of fields and conditions");
    }
    let mut all = Vec::new();
    for (name, raw) in members(raw, place)? {
        let place = place.below(name.as_str());
        match &*name {
            "$and" => all.push(Condition::All(list(raw, &place)?)),
            "$or" => all.push(Condition::Any(list(raw, &place)?)),
            "$not" => all.push(Condition::Not(Box::new(conditions(raw, &place)?))),
            name if name.starts_with('$') => {
                return place
                    .refuse("is not an operator here; $and, $or and $not are, others belong under a field");
            }
            name => match FieldPath::parse(name) {
                Some(path) => all.push(field(&path, raw, &place)?),
                None => return place.refuse("is not a path of names with dots between them"),
            },
        }
    }
    Ok(match all.len() {
        1 => all.remove(0),
        _ => Condition::All(all),
    })
}

fn list(raw: &[u8], place: &Place<'_>) -> Result<Vec<Condition>> {
    let elements = match json::elements(raw) {
        Ok(elements) if !elements.is_empty() => elements,
        _ => return place.refuse("needs an array of at least one condition"),
    };
    elements.into_iter().enumerate().map(|(at, raw)| conditions(raw, &place.below(at.to_string()))).collect()
}

/// Parses the conditions on one field: operators, or a value that it must equal.
fn field(path: &FieldPath, raw: &[u8], place: &Place<'_>) -> Result<Condition> {
    let operators = if json::is_object(raw) { members(raw, place)? } else { Vec::new() };
    let count = operators.iter().filter(|(name, _)| name.starts_with('$')).count();
    if count == 0 {
        return Ok(test(path, Test::Equal(value(raw, place)?)));
    }
    if count < operators.len() {
        return place.refuse("mixes operators and members; use $eq for a value that is an object");
    }
    let mut all = Vec::new();
    for (name, raw) in &operators {
        let place = place.below(name.as_str());
        all.push(match &**name {
            "$eq" => test(path, Test::Equal(value(raw, &place)?)),
            "$ne" => not(test(path, Test::Equal(value(raw, &place)?))),
            "$in" => test(path, Test::In(values(raw, &place)?)),
            "$nin" => not(test(path, Test::In(values(raw, &place)?))),
            "$gt" => test(path, Test::Compare(Comparison::Greater, comparable(raw, &place)?)),
            "$gte" => test(path, Test::Compare(Comparison::GreaterOrEqual, comparable(raw, &place)?)),
            "$lt" => test(path, Test::Compare(Comparison::Less, comparable(raw, &place)?)),
            "$lte" => test(path, Test::Compare(Comparison::LessOrEqual, comparable(raw, &place)?)),
            "$exists" => match *raw {
                b"true" => test(path, Test::Exists),
                b"false" => not(test(path, Test::Exists)),
                _ => return place.refuse("needs true or false"),
            },
            "$regex" => test(path, Test::Matches(pattern(raw, &place)?)),
            "$not" => {
                let operators = json::is_object(raw) && members(raw, &place)?.iter().any(|(name, _)| name.starts_with('$'));
                if !operators {
                    return place.refuse("needs an object of operators; use $ne for a value");
                }
                not(field(path, raw, &place)?)
            }
            _ => {
                return place.refuse(
                    "is not an operator; there are $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $regex and $not",
                );
            }
        });
    }
    Ok(match all.len() {
        1 => all.remove(0),
        _ => Condition::All(all),
    })
}

fn test(path: &FieldPath, test: Test) -> Condition {
    Condition::Field(path.clone(), test)
}

fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

fn value(raw: &[u8], place: &Place<'_>) -> Result<Value> {
    match Value::parse(raw) {
        Some(Value::Object(members)) if members.keys().any(|name| name.starts_with(b"$")) => {
            place.refuse("is a value here, and a value has no operators in it")
        }
        Some(value) => Ok(value),
        None => place.refuse("is no JSON value"),
    }
}

fn values(raw: &[u8], place: &Place<'_>) -> Result<BTreeSet<Value>> {
    let Ok(elements) = json::elements(raw) else { return place.refuse("needs an array of values") };
    elements.into_iter().enumerate().map(|(at, raw)| value(raw, &place.below(at.to_string()))).collect()
}

fn comparable(raw: &[u8], place: &Place<'_>) -> Result<Value> {
    match Value::parse(raw) {
        Some(value @ (Value::Number(_) | Value::Text(_) | Value::Bool(_))) => Ok(value),
        _ => place.refuse("needs a number, a string, a boolean or a date"),
    }
}

fn pattern(raw: &[u8], place: &Place<'_>) -> Result<Pattern> {
    let text = |raw: &[u8]| match Value::parse(raw) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    let (mut source, mut flags) = (None, Some(Box::default()));
    if json::is_object(raw) {
        for (name, raw) in members(raw, place)? {
            match &*name {
                "source" => source = text(raw),
                "flags" => flags = text(raw),
                _ => return place.below(name).refuse("a pattern has source and flags"),
            }
        }
    } else {
        source = text(raw);
    }
    let (Some(source), Some(flags)) = (source, flags) else {
        return place.refuse("needs a string, a RegExp or an object { source, flags } of strings");
    };
    let (Ok(source), Ok(flags)) = (std::str::from_utf8(&source), std::str::from_utf8(&flags)) else {
        return place.refuse("half of a surrogate pair is not supported");
    };
    Pattern::new(source, flags).or_else(|problem| place.refuse(problem))
}

fn order(raw: &[u8], place: &Place<'_>) -> Result<Vec<Order>> {
    let Ok(elements) = json::elements(raw) else { return place.refuse("must be a list of pairs") };
    let pair = |(at, raw): (usize, &[u8])| {
        let place = place.below(at.to_string());
        let parts = json::elements(raw).unwrap_or_default();
        let [name, direction] = parts.as_slice() else {
            return place.refuse("must be a pair of path and direction");
        };
        let direction = match *direction {
            br#""asc""# => Direction::Ascending,
            br#""desc""# => Direction::Descending,
            _ => return place.refuse("the direction must be 'asc' or 'desc'"),
        };
        Ok(Order { path: field_path(name, &place)?, direction })
    };
    elements.into_iter().enumerate().map(pair).collect()
}

fn field_path(raw: &[u8], place: &Place<'_>) -> Result<FieldPath> {
    let path = match Value::parse(raw) {
        Some(Value::Text(text)) => std::str::from_utf8(&text).ok().and_then(FieldPath::parse),
        _ => None,
    };
    path.map_or_else(|| place.refuse("must be a path of names with dots between them"), Ok)
}

fn count(raw: &[u8], place: &Place<'_>) -> Result<usize> {
    match json::parse_number(raw) {
        Some(number) if number >= 0.0 && number.fract() == 0.0 => Ok(number as usize),
        _ => place.refuse("must be an integer that is not negative"),
    }
}

fn selection(raw: &[u8], place: &Place<'_>) -> Result<Selection> {
    let Ok(elements) = json::elements(raw) else { return place.refuse("must be an array of paths") };
    let paths =
        elements.into_iter().enumerate().map(|(at, raw)| field_path(raw, &place.below(at.to_string())));
    Ok(Selection::of(&paths.collect::<Result<Vec<_>>>()?))
}
