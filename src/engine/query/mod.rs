//! Queries: conditions, orders and selections as callers write them, and which index answers them best.
//!
//! Nothing here does I/O. [`Query`] is parsed from JSON, [`Plan`] picks indexes, and conditions are checked against the raw
//! text of documents. An index may return documents that do not meet the condition, but never misses one, so all that it
//! returns is checked again.

mod access;
mod condition;
mod ids;
mod key_range;
mod parse;
mod path;
mod pattern;
mod plan;
mod range;
mod select;
mod value;
mod ways;

pub use access::Candidates;
pub use condition::Condition;
pub use plan::{Extent, Plan};

use super::document::DocumentId;
use super::error::Result;
use super::index::IndexKey;
use path::FieldPath;
use select::Selection;

/// What a caller asks of a collection.
#[derive(Debug, Clone)]
pub struct Query {
    condition: Condition,
    order: Vec<Order>,
    limit: Option<usize>,
    offset: usize,
    select: Option<Selection>,
}

#[derive(Debug, Clone)]
struct Order {
    path: FieldPath,
    direction: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ascending,
    Descending,
}

impl Default for Query {
    /// Returns a query for all documents, ids ascending.
    fn default() -> Query {
        Query {
            condition: Condition::All(Vec::new()),
            order: Vec::new(),
            limit: None,
            offset: 0,
            select: None,
        }
    }
}

impl Condition {
    /// Reads a condition from JSON.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` that names the wrong operator or operand and its place in the query.
    pub fn from_json(text: &[u8]) -> Result<Condition> {
        parse::condition(text)
    }

    /// Returns whether the condition looks at a top-level member of this name.
    pub fn looks_at(&self, name: &str) -> bool {
        let mut found = false;
        self.each_path(&mut |path| found |= path.names.first().is_some_and(|first| **first == *name));
        found
    }
}

impl Query {
    /// Reads a query from JSON: `{ where, orderBy, limit, offset, select }`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` that names what is wrong and its place in the query.
    pub fn from_json(text: &[u8]) -> Result<Query> {
        parse::query(text)
    }

    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Returns whether all documents are asked for, whatever they are.
    pub fn is_for_all(&self) -> bool {
        self.condition.is_empty() && self.limit.is_none()
    }

    /// Returns whether finding and ordering the documents requires a top-level member of this name.
    pub fn examines(&self, name: &str) -> bool {
        let orders =
            self.order.iter().any(|order| order.path.names.first().is_some_and(|first| **first == *name));
        orders || self.condition.looks_at(name)
    }

    /// Returns whether the answer has a top-level member of this name.
    pub fn returns(&self, name: &str) -> bool {
        self.select.as_ref().is_none_or(|select| select.first_names().any(|first| first == name))
    }

    pub fn has_order(&self) -> bool {
        !self.order.is_empty()
    }

    /// Returns how many of the documents that meet the condition are needed at most, counted from the first.
    pub fn needed(&self) -> Option<usize> {
        self.limit.map(|limit| limit.saturating_add(self.offset))
    }

    /// Returns the part of the documents found, in order, that the query asks for.
    pub fn page<T>(&self, found: Vec<T>) -> Vec<T> {
        let limit = self.limit.unwrap_or(usize::MAX);
        found.into_iter().skip(self.offset).take(limit).collect()
    }

    /// Returns the rank by which a document is ordered.
    pub fn rank(&self, id: &DocumentId, document: &[u8]) -> Rank {
        let key = |order: &Order| {
            let own = if ids::is_id(&order.path) { ids::key(id) } else { None };
            let keys = own.map_or_else(|| order.path.keys(document), |key| vec![key]);
            match order.direction {
                Direction::Ascending => RankKey::Ascending(keys.into_iter().min().unwrap_or(IndexKey::Null)),
                Direction::Descending => {
                    RankKey::Descending(std::cmp::Reverse(keys.into_iter().max().unwrap_or(IndexKey::Null)))
                }
            }
        };
        Rank { keys: self.order.iter().map(key).collect(), id: id.clone() }
    }

    /// Returns the selected members of a document, or `None` if the query selects whole documents.
    pub fn selected(&self, document: &[u8]) -> Option<Vec<u8>> {
        self.select.as_ref().map(|select| select.apply(document))
    }
}

/// The rank of a document in an answer: smaller ranks come first. An array is ordered by its smallest element, or by its
/// greatest in descending order. A value without a key (missing, an object, an empty array) is ordered as null.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    keys: Vec<RankKey>,
    id: DocumentId,
}

impl Rank {
    /// Returns the id of the document.
    pub fn into_id(self) -> DocumentId {
        self.id
    }
}

/// Ranks of one query have the same variants at the same positions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum RankKey {
    Ascending(IndexKey),
    Descending(std::cmp::Reverse<IndexKey>),
}
