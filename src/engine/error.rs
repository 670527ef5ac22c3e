//! What can go wrong, as one enum with a stable code for each kind.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

/// The error numbers for too many open files, of the system or of the process.
#[cfg(unix)]
pub const TOO_MANY_OPEN_FILES: &[i32] = &[23, 24];
#[cfg(windows)]
pub const TOO_MANY_OPEN_FILES: &[i32] = &[4];

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whether a failed write may have changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing changed: the call may be repeated.
    None,
    /// A sync failed: whether the write is on disk is known only after reopening.
    Unknown,
}

/// One field of a document that broke a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Where in the document: object keys and array positions, outermost first.
    pub path: Vec<PathSegment>,
    /// A sentence for the person who sent the document.
    pub message: String,
    /// A stable word for the kind of issue, e.g. `invalid_type`.
    pub code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathSegment {
    Key(String),
    Position(usize),
}

/// Every error of the engine. `code()` is part of the public contract; the sentences are not.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("{}", describe_issues(what, issues))]
    Validation { what: String, issues: Vec<Issue> },
    #[error("{what} {} not found", shown(id))]
    NotFound { what: &'static str, id: String },
    #[error("{what} {} already exists", shown(id))]
    AlreadyExists { what: &'static str, id: String },
    #[error(
        "Unique constraint violation in index {index}: {} already belongs to {}",
        shown(key),
        shown(owner)
    )]
    UniqueViolation { index: String, key: String, owner: String },
    #[error("{0}")]
    IndexType(String),
    #[error("{} was not free within {waited_ms} ms: {}", path.display(), held_by(holder))]
    LockTimeout { path: PathBuf, waited_ms: u64, holder: Option<Holder> },
    #[error("{} is damaged at byte {offset}: {problem}", path.display())]
    Corrupt { path: PathBuf, offset: u64, problem: String },
    #[error("{operation} {} failed: {message}", path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        kind: io::ErrorKind,
        /// The error number of the operating system, if there is one.
        os_error: Option<i32>,
        message: String,
        outcome: Option<Outcome>,
    },
    #[error("this storage is closed; open a new instance to continue")]
    Closed,
    #[error("{0}")]
    InvalidArgument(String),
    /// A file that another program wrote, and whose records the caller has not judged yet. Callers of the package never see
    /// this.
    #[error("{} was written by another program and not adopted yet", path.display())]
    Unadopted { path: PathBuf },
    #[error("{0}; read the document again and repeat the change")]
    Conflict(String),
    #[error("{} was written in format {found}; this version reads up to format {known}: update the package", path.display())]
    UnsupportedFormat { path: PathBuf, found: u32, known: u32 },
    #[error(
        "{} is on a network file system ({file_system}), where locks are unreliable, and {holder} has it open: use it from one process, or delete {} if that is no longer true",
        path.display(),
        mark.display()
    )]
    UnsupportedFilesystem { path: PathBuf, file_system: &'static str, holder: String, mark: PathBuf },
    #[error(
        "an earlier sync of {} failed, so no more is written until every process has closed it and it is opened again",
        path.display()
    )]
    Poisoned { path: PathBuf },
    #[error(
        "the files of {} were removed or replaced while it was open, so nothing is written or read any more: close every storage on it and open it again",
        path.display()
    )]
    Replaced { path: PathBuf },
    #[error("migration {0} is already registered; give each migration a version of its own")]
    AlreadyRegistered(String),
    #[error("{} {} already exists; choose another name", what, path.display())]
    PathExists { what: &'static str, path: PathBuf },
    #[error("{} is in use and was not released within {waited_ms} ms: {}", path.display(), used_by(holders))]
    InUse { path: PathBuf, waited_ms: u64, holders: Vec<Holder> },
    #[error("{0}")]
    MigrationFailed(String),
    /// A migration failed, and the data was not put back to what it was before it.
    #[error("{0}")]
    NotPutBack(String),
    #[error("{0} is longer than a string can be; divide it, or read and write contents as streams")]
    TooLarge(String),
    #[error("{0} was aborted; nothing was changed")]
    Aborted(&'static str),
}

/// The process that holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    /// How long the process has held the lock, if known.
    pub held_ms: Option<u64>,
    /// Whether the process is known to be stopped, so that it releases nothing until somebody continues it.
    pub stopped: bool,
}

impl Holder {
    /// Returns this process, as the holder of a lock for which another thread of it waited.
    pub fn this_process() -> Holder {
        Holder { pid: process::id(), held_ms: None, stopped: false }
    }
}

