//! Checksums: 64-bit XXH3 for a document or a journal line, 128-bit XXH3 for a whole file.
//!
//! They detect damage, not forgery: anyone who can write the files can write checksums too.

use std::{fmt, io};

use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

use super::fs::File;

/// Returns the hash of a document's text: of its head (the first `head` bytes) in the upper half and of the rest in the
/// lower half, so that a head read on its own can be checked too.
pub fn document_hash(text: &[u8], head: usize) -> u64 {
    let (head, rest) = text.split_at(head.min(text.len()));
    u64::from(head_hash(head)) << 32 | xxh3_64(rest) >> 32
}

/// Returns the upper half of [`document_hash`].
pub fn head_hash(head: &[u8]) -> u32 {
    (xxh3_64(head) >> 32) as u32
}

/// Computes the [`document_hash`] of a text that arrives in pieces.
#[derive(Default)]
pub struct DocumentHasher {
    head: Xxh3,
    rest: Xxh3,
}

impl DocumentHasher {
    pub fn update_head(&mut self, piece: &[u8]) {
        self.head.update(piece);
    }

    pub fn update_rest(&mut self, piece: &[u8]) {
        self.rest.update(piece);
    }

    pub fn finish(&self) -> u64 {
        self.head.digest() >> 32 << 32 | self.rest.digest() >> 32
    }
}

/// The identity of a database, drawn at random when it is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseId(pub u128);

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Makes the checksums of one generation of one database unlike all others, so that a line that strayed in from another
/// journal is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salt(u64);

impl Salt {
    pub fn new(database: DatabaseId, generation: u64) -> Salt {
        Salt(xxh3_64_with_seed(&database.0.to_le_bytes(), generation))
    }

    pub fn checksum(self, body: &[u8]) -> u64 {
        xxh3_64_with_seed(body, self.0)
    }

    /// Like [`Salt::checksum`], for a body that consists of several parts.
    pub fn checksum_of_parts(self, parts: &[&[u8]]) -> u64 {
        if let [body] = parts {
            return self.checksum(body);
        }
        let mut hasher = Xxh3::with_seed(self.0);
        parts.iter().for_each(|part| hasher.update(part));
        hasher.digest()
    }
}

/// Computes the hash of a whole file as it is written or read.
#[derive(Default)]
pub struct FileHasher(Xxh3);

impl FileHasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(&self) -> FileHash {
        FileHash(self.0.digest128())
    }
}

/// The size of the blocks in which a file is read for hashing. One block fits in the processor's cache.
const BLOCK: usize = 256 << 10;

/// Returns the hash of a file, which need not fit in memory.
pub fn hash_of_file(file: &dyn File) -> io::Result<FileHash> {
    hash_in_blocks(file, || Ok(()))
}

/// Like [`hash_of_file`], but asks before each block whether to go on.
pub fn hash_in_blocks(file: &dyn File, go_on: impl Fn() -> io::Result<()>) -> io::Result<FileHash> {
    let mut hasher = FileHasher::default();
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    loop {
        go_on()?;
        let read = file.read_at(&mut block, at)?;
        hasher.update(&block[..read]);
        at += read as u64;
        if read < block.len() {
            return Ok(hasher.finish());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileHash(pub u128);

impl FileHash {
    pub fn of(bytes: &[u8]) -> FileHash {
        FileHash(xxhash_rust::xxh3::xxh3_128(bytes))
    }

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<FileHash> {
        u128::from_str_radix(text, 16).ok().map(FileHash)
    }
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl serde::Serialize for FileHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for FileHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex(deserializer).map(FileHash)
    }
}

impl serde::Serialize for DatabaseId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for DatabaseId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex(deserializer).map(DatabaseId)
    }
}

fn hex<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    let text = <std::borrow::Cow<'_, str> as serde::Deserialize>::deserialize(deserializer)?;
    u128::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
}
