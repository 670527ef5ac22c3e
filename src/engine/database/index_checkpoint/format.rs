//! The format of the file: 24 bytes, a header in JSON, the documents, the indexes.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::engine::binary::{Reader, push_bytes};
use crate::engine::cancel;
use crate::engine::checksum::{DatabaseId, FileHash};
use crate::engine::database::CollectionSpec;
use crate::engine::document::DocumentId;
use crate::engine::document_map::{Entry, FileId, Location, Revision};
use crate::engine::fs::{File, FileBytes, read_all, read_exact_at};
use crate::engine::index::{Counts, IndexConfig, IndexSpec};
use crate::engine::journal::Checksum;

const MAGIC: [u8; 8] = *b"indexes\n";
const FORMAT: u32 = 1;
/// Magic, format, length and checksum of the header.
const START: usize = 24;
/// The checksum covers the bytes before it, then the header.
const CHECKSUM_AT: usize = 16;

/// What an index checkpoint says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// The rules by which documents were turned into entries.
    pub rules: String,
    pub database: DatabaseId,
    pub collection: String,
    /// Hash and size of the snapshot that all of this was made from.
    pub snapshot: FileHash,
    pub snapshot_size: u64,
    pub large_field: Option<String>,
    /// When this file was written, in milliseconds since 1970.
    pub written: u64,
    /// The number of documents.
    pub documents: u64,
    /// Length of the documents' part in bytes.
    pub documents_size: u64,
    pub indexes: Vec<StoredIndex>,
    /// Checksum of everything after the header.
    pub body: Checksum,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredIndex {
    pub config: IndexConfig,
    /// The version of the rule that computes its keys; `None` if they come from the fields.
    pub rule: Option<u32>,
    /// In milliseconds since 1970.
    pub first_built: u64,
    pub last_changed: u64,
    pub unique_keys: u64,
    pub total_entries: u64,
    /// Length of its part in bytes.
    pub size: u64,
}

impl StoredIndex {
    /// Whether this is what an index of `spec` would hold.
    pub fn is_of(&self, spec: &IndexSpec) -> bool {
        self.config == spec.config && self.rule == spec.extractor.version()
    }

    pub fn counts(&self) -> Counts {
        Counts { unique_keys: self.unique_keys, total_entries: self.total_entries }
    }
}

