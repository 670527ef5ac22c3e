//! The lines of a journal: `["<checksum>",<body>]` and a line feed.
//!
//! The checksum covers the raw bytes of the body and is salted with the database's id and the generation. The body of the
//! first line of a generation is a [`Header`]; that of every other line is a batch ([`Body`]).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::engine::checksum::{DatabaseId, FileHash, Salt};

use super::{document_generation, is_plausible};

/// The newest format that this version writes and reads. Format 1 has no document files: a version that knows no other
/// format would ignore them.
pub const FORMAT: u32 = 2;
/// The first format whose lines may refer to document files.
pub const FIRST_WITH_LARGE_DOCUMENTS: u32 = 2;

/// The upper bound of sequence numbers, and of other counts and offsets in journals and tips. Sequence numbers are passed to
/// JavaScript as numbers, and no database lives long enough to exceed this.
pub(super) const LARGEST: u64 = (1 << 53) - 1;

/// `["`, 16 digits, `",`.
pub(super) const PREFIX: usize = 20;
/// `]` and the line feed.
const SUFFIX: usize = 2;

/// The first line of a generation: what came before it, and what the snapshots hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub format: u32,
    pub database: DatabaseId,
    pub generation: u64,
    /// The last sequence number of the generation before.
    pub seq: u64,
    /// The checksum of that generation's last line, and where the line ends. `None` in the first generation and in one that
    /// starts over, which follow nothing.
    pub previous: Option<Previous>,
    /// Removals of paths up to this sequence number are done and durable.
    pub removed: u64,
    /// The snapshots hold every batch up to this sequence number.
    pub covered: u64,
    /// The catalog: what is known of every snapshot.
    pub catalog: BTreeMap<String, CollectionRecord>,
}

/// What a header of any format has, whatever else is in it.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Version {
    pub format: u32,
    pub database: DatabaseId,
    pub generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Previous {
    pub checksum: Checksum,
    pub end: u64,
}

/// What the catalog says of one collection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CollectionRecord {
    /// The states its file may have, oldest first: several while a rename is not known to be durable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapshotRecord>,
    /// Whether the file may also be missing, because the rename that creates the first snapshot is not known to be durable.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
    /// The sequence number at which the collection was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
}

/// One state of a snapshot file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    pub hash: FileHash,
    pub size: u64,
    /// Every batch up to this sequence number is in the file.
    pub covers: u64,
    /// How the file is laid out, and whether its content counts.
    pub layout: Layout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Written by the engine: one document per line.
    Lines,
    /// Any JSON map that was adopted as it is.
    Map,
    /// Broken JSON that was set aside: nothing in it counts.
    Void,
}

/// A 64-bit checksum, 16 hexadecimal digits in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum(pub u64);

impl Serialize for Checksum {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map(Checksum).map_err(serde::de::Error::custom)
    }
}

/// The body of a batch as it stands in the journal; document texts borrow from the line.
#[derive(Debug, Deserialize)]
pub struct Body<'a> {
    pub seq: u64,
    /// The checksum of the line before.
    pub prev: Checksum,
    /// The highest sequence number known durable when this line was written.
    pub durable: u64,
    #[serde(borrow)]
    pub ops: Vec<Op<'a>>,
}

/// One operation of a batch. Exactly one of `in`, `drop`, `remove`, `keep`, `snapshot` and `covered` is present.
#[derive(Debug, Default, Deserialize)]
pub struct Op<'a> {
    /// Puts and deletes in this collection.
    #[serde(rename = "in")]
    pub collection: Option<String>,
    #[serde(borrow, default)]
    pub put: Documents<'a>,
    /// Puts whose texts are in document files.
    #[serde(default)]
    pub large: BTreeMap<String, LargeDocument>,
    #[serde(default)]
    pub delete: Vec<String>,
    /// The puts that take the place of an existing document; all others create one. Not known in a line that adopts a file.
    #[serde(default)]
    pub replaced: Vec<String>,
    /// This collection is dropped, and its file is removed.
    pub drop: Option<String>,
    /// This path, relative to the database's directory, is removed with everything below it.
    pub remove: Option<String>,
    /// This path belongs to a document again: earlier removals of it are done and must not be repeated.
    pub keep: Option<String>,
    /// The file of this collection has this state, or gets it by a rename.
    pub snapshot: Option<String>,
    pub record: Option<SnapshotRecord>,
    /// Whether the state replaces all earlier ones, because a person's file was adopted.
    #[serde(default)]
    pub adopted: bool,
    /// The snapshots recorded so far are durably in place and hold every batch up to this sequence number.
    pub covered: Option<u64>,
}

