//! One engine for each directory and process.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::base_path::BasePath;
use super::database::{Database, DatabaseOptions};
use super::error::{IoContext, Result};
use super::fs::{self, Fs};
use super::lock::Wait;

/// What a directory is known by: its device and inode, so that symlinks and spellings make no difference.
type Identity = (u64, u64);

/// A place that is locked while its database is being opened, so that two callers do not open it twice.
type Place = Arc<Mutex<Weak<Database>>>;

static OPEN: Mutex<Option<HashMap<Identity, Place>>> = Mutex::new(None);

/// The database in `directory`, which lies under `base`, as [`open_shared`] opens it. It is recorded as one of the base
/// path.
///
/// # Errors
/// As [`Database::open`].
pub fn open_under(base: &BasePath, directory: &Path, options: DatabaseOptions) -> Result<Arc<Database>> {
    let database = open_shared(base.file_system(), directory, options)?;
    base.record_database(directory, Wait::at_most(options.lock_timeout))?;
    Ok(database)
}

/// The database in `directory`, opened unless this process has it open. It ends with the last `Arc`.
///
/// # Errors
/// As [`Database::open`].
pub fn open_shared(
    file_system: Arc<dyn Fs>,
    directory: &Path,
    options: DatabaseOptions,
) -> Result<Arc<Database>> {
    // A directory that cannot be created is opened all the same: reading it gives nothing, writing the error.
    if fs::create_dirs(&*file_system, directory).is_err()
        && file_system.metadata(directory).at("look up", directory)?.is_none()
    {
        return Database::open(file_system, directory, options);
    }
    let directory = file_system.canonical(directory).at("resolve", directory)?;
    let Some(metadata) = file_system.metadata(&directory).at("look up", &directory)? else {
        return Database::open(file_system, &directory, options);
    };
    let place = {
        let mut open = OPEN.lock();
        let open = open.get_or_insert_with(HashMap::new);
        open.retain(|_, place| Arc::strong_count(place) > 1 || place.lock().strong_count() > 0);
        Arc::clone(open.entry(metadata.identity).or_default())
    };
    let mut place = place.lock();
    if let Some(database) = place.upgrade() {
        database.raise_cache_limits(options.cache);
        // Its last instance may be closed, and only a checkpoint in the background keeps it a moment longer. To the caller it
        // was closed: what was edited since counts at once.
        if Arc::strong_count(&database) <= 2 {
            database.notice_all_edits()?;
        }
        return Ok(database);
    }
    let database = Database::open(file_system, &directory, options)?;
    *place = Arc::downgrade(&database);
    Ok(database)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fs::OsFs;

    #[test]
    fn an_engine_that_outlives_its_last_instance_for_a_moment_misses_no_edit() {
        use crate::engine::database::{CollectionSpec, Foreign, Part, ReadOptions};
        let directory = tempfile::tempdir().expect("a temporary directory");
        let open =
            || open_shared(Arc::new(OsFs), directory.path(), DatabaseOptions::default()).expect("opens");
        let spec = Arc::new(CollectionSpec {
            path: "items.json".into(),
            large_field: None,
            indexes: Vec::new(),
            foreign: Foreign::Adopt(None),
        });
        let options = ReadOptions { cached: true, lock_timeout: std::time::Duration::from_secs(5) };
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

    #[test]
    fn one_directory_has_one_engine_however_it_is_spelled() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let open =
            |path: &Path| open_shared(Arc::new(OsFs), path, DatabaseOptions::default()).expect("opens");
        let one = open(&directory.path().join("data"));
        let other = open(&directory.path().join("data").join("..").join("data"));
        assert!(Arc::ptr_eq(&one, &other));
        drop((one, other));
        open(&directory.path().join("data"));
    }
}
