//! Which database a file belongs to.
//!
//! A file inside a database's directory belongs to that database, unless the directory of another database lies between
//! them. Every other file is claimed in the record of the base path, so that no second database writes to it.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::backup::{OWN, is_safe};
use super::base_path::{BasePath, RECORD, claimed_by_others};
use super::database::{
    Database, check_path, collection_file, collections_in, leads_out, passes_symlink, uses_collection,
};
use super::error::{Error, IoContext, Result};
use super::fs::Fs;
use super::journal::RESERVED;
use super::lock::Wait;
use super::migration::STATE_FILE;
use super::normal_path::is_device;
use super::registry::Registry;

/// The beginning of the names of the files that record the databases of the base path.
const RECORDS: &str = "data/.databases.";
/// Where the indexes that callers fill by hand are stored, relative to their database.
const INDEXES_FILE: &str = "indexes.json";
const INDEXES: &str = "indexes/";
/// The longest name of a file or directory in the path of a new collection, in bytes. File systems allow 255, of which the
/// copy of a damaged or edited file needs some for its suffix.
const MAX_NAME: usize = 200;

/// Refuses a directory in which a caller may not have a database: backups, and everything else that handles all databases of
/// a base path, know only the base path itself and the databases below it. Touches no file.
///
/// # Errors
/// `INVALID_ARGUMENT` for a directory outside the base path, and for one that is reserved for the engine.
pub fn check_directory(base: &BasePath, directory: &Path) -> Result<()> {
    let refuse = |why: &str| {
        let message = format!("the directory {} of a database {why}", directory.display());
        Err(Error::InvalidArgument(message))
    };
    if directory == base.path() {
        return Ok(());
    }
    let Some(name) = base.relative(directory) else {
        let base = base.path().display();
        return refuse(&format!("is not under {base}; use another dataDir, or a basePath above it"));
    };
    if is_reserved(&name) {
        return refuse("is reserved for this package; use another dataDir");
    }
    Ok(())
}

/// Makes `path` a collection of the database in `directory`, which is spelled as the caller spells it; `database` is the
/// open database. Looks at a few directories and reads the record of the base path.
///
/// # Errors
/// `INVALID_ARGUMENT` for a path that no collection may have, for a file that belongs to another database, and for one that
/// the migration under way could not put back.
pub fn own_collection(
    base: &BasePath,
    database: &Database,
    directory: &Path,
    path: &str,
    wait: Wait,
) -> Result<()> {
    check_collection(base, database, directory, path)?;
    check_names(base, directory, path)?;
    if let Some(held) = Registry::of_process().hold_on(base) {
        held.check_collection(base, directory, path)?;
    }
    let file = collection_file(directory, path);
    let owner = base.owner(&file)?;
    if owner.as_deref() == Some(directory) {
        return Ok(());
    }
    let fs = base.file_system();
    let others = databases_above(&*fs, base.path(), directory, &file)?;
    let taken = |other: &Path| {
        let (file, other) = (file.display(), other.display());
        Error::InvalidArgument(format!(
            "{file} belongs to the database {other}; use that dataDir, or another file"
        ))
    };
    for other in &others {
        if let Some(name) = relative_to(other, &file)
            && uses_collection(&fs, other, &name)?
        {
            return Err(taken(other));
        }
    }
    if leads_out(path) || !others.is_empty() {
        // If nothing can be written there, nobody else can claim the file either.
        return if database.is_read_only() { Ok(()) } else { base.claim(&file, directory, wait) };
    }
    owner.map_or(Ok(()), |owner| Err(taken(&owner)))
}

/// Refuses to remove a path that does not belong to an entity. For paths inside databases see
/// `Transaction::remove_entity_path`.
///
/// # Errors
/// `INVALID_ARGUMENT` for a path outside the base path, for a reserved one, and for one that holds `data` or a claimed file;
/// those of [`check_removals`].
pub fn check_entity_path(base: &BasePath, database: &Database, directory: &Path, path: &str) -> Result<()> {
    check_path(directory, path)?;
    let target = collection_file(directory, path);
    let refuse = |why: String| Err(Error::InvalidArgument(format!("the path {path:?} of an entity {why}")));
    if leads_out(path) {
        check_way_out(base, database, directory, path)?;
    }
    if base.data().starts_with(&target) {
        return refuse("holds what belongs to this package".into());
    }
    if base.relative(&target).is_some_and(|name| is_reserved(&name)) {
        return refuse("is reserved for this package".into());
    }
    match base.claimed_below(&target)? {
        Some(file) => refuse(format!("holds {}, the file of a database", file.display())),
        None => Ok(()),
    }
}

