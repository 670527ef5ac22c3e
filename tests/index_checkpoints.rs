//! Index checkpoints: when a collection is loaded from one, when from its documents, and that queries find the same either
//! way. On a simulated file system.

mod support;

use std::cell::Cell;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use octoprompt_storage::engine::fs::{Call, Fault, Repeat, SimFs};
use octoprompt_storage::engine::index::{Extractor, IndexConfig, IndexKey, IndexSpec, IndexType};
use octoprompt_storage::engine::{
    CollectionSpec, Database, DatabaseOptions, Durability, Foreign, Part, Queryable, Wait,
};
use support::{READ, record};

const DIRECTORY: &str = "/database";

thread_local! {
    /// How many documents this thread looked at to compute keys.
    static LOOKED_AT: Cell<usize> = const { Cell::new(0) };
}

fn name_key(values: &[Option<&[u8]>]) -> Vec<IndexKey> {
    LOOKED_AT.set(LOOKED_AT.get() + 1);
    values[0].and_then(IndexKey::from_json).into_iter().collect()
}

/// The documents that `work` looked at, and what it gave.
fn looked_at<T>(work: impl FnOnce() -> T) -> (usize, T) {
    LOOKED_AT.set(0);
    let result = work();
    (LOOKED_AT.get(), result)
}

fn index(name: &str, kind: IndexType, extractor: Extractor) -> Arc<IndexSpec> {
    let fields = vec!["name".into()];
    let config = IndexConfig { name: name.into(), kind, fields, unique: false, sparse: false };
    Arc::new(IndexSpec { config, extractor })
}

fn computed(version: u32) -> Arc<IndexSpec> {
    index(
        "computed",
        IndexType::Hash,
        Extractor::Computed { of: &["name"], rule: name_key, lookup: None, version },
    )
}

fn spec_with(
    path: &str,
    large_field: Option<&'static str>,
    indexes: Vec<Arc<IndexSpec>>,
) -> Arc<CollectionSpec> {
    Arc::new(CollectionSpec { path: path.into(), large_field, indexes, foreign: Foreign::Adopt(None) })
}

fn spec(path: &str) -> Arc<CollectionSpec> {
    let indexes = vec![
        computed(1),
        index("hash", IndexType::Hash, Extractor::Fields),
        index("btree", IndexType::Btree, Extractor::Fields),
        index("words", IndexType::Inverted, Extractor::Fields),
    ];
    spec_with(path, Some("content"), indexes)
}

fn machine() -> SimFs {
    let fs = SimFs::new();
    fs.make_dirs(DIRECTORY);
    fs
}

/// Opens the database as a process of its own.
fn open(fs: &SimFs) -> Arc<Database> {
    let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
    Database::open(fs.handle(), Path::new(DIRECTORY), options).expect("the database opens")
}

fn put(database: &Database, spec: &Arc<CollectionSpec>, id: u64, name: &str) {
    let (spec, text) = (Arc::clone(spec), record(id, name).into_bytes());
    database.write(Durability::Full, move |t| t.put(&spec, id.into(), text)).expect("written");
}

fn checkpoint(database: &Database) {
    database.checkpoint(Wait::at_most(READ.lock_timeout)).expect("checkpointed");
}

/// Three documents in the snapshot of `a.json`.
fn filled() -> SimFs {
    let fs = machine();
    let database = open(&fs);
    for (id, name) in [(1, "red apple"), (2, "pear"), (3, "green apple")] {
        put(&database, &spec("a.json"), id, name);
    }
    checkpoint(&database);
    fs
}

fn reserved(fs: &SimFs, prefix: &str) -> Vec<String> {
    let names = fs.handle().list_dir(&Path::new(DIRECTORY).join(".storage")).expect("the reserved folder");
    let like = names.into_iter().filter(|name| name.starts_with(prefix));
    like.map(|name| format!("{DIRECTORY}/.storage/{name}")).collect()
}

/// The path of the only index checkpoint.
fn index_file(fs: &SimFs) -> String {
    let [path] = reserved(fs, "index-").try_into().expect("one index checkpoint");
    path
}

/// What every index finds, and the documents themselves.
type Found = (Vec<Vec<String>>, Vec<String>);

