//! What is read of indexes that callers fill, and of queries.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use super::{DIRECTORY, READ, chained, index, machine, no_wait, open};
use crate::engine::checksum::{DatabaseId, FileHash, Salt};
use crate::engine::database::{CollectionSpec, Database, Foreign, Transaction};
use crate::engine::document::DocumentId;
use crate::engine::error::Result;
use crate::engine::fs::{SimFs, Snapshot};
use crate::engine::index::{IndexConfig, IndexKey, IndexType};
use crate::engine::index_query::IndexQuery;
use crate::engine::index_set::{Entity, IndexSet};
use crate::engine::journal::encode_line;
use crate::engine::json;
use crate::engine::options::Durability;
use crate::engine::query::Query;
use crate::engine::repair::repair;

const NAME: &str = "x";
const FILES: [&str; 2] = ["indexes.json", "indexes/x.json"];

fn config() -> IndexConfig {
    IndexConfig {
        name: NAME.into(),
        kind: IndexType::Btree,
        fields: vec!["name".into()],
        unique: false,
        sparse: false,
    }
}

fn change(
    database: &Database,
    indexes: &Arc<IndexSet>,
    work: impl FnOnce(&IndexSet, &mut Transaction<'_>) -> Result<()> + Send + 'static,
) -> Result<()> {
    let indexes = Arc::clone(indexes);
    database.write(Durability::Full, move |tx| work(&indexes, tx))
}

/// Returns a machine with one index and two entities in it, all of them in snapshots.
fn indexed() -> SimFs {
    static MADE: LazyLock<Snapshot> = LazyLock::new(|| {
        let fs = machine();
        let database = open(&fs).expect("it opens");
        let indexes = Arc::new(IndexSet::new(None));
        let fill = |indexes: &IndexSet, tx: &mut Transaction<'_>| {
            indexes.create(tx, &config())?;
            for (id, text) in (1_u64..).zip([r#"{"name":"one"}"#, r#"{"name":"two"}"#]) {
                indexes.add(tx, NAME, id.into(), Entity { text: text.as_bytes(), members: None })?;
            }
            Ok(())
        };
        change(&database, &indexes, fill).expect("it is filled");
        database.checkpoint(no_wait()).expect("it is checkpointed");
        drop(database);
        fs.kill().snapshot()
    });
    MADE.kill()
}

/// Uses the bytes as the definitions or the entities of an index (bit 0 of the first byte), with the catalog vouching for
/// them or not (bit 1). Whatever they are, errors report it, and there is a way back.
pub fn index_files(bytes: &[u8]) {
    let Some((kind, content)) = bytes.split_first() else { return };
    let fs = indexed();
    fs.write_file(format!("{DIRECTORY}/{}", FILES[usize::from(kind & 1)]), content);
    if kind & 2 != 0 {
        vouch(&fs);
    }
    let twin = fs.snapshot().kill();
    used(&fs, false);
    repair(&twin.handle(), Path::new(DIRECTORY), no_wait()).expect("it can be repaired");
    used(&twin, true);
}

/// Writes a journal whose catalog records the files as they are.
fn vouch(fs: &SimFs) {
    let record = |path: &str| {
        let bytes = fs.read_file(format!("{DIRECTORY}/{path}")).expect("a file");
        let (hash, size) = (FileHash::of(&bytes).0, bytes.len());
        format!(
            "\"{path}\":{{\"snapshots\":[{{\"hash\":\"{hash:032x}\",\"size\":{size},\"covers\":3,\"layout\":\"map\"}}]}}"
        )
    };
    let header = format!(
        "{{\"format\":1,\"database\":\"{:032x}\",\"generation\":9,\"seq\":3,\"previous\":null,\"removed\":3,\"covered\":3,\"catalog\":{{{}}}}}",
        7,
        FILES.map(record).join(",")
    );
    let salt = Salt::new(DatabaseId(7), 9);
    let mut journal = Vec::new();
    let checksum = encode_line(&mut journal, salt, header.as_bytes());
    let covered = chained(br#"{"durable":3,"ops":[{"covered":4}]}"#, 4, checksum).expect("a batch");
    encode_line(&mut journal, salt, &covered);
    let reserved = format!("{DIRECTORY}/.storage");
    for name in crate::engine::fs::Fs::list_dir(fs, Path::new(&reserved)).expect("a folder") {
        fs.remove(format!("{reserved}/{name}"));
    }
    fs.write_file(format!("{reserved}/journal-000000000009.jsonl"), &journal);
}

/// Uses the indexes. Once the database is `repaired`, every index can be created again.
fn used(fs: &SimFs, repaired: bool) {
    let database = open(fs).expect("it opens");
    let indexes = Arc::new(IndexSet::new(None));
    let told = |error: &crate::engine::Error| matches!(error.code(), "CORRUPT_DATA" | "INVALID_ARGUMENT");
    let question = IndexQuery::Key(IndexKey::text("one"));
    let asked = indexes.ask(&database, READ, NAME, &question);
    let listed = indexes.list(&database, READ);
    let counted = indexes.stats(&database, READ, NAME);
    for error in [asked.err(), listed.err(), counted.err()].into_iter().flatten() {
        assert!(told(&error), "{}: {error}", error.code());
    }
    let one = |indexes: &IndexSet, tx: &mut Transaction<'_>| {
        let entity = Entity { text: br#"{"name":"one"}"#, members: None };
        indexes.rebuild(tx, NAME, [(7.into(), entity)].into_iter())
    };
    if let Err(error) = change(&database, &indexes, one) {
        assert!(told(&error) || error.code() == "NOT_FOUND", "{}: {error}", error.code());
    }
    // Whatever is left of the index, it can be created anew.
    let anew = |indexes: &IndexSet, tx: &mut Transaction<'_>| {
        indexes.drop_index(tx, NAME)?;
        indexes.create(tx, &config())
    };
    if let Err(error) = change(&database, &indexes, anew) {
        assert!(!repaired && error.code() == "CORRUPT_DATA", "{}: {error}", error.code());
        return;
    }
    change(&database, &indexes, one).expect("a new index is filled");
    let answer = indexes.ask(&database, READ, NAME, &question).expect("it answers");
    assert_eq!(answer.as_deref(), Some(&[DocumentId::from(7)][..]));
    let report = database.verify(no_wait()).expect("it can be verified");
    let own = |path: &str| path == FILES[0] || path == FILES[1];
    assert!(report.problems.iter().all(|problem| !own(&problem.path)), "{report}");
}

/// Uses the first line as a query and the others as documents. The answer is the same with and without indexes.
pub fn queries(bytes: &[u8]) {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let query = match Query::from_json(lines.next().unwrap_or_default()) {
        Ok(query) => query,
        Err(error) => return assert_eq!(error.code(), "INVALID_ARGUMENT", "{error}"),
    };
    let whole = |line: &&[u8]| line.first() == Some(&b'{') && json::check(line).is_ok();
    let texts: Vec<Vec<u8>> =
        lines.filter(whole).take(20).map(|line| json::compact(line).into_owned()).collect();
    let spec = |path: &str, indexes| {
        Arc::new(CollectionSpec {
            path: path.into(),
            large_field: None,
            indexes,
            foreign: Foreign::Adopt(None),
        })
    };
    let kinds = [IndexType::Hash, IndexType::Btree, IndexType::Inverted].map(index);
    let (plain, indexed) = (spec("plain.json", Vec::new()), spec("indexed.json", kinds.into()));
    let fs = machine();
    let database = open(&fs).expect("it opens");
    let specs = [Arc::clone(&plain), Arc::clone(&indexed)];
    let fill = move |tx: &mut Transaction<'_>| {
        for (id, text) in (1_u64..).zip(&texts) {
            specs.iter().try_for_each(|spec| tx.put(spec, id.into(), text.clone()))?;
        }
        Ok(())
    };
    database.write(Durability::Os, fill).expect("it is written");
    let answer = |spec| database.documents(spec, &query, READ).expect("it is answered");
    assert_eq!(answer(&plain), answer(&indexed));
    let explained = database.explain(&indexed, &query, READ).expect("it is explained");
    assert_eq!(json::check(&explained), Ok(()));
}
