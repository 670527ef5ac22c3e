//! Putting other files in place of the data of a base path, in one step.
//!
//! First, everything is staged and made durable. Then an intent, durable too, says what is to be done, and then it is done.
//! Every part of it may be repeated, so a process that finds the intent does all of it again. The intent ends when
//! everything is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::alone::Owned;
use super::copy::{Content, content_of, copy_file, is_missing};
use super::inventory::Inventory;
use super::manifest::{Kind, Manifest};
use super::places::{Places, Purpose, Strangers, check_writable, is_below};
use super::{Site, intent};
use crate::engine::base_path::DATABASES;
use crate::engine::checksum::FileHash;
use crate::engine::database::{Mutant, Start, known_collections, start_beyond, start_over};
use crate::engine::error::{Error, IoContext, Outcome, Result};
use crate::engine::fs::{self, FileKind, Fs, OpenMode};
use crate::engine::journal::{CollectionRecord, SnapshotRecord};

/// The plan of what is to be done. Paths are relative to the base path.
#[derive(Debug, Serialize, Deserialize)]
pub struct Replacement {
    /// Files to remove.
    remove: Vec<String>,
    /// What is of another kind than what is to be put there. It is removed with all it holds, unless by then it is of the
    /// right kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    give_way: Vec<String>,
    /// Directories to remove if they are empty by then, the innermost first.
    remove_directories: Vec<String>,
    /// Directories to create, parents first.
    directories: Vec<String>,
    files: Vec<Placed>,
    /// Files that have the right content, but perhaps not durably.
    unchanged: Vec<String>,
    databases: Vec<Restarted>,
    /// Other intents that are ended just before this one.
    ends: Vec<String>,
}

/// A staged file and its place.
#[derive(Debug, Serialize, Deserialize)]
struct Placed {
    from: String,
    to: String,
    size: u64,
    sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Restarted {
    path: String,
    start: Start,
    catalog: BTreeMap<String, CollectionRecord>,
}

/// The content of a file of the copy, and where it comes from: `from` is `None` if the file in place has it already.
pub struct Source {
    pub from: Option<String>,
    pub content: Content,
}

/// The directories above some paths, from the base path down.
struct DirectoriesAbove<'a> {
    base: &'a Path,
    directories: BTreeSet<PathBuf>,
}

impl DirectoriesAbove<'_> {
    fn new(base: &Path) -> DirectoriesAbove<'_> {
        DirectoriesAbove { base, directories: BTreeSet::new() }
    }

    fn add(&mut self, path: &Path) {
        let above = path.ancestors().skip(1).take_while(|above| above.starts_with(self.base));
        self.directories.extend(above.map(Path::to_path_buf));
    }
}

/// Removes what was staged, which belongs to nobody once there is no intent. If that is impossible now, it is removed before
/// the next backup, restore or migration.
pub(super) fn remove_staged(site: &Site) {
    let _ = fs::remove_tree(&*site.fs(), &site.restore_directory());
}

impl Replacement {
    /// Plans to make the data what `manifest` says. `sources` are in the order of its files. `directories` are all databases
    /// whose locks are held, including those of the manifest; the files of other databases are left alone.
    pub fn plan(
        site: &Site,
        manifest: &Manifest,
        sources: Vec<Source>,
        directories: &[PathBuf],
        purpose: Purpose,
    ) -> Result<Replacement> {
        let fs = site.fs();
        let give_way = Places::of(site, manifest, purpose)?.in_the_way()?;
        let mut databases = Vec::new();
        for directory in directories {
            let path = site.relative(directory)?;
            let is_wanted = manifest.databases.iter().any(|entry| entry.path == path);
            if !is_wanted && give_way.iter().any(|above| is_below(&path, above)) {
                continue;
            }
            let seq = manifest.databases.iter().find(|entry| entry.path == path).map_or(0, |entry| entry.seq);
            let start = start_beyond(&*fs, directory, seq)?;
            databases.push(Restarted { path, start, catalog: BTreeMap::new() });
        }
        let strangers = Strangers::of(site, directories)?;
        // It lists what they need, and everything that the copy of it lists.
        let keeps_record = purpose == Purpose::PutBack && !strangers.directories().is_empty();
        let stays = |path: &str| keeps_record && path == DATABASES;
        let (mut files, mut unchanged) = (Vec::new(), Vec::new());
        for (file, source) in manifest.files.iter().zip(sources) {
            if let Kind::Collection { database, collection, layout: Some(layout) } = &file.kind
                && let Some(database) = databases.iter_mut().find(|known| known.path == *database)
            {
                let (hash, size): (FileHash, u64) = (source.content.hash, source.content.size);
                let record = SnapshotRecord { hash, size, covers: database.start.seq, layout: *layout };
                let record = CollectionRecord { snapshots: vec![record], ..CollectionRecord::default() };
                database.catalog.insert(collection.clone(), record);
            }
            let Content { size, sha256, .. } = source.content;
            match source.from {
                _ if stays(&file.path) => {}
                Some(from) => files.push(Placed { from, to: file.path.clone(), size, sha256 }),
                None => unchanged.push(file.path.clone()),
            }
        }
        let (mut remove, remove_directories) = surplus(site, manifest, directories, &give_way, &strangers)?;
        remove.retain(|path| !stays(path));
        let directories = manifest.directories.clone();
        let ends = Vec::new();
        let plan = Replacement {
            remove,
            give_way,
            remove_directories,
            directories,
            files,
            unchanged,
            databases,
            ends,
        };
        plan.check_writable(site)?;
        Ok(plan)
    }