fn found(database: &Database, spec: &Arc<CollectionSpec>) -> Found {
    let text = |text: &Arc<[u8]>| String::from_utf8_lossy(text).into_owned();
    let select = |choose: &dyn Fn(&Queryable<'_>) -> octoprompt_storage::engine::Result<Vec<_>>| {
        let texts = database.select(spec, Part::Head, READ, choose).expect("readable");
        texts.iter().map(text).collect::<Vec<String>>()
    };
    let mut answers = Vec::new();
    for name in ["red apple", "pear", "green apple", "plum", ""] {
        let key = IndexKey::text(name);
        for index in ["computed", "hash", "btree"] {
            answers.push(select(&|query| Ok(query.index(index)?.find(&key))));
        }
    }
    answers.push(select(&|query| query.index("btree")?.range(Bound::Unbounded, Bound::Unbounded)));
    for words in ["apple", "gre app", "p"] {
        answers.push(select(&|query| {
            Ok(query.index("words")?.search(words)?.into_iter().map(|(id, _)| id).collect())
        }));
    }
    let all = database.filter(spec, Part::Whole, READ, |_| true).expect("readable");
    (answers, all.iter().map(text).collect())
}

/// What is found without an index checkpoint.
fn scanned(fs: &SimFs, spec: &Arc<CollectionSpec>) -> Found {
    let fs = fs.snapshot().kill();
    reserved(&fs, "index-").iter().for_each(|path| fs.remove(path));
    found(&open(&fs), spec)
}

/// How many documents loading the collection in a new process looks at. What it finds must be what a scan finds.
fn loading_looks_at(fs: &SimFs, spec: &Arc<CollectionSpec>) -> usize {
    let database = open(&fs.process());
    let (count, found) = looked_at(|| found(&database, spec));
    assert_eq!(found, scanned(fs, spec));
    count
}

#[test]
fn a_collection_is_loaded_without_looking_at_its_documents() {
    let fs = filled();
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 0);
}

#[test]
fn changes_since_the_snapshot_are_laid_over() {
    let fs = filled();
    let database = open(&fs.process());
    let a = spec("a.json");
    put(&database, &a, 2, "plum");
    put(&database, &a, 4, "pear");
    let deleted = Arc::clone(&a);
    database.write(Durability::Full, move |t| t.delete(&deleted, 3.into())).expect("deleted");
    // The two that were put, and nothing of the snapshot.
    assert_eq!(loading_looks_at(&fs, &a), 2);
}

#[test]
fn ids_of_texts_and_foreign_layouts_come_back() {
    let fs = machine();
    let a = spec("a.json");
    let pretty = format!(
        "{{ \"z\": {},\n\t\"10\": {},\n \"9\": {}, \"\u{e9}\": {}, \"z\": {} }}",
        record(5, "pear"),
        record(10, "red apple"),
        record(9, "plum"),
        record(6, "green apple"),
        record(7, "plum")
    );
    fs.write_file(format!("{DIRECTORY}/a.json"), pretty.as_bytes());
    let database = open(&fs);
    database.persist_indexes(&a, READ).expect("persisted");
    assert_eq!(
        fs.read_file(format!("{DIRECTORY}/a.json")),
        Some(pretty.into_bytes()),
        "the file stays as it was"
    );
    drop(database);
    assert_eq!(loading_looks_at(&fs, &a), 0);
}

#[test]
fn a_missing_index_checkpoint_is_written_by_the_next_checkpoint_of_the_collection() {
    let fs = filled();
    fs.remove(index_file(&fs));
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 3);
    let database = open(&fs);
    put(&database, &spec("a.json"), 4, "plum");
    checkpoint(&database);
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 0);
}

#[test]
fn what_recovery_left_to_a_checkpoint_gets_one_once_somebody_asked_for_the_collection() {
    let fs = filled();
    put(&open(&fs), &spec("a.json"), 4, "plum");
    let fs = fs.kill();
    // A checkpoint that knows no indexes of the collection leaves the file of the snapshot before.
    checkpoint(&open(&fs));
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 4);
    let database = open(&fs);
    database.persist_indexes(&spec("a.json"), READ).expect("persisted");
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 0);
}