/// Refuses to remove paths of the database in `directory` at or below which another database has a collection. Called last
/// before a batch is written: the collection may be newer than an earlier check. Reads the record of the base path, and the
/// journals of other databases whose directories the paths are in.
///
/// # Errors
/// `INVALID_ARGUMENT`, `CORRUPT_DATA`, `IO_ERROR`.
pub fn check_removals<'p>(
    base: &BasePath,
    directory: &Path,
    paths: impl Iterator<Item = &'p str>,
) -> Result<()> {
    let targets: Vec<PathBuf> = paths.map(|path| collection_file(directory, path)).collect();
    if targets.is_empty() {
        return Ok(());
    }
    let files = files_of_others(&base.file_system(), base.path(), directory, &targets)?;
    for target in &targets {
        if let Some(file) = at_or_below(&files, target).next() {
            return Err(Error::InvalidArgument(format!(
                "{} cannot be removed, because it holds {}, the file of a database",
                target.display(),
                file.display()
            )));
        }
    }
    Ok(())
}

/// Returns the files that other databases than that in `directory` have claimed, and the collections of those whose
/// directories hold what is at `targets`.
///
/// # Errors
/// `CORRUPT_DATA`, `IO_ERROR`.
pub(super) fn files_of_others(
    fs: &Arc<dyn Fs>,
    base: &Path,
    directory: &Path,
    targets: &[PathBuf],
) -> Result<BTreeSet<PathBuf>> {
    let mut files: BTreeSet<PathBuf> = claimed_by_others(&**fs, base, directory)?.into_iter().collect();
    let mut others = BTreeSet::new();
    for target in targets {
        if fs.symlink_metadata(target).at("look up", target)?.is_some() {
            others.extend(databases_above(&**fs, base, directory, target)?);
        }
    }
    for other in others {
        files.extend(collections_in(fs, &other)?.iter().map(|name| collection_file(&other, name)));
    }
    Ok(files)
}

/// Returns the files that are at a path or below it. O(log n + found).
pub(super) fn at_or_below<'f>(
    files: &'f BTreeSet<PathBuf>,
    path: &'f Path,
) -> impl Iterator<Item = &'f PathBuf> {
    files
        .range::<Path, _>((Bound::Included(path), Bound::Unbounded))
        .take_while(move |file| file.starts_with(path))
}

/// Returns the directories of the databases above a file, except that in `directory`.
fn databases_above(fs: &dyn Fs, base: &Path, directory: &Path, file: &Path) -> Result<Vec<PathBuf>> {
    let mut others = Vec::new();
    for above in file.ancestors().skip(1).take_while(|above| above.starts_with(base)) {
        let reserved = above.join(RESERVED);
        if above != directory && fs.metadata(&reserved).at("look up", &reserved)?.is_some() {
            others.push(above.to_path_buf());
        }
    }
    Ok(others)
}

/// Refuses a file or directory that a caller may not read or write directly.
///
/// # Errors
/// `INVALID_ARGUMENT` for a path outside the base path, one that is reserved for the engine, or a claimed file.
pub fn check_plain_file(base: &BasePath, path: &Path) -> Result<()> {
    let refuse = |why: &str| Err(Error::InvalidArgument(format!("{} {why}", path.display())));
    if path == base.path() {
        return Ok(());
    }
    let name = base.relative_or_refuse(path)?;
    if is_reserved(&name) {
        return refuse("is reserved for this package");
    }
    match base.owner(path)? {
        Some(_) => refuse("holds the entities of a storage: use its methods"),
        None => Ok(()),
    }
}

fn check_collection(base: &BasePath, database: &Database, directory: &Path, path: &str) -> Result<()> {
    check_path(directory, path)?;
    let file = collection_file(directory, path);
    let problem = if path == INDEXES_FILE || path.starts_with(INDEXES) {
        Some("holds indexes")
    } else if base.relative(&file).is_some_and(|name| is_reserved(&name)) {
        Some("is reserved for this package")
    } else {
        None
    };
    if let Some(problem) = problem {
        return Err(Error::InvalidArgument(format!("{} {problem}; use another file", file.display())));
    }
    if !leads_out(path) {
        return Ok(());
    }
    check_way_out(base, database, directory, path)?;
    if passes_symlink(&*base.file_system(), database.directory(), path)? {
        let problem = format!("{} is reached through a symlink; name the file itself", file.display());
        return Err(Error::InvalidArgument(problem));
    }
    Ok(())
}

