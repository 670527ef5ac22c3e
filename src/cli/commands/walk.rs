//! Which files of a directory are stored: those that git would list, except the data of the storage itself.

use std::io;
use std::path::{Path, PathBuf};

use ignore::{DirEntry, WalkBuilder};
use serde::Serialize;

use crate::display;
use crate::engine::fs::{FileKind, Fs, Metadata, OpenMode, OsFs};
use crate::failure::{Failure, Result};
use crate::own_paths::OwnPaths;

/// How many bytes are examined. As in git, a zero byte among them means that a file is not text.
const LOOKED: usize = 8000;

/// The least bytes that are read at once.
const PIECE: usize = 4096;

/// A file that is not stored, and why.
#[derive(Debug, Serialize)]
pub struct Skipped {
    pub path: String,
    pub reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    Binary,
    TooLarge,
    SymbolicLink,
    NoFile,
    /// The name is not valid Unicode.
    Name,
    Unreadable,
}

impl Reason {
    /// Returns the reason as the heading of a list.
    pub fn told(self) -> &'static str {
        match self {
            Reason::Binary => "no text",
            Reason::TooLarge => "larger than --max-size",
            Reason::SymbolicLink => "symbolic links",
            Reason::NoFile => "neither files nor directories",
            Reason::Name => "with a name that is not valid Unicode",
            Reason::Unreadable => "that cannot be read",
        }
    }
}

/// The contents of a directory.
#[derive(Default)]
pub struct Walked {
    /// Paths relative to the directory with `/` between names, and where the files are.
    pub files: Vec<(String, PathBuf)>,
    pub skipped: Vec<Skipped>,
    /// Whether part of the directory could not be read.
    pub partly: bool,
}

pub struct Rules {
    /// Whether the files excluded by .gitignore files are left out.
    pub ignoring: bool,
    pub own: OwnPaths,
}

/// Lists a directory, given by its canonical path.
///
/// # Errors
/// `IO_ERROR` if the directory itself cannot be listed.
pub fn walk(directory: &Path, rules: Rules) -> Result<Walked> {
    std::fs::read_dir(directory).map_err(|error| Failure::io("list", directory, &error))?;
    let in_repository = directory.ancestors().any(|above| above.join(".git").exists());
    let mut builder = WalkBuilder::new(directory);
    builder
        .standard_filters(false)
        .git_ignore(rules.ignoring)
        .git_exclude(rules.ignoring)
        .git_global(rules.ignoring)
        // The rules of parent directories apply only within a repository that they belong to.
        .parents(rules.ignoring && in_repository)
        .require_git(in_repository)
        .follow_links(false)
        .sort_by_file_name(Ord::cmp)
        .filter_entry(move |entry| entry.file_name() != ".git" && !rules.own.has(entry.path()));
    let mut walked = Walked::default();
    for entry in builder.build() {
        match entry {
            Ok(entry) => walked.add(directory, &entry),
            Err(error) => {
                // A line of a .gitignore that is not a valid pattern does not concern any file.
                let Some(path) = path_of(&error) else { continue };
                walked.partly = true;
                walked.skip(directory, path, Reason::Unreadable);
            }
        }
    }
    Ok(walked)
}

impl Walked {
    fn add(&mut self, directory: &Path, entry: &DirEntry) {
        let kind = entry.file_type();
        if entry.depth() == 0 || kind.is_some_and(|kind| kind.is_dir()) {
            return;
        }
        let reason = match kind {
            Some(kind) if kind.is_symlink() => Some(Reason::SymbolicLink),
            Some(kind) if !kind.is_file() => Some(Reason::NoFile),
            _ => None,
        };
        match (reason, entry.path().strip_prefix(directory).ok().and_then(with_slashes)) {
            (None, Some(path)) => self.files.push((path, entry.path().to_path_buf())),
            (reason, _) => self.skip(directory, entry.path(), reason.unwrap_or(Reason::Name)),
        }
    }

    fn skip(&mut self, directory: &Path, path: &Path, reason: Reason) {
        self.skipped.push(Skipped { path: display::below(path, directory), reason });
    }
}

/// Returns a relative path with `/` between names, if it is valid Unicode.
pub fn with_slashes(path: &Path) -> Option<String> {
    let names = path.iter().map(|name| name.to_str());
    Some(names.collect::<Option<Vec<_>>>()?.join("/"))
}

fn path_of(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, err } if err.is_io() => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path_of(err),
        _ => None,
    }
}

/// Returns the text of a file, or why the file is not stored.
pub fn read(path: &Path, max_bytes: u64) -> std::result::Result<String, Reason> {
    let found = OsFs.symlink_metadata(path).map_err(unreadable)?.ok_or(Reason::Unreadable)?;
    read_found(path, &found, max_bytes)
}

fn unreadable(_: io::Error) -> Reason {
    Reason::Unreadable
}

/// Reads the file that was found at a path, and nothing that has taken its place: neither what a symbolic link leads to, nor
/// a pipe, which might never end.
fn read_found(path: &Path, found: &Metadata, max_bytes: u64) -> std::result::Result<String, Reason> {
    if found.kind != FileKind::File {
        return Err(Reason::NoFile);
    }
    if found.len > max_bytes {
        return Err(Reason::TooLarge);
    }
    // Opening does not wait.
    let file = OsFs.open(path, OpenMode::Read).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.identity != found.identity {
        return Err(Reason::NoFile);
    }
    // A byte more, so that one read sees the end of a file that does not grow.
    let piece = usize::try_from(found.len).unwrap_or(usize::MAX).saturating_add(1).max(PIECE);
    let (mut bytes, mut read) = (Vec::new(), piece);
    while read == piece {
        let at = bytes.len();
        bytes.resize(at + piece, 0);
        read = file.read_at(&mut bytes[at..], at as u64).map_err(unreadable)?;
        bytes.truncate(at + read);
        if bytes.len() as u64 > max_bytes {
            return Err(Reason::TooLarge);
        }
    }
    if bytes.iter().take(LOOKED).any(|byte| *byte == 0) {
        return Err(Reason::Binary);
    }
    String::from_utf8(bytes).map_err(|_| Reason::Binary)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_has_taken_the_place_of_a_file_is_not_read() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let [path, other] = ["file", "other"].map(|name| directory.path().join(name));
        std::fs::write(&path, "text").expect("written");
        std::fs::write(&other, "else").expect("written");
        let found = OsFs.symlink_metadata(&path).expect("looked up").expect("there");
        assert_eq!(read_found(&path, &found, 10), Ok("text".to_owned()));
        std::fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink(&other, &path).expect("linked");
        assert_eq!(read_found(&path, &found, 10), Err(Reason::NoFile));
    }

    #[test]
    fn a_file_that_grows_is_read_to_its_end_unless_it_becomes_too_large() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("file");
        std::fs::write(&path, "").expect("written");
        let found = OsFs.symlink_metadata(&path).expect("looked up").expect("there");
        std::fs::write(&path, "12345").expect("written");
        assert_eq!(read_found(&path, &found, 5), Ok("12345".to_owned()));
        assert_eq!(read_found(&path, &found, 4), Err(Reason::TooLarge));
    }
}
