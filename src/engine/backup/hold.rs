//! Holding all databases of a base path for this process, and the copy of the data that undoes a failed migration.
//!
//! While they are held, this process goes on writing and other processes wait. The intent that [`Hold::copy`] writes says
//! that everything written since then is to be undone. It ends when the migration has succeeded ([`Hold::discard`]) or its
//! work is undone ([`Hold::put_back`]). If the process dies before that, [`settle`](super::settle()) undoes the work.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::copy::{Content, content_of, copy_file, write_documents};
use super::held::{Coverage, HeldDatabases};
use super::inventory::Inventory;
use super::lock::MigrationLock;
use super::manifest::{DatabaseEntry, FileEntry, Kind, Manifest};
use super::places::{Places, Purpose, Strangers};
use super::replacement::{Replacement, Source, sync_directory, sync_file};
use super::{Site, intent, opened};
use crate::engine::database::{Cut, CutContent, Database, Frozen, Held, Mutant, Quiet, WAYS_OUT};
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs;
use crate::engine::id::now_ms;
use crate::engine::journal::Layout;
use crate::engine::lock::Wait;

/// The files of the rollback copy, in the folder of migrations.
pub(super) const BEFORE: &str = "before";

/// A copied file: its name in the copy, and what it holds.
type Copied = (String, Content);

/// The content of the intent: what the data was.
#[derive(Serialize, Deserialize)]
pub struct Intent {
    pub copy: Manifest,
}

/// All databases of a base path, held for this process until it is dropped.
pub struct Hold {
    site: Site,
    held: Arc<HeldDatabases>,
    wait: Wait,
    _lock: MigrationLock,
}

/// The data as it was when it was copied. Until the copy is discarded or put back, a crash undoes everything that came after
/// it.
#[must_use]
pub struct RollbackCopy {
    manifest: Manifest,
}

/// A copy that is no longer needed. The next copy reuses its files.
#[must_use]
pub struct SpareCopy {
    manifest: Manifest,
}

/// Databases that this process neither checkpoints nor writes to.
type Stopped<'a> = (Vec<Option<Quiet<'a>>>, Vec<Held<'a>>);

impl Hold {
    /// Takes the write locks of all databases, in path order. Writes of this process go on; writes of other processes wait,
    /// and fail with a `LOCK_TIMEOUT` that names this process.
    ///
    /// # Errors
    /// `LOCK_TIMEOUT`, `CORRUPT_DATA` if a database does not open, `IO_ERROR`. Nothing is held then.
    pub fn begin(site: Site, lock: MigrationLock, wait: Wait) -> Result<Hold> {
        let held = Arc::new(HeldDatabases::default());
        site.registry.note_hold(&site.base, &held);
        let hold = Hold { site, held, wait, _lock: lock };
        for directory in hold.site.databases(wait)? {
            let database = hold.site.open(&directory, hold.wait())?;
            hold.site.registry.note_open(&hold.site.base, &directory, &database);
            // Opening it is work, which may have taken longer than anybody is to be waited for.
            hold.held.take_in(&hold.site, &directory, &database, hold.wait())?;
        }
        Ok(hold)
    }

    /// Copies everything that a migration may change: the databases, and everything else under `data`. The databases are
    /// checkpointed first, so that their files are up to date; what this process writes between that and being stopped is
    /// streamed into the copy. Files with the same content in `previous` are not copied again. O(bytes).
    ///
    /// # Errors
    /// `IO_ERROR` (`ENOSPC` if there is not enough room), `CORRUPT_DATA`; there is nothing to undo then.
    pub fn copy(&self, previous: Option<SpareCopy>) -> Result<RollbackCopy> {
        let databases = self.held.databases.lock();
        for database in databases.iter() {
            database.checkpoint_or_warn(self.wait())?;
        }
        let (_quiet, mut held) = self.stop(&databases)?;
        let cuts = databases.iter().zip(&mut held).map(|(database, held)| database.cut(held));
        let cuts: Vec<Cut> = cuts.collect::<Result<_>>()?;
        let manifest = self.copy_files(&databases, &cuts, previous)?;
        for database in databases.iter() {
            database.set_migrating(true);
        }
        self.held.migrating.store(true, Ordering::Release);
        let copy = Intent { copy: manifest };
        if let Err(error) = intent::declare(&*self.site.fs(), &self.site.migration_intent(), &copy) {
            intent::withdraw(&*self.site.fs(), &self.site.migration_intent())
                .map_err(|_| error.clone().with_unknown_outcome())?;
            self.end_migration(&databases);
            return Err(error);
        }
        Ok(RollbackCopy { manifest: copy.copy })
    }

