//! Which databases a copy contains: all of the base path, wherever they are and however they are reached.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use octoprompt_storage::engine::backup::{BackupOptions, Hold, MigrationLock, Site, back_up, restore};
use octoprompt_storage::engine::fs::OsFs;
use octoprompt_storage::engine::{BasePath, Database, DatabaseOptions, Durability, Part, Registry, Result};

use crate::support::{record, spec, wait};
use crate::world::{READ, code, to_the_end};

/// A base path on a real disk, and a directory beside it.
pub struct Disk {
    temporary: tempfile::TempDir,
    pub site: Site,
}

impl Disk {
    pub fn new() -> Disk {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir_all(temporary.path().join("base/data")).expect("directories");
        let site = site(&temporary.path().join("base"));
        Disk { temporary, site }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        let base = self.temporary.path().join("base");
        if below.is_empty() { base } else { base.join(below) }
    }

    pub fn outside(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }

    pub fn open(&self, directory: &str) -> Arc<Database> {
        self.site.open_under(&self.path(directory)).expect("opens")
    }

    pub fn back_up(&self, name: &str) -> Result<serde_json::Value> {
        let options = BackupOptions { include: Vec::new(), wait: wait() };
        let path = back_up(&self.site, Some(name), &options, &mut to_the_end())?.path;
        let text = std::fs::read(path.join("manifest.json")).expect("a manifest");
        Ok(serde_json::from_slice::<serde_json::Value>(&text).expect("JSON")["content"].clone())
    }

    pub fn restore(&self, name: &str) -> Result<()> {
        restore(&self.site, Path::new(name), wait(), &mut to_the_end())
    }

    pub fn hold(&self) -> Result<Hold> {
        Hold::begin(self.site.clone(), MigrationLock::acquire(&self.site, wait())?, wait())
    }
}

fn site(base: &Path) -> Site {
    Site {
        base: BasePath::new(Arc::new(OsFs), base),
        registry: Registry::default(),
        options: DatabaseOptions { background: false, ..DatabaseOptions::default() },
    }
}

pub fn put(database: &Database, collection: &str, id: u64, name: &str) {
    let (items, text) = (spec(collection), record(id, name).into_bytes());
    database.write(Durability::Full, move |t| t.put(&items, id.into(), text)).expect("written");
}

