//! The file: 24 bytes, a header in JSON, the documents, the indexes.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::engine::binary::{Reader, push_bytes};
use crate::engine::checksum::{DatabaseId, FileHash};
use crate::engine::database::CollectionSpec;
use crate::engine::document::DocumentId;
use crate::engine::document_map::{Entry, FileId, Location};
use crate::engine::fs::{File, read_all, read_exact_at};
use crate::engine::index::{Counts, IndexConfig, IndexSpec};
use crate::engine::journal::Checksum;

const MAGIC: [u8; 8] = *b"indexes\n";
const FORMAT: u32 = 1;
/// Magic, format, length and checksum of the header.
const START: usize = 24;
/// The checksum covers what is before it, then the header.
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
    /// Of all that follows the header.
    pub body: Checksum,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredIndex {
    pub config: IndexConfig,
    /// The version of the rule that computes its keys; none where they come from the fields.
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

/// The whole file. `body` is the documents' part followed by those of the indexes.
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

/// Length of the header, of a file that starts like this.
fn header_len(start: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(start.strip_prefix(&MAGIC)?);
    if reader.u32()? != FORMAT {
        return None;
    }
    reader.u32()
}

/// `start` is the first bytes of a file, `header` the bytes that follow.
fn parse_header(start: &[u8], header: &[u8]) -> Option<Header> {
    let expected = Reader::new(start.get(CHECKSUM_AT..)?).u64()?;
    let intact = header_checksum(start.get(..CHECKSUM_AT)?, header) == expected;
    if intact { serde_json::from_slice(header).ok() } else { None }
}

/// The header of a file whose body is not looked at.
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

/// A file that was read and is as it was written.
pub struct Stored {
    pub header: Header,
    bytes: Vec<u8>,
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

    /// The documents of the snapshot, which lie in `file`. `None` unless they lie one in another's place nowhere, in the
    /// bounds of the snapshot, ids ascending.
    pub fn documents(&self, file: FileId) -> Option<Vec<Entry>> {
        let mut reader = Reader::new(&self.bytes[self.body..]);
        let mut reader = Reader::new(reader.take(self.header.documents_size)?);
        let count = usize::try_from(self.header.documents).ok().filter(|count| *count <= reader.len())?;
        let mut documents: Vec<Entry> = Vec::with_capacity(count);
        for _ in 0..count {
            let (offset, hash) = (reader.u64()?, reader.u64()?);
            let (len, head) = (reader.u32()?, reader.u32()?);
            let id = match reader.u8()? {
                0 => DocumentId::Number(reader.u64()?),
                1 => DocumentId::Text(std::str::from_utf8(reader.bytes()?).ok()?.into()),
                _ => return None,
            };
            let inside = offset.checked_add(len.into())? <= self.header.snapshot_size && head <= len;
            if !inside || documents.last().is_some_and(|(last, _)| *last >= id) {
                return None;
            }
            documents.push((id, Location { offset, hash, file, len, head }));
        }
        reader.is_empty().then_some(documents)
    }

    /// Which of the stored indexes is that of `spec`, and its bytes.
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

    /// Whether everything that loading the collection asks for is here.
    pub fn serves(&self, spec: &CollectionSpec, database: DatabaseId, rules: &str) -> bool {
        self.header.is_of(spec, database)
            && self.header.rules == rules
            && self.header.large_field.as_deref() == spec.large_field
            && spec.indexes.iter().all(|index| self.header.indexes.iter().any(|stored| stored.is_of(index)))
    }
}

impl Header {
    /// Whether the file was made for this collection of this database.
    pub fn is_of(&self, spec: &CollectionSpec, database: DatabaseId) -> bool {
        self.database == database && self.collection == *spec.path
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
