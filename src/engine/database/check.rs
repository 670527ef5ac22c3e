//! Verifying an open database: its files, and what memory makes of them.

use std::sync::Arc;

use super::texts::{Part, read_steps};
use super::{CollectionSpec, Database};
use crate::engine::error::Result;
use crate::engine::index::{Index, extract_all};
use crate::engine::lock::Wait;
use crate::engine::verify::{Problem, ProblemCode, VerifyReport, verify};

/// How often a collection that others change meanwhile is compared again, before writers of this process are kept waiting
/// for it.
const ATTEMPTS: usize = 4;

impl Database {
    /// Verifies the files as [`verify`] does, and the indexes and counts in memory against them. Writers of this process
    /// may have to wait while a collection that never rests is compared.
    ///
    /// # Errors
    /// As [`verify`].
    pub fn verify(&self, wait: Wait) -> Result<VerifyReport> {
        let resting =
            || Some(self.position().seq).filter(|&seq| self.tip.as_ref().is_none_or(|tip| tip.seq() == seq));
        let before = resting();
        let mut report = verify(&self.fs, &self.directory, wait)?;
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
                    let message =
                        format!("memory has {count} documents, the files {}; open it again", found.documents);
                    report.problems.push(Problem::new(ProblemCode::CountMismatch, &*path, message));
                }
            }
        }
        for spec in specs {
            report.problems.extend(self.compare_indexes(&spec)?);
        }
        report.problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
        Ok(report)
    }

    /// Compares the indexes of a loaded collection with what its documents give. Documents that cannot be read are the
    /// business of the files.
    fn compare_indexes(&self, spec: &Arc<CollectionSpec>) -> Result<Vec<Problem>> {
        for attempt in 1..=ATTEMPTS {
            let _resting = (attempt == ATTEMPTS).then(|| self.writer.lock());
            let (documents, files, version) = {
                let state = self.state.read();
                let Some(loaded) = state.loaded(&spec.path) else { return Ok(Vec::new()) };
                (loaded.documents.clone(), Arc::clone(&state.files), self.version_of(&state, spec))
            };
            let mut fresh: Vec<Index> =
                spec.indexes.iter().map(|index| Index::new(Arc::clone(index))).collect();
            let read = read_steps(&files, documents.iter(), Part::Head, |(id, _), head| {
                for (index, entries) in extract_all(&fresh, head).into_iter().enumerate() {
                    fresh[index].insert(id, &entries);
                }
            })?;
            if read.is_err() {
                return Ok(Vec::new());
            }
            let state = self.state.read();
            let Some(loaded) = state.loaded(&spec.path).filter(|loaded| Arc::ptr_eq(&loaded.spec, spec))
            else {
                return Ok(Vec::new());
            };
            if self.version_of(&state, spec) != version {
                continue;
            }
            let wrong =
                loaded.indexes.iter().zip(&fresh).filter(|(index, fresh)| !index.has_entries_of(fresh));
            let problem = |(index, _): (&Index, &Index)| {
                let name = &index.spec().config.name;
                let message = format!("the index {name} is not what the documents give; rebuild it");
                Problem::new(ProblemCode::IndexMismatch, &*spec.path, message)
            };
            return Ok(wrong.map(problem).collect());
        }
        Ok(Vec::new())
    }

    fn version_of(&self, state: &super::state::State, spec: &CollectionSpec) -> Option<u64> {
        state.collections.get(&spec.path).map(|collection| collection.version)
    }
}
