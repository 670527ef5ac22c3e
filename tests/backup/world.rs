//! A base path on a simulated machine: two databases, and files of other programs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use octoprompt_storage::engine::backup::{BackupOptions, Hold, RollbackCopy, Site, back_up, restore, settle};
use octoprompt_storage::engine::fs::{FileKind, Fs, SimFs};
use octoprompt_storage::engine::{
    BasePath, Database, DatabaseOptions, Durability, Error, Mutant, Part, ReadOptions, Registry, Result,
};

use crate::support::{no_wait, record, spec};

/// Returns a text that contains paths, with `/` between the names.
pub fn slashed(text: &impl std::fmt::Display) -> String {
    text.to_string().replace(std::path::MAIN_SEPARATOR, "/")
}

pub const BASE: &str = "/base";
/// One below `data`, and one that is recorded.
pub const DATABASES: [&str; 2] = ["data/one", "other"];
pub const COLLECTIONS: [&str; 2] = ["items.json", "deep/7/items.json"];

/// Database, collection, id.
pub type Key = (usize, usize, u64);

/// What can be seen of a base path: documents, and all files under `data` that are not collections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub documents: BTreeMap<Key, String>,
    pub files: BTreeMap<String, Vec<u8>>,
    pub directories: BTreeSet<String>,
}

/// A process, and the databases that it has open.
pub struct Process {
    pub fs: SimFs,
    pub site: Site,
    open: BTreeMap<usize, Arc<Database>>,
    /// The migration under way.
    pub held: Option<(Hold, RollbackCopy)>,
}

pub const READ: ReadOptions = ReadOptions { cached: false, lock_timeout: Duration::ZERO };

pub fn to_the_end() -> impl FnMut(u64, u64) -> ControlFlow<()> {
    |_, _| ControlFlow::Continue(())
}

pub fn options() -> BackupOptions {
    BackupOptions { include: Vec::new(), wait: no_wait() }
}

impl Process {
    /// Starts a process on the machine.
    pub fn start(fs: &SimFs) -> Process {
        Process::start_as(fs, None)
    }

    pub fn start_as(fs: &SimFs, mutant: Option<Mutant>) -> Process {
        let fs = fs.process();
        let options = DatabaseOptions {
            lock_timeout: Duration::ZERO,
            background: false,
            mutant,
            ..DatabaseOptions::default()
        };
        let base = BasePath::new(fs.handle(), Path::new(BASE));
        let site = Site { base, registry: Registry::default(), options };
        Process { fs, site, open: BTreeMap::new(), held: None }
    }

    /// Returns the database, opened as a storage opens it.
    pub fn database(&mut self, number: usize) -> Result<Arc<Database>> {
        if let Some(database) = self.open.get(&number) {
            return Ok(Arc::clone(database));
        }
        let database = self.site.open_under(&directory(number))?;
        self.open.insert(number, Arc::clone(&database));
        Ok(database)
    }

    /// Returns how many calls `work` makes in a fresh process.
    pub fn calls_of(mut self, work: impl FnOnce(&mut Process) -> Result<()>) -> u64 {
        work(&mut self).expect("nothing fails");
        self.fs.calls()
    }

    pub fn close(&mut self) {
        self.open.clear();
    }

    pub fn put(&mut self, (database, collection, id): Key, name: &str) -> Result<()> {
        self.put_with((database, collection, id), name, Durability::Full)
    }

    pub fn put_with(&mut self, key: Key, name: &str, durability: Durability) -> Result<()> {
        let (spec, text) = (spec(COLLECTIONS[key.1]), record(key.2, name).into_bytes());
        self.database(key.0)?.write(durability, move |t| t.put(&spec, key.2.into(), text))
    }

    pub fn checkpoint(&mut self) -> Result<()> {
        (0..DATABASES.len()).try_for_each(|number| self.database(number)?.checkpoint(no_wait()))
    }

    pub fn back_up(&mut self, name: &str) -> Result<PathBuf> {
        back_up(&self.site, Some(name), &options(), &mut to_the_end()).map(|made| made.path)
    }

