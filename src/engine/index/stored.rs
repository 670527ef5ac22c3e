//! The stored form of an index: its keys ascending, each with the documents that have it.
//!
//! A document is referred to by its number: its position among the collection's documents, in ascending order of their ids.
//! So an index is built from its stored form without sorting and without looking at a document.

use std::sync::Arc;

use super::config::{IndexSpec, IndexType};
use super::dispatch::{Ids, Index, Sorted};
use super::entries::{Entries, Repr};
use super::inverted::Documents;
use super::key::{IndexKey, Number};
use super::posting::Posting;
use crate::engine::binary::{Reader, push_bytes, push_varint};
use crate::engine::cancel;
use crate::engine::document::DocumentId;
use crate::engine::json;

/// Must be raised with every change of what documents have in an index (extraction, words, keys), of how they are cut into
/// head and rest and hashed, or of the stored form.
const CODE: u32 = 5;

/// Names the rules by which indexes are stored. Indexes that were stored by other rules must be built again. The tables of
/// Unicode are among the rules because they decide where words end and how they fold.
pub fn rules() -> String {
    let version = |(major, minor, patch): (u64, u64, u64)| format!("{major}.{minor}.{patch}");
    let of_char = |(major, minor, patch): (u8, u8, u8)| version((major.into(), minor.into(), patch.into()));
    format!(
        "{CODE} case {} words {} forms {}",
        of_char(char::UNICODE_VERSION),
        version(unicode_segmentation::UNICODE_VERSION),
        of_char(unicode_normalization::UNICODE_VERSION),
    )
}

/// What is recorded of a stored index besides its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub unique_keys: u64,
    pub total_entries: u64,
}

/// Gathers what documents have in one index, in order to store it.
pub struct Gathered {
    entries: GatheredEntries,
    traits: Traits,
}

/// What an index knows of its documents besides their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Traits {
    /// Whether some document has several keys.
    pub several_keys: bool,
    /// Whether some document has more keys than an index takes, and is therefore left out.
    pub left_out: bool,
}

impl Traits {
    fn to_byte(self) -> u8 {
        u8::from(self.several_keys) | u8::from(self.left_out) << 1
    }

    fn from_byte(byte: u8) -> Option<Traits> {
        (byte < 4).then_some(Traits { several_keys: byte & 1 != 0, left_out: byte & 2 != 0 })
    }
}

enum GatheredEntries {
    Keys(Vec<(IndexKey, u32)>),
    /// Word, document, and how often it has the word.
    Words(Vec<(Box<str>, u32, u32)>),
}

impl Gathered {
    pub fn new(kind: IndexType) -> Gathered {
        let entries = match kind {
            IndexType::Inverted => GatheredEntries::Words(Vec::new()),
            IndexType::Hash | IndexType::Btree => GatheredEntries::Keys(Vec::new()),
        };
        Gathered { entries, traits: Traits::default() }
    }

    pub fn add(&mut self, document: u32, entries: Entries) {
        match (&mut self.entries, entries.0) {
            (GatheredEntries::Keys(keys), Repr::Key(key)) => keys.push((key, document)),
            (GatheredEntries::Keys(keys), Repr::Keys(several)) => {
                self.traits.several_keys = true;
                keys.extend(several.into_iter().map(|key| (key, document)));
            }
            (GatheredEntries::Words(words), Repr::Words(own)) => {
                words.extend(own.into_iter().map(|(word, count)| (word, document, count)));
            }
            (_, Repr::TooMany) => self.traits.left_out = true,
            _ => {}
        }
    }

    /// Appends the stored form:
    ///
    /// ```text
    /// 1 if some document has several keys, 2 more if one is left out    1 byte
    /// for each key, ascending:
    ///   the key; of an inverted index, the word as counted bytes
    ///   number of documents                          varint
    ///   for each of them, ascending:
    ///     its number; after the first, less the number before and 1   varint
    ///     of an inverted index, how often it has the word              varint
    /// ```
    ///
    /// O(n log n) in the number of entries.
    pub fn store(self, out: &mut Vec<u8>) -> Counts {
        out.push(self.traits.to_byte());
        match self.entries {
            GatheredEntries::Keys(mut keys) => {
                keys.sort_unstable();
                let shares = keys.chunk_by(|(key, _), (next, _)| key == next);
                let unique_keys = shares.map(|share| {
                    push_key(out, &share[0].0);
                    push_documents(out, share.iter().map(|(_, document)| (*document, None)));
                });
                Counts { unique_keys: unique_keys.count() as u64, total_entries: keys.len() as u64 }
            }
            GatheredEntries::Words(mut words) => {
                words.sort_unstable();
                let shares = words.chunk_by(|(word, ..), (next, ..)| word == next);
                let unique_keys = shares.map(|share| {
                    push_bytes(out, share[0].0.as_bytes());
                    push_documents(out, share.iter().map(|(_, document, count)| (*document, Some(*count))));
                });
                Counts { unique_keys: unique_keys.count() as u64, total_entries: words.len() as u64 }
            }
        }
    }
}

