//! Whole-map writes: storing the difference between a map and what is stored.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::database::{CollectionSpec, Transaction};
use super::document::{Document, DocumentId, Given};
use super::error::{Error, Issue, PathSegment, Result, below};
use super::json;
use super::parallel;

/// What a whole-map write did.
pub struct Written {
    /// The records that were given as they are stored, ids ascending.
    pub documents: Vec<(DocumentId, Document)>,
}

impl Written {
    pub fn texts(&self) -> Vec<Arc<[u8]>> {
        self.documents.iter().map(|(_, document)| Arc::clone(&document.text)).collect()
    }
}

/// A map of records as it is given.
pub struct GivenMap<'a> {
    /// `{ "<id>": record }`
    pub text: &'a [u8],
    /// The large fields as plain text, in the order of the map's members, where they come apart.
    pub large: Vec<Option<&'a str>>,
}

impl<'a> From<&'a [u8]> for GivenMap<'a> {
    fn from(text: &'a [u8]) -> Self {
        GivenMap { text, large: Vec::new() }
    }
}

/// A record of a map, and what is known of the document in whose place it comes.
struct Record<'a> {
    id: DocumentId,
    key: String,
    given: Given<'a>,
    current: Option<u64>,
}

/// Gives the stored form of a record from its key, the record, and the stored document if there is one: a JSON object without
/// white space between its tokens.
pub trait Rule: Fn(&str, Given<'_>, Option<&[u8]>) -> Result<Vec<u8>> + Sync {}

impl<F: Fn(&str, Given<'_>, Option<&[u8]>) -> Result<Vec<u8>> + Sync> Rule for F {}

/// Puts every record of the map that differs from the stored one. `delete` deletes a document that the map lacks, with what
/// belongs to it. Whether keys are unique is asked of the outcome: documents may exchange them.
///
/// # Errors
/// `VALIDATION_ERROR` with the issues of all records; nothing is put then. `UNIQUE_VIOLATION`.
pub fn write_map(
    tx: &mut Transaction<'_>,
    spec: &Arc<CollectionSpec>,
    what: &str,
    map: GivenMap<'_>,
    rule: impl Rule,
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
    map: GivenMap<'_>,
    gone: &[DocumentId],
    rule: impl Rule,
    delete: impl Fn(&mut Transaction<'_>, &DocumentId) -> Result<()>,
) -> Result<Written> {
    write_records(tx, spec, what, map, rule, |tx, _| gone.iter().try_for_each(|id| delete(tx, id)))
}

fn write_records(
    tx: &mut Transaction<'_>,
    spec: &Arc<CollectionSpec>,
    what: &str,
    map: GivenMap<'_>,
    rule: impl Rule,
    delete_others: impl FnOnce(&mut Transaction<'_>, &HashSet<&DocumentId>) -> Result<()>,
) -> Result<Written> {
    let records = records(tx, spec, what, map)?;
    let bytes = records.iter().map(|record| record.given.bytes()).sum();
    let forms = parallel::map(&records, bytes, |record| form_of(spec, record, &rule));
    let mut issues = Vec::new();
    let mut stored = Vec::with_capacity(records.len());
    let mut others = Vec::new();
    for (record, form) in records.iter().zip(forms) {
        let mut is_stored = false;
        let form = match form {
            Form::Given(form) => form,
            Form::Stored(document) if tx.is_stored(spec, &record.id, &document)? => {
                is_stored = true;
                Ok(document)
            }
            Form::Stored(_) | Form::OverCurrent => form_over_current(tx, spec, record, &rule),
        };
        match form {
            Ok(document) => {
                if !is_stored {
                    others.push((record.id.clone(), document.clone()));
                }
                stored.push((record.id.clone(), document));
            }
            Err(Error::Validation { issues: found, .. }) => {
                issues.extend(below(PathSegment::Key(record.key.clone()), found))
            }
            Err(error) => return Err(error),
        }
    }
    if !issues.is_empty() {
        return Err(Error::Validation { what: what.to_owned(), issues });
    }
    let kept: HashSet<&DocumentId> = records.iter().map(|record| &record.id).collect();
    let changed = tx.put_documents_unchecked(spec, &others)?;
    delete_others(tx, &kept)?;
    for at in changed {
        tx.check_put(spec, &others[at].0)?;
    }
    Ok(Written { documents: stored })
}

/// The records of a map, ids ascending. Of several with one id the last counts.
fn records<'a>(
    tx: &mut Transaction<'_>,
    spec: &Arc<CollectionSpec>,
    what: &str,
    map: GivenMap<'a>,
) -> Result<Vec<Record<'a>>> {
    let mut records = BTreeMap::new();
    for (at, member) in json::members(map.text).enumerate() {
        let member = member.map_err(|error| not_a_map(what, error.problem))?;
        let key = json::unescape_lossy(member.key).into_owned();
        let large = map.large.get(at).copied().flatten();
        let given = Given { text: member.value, large };
        let id = DocumentId::from_key(&key);
        records.insert(id.clone(), Record { id, key, given, current: None });
    }
    let mut records: Vec<Record<'a>> = records.into_values().collect();
    for record in &mut records {
        record.current = tx.hash(spec, &record.id)?;
    }
    Ok(records)
}

/// What is known of the stored form of a record without the document in whose place it comes.
enum Form {
    Given(Result<Document>),
    /// The record is that document, as far as the hash tells.
    Stored(Document),
    /// Only that document tells.
    OverCurrent,
}

fn form_of(spec: &CollectionSpec, record: &Record<'_>, rule: &impl Rule) -> Form {
    let document = |text: Vec<u8>| Document::new(text.into(), spec.large_field);
    let Some(current) = record.current else {
        return Form::Given(rule(&record.key, record.given, None).map(document));
    };
    // Most records of a map are those that were read before.
    let whole = record.given.whole(spec.large_field.unwrap_or_default());
    let as_given = document(json::compacted(whole.into_owned()));
    if as_given.hash == current { Form::Stored(as_given) } else { Form::OverCurrent }
}

fn form_over_current(
    tx: &mut Transaction<'_>,
    spec: &Arc<CollectionSpec>,
    record: &Record<'_>,
    rule: &impl Rule,
) -> Result<Document> {
    let current = tx.get(spec, &record.id)?;
    let text = rule(&record.key, record.given, current.as_ref().map(|document| &*document.text))?;
    Ok(Document::new(text.into(), spec.large_field))
}

fn not_a_map(what: &str, problem: &str) -> Error {
    let issue = Issue {
        path: Vec::new(),
        message: format!("expected a map of records: {problem}"),
        code: "invalid_type",
    };
    Error::Validation { what: what.to_owned(), issues: vec![issue] }
}