    /// Ends a migration that succeeded: what it wrote is made durable and stays, whatever happens from here on.
    ///
    /// # Errors
    /// `IO_ERROR`; the caller must then put the data back, or else the next opening of the base path does.
    pub fn discard(&self, copy: &RollbackCopy) -> Result<SpareCopy> {
        let databases = self.held.databases.lock();
        let (_quiet, mut held) = self.stop(&databases)?;
        let early = self.site.options.is_mutant(Mutant::DiscardBeforeSync);
        if early {
            intent::end(&*self.site.fs(), &self.site.migration_intent())?;
        }
        for (database, held) in databases.iter().zip(&mut held) {
            database.make_durable(held)?;
        }
        self.sync_foreign_files()?;
        if !early {
            intent::end(&*self.site.fs(), &self.site.migration_intent())?;
        }
        self.end_migration(&databases);
        Ok(SpareCopy { manifest: copy.manifest.clone() })
    }

    /// Makes the data byte for byte what it was when it was copied. Open storages, in this process and in others, see it at
    /// once.
    ///
    /// # Errors
    /// `CORRUPT_DATA` if the copy is damaged, `IO_ERROR`; nobody can write then until all processes have closed the
    /// databases, and the next opening puts the data back.
    pub fn put_back(&self, copy: RollbackCopy) -> Result<()> {
        let databases = self.held.databases.lock();
        // A failed write of the migration may have left a database that accepts no more writes.
        let (_quiet, mut held) = self.stop_by(&databases, Database::acquire_unseen)?;
        let directories: Vec<PathBuf> =
            self.directories(&databases)?.into_iter().map(|(directory, _)| directory).collect();
        let sources = sources_in_place(&self.site, &copy.manifest)?;
        let replacement =
            Replacement::plan(&self.site, &copy.manifest, sources, &directories, Purpose::PutBack)?
                .ending(self.site.relative(&self.site.migration_intent())?);
        replacement.declare(&self.site)?;
        replacement.carry_out(&self.site, false)?;
        for (database, held) in databases.iter().zip(&mut held) {
            // If this fails, the next call that needs it tries again: the generation that memory refers to is gone.
            let _ = database.reload(held);
        }
        replacement.conclude(&self.site)?;
        self.end_migration(&databases);
        Ok(())
    }

