//! Rebuilding a record that can no longer be read, partly from its own text and partly from the databases themselves.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{BasePath, DATA, RECORD, RECORD_LOCK, Record};
use crate::engine::backup::BACKUPS;
use crate::engine::error::{IoContext, Result};
use crate::engine::fs::FileKind;
use crate::engine::journal::RESERVED;
use crate::engine::json::{self, Scanner};
use crate::engine::normal_path::is_plain_path;

impl BasePath {
    /// Returns what is certain of the record: the databases under the base path that belong to no other base path, the
    /// databases that the damaged text names, and those of its claims whose files exist.
    pub(super) fn rebuilt(&self, damaged: &[u8]) -> Result<Record> {
        let mut record = Record { databases: self.outside_data(), ..Record::default() };
        let strings = strings(damaged);
        for (at, (name, _)) in strings.iter().enumerate() {
            if !is_plain_path(name) {
                continue;
            }
            if !self.is_searched(name)? && self.is_database(&self.absolute(name))? {
                record.databases.insert(name.clone());
            }
            // Only a claim has a string as its value.
            let Some((owner, true)) = strings.get(at + 1) else { continue };
            let file = self.absolute(name);
            let exists = self.fs.metadata(&file).at("look up", &file)?;
            if exists.is_some_and(|found| found.kind == FileKind::File)
                && is_plain_path(owner)
                && self.is_database(&self.absolute(owner))?
            {
                record.claims.insert(name.clone(), owner.clone());
            }
        }
        Ok(record)
    }

    /// Returns the databases under the base path but not under its `data`. Skips directories that cannot be read: their
    /// databases can be recorded when they are opened.
    fn outside_data(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.path.clone()];
        while let Some(directory) = open.pop() {
            for name in self.fs.list_dir(&directory).unwrap_or_default() {
                if name == RESERVED {
                    found.extend(self.relative(&directory));
                }
                // A folder `data` anywhere else belongs to another base path.
                let own = directory == self.path && name == BACKUPS;
                if own || name == DATA || name.starts_with('.') {
                    continue;
                }
                let path = directory.join(&name);
                if self.is_directory(&path) && !self.is_base_path(&path) {
                    open.push(path);
                }
            }
        }
        found
    }

    fn is_directory(&self, path: &Path) -> bool {
        let found = self.fs.symlink_metadata(path).ok().flatten();
        found.is_some_and(|found| found.kind == FileKind::Directory)
    }

    /// Returns whether a directory below this base path is itself a base path with databases of its own.
    fn is_base_path(&self, directory: &Path) -> bool {
        let exists = |path: PathBuf| self.fs.symlink_metadata(&path).ok().flatten().is_some();
        [RECORD, RECORD_LOCK].into_iter().any(|name| exists(directory.join(DATA).join(name)))
    }
}

/// Returns the complete strings in a text that may be invalid JSON, and for each whether it is the value of the one before.
fn strings(text: &[u8]) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let (mut at, mut value) = (0, false);
    while let Some(length) = memchr::memchr(b'"', &text[at..]) {
        let Ok(string) = Scanner::at(text, at + length).string() else {
            (at, value) = (at + length + 1, false);
            continue;
        };
        at = string.end;
        if let Ok(raw) = std::str::from_utf8(&text[string]) {
            found.push((json::unescape_lossy(raw.as_bytes()).into_owned(), value));
        }
        let mut scanner = Scanner::at(text, at);
        value = !value && scanner.accept(b':') && scanner.peek() == Some(b'"');
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::engine::fs::OsFs;
    use crate::engine::lock::Wait;

    fn base(databases: &[&str], record: &str) -> (tempfile::TempDir, BasePath) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in databases {
            std::fs::create_dir_all(directory.path().join(name).join(RESERVED)).expect("a folder");
        }
        std::fs::create_dir_all(directory.path().join(DATA)).expect("a folder");
        std::fs::write(directory.path().join("data/.databases.json"), record).expect("written");
        let base = BasePath::new(Arc::new(OsFs), directory.path());
        (directory, base)
    }

    fn repaired(directory: &tempfile::TempDir, base: &BasePath) -> Vec<String> {
        let wait = Wait::at_most(Duration::from_secs(5));
        base.repair_record(&directory.path().join("data/a"), wait).expect("repaired");
        let found = base.databases().expect("sound");
        found.iter().filter_map(|found| base.relative(found)).collect()
    }

    #[test]
    fn a_repaired_record_lists_databases_outside_data() {
        let (directory, base) = base(&["data/a", "own", "deep/own", "own/below", ".hidden/x"], "");
        assert_eq!(repaired(&directory, &base), ["data/a", "deep/own", "own", "own/below"]);
    }

    #[test]
    fn a_repaired_record_keeps_databases_of_another_base_path_only_if_it_named_them() {
        let others = ["data/a", "app/data/x", "other/own", "backups/b", "named/data/x"];
        let (directory, base) = base(&others, r#"{"databases":["named/data/x","gone","../out"],"#);
        std::fs::create_dir_all(directory.path().join("other/data")).expect("a folder");
        std::fs::write(directory.path().join("other/data/.databases.json"), "{}").expect("written");
        assert_eq!(repaired(&directory, &base), ["data/a", "named/data/x"]);
    }

    #[test]
    fn a_repaired_record_keeps_the_readable_claims_of_existing_files() {
        let record =
            r#"{"databases":["own"],"claims":{"f.json":"own","gone.json":"own","g.json":"none","h.json":"ow"#;
        let (directory, base) = base(&["data/a", "own"], record);
        for name in ["f.json", "g.json", "h.json"] {
            std::fs::write(directory.path().join(name), "{}").expect("written");
        }
        assert_eq!(repaired(&directory, &base), ["data/a", "own"]);
        let claims = [("f.json", "own")]
            .map(|(file, owner)| (directory.path().join(file), directory.path().join(owner)));
        assert_eq!(base.claims().expect("read"), claims);
    }
}
