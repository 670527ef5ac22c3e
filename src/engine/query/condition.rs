//! Conditions on documents, checked against their raw text.

use std::collections::BTreeSet;

use super::path::FieldPath;
use super::pattern::Pattern;
use super::value::Value;
use crate::engine::json;

#[derive(Debug, Clone)]
pub enum Condition {
    /// All of them hold. An empty list always holds.
    All(Vec<Condition>),
    /// At least one holds.
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Field(FieldPath, Test),
}

/// A test of the values at a path, which holds if it holds for one of them. An array is tested both as a whole and by its
/// elements.
#[derive(Debug, Clone)]
pub enum Test {
    /// Null also equals a missing value.
    Equal(Value),
    In(BTreeSet<Value>),
    /// Only values of the operand's own JSON type compare.
    Compare(Comparison, Value),
    /// There is a value, which may be null.
    Exists,
    Matches(Pattern),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Condition {
    /// Whether every document meets the condition, as it demands nothing.
    pub fn is_empty(&self) -> bool {
        matches!(self, Condition::All(all) if all.is_empty())
    }

    /// Returns whether a document, given as a JSON object, meets the condition. O(length of the document × fields).
    pub fn holds(&self, document: &[u8]) -> bool {
        match self {
            Condition::All(all) => all.iter().all(|condition| condition.holds(document)),
            Condition::Any(any) => any.iter().any(|condition| condition.holds(document)),
            Condition::Not(condition) => !condition.holds(document),
            Condition::Field(path, test) => path.any(document, &mut |value| test.holds(value)),
        }
    }

    /// Calls `visit` with each path that the condition looks at.
    pub fn each_path<'a>(&'a self, visit: &mut dyn FnMut(&'a FieldPath)) {
        match self {
            Condition::All(conditions) | Condition::Any(conditions) => {
                conditions.iter().for_each(|condition| condition.each_path(visit));
            }
            Condition::Not(condition) => condition.each_path(visit),
            Condition::Field(path, _) => visit(path),
        }
    }

    /// Calls `visit` with each condition that must hold for the whole to hold.
    pub fn each_required<'a>(&'a self, visit: &mut dyn FnMut(&'a Condition)) {
        match self {
            Condition::All(all) => all.iter().for_each(|condition| condition.each_required(visit)),
            other => visit(other),
        }
    }
}

impl Test {
    fn holds(&self, value: Option<&[u8]>) -> bool {
        let Some(raw) = value else { return self.holds_for_missing() };
        if self.holds_for(raw) {
            return true;
        }
        raw.first() == Some(&b'[')
            && json::elements(raw)
                .is_ok_and(|elements| elements.into_iter().any(|element| self.holds_for(element)))
    }

    fn holds_for_missing(&self) -> bool {
        match self {
            Test::Equal(operand) => *operand == Value::Null,
            Test::In(operands) => operands.contains(&Value::Null),
            Test::Compare(..) | Test::Exists | Test::Matches(_) => false,
        }
    }

    fn holds_for(&self, raw: &[u8]) -> bool {
        match self {
            Test::Exists => true,
            Test::Equal(operand) => equals(operand, raw),
            Test::In(operands) => Value::parse(raw).is_some_and(|value| operands.contains(&value)),
            Test::Compare(comparison, operand) => {
                operand.is_like(raw)
                    && Value::parse(raw).is_some_and(|value| comparison.holds(value.cmp(operand)))
            }
            Test::Matches(pattern) => json::is_string(raw) && pattern.matches(&json::unescape(raw)),
        }
    }
}

fn equals(operand: &Value, raw: &[u8]) -> bool {
    operand.is_like(raw)
        && match operand {
            Value::Text(text) => *json::unescape(raw) == **text,
            _ => Value::parse(raw).as_ref() == Some(operand),
        }
}

impl Comparison {
    fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
        }
    }
}
