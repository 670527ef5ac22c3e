//! The journal: what was committed since the snapshots, one line of JSON per batch.

mod entry;
mod reader;
mod tip;

pub use entry::{
    BODY_START, Body, Checksum, CollectionRecord, FORMAT, Header, Layout, Op, Previous, SnapshotRecord,
    encode_batch, encode_line, parse_batch, parse_header, push_documents, push_snapshot_op, verify_line,
};
pub use reader::{BLANK, Line, Lines, Tail, classify_tail, without_room};
pub use tip::{ACKNOWLEDGED_AT, Tip, TipSlot};

use std::path::{Path, PathBuf};

/// The reserved folder of a database: everything in it belongs to the engine.
pub const RESERVED: &str = ".storage";

/// Whether a path may stand in a journal: below the database's directory or, after any number of `../`, beside it; in its
/// one form, and never in a reserved folder.
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

pub fn journal_path(directory: &Path, generation: u64) -> PathBuf {
    directory.join(RESERVED).join(format!("journal-{generation:012}.jsonl"))
}

/// The generation that a file name in the reserved folder stands for.
pub fn journal_generation(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("journal-")?.strip_suffix(".jsonl")?;
    if digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}
