//! Whole-map writes: storing the differences between a map and the stored documents.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::database::{CollectionSpec, Transaction};
use super::document::{Document, DocumentId, Given};
use super::error::{Error, Issue, PathSegment, Result, below};
use super::json;
use super::parallel;

/// What a whole-map write did.
pub struct Written {
    /// The given records in their stored form, ids ascending.
    pub documents: Vec<(DocumentId, Document)>,
}

impl Written {
    pub fn texts(&self) -> Vec<Arc<[u8]>> {
        self.documents.iter().map(|(_, document)| Arc::clone(&document.text)).collect()
    }
}

/// A map of records as a caller gives it.
pub struct GivenMap<'a> {
    /// `{ "<id>": record }`
    pub text: &'a [u8],
    /// The large fields that were split off, as plain text, in the order of the map's members.
    pub large: Vec<Option<&'a str>>,
}

impl<'a> From<&'a [u8]> for GivenMap<'a> {
    fn from(text: &'a [u8]) -> Self {
        GivenMap { text, large: Vec::new() }
    }
}

/// A record of a map, and the hash of the stored document with the same id.
struct Record<'a> {
    id: DocumentId,
    key: String,
    given: Given<'a>,
    current: Option<u64>,
}

/// Computes the stored form of a record from its key, the record, and the stored document if there is one: a JSON object
/// without white space between its tokens.
pub trait Rule: Fn(&str, Given<'_>, Option<&[u8]>) -> Result<Vec<u8>> + Sync {}

impl<F: Fn(&str, Given<'_>, Option<&[u8]>) -> Result<Vec<u8>> + Sync> Rule for F {}

/// Puts every record of the map that differs from the stored one. `delete` deletes a document that the map lacks, together
/// with everything that belongs to it. Uniqueness is checked against the result: documents may exchange their keys.
///
/// # Errors
/// `VALIDATION_ERROR` with the issues of all records, in which case nothing is put. `UNIQUE_VIOLATION`.
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

/// Like [`write_map`], but takes only the records that may differ from the stored ones, and the ids of the documents that
/// the map lacks. Returns the documents of these records.
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

/// Returns the records of a map, ids ascending. Of several with the same id, the last one counts.
fn records<'a>(
    tx: &mut Transaction<'_>,
    spec: &Arc<CollectionSpec>,
    what: &str,
    map: GivenMap<'a>,
) -> Result<Vec<Record<'a>>> {
    let mut records = BTreeMap::new();
    for (at, member) in json::documents(map.text).enumerate() {
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

/// What is known of a record's stored form before the stored document with the same id is read.
enum Form {
    Given(Result<Document>),
    /// The record equals that document, as far as the hash tells.
    Stored(Document),
    /// The stored form depends on that document.
    OverCurrent,
}

fn form_of(spec: &CollectionSpec, record: &Record<'_>, rule: &impl Rule) -> Form {
    let document = |text: Vec<u8>| Document::new(text.into(), spec.large_field);
    let Some(current) = record.current else {
        return Form::Given(rule(&record.key, record.given, None).map(document));
    };
    // Most records of a map are unchanged since they were read.
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