impl Error {
    /// Returns the stable code that callers compare with.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Validation { .. } => "VALIDATION_ERROR",
            Error::NotFound { .. } => "NOT_FOUND",
            Error::AlreadyExists { .. } | Error::AlreadyRegistered(_) | Error::PathExists { .. } => {
                "ALREADY_EXISTS"
            }
            Error::UniqueViolation { .. } => "UNIQUE_VIOLATION",
            Error::IndexType(_) => "INDEX_TYPE",
            Error::LockTimeout { .. } | Error::InUse { .. } => "LOCK_TIMEOUT",
            Error::Corrupt { .. } => "CORRUPT_DATA",
            Error::Io { .. } | Error::Poisoned { .. } | Error::Replaced { .. } => "IO_ERROR",
            Error::Closed => "CLOSED",
            Error::InvalidArgument(_) => "INVALID_ARGUMENT",
            Error::Unadopted { .. } => "UNADOPTED",
            Error::Conflict(_) => "CONFLICT",
            Error::UnsupportedFormat { .. } => "UNSUPPORTED_FORMAT",
            Error::MigrationFailed(_) | Error::NotPutBack(_) => "MIGRATION_FAILED",
            Error::TooLarge(_) => "TOO_LARGE",
            Error::Aborted(_) => "ABORTED",
            Error::UnsupportedFilesystem { .. } => "UNSUPPORTED_FILESYSTEM",
        }
    }

    /// Returns the processes that the failed call waited for, if it waited and they are known.
    pub fn holders(&self) -> &[Holder] {
        match self {
            Error::LockTimeout { holder, .. } => holder.as_slice(),
            Error::InUse { holders, .. } => holders,
            _ => &[],
        }
    }

    /// Returns what a failed write left behind: [`Outcome::None`] unless a sync failed during it, or its changes could not
    /// be undone.
    pub fn outcome(&self) -> Outcome {
        match self {
            Error::Io { outcome: Some(outcome), .. } => *outcome,
            Error::NotPutBack(_) => Outcome::Unknown,
            _ => Outcome::None,
        }
    }

    pub fn io(operation: &'static str, path: &Path, error: &io::Error) -> Error {
        Error::Io {
            operation,
            path: path.to_path_buf(),
            kind: error.kind(),
            os_error: error.raw_os_error(),
            message: error.to_string(),
            outcome: None,
        }
    }

    /// Returns whether the process or the system is short of memory or open files, which says nothing about the file.
    pub fn is_shortage(&self) -> bool {
        match self {
            Error::Io { kind: io::ErrorKind::OutOfMemory, .. } => true,
            Error::Io { os_error: Some(code), .. } => TOO_MANY_OPEN_FILES.contains(code),
            _ => false,
        }
    }

    /// Returns the error for a write to data that an interrupted migration or restore left half changed.
    pub fn interrupted(path: &Path) -> Error {
        Error::MigrationFailed(format!(
            "a migration or restore of {} was interrupted; close every process that uses it: the next process that opens it recovers the data",
            path.display()
        ))
    }

    /// Returns the same error, marked as that of a write whose sync failed.
    pub fn with_unknown_outcome(self) -> Error {
        match self {
            Error::Io { operation, path, kind, os_error, message, .. } => {
                Error::Io { operation, path, kind, os_error, message, outcome: Some(Outcome::Unknown) }
            }
            other => other,
        }
    }

    pub fn corrupt(path: &Path, offset: u64, problem: impl Into<String>) -> Error {
        Error::Corrupt { path: path.to_path_buf(), offset, problem: problem.into() }
    }
}

/// Turns the issues of one part into issues of the whole, with `segment` before their paths.
pub fn below(segment: PathSegment, mut issues: Vec<Issue>) -> Vec<Issue> {
    issues.iter_mut().for_each(|issue| issue.path.insert(0, segment.clone()));
    issues
}

/// Returns a key or an id as a message shows it: the beginning of a long one, because a message must fit in a string with it.
fn shown(text: &str) -> Cow<'_, str> {
    const MOST: usize = 200;
    if text.len() <= MOST {
        return text.into();
    }
    format!("{}…", &text[..text.floor_char_boundary(MOST)]).into()
}

/// Names the processes that hold a lock: `another process`, `process 7 (stopped)`, `processes 7, 8`.
pub fn named(holders: &[Holder]) -> String {
    let name = |holder: &Holder| format!("{}{}", holder.pid, if holder.stopped { " (stopped)" } else { "" });
    match holders {
        [] => "another process".to_owned(),
        [one] => format!("process {}", name(one)),
        many => format!("processes {}", many.iter().map(name).collect::<Vec<_>>().join(", ")),
    }
}

