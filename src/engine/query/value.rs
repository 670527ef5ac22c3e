//! JSON values as queries compare them.

use std::collections::BTreeMap;

use crate::engine::index::{IndexKey, Number};
use crate::engine::json;

/// A JSON value with a total order: that of [`IndexKey`], with objects after everything else. Objects are equal whatever the
/// order of their members.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Null,
    Bool(bool),
    Number(Number),
    /// WTF-8.
    Text(Box<[u8]>),
    Array(Vec<Value>),
    Object(BTreeMap<Box<[u8]>, Value>),
}

impl Value {
    /// Parses a raw text, which must be one JSON value without white space around it. The depth of the recursion is bounded
    /// by `json::MAX_DEPTH`, which was enforced when the text was checked.
    pub fn parse(raw: &[u8]) -> Option<Value> {
        Some(match raw.first()? {
            b'n' => Value::Null,
            b't' => Value::Bool(true),
            b'f' => Value::Bool(false),
            b'"' => Value::Text(json::unescape(raw).into()),
            b'[' => {
                let elements = json::elements(raw).ok()?;
                Value::Array(elements.into_iter().map(Value::parse).collect::<Option<_>>()?)
            }
            b'{' => {
                let mut members = BTreeMap::new();
                for member in json::members(raw) {
                    let member = member.ok()?;
                    // Of members with one name, the last counts, as in `JSON.parse`.
                    members.insert(json::unescape(member.key).into(), Value::parse(member.value)?);
                }
                Value::Object(members)
            }
            _ => Value::Number(Number::new(json::parse_number(raw)?)?),
        })
    }

    /// Returns the key under which an index has documents with this value; `None` for arrays, which stand for their
    /// elements, and for objects.
    pub fn key(&self) -> Option<IndexKey> {
        match self {
            Value::Null => Some(IndexKey::Null),
            Value::Bool(value) => Some(IndexKey::Bool(*value)),
            Value::Number(number) => Some(IndexKey::Number(*number)),
            Value::Text(text) => Some(IndexKey::Text(text.clone())),
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Returns whether a raw value has the same JSON type, so that the two can be compared.
    pub fn is_like(&self, raw: &[u8]) -> bool {
        matches!(
            (self, raw.first()),
            (Value::Null, Some(b'n'))
                | (Value::Bool(_), Some(b't' | b'f'))
                | (Value::Number(_), Some(b'-' | b'0'..=b'9'))
                | (Value::Text(_), Some(b'"'))
                | (Value::Array(_), Some(b'['))
                | (Value::Object(_), Some(b'{'))
        )
    }
}