#[test]
fn one_of_another_snapshot_counts_as_absent() {
    let fs = filled();
    let path = index_file(&fs);
    let before = fs.read_file(&path).expect("an index checkpoint");
    let database = open(&fs);
    put(&database, &spec("a.json"), 2, "plum");
    checkpoint(&database);
    let after = fs.read_file(&path).expect("an index checkpoint");
    assert_ne!(before, after);
    fs.write_file(&path, &before);
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 3);
}

#[test]
fn one_of_another_collection_or_database_counts_as_absent() {
    let fs = filled();
    let (path, ours) = (index_file(&fs), fs.read_file(index_file(&fs)).expect("an index checkpoint"));
    let database = open(&fs);
    for (id, name) in [(1, "red apple"), (2, "pear"), (3, "green apple")] {
        put(&database, &spec("b.json"), id, name);
    }
    checkpoint(&database);
    let other = reserved(&fs, "index-").into_iter().find(|other| *other != path).expect("one of b.json");
    let snapshots = ["a.json", "b.json"].map(|name| fs.read_file(format!("{DIRECTORY}/{name}")));
    assert_eq!(snapshots[0], snapshots[1], "the snapshots alone would not tell them apart");
    fs.write_file(&path, &fs.read_file(other).expect("an index checkpoint"));
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 3);

    let twin = filled();
    assert_eq!(twin.read_file(format!("{DIRECTORY}/a.json")), snapshots[0]);
    twin.write_file(index_file(&twin), &ours);
    assert_eq!(loading_looks_at(&twin, &spec("a.json")), 3);
}

#[test]
fn other_rules_other_fields_and_more_indexes_ask_for_the_documents() {
    let fs = filled();
    let own = spec("a.json").indexes.clone();
    let replaced = |at: usize, index: Arc<IndexSpec>| {
        let mut indexes = own.clone();
        indexes[at] = index;
        indexes
    };
    let mut configs = Vec::new();
    for change in [
        |config: &mut IndexConfig| config.fields = vec!["id".into()],
        |config: &mut IndexConfig| config.sparse = true,
        |config: &mut IndexConfig| config.unique = true,
        |config: &mut IndexConfig| config.kind = IndexType::Btree,
    ] {
        let mut config = own[1].config.clone();
        change(&mut config);
        configs.push(replaced(1, Arc::new(IndexSpec { config, extractor: Extractor::Fields })));
    }
    let mut more = own.clone();
    more.push(index("another", IndexType::Hash, Extractor::Fields));
    for (what, large_field, indexes) in [
        ("a new version of the rule", Some("content"), replaced(0, computed(2))),
        ("one more index", Some("content"), more),
        ("another large field", None, own.clone()),
    ]
    .into_iter()
    .chain(configs.into_iter().map(|indexes| ("another config", Some("content"), indexes)))
    {
        let changed = spec_with("a.json", large_field, indexes);
        assert_eq!(loading_looks_at(&fs, &changed), 3, "{what}");
    }
}

#[test]
fn some_of_the_indexes_are_loaded_from_a_file_that_has_more() {
    let fs = filled();
    let mut indexes = spec("a.json").indexes.clone();
    indexes.reverse();
    let reversed = spec_with("a.json", Some("content"), indexes.clone());
    assert_eq!(loading_looks_at(&fs, &reversed), 0);
    let database = open(&fs);
    let only = spec_with("a.json", Some("content"), vec![computed(1)]);
    let choose = |query: &Queryable<'_>| Ok(query.index("computed")?.find(&IndexKey::text("pear")));
    let (count, texts) = looked_at(|| database.select(&only, Part::Head, READ, choose).expect("readable"));
    assert_eq!((count, texts.len()), (0, 1));
}

#[test]
fn an_edited_snapshot_is_adopted_as_without_an_index_checkpoint() {
    let fs = filled();
    let edited = format!("{{\"2\":{},\"4\":{}}}", record(2, "plum"), record(4, "pear"));
    fs.write_file(format!("{DIRECTORY}/a.json"), edited.as_bytes());
    let database = open(&fs);
    let (_, all) = found(&database, &spec("a.json"));
    assert_eq!(all, [record(2, "plum"), record(4, "pear")]);
    assert_eq!(found(&database, &spec("a.json")), scanned(&fs, &spec("a.json")));
}