fn push_documents(out: &mut Vec<u8>, documents: impl ExactSizeIterator<Item = (u32, Option<u32>)>) {
    push_varint(out, documents.len() as u64);
    let mut next = 0;
    for (document, count) in documents {
        push_varint(out, u64::from(document) - next);
        next = u64::from(document) + 1;
        if let Some(count) = count {
            push_varint(out, count.into());
        }
    }
}

/// Appends null as 0, false as 1, true as 2; a number as 3 and its 8 bytes; a text as 4 and counted bytes; a tuple as 5, the
/// number of its parts and the parts.
fn push_key(out: &mut Vec<u8>, key: &IndexKey) {
    match key {
        IndexKey::Null => out.push(0),
        IndexKey::Bool(value) => out.push(1 + u8::from(*value)),
        IndexKey::Number(number) => {
            out.push(3);
            out.extend_from_slice(&number.get().to_bits().to_le_bytes());
        }
        IndexKey::Text(text) => {
            out.push(4);
            push_bytes(out, text);
        }
        IndexKey::Tuple(parts) => {
            out.push(5);
            push_varint(out, parts.len() as u64);
            parts.iter().for_each(|part| push_key(out, part));
        }
    }
}

fn read_key(reader: &mut Reader<'_>, depth: usize) -> Option<IndexKey> {
    Some(match reader.u8()? {
        0 => IndexKey::Null,
        1 => IndexKey::Bool(false),
        2 => IndexKey::Bool(true),
        3 => IndexKey::Number(Number::new(f64::from_bits(reader.u64()?))?),
        4 => IndexKey::Text(reader.bytes()?.into()),
        5 if depth < json::MAX_DEPTH + 2 => {
            let count = reader.varint()?;
            // Each part takes at least a byte, so a wrong count ends the loop and does not exhaust the memory.
            let parts: Option<Vec<IndexKey>> = (0..count).map(|_| read_key(reader, depth + 1)).collect();
            IndexKey::Tuple(parts?.into())
        }
        _ => return None,
    })
}

impl Index {
    /// Builds an index from its stored form. `ids` has the id of each document by its number, and `None` for documents that
    /// are to be left out. O(n), plus a hash for each key of a hash index.
    ///
    /// Returns `None` if the bytes are not a stored index, or do not agree with `counts`, and if the caller has cancelled.
    pub fn from_stored(
        spec: Arc<IndexSpec>,
        bytes: &[u8],
        counts: Counts,
        ids: &[Option<&DocumentId>],
    ) -> Option<Index> {
        let mut reader = Reader::new(bytes);
        let traits = Traits::from_byte(reader.u8()?)?;
        let capacity = usize::try_from(counts.unique_keys).ok()?;
        if capacity > reader.len() {
            return None;
        }
        let mut total_entries = 0;
        let sorted = if spec.config.kind == IndexType::Inverted {
            let mut words: Vec<(Box<str>, Documents)> = Vec::with_capacity(capacity);
            let mut last: Option<&str> = None;
            for at in 0..capacity {
                check_now_and_then(at)?;
                let word = std::str::from_utf8(reader.bytes()?).ok()?;
                if last.is_some_and(|last| last >= word) {
                    return None;
                }
                last = Some(word);
                let count = |reader: &mut Reader<'_>| u32::try_from(reader.varint()?).ok();
                let documents = read_documents(&mut reader, ids, &mut total_entries, count)?;
                words.extend(documents.map(|documents| (word.into(), documents)));
            }
            Sorted::Words(words)
        } else {
            let mut keys: Vec<(IndexKey, Ids)> = Vec::with_capacity(capacity);
            for at in 0..capacity {
                check_now_and_then(at)?;
                let key = read_key(&mut reader, 0)?;
                if keys.last().is_some_and(|(last, _)| *last >= key) {
                    return None;
                }
                let documents = read_documents(&mut reader, ids, &mut total_entries, |_| Some(()))?;
                keys.extend(documents.map(|documents| (key, documents)));
            }
            Sorted::Keys(keys)
        };
        let whole = reader.is_empty() && total_entries == counts.total_entries;
        whole.then(|| Index::from_sorted(spec, sorted, traits))
    }
}