/// Returns the whole file. `body` is the documents' part followed by those of the indexes.
pub fn encode(mut header: Header, body: &[u8]) -> Vec<u8> {
    header.body = Checksum(xxh3_64(body));
    let header = serde_json::to_vec(&header).unwrap_or_default();
    let mut bytes = Vec::with_capacity(START + header.len() + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
    let checksum = header_checksum(&bytes, &header);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(body);
    bytes
}

fn header_checksum(before: &[u8], header: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(before);
    hasher.update(header);
    hasher.digest()
}

/// Returns the length of the header of a file that starts with these bytes.
fn header_len(start: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(start.strip_prefix(&MAGIC)?);
    if reader.u32()? != FORMAT {
        return None;
    }
    reader.u32()
}

/// Returns the header if its checksum is right. `start` is the first bytes of the file, `header` the bytes that follow.
fn parse_header(start: &[u8], header: &[u8]) -> Option<Header> {
    let expected = Reader::new(start.get(CHECKSUM_AT..)?).u64()?;
    let intact = header_checksum(start.get(..CHECKSUM_AT)?, header) == expected;
    if intact { serde_json::from_slice(header).ok() } else { None }
}

/// Reads the header of a file without looking at its body.
pub fn read_header(file: &dyn File) -> Option<Header> {
    let mut start = [0; START];
    read_exact_at(file, &mut start, 0).ok()?;
    let length = header_len(&start)?;
    if file.metadata().ok()?.len < START as u64 + u64::from(length) {
        return None;
    }
    let mut header = vec![0; length as usize];
    read_exact_at(file, &mut header, START as u64).ok()?;
    parse_header(&start, &header)
}

/// A file that was read whole, and whose checksums are right.
pub struct Stored {
    pub header: Header,
    bytes: FileBytes,
    body: usize,
}

impl Stored {
    pub fn read(file: &dyn File) -> Option<Stored> {
        let bytes = read_all(file).ok()?;
        let (start, rest) = bytes.split_at_checked(START)?;
        let (header, body) = rest.split_at_checked(header_len(start)? as usize)?;
        let header = parse_header(start, header)?;
        let sizes = header.indexes.iter().map(|index| index.size);
        let size = sizes.fold(header.documents_size, u64::saturating_add);
        let intact = size == body.len() as u64 && header.body.0 == xxh3_64(body);
        let body = bytes.len() - body.len();
        intact.then_some(Stored { header, bytes, body })
    }

    /// Returns the documents of the snapshot, whose file is `file`; `None` unless all of them are within its bounds and
    /// their ids ascend, and if the caller has cancelled.
    pub fn documents(&self, file: FileId) -> Option<Vec<Entry>> {
        let mut reader = Reader::new(&self.bytes[self.body..]);
        let mut reader = Reader::new(reader.take(self.header.documents_size)?);
        let count = usize::try_from(self.header.documents).ok().filter(|count| *count <= reader.len())?;
        let mut documents: Vec<Entry> = Vec::with_capacity(count);
        for at in 0..count {
            if at % cancel::STEP == 0 {
                cancel::check().ok()?;
            }
            let (offset, hash) = (reader.u64()?, reader.u64()?);
            let (len, head) = (reader.u32()?, reader.u32()?);
            let id = match reader.u8()? {
                0 => DocumentId::Number(reader.u64()?),
                1 => DocumentId::from_key(std::str::from_utf8(reader.bytes()?).ok()?),
                _ => return None,
            };
            let inside = offset.checked_add(len.into())? <= self.header.snapshot_size && head <= len;
            if !inside || documents.last().is_some_and(|(last, _)| *last >= id) {
                return None;
            }
            documents.push((id, Location { offset, hash, file, len, head, revision: Revision::UNKNOWN }));
        }
        reader.is_empty().then_some(documents)
    }

    /// Returns the stored index that is that of `spec`, and its bytes.
    pub fn index(&self, spec: &IndexSpec) -> Option<(&StoredIndex, &[u8])> {
        let mut reader = Reader::new(&self.bytes[self.body..]);
        reader.take(self.header.documents_size)?;
        for index in &self.header.indexes {
            let bytes = reader.take(index.size)?;
            if index.is_of(spec) {
                return Some((index, bytes));
            }
        }
        None
    }

    /// Whether everything that is needed to load the collection is here.
    pub fn serves(&self, spec: &CollectionSpec, database: DatabaseId, rules: &str) -> bool {
        self.header.is_of(&spec.path, database)
            && self.header.rules == rules
            && self.header.large_field.as_deref() == spec.large_field
            && spec.indexes.iter().all(|index| self.header.indexes.iter().any(|stored| stored.is_of(index)))
    }
}

impl Header {
    /// Whether the file was made for this collection of this database.
    pub fn is_of(&self, path: &str, database: DatabaseId) -> bool {
        self.database == database && self.collection == path
    }
}

/// Appends one document: offset 8 bytes, hash 8, length 4, length of the head 4, then the id: 0 and 8 bytes of a number,
/// or 1 and a text as counted bytes.
pub fn push_document(out: &mut Vec<u8>, id: &DocumentId, location: &Location) {
    out.extend_from_slice(&location.offset.to_le_bytes());
    out.extend_from_slice(&location.hash.to_le_bytes());
    out.extend_from_slice(&location.len.to_le_bytes());
    out.extend_from_slice(&location.head.to_le_bytes());
    match id {
        DocumentId::Number(number) => {
            out.push(0);
            out.extend_from_slice(&number.to_le_bytes());
        }
        DocumentId::Text(text) => {
            out.push(1);
            push_bytes(out, text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::database::Foreign;
    use crate::engine::fs::MemoryFile;
    use crate::engine::index::{Extractor, IndexType};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn header(documents: u64, documents_size: u64) -> Header {
        Header {
            rules: "1".into(),
            database: DatabaseId(7),
            collection: "a.json".into(),
            snapshot: FileHash(9),
            snapshot_size: 100,
            large_field: None,
            written: 0,
            documents,
            documents_size,
            indexes: Vec::new(),
            body: Checksum(0),
        }
    }

    fn location(offset: u64, len: u32, head: u32) -> Location {
        Location { offset, hash: 5, file: FileId(3), len, head, revision: Revision::UNKNOWN }
    }

    fn read(bytes: Vec<u8>) -> Option<Stored> {
        Stored::read(&MemoryFile::new(bytes))
    }

    /// Writes a file with right checksums and these documents, and reads the documents back.
    fn documents(entries: &[(DocumentId, Location)]) -> Option<Vec<Entry>> {
        let mut body = Vec::new();
        entries.iter().for_each(|(id, location)| push_document(&mut body, id, location));
        let header = header(entries.len() as u64, body.len() as u64);
        read(encode(header, &body)).expect("an intact file").documents(FileId(3))
    }

    #[test]
    fn encoded_documents_read_back() {
        let entries = vec![
            (DocumentId::from(3), location(0, 100, 100)),
            (DocumentId::from_key("a"), location(50, 50, 0)),
            (DocumentId::from_key("b"), location(100, 0, 0)),
        ];
        assert_eq!(documents(&entries), Some(entries));
    }

    #[test]
    fn documents_are_not_decoded_for_a_caller_that_gave_up() {
        let cancel = cancel::Cancel::default();
        assert!(cancel.cancel());
        assert_eq!(cancel.scope(|| documents(&[(1.into(), location(0, 10, 10))])), None);
    }

    #[test]
    fn documents_beyond_the_snapshot_are_refused() {
        for wrong in [
            location(0, 101, 0),
            location(100, 1, 1),
            location(101, 0, 0),
            location(u64::MAX, 1, 1),
            location(0, 10, 11),
        ] {
            assert_eq!(documents(&[(1.into(), wrong)]), None, "{wrong:?}");
        }
    }

    #[test]
    fn ids_that_are_unordered_or_not_canonical_are_refused() {
        let at = location(0, 10, 10);
        for (one, other) in [("2", "1"), ("1", "1"), ("a", "1"), ("b", "a")] {
            let ids = [one, other].map(|id| (DocumentId::from_key(id), at));
            assert_eq!(documents(&ids), None, "{one} {other}");
        }
        // A number in the form of a text would be found under another key than the one it is stored with.
        assert_eq!(documents(&[(2.into(), at), (DocumentId::Text("1".into()), at)]), None);
    }

    #[test]
    fn a_wrong_document_count_or_size_is_refused() {
        let mut body = Vec::new();
        push_document(&mut body, &1.into(), &location(0, 10, 10));
        for count in [0, 2, u64::MAX] {
            let stored = read(encode(header(count, body.len() as u64), &body)).expect("an intact file");
            assert_eq!(stored.documents(FileId(3)), None, "{count}");
        }
        for size in [0, 1, u64::MAX] {
            assert!(read(encode(header(1, size), &body)).is_none(), "{size}");
        }
    }

    #[test]
    fn an_index_checkpoint_serves_only_collections_whose_every_index_it_holds() {
        let index = |name: &str, extractor| {
            let fields = vec!["a".into()];
            let config = IndexConfig {
                name: name.into(),
                kind: IndexType::Hash,
                fields,
                unique: false,
                sparse: false,
            };
            Arc::new(IndexSpec::new(config, extractor))
        };
        let rule = |version| Extractor::Computed { of: &[], rule: |_| Vec::new(), lookup: None, version };
        let (fields, computed) = (index("fields", Extractor::Fields), index("computed", rule(1)));
        let stored = |index: &IndexSpec| StoredIndex {
            config: index.config.clone(),
            rule: index.extractor.version(),
            first_built: 0,
            last_changed: 0,
            unique_keys: 0,
            total_entries: 0,
            size: 0,
        };
        let indexes = vec![stored(&fields), stored(&computed)];
        let header = Header { indexes, large_field: Some("content".into()), ..header(0, 0) };
        let file = read(encode(header, &[])).expect("an intact file");
        let spec = |path: &str, large_field, indexes: &[&Arc<IndexSpec>]| CollectionSpec {
            path: path.into(),
            large_field,
            indexes: indexes.iter().map(|&index| Arc::clone(index)).collect(),
            foreign: Foreign::Adopt(None),
        };
        let wanted = spec("a.json", Some("content"), &[&computed, &fields]);
        assert!(file.serves(&wanted, DatabaseId(7), "1"));
        assert!(file.serves(&spec("a.json", Some("content"), &[&computed]), DatabaseId(7), "1"));
        assert!(!file.serves(&wanted, DatabaseId(7), "2"), "other rules");
        assert!(!file.serves(&wanted, DatabaseId(8), "1"), "another database");
        for (what, path, large_field, more) in [
            ("another collection", "b.json", Some("content"), &fields),
            ("another large field", "a.json", None, &fields),
            ("another index", "a.json", Some("content"), &index("more", Extractor::Fields)),
            ("a new version of the rule", "a.json", Some("content"), &index("computed", rule(2))),
            ("no rule", "a.json", Some("content"), &index("computed", Extractor::Fields)),
        ] {
            let other = spec(path, large_field, &[&fields, more]);
            assert!(!file.serves(&other, DatabaseId(7), "1"), "{what}");
        }
    }

    #[test]
    fn a_newer_format_is_not_read() {
        let mut bytes = encode(header(0, 0), &[]);
        assert!(read(bytes.clone()).is_some());
        let length = header_len(&bytes).expect("a header") as usize;
        bytes[8] = 2;
        let checksum = header_checksum(&bytes[..CHECKSUM_AT], &bytes[START..START + length]);
        bytes[CHECKSUM_AT..START].copy_from_slice(&checksum.to_le_bytes());
        assert!(read(bytes.clone()).is_none());
        assert!(read_header(&MemoryFile::new(bytes)).is_none());
    }

    proptest! {
        #[test]
        fn rubbish_is_no_index_checkpoint(bytes in proptest::collection::vec(any::<u8>(), 0..200), after_magic: bool) {
            let start: &[u8] = if after_magic { b"indexes\n\x01\0\0\0" } else { b"" };
            let bytes = [start, &bytes].concat();
            prop_assert!(read_header(&MemoryFile::new(bytes.clone())).is_none());
            prop_assert!(read(bytes).is_none());
        }
    }
}