    pub fn restore(&mut self, name: &str) -> Result<()> {
        restore(&self.site, Path::new(name), no_wait(), &mut to_the_end())
    }

    pub fn settle(&self) -> Result<()> {
        settle(&self.site, no_wait())
    }

    /// Returns everything that can be seen.
    pub fn see(&mut self) -> Result<Seen> {
        self.settle()?;
        let mut seen = Seen::default();
        for database in 0..DATABASES.len() {
            let handle = self.database(database)?;
            for (collection, path) in COLLECTIONS.iter().enumerate() {
                for text in handle.filter(&spec(path), Part::Whole, READ, |_| true)? {
                    let text = String::from_utf8_lossy(&text).into_owned();
                    let id = octoprompt_storage::engine::json::get(text.as_bytes(), "id")
                        .and_then(octoprompt_storage::engine::json::parse_number)
                        .expect("an id");
                    seen.documents.insert((database, collection, id as u64), text);
                }
            }
        }
        look(&self.fs, Path::new("/base/data"), "data", &mut seen);
        Ok(seen)
    }
}

pub fn directory(number: usize) -> PathBuf {
    Path::new(BASE).join(DATABASES[number])
}

fn look(fs: &SimFs, directory: &Path, relative: &str, seen: &mut Seen) {
    let own = [".storage", ".restore", ".migration", ".databases.lock"];
    for name in fs.list_dir(directory).expect("a directory") {
        if own.contains(&name.as_str()) {
            continue;
        }
        let (path, relative) = (directory.join(&name), format!("{relative}/{name}"));
        let is_collection = COLLECTIONS.iter().any(|path| relative == format!("data/one/{path}"));
        match fs.metadata(&path).expect("looked up").map(|found| found.kind) {
            Some(FileKind::Directory) => {
                // Directories of a collection come and go with its file.
                if !relative.starts_with("data/one/") {
                    seen.directories.insert(relative.clone());
                }
                look(fs, &path, &relative, seen);
            }
            _ if is_collection => {}
            _ => drop(seen.files.insert(relative, fs.read_file(&path).expect("a file"))),
        }
    }
}

/// A machine with data of all kinds: in snapshots, in journals, and of other programs.
pub fn machine() -> SimFs {
    let fs = SimFs::new();
    fs.make_dirs("/base/data/empty");
    fs.write_file("/base/data/notes.txt", b"not ours");
    fs.write_file("/base/data/deep/er/file.bin", &[0, 255, 7]);
    let mut process = Process::start(&fs);
    let filled = (|| {
        process.put((0, 0, 1), "in the snapshot")?;
        process.put((0, 1, 2), "nested")?;
        process.put((1, 0, 3), "elsewhere")?;
        process.checkpoint()?;
        process.put((0, 0, 4), "in the journal")
    })();
    filled.expect("data is written");
    drop(process);
    fs.kill()
}

/// Makes the changes on top of [`machine`] that a restore or a rollback must undo.
pub fn change(process: &mut Process) -> Result<()> {
    process.put((0, 0, 1), "changed")?;
    process.put((0, 1, 5), "new")?;
    process.put((1, 1, 6), "new elsewhere")?;
    process.database(0)?.checkpoint(no_wait())?;
    process.put((1, 0, 3), "changed elsewhere")?;
    process.put_with((1, 0, 8), "not synced", Durability::Os)?;
    process.fs.write_file("/base/data/notes.txt", b"changed");
    process.fs.remove("/base/data/deep/er/file.bin");
    process.fs.write_file("/base/data/added/file", b"added");
    Ok(())
}

pub fn code<T>(result: Result<T>) -> std::result::Result<T, &'static str> {
    result.map_err(|error: Error| error.code())
}

/// Returns the bytes of every file below a directory, except the engine's own.
pub fn image(fs: &SimFs, directory: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![PathBuf::from(directory)];
    while let Some(directory) = open.pop() {
        for name in fs.list_dir(&directory).unwrap_or_default() {
            let path = directory.join(&name);
            match fs.read_file(&path) {
                Some(bytes) => drop(files.insert(path, bytes)),
                None if name != ".storage" => open.push(path),
                None => {}
            }
        }
    }
    files
}
