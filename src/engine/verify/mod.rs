//! Verifying a database: is everything on disk as it should be?
//!
//! Journals are read and checked line by line, each collection's file is compared with the catalog, every document is
//! checked, and stray files are listed. Nothing is written. Others may write meanwhile: the write lock is held only briefly,
//! and whatever looks wrong is examined again while nobody can write, so that concurrent changes cause no false alarm.

mod collections;
mod cut;
mod journals;
mod long_text;
mod report;
mod strays;

use std::path::Path;
use std::sync::Arc;

pub use collections::{Examined, FileState, Texts, changes, examine, judge};
pub use cut::Cut;
pub use journals::Journals;
pub use report::{CollectionReport, Problem, ProblemCode, Severity, VerifyReport, count, write_table};

use super::base_path::BasePath;
use super::error::Result;
use super::fs::Fs;
use super::lock::Wait;
use super::migration::StateFile;
use crate::engine::order;
use collections::{files, known_collections, obstructed_collections, survey};
pub use strays::{BEFORE_REPAIR, is_index_checkpoint};
use strays::{is_set_aside, strays};

/// What opening a file costs, in bytes that could be read instead.
const SMALL_FILE: u64 = 4096;

/// Verifies what all databases of a base path share: the record of databases and the state of migrations.
///
/// # Errors
/// Those that say nothing about these files.
pub fn verify_records(base: &BasePath) -> Result<Vec<Problem>> {
    Ok(base.verify_record()?.into_iter().chain(StateFile::of(base).verify()?).collect())
}

/// Verifies the database in `directory`, which need not be open and may be in use. O(bytes). The write lock is only ever
/// held briefly, and is waited for until the deadline of `wait`.
///
/// # Errors
/// `LOCK_TIMEOUT`, `IO_ERROR`. Problems of the data are not errors: they are in the report.
pub fn verify(fs: &Arc<dyn Fs>, directory: &Path, wait: Wait) -> Result<VerifyReport> {
    verify_by(fs, directory, || Cut::hold(fs, directory, wait))
}

/// Like [`verify`]. `hold` takes the write lock, which is held until its second value is dropped, and looks at the database.
pub(super) fn verify_by<H>(
    fs: &Arc<dyn Fs>,
    directory: &Path,
    hold: impl Fn() -> Result<(Cut, H)>,
) -> Result<VerifyReport> {
    // As many files as take about as long as reading the journals: neither are these read for each file, nor do writers wait
    // for all files.
    let look_again = |paths: &[String]| {
        let (cut, _held) = hold()?;
        let journals = Journals::read(directory, &cut, fs.boot_id())?;
        let mut found = Vec::new();
        let mut bytes = 0;
        for path in paths {
            let examined = survey(&**fs, directory, path, &journals)?;
            bytes += examined.size.max(SMALL_FILE);
            found.push(examined);
            if bytes >= journals.bytes {
                break;
            }
        }
        Ok(found)
    };
    let made = hold().map(|(cut, _)| cut);
    let survey = match made.and_then(|cut| Survey::make(&**fs, directory, &cut, Some(&look_again))) {
        Ok(survey) => survey,
        Err(error) => {
            let problem = Problem::from_error(&error, super::journal::RESERVED).ok_or(error)?;
            let directory = directory.to_path_buf();
            return Ok(VerifyReport { directory, collections: Vec::new(), problems: vec![problem] });
        }
    };
    Ok(survey.report(directory))
}

type LookAgain<'a> = dyn Fn(&[String]) -> Result<Vec<Examined>> + 'a;

/// Everything that is known of a database's files.
pub struct Survey {
    pub journals: Journals,
    /// Those that the journals know come first, then files that nobody has used yet. Their content is not kept.
    pub collections: Vec<Examined>,
    /// How many of `collections` the journals know.
    pub known: usize,
    pub problems: Vec<Problem>,
}

impl Survey {
    /// Examines a database. The caller ensures that nobody has it open.
    pub fn alone(fs: &Arc<dyn Fs>, directory: &Path) -> Result<(Cut, Survey)> {
        let cut = Cut::look(fs, directory, true)?;
        // Nobody writes, so nothing is examined twice.
        let survey = Survey::make(&**fs, directory, &cut, None)?;
        Ok((cut, survey))
    }

    /// Examines a database. If others may write meanwhile, even if nobody had it open at first, `look_again` examines
    /// collections again while nobody can write: the first of them, at least one.
    fn make(fs: &dyn Fs, directory: &Path, cut: &Cut, look_again: Option<&LookAgain<'_>>) -> Result<Survey> {
        let mut journals = Journals::read(directory, cut, fs.boot_id())?;
        let mut problems = std::mem::take(&mut journals.problems);
        let mut known = known_collections(&journals);
        known.extend(obstructed_collections(fs, directory, &journals)?);
        let found = files(fs, directory)?;
        let dropped = |path: &str| journals.state.catalog.contains_key(path);
        let unused =
            found.iter().filter(|path| path.ends_with(".json") && !known.contains(*path) && !dropped(path));
        let mut collections = Vec::with_capacity(known.len());
        for path in known.iter().chain(unused) {
            collections.push(survey(fs, directory, path, &journals)?);
        }
        if let Some(look_again) = look_again {
            let suspicious = collections.iter().filter(|examined| examined.is_suspicious());
            let paths: Vec<String> = suspicious.map(|examined| examined.path.clone()).collect();
            let mut again = Vec::with_capacity(paths.len());
            while again.len() < paths.len() {
                again.extend(look_again(&paths[again.len()..])?);
            }
            let suspicious = collections.iter_mut().filter(|examined| examined.is_suspicious());
            suspicious.zip(again).for_each(|(examined, again)| *examined = again);
        }
        problems.extend(collections.iter().flat_map(|examined| examined.problems.iter().cloned()));
        problems.extend(strays(cut, &journals.named));
        problems.extend(found.iter().filter_map(|path| is_set_aside(path)));
        Ok(Survey { journals, collections, known: known.len(), problems })
    }

    pub fn report(&self, directory: &Path) -> VerifyReport {
        let mut problems = self.problems.clone();
        order::sort_by(&mut problems, |a, b| {
            b.severity
                .cmp(&a.severity)
                .then_with(|| a.path.cmp(&b.path))
                .then_with(|| a.offset.cmp(&b.offset))
        });
        let mut collections: Vec<_> = self.collections.iter().map(Examined::report).collect();
        order::sort_by(&mut collections, |a, b| a.path.cmp(&b.path));
        VerifyReport { directory: directory.to_path_buf(), collections, problems }
    }

    /// Returns whether nothing was found that a repair would change.
    pub fn is_sound(&self) -> bool {
        let harmless = |problem: &Problem| {
            problem.severity == Severity::Note
                && !matches!(problem.code, ProblemCode::Leftover | ProblemCode::TornTail)
        };
        self.problems.iter().all(harmless)
    }
}
