//! Making a backup.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Site;
use super::copy::{Content, copy_file, write_documents};
use super::inventory::Inventory;
use super::list::{next_time, stored_at};
use super::lock::MigrationLock;
use super::manifest::{DatabaseEntry, FileEntry, Kind, MANIFEST, Manifest};
use super::name::check_name;
use super::progress::{Meter, Progress};
use super::sealed::{Sealing, write_sealed};
use crate::engine::database::{Copying, Cut, CutContent, Database, Held, Quiet, WAYS_OUT, Warning};
use crate::engine::date;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{self, Fs, OpenMode, read_all};
use crate::engine::id::now_ms;
use crate::engine::journal::{Layout, SnapshotRecord};
use crate::engine::lock::{LockGuard, LockKind, ProcessLock, Wait};
use crate::engine::snapshot::scan_map;

/// The prefix of the names of unfinished backups.
const PARTIAL: &str = ".partial-";

/// A finished backup.
#[derive(Debug)]
pub struct BackedUp {
    pub path: PathBuf,
    /// The warnings that the databases raised meanwhile.
    pub warnings: Vec<Warning>,
}

#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// Files and directories outside `data`, relative to the base path.
    pub include: Vec<String>,
    /// How long to wait for each lock.
    pub wait: Wait,
}

/// Copies `data/`, every other database of the base path and what the options include to `backups/<name>`; without a name,
/// one is made from the time. Writers go on meanwhile: each database is copied as it was at one moment, which is the same
/// for all of them. Checkpoints, restores and migrations wait until the backup is done. O(bytes).
///
/// # Errors
/// `INVALID_ARGUMENT` (name, included path), `ALREADY_EXISTS`, `LOCK_TIMEOUT`, `CORRUPT_DATA` if a database is damaged,
/// `IO_ERROR` (`ENOSPC` if there is not enough room), `ABORTED`. Nothing is left behind.
pub fn back_up(
    site: &Site,
    name: Option<&str>,
    options: &BackupOptions,
    progress: &mut Progress<'_>,
) -> Result<BackedUp> {
    name.map_or(Ok(()), check_name)?;
    let fs = site.fs();
    let backups = site.backups();
    fs::create_dirs(&*fs, &backups).at("create", &backups)?;
    let _lock = lock_backups(site, options.wait)?;
    let _migrations = keep_migrations_away(site, options.wait)?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => fresh_name(&*fs, &backups)?,
    };
    let target = backups.join(&name);
    if fs.symlink_metadata(&target).at("look up", &target)?.is_some() {
        return Err(Error::PathExists { what: "the backup", path: target });
    }
    sweep(&*fs, &backups)?;
    let directories = site.databases(options.wait)?;
    let databases: Vec<Arc<Database>> =
        directories.iter().map(|directory| site.open(directory, options.wait)).collect::<Result<_>>()?;
    let partial = partial(&backups, &name);
    // Opening them is work, which may have taken longer than anybody is to be waited for.
    let wait = Wait::at_most(options.wait.timeout);
    let made = {
        let quiet = databases.iter().map(|database| database.quiet(wait));
        let _quiet: Vec<Option<Quiet<'_>>> = quiet.collect::<Result<_>>()?;
        let (cuts, _copying) = {
            let held = databases.iter().map(|database| database.acquire(wait));
            let mut held: Vec<Held<'_>> = held.collect::<Result<_>>()?;
            let cuts = databases.iter().zip(&mut held).map(|(database, held)| database.cut(held));
            let cuts = cuts.collect::<Result<Vec<Cut>>>()?;
            let copying =
                databases.iter().zip(&mut held).map(|(database, held)| database.begin_copying(held));
            (cuts, copying.collect::<Vec<Copying<'_>>>())
        };
        let sources = Sources::find(site, &directories, cuts, &options.include)?;
        fs::check_space(&*fs, &backups, sources.bytes(), "a backup").at("write to", &backups)?;
        fs.create_dir(&partial).at("create", &partial)?;
        sources.copy(site, &name, &partial, progress)
    };
    let finished = made.and_then(|()| {
        fs.rename(&partial, &target).at("rename into place", &target)?;
        // A process that was killed may have created the directories without syncing them.
        let synced = fs::sync_dirs_above(&*fs, &target).at("sync the directories above", &target);
        // Only now is it certain that what has the name is this backup.
        synced.inspect_err(|_| drop(fs.rename(&target, &partial)))
    });
    match finished {
        Ok(()) => {
            let warnings = databases.iter().flat_map(|database| database.take_warnings()).collect();
            Ok(BackedUp { path: target, warnings })
        }
        Err(error) => {
            // What cannot be removed now is swept by the next backup; without its final name it is not a backup.
            let _ = fs::remove_tree(&*fs, &partial);
            Err(error)
        }
    }
}