    /// Keeps the threads of this process from checkpointing and writing.
    fn stop<'a>(&self, databases: &'a [Arc<Database>]) -> Result<Stopped<'a>> {
        self.stop_by(databases, Database::acquire)
    }

    fn stop_by<'a>(
        &self,
        databases: &'a [Arc<Database>],
        acquire: impl Fn(&'a Database, Wait) -> Result<Held<'a>>,
    ) -> Result<Stopped<'a>> {
        let wait = self.wait();
        let quiet = databases.iter().map(|database| database.quiet(wait)).collect::<Result<_>>()?;
        let held = databases.iter().map(|database| acquire(database, wait)).collect::<Result<_>>()?;
        Ok((quiet, held))
    }

    fn wait(&self) -> Wait {
        Wait::at_most(self.wait.timeout)
    }

    fn end_migration(&self, databases: &[Arc<Database>]) {
        self.held.migrating.store(false, Ordering::Release);
        for database in databases {
            database.set_migrating(false);
        }
    }

    /// The directories of the databases as the base path spells them, in path order, each with the index of its database.
    fn directories(&self, databases: &[Arc<Database>]) -> Result<Vec<(PathBuf, usize)>> {
        let fs = self.site.fs();
        let mut directories = Vec::new();
        for directory in self.site.base.databases()? {
            let Some(known) = self.site.registry.find(&*fs, &directory)? else { continue };
            if let Some(at) = databases.iter().position(|database| Arc::ptr_eq(database, &known)) {
                directories.push((directory, at));
            }
        }
        Ok(directories)
    }

    fn copy_files(
        &self,
        databases: &[Arc<Database>],
        cuts: &[Cut],
        previous: Option<SpareCopy>,
    ) -> Result<Manifest> {
        let (site, fs) = (&self.site, self.site.fs());
        let mut entries = Vec::new();
        let mut collections: BTreeMap<String, (String, String, &CutContent)> = BTreeMap::new();
        // Records the databases that were opened since, so that they are found like all others.
        site.databases(self.wait())?;
        let directories = self.directories(databases)?;
        for (directory, at) in &directories {
            let Some(cut) = cuts.get(*at) else { continue };
            let path = site.relative(directory)?;
            for (collection, content) in &cut.collections {
                let file = site.relative(&directory.join(&**collection))?;
                collections.insert(file, (path.clone(), collection.to_string(), content));
            }
            entries.push(DatabaseEntry { path, id: cut.id, seq: cut.seq });
        }
        let mut inventory = Inventory::of_data(site)?;
        // What another process keeps in a database that it created meanwhile is not the migration's.
        let strangers = Strangers::of(site, directories.iter().map(|(directory, _)| directory))?;
        inventory.files.retain(|path| !strangers.have(path));
        inventory.files.extend(collections.keys().cloned());
        inventory.files.sort_unstable();
        inventory.files.dedup();
        let before = site.migration_directory().join(BEFORE);
        let mut spare = Spare::new(previous);
        if spare.files.is_empty() {
            fs::remove_tree(&*fs, &before).at("remove", &before)?;
        }
        opened::forget(site)?;
        fs::create_dirs(&*fs, &before).at("create", &before)?;
        let mut files = Vec::new();
        for path in inventory.files {
            let (kind, copied) = match collections.get(&path) {
                Some((database, collection, content)) => {
                    let (copied, layout) = self.copy_collection(content, &path, &mut spare)?;
                    if matches!(content, CutContent::Edited(_)) {
                        files.extend(self.copy_edit(&path, &mut spare)?);
                    }
                    let (database, collection) = (database.clone(), collection.clone());
                    (Kind::Collection { database, collection, layout }, Some(copied))
                }
                None => (Kind::Foreign, self.copy_file(&path, true, &mut spare)?),
            };
            files.extend(copied.map(|copied| entry(path, kind, copied)));
        }
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        for unused in spare.rest() {
            let unused = before.join(unused);
            fs::remove_tree(&*fs, &unused).at("remove", &unused)?;
        }
        fs.sync_dir(&before).at("sync directory", &before)?;
        let manifest = Manifest {
            package: env!("CARGO_PKG_VERSION").to_owned(),
            created: now_ms(),
            name: BEFORE.to_owned(),
            databases: entries,
            directories: inventory.directories,
            files,
            left_out: inventory.left_out,
        };
        *self.held.coverage.lock() = Coverage::new(&manifest, strangers);
        Ok(manifest)
    }

    /// Copies the file of a collection, or writes what belongs in it, and returns the layout of the copy if it is a snapshot.
    fn copy_collection(
        &self,
        content: &CutContent,
        path: &str,
        spare: &mut Spare,
    ) -> Result<(Copied, Option<Layout>)> {
        match content {
            CutContent::File(states) => {
                let missing = || {
                    let path = self.site.base.absolute(path);
                    Error::corrupt(&path, 0, format!("the file is missing; {WAYS_OUT}"))
                };
                let copied = self.copy_file(path, false, spare)?.ok_or_else(missing)?;
                let layout = copied.1.layout_among(states);
                Ok((copied, layout))
            }
            // This process has written since the checkpoint.
            CutContent::Documents(frozen) => {
                Ok((self.write_documents(frozen, path, spare)?, Some(Layout::Lines)))
            }
            // It is judged when it is adopted, as it would have been without the newer documents.
            CutContent::Edited(frozen) => Ok((self.write_documents(frozen, path, spare)?, None)),
        }
    }

    /// Copies a file, unless an earlier copy of it can be reused. Returns `None` if the file is not there. A foreign file may
    /// be written meanwhile.
    fn copy_file(&self, path: &str, is_foreign: bool, spare: &mut Spare) -> Result<Option<Copied>> {
        let (fs, from) = (self.site.fs(), self.site.base.absolute(path));
        let Some(current) = content_of(&*fs, &from)? else { return Ok(None) };
        if let Some(stored) = spare.take(path, &current) {
            return Ok(Some((stored, current)));
        }
        let (stored, to) = self.place(spare);
        match copy_file(&*fs, &from, &to, &mut |_| Ok(()))? {
            Some(copied) if copied == current => Ok(Some((stored, copied))),
            // Its owner is still writing: what was copied is as good as what was there a moment ago.
            copied if is_foreign => Ok(copied.map(|copied| (stored, copied))),
            _ => Err(Error::Conflict(format!("{} changed while it was copied", from.display()))),
        }
    }

    /// Copies a collection whose file lacks what this process wrote since the checkpoint.
    fn write_documents(&self, frozen: &Frozen, path: &str, spare: &mut Spare) -> Result<Copied> {
        let (stored, to) = self.place(spare);
        let own = self.site.base.absolute(path);
        Ok((stored, write_documents(&self.site, frozen, &own, &to, &mut |_| Ok(()))?))
    }

    /// Copies a file that a person edited before it had the newest documents. The copy of its collection has them, so what
    /// they replace in the edit is put back beside the file.
    fn copy_edit(&self, path: &str, spare: &mut Spare) -> Result<Option<FileEntry>> {
        let (stored, to) = self.place(spare);
        let copied = copy_file(&*self.site.fs(), &self.site.base.absolute(path), &to, &mut |_| Ok(()))?;
        let beside = format!("{path}.edited-{}", now_ms());
        Ok(copied.map(|content| entry(beside, Kind::Foreign, (stored, content))))
    }

    /// Returns a free place in the copy, with its name.
    fn place(&self, spare: &mut Spare) -> (String, PathBuf) {
        let stored = spare.next_name();
        let to = self.site.migration_directory().join(BEFORE).join(&stored);
        (stored, to)
    }

    /// Makes what a migration wrote beside the databases as durable as what it wrote to them.
    fn sync_foreign_files(&self) -> Result<()> {
        let (site, fs) = (&self.site, self.site.fs());
        let inventory = Inventory::of_data(site)?;
        for path in inventory.files.iter().map(|path| site.base.absolute(path)) {
            sync_file(&*fs, &path)?;
        }
        for path in inventory.directories.iter().map(|path| site.base.absolute(path)) {
            sync_directory(&*fs, &path)?;
        }
        let data = site.base.data();
        fs.sync_dir(&data).at("sync directory", &data)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.ended.store(true, Ordering::Release);
        for database in self.held.all() {
            database.release();
        }
        if !self.held.migrating.load(Ordering::Acquire) {
            remove_copy(&self.site);
        }
    }
}

