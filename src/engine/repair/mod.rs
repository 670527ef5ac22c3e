//! Repairing a database that verification found damaged.
//!
//! The originals are copied aside first. Then each collection is written from what can be relied on (its file if the catalog
//! knows it, every batch whose checksum is right, the intact documents of broken JSON), and one new journal replaces all
//! others. Nothing is invented, and what is lost is reported. Each step may be repeated, so that a crash leaves a database
//! that can be repaired again.

mod copies;
mod plan;
mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use report::{Action, ActionCode, RepairReport};

use super::base_path::BasePath;
use super::cancel;
use super::checksum::DatabaseId;
use super::database::generations::first_header;
use super::database::removals::repeat_removals;
use super::database::{Start, begin_covered, check_reach, collection_file};
use super::document::DocumentId;
use super::error::{Error, IoContext, Result};
use super::fs::{self, Fs, OpenMode};
use super::index_set::is_definitions;
use super::journal::{CollectionRecord, DOCUMENT, Layout, RESERVED, SnapshotRecord, journal_name};
use super::lock::{LockGuard, LockKind, Wait};
use super::lock_files::{DatabaseLocks, PRESENCE_LOCK};
use super::snapshot::SnapshotWriter;
use super::verify::{
    Cut, Examined, Journals, ProblemCode, Survey, Texts, VerifyReport, count, examine, is_index_checkpoint,
};
use copies::Copies;
use plan::{Content, decide, size_of, touched};

/// Repairs the database in `directory`, which is under `base`, as [`repair`] does.
///
/// # Errors
/// As [`repair`]; `CORRUPT_DATA` if a journal names something that is not under the base path.
pub fn repair_under(base: &BasePath, directory: &Path, wait: Wait) -> Result<RepairReport> {
    repair_within(&base.file_system(), directory, base.levels_above(directory), wait)
}

/// Repairs the database in `directory`. It must not be open anywhere, not even in this process; the repair waits for that.
///
/// # Errors
/// `LOCK_TIMEOUT` while it is open somewhere, `ABORTED` (nothing is changed), `UNSUPPORTED_FORMAT`, `IO_ERROR`. In each case
/// the originals are where they were or in the folder of copies, and the repair may be tried again.
pub fn repair(fs: &Arc<dyn Fs>, directory: &Path, wait: Wait) -> Result<RepairReport> {
    repair_within(fs, directory, usize::MAX, wait)
}

fn repair_within(fs: &Arc<dyn Fs>, directory: &Path, most_above: usize, wait: Wait) -> Result<RepairReport> {
    let reserved = directory.join(RESERVED);
    if fs.metadata(&reserved).at("look up", &reserved)?.is_none() {
        let (_, found) = Survey::alone(fs, directory)?;
        return Ok(untouched(directory, found.report(directory)));
    }
    let _sole = Sole::wait(fs, &reserved, wait)?;
    let (cut, survey) = Survey::alone(fs, directory)?;
    let before = survey.report(directory);
    if survey.is_sound() {
        return Ok(untouched(directory, before));
    }
    let removed = survey.journals.removals.iter().map(|(path, _)| path);
    check_reach(directory, most_above, survey.journals.state.paths().chain(removed))?;
    cancel::begin()?;
    let mut repair = Repair { fs, directory, most_above, actions: Vec::new() };
    let copies = repair.run(&survey, &cut)?;
    let (copies, actions) = (Some(copies), repair.actions);
    let after = Survey::alone(fs, directory)?.1.report(directory);
    Ok(RepairReport { directory: directory.to_path_buf(), copies, actions, before, after })
}

fn untouched(directory: &Path, found: VerifyReport) -> RepairReport {
    let directory = directory.to_path_buf();
    RepairReport { directory, copies: None, actions: Vec::new(), before: found.clone(), after: found }
}

/// All locks of a database, released in the order of the fields.
struct Sole {
    _presence: LockGuard,
    _write: LockGuard,
    _checkpoint: LockGuard,
}

