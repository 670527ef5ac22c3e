//! Stray files: set aside, cut, left over, or unknown.

use std::collections::HashSet;

use super::cut::Cut;
use super::report::{Problem, ProblemCode};
use crate::engine::database::{SPOOL, is_of_this_process};
use crate::engine::journal::{RESERVED, document_generation, journal_generation};
use crate::engine::lock_files::LOCK_FILES;

/// The beginning of the names of the folders into which a repair copies the originals.
pub const BEFORE_REPAIR: &str = "before-repair-";

/// Reports what in the reserved folder is not part of the database. `named` are the files of documents to which journals
/// refer.
pub fn strays(cut: &Cut, named: &HashSet<String>) -> impl Iterator<Item = Problem> {
    cut.names.iter().filter_map(|name| {
        let path = format!("{RESERVED}/{name}");
        let note = |code, message: &str| Some(Problem::new(code, path.as_str(), message));
        match name.as_str() {
            "tip" | "locks" | "owner" => None,
            name if LOCK_FILES.contains(&name) => None,
            name if journal_generation(name).is_some() || is_index_checkpoint(name) => None,
            name if name.starts_with(BEFORE_REPAIR) => note(
                ProblemCode::SetAside,
                "the originals of what a repair changed; delete it when you no longer need them",
            ),
            name if name.starts_with("cut-") => {
                note(ProblemCode::CutBytes, "bytes that were cut from a journal; you may delete it")
            }
            // A batch that refers to it may be under way.
            name if document_generation(name).is_some() && (!cut.alone || named.contains(name)) => None,
            name if document_generation(name).is_some() => note(
                ProblemCode::Leftover,
                "a document of a batch that was never written; the next process that opens the database alone removes it",
            ),
            // A process that is receiving a content has it open.
            name if name.starts_with(SPOOL) && (!cut.alone || is_of_this_process(name)) => None,
            name if name.starts_with(SPOOL) => note(
                ProblemCode::Leftover,
                "a content that was never completed; the next process that opens the database alone removes it",
            ),
            // Another process may be writing it now.
            name if name.starts_with("new-") && !cut.alone => None,
            name if name.starts_with("new-") => note(
                ProblemCode::Leftover,
                "an interrupted checkpoint left it; the next checkpoint removes it",
            ),
            _ => note(ProblemCode::UnknownFile, "it does not belong to this package; move it elsewhere"),
        }
    })
}

/// Index checkpoints are derived data, and are never believed unchecked.
pub fn is_index_checkpoint(name: &str) -> bool {
    name.starts_with("index-")
}

/// Reports a copy that was set aside: `<file>.corrupt-<time>` or `<file>.edited-<time>`.
pub fn is_set_aside(path: &str) -> Option<Problem> {
    let words = [
        (".corrupt-", "a file that was not adopted in full; take what you need from it and delete it"),
        (".edited-", "an edit that lost to newer documents; take what you need from it and delete it"),
    ];
    words.into_iter().find_map(|(word, message)| {
        let (file, time) = path.rsplit_once(word)?;
        let is_time = !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit());
        (is_time && !file.is_empty()).then(|| Problem::new(ProblemCode::SetAside, path, message))
    })
}