/// Refuses a new collection with a name that Windows cannot have, or too long a one for copies of its file. Collections that
/// exist stay usable where they are.
fn check_names(base: &BasePath, directory: &Path, path: &str) -> Result<()> {
    let file = collection_file(directory, path);
    let problem = if let Some(name) = path.split('/').find(|name| is_device(name)) {
        format!("{} cannot exist on Windows, where {name} is a device; use another file", file.display())
    } else if let Some(name) = path.split('/').find(|name| name.len() > MAX_NAME) {
        let bytes = name.len();
        format!("{} has a name of {bytes} bytes; use at most {MAX_NAME}", file.display())
    } else {
        return Ok(());
    };
    let fs = base.file_system();
    let exists = match fs.metadata(&file) {
        // Too long a name for the file system.
        Err(error) if error.kind() == ErrorKind::InvalidFilename => false,
        found => found.at("look up", &file)?.is_some(),
    };
    if exists || uses_collection(&fs, directory, path)? {
        return Ok(());
    }
    Err(Error::InvalidArgument(problem))
}

/// Checks that a path out of the database's directory stays under the base path, with symlinks resolved too.
fn check_way_out(base: &BasePath, database: &Database, directory: &Path, path: &str) -> Result<()> {
    let file = collection_file(directory, path);
    base.relative_or_refuse(&file)?;
    let root = base.file_system().canonical(base.path()).at("resolve", base.path())?;
    let same =
        directory.strip_prefix(base.path()).is_ok_and(|below| root.join(below) == database.directory());
    if same {
        return Ok(());
    }
    Err(Error::InvalidArgument(format!(
        "{} is reached through a symlink, so its files must lie inside it; {} does not",
        directory.display(),
        file.display()
    )))
}

/// Returns the names directly in `data` of what belongs to the engine beside the databases.
pub fn own_names() -> impl Iterator<Item = &'static str> {
    OWN.into_iter().chain([RECORD, STATE_FILE.trim_start_matches("data/")])
}

/// Whether a path, relative to the base path, is one that backups and migrations keep for themselves, or that no backup puts
/// back. Some file systems ignore case.
fn is_reserved(name: &str) -> bool {
    let record = name.to_ascii_lowercase();
    record == STATE_FILE || record.starts_with(RECORDS) || !is_safe(name)
}

/// Returns the path of a file relative to a database above it.
fn relative_to(directory: &Path, file: &Path) -> Option<String> {
    let names: Option<Vec<&str>> =
        file.strip_prefix(directory).ok()?.iter().map(|name| name.to_str()).collect();
    names.map(|names| names.join("/"))
}