impl Sole {
    /// Takes all locks. They are released between attempts, because those that have the database open may need them to close
    /// it.
    fn wait(fs: &Arc<dyn Fs>, reserved: &Path, wait: Wait) -> Result<Sole> {
        let DatabaseLocks { mut checkpoint, mut write, mut presence } = DatabaseLocks::open(fs, reserved)?;
        let mut pauses = wait.long_pauses();
        loop {
            checkpoint.lock(LockKind::Exclusive, wait, || None)?;
            let checkpoint_guard = checkpoint.guard();
            write.lock(LockKind::Exclusive, wait, || None)?;
            let write_guard = write.guard();
            if presence.try_lock(LockKind::Exclusive)? {
                return Ok(Sole {
                    _presence: presence.guard(),
                    _write: write_guard,
                    _checkpoint: checkpoint_guard,
                });
            }
            drop((write_guard, checkpoint_guard));
            cancel::check()?;
            pauses.next(|| Error::InUse {
                path: reserved.join(PRESENCE_LOCK),
                waited_ms: wait.timeout_ms(),
                holders: presence.holders(),
            })?;
        }
    }
}

struct Repair<'a> {
    fs: &'a Arc<dyn Fs>,
    directory: &'a Path,
    /// See [`DatabaseOptions::most_above`](crate::engine::DatabaseOptions::most_above).
    most_above: usize,
    actions: Vec<Action>,
}

