//! One engine for each directory in a process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Weak};
use std::time::Instant;

use parking_lot::Mutex;

use super::backup::{HeldDatabases, Site};
use super::base_path::BasePath;
use super::cancel;
use super::database::{Database, DatabaseOptions};
use super::error::{Error, IoContext, Result};
use super::fs::{self, Fs, Identity};
use super::lock::Wait;
use super::verify::{VerifyReport, verify};

/// A slot that is locked while its database is being opened, so that two callers do not open it twice.
type Place = Arc<Mutex<Weak<Database>>>;

/// The databases that a process has open. Clones share one registry.
#[derive(Clone, Default)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Keyed by identity, so that symlinks and spellings make no difference.
    open: Mutex<HashMap<Identity, Place>>,
    /// The databases that were opened under a base path.
    opened: Mutex<Vec<Opened>>,
    /// Base paths whose databases this process holds, and their holders.
    holds: Mutex<Vec<(PathBuf, Weak<HeldDatabases>)>>,
}

/// A database that was opened under a base path.
struct Opened {
    base: PathBuf,
    directory: PathBuf,
    database: Weak<Database>,
}

static PROCESS: LazyLock<Registry> = LazyLock::new(Registry::default);

/// Opens the database in `directory`, which is under `base`, like [`Registry::open`], and records it in the base path. An
/// interrupted migration or restore of the base path is settled first.
///
/// # Errors
/// As [`check_directory`](super::check_directory()), [`Database::open`] and [`settle`](super::backup::settle()).
pub fn open_under(
    base: &BasePath,
    directory: &Path,
    options: DatabaseOptions,
    wait: Wait,
) -> Result<Arc<Database>> {
    Site { base: base.clone(), registry: Registry::of_process(), options }.open_under_by(directory, wait)
}

/// Verifies the database in `directory` as [`verify()`] does, and through its engine if this process has it open: during a
/// migration, nothing else gets the locks.
///
/// # Errors
/// As [`Database::verify`].
pub fn verify_shared(file_system: &Arc<dyn Fs>, directory: &Path, wait: Wait) -> Result<VerifyReport> {
    match Registry::of_process().find(&**file_system, directory)? {
        Some(database) => database.verify(wait),
        None => verify(file_system, directory, wait),
    }
}

impl Registry {
    /// Returns the registry of this process.
    pub fn of_process() -> Registry {
        PROCESS.clone()
    }

    /// Returns the database in `directory`, which is opened unless this process has it open already. It is closed when the
    /// last `Arc` is dropped. Waits until the deadline of `wait` for the write lock. Between attempts to take it, nothing of
    /// this process is locked, so that all callers wait at the same time and not one after another.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open(
        &self,
        file_system: &Arc<dyn Fs>,
        directory: &Path,
        options: DatabaseOptions,
        wait: Wait,
    ) -> Result<Arc<Database>> {
        let mut pauses = wait.long_pauses();
        loop {
            let now = Wait { deadline: Instant::now(), ..wait };
            match self.attempt(Arc::clone(file_system), directory, options, now) {
                Err(busy @ Error::LockTimeout { .. }) => {
                    cancel::check()?;
                    pauses.next(|| busy)?;
                }
                opened => return opened,
            }
        }
    }

    fn attempt(
        &self,
        file_system: Arc<dyn Fs>,
        directory: &Path,
        options: DatabaseOptions,
        wait: Wait,
    ) -> Result<Arc<Database>> {
        // A directory that cannot be created is opened anyway: reads find nothing, and writes return the error.
        if fs::create_dirs(&*file_system, directory).is_err()
            && file_system.metadata(directory).at("look up", directory)?.is_none()
        {
            return Database::open_by(file_system, directory, options, wait);
        }
        let directory = file_system.canonical(directory).at("resolve", directory)?;
        let Some(metadata) = file_system.metadata(&directory).at("look up", &directory)? else {
            return Database::open_by(file_system, &directory, options, wait);
        };
        let place = {
            let mut open = self.inner.open.lock();
            open.retain(|_, place| Arc::strong_count(place) > 1 || place.lock().strong_count() > 0);
            Arc::clone(open.entry(metadata.identity).or_default())
        };
        let mut place = place.lock();
        if let Some(database) = place.upgrade()
            && !is_replaced(&database)?
        {
            database.raise_cache_limits(options.cache);
            // Perhaps its last instance is closed and only a background checkpoint keeps it alive a little longer. For the
            // caller it was closed, so edits made since then must be seen at once.
            database.notice_all_edits()?;
            // A thread that holds the database exclusively looks it up here. It must not wait for a thread that waits for
            // it.
            drop(place);
            database.take_in_owners();
            return Ok(database);
        }
        let database = Database::open_by(file_system, &directory, options, wait)?;
        *place = Arc::downgrade(&database);
        drop(place);
        database.take_in_owners();
        Ok(database)
    }

    /// Returns the engine of a directory, if this process has it open.
    pub(super) fn find(&self, file_system: &dyn Fs, directory: &Path) -> Result<Option<Arc<Database>>> {
        let Some(metadata) = file_system.metadata(directory).at("look up", directory)? else {
            return Ok(None);
        };
        let place = self.inner.open.lock().get(&metadata.identity).cloned();
        Ok(place.and_then(|place| place.lock().upgrade()))
    }

    /// Notes that a database was opened under a base path.
    pub(super) fn note_open(&self, base: &BasePath, directory: &Path, database: &Arc<Database>) {
        let base = canonical(base);
        let mut opened = self.inner.opened.lock();
        opened.retain(|known| known.database.strong_count() > 0);
        let is_it = |known: &Opened| {
            known.base == base
                && known.directory == directory
                && known.database.as_ptr() == Arc::as_ptr(database)
        };
        if !opened.iter().any(is_it) {
            opened.push(Opened {
                base,
                directory: directory.to_path_buf(),
                database: Arc::downgrade(database),
            });
        }
    }

    /// Returns the directories of the databases that this process has open under a base path, as they were spelled.
    pub(super) fn opened_under(&self, base: &BasePath) -> Vec<PathBuf> {
        let base = canonical(base);
        let opened = self.inner.opened.lock();
        let live = opened.iter().filter(|known| known.base == base && known.database.strong_count() > 0);
        live.map(|known| known.directory.clone()).collect()
    }

    /// Makes `held` take in whatever is opened under `base` from now on, for as long as `held` lives.
    pub(super) fn note_hold(&self, base: &BasePath, held: &Arc<HeldDatabases>) {
        let mut holds = self.inner.holds.lock();
        holds.retain(|(_, held)| held.strong_count() > 0);
        holds.push((canonical(base), Arc::downgrade(held)));
    }

    /// Returns the holder of the databases of a base path in this process.
    pub(super) fn hold_on(&self, base: &BasePath) -> Option<Arc<HeldDatabases>> {
        let holds = self.inner.holds.lock();
        if holds.is_empty() {
            return None;
        }
        let base = canonical(base);
        holds.iter().filter(|(path, _)| *path == base).find_map(|(_, held)| held.upgrade())
    }
}