#[test]
fn a_failure_to_write_one_is_no_failure_of_the_checkpoint() {
    let touches = |call: &Call| call.path().to_string_lossy().contains("index-");
    let changes = move |call: &Call| touches(call) && call.changes_state();
    for fault in [Fault::Io, Fault::NoSpace { written: 30 }, Fault::ReadOnly] {
        for repeat in [Repeat::Once, Repeat::Forever] {
            let fs = filled();
            let database = open(&fs);
            put(&database, &spec("a.json"), 2, "plum");
            fs.fail_when(changes, fault, repeat);
            checkpoint(&database);
            assert!(fs.faults() > 0);
            assert!(database.take_warnings().is_empty());
            let looked = loading_looks_at(&fs, &spec("a.json"));
            fs.heal();
            put(&database, &spec("a.json"), 2, "pear");
            checkpoint(&database);
            assert_eq!((looked, loading_looks_at(&fs, &spec("a.json"))), (3, 0), "{fault:?} {repeat:?}");
            assert!(reserved(&fs, "new-").is_empty());
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_counts_as_absent() {
    let fs = filled();
    let expected = scanned(&fs, &spec("a.json"));
    let touches = |call: &Call| call.path().to_string_lossy().contains("index-");
    for repeat in [Repeat::Once, Repeat::Forever] {
        let process = fs.process();
        let database = open(&process);
        process.fail_when(touches, Fault::Io, repeat);
        let (count, found) = looked_at(|| found(&database, &spec("a.json")));
        assert_eq!((count, found), (3, expected.clone()));
        process.heal();
    }
}

#[test]
fn files_of_dropped_and_unknown_collections_go() {
    let fs = filled();
    let unknown = format!("{DIRECTORY}/.storage/index-0123456789abcdef");
    fs.write_file(&unknown, b"of a collection that nobody knows");
    let database = open(&fs);
    assert_eq!(fs.read_file(&unknown), None, "recovery removes it");
    fs.write_file(&unknown, b"again");
    put(&database, &spec("b.json"), 1, "plum");
    let dropped = spec("a.json");
    database.write(Durability::Full, move |t| t.drop_collection(&dropped)).expect("dropped");
    checkpoint(&database);
    assert_eq!(fs.read_file(&unknown), None, "so does a checkpoint");
    let left = database.attached_indexes().expect("listed");
    assert!(left.iter().all(|index| &*index.collection == "b.json"), "{left:?}");
    assert_eq!(reserved(&fs, "index-").len(), 1);
}

#[test]
fn removed_files_cost_a_scan_and_nothing_else() {
    let fs = filled();
    let database = open(&fs);
    let wait = Wait::at_most(READ.lock_timeout);
    for _ in 0..2 {
        database.remove_index_checkpoints(&spec("a.json"), wait).expect("removed");
        assert!(reserved(&fs, "index-").is_empty());
    }
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 3);
}

#[test]
fn persisting_checkpoints_what_is_dirty_and_leaves_a_clean_snapshot_alone() {
    let fs = filled();
    let database = open(&fs);
    let snapshot = || fs.handle().metadata(Path::new("/database/a.json")).expect("looked up");
    database.remove_index_checkpoints(&spec("a.json"), Wait::at_most(READ.lock_timeout)).expect("removed");
    let before = snapshot();
    database.persist_indexes(&spec("a.json"), READ).expect("persisted");
    assert_eq!(snapshot(), before);
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 0);
    put(&database, &spec("a.json"), 9, "plum");
    database.persist_indexes(&spec("a.json"), READ).expect("persisted");
    assert_ne!(snapshot(), before);
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 0);
}

#[test]
fn persisting_takes_in_an_edit_made_a_moment_ago() {
    let fs = filled();
    let database = open(&fs);
    found(&database, &spec("a.json"));
    let edited = format!("{{\"7\":{}}}", record(7, "plum"));
    fs.write_file(format!("{DIRECTORY}/a.json"), edited.as_bytes());
    database.persist_indexes(&spec("a.json"), READ).expect("persisted");
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 0);
    assert_eq!(found(&database, &spec("a.json")).1, [record(7, "plum")]);
}

