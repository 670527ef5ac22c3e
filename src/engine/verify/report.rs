//! What verifying found, as data and as a text for people.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::engine::error::Error;

/// How much a problem matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Something is not as it was written, and what is served may not be what was stored.
    Warning,
    /// Acknowledged data is damaged or missing.
    Error,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// The kinds of problems. The words are part of the public contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemCode {
    JournalDamaged,
    JournalMissing,
    TipDamaged,
    Poisoned,
    TornTail,
    UnsupportedFormat,
    SnapshotMissing,
    SnapshotEmpty,
    SnapshotChanged,
    SnapshotDamaged,
    DocumentDamaged,
    IdMismatch,
    CountMismatch,
    IndexMismatch,
    UniqueViolation,
    RecordDamaged,
    Unreadable,
    NotAdopted,
    SetAside,
    CutBytes,
    Leftover,
    UnknownFile,
}

impl ProblemCode {
    pub fn as_str(self) -> &'static str {
        match self {
            ProblemCode::JournalDamaged => "JOURNAL_DAMAGED",
            ProblemCode::JournalMissing => "JOURNAL_MISSING",
            ProblemCode::TipDamaged => "TIP_DAMAGED",
            ProblemCode::Poisoned => "POISONED",
            ProblemCode::TornTail => "TORN_TAIL",
            ProblemCode::UnsupportedFormat => "UNSUPPORTED_FORMAT",
            ProblemCode::SnapshotMissing => "SNAPSHOT_MISSING",
            ProblemCode::SnapshotEmpty => "SNAPSHOT_EMPTY",
            ProblemCode::SnapshotChanged => "SNAPSHOT_CHANGED",
            ProblemCode::SnapshotDamaged => "SNAPSHOT_DAMAGED",
            ProblemCode::DocumentDamaged => "DOCUMENT_DAMAGED",
            ProblemCode::IdMismatch => "ID_MISMATCH",
            ProblemCode::CountMismatch => "COUNT_MISMATCH",
            ProblemCode::IndexMismatch => "INDEX_MISMATCH",
            ProblemCode::UniqueViolation => "UNIQUE_VIOLATION",
            ProblemCode::RecordDamaged => "RECORD_DAMAGED",
            ProblemCode::Unreadable => "UNREADABLE",
            ProblemCode::NotAdopted => "NOT_ADOPTED",
            ProblemCode::SetAside => "SET_ASIDE",
            ProblemCode::CutBytes => "CUT_BYTES",
            ProblemCode::Leftover => "LEFTOVER",
            ProblemCode::UnknownFile => "UNKNOWN_FILE",
        }
    }

    pub fn severity(self) -> Severity {
        match self {
            ProblemCode::JournalDamaged
            | ProblemCode::JournalMissing
            | ProblemCode::TipDamaged
            | ProblemCode::UnsupportedFormat
            | ProblemCode::SnapshotMissing
            | ProblemCode::SnapshotEmpty
            | ProblemCode::SnapshotDamaged
            | ProblemCode::DocumentDamaged
            | ProblemCode::CountMismatch
            | ProblemCode::IndexMismatch
            | ProblemCode::RecordDamaged
            | ProblemCode::Unreadable => Severity::Error,
            ProblemCode::Poisoned
            | ProblemCode::SnapshotChanged
            | ProblemCode::IdMismatch
            | ProblemCode::UniqueViolation => Severity::Warning,
            ProblemCode::TornTail
            | ProblemCode::NotAdopted
            | ProblemCode::SetAside
            | ProblemCode::CutBytes
            | ProblemCode::Leftover
            | ProblemCode::UnknownFile => Severity::Note,
        }
    }
}

/// One thing that verifying found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub code: ProblemCode,
    /// The file, relative to the database's directory with `/` between names.
    pub path: String,
    /// The byte at which the problem begins, if that is known.
    pub offset: Option<u64>,
    /// The document concerned, if there is one.
    pub id: Option<String>,
    /// What is wrong and, behind a semicolon, what to do or what it means.
    pub message: String,
}

impl Problem {
    /// Returns what is wrong, without what to do.
    pub fn fact(&self) -> &str {
        self.message.split(';').next().unwrap_or_default()
    }

    pub fn new(code: ProblemCode, path: impl Into<String>, message: impl Into<String>) -> Problem {
        let (path, message) = (path.into(), message.into());
        Problem { severity: code.severity(), code, path, offset: None, id: None, message }
    }

    pub fn at(self, offset: u64) -> Problem {
        Problem { offset: Some(offset), ..self }
    }

    pub fn of(self, id: impl fmt::Display) -> Problem {
        Problem { id: Some(id.to_string()), ..self }
    }

    pub fn with_severity(self, severity: Severity) -> Problem {
        Problem { severity, ..self }
    }

