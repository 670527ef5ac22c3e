//! Whole-map writes: storing the difference between a map and what is stored.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::database::{CollectionSpec, Part, Transaction};
use super::document::{Document, DocumentId};
use super::error::{Error, Issue, PathSegment, Result, below};
use super::json;

/// What a whole-map write did.
pub struct Written {
    /// The records that were given as they are stored, ids ascending.
    pub documents: Vec<(DocumentId, Document)>,
}

impl Written {
    /// A map of them as JSON, with or without the large fields.
    pub fn text(&self, part: Part) -> Vec<u8> {
        let mut text = vec![b'{'];
        for (id, document) in &self.documents {
            if text.len() > 1 {
                text.push(b',');
            }
            text.extend_from_slice(json::quote(&id.to_string()).as_bytes());
            text.push(b':');
            match part {
                Part::Whole => text.extend_from_slice(&document.text),
                Part::Head => text.extend_from_slice(&document.head_object()),
            }
        }
        text.push(b'}');
        text
    }
}

/// Puts every record of the map `{ "<id>": record }` that differs from the stored one. `rule` gives a record's stored form
/// from its key, its text and the stored document, if there is
/// one: a JSON object without white space between its tokens. `delete` deletes a document that the map lacks, with what
/// belongs to it. Whether keys are unique is asked of the outcome: documents may exchange them.
///
/// # Errors
/// `VALIDATION_ERROR` with the issues of all records; nothing is put then. `UNIQUE_VIOLATION`.
pub fn write_map(
    tx: &mut Transaction<'_>,
    spec: &Arc<CollectionSpec>,
    what: &str,
    map: &[u8],
    rule: impl Fn(&str, &[u8], Option<&[u8]>) -> Result<Vec<u8>>,
    delete: impl Fn(&mut Transaction<'_>, &DocumentId) -> Result<()>,
) -> Result<Written> {
    write_records(tx, spec, what, map, rule, |tx, kept| {
        tx.ids(spec)?.iter().filter(|id| !kept.contains(id)).try_for_each(|id| delete(tx, id))
    })
}

/// As [`write_map`], for a map of which only the records that may differ from the stored ones are given, and the ids of the
/// documents that it lacks. Gives the documents of the former.
///
/// # Errors
/// As [`write_map`].
pub fn write_difference(
    tx: &mut Transaction<'_>,
    spec: &Arc<CollectionSpec>,
    what: &str,
    map: &[u8],
    gone: &[DocumentId],
    rule: impl Fn(&str, &[u8], Option<&[u8]>) -> Result<Vec<u8>>,
    delete: impl Fn(&mut Transaction<'_>, &DocumentId) -> Result<()>,
) -> Result<Written> {
    write_records(tx, spec, what, map, rule, |tx, _| gone.iter().try_for_each(|id| delete(tx, id)))
}

fn write_records(
    tx: &mut Transaction<'_>,
    spec: &Arc<CollectionSpec>,
    what: &str,
    map: &[u8],
    rule: impl Fn(&str, &[u8], Option<&[u8]>) -> Result<Vec<u8>>,
    delete_others: impl FnOnce(&mut Transaction<'_>, &HashSet<&DocumentId>) -> Result<()>,
) -> Result<Written> {
    let mut records = BTreeMap::new();
    for member in json::members(map) {
        let member = member.map_err(|error| not_a_map(what, error.problem))?;
        let key = json::unescape_lossy(member.key).into_owned();
        records.insert(DocumentId::from_key(&key), (key, member.value));
    }
    let mut issues = Vec::new();
    let mut stored = Vec::with_capacity(records.len());
    for (id, (key, raw)) in &records {
        match stored_form(tx, spec, id, key, raw, &rule) {
            Ok(document) => stored.push((id.clone(), document)),
            Err(Error::Validation { issues: found, .. }) => {
                issues.extend(below(PathSegment::Key(key.clone()), found))
            }
            Err(error) => return Err(error),
        }
    }
    if !issues.is_empty() {
        return Err(Error::Validation { what: what.to_owned(), issues });
    }
    let kept: HashSet<&DocumentId> = records.keys().collect();
    let mut changed = Vec::new();
    for (id, document) in &stored {
        if tx.put_unchecked(spec, id.clone(), document.clone())? {
            changed.push((id, document));
        }
    }
    delete_others(tx, &kept)?;
    for (id, document) in changed {
        tx.check_unique(spec, id, document)?;
    }
    Ok(Written { documents: stored })
}

fn stored_form(
    tx: &mut Transaction<'_>,
    spec: &Arc<CollectionSpec>,
    id: &DocumentId,
    key: &str,
    raw: &[u8],
    rule: &impl Fn(&str, &[u8], Option<&[u8]>) -> Result<Vec<u8>>,
) -> Result<Document> {
    let document = |text: Vec<u8>| Document::new(text.into(), spec.large_field);
    let Some(hash) = tx.hash(spec, id)? else { return rule(key, raw, None).map(document) };
    // Most records of a map are those that were read before: their hash tells, without reading them again.
    let as_given = document(json::compact(raw).into_owned());
    if as_given.hash == hash {
        return Ok(as_given);
    }
    let current = tx.get(spec, id)?;
    rule(key, raw, current.as_ref().map(|document| &*document.text)).map(document)
}

fn not_a_map(what: &str, problem: &str) -> Error {
    let issue = Issue {
        path: Vec::new(),
        message: format!("expected a map of records: {problem}"),
        code: "invalid_type",
    };
    Error::Validation { what: what.to_owned(), issues: vec![issue] }
}