    /// Checks permissions, so that what would fail half-way fails before anything is changed.
    fn check_writable(&self, site: &Site) -> Result<()> {
        let fs = site.fs();
        let lists = [&self.remove, &self.give_way, &self.remove_directories];
        let placed = self.files.iter().map(|file| &file.to);
        let mut changed: BTreeSet<PathBuf> =
            lists.into_iter().flatten().chain(placed).map(|path| site.base.absolute(path)).collect();
        for path in self.directories.iter().map(|path| site.base.absolute(path)) {
            if fs.metadata(&path).at("look up", &path)?.is_none() {
                changed.insert(path);
            }
        }
        check_writable(site, &changed)
    }

    /// Adds another intent that ends with this one.
    pub fn ending(mut self, path: String) -> Replacement {
        self.ends.push(path);
        self
    }

    pub fn databases(&self) -> impl Iterator<Item = &str> {
        self.databases.iter().map(|database| database.path.as_str())
    }

    /// Every path in the plan.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let removed = [&self.remove, &self.give_way, &self.remove_directories];
        let lists = removed.into_iter().chain([&self.directories, &self.unchanged, &self.ends]);
        let files = self.files.iter().flat_map(|file| [file.from.as_str(), file.to.as_str()]);
        lists.flatten().map(String::as_str).chain(files).chain(self.databases())
    }

    /// Whether all files come from below the directories where copies are staged, nothing else in the plan touches those
    /// directories, and nothing gives way outside `data`.
    pub fn keeps_to_its_places(&self, site: &Site) -> bool {
        let staging = [site.restore_directory(), site.migration_directory()];
        let depth = |path: &str| {
            let path = site.base.absolute(path);
            staging.iter().find_map(|staging| Some(path.strip_prefix(staging).ok()?.components().count()))
        };
        let lists =
            [&self.remove, &self.give_way, &self.remove_directories, &self.directories, &self.unchanged];
        let mut changed = self.files.iter().map(|file| &file.to).chain(lists.into_iter().flatten());
        let mut staged = self.files.iter().map(|file| &file.from);
        // The first level is that of the intent itself.
        staged.all(|from| depth(from).is_some_and(|depth| depth > 1))
            && changed.all(|path| depth(path).is_none())
            && self.give_way.iter().all(|path| path.starts_with("data/"))
    }

    /// Writes the intent: from here on the replacement is rolled forward, whatever happens. If this fails, nothing is
    /// replaced, unless not even the intent can be withdrawn.
    pub fn declare(&self, site: &Site) -> Result<()> {
        if site.options.is_mutant(Mutant::ReplaceWithoutIntent) {
            return Ok(());
        }
        let (fs, path) = (site.fs(), site.restore_intent());
        intent::declare(&*fs, &path, self).or_else(|error| {
            intent::withdraw(&*fs, &path).map_err(|_| error.clone().with_unknown_outcome())?;
            Err(error)
        })
    }

    /// Does what the intent says. The databases stay marked as migrating. `again` says that an earlier attempt may have done
    /// part of it, and that its changes to names may not have reached the disk.
    pub fn carry_out(&self, site: &Site, again: bool) -> Result<()> {
        let fs = site.fs();
        let mut touched = DirectoriesAbove::new(site.base.path());
        self.make_way(site, again, &mut touched)?;
        for path in self.directories.iter().map(|path| site.base.absolute(path)) {
            fs::create_dirs(&*fs, &path).at("create", &path)?;
            touched.add(&path);
        }
        self.create_homes(site)?;
        for file in &self.files {
            let to = site.base.absolute(&file.to);
            place(&*fs, &site.base.absolute(&file.from), &to, file)?;
            touched.add(&to);
        }
        for path in self.unchanged.iter().map(|path| site.base.absolute(path)) {
            sync_file(&*fs, &path)?;
            touched.add(&path);
        }
        // The innermost first: no directory becomes durable before what is in it.
        for directory in touched.directories.into_iter().rev() {
            sync_directory(&*fs, &directory)?;
        }
        for database in &self.databases {
            let directory = site.base.absolute(&database.path);
            start_over(&*fs, &directory, &database.start, &database.catalog)?;
            fs::sync_dirs_above(&*fs, &directory.join("x")).at("sync the directories above", &directory)?;
        }
        Ok(())
    }

    /// Removes what is not to stay, and what has another kind than what takes its place. Adds what it changed to `touched`.
    fn make_way(&self, site: &Site, again: bool, touched: &mut DirectoriesAbove<'_>) -> Result<()> {
        use io::ErrorKind::{DirectoryNotEmpty, ResourceBusy};
        let fs = site.fs();
        for path in self.remove.iter().map(|path| site.base.absolute(path)) {
            match fs.remove_file(&path) {
                Err(error) if is_missing(&error) && again => {
                    fs::redo_removal(&*fs, &path).at("remove", &path)?
                }
                Err(error) if !is_missing(&error) => return Err(Error::io("remove", &path, &error)),
                _ => {}
            }
            touched.add(&path);
        }
        let files: BTreeSet<&str> = self.files.iter().map(|file| file.to.as_str()).collect();
        for path in &self.give_way {
            let becomes_directory = !files.contains(path.as_str());
            let path = site.base.absolute(path);
            let found = fs.symlink_metadata(&path).at("look up", &path)?;
            if found.is_some_and(|found| (found.kind == FileKind::Directory) != becomes_directory) {
                fs::remove_tree(&*fs, &path).at("remove", &path)?;
            }
            touched.add(&path);
        }
        for path in self.remove_directories.iter().map(|path| site.base.absolute(path)) {
            match fs.remove_dir(&path) {
                // Something was put there meanwhile, or it is where a file system is mounted.
                Err(error) if matches!(error.kind(), DirectoryNotEmpty | ResourceBusy) => {}
                Err(error) if !is_missing(&error) => return Err(Error::io("remove", &path, &error)),
                _ => {}
            }
            touched.add(&path);
        }
        Ok(())
    }

    /// Creates the directories into which files are moved and makes them durable. This includes those that exist: whoever
    /// created one may have died before it was durable, and what is moved into it would be lost with it.
    fn create_homes(&self, site: &Site) -> Result<()> {
        let fs = site.fs();
        let mut homes = DirectoriesAbove::new(site.base.path());
        for file in &self.files {
            if let Some(parent) = site.base.absolute(&file.to).parent() {
                fs::create_dirs(&*fs, parent).at("create", parent)?;
                homes.add(parent);
            }
        }
        for directory in homes.directories {
            fs.sync_dir(&directory).at("sync directory", &directory)?;
        }
        Ok(())
    }

    /// Ends the intent once everything is durable, and removes the staged files.
    pub fn conclude(&self, site: &Site) -> Result<()> {
        let fs = site.fs();
        for path in &self.ends {
            intent::end(&*fs, &site.base.absolute(path))?;
        }
        intent::end(&*fs, &site.restore_intent())?;
        remove_staged(site);
        Ok(())
    }

    /// Marks the databases and writes the intent, while nobody else has the databases open.
    ///
    /// # Errors
    /// Everything is as before, unless the outcome is unknown.
    pub fn begin(&self, site: &Site, owned: &[Owned<'_>]) -> Result<()> {
        let begun = mark(site, owned, true).and_then(|()| self.declare(site));
        if begun.as_ref().is_err_and(|error| error.outcome() == Outcome::None) {
            mark(site, owned, false)?;
        }
        begun
    }

    /// Carries out an intent that is there already, but may not be durable itself. Generations that the earlier attempt
    /// began are not begun a second time, so that engines that have seen them notice.
    pub fn repeat(mut self, site: &Site, owned: &mut [Owned<'_>]) -> Result<()> {
        let fs = site.fs();
        mark(site, owned, true)?;
        for database in &mut self.databases {
            database.start = database.start.again(&*fs, &site.base.absolute(&database.path))?;
        }
        intent::declare(&*fs, &site.restore_intent(), &self)?;
        self.finish(site, owned, true)
    }

    /// Carries out the intent and ends it. `again` is as for [`Replacement::carry_out`].
    ///
    /// # Errors
    /// `IO_ERROR`. Unless the intent has ended by then, the databases stay marked, so that nobody writes to them until the
    /// next opening has rolled it forward.
    pub fn finish(&self, site: &Site, owned: &mut [Owned<'_>], again: bool) -> Result<()> {
        self.carry_out(site, again)?;
        owned.iter_mut().for_each(Owned::reload);
        self.conclude(site)?;
        mark(site, owned, false)
    }
}

/// Tells every process that the data of these databases is being replaced, or that it no longer is. A failure for one does
/// not keep the others from being marked.
fn mark(site: &Site, owned: &[Owned<'_>], migrating: bool) -> Result<()> {
    let fs = site.fs();
    owned.iter().map(|owned| owned.set_migrating(&*fs, migrating)).fold(Ok(()), Result::and)
}

/// Syncs a file that somebody else may own, if this process may: some systems sync only files that are open for writing.
pub fn sync_file(fs: &dyn Fs, path: &Path) -> Result<()> {
    match fs.open(path, OpenMode::Read).and_then(|file| file.sync_data()) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied || is_missing(&error) => Ok(()),
        other => other.at("sync", path),
    }
}

/// Syncs a directory that somebody else may remove at any time.
pub fn sync_directory(fs: &dyn Fs, path: &Path) -> Result<()> {
    match fs.sync_dir(path) {
        Err(error) if is_missing(&error) => Ok(()),
        other => other.at("sync directory", path),
    }
}

/// Moves a staged file into place. One that is in place already was moved by an earlier attempt.
fn place(fs: &dyn Fs, from: &Path, to: &Path, file: &Placed) -> Result<()> {
    match fs.rename(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let mut name = to.as_os_str().to_owned();
            name.push(".restored");
            let beside = PathBuf::from(name);
            fs::remove_tree(fs, &beside).at("remove", &beside)?;
            copy_file(fs, from, &beside, &mut |_| Ok(()))?;
            fs.rename(&beside, to).at("rename into place", to)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => match content_of(fs, to)? {
            Some(content) if (content.size, &content.sha256) == (file.size, &file.sha256) => {
                // A failed sync may have forgotten the first rename; it knows nothing of these.
                fs.rename(to, from).at("rename back", to)?;
                fs.rename(from, to).at("rename into place", to)
            }
            _ => Err(Error::corrupt(
                from,
                0,
                "the staged file is gone and its place does not have its content; restore a backup",
            )),
        },
        Err(error) => Err(Error::io("rename into place", to, &error)),
    }
}

/// Returns the files and directories that exist now and that the manifest lacks, except what gives way with all it holds.
fn surplus(
    site: &Site,
    manifest: &Manifest,
    databases: &[PathBuf],
    give_way: &[String],
    strangers: &Strangers,
) -> Result<(Vec<String>, Vec<String>)> {
    let fs = site.fs();
    let kept: BTreeSet<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
    let inventory = Inventory::of_data(site)?;
    let goes = |path: &str| give_way.iter().any(|above| is_below(path, above));
    if let Some(path) = strangers.directories().iter().find(|path| goes(path)) {
        return Err(Error::InvalidArgument(format!(
            "{} is a database that was created meanwhile, where something else must be put; remove it first",
            site.base.absolute(path).display()
        )));
    }
    let mut files: BTreeSet<String> = inventory.files.into_iter().collect();
    for directory in databases {
        for collection in known_collections(&fs, directory)? {
            let path = site.relative(&directory.join(collection))?;
            let absolute = site.base.absolute(&path);
            let found = fs.symlink_metadata(&absolute).at("look up", &absolute)?;
            if found.is_some_and(|found| found.kind == FileKind::File) {
                files.insert(path);
            }
        }
    }
    files.retain(|path| !kept.contains(path.as_str()) && !strangers.may_have(path) && !goes(path));
    let wanted: BTreeSet<&str> = manifest.directories.iter().map(String::as_str).collect();
    let mut directories = inventory.directories;
    directories.retain(|path| {
        let holds_database = databases
            .iter()
            .any(|database| site.relative(database).is_ok_and(|database| is_below(&database, path)));
        !wanted.contains(path.as_str()) && !strangers.may_have(path) && !holds_database && !goes(path)
    });
    directories.reverse();
    Ok((files.into_iter().collect(), directories))
}