/// Returns whether the files of an open database are no longer those in its directory. Such a database keeps refusing every
/// call.
fn is_replaced(database: &Database) -> Result<bool> {
    match database.check_tip() {
        Err(Error::Replaced { .. }) => Ok(true),
        other => other.map(|()| false),
    }
}

/// Returns the one spelling of each base path. A base path that does not exist has no holders, so any spelling will do.
fn canonical(base: &BasePath) -> PathBuf {
    base.file_system().canonical(base.path()).unwrap_or_else(|_| base.path().to_path_buf())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::engine::checksum::Salt;
    use crate::engine::database::generations::first_header;
    use crate::engine::database::{CollectionSpec, Owners, Part, ReadOptions, Transaction};
    use crate::engine::fs::{Call, OsFs, SimFs};
    use crate::engine::journal::{LineBuffer, encode_batch, encode_line};
    use crate::engine::normal_path::normal_path;
    use crate::engine::options::Durability;
    use crate::engine::repair::repair_under;

    fn wait() -> Wait {
        Wait::at_most(Duration::from_secs(5))
    }

    fn open_on_disk(directory: &Path) -> Arc<Database> {
        let file_system: Arc<dyn Fs> = Arc::new(OsFs);
        let options = DatabaseOptions::default();
        Registry::of_process().open(&file_system, directory, options, wait()).expect("opens")
    }

    #[test]
    fn reopening_a_still_open_engine_adopts_edits_made_meanwhile() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let open = || open_on_disk(directory.path());
        let spec = spec("items.json");
        let options = ReadOptions { cached: true, lock_timeout: Duration::from_secs(5) };
        let list = |database: &Database| {
            let list = database.list(&spec, Part::Whole, options).expect("readable");
            String::from_utf8_lossy(&list).into_owned()
        };
        let file = directory.path().join("items.json");
        std::fs::write(&file, r#"{"1":{"id":1}}"#).expect("written");
        let lingering = open();
        assert_eq!(list(&lingering), r#"[{"id":1}]"#);
        std::fs::write(&file, r#"{"1":{"id":1,"edited":true}}"#).expect("written");
        let next = open();
        assert!(Arc::ptr_eq(&lingering, &next));
        assert_eq!(list(&next), r#"[{"id":1,"edited":true}]"#);
    }

    /// Returns a database whose owners will be taken in, because the file of a collection that belongs to one of them is
    /// gone.
    fn with_missing_file(fs: &SimFs, registry: &Registry) -> Arc<Database> {
        let database = open_with_owners(fs, registry);
        let owned = spec("owned.json");
        let put = move |tx: &mut Transaction<'_>| tx.put(&owned, 1.into(), b"{\"id\":1}".to_vec());
        database.write(Durability::Full, put).expect("written");
        database.checkpoint(wait()).expect("checkpointed");
        fs.remove("/database/owned.json");
        database
    }

    fn spec(path: &str) -> Arc<CollectionSpec> {
        Arc::new(CollectionSpec::plain(path))
    }

    fn owners(_: &Path) -> Option<Owners> {
        Some(Owners { spec: spec("owners.json"), owner: |path| (path == "owned.json").then(|| 1.into()) })
    }

    fn open_with_owners(fs: &SimFs, registry: &Registry) -> Arc<Database> {
        let options =
            DatabaseOptions { background: false, owners: Some(owners), ..DatabaseOptions::default() };
        registry.open(&fs.handle(), Path::new("/database"), options, wait()).expect("opens")
    }

    #[test]
    fn a_lock_holder_can_find_its_database_while_another_open_waits_for_the_lock() {
        let (fs, registry) = (SimFs::new(), Registry::default());
        let database = with_missing_file(&fs, &registry);
        let held = database.acquire(wait()).expect("free");
        let (looks, looking) = mpsc::channel();
        let is_look = |call: &Call| matches!(call, Call::Metadata { path } if path.ends_with("owned.json"));
        fs.before(is_look, move || looks.send(()).expect("somebody waits"));
        let opener = {
            let (fs, registry) = (fs.clone(), registry.clone());
            thread::spawn(move || drop(open_with_owners(&fs, &registry)))
        };
        looking.recv().expect("it looks for the missing file");
        let (finds, found) = mpsc::channel();
        let finder = thread::spawn(move || {
            finds.send(registry.find(&fs, Path::new("/database")).expect("found").is_some())
        });
        assert_eq!(found.recv_timeout(Duration::from_secs(60)), Ok(true));
        drop(held);
        opener.join().expect("opened");
        finder.join().expect("found").expect("told");
    }

    /// The journal of a database in which one batch does this, and perhaps another one that is damaged.
    fn journal(op: &str, is_damaged: bool) -> Vec<u8> {
        let header = first_header().expect("a header");
        let (salt, mut bytes, mut lines) = (Salt::new(header.database, 1), Vec::new(), LineBuffer::default());
        let first = encode_line(&mut bytes, salt, &serde_json::to_vec(&header).expect("JSON"));
        let ops = |out: &mut LineBuffer| out.push(op.as_bytes());
        let checksum = encode_batch(&mut lines, salt, 1, first, 0, ops);
        if is_damaged {
            encode_batch(&mut lines, salt, 3, checksum, 2, ops);
        }
        bytes.extend_from_slice(&lines.whole());
        bytes
    }

    #[test]
    fn what_a_journal_names_outside_the_base_path_is_not_touched() {
        let wait = Wait::at_most(Duration::from_secs(5));
        let directory = Path::new("/base/things");
        for (path, is_outside) in [("../mine.json", false), ("../../mine.json", true)] {
            let file = normal_path(&directory.join(path));
            for op in [r#""remove":PATH"#, r#""drop":PATH"#, r#""in":PATH,"put":{"1":{"id":1}}"#] {
                let op = format!("{{{}}}", op.replace("PATH", &format!("{path:?}")));
                let place = |is_damaged| {
                    let fs = SimFs::new();
                    fs.write_file(
                        directory.join(".storage/journal-000000000001.jsonl"),
                        &journal(&op, is_damaged),
                    );
                    fs.write_file(&file, b"");
                    (BasePath::new(fs.handle(), Path::new("/base")), fs)
                };
                let (base, fs) = place(false);
                let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
                let opened = Site { base, registry: Registry::default(), options }.open_under(directory);
                let refused = is_outside.then_some("CORRUPT_DATA");
                assert_eq!(opened.map(drop).err().map(|error| error.code()), refused, "{op}");
                let kept = fs.read_file(&file).is_some();
                assert_eq!(kept, is_outside || op.contains("put"), "{op}");
                let (base, fs) = place(true);
                let repaired = repair_under(&base, directory, wait);
                assert_eq!(repaired.map(drop).err().map(|error| error.code()), refused, "{op}");
                assert!(!is_outside || fs.read_file(&file).as_deref() == Some(b""), "{op}");
            }
        }
    }

    #[test]
    fn a_new_database_may_name_files_beside_it_although_another_process_is_opening_it() {
        let fs = SimFs::new();
        fs.make_dirs("/base");
        let directory = Path::new("/base/things");
        let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
        let (process, other) = (fs.process(), fs.process());
        let opens = |call: &Call| matches!(call, Call::OpenLock { path } if path.ends_with("write.lock"));
        process.before(opens, move || {
            let database = Database::open(other.handle(), directory, options).expect("opens");
            let beside = spec("../beside.json");
            let put = move |tx: &mut Transaction<'_>| tx.put(&beside, 1.into(), b"{\"id\":1}".to_vec());
            database.write(Durability::Full, put).expect("written");
        });
        let base = BasePath::new(process.handle(), Path::new("/base"));
        let site = Site { base, registry: Registry::default(), options };
        site.open_under(directory).expect("opens");
    }

    #[test]
    fn different_spellings_of_a_directory_share_one_engine() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let one = open_on_disk(&directory.path().join("data"));
        let other = open_on_disk(&directory.path().join("data").join("..").join("data"));
        assert!(Arc::ptr_eq(&one, &other));
        drop((one, other));
        open_on_disk(&directory.path().join("data"));
    }
}