impl Repair<'_> {
    /// Repairs the database and returns the folder with the originals. The caller holds all locks.
    fn run(&mut self, survey: &Survey, cut: &Cut) -> Result<PathBuf> {
        let journals = &survey.journals;
        // Only a repair adopts definitions of indexes, even those that the journals do not know.
        let known = survey.collections.iter().enumerate();
        let known = known.filter(|(at, found)| *at < survey.known || is_definitions(&found.path));
        let mut catalog = BTreeMap::new();
        let mut written = Vec::new();
        for (_, Examined { path, .. }) in known {
            match self.decide(path, journals)?.1 {
                Content::Kept(record) => drop(catalog.insert(path.clone(), record)),
                Content::Left => {}
                // Its content is forgotten and determined again when it is written: only one collection is in memory at a time.
                Content::Written { .. } => written.push(path),
            }
        }
        let replaced: Vec<&String> = cut.names.iter().filter(|name| is_replaced(name)).collect();
        let mut originals = touched(&written, journals);
        originals.extend(replaced.iter().map(|name| format!("{RESERVED}/{name}")));
        let copies = self.copy(&originals)?;
        for problem in survey.problems.iter().filter(|problem| problem.code == ProblemCode::JournalDamaged) {
            self.did(ActionCode::BatchesLost, &problem.path, problem.message.as_str());
        }
        // This is above every number ever written, so that nothing old can come back.
        let seq = journals.highest_seq;
        for path in written {
            catalog.extend(self.write_anew(path, journals)?.map(|record| (path.clone(), record)));
        }
        let record = |record| {
            let snapshots = vec![SnapshotRecord { covers: seq, ..record }];
            CollectionRecord { snapshots, ..CollectionRecord::default() }
        };
        let catalog = catalog.into_iter().map(|(path, known)| (path, record(known))).collect();
        let state = &journals.state;
        repeat_removals(
            self.fs,
            self.directory,
            self.most_above,
            &state.catalog,
            state.removed,
            &journals.removals,
        )?;
        let generation = self.begin_journal(journals, catalog, seq, cut)?;
        for name in replaced.iter().filter(|name| name.as_str() != "tip") {
            let path = self.directory.join(RESERVED).join(name);
            fs::remove_tree(&**self.fs, &path).at("remove", &path)?;
            if name.starts_with("new-") {
                self.did(ActionCode::Removed, &format!("{RESERVED}/{name}"), "it was left over");
            }
        }
        let reserved = self.directory.join(RESERVED);
        self.fs.sync_dir(&reserved).at("sync directory", &reserved)?;
        let path = format!("{RESERVED}/{}", journal_name(generation));
        self.did(ActionCode::JournalsReplaced, &path, "it takes the place of all others");
        Ok(copies)
    }

    /// Examines a collection and decides what becomes of it. Of what was examined, only the findings are kept.
    fn decide(&self, path: &str, journals: &Journals) -> Result<(Examined, Content)> {
        let mut examined = examine(&**self.fs, self.directory, path, journals, Texts::Kept)?;
        let content = decide(self.directory, &examined, journals)?;
        examined.forget();
        Ok((examined, content))
    }

    /// Writes a collection's file anew, and returns its record if its content is certain.
    fn write_anew(&mut self, path: &str, journals: &Journals) -> Result<Option<SnapshotRecord>> {
        Ok(match self.decide(path, journals)? {
            (examined, Content::Written { documents, certain, lost }) => {
                let record = self.write(path, &documents, journals.highest_seq)?;
                self.say_written(&examined, documents.len(), certain, &lost);
                certain.then_some(record)
            }
            (_, Content::Kept(record)) => Some(record),
            (_, Content::Left) => None,
        })
    }

    fn did(&mut self, code: ActionCode, path: &str, message: impl Into<String>) {
        self.actions.push(Action::new(code, path, message));
    }

    fn copy(&self, originals: &std::collections::BTreeSet<String>) -> Result<PathBuf> {
        let mut bytes = 0;
        for path in originals {
            bytes += size_of(&**self.fs, &collection_file(self.directory, path))?;
        }
        // What is written is about as large as what it replaces.
        let copies = Copies::begin(&**self.fs, self.directory, 2 * bytes)?;
        originals.iter().try_for_each(|path| copies.keep(path))?;
        Ok(copies.folder)
    }

    fn say_written(&mut self, examined: &Examined, documents: usize, certain: bool, lost: &[DocumentId]) {
        let path = &*examined.path;
        let rule = if certain { "" } else { "; the first use checks each" };
        let message = format!("written anew with {}{rule}", count(documents as u64, "document"));
        self.did(ActionCode::SnapshotWritten, path, message);
        for problem in &examined.problems {
            let message =
                format!("{}; what neither the file nor the journals still have is lost", problem.fact());
            self.did(ActionCode::DocumentsLost, path, message);
        }
        if !lost.is_empty() {
            let ids: Vec<String> = lost.iter().map(ToString::to_string).collect();
            self.did(ActionCode::DocumentsLost, path, format!("these could not be read: {}", ids.join(", ")));
        }
    }

    /// Writes a collection's file beside the others, makes it durable and moves it into place.
    fn write(
        &self,
        collection: &str,
        documents: &BTreeMap<DocumentId, Vec<u8>>,
        seq: u64,
    ) -> Result<SnapshotRecord> {
        let temporary = self.directory.join(RESERVED).join("new-repair");
        fs::remove_tree(&**self.fs, &temporary).at("remove", &temporary)?;
        let file = self.fs.open(&temporary, OpenMode::CreateNew).at("create", &temporary)?;
        let target = collection_file(self.directory, collection);
        if self.fs.metadata(&target).at("look up", &target)?.is_some() {
            self.fs.copy_permissions(&target, &temporary).at("copy permissions to", &temporary)?;
        }
        let mut writer = SnapshotWriter::new(Arc::clone(&file));
        for (id, text) in documents {
            writer.push(id, text).at("write", &temporary)?;
        }
        let written = writer.finish().at("write", &temporary)?;
        file.sync_data().at("sync", &temporary)?;
        let parent = target.parent().unwrap_or(self.directory);
        fs::create_dirs(&**self.fs, parent).at("create", parent)?;
        self.fs.rename(&temporary, &target).at("rename into place", &target)?;
        self.fs.sync_dir(parent).at("sync directory", parent)?;
        Ok(SnapshotRecord { hash: written.hash, size: written.size, covers: seq, layout: Layout::Lines })
    }

    /// Creates the journal that replaces all others, and moves the tip to it.
    fn begin_journal(
        &self,
        journals: &Journals,
        catalog: BTreeMap<String, CollectionRecord>,
        seq: u64,
        cut: &Cut,
    ) -> Result<u64> {
        let generation = journals.highest_generation.max(cut.tip.map_or(0, |tip| tip.generation)) + 1;
        let id = match journals.state.database {
            DatabaseId(0) => first_header()?.database,
            known => known,
        };
        begin_covered(&**self.fs, self.directory, &Start { id, generation, seq }, catalog, false)?;
        Ok(generation)
    }
}

/// Returns whether a repair replaces a file of the reserved folder, or leaves it to be rebuilt.
fn is_replaced(name: &str) -> bool {
    let beginnings = ["journal-", DOCUMENT, "new-"];
    name == "tip"
        || beginnings.iter().any(|beginning| name.starts_with(beginning))
        || is_index_checkpoint(name)
}