    /// Returns the problem that an error of the engine describes; `None` for errors that say nothing about the data.
    pub fn from_error(error: &Error, path: &str) -> Option<Problem> {
        match error {
            Error::Corrupt { offset, problem, .. } => {
                Some(Problem::new(ProblemCode::JournalDamaged, path, problem.as_str()).at(*offset))
            }
            Error::UnsupportedFormat { .. } => {
                Some(Problem::new(ProblemCode::UnsupportedFormat, path, error.to_string()))
            }
            // Something that is not a file, or a symlink, is in the place of one of the engine's own files.
            Error::Io { kind: io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory, .. } => {
                let problem = Problem::new(ProblemCode::UnknownFile, path, error.to_string());
                Some(problem.with_severity(Severity::Error))
            }
            _ => None,
        }
    }

    /// Returns the problem of a collection's file that cannot be read; `None` for errors that say nothing about the file.
    pub fn unreadable(path: &str, error: &Error) -> Option<Problem> {
        if !matches!(error, Error::Io { .. }) || error.is_shortage() {
            return None;
        }
        let message = format!(
            "{error}; check its permissions and the disk. If it is lost, move it elsewhere, then restore it from a backup, or repair to keep what the journals have of it"
        );
        Some(Problem::new(ProblemCode::Unreadable, path, message))
    }

    /// Returns the problem of a file beside the databases that cannot be read or understood; `None` for errors that say
    /// nothing about the file.
    pub fn of_record(path: impl Into<String>, error: &Error) -> Option<Problem> {
        let message = match error {
            Error::Corrupt { .. } => error.to_string(),
            Error::Io { .. } if !error.is_shortage() => {
                format!("{error}; make it readable, or restore it from a backup")
            }
            _ => return None,
        };
        Some(Problem::new(ProblemCode::RecordDamaged, path, message))
    }
}

/// One collection and how much is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionReport {
    /// Its file, relative to the database's directory.
    pub path: String,
    pub documents: u64,
    /// Size of its file.
    pub bytes: u64,
}

/// What verifying found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    pub directory: PathBuf,
    /// Ordered by path.
    pub collections: Vec<CollectionReport>,
    /// The worst first.
    pub problems: Vec<Problem>,
}

impl VerifyReport {
    /// Returns whether nothing but notes was found.
    pub fn is_ok(&self) -> bool {
        self.problems.iter().all(|problem| problem.severity == Severity::Note)
    }

    pub fn documents(&self) -> u64 {
        self.collections.iter().map(|collection| collection.documents).sum()
    }
}

/// The number of problems that are shown. The rest are only counted.
const SHOWN: usize = 200;

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_ok() { "ok" } else { "NOT OK" };
        writeln!(f, "{}: {verdict}", self.directory.display())?;
        let rows = self.collections.iter().map(|collection| {
            [collection.path.clone(), collection.documents.to_string(), collection.bytes.to_string()]
        });
        let heads = ["collection", "documents", "bytes"].map(String::from);
        write_table(f, std::iter::once(heads).chain(rows).collect(), &[false, true, true])?;
        let (collections, documents) = (self.collections.len(), self.documents());
        writeln!(f, "  {} in {}", count(documents, "document"), count(collections as u64, "collection"))?;
        let rows: Vec<[String; 4]> = self
            .problems
            .iter()
            .take(SHOWN)
            .map(|problem| {
                let offset = problem.offset.map(|offset| format!(":{offset}")).unwrap_or_default();
                let id = problem.id.as_ref().map(|id| format!(" document {id}")).unwrap_or_default();
                [
                    problem.severity.as_str().to_owned(),
                    problem.code.as_str().to_owned(),
                    format!("{}{offset}{id}", problem.path),
                    problem.message.clone(),
                ]
            })
            .collect();
        if !rows.is_empty() {
            writeln!(f)?;
        }
        write_table(f, rows, &[false; 4])?;
        match self.problems.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "  and {more} more"),
        }
    }
}

pub fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Writes rows with aligned cells, indented by two spaces. The last column is not padded.
pub fn write_table<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    rows: Vec<[String; N]>,
    right: &[bool; N],
) -> fmt::Result {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let fill = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            line.push_str("  ");
            line.push_str(&if right[column] { fill + cell } else { cell.clone() + &fill });
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_aligned_and_leads_with_the_verdict() {
        let collection =
            |path: &str, documents, bytes| CollectionReport { path: path.into(), documents, bytes };
        let report = VerifyReport {
            directory: "/base/db".into(),
            collections: vec![collection("items.json", 1200, 83_000), collection("a/b.json", 7, 12)],
            problems: vec![
                Problem::new(ProblemCode::SnapshotMissing, "a/b.json", "the file is missing"),
                Problem::new(ProblemCode::TornTail, ".storage/journal", "2 bytes").at(7).of("x"),
            ],
        };
        let expected = "\
/base/db: NOT OK
  collection  documents  bytes
  items.json       1200  83000
  a/b.json            7     12
  1207 documents in 2 collections

  error  SNAPSHOT_MISSING  a/b.json                       the file is missing
  note   TORN_TAIL         .storage/journal:7 document x  2 bytes
";
        assert_eq!(report.to_string(), expected);
    }
}
