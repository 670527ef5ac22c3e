//! Whole maps of records, as the storage schemas check them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::engine::document::DocumentId;
use crate::engine::json::{self, JsonError, Scanner};
use crate::engine::order;
use crate::engine::{Error, Issue, PathSegment};

use super::files::adopt_file;
use super::integer::Problem;
use super::projects::adopt_project;
use super::record::Origin;

/// What the records of a map are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapKind {
    Projects,
    /// The records name their project themselves.
    Files,
}

/// The records of a map in canonical form, borrowed if they were given in that form; ids ascending.
pub type Records<'a> = Vec<(DocumentId, Cow<'a, [u8]>)>;

/// Checks a map `{ "<id>": record, … }` and returns its records.
///
/// Timestamps may be in seconds, as in any input; unknown properties of the records are dropped. Of several members with one
/// key, the last counts. The paths of issues begin with the key.
pub fn parse_map(kind: MapKind, raw: &[u8]) -> Result<Records<'_>, Vec<Issue>> {
    let mut records = BTreeMap::new();
    let whole =
        |problem: Problem| vec![Issue { path: Vec::new(), message: problem.message, code: problem.code }];
    let not_json = |error: JsonError| {
        let message =
            format!("expected JSON, got text that is not at byte {}: {}", error.offset, error.problem);
        whole(Problem::new("custom", message))
    };
    if let Err(error) = std::str::from_utf8(raw) {
        return Err(not_json(JsonError { offset: error.valid_up_to(), problem: "not UTF-8" }));
    }
    let mut scanner = Scanner::new(raw);
    if scanner.peek() != Some(b'{') {
        return Err(whole(Problem::wrong_kind("an object", &raw[scanner.position()..])));
    }
    let mut members = json::members(raw);
    for member in members.by_ref() {
        let member = member.map_err(not_json)?;
        records.insert(json::unescape_lossy(member.key), member.value);
    }
    Scanner::at(raw, members.position()).end().map_err(not_json)?;

    let mut issues = Vec::new();
    let mut parsed = Vec::with_capacity(records.len());
    for (key, text) in records {
        let record = match kind {
            MapKind::Projects => adopt_project(&key, text, Origin::Schema),
            MapKind::Files => adopt_file(&key, None, text.into(), Origin::Schema),
        };
        match record {
            Ok(record) => parsed.push((DocumentId::from_key(&key), record)),
            Err(error) => issues.extend(below(&key, error)),
        }
    }
    if !issues.is_empty() {
        return Err(issues);
    }
    order::sort_by(&mut parsed, |(left, _), (right, _)| left.cmp(right));
    Ok(parsed)
}

/// Returns the issues of one record as issues of the map.
fn below(key: &str, error: Error) -> Vec<Issue> {
    let segment = PathSegment::Key(key.to_string());
    match error {
        Error::Validation { mut issues, .. } => {
            issues.iter_mut().for_each(|issue| issue.path.insert(0, segment.clone()));
            issues
        }
        other => vec![Issue { path: vec![segment], message: other.to_string(), code: "custom" }],
    }
}