/// The path of a backup that is not finished, or no longer wanted.
pub fn partial(backups: &Path, name: &str) -> PathBuf {
    backups.join(format!("{PARTIAL}{name}"))
}

/// The lock under which backups are made and removed.
pub fn lock_backups(site: &Site, wait: Wait) -> Result<LockGuard> {
    let mut lock = ProcessLock::open(&site.fs(), &site.backups().join(".lock"))?;
    lock.lock(LockKind::Exclusive, wait, || None)?;
    Ok(lock.guard())
}

/// Keeps migrations away. The locks of the databases do not stop a migration of this process, which holds them already.
fn keep_migrations_away(site: &Site, wait: Wait) -> Result<MigrationLock> {
    MigrationLock::acquire(site, wait).map_err(|error| match error {
        Error::InUse { path, waited_ms, holders } if path.starts_with(site.migration_directory()) => {
            Error::LockTimeout { path, waited_ms, holder: holders.first().copied() }
        }
        other => other,
    })
}

fn fresh_name(fs: &dyn Fs, backups: &Path) -> Result<String> {
    let mut time = now_ms();
    loop {
        // Names of this form, with milliseconds, sort by time.
        let name = format!("{}.{:03}Z", date::second(time), time % 1000);
        let path = backups.join(&name);
        if fs.symlink_metadata(&path).at("look up", &path)?.is_none() {
            return Ok(name);
        }
        time += 1;
    }
}

/// Removes the remains of killed backups. The lock of the backups must be held.
pub fn sweep(fs: &dyn Fs, backups: &Path) -> Result<()> {
    for name in fs.list_dir(backups).at("list", backups)? {
        if name.starts_with(PARTIAL) {
            let path = backups.join(name);
            fs::remove_tree(fs, &path).at("remove", &path)?;
        }
    }
    Ok(())
}

/// What goes into a backup.
struct Sources {
    databases: Vec<DatabaseEntry>,
    collections: Vec<Collection>,
    inventory: Inventory,
    foreign_bytes: u64,
}

struct Collection {
    /// Relative to the base path.
    path: String,
    database: String,
    name: String,
    content: CutContent,
}

impl Sources {
    fn find(site: &Site, directories: &[PathBuf], cuts: Vec<Cut>, include: &[String]) -> Result<Sources> {
        let (mut databases, mut collections) = (Vec::new(), Vec::new());
        for (directory, cut) in directories.iter().zip(cuts) {
            let database = site.relative(directory)?;
            for (name, content) in cut.collections {
                let path = site.relative(&directory.join(&*name))?;
                if path == MANIFEST || !super::is_safe(&path) {
                    return Err(Error::InvalidArgument(format!(
                        "{path:?} is not a path that a backup may restore; let the storage use another file"
                    )));
                }
                let (database, name) = (database.clone(), name.to_string());
                collections.push(Collection { path, database, name, content });
            }
            databases.push(DatabaseEntry { path: database, id: cut.id, seq: cut.seq });
        }
        let mut inventory = Inventory::of_data(site)?;
        for path in include {
            add_included(&mut inventory, site, path.trim_end_matches('/'))?;
        }
        let mut listed = inventory.files.iter().chain(&inventory.directories);
        if let Some(path) = listed.find(|path| !super::is_safe(path)) {
            return Err(Error::InvalidArgument(format!(
                "{path:?} is not a path that a backup may restore; rename it, or move it elsewhere"
            )));
        }
        let taken: BTreeSet<&str> = collections.iter().map(|collection| collection.path.as_str()).collect();
        inventory.files.retain(|path| !taken.contains(path.as_str()));
        for list in [&mut inventory.files, &mut inventory.directories, &mut inventory.left_out] {
            list.sort_unstable();
            list.dedup();
        }
        let fs = site.fs();
        let mut foreign_bytes = 0;
        for path in inventory.files.iter().map(|path| site.base.absolute(path)) {
            foreign_bytes += fs.metadata(&path).at("look up", &path)?.map_or(0, |found| found.len);
        }
        Ok(Sources { databases, collections, inventory, foreign_bytes })
    }

    fn bytes(&self) -> u64 {
        let collections = self.collections.iter().map(|collection| collection.content.size());
        collections.sum::<u64>() + self.foreign_bytes
    }