impl BasePath {
    /// Returns a claimed file that is at the path or below it, if there is one. The claims of databases that do not exist any
    /// more are void.
    fn claimed_below(&self, path: &Path) -> Result<Option<PathBuf>> {
        for (file, owner) in self.claims()? {
            if file.starts_with(path) && self.is_database(&owner)? {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::engine::database::{CollectionSpec, DatabaseOptions};
    use crate::engine::fs::SimFs;
    use crate::engine::options::Durability;

    const DIRECTORY: &str = "/base/data/d";

    fn opened() -> (SimFs, BasePath, Arc<Database>) {
        let fs = SimFs::new();
        fs.make_dirs(DIRECTORY);
        let base = BasePath::new(fs.handle(), Path::new("/base"));
        let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
        let database = Database::open(fs.handle(), Path::new(DIRECTORY), options).expect("opens");
        (fs, base, database)
    }

    fn own(base: &BasePath, database: &Database, path: &str) -> std::result::Result<(), String> {
        let wait = Wait::at_most(Duration::from_secs(5));
        own_collection(base, database, Path::new(DIRECTORY), path, wait).map_err(|error| error.to_string())
    }

    /// Expects a new collection in each of these files to be refused with this message, and one that exists, in the journal
    /// or as a file alone, to be owned.
    fn only_existing_may_have(paths: [&str; 2], message: &str) {
        let (fs, base, database) = opened();
        for path in paths {
            let refused = own(&base, &database, path).expect_err(path);
            assert!(refused.contains(message), "{refused}");
        }
        let spec = Arc::new(CollectionSpec::plain(paths[0]));
        let put =
            move |t: &mut crate::engine::Transaction<'_>| t.put(&spec, 1.into(), br#"{"id":1}"#.to_vec());
        database.write(Durability::Os, put).expect("written");
        let file = Path::new(DIRECTORY).join(paths[1]);
        fs.make_dirs(file.parent().expect("a directory"));
        fs.write_file(&file, b"{}");
        assert_eq!(paths.map(|path| own(&base, &database, path)), [Ok(()), Ok(())]);
    }

    #[cfg(not(windows))]
    #[test]
    fn only_an_existing_collection_may_have_the_name_of_a_device() {
        only_existing_may_have(["con.json", "prn.json"], "cannot exist on Windows");
        only_existing_may_have(["../NUL", "aux/x.json"], "cannot exist on Windows");
    }

    #[test]
    fn only_an_existing_collection_may_have_a_name_of_more_than_200_bytes() {
        let long = "é".repeat(98);
        let file = format!("{long}.json");
        let directory = format!("{file}/x.json");
        only_existing_may_have([&file, &directory], "has a name of 201 bytes; use at most 200");
    }

    #[test]
    fn a_new_collection_may_have_any_other_name_of_at_most_200_bytes() {
        let (_, base, database) = opened();
        for name in ["contacts.json", &"n".repeat(200)] {
            assert_eq!(own(&base, &database, name), Ok(()));
        }
    }

    const CLAIMED: &str = "/base/shared/x.json";

    /// Opens another database and claims a file for it.
    fn claimed() -> (SimFs, BasePath, Arc<Database>, Arc<Database>) {
        let (fs, base, database) = opened();
        fs.make_dirs("/base/other");
        fs.make_dirs("/base/shared");
        let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
        let other = Database::open(fs.handle(), Path::new("/base/other"), options).expect("opens");
        let wait = Wait::at_most(Duration::from_secs(5));
        base.claim(Path::new(CLAIMED), Path::new("/base/other"), wait).expect("claimed");
        (fs, base, database, other)
    }

    /// Whether the directory of the claimed file may be removed, before a batch and at its end.
    fn may_be_removed(base: &BasePath, database: &Database) -> [bool; 2] {
        let path = "../../shared";
        let checked = [
            check_entity_path(base, database, Path::new(DIRECTORY), path),
            check_removals(base, Path::new(DIRECTORY), [path].into_iter()),
        ];
        checked.map(|checked| match checked {
            Ok(()) => true,
            Err(Error::InvalidArgument(message)) => !message.contains("x.json, the file of a database"),
            Err(error) => panic!("{error}"),
        })
    }

    #[test]
    fn the_claim_of_a_database_that_is_gone_keeps_nothing() {
        let (fs, base, database, other) = claimed();
        fs.write_file(CLAIMED, b"{}");
        assert_eq!(may_be_removed(&base, &database), [false; 2]);
        drop(other);
        crate::engine::fs::remove_tree(&fs, Path::new("/base/other")).expect("removed");
        assert_eq!(may_be_removed(&base, &database), [true; 2]);
    }

    #[test]
    fn a_database_must_lie_in_the_base_path_outside_reserved_directories() {
        let base = BasePath::new(SimFs::new().handle(), Path::new("/base"));
        for good in [
            "/base",
            "/base/data",
            "/base/x/y",
            "/base/data/project_storage",
            "/base/.storages",
            "/base/data/..x",
        ] {
            assert!(check_directory(&base, Path::new(good)).is_ok(), "{good}");
        }
        for bad in [
            "/",
            "/other",
            "/base/../x",
            "/base/data/.storage",
            "/base/.STORAGE/x",
            "/base/backups",
            "/base/backups/one",
            "/base/data/.migration",
            "/base/data/.restore/deep",
            "/base/data/.databases.json",
            "/base/data/.migration-state.json",
        ] {
            let refused = check_directory(&base, Path::new(bad));
            assert!(matches!(refused, Err(Error::InvalidArgument(_))), "{bad}");
        }
    }
}