/// Returns `None` if the caller has cancelled. Looks only at every 256th call.
fn check_now_and_then(at: usize) -> Option<()> {
    if at.is_multiple_of(cancel::STEP) { cancel::check().ok() } else { Some(()) }
}

/// Reads the documents of one key. The inner `Option` is `None` if all of them are left out.
fn read_documents<V>(
    reader: &mut Reader<'_>,
    ids: &[Option<&DocumentId>],
    total: &mut u64,
    value: impl Fn(&mut Reader<'_>) -> Option<V>,
) -> Option<Option<Posting<DocumentId, V>>> {
    let count = reader.varint()?;
    *total = total.checked_add(count)?;
    let mut next: u64 = 0;
    let mut read = |reader: &mut Reader<'_>| {
        let document = next.checked_add(reader.varint()?)?;
        next = document.checked_add(1)?;
        let id = ids.get(usize::try_from(document).ok()?)?;
        let value = value(reader)?;
        Some(id.map(|id| (id.clone(), value)))
    };
    match count {
        0 => None,
        // The usual case needs no vector.
        1 => Some(read(reader)?.map(|(id, value)| Posting::One(id, value))),
        _ => {
            let mut members = Vec::new();
            for at in 0..count {
                check_now_and_then(at as usize)?;
                members.extend(read(reader)?);
            }
            Some(Posting::from_sorted(members))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::index::{Extractor, IndexConfig, extract_all};
    use proptest::prelude::*;
    use std::ops::Bound;

    fn spec(kind: IndexType, fields: &[&str]) -> Arc<IndexSpec> {
        let fields = fields.iter().map(|&field| field.into()).collect();
        let config = IndexConfig { name: "test".into(), kind, fields, unique: false, sparse: false };
        Arc::new(IndexSpec::new(config, Extractor::Fields))
    }

    fn specs() -> Vec<Arc<IndexSpec>> {
        vec![
            spec(IndexType::Hash, &["a"]),
            spec(IndexType::Btree, &["a"]),
            spec(IndexType::Hash, &["a", "b"]),
            spec(IndexType::Btree, &["b", "a.c"]),
            spec(IndexType::Inverted, &["a", "b"]),
        ]
    }

    fn stored(spec: &Arc<IndexSpec>, documents: &[String]) -> (Vec<u8>, Counts) {
        let specs = [Arc::clone(spec)];
        let mut gathered = Gathered::new(spec.config.kind);
        for (number, document) in documents.iter().enumerate() {
            for entries in extract_all(&specs, document.as_bytes()) {
                gathered.add(number as u32, entries);
            }
        }
        let mut out = Vec::new();
        let counts = gathered.store(&mut out);
        (out, counts)
    }

    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            (-3i32..3).prop_map(|number| number.to_string()),
            (-3i32..3).prop_map(|number| format!("{number}.5e300")),
            "[a-c é日本]{0,6}".prop_map(|text| format!("{text:?}")),
            Just("\"\\ud800\"".to_owned()),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3)
                    .prop_map(|parts| format!("[{}]", parts.join(","))),
                inner.prop_map(|part| format!("{{\"c\":{part}}}")),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_stored_index_reads_back_without_the_documents_left_out(
            values in proptest::collection::vec((value(), value(), any::<bool>()), 0..20),
        ) {
            let documents: Vec<String> =
                values.iter().map(|(a, b, _)| format!("{{\"a\":{a},\"b\":{b}}}")).collect();
            let all: Vec<DocumentId> = (0..values.len() as u64).map(|at| (at * 3).into()).collect();
            let ids: Vec<Option<&DocumentId>> =
                all.iter().zip(&values).map(|(id, (.., left_out))| (!left_out).then_some(id)).collect();
            for spec in specs() {
                let (bytes, counts) = stored(&spec, &documents);
                let mut model = Index::new(Arc::clone(&spec));
                for (id, document) in ids.iter().zip(&documents) {
                    if let Some(id) = id {
                        model.insert(id, model.extract(document.as_bytes()));
                    }
                }
                let index = Index::from_stored(Arc::clone(&spec), &bytes, counts, &ids).expect("a stored index");
                prop_assert_eq!(index.unique_keys(), model.unique_keys());
                prop_assert_eq!(index.total_entries(), model.total_entries());
                prop_assert_eq!(index.is_complete(), model.is_complete());
                for document in &documents {
                    for key in model.extract(document.as_bytes()).keys() {
                        prop_assert_eq!(index.find(key), model.find(key));
                    }
                }
                match spec.config.kind {
                    IndexType::Btree => prop_assert_eq!(
                        index.range(Bound::Unbounded, Bound::Unbounded).unwrap(),
                        model.range(Bound::Unbounded, Bound::Unbounded).unwrap()
                    ),
                    IndexType::Inverted => {
                        prop_assert_eq!(index.find(&IndexKey::Null), model.find(&IndexKey::Null));
                        for query in ["a", "ab c", "日", "0.5", "e"] {
                            prop_assert_eq!(index.search(query).unwrap(), model.search(query).unwrap());
                        }
                    }
                    IndexType::Hash => {
                        for joined in ["a:b", ":", "1:", "true:null"] {
                            let key = IndexKey::text(joined);
                            prop_assert_eq!(index.find(&key), model.find(&key));
                        }
                    }
                }
                // What is removed again is removed in full.
                let mut emptied = index.clone();
                for (id, document) in ids.iter().zip(&documents) {
                    if let Some(id) = id {
                        emptied.remove(id, &model.extract(document.as_bytes()));
                    }
                }
                prop_assert_eq!((emptied.unique_keys(), emptied.total_entries()), (0, 0));
            }
        }

        #[test]
        fn changed_bytes_are_refused_or_give_a_consistent_index(
            values in proptest::collection::vec(value(), 1..6), at in any::<usize>(), byte in any::<u8>(),
        ) {
            let documents: Vec<String> = values.iter().map(|a| format!("{{\"a\":{a}}}")).collect();
            let all: Vec<DocumentId> = (0..values.len() as u64).map(DocumentId::from).collect();
            let ids: Vec<Option<&DocumentId>> = all.iter().map(Some).collect();
            for spec in specs() {
                let (mut bytes, counts) = stored(&spec, &documents);
                let at = at % bytes.len();
                bytes[at] = byte;
                if let Some(index) = Index::from_stored(Arc::clone(&spec), &bytes, counts, &ids) {
                    prop_assert_eq!(index.unique_keys() as u64, counts.unique_keys);
                }
                bytes.truncate(at);
                prop_assert!(Index::from_stored(spec, &bytes, counts, &ids).is_none());
            }
        }
    }

    #[test]
    fn an_incomplete_index_is_still_incomplete_after_storing() {
        let spec = spec(IndexType::Btree, &["a", "b"]);
        let numbers = (0..200).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
        let (bytes, counts) = stored(&spec, &[format!("{{\"a\":[{numbers}],\"b\":[{numbers}]}}")]);
        let id = DocumentId::from(1);
        let index = Index::from_stored(spec, &bytes, counts, &[Some(&id)]).expect("a stored index");
        assert!(!index.is_complete());
    }

    #[test]
    fn no_index_is_built_for_a_caller_that_gave_up() {
        let cancel = cancel::Cancel::default();
        assert!(cancel.cancel());
        for spec in specs() {
            let (bytes, counts) = stored(&spec, &["{\"a\":\"x\"}".to_owned()]);
            let id = DocumentId::from(1);
            let build = || Index::from_stored(Arc::clone(&spec), &bytes, counts, &[Some(&id)]);
            assert!(build().is_some());
            assert!(cancel.scope(build).is_none());
        }
    }

    #[test]
    fn a_document_with_the_highest_number_there_can_be_is_refused() {
        let mut bytes = vec![0, 0, 1];
        push_varint(&mut bytes, u64::MAX);
        let counts = Counts { unique_keys: 1, total_entries: 1 };
        let id = DocumentId::from(1);
        assert!(Index::from_stored(spec(IndexType::Hash, &["a"]), &bytes, counts, &[Some(&id)]).is_none());
    }

    #[test]
    fn wrong_counts_are_refused() {
        let spec = spec(IndexType::Hash, &["a"]);
        let (bytes, counts) = stored(&spec, &["{\"a\":1}".to_owned(), "{\"a\":2}".to_owned()]);
        let all = [DocumentId::from(1), DocumentId::from(2)];
        let ids: Vec<Option<&DocumentId>> = all.iter().map(Some).collect();
        let restored = |counts, ids: &[Option<&DocumentId>]| {
            Index::from_stored(Arc::clone(&spec), &bytes, counts, ids).is_some()
        };
        assert!(restored(counts, &ids));
        assert!(!restored(Counts { unique_keys: 1, ..counts }, &ids));
        assert!(!restored(Counts { unique_keys: u64::MAX, ..counts }, &ids));
        assert!(!restored(Counts { total_entries: 3, ..counts }, &ids));
        assert!(!restored(counts, &ids[..1]));
    }
}