    /// Copies everything to `partial`, durably, the manifest last.
    fn copy(&self, site: &Site, name: &str, partial: &Path, progress: &mut Progress<'_>) -> Result<()> {
        let fs = site.fs();
        let mut meter = Meter::new("the backup", self.bytes(), progress);
        let mut made = BTreeSet::from([partial.to_path_buf()]);
        let mut enter = |directory: &Path| {
            if !made.contains(directory) {
                fs::create_dirs(&*fs, directory).at("create", directory)?;
                made.extend(
                    directory.ancestors().take_while(|above| *above != partial).map(Path::to_path_buf),
                );
            }
            Ok::<_, Error>(())
        };
        let mut place = |path: &str| {
            let to = stored_at(partial, path);
            to.parent().map_or(Ok(()), &mut enter)?;
            Ok::<_, Error>(to)
        };
        let mut entries = BTreeMap::new();
        for collection in &self.collections {
            let to = place(&collection.path)?;
            let (content, layout) = collection.copy(site, &to, &mut meter)?;
            let kind = Kind::Collection {
                database: collection.database.clone(),
                collection: collection.name.clone(),
                layout,
            };
            entries.insert(collection.path.clone(), (content, kind));
        }
        for path in &self.inventory.files {
            let (from, to) = (site.base.absolute(path), place(path)?);
            // Its owner may have removed it since.
            if let Some(content) = copy_file(&*fs, &from, &to, &mut |bytes| meter.add(bytes))? {
                entries.insert(path.clone(), (content, Kind::Foreign));
            }
        }
        for path in &self.inventory.directories {
            enter(&stored_at(partial, path))?;
        }
        for directory in &made {
            fs.sync_dir(directory).at("sync directory", directory)?;
        }
        let file = |(path, (content, kind)): (String, (Content, Kind))| FileEntry {
            path,
            size: content.size,
            sha256: content.sha256,
            kind,
            stored: None,
        };
        let manifest = Manifest {
            package: env!("CARGO_PKG_VERSION").to_owned(),
            created: next_time(site)?,
            name: name.to_owned(),
            databases: self.databases.clone(),
            directories: self.inventory.directories.clone(),
            files: entries.into_iter().map(file).collect(),
            left_out: self.inventory.left_out.clone(),
        };
        write_sealed(&*fs, &partial.join(MANIFEST), &manifest, Sealing::Plain)?;
        meter.finish();
        Ok(())
    }
}

/// Adds a file or directory that the options include.
fn add_included(inventory: &mut Inventory, site: &Site, path: &str) -> Result<()> {
    let refuse = |why: &str| Err(Error::InvalidArgument(format!("include: {path:?} {why}")));
    if path == MANIFEST || !super::is_safe(path) {
        return refuse("is not a path relative to the base path that a backup may hold");
    }
    if path == "data" || path.starts_with("data/") {
        return Ok(());
    }
    let passed_over = inventory.left_out.len();
    if !inventory.add(site, &site.base.absolute(path), path)? {
        return refuse("does not exist");
    }
    if inventory.left_out[passed_over..].iter().any(|link| link == path) {
        return refuse("is a symlink, or neither a file nor a directory; name what it leads to");
    }
    Ok(())
}

impl Collection {
    /// Copies the collection's file, or streams its documents.
    fn copy(&self, site: &Site, to: &Path, meter: &mut Meter<'_>) -> Result<(Content, Option<Layout>)> {
        let fs = site.fs();
        let from = site.base.absolute(&self.path);
        let mut tick = |bytes| meter.add(bytes);
        match &self.content {
            CutContent::File(states) => {
                let content = copy_file(&*fs, &from, to, &mut tick)?
                    .ok_or_else(|| Error::corrupt(&from, 0, format!("the file is missing; {WAYS_OUT}")))?;
                let layout = layout_of(&*fs, states, &content, to, &from)?;
                Ok((content, layout))
            }
            CutContent::Documents(frozen) => {
                Ok((write_documents(site, frozen, &from, to, &mut tick)?, Some(Layout::Lines)))
            }
            // The edit in it is judged when it is adopted.
            CutContent::Edited(frozen) => Ok((write_documents(site, frozen, &from, to, &mut tick)?, None)),
        }
    }
}

/// Returns the layout of a copied snapshot, or `None` if it is a person's edit that was not adopted yet.
fn layout_of(
    fs: &dyn Fs,
    states: &[SnapshotRecord],
    content: &Content,
    copy: &Path,
    original: &Path,
) -> Result<Option<Layout>> {
    if let Some(layout) = content.layout_among(states) {
        return Ok(Some(layout));
    }
    let file = fs.open(copy, OpenMode::Read).at("open", copy)?;
    let bytes = read_all(&*file).at("read", copy)?;
    match scan_map(&bytes) {
        Ok(_) => Ok(None),
        Err(error) => Err(Error::corrupt(original, error.offset as u64, error.problem)),
    }
}
