//! The journal: what was committed since the snapshots, one line of JSON per batch.

mod entry;
mod reader;
mod tip;

pub use entry::{
    BODY_START, Body, Checksum, CollectionRecord, FORMAT, Header, Layout, Op, Previous, SnapshotRecord,
    encode_batch, encode_line, parse_batch, parse_header, push_documents, push_snapshot_op, verify_line,
};
pub use reader::{Line, Lines, Tail, classify_tail};
pub use tip::{Tip, TipSlot};

use std::path::{Path, PathBuf};

/// The reserved folder of a database: everything in it belongs to the engine.
pub const RESERVED: &str = ".storage";

/// Whether a path, `/` between its names, lies below the database's directory and not in the reserved folder.
pub fn is_inside(path: &str) -> bool {
    names_are_fine(path) && path.split('/').next() != Some(RESERVED)
}

/// Whether a path may be that of a collection: below the database's directory, or beside it after any number of `../`.
pub fn names_collection(path: &str) -> bool {
    let mut below = path;
    while let Some(rest) = below.strip_prefix("../") {
        below = rest;
    }
    names_are_fine(below) && path.split('/').all(|name| name != RESERVED)
}

fn names_are_fine(path: &str) -> bool {
    let fine = |name: &str| !matches!(name, "" | "." | "..") && !name.contains(['\\', '\0', ':']);
    path.split('/').all(fine)
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
