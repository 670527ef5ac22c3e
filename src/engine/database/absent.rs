//! Collections that hold nothing: the files of projects that no longer exist, never existed, or have no files.

use super::Database;
use super::writer::Writer;

/// This many collections are never too many. One that was forgotten is looked up on disk when it is asked for again.
const FEW: usize = 1000;

impl Database {
    /// Forgets the collections that belong to documents of another one, hold nothing and are claimed by nobody, once
    /// memory knows twice as many collections as after the last time, or a generation has begun. The caller must not have
    /// begun anything yet that relies on what is loaded. O(1) on average.
    pub(super) fn forget_absent(&self, writer: &mut Writer) {
        if self.state.read().collections.len() < writer.most_collections {
            return;
        }
        let mut state = self.state.write();
        let state = &mut *state;
        if let Some(owners) = self.owners() {
            let (collections, catalog) = (&mut state.collections, &state.catalog);
            collections.retain(|path, collection| {
                !collection.is_empty()
                    || collection.is_claimed()
                    || catalog.contains_key(&**path)
                    || (owners.owner)(path).is_none()
            });
        }
        writer.most_collections = FEW.max(state.collections.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::engine::database::{CollectionSpec, DatabaseOptions, Owners, Part, ReadOptions};
    use crate::engine::document::DocumentId;
    use crate::engine::fs::SimFs;
    use crate::engine::lock::Wait;
    use crate::engine::options::Durability;

    const READ: ReadOptions = ReadOptions { cached: true, lock_timeout: Duration::from_secs(5) };

    fn spec(path: &str) -> Arc<CollectionSpec> {
        Arc::new(CollectionSpec::plain(path))
    }

    fn owners(_: &Path) -> Option<Owners> {
        let owner = |path: &str| path.strip_prefix("owned/").map(DocumentId::from_key);
        Some(Owners { spec: spec("owners"), owner })
    }

    fn machine() -> SimFs {
        let fs = SimFs::new();
        fs.make_dirs("/database");
        fs
    }

    fn open(fs: &SimFs) -> Arc<Database> {
        let options =
            DatabaseOptions { background: false, owners: Some(owners), ..DatabaseOptions::default() };
        Database::open(fs.process().handle(), Path::new("/database"), options).expect("opens")
    }

    fn list(database: &Database, path: &str) -> String {
        let list = database.list(&spec(path), Part::Whole, READ).expect("readable");
        String::from_utf8_lossy(&list).into_owned()
    }

    fn put(database: &Database, path: &str) {
        let (spec, text) = (spec(path), br#"{"id":1}"#.to_vec());
        database.write(Durability::Os, move |tx| tx.put(&spec, 1.into(), text)).expect("written");
    }

    fn knows(database: &Database, path: &str) -> bool {
        database.state.read().collections.contains_key(path)
    }

    /// Asks for so many other collections that those that hold nothing are forgotten.
    fn ask_for_others(database: &Database) {
        (0..2 * FEW).for_each(|other| assert_eq!(list(database, &format!("owned/other {other}")), "[]"));
    }

    #[test]
    fn only_an_empty_and_unclaimed_collection_with_an_owner_is_forgotten() {
        let database = open(&machine());
        put(&database, "owned/1");
        let _claim = database.attach(&spec("owned/3")).expect("attached");
        for path in ["owned/1", "owned/2", "owned/3", "of nobody"] {
            list(&database, path);
        }
        ask_for_others(&database);
        assert_eq!(
            ["owned/1", "owned/2", "owned/3", "of nobody"].map(|path| knows(&database, path)),
            [true, false, true, true]
        );
    }

    #[test]
    fn a_cached_list_of_a_forgotten_collection_is_not_served_for_a_newer_one() {
        let database = open(&machine());
        database.rebuild_indexes(&spec("owned/1"), READ).expect("loaded again");
        assert_eq!(list(&database, "owned/1"), "[]");
        ask_for_others(&database);
        assert!(!knows(&database, "owned/1"));
        put(&database, "owned/1");
        for _ in 0..5 {
            assert_eq!(list(&database, "owned/1"), r#"[{"id":1}]"#);
            put(&database, "owned/1");
        }
    }

    #[test]
    fn every_process_forgets_a_dropped_collection_with_its_generation() {
        let fs = machine();
        let (writer, reader) = (open(&fs), open(&fs));
        put(&writer, "owned/1");
        assert_eq!(list(&reader, "owned/1"), r#"[{"id":1}]"#);
        writer.write(Durability::Os, |tx| tx.drop_collection(&spec("owned/1"))).expect("dropped");
        assert_eq!(list(&reader, "owned/1"), "[]");
        writer.checkpoint(Wait::at_most(Duration::from_secs(5))).expect("a checkpoint");
        for database in [&writer, &reader] {
            put(database, "of nobody");
            assert!(!knows(database, "owned/1"));
        }
    }
}