/// Says who holds a lock and what to do about it.
fn held_by(holder: &Option<Holder>) -> String {
    let holds = match holder {
        Some(Holder { held_ms: Some(ms), .. }) => format!("has held it for {ms} ms"),
        _ => "holds it".to_owned(),
    };
    match holder {
        Some(Holder { pid, stopped: true, .. }) => {
            format!("process {pid}, which is stopped, {holds}; continue it (kill -CONT {pid}) or end it")
        }
        _ => format!("{} {holds}; try again, or raise lockTimeout", named(holder.as_slice())),
    }
}

/// Says who has a database open and what to do about it.
fn used_by(holders: &[Holder]) -> String {
    let users = named(holders) + if holders.len() > 1 { " have it open" } else { " has it open" };
    match holders.iter().find(|holder| holder.stopped) {
        Some(Holder { pid, .. }) => {
            format!("{users}; continue process {pid} (kill -CONT {pid}) or end it, and try again")
        }
        None => format!("{users}; close it and try again"),
    }
}

fn describe_issues(what: &str, issues: &[Issue]) -> String {
    let mut text = format!("invalid {what}");
    for (position, issue) in issues.iter().enumerate() {
        text.push_str(if position == 0 { ": " } else { "; " });
        for (depth, segment) in issue.path.iter().enumerate() {
            match segment {
                PathSegment::Key(key) if depth == 0 => text.push_str(key),
                PathSegment::Key(key) => text.extend([".", key]),
                PathSegment::Position(at) => text.push_str(&format!("[{at}]")),
            }
        }
        if !issue.path.is_empty() {
            text.push(' ');
        }
        text.push_str(&issue.message);
    }
    text
}

/// Turns an `io::Result` into ours, naming the operation and the path.
pub trait IoContext<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T> {
        self.map_err(|error| Error::io(operation, path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pid: u32, held_ms: Option<u64>, stopped: bool) -> Holder {
        Holder { pid, held_ms, stopped }
    }

    #[test]
    fn a_message_shows_the_beginning_of_a_long_key_or_id() {
        let long = || "é".repeat(1_000_000);
        for (error, expected) in [
            (
                Error::UniqueViolation { index: "i".into(), key: long(), owner: "7".into() },
                format!("Unique constraint violation in index i: {}… already belongs to 7", "é".repeat(100)),
            ),
            (
                Error::AlreadyExists { what: "document", id: long() },
                format!("document {}… already exists", "é".repeat(100)),
            ),
            (Error::NotFound { what: "file", id: long() }, format!("file {}… not found", "é".repeat(100))),
        ] {
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_lock_timeout_says_who_holds_the_lock_and_what_to_do() {
        for (holder, expected) in [
            (None, "another process holds it; try again, or raise lockTimeout"),
            (Some(holder(7, None, false)), "process 7 holds it; try again, or raise lockTimeout"),
            (
                Some(holder(7, Some(9), false)),
                "process 7 has held it for 9 ms; try again, or raise lockTimeout",
            ),
            (
                Some(holder(7, None, true)),
                "process 7, which is stopped, holds it; continue it (kill -CONT 7) or end it",
            ),
            (
                Some(holder(7, Some(9), true)),
                "process 7, which is stopped, has held it for 9 ms; continue it (kill -CONT 7) or end it",
            ),
        ] {
            let error = Error::LockTimeout { path: "a.lock".into(), waited_ms: 5, holder };
            assert_eq!(error.to_string(), format!("a.lock was not free within 5 ms: {expected}"));
        }
    }

    #[test]
    fn data_in_use_is_reported_with_its_users_and_what_to_do() {
        for (holders, expected) in [
            (vec![], "another process has it open; close it and try again"),
            (vec![holder(7, None, false)], "process 7 has it open; close it and try again"),
            (
                vec![holder(7, None, true)],
                "process 7 (stopped) has it open; continue process 7 (kill -CONT 7) or end it, and try again",
            ),
            (
                vec![holder(7, None, false), holder(8, None, true)],
                "processes 7, 8 (stopped) have it open; continue process 8 (kill -CONT 8) or end it, and try again",
            ),
        ] {
            let error = Error::InUse { path: "a".into(), waited_ms: 5, holders };
            let text = format!("a is in use and was not released within 5 ms: {expected}");
            assert_eq!(error.to_string(), text);
        }
    }
}
