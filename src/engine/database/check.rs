//! Verifying an open database: its files, and what memory holds of them.

use std::sync::Arc;

use super::load::insert_entries;
use super::texts::{Part, read_steps};
use super::{CollectionSpec, Database};
use crate::engine::error::Result;
use crate::engine::index::Index;
use crate::engine::lock::Wait;
use crate::engine::order;
use crate::engine::verify::{Cut, Problem, ProblemCode, VerifyReport, verify, verify_by};

/// How often a collection that others keep changing is compared. The last attempt keeps writers of this process
/// waiting.
const ATTEMPTS: usize = 4;

/// How many entries of an index are compared each time the state is locked.
const PIECE: usize = 4096;

/// Returns a problem for each index that does not agree with the documents of its collection.
fn mismatches(spec: &CollectionSpec, agreeing: Vec<bool>) -> impl Iterator<Item = Problem> {
    let wrong = spec.indexes.iter().zip(agreeing).filter(|(_, agrees)| !agrees);
    wrong.map(|(index, _)| {
        let message = format!("the index {} does not match the documents; rebuild it", index.config.name);
        Problem::new(ProblemCode::IndexMismatch, &*spec.path, message)
    })
}

/// Returns a problem for each unique index in which documents share a key.
fn clashes(spec: &CollectionSpec, fresh: &[Index]) -> impl Iterator<Item = Problem> {
    fresh.iter().filter_map(|index| {
        let (key, one, other) = index.clash()?;
        let name = &index.spec().config.name;
        let message = format!("it shares {key} in the unique index {name} with {one}; change one of the two");
        Some(Problem::new(ProblemCode::UniqueViolation, &*spec.path, message).of(other))
    })
}

impl Database {
    /// Verifies the files as [`verify`] does, and the indexes and counts in memory of the collections that this process has
    /// used against them. Writers of this process may have to wait while a collection is loaded, or while one that keeps
    /// changing is compared.
    ///
    /// # Errors
    /// Those of [`verify`]; [`Error::Replaced`] if the files of this engine are no longer those in the directory.
    ///
    /// [`Error::Replaced`]: crate::engine::error::Error::Replaced
    pub fn verify(&self, wait: Wait) -> Result<VerifyReport> {
        self.check_tip()?;
        let resting =
            || Some(self.position().seq).filter(|&seq| self.tip.as_ref().is_none_or(|tip| tip.seq() == seq));
        let before = resting();
        let mut report = self.verify_files(wait)?;
        self.load_used();
        let specs: Vec<Arc<CollectionSpec>> = {
            let state = self.state.read();
            state.collections.keys().filter_map(|path| Some(Arc::clone(&state.loaded(path)?.spec))).collect()
        };
        let counts: Vec<_> = {
            let state = self.state.read();
            specs
                .iter()
                .filter_map(|spec| Some((Arc::clone(&spec.path), state.loaded(&spec.path)?.documents.len())))
                .collect()
        };
        if before.is_some() && before == resting() && report.is_ok() {
            for (path, count) in counts {
                let Some(found) = report.collections.iter().find(|found| *found.path == *path) else {
                    continue;
                };
                if found.documents != count as u64 {
                    let message = format!(
                        "memory has {count} documents, the files have {}; open the database again",
                        found.documents
                    );
                    report.problems.push(Problem::new(ProblemCode::CountMismatch, &*path, message));
                }
            }
        }
        for spec in specs {
            report.problems.extend(self.compare_indexes(&spec)?);
        }
        order::sort_by(&mut report.problems, |a, b| b.severity.cmp(&a.severity));
        Ok(report)
    }

    /// Takes the collections that this process has used into memory again, so that their indexes can be judged. A
    /// collection that cannot be loaded, or whose file must be adopted first, stays out: that is found in the files.
    fn load_used(&self) {
        if self.catch_up(&mut self.writer.lock()).is_err() {
            return;
        }
        let used: Vec<Arc<CollectionSpec>> = {
            let state = self.state.read();
            state.collections.values().filter_map(|collection| collection.spec.clone()).collect()
        };
        for spec in used {
            let _ = self.try_load(&mut self.writer.lock(), &spec);
        }
    }

    /// Verifies the files. If the process keeps the write lock, nobody else can take it.
    fn verify_files(&self, wait: Wait) -> Result<VerifyReport> {
        if self.writer.lock().kept.is_none() {
            return verify(&self.fs, &self.directory, wait);
        }
        verify_by(&self.fs, &self.directory, || {
            let held = self.acquire_unseen(wait)?;
            Ok((Cut::look(&self.fs, &self.directory, false)?, held))
        })
    }

    /// Compares the indexes of a loaded collection with its documents. Reports nothing if a document cannot be read:
    /// that is found when the files are verified.
    fn compare_indexes(&self, spec: &Arc<CollectionSpec>) -> Result<Vec<Problem>> {
        for attempt in 1..=ATTEMPTS {
            let _resting = (attempt == ATTEMPTS).then(|| self.writer.lock());
            let (documents, files, version) = {
                let state = self.state.read();
                let Some(loaded) = state.loaded(&spec.path) else { return Ok(Vec::new()) };
                (loaded.documents.clone(), Arc::clone(&state.files), state.version(&spec.path))
            };
            let mut fresh = spec.empty_indexes();
            let read = read_steps(&files, documents.iter(), Part::Head, |(id, _), head| {
                insert_entries(spec, &mut fresh, id, head);
            })?;
            if read.is_err() {
                return Ok(Vec::new());
            }
            let agreeing = fresh.iter().enumerate().map(|(at, fresh)| self.agrees(spec, version, at, fresh));
            if let Some(agreeing) = agreeing.collect() {
                return Ok(mismatches(spec, agreeing).chain(clashes(spec, &fresh)).collect());
            }
        }
        Ok(Vec::new())
    }

    /// Whether an index of a loaded collection holds the same as one that was built from the documents of this version;
    /// `None` if the version has changed. Compares in pieces, so that nobody waits long for the state.
    fn agrees(&self, spec: &Arc<CollectionSpec>, version: u64, at: usize, fresh: &Index) -> Option<bool> {
        let compare = |same: &dyn Fn(&Index) -> bool| {
            let state = self.state.read();
            let loaded = state.loaded(&spec.path).filter(|loaded| Arc::ptr_eq(&loaded.spec, spec))?;
            (state.version(&spec.path) == version).then(|| same(&loaded.indexes[at]))
        };
        if !compare(&|index| index.is_as_large_as(fresh))? {
            return Some(false);
        }
        for piece in fresh.pieces(PIECE) {
            if !compare(&|index| index.has_piece(&piece))? {
                return Some(false);
            }
        }
        Some(true)
    }
}
