//! What a repair did, as data and as a text for people.

use std::fmt;
use std::path::PathBuf;

use crate::engine::verify::{VerifyReport, write_table};

/// The kinds of actions of a repair. The words are part of the public contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionCode {
    /// A new journal replaced all others.
    JournalsReplaced,
    /// A collection's file was written anew from what could be saved.
    SnapshotWritten,
    /// A useless file or folder was removed.
    Removed,
    /// Batches were lost.
    BatchesLost,
    /// Documents were lost.
    DocumentsLost,
}

impl ActionCode {
    pub fn as_str(self) -> &'static str {
        match self {
            ActionCode::JournalsReplaced => "JOURNALS_REPLACED",
            ActionCode::SnapshotWritten => "SNAPSHOT_WRITTEN",
            ActionCode::Removed => "REMOVED",
            ActionCode::BatchesLost => "BATCHES_LOST",
            ActionCode::DocumentsLost => "DOCUMENTS_LOST",
        }
    }
}

/// One thing that a repair did, or could not save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    pub code: ActionCode,
    /// Relative to the database's directory.
    pub path: String,
    pub message: String,
}

impl Action {
    pub fn new(code: ActionCode, path: impl Into<String>, message: impl Into<String>) -> Action {
        Action { code, path: path.into(), message: message.into() }
    }
}

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairReport {
    pub directory: PathBuf,
    /// The folder with the originals of everything that was changed; `None` if nothing was.
    pub copies: Option<PathBuf>,
    pub actions: Vec<Action>,
    pub before: VerifyReport,
    pub after: VerifyReport,
}

impl RepairReport {
    /// Returns whether the database is sound now.
    pub fn is_ok(&self) -> bool {
        self.after.is_ok()
    }
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.directory.display();
        match &self.copies {
            None => writeln!(f, "{directory}: nothing to repair")?,
            Some(copies) => writeln!(f, "{directory}: repaired; the originals are in {}", copies.display())?,
        }
        let rows = self
            .actions
            .iter()
            .map(|action| [action.code.as_str().to_owned(), action.path.clone(), action.message.clone()]);
        write_table(f, rows.collect(), &[false; 3])?;
        writeln!(f, "\nbefore:\n{}\nafter:\n{}", self.before, self.after)
    }
}