/// Removes the rollback copy, which nobody needs any more. If that is impossible now, it is removed before the next one is
/// made.
pub(super) fn remove_copy(site: &Site) {
    let _ = fs::remove_tree(&*site.fs(), &site.migration_directory().join(BEFORE));
}

fn entry(path: String, kind: Kind, (stored, content): Copied) -> FileEntry {
    FileEntry { path, size: content.size, sha256: content.sha256, kind, stored: Some(stored) }
}

/// Returns where the content of each file of the copy comes from; `from` is `None` if the file in place has it already.
///
/// # Errors
/// `CORRUPT_DATA` if a file that is needed is missing from the copy or damaged.
pub fn sources_in_place(site: &Site, manifest: &Manifest) -> Result<Vec<Source>> {
    let (fs, before) = (site.fs(), site.migration_directory().join(BEFORE));
    let places = Places::of(site, manifest, Purpose::PutBack)?;
    let mut sources = Vec::with_capacity(manifest.files.len());
    for file in &manifest.files {
        let is_it = |content: &Content| (content.size, &content.sha256) == (file.size, &file.sha256);
        if places.is_there(&file.path)?
            && let Some(content) = content_of(&*fs, &site.base.absolute(&file.path))?.filter(is_it)
        {
            sources.push(Source { from: None, content });
            continue;
        }
        let stored = before.join(file.stored());
        let content = content_of(&*fs, &stored)?.filter(is_it).ok_or_else(|| {
            Error::corrupt(&stored, 0, format!("the copy of {} is damaged; restore a backup", file.path))
        })?;
        sources.push(Source { from: Some(site.relative(&stored)?), content });
    }
    Ok(sources)
}

/// The files of an earlier copy.
struct Spare {
    files: BTreeMap<String, FileEntry>,
    next: u64,
}

impl Spare {
    fn new(previous: Option<SpareCopy>) -> Spare {
        let files = previous.into_iter().flat_map(|previous| previous.manifest.files);
        let files: BTreeMap<String, FileEntry> = files.map(|file| (file.path.clone(), file)).collect();
        let numbers = files.values().filter_map(|file| file.stored().parse::<u64>().ok());
        let next = numbers.max().map_or(1, |last| last + 1);
        Spare { files, next }
    }

    /// Takes the file that the earlier copy has for this path, if it has this content, and returns its name in the copy.
    fn take(&mut self, path: &str, content: &Content) -> Option<String> {
        let same = |file: &FileEntry| (file.size, &file.sha256) == (content.size, &content.sha256);
        self.files.get(path).filter(|file| same(file))?;
        self.files.remove(path).map(|file| file.stored().to_owned())
    }

    fn next_name(&mut self) -> String {
        self.next += 1;
        (self.next - 1).to_string()
    }

    fn rest(self) -> Vec<String> {
        self.files.into_values().map(|file| file.stored().to_owned()).collect()
    }
}
