//! The journal: what was committed since the snapshots, one line of JSON per batch.

mod encode;
mod entry;
mod reader;
mod tip;

pub use encode::{
    LineBuffer, encode_batch, encode_covered_journal, encode_line, push_documents, push_snapshot_op,
};
pub use entry::{
    BODY_START, Body, Checksum, CollectionRecord, FIRST_WITH_LARGE_DOCUMENTS, FORMAT, Header, LargeDocument,
    Layout, Op, Previous, SnapshotRecord, parse_batch, parse_header, parse_version, verify_line,
};
pub use reader::{BLANK, Line, Lines, Tail, behind_first_line, classify_tail, without_room};
pub use tip::{ACKNOWLEDGED_AT, ANNOUNCED_AT, NO_SLOT, Tip, TipSlot};

use std::path::{Path, PathBuf};

/// The reserved folder of a database: everything in it belongs to the engine.
pub const RESERVED: &str = ".storage";

/// Returns whether a journal may name this path: it must lie below the database's directory or, after any number of leading
/// `../`, beside it, be in normal form, and have no component that is the reserved folder.
pub fn is_plausible(path: &str) -> bool {
    let mut below = path;
    while let Some(rest) = below.strip_prefix("../") {
        below = rest;
    }
    let fine = |name: &str| {
        !matches!(name, "" | "." | "..")
            && !name.contains(['\\', '\0', ':'])
            && !name.eq_ignore_ascii_case(RESERVED)
    };
    below.split('/').all(fine)
}

/// The highest generation: file names have room for twelve digits.
pub const LAST_GENERATION: u64 = 999_999_999_999;

/// The name of a generation's journal in the reserved folder.
pub fn journal_name(generation: u64) -> String {
    format!("journal-{generation:012}.jsonl")
}

pub fn journal_path(directory: &Path, generation: u64) -> PathBuf {
    directory.join(RESERVED).join(journal_name(generation))
}

/// Returns the generation of the journal with this file name, or `None` if no journal has such a name.
pub fn journal_generation(name: &str) -> Option<u64> {
    generation(name.strip_prefix("journal-")?.strip_suffix(".jsonl")?)
}

/// The prefix of the names of document files.
pub const DOCUMENT: &str = "document-";

/// The name of a document file that a line of this generation refers to.
pub fn document_name(generation: u64, random: u64) -> String {
    format!("{DOCUMENT}{generation:012}-{random:016x}")
}

/// Returns the generation whose lines refer to the document file with this name, or `None` if no document file has such a
/// name.
pub fn document_generation(name: &str) -> Option<u64> {
    let (digits, random) = name.strip_prefix(DOCUMENT)?.split_once('-')?;
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (random.len() == 16 && random.bytes().all(hexadecimal)).then(|| generation(digits)).flatten()
}

fn generation(digits: &str) -> Option<u64> {
    if digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}
