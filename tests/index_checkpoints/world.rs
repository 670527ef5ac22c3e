//! Collections whose indexes count the documents that they read, on a simulated file system.

use std::cell::Cell;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use octoprompt_storage::engine::fs::SimFs;
use octoprompt_storage::engine::index::{Extractor, IndexConfig, IndexKey, IndexSpec, IndexType};
use octoprompt_storage::engine::{
    CollectionSpec, Database, DatabaseOptions, Durability, Foreign, Part, Queryable,
};

use crate::support::{READ, record, wait};

pub const DIRECTORY: &str = "/database";

thread_local! {
    /// The number of documents that this thread read to compute keys.
    static LOOKED_AT: Cell<usize> = const { Cell::new(0) };
}

fn name_key(values: &[Option<&[u8]>]) -> Vec<IndexKey> {
    LOOKED_AT.set(LOOKED_AT.get() + 1);
    values[0].and_then(IndexKey::from_json).into_iter().collect()
}

/// Returns the number of documents that `work` read, and its result.
pub fn looked_at<T>(work: impl FnOnce() -> T) -> (usize, T) {
    LOOKED_AT.set(0);
    let result = work();
    (LOOKED_AT.get(), result)
}

pub fn index(name: &str, kind: IndexType, extractor: Extractor) -> Arc<IndexSpec> {
    let fields = vec!["name".into()];
    let config = IndexConfig { name: name.into(), kind, fields, unique: false, sparse: false };
    Arc::new(IndexSpec::new(config, extractor))
}

pub fn computed(version: u32) -> Arc<IndexSpec> {
    index(
        "computed",
        IndexType::Hash,
        Extractor::Computed { of: &["name"], rule: name_key, lookup: None, version },
    )
}

pub fn spec_with(
    path: &str,
    large_field: Option<&'static str>,
    indexes: Vec<Arc<IndexSpec>>,
) -> Arc<CollectionSpec> {
    Arc::new(CollectionSpec { path: path.into(), large_field, indexes, foreign: Foreign::Adopt(None) })
}

pub fn spec(path: &str) -> Arc<CollectionSpec> {
    let indexes = vec![
        computed(1),
        index("hash", IndexType::Hash, Extractor::Fields),
        index("btree", IndexType::Btree, Extractor::Fields),
        index("words", IndexType::Inverted, Extractor::Fields),
    ];
    spec_with(path, Some("content"), indexes)
}

pub fn machine() -> SimFs {
    let fs = SimFs::new();
    fs.make_dirs(DIRECTORY);
    fs
}

/// Opens the database like a process of its own.
pub fn open(fs: &SimFs) -> Arc<Database> {
    let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
    Database::open(fs.handle(), Path::new(DIRECTORY), options).expect("the database opens")
}

pub fn put(database: &Database, spec: &Arc<CollectionSpec>, id: u64, name: &str) {
    let (spec, text) = (Arc::clone(spec), record(id, name).into_bytes());
    database.write(Durability::Full, move |t| t.put(&spec, id.into(), text)).expect("written");
}

pub fn checkpoint(database: &Database) {
    database.checkpoint(wait()).expect("checkpointed");
}

/// Three documents in the snapshot of `a.json`.
pub fn filled() -> SimFs {
    let fs = machine();
    let database = open(&fs);
    for (id, name) in [(1, "red apple"), (2, "pear"), (3, "green apple")] {
        put(&database, &spec("a.json"), id, name);
    }
    checkpoint(&database);
    fs
}

pub fn reserved(fs: &SimFs, prefix: &str) -> Vec<String> {
    let names = fs.handle().list_dir(&Path::new(DIRECTORY).join(".storage")).expect("the reserved folder");
    let like = names.into_iter().filter(|name| name.starts_with(prefix));
    like.map(|name| format!("{DIRECTORY}/.storage/{name}")).collect()
}

/// Returns the path of the only index checkpoint.
pub fn index_file(fs: &SimFs) -> String {
    let [path] = reserved(fs, "index-").try_into().expect("one index checkpoint");
    path
}

/// What every index finds, and the documents themselves.
pub type Found = (Vec<Vec<String>>, Vec<String>);

pub fn found(database: &Database, spec: &Arc<CollectionSpec>) -> Found {
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

/// Returns what is found without an index checkpoint.
pub fn scanned(fs: &SimFs, spec: &Arc<CollectionSpec>) -> Found {
    let fs = fs.snapshot().kill();
    reserved(&fs, "index-").iter().for_each(|path| fs.remove(path));
    found(&open(&fs), spec)
}

/// Returns how many documents are read to load the collection in a new process. What is found must be what a scan finds.
pub fn loading_looks_at(fs: &SimFs, spec: &Arc<CollectionSpec>) -> usize {
    let database = open(&fs.process());
    let (count, found) = looked_at(|| found(&database, spec));
    assert_eq!(found, scanned(fs, spec));
    count
}