/// Where the text of a document is in its document file, and the hash that the text must have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LargeDocument {
    /// The name of the file, in the reserved folder.
    pub file: String,
    /// Where the text begins in the file. It extends to the end of the file.
    pub offset: u64,
    pub size: u32,
    /// Length of the text before the large field.
    pub head: u32,
    pub hash: Checksum,
}

impl CollectionRecord {
    fn is_plausible(&self) -> bool {
        self.dropped <= Some(LARGEST) && self.snapshots.iter().all(SnapshotRecord::is_plausible)
    }
}

impl SnapshotRecord {
    fn is_plausible(&self) -> bool {
        self.size.max(self.covers) <= LARGEST
    }
}

impl LargeDocument {
    fn is_plausible(&self) -> bool {
        document_generation(&self.file).is_some() && self.head <= self.size && self.offset <= LARGEST
    }
}

impl Op<'_> {
    /// The keys of all documents that are put.
    pub fn put_keys(&self) -> impl Iterator<Item = &str> {
        self.put.0.iter().map(|(key, _)| key.as_ref()).chain(self.large.keys().map(String::as_str))
    }
}

/// A map of ids to document texts, in the order of the line.
#[derive(Debug, Default)]
pub struct Documents<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Documents<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of documents")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut documents = Vec::new();
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    documents.push((key.0, map.next_value()?));
                }
                Ok(documents)
            }
        }
        deserializer.deserialize_map(Collect).map(Documents)
    }
}

struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Borrowed<'b>(#[serde(borrow)] Cow<'b, str>);
        Borrowed::deserialize(deserializer).map(|key| Key(key.0))
    }
}

/// Returns the body of a line and its checksum if the checksum is correct. `line` does not include the line feed.
pub fn verify_line(line: &[u8], salt: Salt) -> Option<(&[u8], u64)> {
    let body = line.get(PREFIX..line.len().checked_sub(SUFFIX - 1)?)?;
    let checksum = salt.checksum(body);
    // Compared as text, so that no other spelling of the digits passes.
    let intact = line[..PREFIX] == *line_prefix(checksum).as_bytes() && line.ends_with(b"]");
    intact.then_some((body, checksum))
}

pub(super) fn line_prefix(checksum: u64) -> String {
    format!("[\"{checksum:016x}\",")
}

/// Where the body of a line starts in it.
pub const BODY_START: usize = PREFIX;

/// Parses the body of a batch line. Returns `None` for a body that no version of the engine writes: a path that no database
/// can use, or a file name that no document file has, is never followed, even if the checksum is correct.
pub fn parse_batch(body: &[u8]) -> Option<Body<'_>> {
    let body: Body<'_> = serde_json::from_str(std::str::from_utf8(body).ok()?).ok()?;
    let fine = |op: &Op<'_>| {
        let paths = [&op.collection, &op.drop, &op.remove, &op.keep, &op.snapshot];
        paths.into_iter().flatten().all(|path| is_plausible(path))
            && op.large.values().all(LargeDocument::is_plausible)
            && op.record.iter().all(SnapshotRecord::is_plausible)
            && op.covered <= Some(LARGEST)
    };
    let counted = body.seq.max(body.durable) <= LARGEST;
    (counted && body.ops.iter().all(fine)).then_some(body)
}

/// Parses what tells whether the body of a header line can be parsed.
pub fn parse_version(body: &[u8]) -> Option<Version> {
    serde_json::from_slice(body).ok()
}

/// Parses the body of a header line.
pub fn parse_header(body: &[u8]) -> Option<Header> {
    let header: Header = serde_json::from_slice(body).ok()?;
    let end = header.previous.map_or(0, |previous| previous.end);
    let numbers = [header.seq, header.generation, header.removed, header.covered, end];
    let fine = numbers.into_iter().all(|number| number <= LARGEST)
        && header.catalog.iter().all(|(path, record)| is_plausible(path) && record.is_plausible());
    fine.then_some(header)
}