pub fn list(database: &Database, collection: &str) -> Vec<String> {
    let texts = database.filter(&spec(collection), Part::Whole, READ, |_| true).expect("readable");
    texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

fn databases(manifest: &serde_json::Value) -> Vec<&str> {
    let entries = manifest["databases"].as_array().expect("an array");
    entries.iter().map(|entry| entry["path"].as_str().expect("a path")).collect()
}

/// Checks that a database is backed up, restored, and put back after a migration.
fn is_covered(disk: &Disk, directory: &str) {
    let before = [record(1, "before")];
    let database = disk.open(directory);
    put(&database, "items.json", 1, "before");
    let manifest = disk.back_up("one").expect("backed up");
    assert_eq!(databases(&manifest), [directory], "{manifest}");
    put(&database, "items.json", 1, "after");
    disk.restore("one").unwrap_or_else(|error| panic!("{directory}: {error}"));
    assert_eq!(list(&database, "items.json"), before, "{directory}");
    let hold = disk.hold().expect("held");
    let copy = hold.copy(None).expect("copied");
    put(&database, "items.json", 1, "migrated");
    database.checkpoint(wait()).expect("checkpointed");
    hold.put_back(copy).unwrap_or_else(|error| panic!("{directory}: {error}"));
    drop(hold);
    assert_eq!(list(&database, "items.json"), before, "{directory}");
    put(&database, "items.json", 2, "afterwards");
    drop(database);
    let manifest = disk.back_up("two").expect("backed up");
    assert_eq!(databases(&manifest), [directory], "closed: {manifest}");
}

#[test]
fn a_backup_covers_a_database_with_a_dot_name() {
    for directory in ["data/.chat", "data/a/.b", "data/.a/b"] {
        is_covered(&Disk::new(), directory);
    }
}

#[cfg(unix)]
#[test]
fn a_backup_covers_a_database_behind_a_symbolic_link() {
    for directory in ["data/linked", "data/linked/below", "other/linked/below"] {
        let disk = Disk::new();
        std::fs::create_dir_all(disk.outside("away")).expect("a directory");
        let link = disk.path(directory.strip_suffix("/below").unwrap_or(directory));
        std::fs::create_dir_all(link.parent().expect("a parent")).expect("a directory");
        std::os::unix::fs::symlink(disk.outside("away"), &link).expect("a link");
        is_covered(&disk, directory);
        assert!(std::fs::symlink_metadata(&link).expect("there").is_symlink(), "{directory}");
    }
}

#[test]
fn a_backup_covers_a_database_in_the_base_path_itself() {
    let disk = Disk::new();
    std::fs::write(disk.path("a file of somebody else"), "left alone").expect("written");
    is_covered(&disk, "");
    assert!(disk.path("a file of somebody else").exists());
}

#[test]
fn a_backup_includes_an_open_database_whose_record_was_lost() {
    let disk = Disk::new();
    let database = disk.open("other");
    put(&database, "items.json", 1, "here");
    std::fs::remove_file(disk.path("data/.databases.json")).expect("removed");
    assert_eq!(databases(&disk.back_up("one").expect("backed up")), ["other"]);
}

#[cfg(unix)]
#[test]
fn two_paths_to_the_same_directory_are_one_database() {
    let disk = Disk::new();
    std::fs::create_dir_all(disk.path("data/real")).expect("a directory");
    std::os::unix::fs::symlink(disk.path("data/real"), disk.path("data/linked")).expect("a link");
    let (linked, real) = (disk.open("data/linked"), disk.open("data/real"));
    assert!(Arc::ptr_eq(&linked, &real));
    put(&linked, "items.json", 1, "before");
    assert_eq!(disk.site.base.databases().expect("found"), [disk.path("data/real")]);
    assert_eq!(databases(&disk.back_up("one").expect("backed up")), ["data/real"]);
    put(&linked, "items.json", 1, "after");
    disk.restore("one").expect("restored");
    assert_eq!(list(&linked, "items.json"), [record(1, "before")]);
}

#[test]
fn opening_a_database_in_a_reserved_directory_is_refused() {
    for directory in ["backups/mine", "data/.migration/mine", "data/.restore", "data/a/.storage"] {
        let disk = Disk::new();
        let opened = disk.site.open_under(&disk.path(directory)).map(drop);
        assert_eq!(code(opened), Err("INVALID_ARGUMENT"), "{directory}");
        assert!(!disk.path(directory).exists(), "{directory}");
    }
}

/// The order of the paths as spelled differs from that of the directories to which they lead.
#[cfg(unix)]
#[test]
fn each_database_is_rolled_back_with_its_own_collections_in_any_order() {
    let disk = Disk::new();
    std::fs::create_dir_all(disk.outside("a directory before the base path")).expect("a directory");
    std::os::unix::fs::symlink(disk.outside("a directory before the base path"), disk.path("data/z"))
        .expect("a link");
    let (first, last) = (disk.open("data/a"), disk.open("data/z"));
    put(&first, "first.json", 1, "before");
    put(&last, "last.json", 2, "before");
    let hold = disk.hold().expect("held");
    let copy = hold.copy(None).expect("copied");
    put(&first, "first.json", 1, "migrated");
    put(&last, "last.json", 2, "migrated");
    hold.put_back(copy).expect("put back");
    drop(hold);
    assert_eq!(list(&first, "first.json"), [record(1, "before")]);
    assert_eq!(list(&last, "last.json"), [record(2, "before")]);
}