#[test]
fn persisting_what_is_not_there_writes_nothing() {
    let fs = machine();
    let database = open(&fs);
    database.persist_indexes(&spec("a.json"), READ).expect("nothing to do");
    let bare = spec_with("b.json", None, Vec::new());
    put(&database, &bare, 1, "plum");
    database.persist_indexes(&bare, READ).expect("nothing to do");
    assert!(reserved(&fs, "index-").is_empty());
}

#[test]
fn a_read_only_directory_reads_them_and_writes_none() {
    let fs = filled();
    let process = fs.process();
    process.fail_when(Call::changes_state, Fault::ReadOnly, Repeat::Forever);
    let database = open(&process);
    let (count, _) = looked_at(|| found(&database, &spec("a.json")));
    assert_eq!(count, 0);
    let wait = Wait::at_most(READ.lock_timeout);
    for result in [
        database.persist_indexes(&spec("a.json"), READ),
        database.remove_index_checkpoints(&spec("a.json"), wait),
    ] {
        assert_eq!(result.map_err(|error| error.code()), Err("IO_ERROR"));
    }
}

#[test]
fn rebuilding_looks_at_every_document_and_writes_the_file_again() {
    let fs = filled();
    let path = index_file(&fs);
    fs.write_file(&path, b"rubbish");
    let database = open(&fs);
    let (count, ()) = looked_at(|| database.rebuild_indexes(&spec("a.json"), READ).expect("rebuilt"));
    // Once for memory and once for the file.
    assert_eq!(count, 6);
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 0);
}

#[test]
fn attached_indexes_are_told_from_memory_or_from_the_headers() {
    let fs = filled();
    let database = open(&fs);
    put(&database, &spec("nested/b.json"), 1, "one two");
    checkpoint(&database);
    let from_memory = database.attached_indexes().expect("listed");
    let names: Vec<(&str, &str)> =
        from_memory.iter().map(|index| (&*index.collection, index.config.name.as_str())).collect();
    let of = |path: &'static str| ["btree", "computed", "hash", "words"].map(|name| (path, name));
    assert_eq!(names, [of("a.json"), of("nested/b.json")].concat());
    let words = &from_memory[3];
    assert_eq!((words.unique_keys, words.total_entries), (4, 5));
    assert_eq!(
        (words.config.kind, words.config.fields.as_slice()),
        (IndexType::Inverted, &["name".to_owned()][..])
    );
    assert_eq!(open(&fs.process()).attached_indexes().expect("listed"), from_memory);
}

#[test]
fn indexes_keep_the_time_when_they_were_first_built() {
    let fs = filled();
    let told = |fs: &SimFs| open(&fs.process()).attached_indexes().expect("listed")[0].clone();
    let first = told(&fs);
    let database = open(&fs.process());
    put(&database, &spec("a.json"), 2, "plum");
    let changed = database.attached_indexes().expect("listed")[0].clone();
    assert_eq!(changed.first_built, first.first_built);
    assert!(changed.last_changed > first.last_changed);
    checkpoint(&database);
    assert_eq!(told(&fs), changed);
    // A stale file still says since when there is the index.
    let stale = fs.read_file(index_file(&fs)).expect("an index checkpoint");
    put(&database, &spec("a.json"), 2, "pear");
    checkpoint(&database);
    fs.write_file(index_file(&fs), &stale);
    let reloaded = open(&fs.process());
    found(&reloaded, &spec("a.json"));
    assert_eq!(reloaded.attached_indexes().expect("listed")[0].first_built, first.first_built);
}

#[test]
fn a_document_without_a_change_in_an_index_does_not_change_its_time() {
    let fs = filled();
    let database = open(&fs);
    let a = spec("a.json");
    found(&database, &a);
    let before = database.attached_indexes().expect("listed");
    let text = br#"{"id":1,"name":"red apple","content":"other"}"#.to_vec();
    database.write(Durability::Full, move |t| t.put(&a, 1.into(), text)).expect("written");
    assert_eq!(database.attached_indexes().expect("listed"), before);
}
